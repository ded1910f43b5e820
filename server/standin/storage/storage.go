// Package storage is the slice of Supabase Storage that a project with private buckets uses through storage-js: upload,
// download, remove and list. Objects' rows are in storage.objects, their bytes in files of a folder.
//
// Guarantees: what a person may do is decided by Postgres alone, by the policies on storage.objects, with the role and
// the claims of the person's own token; an upload is refused before a byte of it is kept. Refusals have Storage's statuses,
// codes and words. Bytes are kept before the row that names them, and removed after it: an object that is listed can be read.
//
// Not: bucket calls, public and signed URLs, resumable uploads, S3, image transformations, move, copy and info (501).
package storage

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"vigil/server/internal/logkey"
)

// MaxObjectBytes bounds an upload where its bucket does not: the limit of a free project.
const MaxObjectBytes = 50 << 20

// Config says what to serve.
type Config struct {
	// DatabaseURL connects as authenticator.
	DatabaseURL string
	// Keyfunc gives the key that a token was signed with, and an error for a key or an algorithm that is not ours.
	Keyfunc jwt.Keyfunc
	// Dir keeps the bytes. Empty: a temporary folder that Close removes.
	Dir string
	// Now is the clock tokens are judged by. Nil: time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Server answers requests whose path starts after /storage/v1. It may be called at once by many.
type Server struct {
	config Config
	pool   *pgxpool.Pool
	files  *files
}

// New makes a server; it connects and makes its folder at the first request. Close ends its connections.
func New(c Config) (*Server, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	pool, err := pgxpool.New(context.Background(), c.DatabaseURL)
	if err != nil {
		return nil, errors.New("storage: the database's URL cannot be read")
	}
	return &Server{config: c, pool: pool, files: &files{dir: c.Dir}}, nil
}

// Close waits for the requests in flight, ends the connections and removes a temporary folder.
func (s *Server) Close() {
	s.pool.Close()
	s.files.close()
}

// route is what a request asks, of which object.
type route struct {
	do           func(*Server, *http.Request, route, caller) (reply, error)
	bucket, name string
}

// reply writes an answer.
type reply func(http.ResponseWriter)

func routeOf(r *http.Request) (route, bool) {
	rest, found := strings.CutPrefix(r.URL.Path, "/object/")
	if !found {
		return route{}, false
	}
	bucket, name, deep := strings.Cut(rest, "/")
	switch {
	case r.Method == http.MethodPost && bucket == "list" && deep && !strings.Contains(name, "/"):
		return route{do: (*Server).list, bucket: name}, true
	case r.Method == http.MethodDelete && !deep && bucket != "":
		return route{do: (*Server).remove, bucket: bucket}, true
	case elsewhere[bucket]:
		return route{}, false
	case r.Method == http.MethodGet && bucket == "authenticated":
		bucket, name, deep = strings.Cut(name, "/")
		return route{do: (*Server).download, bucket: bucket, name: name}, deep && name != ""
	case r.Method == http.MethodGet && deep && name != "":
		return route{do: (*Server).download, bucket: bucket, name: name}, true
	case r.Method == http.MethodPost && deep && name != "":
		return route{do: (*Server).upload, bucket: bucket, name: name}, true
	}
	return route{}, false
}

// elsewhere are the words that stand where a bucket's name would, for calls that are not here.
var elsewhere = map[string]bool{
	"list": true, "list-v2": true, "sign": true, "upload": true, "public": true, "info": true, "move": true, "copy": true,
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := func() (reply, error) {
		to, served := routeOf(r)
		if !served {
			return nil, notHere()
		}
		who, err := s.authenticate(r)
		if err != nil {
			return nil, err
		}
		return to.do(s, r, to, who)
	}()
	if err != nil {
		failure := fromError(err)
		if failure.Status >= http.StatusInternalServerError && failure.Status != http.StatusNotImplemented && s.config.Log != nil {
			s.config.Log.WarnContext(r.Context(), "storage request failed", logkey.Code, failure.Code, logkey.Status, failure.Status)
		}
		failure.write(w)
		return
	}
	answer(w)
}
