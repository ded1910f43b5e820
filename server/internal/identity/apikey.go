package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/golang-jwt/jwt/v5"
)

// APIKeys are the keys that a connection may show: they open the door, and say nothing of who comes in.
type APIKeys struct {
	known  [][sha256.Size]byte
	secret []byte
	parser *jwt.Parser
}

// NewAPIKeys accepts the keys given (sb_publishable_…, sb_secret_…, or a legacy anon key as it is); empty ones are left
// out. With a legacy secret it also accepts any anon or service_role key that the secret signed.
func NewAPIKeys(legacySecret string, keys ...string) (*APIKeys, error) {
	k := &APIKeys{}
	for _, key := range keys {
		if key != "" {
			k.known = append(k.known, sha256.Sum256([]byte(key)))
		}
	}
	if legacySecret != "" {
		k.secret = []byte(legacySecret)
		k.parser = jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	}
	if len(k.known) == 0 && k.secret == nil {
		return nil, errors.New("make API keys: none was given")
	}
	return k, nil
}

// Valid says whether key is one of the project's, in a time that does not depend on how much of it is right.
func (k *APIKeys) Valid(key string) bool {
	if key == "" || len(key) > maxTokenBytes {
		return false
	}
	sum, found := sha256.Sum256([]byte(key)), 0
	for i := range k.known {
		found |= subtle.ConstantTimeCompare(sum[:], k.known[i][:])
	}
	return found == 1 || k.signed(key)
}

func (k *APIKeys) signed(key string) bool {
	if k.secret == nil {
		return false
	}
	claims := jwt.MapClaims{}
	if _, err := k.parser.ParseWithClaims(key, claims, func(*jwt.Token) (any, error) { return k.secret, nil }); err != nil {
		return false
	}
	return claims["role"] == "anon" || claims["role"] == "service_role"
}
