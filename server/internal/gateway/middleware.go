package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/identity"
	"vigil/server/internal/logkey"
)

type contextKey int

const (
	requestIDKey contextKey = iota
	subjectKey
)

// RequestID returns the id of the request that ctx belongs to, "" outside one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// SubjectFrom returns who is asking; ok is false when the request carried no token.
func SubjectFrom(ctx context.Context) (s identity.Subject, ok bool) {
	s, ok = ctx.Value(subjectKey).(identity.Subject)
	return s, ok
}

// identified gives the request an id: the caller's X-Request-Id when it is a uuid, else a new one.
func (g *gateway) identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := uuid.Parse(r.Header.Get("X-Request-Id"))
		if err != nil {
			id = uuid.New()
		}
		w.Header().Set("X-Request-Id", id.String())
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey, id.String())))
	})
}

// observed counts and logs a request by its route's pattern: never its path or query, which may hold an id or a key.
func (g *gateway) observed(mux *http.ServeMux, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, route := mux.Handler(r)
		start, rec := time.Now(), &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		took := time.Since(start)
		method := r.Method
		if !knownMethod(method) {
			method = "OTHER"
		}
		g.Metrics.Requests.WithLabelValues(method, route, strconv.Itoa(rec.status)).Inc()
		if !rec.hijacked {
			g.Metrics.RequestSeconds.WithLabelValues(route).Observe(took.Seconds())
		}
		g.Log.DebugContext(r.Context(), "request answered", logkey.Request, RequestID(r.Context()), logkey.Method, method, logkey.Path, route,
			logkey.Status, rec.status, logkey.Duration, took)
	})
}

func knownMethod(m string) bool {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}

// recovered answers a panic with a Problem; the panic's value is not logged, for it may hold what was being handled.
func (g *gateway) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			g.Log.ErrorContext(r.Context(), "handler panicked", logkey.Request, RequestID(r.Context()), logkey.Cause, fmt.Sprintf("%T", v))
			writeProblem(w, r, http.StatusInternalServerError, CodeInternal, "Something broke here; the operator can find it by the request id.")
		}()
		next.ServeHTTP(w, r)
	})
}

// limited refuses an address that asks too often. It stands before the token is looked at, so guessing tokens is slow too.
// Sockets pass: the channel has them wait their turn, for a storm of them comes from people who have lost their server.
func (g *gateway) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isSocket(r) {
			next.ServeHTTP(w, r)
			return
		}
		if wait := g.limits.take(g.Address(r)); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
			writeProblem(w, r, http.StatusTooManyRequests, CodeRateLimited, "Too many requests; wait as long as Retry-After says.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isSocket(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/websocket") && slices.ContainsFunc(channelPrefixes, func(p string) bool { return strings.HasPrefix(r.URL.Path, p) })
}

// bounded limits a request's body and time.
func (g *gateway) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > g.MaxBodyBytes {
			writeProblem(w, r, http.StatusRequestEntityTooLarge, CodeTooLarge, "The request body is larger than VIGIL_MAX_BODY_BYTES.")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, g.MaxBodyBytes)
		ctx, cancel := context.WithTimeout(r.Context(), g.RequestTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// subject resolves who is asking, once. No token: no subject. A bad token: refused.
func (g *gateway) subject(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" || strings.HasPrefix(token, "sb_") {
			next.ServeHTTP(w, r)
			return
		}
		s, err := g.Verifier.Verify(r.Context(), token)
		switch {
		case errors.Is(err, identity.ErrExpired):
			writeProblem(w, r, http.StatusUnauthorized, CodeTokenExpired, "The access token has expired; refresh it and try again.")
		case errors.Is(err, identity.ErrUnavailable):
			w.Header().Set("Retry-After", "1")
			writeProblem(w, r, http.StatusServiceUnavailable, CodeUpstream, "The keys that verify tokens cannot be fetched now; try again.")
		case err != nil:
			writeProblem(w, r, http.StatusUnauthorized, CodeUnauthorized, "The access token is not valid here; sign in again.")
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), subjectKey, s)))
		}
	})
}

// recorder remembers the status. It passes Hijack and Flush on, which the socket and the proxy need.
type recorder struct {
	http.ResponseWriter
	status   int
	written  bool
	hijacked bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.written {
		r.status, r.written = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.written = true
	return r.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Hijack implements http.Hijacker, which gorilla/websocket asks for by type.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.status, r.written, r.hijacked = http.StatusSwitchingProtocols, true, true
	return http.NewResponseController(r.ResponseWriter).Hijack()
}
