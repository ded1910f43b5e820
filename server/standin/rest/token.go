package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// skew is how far PostgREST lets clocks differ.
const skew = 30 * time.Second

// authenticate reads the bearer token: its claims as JSON and the Postgres role to take. Without one, the caller is anon.
// Like PostgREST it knows nothing of sessions: a token of a signed-out login is good until it expires.
func (s *Server) authenticate(r *http.Request) (claims []byte, role string, err error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return []byte(`{"role":"` + roleAnon + `"}`), roleAnon, nil
	}
	token, found := strings.CutPrefix(header, "Bearer ")
	if !found {
		if token, found = strings.CutPrefix(header, "bearer "); !found {
			return []byte(`{"role":"` + roleAnon + `"}`), roleAnon, nil
		}
	}
	token = strings.TrimSpace(token)
	if token == "" {
		return nil, "", tokenError("PGRST301", "Empty JWT is sent in Authorization header", nil)
	}
	if parts := strings.Count(token, ".") + 1; parts != 3 {
		return nil, "", tokenError("PGRST301", "Expected 3 parts in JWT; got "+strconv.Itoa(parts), nil)
	}
	claimed := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithoutClaimsValidation(), jwt.WithJSONNumber())
	if _, err := parser.ParseWithClaims(token, claimed, s.config.Keyfunc); err != nil {
		return nil, "", undecodable(err)
	}
	if err := s.judge(claimed); err != nil {
		return nil, "", err
	}
	role, ok := claimed["role"].(string)
	if !ok {
		role = roleAnon
	}
	claimed["role"] = role
	claims, err = json.Marshal(claimed)
	return claims, role, err
}

func undecodable(err error) *Error {
	switch {
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return tokenError("PGRST301", "No suitable key or wrong key type", "None of the keys was able to decode the JWT")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return tokenError("PGRST301", "JWT cryptographic operation failed", nil)
	}
	return tokenError("PGRST301", "JWT couldn't be decoded", nil)
}

// judge checks the times that a token states, with PostgREST's skew.
func (s *Server) judge(claims jwt.MapClaims) error {
	now := s.config.Now()
	for _, check := range []struct {
		claim, message string
		wrong          func(time.Time) bool
	}{
		{"exp", "JWT expired", func(t time.Time) bool { return t.Before(now.Add(-skew)) }},
		{"nbf", "JWT not yet valid", func(t time.Time) bool { return t.After(now.Add(skew)) }},
		{"iat", "JWT issued at future", func(t time.Time) bool { return t.After(now.Add(skew)) }},
	} {
		value, stated := claims[check.claim]
		if !stated || value == nil {
			continue
		}
		number, ok := value.(json.Number)
		if !ok {
			return tokenError("PGRST303", "The JWT '"+check.claim+"' claim must be a number", nil)
		}
		seconds, err := number.Float64()
		if err != nil || check.wrong(time.Unix(int64(seconds), 0)) {
			return tokenError("PGRST303", check.message, nil)
		}
	}
	return nil
}
