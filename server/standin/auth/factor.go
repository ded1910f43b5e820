package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// factor is a row of auth.mfa_factors.
type factor struct {
	ID               uuid.UUID  `json:"id"`
	CreatedAt        time.Time  `json:"created_at"`
	UpdatedAt        time.Time  `json:"updated_at"`
	Status           string     `json:"status"`
	FriendlyName     string     `json:"friendly_name,omitempty"`
	FactorType       string     `json:"factor_type"`
	LastChallengedAt *time.Time `json:"last_challenged_at,omitempty"`

	secret string
}

func readFactors(ctx context.Context, tx pgx.Tx, person uuid.UUID) ([]factor, error) {
	rows, err := tx.Query(ctx, `select id, created_at, updated_at, status::text, coalesce(friendly_name, ''), factor_type::text,
		last_challenged_at, coalesce(secret, '') from auth.mfa_factors where user_id = $1 order by created_at`, person)
	if err != nil {
		return nil, fmt.Errorf("auth: read factors: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f factor, err error) {
		return f, row.Scan(&f.ID, &f.CreatedAt, &f.UpdatedAt, &f.Status, &f.FriendlyName, &f.FactorType, &f.LastChallengedAt, &f.secret)
	})
	if err != nil {
		return nil, fmt.Errorf("auth: read factors: %w", err)
	}
	return found, nil
}

func (u *user) verifiedFactors() int {
	n := 0
	for _, f := range u.Factors {
		if f.Status == "verified" {
			n++
		}
	}
	return n
}

func (u *user) factor(r *http.Request) (factor, error) {
	id, err := uuid.Parse(r.PathValue("factor"))
	if err != nil {
		return factor{}, fail(http.StatusNotFound, "validation_failed", "factor_id must be an UUID")
	}
	at := slices.IndexFunc(u.Factors, func(f factor) bool { return f.ID == id })
	if at < 0 {
		return factor{}, fail(http.StatusNotFound, "mfa_factor_not_found", "Factor not found")
	}
	return u.Factors[at], nil
}

