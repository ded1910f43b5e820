package auth

import (
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// credentials are what a person signs up or in with.
type credentials struct {
	Email         string         `json:"email"`
	Phone         string         `json:"phone"`
	Password      string         `json:"password"`
	Data          map[string]any `json:"data"`
	CodeChallenge string         `json:"code_challenge"`
}

// noPKCE refuses what the stand-in cannot do rather than answer with a token that PKCE would keep back.
func noPKCE(challenge string) error {
	if challenge == "" {
		return nil
	}
	return fail(http.StatusNotImplemented, "not_in_standin", "The stand-in has no PKCE: pass { auth: { flowType: 'implicit' } }")
}

func (c *credentials) check() (err error) {
	switch {
	case c.Email == "" && c.Phone == "":
		return fail(http.StatusUnprocessableEntity, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
	case c.Password == "":
		return invalid("Signup requires a valid password")
	case c.Email != "" && c.Phone != "":
		return invalid("Only an email address or phone number should be provided on signup.")
	case c.Phone != "":
		return fail(http.StatusBadRequest, "phone_provider_disabled", "Phone signups are disabled")
	}
	if err := strong(c.Password); err != nil {
		return err
	}
	if c.Email, err = address(c.Email); err != nil {
		return err
	}
	return noPKCE(c.CodeChallenge)
}

// signup makes a user. Unless addresses confirm themselves, the answer is the user, a code is mailed, and an address that
// is taken gets the same answer as one that is not.
func (s *Server) signup(w http.ResponseWriter, r *http.Request) error {
	if s.config.NoSignup {
		return fail(http.StatusUnprocessableEntity, "signup_disabled", "Signups not allowed for this instance")
	}
	var c credentials
	if err := decode(r, &c); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	var answer any
	err := s.within(r.Context(), func(tx pgx.Tx) (err error) {
		answer, err = s.signupOne(r, tx, c)
		return err
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (s *Server) signupOne(r *http.Request, tx pgx.Tx, c credentials) (any, error) {
	ctx := r.Context()
	u, err := userByEmail(ctx, tx, c.Email)
	switch {
	case errors.Is(err, errNoUser):
		personal := map[string]any{}
		u, err = s.create(ctx, tx, newcomer{
			id: uuid.New(), email: c.Email, password: c.Password, confirmed: s.config.Autoconfirm, userMetadata: c.Data,
		})
		if err != nil {
			return nil, err
		}
		maps.Copy(personal, u.Identities[0].Data)
		maps.Copy(personal, c.Data)
		if _, err := tx.Exec(ctx, `update auth.users set raw_user_meta_data = $2 where id = $1`, u.ID, personal); err != nil {
			return nil, fmt.Errorf("auth: write metadata: %w", err)
		}
	case err != nil:
		return nil, err
	case u.EmailConfirmedAt != nil && s.config.Autoconfirm:
		return nil, fail(http.StatusUnprocessableEntity, "user_already_exists", "User already registered")
	case u.EmailConfirmedAt != nil:
		return s.disguised(c), nil
	}
	if s.config.Autoconfirm {
		if err := s.confirm(ctx, tx, u.ID); err != nil {
			return nil, err
		}
		return s.signIn(r, tx, u, byPassword)
	}
	if err := s.send(ctx, tx, u, mailConfirmation, ""); err != nil {
		return nil, err
	}
	return userByID(ctx, tx, u.ID)
}

// disguised is what an address that is taken is answered: a user that is nobody, as Auth does.
func (s *Server) disguised(c credentials) *user {
	now := s.now()
	data := c.Data
	if data == nil {
		data = map[string]any{}
	}
	return &user{
		ID: uuid.New(), Audience: audience, Role: "", Email: c.Email, ConfirmationSentAt: &now, CreatedAt: now, UpdatedAt: now,
		AppMetadata:  map[string]any{"provider": "email", "providers": []string{"email"}},
		UserMetadata: data, Identities: []identity{},
	}
}
