package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"
)

// user is a row of auth.users with its identities and factors, as Auth writes it in JSON.
type user struct {
	ID                 uuid.UUID      `json:"id"`
	Audience           string         `json:"aud"`
	Role               string         `json:"role"`
	Email              string         `json:"email"`
	EmailConfirmedAt   *time.Time     `json:"email_confirmed_at,omitempty"`
	InvitedAt          *time.Time     `json:"invited_at,omitempty"`
	Phone              string         `json:"phone"`
	ConfirmationSentAt *time.Time     `json:"confirmation_sent_at,omitempty"`
	ConfirmedAt        *time.Time     `json:"confirmed_at,omitempty"`
	RecoverySentAt     *time.Time     `json:"recovery_sent_at,omitempty"`
	LastSignInAt       *time.Time     `json:"last_sign_in_at,omitempty"`
	AppMetadata        map[string]any `json:"app_metadata"`
	UserMetadata       map[string]any `json:"user_metadata"`
	Factors            []factor       `json:"factors,omitempty"`
	Identities         []identity     `json:"identities"`
	CreatedAt          time.Time      `json:"created_at"`
	UpdatedAt          time.Time      `json:"updated_at"`
	BannedUntil        *time.Time     `json:"banned_until,omitempty"`
	DeletedAt          *time.Time     `json:"deleted_at,omitempty"`
	IsAnonymous        bool           `json:"is_anonymous"`

	encryptedPassword string
}

type identity struct {
	ID           uuid.UUID      `json:"identity_id"`
	ProviderID   string         `json:"id"`
	UserID       uuid.UUID      `json:"user_id"`
	Data         map[string]any `json:"identity_data,omitempty"`
	Provider     string         `json:"provider"`
	LastSignInAt *time.Time     `json:"last_sign_in_at,omitempty"`
	CreatedAt    time.Time      `json:"created_at"`
	UpdatedAt    time.Time      `json:"updated_at"`
	Email        string         `json:"email,omitempty"`
}

const selectUser = `select id, coalesce(aud, ''), coalesce(role, ''), coalesce(email, ''), coalesce(encrypted_password, ''),
  email_confirmed_at, invited_at, coalesce(phone, ''), confirmation_sent_at, confirmed_at, recovery_sent_at, last_sign_in_at,
  coalesce(raw_app_meta_data, '{}'), coalesce(raw_user_meta_data, '{}'), created_at, updated_at, banned_until, deleted_at,
  is_anonymous from auth.users where `

// errNoUser is returned by the finders.
var errNoUser = errors.New("auth: no such user")

func findUser(ctx context.Context, tx pgx.Tx, where string, arguments ...any) (*user, error) {
	var u user
	err := tx.QueryRow(ctx, selectUser+where, arguments...).Scan(
		&u.ID, &u.Audience, &u.Role, &u.Email, &u.encryptedPassword, &u.EmailConfirmedAt, &u.InvitedAt, &u.Phone,
		&u.ConfirmationSentAt, &u.ConfirmedAt, &u.RecoverySentAt, &u.LastSignInAt, &u.AppMetadata, &u.UserMetadata,
		&u.CreatedAt, &u.UpdatedAt, &u.BannedUntil, &u.DeletedAt, &u.IsAnonymous)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoUser
	}
	if err != nil {
		return nil, fmt.Errorf("auth: read a user: %w", err)
	}
	if u.Identities, err = readIdentities(ctx, tx, u.ID); err != nil {
		return nil, err
	}
	u.Factors, err = readFactors(ctx, tx, u.ID)
	return &u, err
}

func userByID(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*user, error) {
	return findUser(ctx, tx, "id = $1", id)
}

func userByEmail(ctx context.Context, tx pgx.Tx, email string) (*user, error) {
	return findUser(ctx, tx, "email = $1 and aud = $2 and is_sso_user = false", strings.ToLower(email), audience)
}

func readIdentities(ctx context.Context, tx pgx.Tx, id uuid.UUID) ([]identity, error) {
	rows, err := tx.Query(ctx, `select id, provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at,
		coalesce(email, '') from auth.identities where user_id = $1 order by created_at`, id)
	if err != nil {
		return nil, fmt.Errorf("auth: read identities: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (i identity, err error) {
		err = row.Scan(&i.ID, &i.ProviderID, &i.UserID, &i.Data, &i.Provider, &i.LastSignInAt, &i.CreatedAt, &i.UpdatedAt, &i.Email)
		return i, err
	})
	if err != nil {
		return nil, fmt.Errorf("auth: read identities: %w", err)
	}
	if found == nil {
		found = []identity{}
	}
	return found, nil
}

