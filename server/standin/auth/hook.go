package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// hookTimeout is what Auth gives a Postgres hook, in milliseconds.
const hookTimeout = "2000"

// hook asks the access-token hook for the claims. It runs as supabase_auth_admin, in the sign-in's own transaction: when
// it fails, nobody is signed in. Source: supabase.com/docs/guides/auth/auth-hooks/custom-access-token-hook.
func (s *Server) hook(ctx context.Context, tx pgx.Tx, person uuid.UUID, claims jwt.MapClaims, by string) (jwt.MapClaims, error) {
	schema, function, _ := strings.Cut(s.config.Hook, ".")
	event, err := json.Marshal(map[string]any{"user_id": person, "claims": claims, "authentication_method": by})
	if err != nil {
		return nil, fmt.Errorf("auth: write the hook's event: %w", err)
	}
	if _, err := tx.Exec(ctx, "set local statement_timeout = "+hookTimeout); err != nil {
		return nil, fmt.Errorf("auth: bound the hook: %w", err)
	}
	var answer []byte
	err = tx.QueryRow(ctx, "select "+pgx.Identifier{schema, function}.Sanitize()+"($1::jsonb)", string(event)).Scan(&answer)
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		if pg.Code == "57014" {
			return nil, fail(http.StatusUnprocessableEntity, "hook_timeout", "Failed to reach hook within maximum time of %f seconds", 2.0)
		}
		return nil, unexpected("Error running hook URI: pg-functions://postgres/%s/%s", schema, function)
	}
	if err != nil {
		return nil, fmt.Errorf("auth: run the hook: %w", err)
	}
	if _, err := tx.Exec(ctx, "set local statement_timeout = default"); err != nil {
		return nil, fmt.Errorf("auth: unbound after the hook: %w", err)
	}
	return readHook(answer)
}

// readHook reads the hook's answer: claims that keep to the schema, or an error of its own.
func readHook(answer []byte) (jwt.MapClaims, error) {
	var output struct {
		Claims map[string]any `json:"claims"`
		Error  *struct {
			Status  int    `json:"http_code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.UseNumber()
	if err := decoder.Decode(&output); err != nil {
		return nil, unexpected("Error unmarshaling JSON output.")
	}
	if output.Error != nil && output.Error.Message != "" {
		status := output.Error.Status
		if status < 400 || status > 599 {
			status = http.StatusInternalServerError
		}
		code := "unknown"
		if status == http.StatusInternalServerError {
			code = "unexpected_failure"
		}
		return nil, fail(status, code, "%s", output.Error.Message)
	}
	if wrong := nonconforming(output.Claims); wrong != "" {
		return nil, unexpected("output claims do not conform to the expected schema: \n%s", wrong)
	}
	return output.Claims, nil
}

// requiredClaims is Auth's minimum viable token.
var requiredClaims = []string{"aud", "exp", "iat", "sub", "email", "phone", "role", "aal", "session_id", "is_anonymous"}

var claimKinds = map[string][]string{
	"aud": {"string", "array"}, "exp": {"integer"}, "jti": {"string"}, "iat": {"integer"}, "iss": {"string"}, "nbf": {"integer"},
	"sub": {"string"}, "email": {"string"}, "phone": {"string"}, "app_metadata": {"object"}, "user_metadata": {"object"},
	"role": {"string"}, "aal": {"string"}, "amr": {"array"}, "session_id": {"string"}, "client_id": {"string"},
}

// nonconforming says what is wrong with a hook's claims, a line each.
func nonconforming(claims map[string]any) string {
	var lines strings.Builder
	for _, name := range requiredClaims {
		if _, there := claims[name]; !there {
			fmt.Fprintf(&lines, "- (root): %s is required\n", name)
		}
	}
	for _, name := range append(requiredClaims[:len(requiredClaims):len(requiredClaims)], "jti", "iss", "nbf", "app_metadata", "user_metadata", "amr", "client_id") {
		value, there := claims[name]
		kinds := claimKinds[name]
		if !there || kinds == nil {
			continue
		}
		given := kindOf(value)
		fits := false
		for _, kind := range kinds {
			fits = fits || kind == given
		}
		if !fits {
			fmt.Fprintf(&lines, "- %s: Invalid type. Expected: %s, given: %s\n", name, strings.Join(kinds, "/"), given)
		}
	}
	return lines.String()
}

func kindOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case []any:
		return "array"
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return "integer"
		}
		return "number"
	default:
		return "object"
	}
}
