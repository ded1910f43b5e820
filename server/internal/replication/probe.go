package replication

import (
	"context"
	"fmt"
)

// Probe opens a replication connection, asks the server who it is, and closes it: the only way to tell a direct connection
// from a pooler. Errors are those of Run (ErrPooler, ErrPrivilege, ErrTLS, …), as *Fault where the cause is known.
func Probe(ctx context.Context, dsn string) error {
	s, err := Config{URL: dsn, ConnectTimeout: DefaultConnectTimeout}.connect(ctx)
	if err != nil {
		return fmt.Errorf("probe replication: %w", err)
	}
	s.close(ctx)
	return nil
}
