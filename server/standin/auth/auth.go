// Package auth is the slice of Supabase Auth that Vigil's people use: passwords, refresh tokens, recovery by mail, TOTP,
// the admin's users, and the access-token hook.
//
// Guarantees: it keeps everything in schema auth, in the tables and columns of Supabase Auth, as supabase_auth_admin;
// tokens are ES256 with Auth's claims and can be checked with the JWKS; a login is a row of auth.sessions, and ending it
// deletes the row; refresh tokens rotate, and one that is used again after ten seconds ends its family. Refusals have
// Auth's own statuses, codes and messages.
//
// Not: mail that leaves the machine, PKCE, OAuth, phones, SSO, anonymous users, invitations (DIFFERENCES.md). A route of
// Auth's that is not here answers 501 and says so.
package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"vigil/server/internal/logkey"
)

// What hosted Supabase sets unless a project changes it.
const (
	TokenLifetime     = time.Hour
	ReuseInterval     = 10 * time.Second // a refresh token may be used twice within it
	MailInterval      = time.Minute      // between two mails of one kind to one person
	CodeLifetime      = time.Hour        // of a mailed code
	ChallengeLifetime = 5 * time.Minute  // of a second factor's challenge
	PasswordMinLength = 6
	PasswordMaxBytes  = 72 // bcrypt reads no further
	MaxFactors        = 10
	MaxBodyBytes      = 1 << 20
)

const audience = "authenticated"

// Config says whose people these are.
type Config struct {
	// DatabaseURL connects as supabase_auth_admin.
	DatabaseURL string
	// URL is the project's, without a path; tokens name URL/auth/v1 as their issuer.
	URL string
	// Key signs tokens.
	Key Key
	// Hook is the access-token hook, "schema.function"; empty: none.
	Hook string
	// Autoconfirm lets people in without confirming their address ([auth.email] enable_confirmations = false).
	Autoconfirm bool
	// NoSignup refuses sign-ups ([auth] enable_signup = false).
	NoSignup bool
	// SiteURL is where links in mail lead. Empty: http://127.0.0.1:3000.
	SiteURL string
	// RedirectURLs are other places that links may lead to.
	RedirectURLs []string
	// HashCost is bcrypt's. Zero: 10, as Auth's.
	HashCost int
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Server answers requests whose path starts after /auth/v1. It may be called at once by many.
type Server struct {
	config Config
	pool   *pgxpool.Pool
	mux    *http.ServeMux
	outbox outbox
}

// New makes a server; it connects at the first request. Close ends its connections.
func New(c Config) (*Server, error) {
	if c.Key.IsZero() {
		return nil, errors.New("auth: a signing key is needed")
	}
	if c.SiteURL == "" {
		c.SiteURL = "http://127.0.0.1:3000"
	}
	if c.HashCost == 0 {
		c.HashCost = 10
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	pool, err := pgxpool.New(context.Background(), c.DatabaseURL)
	if err != nil {
		return nil, errors.New("auth: the database's URL cannot be read")
	}
	s := &Server{config: c, pool: pool, mux: http.NewServeMux()}
	s.route()
	return s, nil
}

// Close waits for the requests in flight and ends the connections.
func (s *Server) Close() { s.pool.Close() }

// Ping says whether the database can be reached.
func (s *Server) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }

func (s *Server) route() {
	s.mux.Handle("GET /.well-known/jwks.json", s.handle(func(w http.ResponseWriter, _ *http.Request) error {
		set, err := s.config.Key.JWKS()
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=600")
		_, _ = w.Write(set)
		return nil
	}))
	for pattern, h := range map[string]handler{
		"GET /health":         s.health,
		"GET /settings":       s.settings,
		"POST /signup":        s.signup,
		"POST /token":         s.token,
		"POST /recover":       s.recover,
		"POST /resend":        s.resend,
		"POST /verify":        s.verify,
		"GET /verify":         s.follow,
		"GET /user":           s.readAccount,
		"PUT /user":           s.changeAccount,
		"POST /logout":        s.logout,
		"POST /factors":       s.enroll,
		"GET /reauthenticate": s.reauthenticate,

		"POST /factors/{factor}/challenge": s.challenge,
		"POST /factors/{factor}/verify":    s.prove,
		"DELETE /factors/{factor}":         s.unenroll,

		"GET /admin/users":                            s.admin(s.listUsers),
		"POST /admin/users":                           s.admin(s.createUser),
		"GET /admin/users/{user}":                     s.admin(s.getUser),
		"PUT /admin/users/{user}":                     s.admin(s.updateUser),
		"DELETE /admin/users/{user}":                  s.admin(s.deleteUser),
		"GET /admin/users/{user}/factors":             s.admin(s.listFactors),
		"DELETE /admin/users/{user}/factors/{factor}": s.admin(s.deleteFactor),
	} {
		s.mux.Handle(pattern, s.handle(h))
	}
	s.mux.Handle("/", s.handle(func(http.ResponseWriter, *http.Request) error {
		return fail(http.StatusNotImplemented, "not_in_standin", "The stand-in has no such route; see server/standin/DIFFERENCES.md")
	}))
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

type handler func(http.ResponseWriter, *http.Request) error

func (s *Server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		var known *Error
		if !errors.As(err, &known) {
			s.config.Log.WarnContext(r.Context(), "auth request failed", logkey.Path, r.Pattern, logkey.Error, err)
			known = unexpected("Unexpected failure, please check server logs for more information")
		}
		known.write(w, r)
	})
}

func (s *Server) now() time.Time { return s.config.Now().UTC() }

// within runs do in one transaction.
func (s *Server) within(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, do)
}

// decode reads a JSON body into value.
func decode(r *http.Request, value any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBodyBytes))
	if err != nil {
		return fail(http.StatusBadRequest, "bad_json", "Could not read body")
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fail(http.StatusBadRequest, "bad_json", "Could not parse request body as JSON: %v", err)
	}
	return nil
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) error {
	if err := s.Ping(r.Context()); err != nil {
		return fmt.Errorf("auth: reach the database: %w", err)
	}
	writeJSON(w, http.StatusOK, map[string]string{
		"version": "standin", "name": "GoTrue", "description": "Vigil's stand-in for Supabase Auth: for development and tests only",
	})
	return nil
}

func (s *Server) settings(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]any{
		"external":       map[string]bool{"email": true, "phone": false, "anonymous_users": false},
		"disable_signup": s.config.NoSignup, "mailer_autoconfirm": s.config.Autoconfirm, "phone_autoconfirm": false,
		"sms_provider": "", "saml_enabled": false,
	})
	return nil
}
