package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// tokens is what a sign-in answers.
type tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	ExpiresAt    int64  `json:"expires_at"`
	RefreshToken string `json:"refresh_token"`
	User         *user  `json:"user"`
}

// method is one way in which a login was proven.
type method struct {
	Name string `json:"method"`
	At   int64  `json:"timestamp"`
}

// Names of methods, and of what else may make a token.
const (
	byPassword = "password"
	byCode     = "otp"
	byTOTP     = "totp"
	byRefresh  = "token_refresh"
)

// signIn makes a login: a session, its first refresh token, and its tokens.
func (s *Server) signIn(r *http.Request, tx pgx.Tx, u *user, by string) (*tokens, error) {
	ctx, now, id := r.Context(), s.now(), uuid.New()
	if _, err := tx.Exec(ctx, `insert into auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip)
		values ($1, $2, $3, $3, 'aal1', nullif($4, ''), $5::text::inet)`, id, u.ID, now, r.UserAgent(), remote(r)); err != nil {
		return nil, fmt.Errorf("auth: write a login: %w", err)
	}
	refresh, err := s.newRefreshToken(ctx, tx, u.ID, id, nil)
	if err != nil {
		return nil, err
	}
	if err := s.noteProof(ctx, tx, id, by); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `update auth.users set last_sign_in_at = $2, updated_at = $2 where id = $1`, u.ID, now); err != nil {
		return nil, fmt.Errorf("auth: note a sign-in: %w", err)
	}
	if _, err := tx.Exec(ctx, `update auth.identities set last_sign_in_at = $2 where user_id = $1 and provider = 'email'`, u.ID, now); err != nil {
		return nil, fmt.Errorf("auth: note a sign-in: %w", err)
	}
	return s.issue(ctx, tx, u.ID, id, refresh, by)
}

// issue signs an access token for a login and puts the answer together.
func (s *Server) issue(ctx context.Context, tx pgx.Tx, person, login uuid.UUID, refresh, by string) (*tokens, error) {
	u, err := userByID(ctx, tx, person)
	if err != nil {
		return nil, err
	}
	aal, methods, err := assurance(ctx, tx, login)
	if err != nil {
		return nil, err
	}
	issued := s.now().Truncate(time.Second)
	expires := issued.Add(TokenLifetime)
	claims := jwt.MapClaims{
		"iss": s.config.URL + "/auth/v1", "sub": u.ID.String(), "aud": u.Audience, "iat": issued.Unix(), "exp": expires.Unix(),
		"email": u.Email, "phone": u.Phone, "app_metadata": u.AppMetadata, "user_metadata": u.UserMetadata, "role": u.Role,
		"aal": aal, "amr": methods, "session_id": login.String(), "is_anonymous": u.IsAnonymous,
	}
	if s.config.Hook != "" {
		if claims, err = s.hook(ctx, tx, u.ID, claims, by); err != nil {
			return nil, err
		}
	}
	signed, err := s.config.Key.Sign(claims)
	if err != nil {
		return nil, err
	}
	return &tokens{
		AccessToken: signed, TokenType: "bearer", ExpiresIn: int(TokenLifetime / time.Second), ExpiresAt: expires.Unix(),
		RefreshToken: refresh, User: u,
	}, nil
}

// noteProof notes how a login was proven.
func (s *Server) noteProof(ctx context.Context, tx pgx.Tx, login uuid.UUID, by string) error {
	_, err := tx.Exec(ctx, `insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)
		values ($1, $2, $3, $3, $4)
		on conflict on constraint mfa_amr_claims_session_id_authentication_method_pkey do update set updated_at = excluded.updated_at`,
		uuid.New(), login, s.now(), by)
	if err != nil {
		return fmt.Errorf("auth: note a proof: %w", err)
	}
	return nil
}

