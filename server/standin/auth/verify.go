package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// recover mails a code to reset a password. It says the same whether or not the address is known.
func (s *Server) recover(w http.ResponseWriter, r *http.Request) error {
	return s.mailTo(w, r, mailRecovery)
}

// resend mails another confirmation.
func (s *Server) resend(w http.ResponseWriter, r *http.Request) error {
	return s.mailTo(w, r, mailConfirmation)
}

func (s *Server) mailTo(w http.ResponseWriter, r *http.Request, kind mailKind) error {
	var body struct {
		Email         string `json:"email"`
		Type          string `json:"type"`
		CodeChallenge string `json:"code_challenge"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	if body.Email == "" {
		return invalid("Password recovery requires an email")
	}
	email, err := address(body.Email)
	if err != nil {
		return err
	}
	if err := noPKCE(body.CodeChallenge); err != nil {
		return err
	}
	if body.Type != "" && body.Type != "signup" {
		return fail(http.StatusNotImplemented, "not_in_standin", "The stand-in resends confirmations only")
	}
	if err := s.within(r.Context(), func(tx pgx.Tx) error {
		u, err := userByEmail(r.Context(), tx, email)
		if errors.Is(err, errNoUser) || err == nil && kind.kind == "signup" && u.EmailConfirmedAt != nil {
			return nil
		}
		if err != nil {
			return err
		}
		return s.send(r.Context(), tx, u, kind, r.URL.Query().Get("redirect_to"))
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}

// verification is a mailed code, given back.
type verification struct {
	Type      string `json:"type"`
	Token     string `json:"token"`
	TokenHash string `json:"token_hash"`
	Email     string `json:"email"`
}

// verify exchanges a mailed code for a login.
func (s *Server) verify(w http.ResponseWriter, r *http.Request) error {
	var v verification
	if err := decode(r, &v); err != nil {
		return err
	}
	if v.Type == "" {
		return invalid("Verify requires a verification type")
	}
	if (v.Token == "") == (v.TokenHash == "") {
		return invalid("Verify requires either a token or a token hash")
	}
	if v.Token != "" {
		email, err := address(v.Email)
		if err != nil {
			return invalid("Only an email address or phone number should be provided on verify")
		}
		v.TokenHash = hashCode(email, v.Token)
	} else if v.Email != "" {
		return invalid("Only the token_hash and type should be provided")
	}
	answer, err := s.exchange(r, v)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (s *Server) exchange(r *http.Request, v verification) (answer *tokens, err error) {
	kind := map[string]string{"signup": "confirmation_token", "email": "confirmation_token", "recovery": "recovery_token"}[v.Type]
	if kind == "" {
		return nil, invalid("Invalid email verification type")
	}
	err = s.within(r.Context(), func(tx pgx.Tx) error {
		u, err := s.spend(r.Context(), tx, kind, v.TokenHash)
		if err != nil {
			return err
		}
		answer, err = s.signIn(r, tx, u, byCode)
		return err
	})
	return answer, err
}

// spend takes a code: it is good once, for an hour. Its owner's address is confirmed by it.
func (s *Server) spend(ctx context.Context, tx pgx.Tx, kind, hash string) (*user, error) {
	expired := fail(http.StatusForbidden, "otp_expired", "Token has expired or is invalid")
	var id uuid.UUID
	err := tx.QueryRow(ctx, `delete from auth.one_time_tokens where token_type = $1::auth.one_time_token_type and token_hash = $2 and created_at > $3
		returning user_id`, kind, hash, s.now().Add(-CodeLifetime)).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, expired
	}
	if err != nil {
		return nil, fmt.Errorf("auth: spend a code: %w", err)
	}
	if _, err := tx.Exec(ctx, `update auth.users set recovery_token = case when $2 = 'recovery_token' then '' else recovery_token end where id = $1`, id, kind); err != nil {
		return nil, fmt.Errorf("auth: spend a code: %w", err)
	}
	if err := s.confirm(ctx, tx, id); err != nil {
		return nil, err
	}
	u, err := userByID(ctx, tx, id)
	if err == nil && u.banned(s.now()) {
		return nil, fail(http.StatusForbidden, "user_banned", "User is banned")
	}
	return u, err
}

// follow is the link in a mail: it leads back to the site with the tokens, or an error, in the fragment.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if q.Get("type") == "" {
		return invalid("Verify requires a verification type")
	}
	if q.Get("token") == "" {
		return invalid("Verify requires a token or a token hash")
	}
	fragment := url.Values{}
	answer, err := s.exchange(r, verification{Type: q.Get("type"), TokenHash: q.Get("token")})
	var refusal *Error
	switch {
	case errors.As(err, &refusal) && refusal.Status < http.StatusInternalServerError:
		fragment.Set("error", "access_denied")
		fragment.Set("error_code", refusal.Code)
		fragment.Set("error_description", "Email link is invalid or has expired")
	case err != nil:
		return err
	default:
		fragment.Set("access_token", answer.AccessToken)
		fragment.Set("expires_at", strconv.FormatInt(answer.ExpiresAt, 10))
		fragment.Set("expires_in", strconv.Itoa(answer.ExpiresIn))
		fragment.Set("refresh_token", answer.RefreshToken)
		fragment.Set("token_type", answer.TokenType)
		fragment.Set("type", q.Get("type"))
	}
	w.Header().Set("Location", s.redirect(q.Get("redirect_to"))+"#"+fragment.Encode())
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
