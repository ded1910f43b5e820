// Package gateway is the sidecar's HTTP API: routes, who is asking, limits, CORS, and errors as problem+json. It mounts
// the socket that it is handed and knows nothing of what travels on it.
//
// Guarantees: a Subject is resolved once for a request, before any handler; a bad token is refused and never taken for
// none; no query string, header, body or address of a person reaches a log line or a metric; every error answer is a
// Problem with a stable code.
// Not guaranteed: who may see what. That is SQL's, asked through the user's own token.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/rs/cors"

	"vigil/server/internal/identity"
	"vigil/server/internal/telemetry"
)

// MaxHeaderBytes bounds a request's header.
const MaxHeaderBytes = 16 << 10

// verifier turns a bearer token into who is asking.
type verifier interface {
	Verify(ctx context.Context, token string) (identity.Subject, error)
}

// Config is what the gateway is made of. Verifier, Socket, Health, Metrics and Log must be set.
type Config struct {
	Verifier       verifier
	Socket         http.Handler // serves …/websocket and …/api/broadcast below any prefix; does its own authorisation
	Health         *telemetry.Health
	Metrics        *telemetry.Metrics
	Log            *slog.Logger
	AllowedOrigins []string                   // exact origins; "*" allows all
	MaxBodyBytes   int64                      // zero means 1 MiB
	RequestTimeout time.Duration              // zero means 30 s; sockets have none
	RatePerSecond  int                        // requests a second from one address; zero means 50
	Address        func(*http.Request) string // where a request comes from; nil: Address of no trusted proxy
	ProxyTo        *url.URL                   // nil: Supabase is not proxied
	Console        http.Handler               // serves ConsolePath, where / leads to; nil: there is none
}

// channelPrefixes are where Socket is mounted.
var channelPrefixes = []string{"/realtime/v1/", "/socket/"}

// ConsolePath is where Console is mounted.
const ConsolePath = "/console/"

// ProxiedPrefixes are the paths passed on to Supabase when ProxyTo is set.
var ProxiedPrefixes = []string{"/auth/v1/", "/rest/v1/", "/storage/v1/", "/functions/v1/"}

// New returns the public handler.
func New(c Config) http.Handler {
	if c.MaxBodyBytes == 0 {
		c.MaxBodyBytes = 1 << 20
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 30 * time.Second
	}
	if c.RatePerSecond == 0 {
		c.RatePerSecond = 50
	}
	if c.Address == nil {
		c.Address = Address(nil)
	}
	g := &gateway{Config: c, limits: newLimits(c.RatePerSecond)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", g.healthz)
	mux.HandleFunc("GET /readyz", g.readyz)
	mux.Handle("GET /v1/me", g.bounded(g.subject(http.HandlerFunc(g.me))))
	for _, prefix := range channelPrefixes {
		mux.Handle(prefix, c.Socket)
	}
	if c.Console != nil {
		mux.Handle("GET "+ConsolePath, c.Console)
		for _, from := range []string{"GET /{$}", "GET " + strings.TrimSuffix(ConsolePath, "/")} {
			mux.Handle(from, http.RedirectHandler(ConsolePath, http.StatusFound))
		}
	}
	if c.ProxyTo != nil {
		proxy := g.proxy()
		for _, prefix := range ProxiedPrefixes {
			h := proxy
			if prefix != "/storage/v1/" { // uploads are bounded by Storage itself
				h = g.bounded(proxy)
			}
			mux.Handle(prefix, h)
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, http.StatusNotFound, CodeNotFound, "Nothing is served here. The channel is at /realtime/v1 and /socket; health is at /healthz and /readyz.")
	})
	return g.identified(g.observed(mux, g.recovered(g.cors().Handler(g.limited(mux)))))
}

type gateway struct {
	Config
	limits *limits
}

func (g *gateway) cors() *cors.Cors {
	return cors.New(cors.Options{
		AllowedOrigins: append([]string{}, g.AllowedOrigins...),
		AllowOriginFunc: func() func(string) bool {
			if len(g.AllowedOrigins) > 0 {
				return nil
			}
			return func(string) bool { return false } // rs/cors takes an empty list for "all"
		}(),
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Apikey", "X-Client-Info", "X-Request-Id", "Prefer", "Range", "Range-Unit", "Accept", "Accept-Profile", "Content-Profile", "X-Api-Key", "X-Supabase-Api-Version", "X-Upsert", "Cache-Control"},
		ExposedHeaders: []string{"X-Request-Id", "Content-Range", "Range-Unit", "Location", "Retry-After"},
		MaxAge:         600,
	})
}

