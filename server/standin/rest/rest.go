// Package rest is the slice of PostgREST that Supabase's clients use: tables and views, functions, filters, paging and
// counting, single rows, upserts, and PostgREST's own statuses and error bodies.
//
// Guarantees: it connects as authenticator, and each request is one transaction in which the role and the claims of its
// token are set first, so that Postgres alone decides what is seen and done. A name in SQL is quoted, a value is a
// parameter. It never retries, and answers an error in the database with what PostgREST would answer.
//
// Not: other tables' rows in one select, CSV, PUT, OpenAPI and aggregates; each is refused with a code (DIFFERENCES.md).
package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"vigil/server/internal/logkey"
)

const (
	// DefaultMaxRows is the largest page that hosted Supabase gives ([api] max_rows).
	DefaultMaxRows = 1000
	// MaxBodyBytes bounds a request's body.
	MaxBodyBytes = 16 << 20

	roleAnon = "anon"
)

// Config says what to serve.
type Config struct {
	// DatabaseURL connects as authenticator.
	DatabaseURL string
	// Keyfunc gives the key that a token was signed with, and an error for a key or an algorithm that is not ours.
	Keyfunc jwt.Keyfunc
	// Schemas are exposed, the first by default. Empty: public.
	Schemas []string
	// MaxRows bounds a page. Zero: DefaultMaxRows.
	MaxRows int64
	// Now is the clock tokens are judged by. Nil: time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Server answers requests whose path starts after /rest/v1. It may be called at once by many.
type Server struct {
	config Config
	pool   *pgxpool.Pool
}

// New makes a server; it connects at the first request. Close ends its connections.
func New(c Config) (*Server, error) {
	if len(c.Schemas) == 0 {
		c.Schemas = []string{"public"}
	}
	if c.MaxRows == 0 {
		c.MaxRows = DefaultMaxRows
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	pool, err := pgxpool.New(context.Background(), c.DatabaseURL)
	if err != nil {
		return nil, errors.New("rest: the database's URL cannot be read")
	}
	return &Server{config: c, pool: pool}, nil
}

// Close waits for the requests in flight and ends the connections.
func (s *Server) Close() { s.pool.Close() }

// request is one request, read and checked as far as that needs no database.
type request struct {
	http    *http.Request
	schema  string
	target  string // a table's name, or a function's
	rpc     bool
	query   Query
	prefer  preferences
	accept  accept
	body    []byte
	claims  []byte
	role    string
	maxRows int64
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	role := roleAnon
	answer, err := func() (*answer, error) {
		claims, who, err := s.authenticate(r)
		if err != nil {
			return nil, err
		}
		role = who
		q, err := s.read(r)
		if err != nil {
			return nil, err
		}
		q.claims, q.role = claims, role
		return s.answer(r.Context(), q)
	}()
	if err != nil {
		failure := fromPostgres(err, role)
		if failure.Code == "42501" && failure.Hint == nil {
			failure.Hint = grantHint(failure.Message, r.Method, role)
		}
		if failure.Status >= http.StatusInternalServerError && s.config.Log != nil {
			s.config.Log.WarnContext(r.Context(), "rest request failed", logkey.Code, failure.Code, logkey.Status, failure.Status)
		}
		failure.write(w)
		return
	}
	answer.write(w, r.Method == http.MethodHead)
}

// grantHint is what Supabase adds to a table's refusal since tables are closed by default.
func grantHint(message, method, role string) any {
	table, found := strings.CutPrefix(message, "permission denied for table ")
	privilege := map[string]string{
		http.MethodGet: "SELECT", http.MethodHead: "SELECT", http.MethodPost: "INSERT", http.MethodPatch: "UPDATE", http.MethodDelete: "DELETE",
	}[method]
	if !found || privilege == "" {
		return nil
	}
	return fmt.Sprintf("Grant the required privileges to the current role with: GRANT %s ON public.%s TO %s;", privilege, table, role)
}

func (s *Server) read(r *http.Request) (*request, error) {
	q := &request{http: r, schema: s.config.Schemas[0], maxRows: s.config.MaxRows}
	path := strings.Trim(r.URL.EscapedPath(), "/")
	if path == "" {
		return nil, rootDisabled()
	}
	name, rpc := strings.CutPrefix(path, "rpc/")
	target, err := url.PathUnescape(name)
	if err != nil || strings.Contains(target, "/") {
		return nil, invalidPath()
	}
	q.target, q.rpc = target, rpc
	if err := q.profile(r, s.config.Schemas); err != nil {
		return nil, err
	}
	if q.prefer, err = parsePreferences(r.Header.Values("Prefer")); err != nil {
		return nil, err
	}
	if q.accept, err = parseAccept(r.Header.Get("Accept")); err != nil {
		return nil, err
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if q.query, err = ParseQuery(r.URL.RawQuery, rpc && reads); err != nil {
		return nil, err
	}
	for _, c := range q.query.Select {
		if c.Embed {
			return nil, noRelationship(q.schema, q.target, c.Field.Name)
		}
	}
	if reads {
		err = q.rangeHeader(r.Header.Get("Range"))
	} else {
		q.body, err = readBody(r)
	}
	return q, err
}

// profile reads the schema that a request names.
func (q *request) profile(r *http.Request, exposed []string) error {
	header := "Content-Profile"
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		header = "Accept-Profile"
	}
	if schema := r.Header.Get(header); schema != "" {
		if !slices.Contains(exposed, schema) {
			return unacceptableSchema(schema, exposed)
		}
		q.schema = schema
	}
	return nil
}

func readBody(r *http.Request) ([]byte, error) {
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); media != "" && strings.TrimSpace(media) != "application/json" {
		return nil, invalidBody("Content-Type not acceptable: " + media)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBodyBytes+1))
	if err != nil || len(body) > MaxBodyBytes {
		return nil, invalidBody("Empty or invalid json")
	}
	return body, nil
}

// answer does what the request asks in one transaction.
func (s *Server) answer(ctx context.Context, q *request) (*answer, error) {
	var do func(context.Context, *transaction, *request) (*answer, error)
	readOnly := false
	switch method := q.http.Method; {
	case q.rpc && (method == http.MethodGet || method == http.MethodHead):
		do, readOnly = call, true
	case q.rpc && method == http.MethodPost:
		do = call
	case q.rpc:
		return nil, &Error{Status: http.StatusMethodNotAllowed, Code: "PGRST101", Message: "Cannot use the " + method + " method on RPC"}
	case method == http.MethodGet || method == http.MethodHead:
		do, readOnly = list, true
	case method == http.MethodPost:
		do = insert
	case method == http.MethodPatch:
		do = update
	case method == http.MethodDelete:
		do = remove
	default:
		return nil, unsupportedMethod(method)
	}
	return s.transact(ctx, q, readOnly, do)
}
