package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// asCaller runs do for the person that a request's token names.
func (s *Server) asCaller(r *http.Request, do func(pgx.Tx, *caller) error) error {
	return s.within(r.Context(), func(tx pgx.Tx) error {
		c, err := s.authenticate(r, tx)
		if err != nil {
			return err
		}
		return do(tx, c)
	})
}

func (s *Server) readAccount(w http.ResponseWriter, r *http.Request) error {
	var u *user
	if err := s.asCaller(r, func(_ pgx.Tx, c *caller) error {
		u = c.user
		return nil
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, u)
	return nil
}

// accountChange is what a person may change of their own account.
type accountChange struct {
	Email         string         `json:"email"`
	Phone         string         `json:"phone"`
	Password      *string        `json:"password"`
	Data          map[string]any `json:"data"`
	AppMetadata   map[string]any `json:"app_metadata"`
	CodeChallenge string         `json:"code_challenge"`
}

func (s *Server) changeAccount(w http.ResponseWriter, r *http.Request) error {
	var change accountChange
	if err := decode(r, &change); err != nil {
		return err
	}
	var u *user
	if err := s.asCaller(r, func(tx pgx.Tx, c *caller) (err error) {
		if err := s.allowed(c, change); err != nil {
			return err
		}
		if change.Password != nil {
			if err := s.setPassword(r.Context(), tx, c.user, *change.Password, c.login); err != nil {
				return err
			}
		}
		if change.Data != nil {
			if err := s.merge(r.Context(), tx, c.user.ID, "raw_user_meta_data", change.Data); err != nil {
				return err
			}
		}
		u, err = userByID(r.Context(), tx, c.user.ID)
		return err
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, u)
	return nil
}

func (s *Server) allowed(c *caller, change accountChange) error {
	password := change.Password != nil && *change.Password != ""
	email := change.Email != "" && change.Email != c.user.Email
	if change.Password != nil {
		if err := strong(*change.Password); err != nil {
			return err
		}
	}
	switch {
	case change.AppMetadata != nil:
		return fail(http.StatusForbidden, "not_admin", "Updating app_metadata requires admin privileges")
	case c.user.verifiedFactors() > 0 && c.aal != "aal2" && (password || email):
		return fail(http.StatusUnauthorized, "insufficient_aal", "AAL2 session is required to update email or password when MFA is enabled.")
	case password && c.user.knows(*change.Password):
		return fail(http.StatusUnprocessableEntity, "same_password", "New password should be different from the old password.")
	case email:
		return fail(http.StatusNotImplemented, "not_in_standin", "The stand-in cannot change an address by mail: use the admin API")
	case change.Phone != "":
		return fail(http.StatusNotImplemented, "not_in_standin", "The stand-in has no phones")
	}
	return noPKCE(change.CodeChallenge)
}

// setPassword ends every other login of the person, and every code that was mailed. A nil login is nobody's.
func (s *Server) setPassword(ctx context.Context, tx pgx.Tx, u *user, password string, login uuid.UUID) error {
	hash, err := s.hash(password)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update auth.users set encrypted_password = $2, updated_at = $3, recovery_token = '', confirmation_token = ''
		where id = $1`, u.ID, hash, s.now()); err != nil {
		return fmt.Errorf("auth: write a password: %w", err)
	}
	if _, err := tx.Exec(ctx, `delete from auth.one_time_tokens where user_id = $1`, u.ID); err != nil {
		return fmt.Errorf("auth: end codes: %w", err)
	}
	if _, err := tx.Exec(ctx, `delete from auth.sessions where user_id = $1 and id <> $2`, u.ID, login); err != nil {
		return fmt.Errorf("auth: end logins: %w", err)
	}
	return nil
}

// merge changes some keys of a person's metadata; null removes one. column is ours, never a caller's.
func (s *Server) merge(ctx context.Context, tx pgx.Tx, id uuid.UUID, column string, change map[string]any) error {
	_, err := tx.Exec(ctx, `update auth.users set updated_at = $3, `+column+` = (select coalesce(jsonb_object_agg(key, value), '{}')
		from jsonb_each(coalesce(`+column+`, '{}') || $2::jsonb) where value <> 'null') where id = $1`, id, change, s.now())
	if err != nil {
		return fmt.Errorf("auth: write metadata: %w", err)
	}
	return nil
}

// logout ends logins by deleting their rows: global all of the person's, local this one, others all but this one.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	statement := map[string]string{
		"":       `delete from auth.sessions where user_id = $1 and $2::uuid is not null`,
		"global": `delete from auth.sessions where user_id = $1 and $2::uuid is not null`,
		"local":  `delete from auth.sessions where user_id = $1 and id = $2`,
		"others": `delete from auth.sessions where user_id = $1 and id <> $2`,
	}
	scope := r.URL.Query().Get("scope")
	if statement[scope] == "" {
		return invalid("Unsupported logout scope %q", scope)
	}
	if err := s.asCaller(r, func(tx pgx.Tx, c *caller) error {
		if _, err := tx.Exec(r.Context(), statement[scope], c.user.ID, c.login); err != nil {
			return fmt.Errorf("auth: end logins: %w", err)
		}
		return nil
	}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) reauthenticate(http.ResponseWriter, *http.Request) error {
	return fail(http.StatusNotImplemented, "not_in_standin", "The stand-in asks for no reauthentication")
}

// isNotFound is true of the error for a user that is not there.
func isNotFound(err error) bool { return errors.Is(err, errNoUser) }