// assurance is how far a login is proven: aal2 with a second factor, and the methods, the latest first.
func assurance(ctx context.Context, tx pgx.Tx, login uuid.UUID) (string, []method, error) {
	rows, err := tx.Query(ctx, `select authentication_method, extract(epoch from updated_at)::bigint from auth.mfa_amr_claims
		where session_id = $1`, login)
	if err != nil {
		return "", nil, fmt.Errorf("auth: read proofs: %w", err)
	}
	methods, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m method, err error) {
		return m, row.Scan(&m.Name, &m.At)
	})
	if err != nil {
		return "", nil, fmt.Errorf("auth: read proofs: %w", err)
	}
	slices.SortStableFunc(methods, func(a, b method) int { return cmp.Compare(b.At, a.At) })
	aal := "aal1"
	if slices.ContainsFunc(methods, func(m method) bool { return m.Name == byTOTP }) {
		aal = "aal2"
	}
	return aal, methods, nil
}

// refreshTokenBytes make twelve characters, as Auth's.
const refreshTokenBytes = 7

func (s *Server) newRefreshToken(ctx context.Context, tx pgx.Tx, person, login uuid.UUID, parent *string) (string, error) {
	raw := make([]byte, refreshTokenBytes+1)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("auth: make a refresh token: %w", err)
	}
	token := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw))[:12]
	_, err := tx.Exec(ctx, `insert into auth.refresh_tokens (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
		values ($1, $2, $3, false, $4, $4, $5, $6)`, uuid.Nil, token, person.String(), s.now(), parent, login)
	if err != nil {
		return "", fmt.Errorf("auth: write a refresh token: %w", err)
	}
	return token, nil
}

// caller is who a bearer token names: a live user and a live login.
type caller struct {
	user  *user
	login uuid.UUID
	aal   string
	role  string
}

func bearer(r *http.Request) (string, error) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", fail(http.StatusUnauthorized, "no_authorization", "This endpoint requires a valid Bearer token")
	}
	return token, nil
}

// claims reads the bearer token of a request.
func (s *Server) claims(r *http.Request) (jwt.MapClaims, error) {
	token, err := bearer(r)
	if err != nil {
		return nil, err
	}
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithTimeFunc(s.config.Now))
	if _, err := parser.ParseWithClaims(token, claims, s.config.Key.Keyfunc); err != nil {
		return nil, fail(http.StatusForbidden, "bad_jwt", "invalid JWT: unable to parse or verify signature, %v", err)
	}
	return claims, nil
}

// authenticate reads who asks. Unlike the REST API it looks at the login's row, so a token ends with its login here.
func (s *Server) authenticate(r *http.Request, tx pgx.Tx) (*caller, error) {
	claims, err := s.claims(r)
	if err != nil {
		return nil, err
	}
	subject, _ := claims["sub"].(string)
	if subject == "" {
		return nil, fail(http.StatusForbidden, "bad_jwt", "invalid claim: missing sub claim")
	}
	id, err := uuid.Parse(subject)
	if err != nil {
		return nil, fail(http.StatusBadRequest, "bad_jwt", "invalid claim: sub claim must be a UUID")
	}
	u, err := userByID(r.Context(), tx, id)
	if errors.Is(err, errNoUser) {
		return nil, fail(http.StatusForbidden, "user_not_found", "User from sub claim in JWT does not exist")
	}
	if err != nil {
		return nil, err
	}
	c := &caller{user: u}
	c.role, _ = claims["role"].(string)
	session, _ := claims["session_id"].(string)
	if c.login, err = uuid.Parse(session); err != nil {
		return nil, fail(http.StatusForbidden, "bad_jwt", "invalid claim: session_id claim must be a UUID")
	}
	err = tx.QueryRow(r.Context(), `select coalesce(aal::text, 'aal1') from auth.sessions where id = $1 and user_id = $2`, c.login, u.ID).Scan(&c.aal)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fail(http.StatusForbidden, "session_not_found", "Session from session_id claim in JWT does not exist")
	}
	if err != nil {
		return nil, fmt.Errorf("auth: read a login: %w", err)
	}
	return c, nil
}

// remote is the caller's address, or null.
func remote(r *http.Request) *string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || net.ParseIP(host) == nil {
		return nil
	}
	return &host
}