// newcomer is what a sign-up or an admin says of a new user.
type newcomer struct {
	id                        uuid.UUID
	email, password           string
	confirmed                 bool
	role                      string
	appMetadata, userMetadata map[string]any
}

// create writes a user with an e-mail identity.
func (s *Server) create(ctx context.Context, tx pgx.Tx, n newcomer) (*user, error) {
	hash, err := s.hash(n.password)
	if err != nil {
		return nil, err
	}
	now := s.now()
	if n.id == uuid.Nil {
		n.id = uuid.New()
	}
	if n.role == "" {
		n.role = "authenticated"
	}
	app := map[string]any{"provider": "email", "providers": []string{"email"}}
	maps.Copy(app, n.appMetadata)
	data := map[string]any{"sub": n.id.String(), "email": n.email, "email_verified": n.confirmed, "phone_verified": false}
	personal := map[string]any{}
	if n.confirmed {
		personal["email_verified"] = true
	}
	maps.Copy(personal, n.userMetadata)
	var confirmedAt *time.Time
	if n.confirmed {
		confirmedAt = &now
	}
	_, err = tx.Exec(ctx, `insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
		raw_app_meta_data, raw_user_meta_data, created_at, updated_at, confirmation_token, recovery_token, email_change,
		email_change_token_new) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, '', '', '', '')`,
		uuid.Nil, n.id, audience, n.role, n.email, hash, confirmedAt, app, personal, now)
	if err != nil {
		return nil, fmt.Errorf("auth: write a user: %w", err)
	}
	_, err = tx.Exec(ctx, `insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at,
		updated_at) values ($1, $2, $3, 'email', $4, $4, $4)`, n.id.String(), n.id, data, now)
	if err != nil {
		return nil, fmt.Errorf("auth: write an identity: %w", err)
	}
	return userByID(ctx, tx, n.id)
}

// confirm marks a person's address as theirs.
func (s *Server) confirm(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	if _, err := tx.Exec(ctx, `update auth.users set email_confirmed_at = coalesce(email_confirmed_at, $2), confirmation_token = '',
		raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || '{"email_verified": true}', updated_at = $2 where id = $1`, id, s.now()); err != nil {
		return fmt.Errorf("auth: confirm a user: %w", err)
	}
	if _, err := tx.Exec(ctx, `update auth.identities set identity_data = identity_data || '{"email_verified": true}', updated_at = $2
		where user_id = $1 and provider = 'email'`, id, s.now()); err != nil {
		return fmt.Errorf("auth: confirm an identity: %w", err)
	}
	return clearTokens(ctx, tx, id, "confirmation_token")
}

func (s *Server) hash(password string) (string, error) {
	if password == "" {
		return "", nil
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), s.config.HashCost)
	if err != nil {
		return "", fmt.Errorf("auth: hash a password: %w", err)
	}
	return string(hash), nil
}

func (u *user) knows(password string) bool {
	return u.encryptedPassword != "" && bcrypt.CompareHashAndPassword([]byte(u.encryptedPassword), []byte(password)) == nil
}

func (u *user) banned(now time.Time) bool { return u.BannedUntil != nil && u.BannedUntil.After(now) }

// strong refuses a password that hosted Supabase refuses by default.
func strong(password string) error {
	if len(password) > PasswordMaxBytes {
		return invalid("Password cannot be longer than %d characters", PasswordMaxBytes)
	}
	if len(password) < PasswordMinLength {
		e := fail(422, "weak_password", "Password should be at least %d characters.", PasswordMinLength)
		e.Reasons = []string{"length"}
		return e
	}
	return nil
}

// address checks an e-mail address and lowers it.
func address(email string) (string, error) {
	if email == "" {
		return "", invalid("An email address is required")
	}
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email || len(email) > 255 {
		return "", invalid("Unable to validate email address: invalid format")
	}
	return strings.ToLower(email), nil
}