func (g *gateway) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (g *gateway) readyz(w http.ResponseWriter, r *http.Request) {
	ok, parts := g.Health.Ready(r.Context())
	status, word := http.StatusOK, "ready"
	if !ok {
		status, word = http.StatusServiceUnavailable, "not ready"
	}
	for i := range parts {
		parts[i].Error = "" // the cause goes to operators, not to whoever asks
	}
	writeJSON(w, status, map[string]any{"status": word, "parts": parts})
}

// me tells a person whom the sidecar takes them for: the first question when a channel is denied.
func (g *gateway) me(w http.ResponseWriter, r *http.Request) {
	s, ok := SubjectFrom(r.Context())
	if !ok {
		writeProblem(w, r, http.StatusUnauthorized, CodeUnauthorized, "Send the access token of a signed-in person: Authorization: Bearer <token>.")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": s.ID, "login_id": s.LoginID, "aal": s.AAL, "kind": s.Kind, "expires_at": s.ExpiresAt.UTC()})
}

func (g *gateway) proxy() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(g.ProxyTo)
			p.SetXForwarded()
		},
		ModifyResponse: func(r *http.Response) error {
			for name := range r.Header { // CORS is this gateway's to answer, once
				if strings.HasPrefix(name, "Access-Control-") {
					r.Header.Del(name)
				}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			var tooLarge *http.MaxBytesError
			switch {
			case errors.As(err, &tooLarge):
				writeProblem(w, r, http.StatusRequestEntityTooLarge, CodeTooLarge, "The request body is larger than VIGIL_MAX_BODY_BYTES.")
			case errors.Is(err, context.DeadlineExceeded):
				writeProblem(w, r, http.StatusGatewayTimeout, CodeTimeout, "Supabase did not answer in time; try again.")
			default:
				writeProblem(w, r, http.StatusBadGateway, CodeUpstream, "Supabase could not be reached; try again.")
			}
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // its lines hold addresses and paths; ErrorHandler answers
	}
}

type tracer interface {
	Get(message uuid.UUID) (telemetry.Trace, bool)
}

// Operator returns the handler of the private address: metrics, health with its causes, and the trace of a message.
func Operator(metrics *telemetry.Metrics, health *telemetry.Health, traces tracer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler())
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ok, parts := health.Ready(r.Context())
		status := http.StatusOK
		if !ok {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, map[string]any{"ready": ok, "parts": parts})
	})
	mux.HandleFunc("GET /trace/{message}", func(w http.ResponseWriter, r *http.Request) {
		id, err := uuid.Parse(r.PathValue("message"))
		if err != nil {
			writeProblem(w, r, http.StatusBadRequest, CodeBadRequest, "A message's id is a uuid.")
			return
		}
		t, ok := traces.Get(id)
		if !ok {
			writeProblem(w, r, http.StatusNotFound, CodeNotKept, "The timings of this message are not kept: only the last 10,000 messages since the sidecar started are.")
			return
		}
		writeJSON(w, http.StatusOK, NewTraceAnswer(t))
	})
	return mux
}

// TraceAnswer is a trace as the operator's address gives it.
type TraceAnswer struct {
	Message uuid.UUID    `json:"message"`
	LSN     string       `json:"lsn,omitempty"`
	Stages  []TraceStage `json:"stages"`
}

// TraceStage is one stage a message reached. SinceCommit is in milliseconds; negative when the database's clock is ahead.
type TraceStage struct {
	Stage       string    `json:"stage"`
	At          time.Time `json:"at"`
	SinceCommit float64   `json:"since_commit_ms"`
}

// NewTraceAnswer leaves out stages that were not reached.
func NewTraceAnswer(t telemetry.Trace) TraceAnswer {
	a := TraceAnswer{Message: t.Message, LSN: t.LSN, Stages: []TraceStage{}}
	for i, at := range t.At {
		if at.IsZero() {
			continue
		}
		s := TraceStage{Stage: telemetry.Stages[i], At: at.UTC()}
		if !t.At[0].IsZero() {
			s.SinceCommit = float64(at.Sub(t.At[0]).Microseconds()) / 1000
		}
		a.Stages = append(a.Stages, s)
	}
	return a
}
