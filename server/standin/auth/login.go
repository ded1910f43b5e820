package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

func (s *Server) token(w http.ResponseWriter, r *http.Request) error {
	switch grant := r.URL.Query().Get("grant_type"); grant {
	case "password":
		return s.password(w, r)
	case "refresh_token":
		return s.refresh(w, r)
	case "pkce", "id_token", "web3":
		return fail(http.StatusNotImplemented, "not_in_standin", "The stand-in has no grant_type %s; see server/standin/DIFFERENCES.md", grant)
	default:
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type"})
		return nil
	}
}

func (s *Server) password(w http.ResponseWriter, r *http.Request) error {
	var c credentials
	if err := decode(r, &c); err != nil {
		return err
	}
	switch {
	case c.Email != "" && c.Phone != "":
		return invalid("Only an email address or phone number should be provided on login.")
	case c.Phone != "":
		return fail(http.StatusBadRequest, "phone_provider_disabled", "Phone logins are disabled")
	case c.Email == "":
		return invalid("missing email or phone")
	}
	var answer *tokens
	err := s.within(r.Context(), func(tx pgx.Tx) error {
		u, err := userByEmail(r.Context(), tx, c.Email)
		if errors.Is(err, errNoUser) || err == nil && !u.knows(c.Password) {
			return fail(http.StatusBadRequest, "invalid_credentials", "Invalid login credentials")
		}
		if err != nil {
			return err
		}
		if u.banned(s.now()) {
			return fail(http.StatusBadRequest, "user_banned", "User is banned")
		}
		if u.EmailConfirmedAt == nil {
			return fail(http.StatusBadRequest, "email_not_confirmed", "Email not confirmed")
		}
		answer, err = s.signIn(r, tx, u, byPassword)
		return err
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// refreshToken is a row of auth.refresh_tokens.
type refreshToken struct {
	token     string
	person    uuid.UUID
	login     *uuid.UUID
	revoked   bool
	updatedAt time.Time
}

// refresh rotates a refresh token. One that was rotated away is good again for ten seconds, and for as long as its
// successor was not used (a caller that lost the answer asks again); any other use ends the family.
//
//	live ──used──▶ revoked ──again: parent of the live one──▶ the live one, once more
//	                  │────── within ReuseInterval ──────────▶ a new one
//	                  └────── later ─────────────────────────▶ all of the login's are revoked
//
// Source: supabase/auth, internal/tokens/service.go.
func (s *Server) refresh(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Token string `json:"refresh_token"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	if body.Token == "" {
		return fail(http.StatusBadRequest, "validation_failed", "refresh_token required")
	}
	var answer *tokens
	var refusal *Error // one that must be committed
	err := s.within(r.Context(), func(tx pgx.Tx) (err error) {
		answer, refusal, err = s.rotate(r.Context(), tx, body.Token)
		return err
	})
	if err != nil {
		return err
	}
	if refusal != nil {
		return refusal
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (s *Server) rotate(ctx context.Context, tx pgx.Tx, presented string) (*tokens, *Error, error) {
	old, err := lockRefreshToken(ctx, tx, presented)
	if err != nil {
		return nil, nil, err
	}
	u, err := userByID(ctx, tx, old.person)
	if err != nil {
		return nil, nil, err
	}
	if u.banned(s.now()) {
		return nil, fail(http.StatusBadRequest, "user_banned", "Invalid Refresh Token: User Banned"), nil
	}
	login := *old.login
	next := ""
	if old.revoked {
		if next, err = successor(ctx, tx, login, old.token); err != nil {
			return nil, nil, err
		}
		if next == "" && s.now().After(old.updatedAt.Add(ReuseInterval)) {
			_, err := tx.Exec(ctx, `update auth.refresh_tokens set revoked = true, updated_at = $2 where session_id = $1 and not revoked`, login, s.now())
			return nil, fail(http.StatusBadRequest, "refresh_token_already_used", "Invalid Refresh Token: Already Used"), err
		}
	}
	if next == "" {
		if next, err = s.swap(ctx, tx, old); err != nil {
			return nil, nil, err
		}
	}
	if _, err := tx.Exec(ctx, `update auth.sessions set refreshed_at = $2::timestamptz at time zone 'utc', updated_at = $2::timestamptz where id = $1`, login, s.now()); err != nil {
		return nil, nil, fmt.Errorf("auth: note a refresh: %w", err)
	}
	answer, err := s.issue(ctx, tx, u.ID, login, next, byRefresh)
	return answer, nil, err
}

// lockRefreshToken finds a token and locks its login, so that two refreshes of one login come after one another.
func lockRefreshToken(ctx context.Context, tx pgx.Tx, presented string) (refreshToken, error) {
	var t refreshToken
	err := tx.QueryRow(ctx, `select session_id from auth.refresh_tokens where token = $1`, presented).Scan(&t.login)
	if err == nil && t.login != nil {
		err = tx.QueryRow(ctx, `select id from auth.sessions where id = $1 for update`, t.login).Scan(&t.login)
	}
	if err == nil {
		err = tx.QueryRow(ctx, `select token, user_id::uuid, coalesce(revoked, false), updated_at from auth.refresh_tokens
			where token = $1 for update`, presented).Scan(&t.token, &t.person, &t.revoked, &t.updatedAt)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return t, fail(http.StatusBadRequest, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
	}
	if err != nil {
		return t, fmt.Errorf("auth: read a refresh token: %w", err)
	}
	if t.login == nil {
		return t, fail(http.StatusBadRequest, "session_not_found", "Invalid Refresh Token: No Valid Session Found")
	}
	return t, nil
}

// successor is the login's live token if parent was rotated into it; nothing otherwise.
func successor(ctx context.Context, tx pgx.Tx, login uuid.UUID, parent string) (string, error) {
	var token string
	err := tx.QueryRow(ctx, `select token from (select token, parent from auth.refresh_tokens where session_id = $1 and not revoked
		order by id desc limit 1) as live where live.parent = $2`, login, parent).Scan(&token)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("auth: read a refresh token: %w", err)
	}
	return token, nil
}

// swap revokes a token for a new one.
func (s *Server) swap(ctx context.Context, tx pgx.Tx, old refreshToken) (string, error) {
	if _, err := tx.Exec(ctx, `update auth.refresh_tokens set revoked = true, updated_at = $2 where token = $1`, old.token, s.now()); err != nil {
		return "", fmt.Errorf("auth: revoke a refresh token: %w", err)
	}
	return s.newRefreshToken(ctx, tx, old.person, *old.login, &old.token)
}
