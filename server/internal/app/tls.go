package app

import (
	"fmt"
	"net/url"

	"vigil/server/internal/config"
)

// WithCA adds the CA certificate to a Postgres URL that names none, as every connection of the sidecar has it.
func WithCA(dsn config.Secret, caFile string) (string, error) {
	if caFile == "" {
		return dsn.Reveal(), nil
	}
	u, err := url.Parse(dsn.Reveal())
	if err != nil {
		return "", fmt.Errorf("add the CA certificate: the URL cannot be read")
	}
	q := u.Query()
	if q.Get("sslrootcert") == "" {
		q.Set("sslrootcert", caFile)
		if q.Get("sslmode") == "" {
			q.Set("sslmode", "verify-full")
		}
		u.RawQuery = q.Encode()
	}
	return u.String(), nil
}
