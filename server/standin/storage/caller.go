package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
)

const (
	roleAnon    = "anon"
	roleService = "service_role"
)

// caller is who a request's token says it is.
type caller struct {
	role, subject string
	claims        []byte
}

// service is Storage itself, which passes row-level security.
var service = caller{role: roleService, claims: []byte(`{"role":"` + roleService + `"}`)}

// authenticate reads the bearer token that the gateway has put or left there. Unlike REST, Storage lets clocks differ by
// nothing, and says what its library (jose) says.
func (s *Server) authenticate(r *http.Request) (caller, error) {
	token := strings.TrimSpace(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithJSONNumber(), jwt.WithTimeFunc(s.config.Now))
	_, err := parser.ParseWithClaims(token, claims, s.config.Keyfunc)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return caller{}, accessDenied(`"exp" claim timestamp check failed`)
	case errors.Is(err, jwt.ErrTokenMalformed):
		return caller{}, accessDenied("Invalid Compact JWS")
	case err != nil:
		return caller{}, accessDenied("signature verification failed")
	}
	who := caller{role: roleAnon}
	if role, ok := claims["role"].(string); ok {
		who.role = role
	}
	who.subject, _ = claims["sub"].(string)
	if who.claims, err = json.Marshal(claims); err != nil {
		return caller{}, fmt.Errorf("storage: write claims: %w", err)
	}
	return who, nil
}

// as runs do in one transaction with a caller's role and claims; it is kept if do and keep say so.
func (s *Server) as(ctx context.Context, who caller, keep bool, do func(context.Context, pgx.Tx) error) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("storage: begin: %w", err)
	}
	// The clean-up must run when the caller has hung up, and a rolled-back transaction cannot fail.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true),
		set_config('request.jwt.claim.sub', $3, true), set_config('request.jwt.claim.role', $1, true),
		set_config('search_path', 'storage, public, extensions', true), set_config('storage.allow_delete_query', 'true', true)`,
		who.role, string(who.claims), who.subject); err != nil {
		return fmt.Errorf("storage: take the caller's role: %w", err)
	}
	if err := do(ctx, tx); err != nil || !keep {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("storage: commit: %w", err)
	}
	return nil
}
