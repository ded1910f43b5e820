// Package standin is the slice of hosted Supabase that a laptop without Docker lacks: the platform's own roles and tables
// (Platform), and, behind one address, Auth, the REST API and private Storage as supabase-js calls them, and the project's edge
// functions under a real Deno. For development and tests only.
//
// Guarantee: it is never kinder than the real one. What hosted Supabase refuses is refused here with the same status, code
// and body, for everything that is here at all; what is not here answers 501 and names DIFFERENCES.md, which lists it.
// Every answer bears the header x-vigil-standin.
package standin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vigil/server/internal/logkey"
	"vigil/server/standin/auth"
	"vigil/server/standin/rest"
	"vigil/server/standin/storage"
)

// Header is on every answer, so that nobody takes the stand-in for Supabase.
const Header = "X-Vigil-Standin"

// Config says what to stand in for.
type Config struct {
	// URL is where callers reach the stand-in, without a path: tokens name it as their issuer, so it must stay the same
	// for tokens to stay good.
	URL string
	// AuthDatabaseURL connects as supabase_auth_admin, RestDatabaseURL as authenticator; both to a database that has
	// Platform's SQL.
	AuthDatabaseURL string
	RestDatabaseURL string
	// Keys are the project's. Zero: new ones, good until the process ends. LoadKeys keeps them in a file.
	Keys Keys
	// Hook is the access-token hook, "schema.function", as in [auth.hook.custom_access_token]. Empty: none.
	Hook string
	// Autoconfirm, NoSignup, SiteURL and RedirectURLs are [auth]'s settings; their zero values are hosted Supabase's.
	Autoconfirm  bool
	NoSignup     bool
	SiteURL      string
	RedirectURLs []string
	// Schemas are those the REST API exposes. Empty: public.
	Schemas []string
	// MaxRows bounds a page of the REST API. Zero: 1000.
	MaxRows int64
	// StorageDir keeps the bytes of Storage's objects. Empty: a temporary folder, removed when Run ends.
	StorageDir string
	// HashCost is bcrypt's. Zero: 10. Tests that make many people lower it.
	HashCost int
	// Functions are the edge functions that run. Zero: none, and /functions/v1 answers 501.
	Functions Functions
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Server is an http.Handler for /auth/v1, /rest/v1, /storage/v1 (DIFFERENCES.md says what of it), /functions/v1 (where Config.Functions names some) and /standin. It may be called at once by many.
type Server struct {
	config Config
	auth   *auth.Server
	rest   *rest.Server
	store  *storage.Server
	keys   keyring

	functions *runner
	sink      *sink
}

// New makes a server. It opens no connection; Run says whether the databases answer.
func New(c Config) (*Server, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("standin: Config.URL must be an address without a path, like http://127.0.0.1:54321")
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Keys.Signing.IsZero() {
		if c.Keys, err = NewKeys(); err != nil {
			return nil, err
		}
	}
	people, err := auth.New(auth.Config{
		DatabaseURL: c.AuthDatabaseURL, URL: c.URL, Key: c.Keys.Signing, Hook: c.Hook, Autoconfirm: c.Autoconfirm, NoSignup: c.NoSignup,
		SiteURL: c.SiteURL, RedirectURLs: c.RedirectURLs, HashCost: c.HashCost, Now: c.Now, Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	tables, err := rest.New(rest.Config{
		DatabaseURL: c.RestDatabaseURL, Keyfunc: c.Keys.Signing.Keyfunc, Schemas: c.Schemas, MaxRows: c.MaxRows, Now: c.Now, Log: c.Log,
	})
	if err != nil {
		people.Close()
		return nil, err
	}
	objects, err := storage.New(storage.Config{
		DatabaseURL: c.RestDatabaseURL, Keyfunc: c.Keys.Signing.Keyfunc, Dir: c.StorageDir, Now: c.Now, Log: c.Log,
	})
	if err != nil {
		people.Close()
		tables.Close()
		return nil, err
	}
	return &Server{
		config: c, auth: people, rest: tables, store: objects, keys: keyring{keys: c.Keys, now: c.Now}, functions: newRunner(c),
		sink: &sink{pagerSecret: derived(c.Keys.Secret, "pager"), emailKey: derived(c.Keys.Secret, "email"), now: c.Now},
	}, nil
}

// PublishableKey is the key that a browser gets.
func (s *Server) PublishableKey() string { return s.config.Keys.Publishable }

// SecretKey is the key that only servers get: it passes row-level security.
func (s *Server) SecretKey() string { return s.config.Keys.Secret }

// Mail returns what Auth would have mailed to an address, or to everyone, the newest first.
func (s *Server) Mail(to string) []auth.Mail { return s.auth.Mail(to) }

// Run waits until ctx ends, and then ends the functions and the database connections. It returns at once if the database does not answer.
func (s *Server) Run(ctx context.Context) error {
	defer s.rest.Close()
	defer s.store.Close()
	defer s.auth.Close()
	defer s.functions.close()
	if err := s.auth.Ping(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("standin: reach the database: %w", err)
	}
	s.config.Log.InfoContext(ctx, "stand-in for Supabase started: not the real one", logkey.Address, s.config.URL)
	<-ctx.Done()
	return nil
}

// shutdown bounds how long requests in flight may take to end.
const shutdown = 5 * time.Second

// Serve answers on a listener until ctx ends, with Run.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	// Serve waits for it below, on ended.
	go func() { ended <- server.Serve(listener) }()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ran := make(chan error, 1)
	// Serve waits for it below, on ran.
	go func() { ran <- s.Run(running) }()

	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
	case err = <-ran:
		ran <- nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
	defer cancel()
	if closing := server.Shutdown(bounded); closing != nil {
		err = errors.Join(err, server.Close())
	}
	stop()
	<-ran
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// ServeHTTP implements http.Handler: it is the gateway in front of Auth and the REST API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(Header, "1")
	if cors(w, r) {
		return
	}
	path := r.URL.Path
	switch {
	case path == "/standin/mail":
		writeJSON(w, http.StatusOK, s.Mail(r.URL.Query().Get("to")))
		return
	case path == pagerPath || path == pagesPath || path == emailPath || path == emailsPath:
		s.sink.ServeHTTP(w, r)
		return
	case s.functions.serves(path):
		s.functions.ServeHTTP(w, r)
		return
	case open(r):
		http.StripPrefix("/auth/v1", s.auth).ServeHTTP(w, r)
		return
	}
	if !s.keys.admit(w, r) {
		return
	}
	switch {
	case strings.HasPrefix(path, "/auth/v1/"):
		http.StripPrefix("/auth/v1", s.auth).ServeHTTP(w, r)
	case path == "/rest/v1" || strings.HasPrefix(path, "/rest/v1/"):
		http.StripPrefix("/rest/v1", s.rest).ServeHTTP(w, r)
	case strings.HasPrefix(path, "/storage/v1/object/"):
		http.StripPrefix("/storage/v1", s.store).ServeHTTP(w, r)
	case strings.HasPrefix(path, "/storage/v1"), strings.HasPrefix(path, "/functions/v1"), strings.HasPrefix(path, "/realtime/v1"),
		strings.HasPrefix(path, "/graphql/v1"):
		writeJSON(w, http.StatusNotImplemented, map[string]string{
			"message": "The stand-in has no such service", "hint": "See server/standin/DIFFERENCES.md",
		})
	default:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "requested path is invalid"})
	}
}

// open says which routes of Auth hosted Supabase answers without an API key.
func open(r *http.Request) bool {
	switch r.URL.Path {
	case "/auth/v1/.well-known/jwks.json":
		return true
	case "/auth/v1/verify":
		return r.Method == http.MethodGet
	}
	return false
}

// cors allows every origin, as hosted Supabase does, and answers preflights.
func cors(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers",
		"Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, Range-Unit, X-Total-Count, Link, "+
			"X-Supabase-Api-Version, "+Header)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	w.Header().Set("Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		w.Header().Set("Access-Control-Allow-Headers", asked)
	}
	w.Header().Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusOK)
	return true
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"message":"Internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