// enroll gives a person the secret of a new TOTP factor. It counts once it is proven.
func (s *Server) enroll(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Name   string `json:"friendly_name"`
		Type   string `json:"factor_type"`
		Issuer string `json:"issuer"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	switch body.Type {
	case "totp":
	case "phone", "webauthn":
		return fail(http.StatusUnprocessableEntity, "mfa_"+body.Type+"_enroll_not_enabled", "MFA enroll is disabled for %s", body.Type)
	default:
		return invalid("factor_type needs to be totp, phone, or webauthn")
	}
	if body.Issuer == "" {
		if site, err := url.Parse(s.config.SiteURL); err == nil {
			body.Issuer = site.Host
		}
	}
	var answer map[string]any
	if err := s.asCaller(r, func(tx pgx.Tx, c *caller) error {
		if err := enrollable(c, body.Name); err != nil {
			return err
		}
		key, err := totp.Generate(totp.GenerateOpts{Issuer: body.Issuer, AccountName: c.user.Email})
		if err != nil {
			return unexpected("Error generating QR Code")
		}
		id := uuid.New()
		if _, err := tx.Exec(r.Context(), `insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret)
			values ($1, $2, $3, 'totp', 'unverified', $4, $4, $5)`, id, c.user.ID, body.Name, s.now(), key.Secret()); err != nil {
			return fmt.Errorf("auth: write a factor: %w", err)
		}
		answer = map[string]any{
			"id": id, "type": "totp", "friendly_name": body.Name,
			"totp": map[string]string{"qr_code": noPicture, "secret": key.Secret(), "uri": key.URL()},
		}
		return nil
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// noPicture stands where hosted Supabase draws a QR code.
const noPicture = `<svg xmlns="http://www.w3.org/2000/svg" width="200" height="20"><text y="15">stand-in: use the uri</text></svg>`

func enrollable(c *caller, name string) error {
	switch {
	case slices.ContainsFunc(c.user.Factors, func(f factor) bool { return f.FriendlyName == name }):
		return fail(http.StatusUnprocessableEntity, "mfa_factor_name_conflict", "A factor with the friendly name %q for this user already exists", name)
	case len(c.user.Factors) >= MaxFactors:
		return fail(http.StatusUnprocessableEntity, "too_many_enrolled_mfa_factors", "Maximum number of verified factors reached, unenroll to continue")
	case c.user.verifiedFactors() > 0 && c.aal != "aal2":
		return fail(http.StatusForbidden, "insufficient_aal", "AAL2 required to enroll a new factor")
	}
	return nil
}

func (s *Server) challenge(w http.ResponseWriter, r *http.Request) error {
	id := uuid.New()
	if err := s.asCaller(r, func(tx pgx.Tx, c *caller) error {
		f, err := c.user.factor(r)
		if err != nil {
			return err
		}
		address := "127.0.0.1"
		if host := remote(r); host != nil {
			address = *host
		}
		if _, err := tx.Exec(r.Context(), `insert into auth.mfa_challenges (id, factor_id, created_at, ip_address) values ($1, $2, $3, $4::text::inet)`,
			id, f.ID, s.now(), address); err != nil {
			return fmt.Errorf("auth: write a challenge: %w", err)
		}
		if _, err := tx.Exec(r.Context(), `update auth.mfa_factors set last_challenged_at = clock_timestamp() where id = $1`, f.ID); err != nil {
			return fmt.Errorf("auth: note a challenge: %w", err)
		}
		return nil
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": id, "type": "totp", "expires_at": s.now().Add(ChallengeLifetime).Unix()})
	return nil
}

// prove takes a code for a challenge. The login becomes aal2, and the person's logins that are not are ended.
func (s *Server) prove(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Challenge uuid.UUID `json:"challenge_id"`
		Code      string    `json:"code"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	if body.Code == "" {
		return invalid("Code needs to be non-empty")
	}
	var answer *tokens
	if err := s.asCaller(r, func(tx pgx.Tx, c *caller) error {
		f, err := c.user.factor(r)
		if err != nil {
			return err
		}
		if err := s.challenged(r, tx, f, body.Challenge); err != nil {
			return err
		}
		valid, err := totp.ValidateCustom(body.Code, f.secret, s.now(), totp.ValidateOpts{
			Period: 30, Skew: 1, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
		})
		if err != nil || !valid {
			return fail(http.StatusUnprocessableEntity, "mfa_verification_failed", "Invalid TOTP code entered")
		}
		answer, err = s.stepUp(r.Context(), tx, c, f, body.Challenge)
		return err
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (s *Server) challenged(r *http.Request, tx pgx.Tx, f factor, id uuid.UUID) error {
	var created time.Time
	var verified *time.Time
	err := tx.QueryRow(r.Context(), `select created_at, verified_at from auth.mfa_challenges where id = $1 and factor_id = $2 for update`, id, f.ID).Scan(&created, &verified)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fail(http.StatusNotFound, "mfa_factor_not_found", "MFA factor with the provided challenge ID not found")
	case err != nil:
		return fmt.Errorf("auth: read a challenge: %w", err)
	case verified != nil:
		return fail(http.StatusUnprocessableEntity, "mfa_ip_address_mismatch", "Challenge and verify IP addresses mismatch")
	case s.now().After(created.Add(ChallengeLifetime)):
		return fail(http.StatusUnprocessableEntity, "mfa_challenge_expired",
			"MFA challenge %v has expired, verify against another challenge or create a new challenge.", id)
	}
	return nil
}

func (s *Server) stepUp(ctx context.Context, tx pgx.Tx, c *caller, f factor, challenge uuid.UUID) (*tokens, error) {
	for _, step := range []struct {
		statement string
		arguments []any
	}{
		{`update auth.mfa_challenges set verified_at = $2 where id = $1`, []any{challenge, s.now()}},
		{`update auth.mfa_factors set status = 'verified', updated_at = $2 where id = $1 and status <> 'verified'`, []any{f.ID, s.now()}},
		{`update auth.sessions set aal = 'aal2', factor_id = $2, updated_at = $3 where id = $1`, []any{c.login, f.ID, s.now()}},
		{`delete from auth.sessions where user_id = $1 and aal < 'aal2' and id <> $2`, []any{c.user.ID, c.login}},
		{`delete from auth.mfa_factors where user_id = $1 and status = 'unverified' and factor_type = 'totp'`, []any{c.user.ID}},
	} {
		if _, err := tx.Exec(ctx, step.statement, step.arguments...); err != nil {
			return nil, fmt.Errorf("auth: raise a login: %w", err)
		}
	}
	if err := s.noteProof(ctx, tx, c.login, byTOTP); err != nil {
		return nil, err
	}
	old := refreshToken{person: c.user.ID, login: &c.login}
	err := tx.QueryRow(ctx, `select token from auth.refresh_tokens where session_id = $1 and not revoked order by id desc limit 1`, c.login).Scan(&old.token)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fail(http.StatusForbidden, "session_not_found", "Session from session_id claim in JWT does not exist")
	}
	if err != nil {
		return nil, fmt.Errorf("auth: read a refresh token: %w", err)
	}
	next, err := s.swap(ctx, tx, old)
	if err != nil {
		return nil, err
	}
	return s.issue(ctx, tx, c.user.ID, c.login, next, byTOTP)
}

// unenroll removes a factor; the logins that it proved are aal1 again.
func (s *Server) unenroll(w http.ResponseWriter, r *http.Request) error {
	var id uuid.UUID
	if err := s.asCaller(r, func(tx pgx.Tx, c *caller) error {
		f, err := c.user.factor(r)
		if err != nil {
			return err
		}
		if f.Status == "verified" && c.aal != "aal2" {
			return fail(http.StatusUnprocessableEntity, "insufficient_aal", "AAL2 required to unenroll verified factor")
		}
		id = f.ID
		return removeFactor(r.Context(), tx, f.ID)
	}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": id})
	return nil
}

func removeFactor(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	for _, statement := range []string{
		`delete from auth.mfa_amr_claims where authentication_method = 'totp' and session_id in (select id from auth.sessions where factor_id = $1)`,
		`update auth.sessions set aal = 'aal1', factor_id = null where factor_id = $1`,
		`delete from auth.mfa_factors where id = $1`,
	} {
		if _, err := tx.Exec(ctx, statement, id); err != nil {
			return fmt.Errorf("auth: remove a factor: %w", err)
		}
	}
	return nil
}
