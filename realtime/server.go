package realtime

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gorilla/websocket"

	"vigil/realtime/phoenix"
)

// The keys of this package's log lines. The sidecar's telemetry lets only listed keys through; LogKeys lets a test of
// its side compare.
const (
	logCode   = "code"
	logCount  = "count"
	logError  = "error"
	logReason = "reason"
	logTopic  = "topic"
)

// LogKeys gives every key that a log line of this package may carry.
func LogKeys() []string { return []string{logCode, logCount, logError, logReason, logTopic} }

// pathSuffix ends the path of every socket, below any prefix.
const pathSuffix = "/websocket"

// Server serves the channels. All methods may be called at once, but for Publish, which one goroutine calls.
type Server struct {
	config    Config
	limits    Limits
	timing    Timing
	log       *slog.Logger
	hub       *hub
	refs      *refMaker
	authorize chan struct{} // capacity Limits.AuthorizeAtOnce; full: the asker waits
	dropped   atomic.Int64
	skipped   atomic.Int64

	mu      sync.Mutex
	sockets map[*socket]struct{}
	held    int // sockets, and handshakes that will be one
	ending  bool
	empty   chan struct{} // not nil: closed when held is 0
}

// New makes a server. It starts nothing; Run drains it.
func New(config Config) *Server {
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	limits := config.Limits.withDefaults()
	return &Server{
		config: config, limits: limits, timing: config.Timing.withDefaults(), log: log,
		hub: &hub{rooms: map[roomKey]*room{}}, refs: newRefMaker(),
		authorize: make(chan struct{}, limits.AuthorizeAtOnce), sockets: map[*socket]struct{}{},
	}
}

// ServeHTTP upgrades a request for …/websocket and returns; the socket is served until it ends or Run does. A refusal is JSON with the keys error
// and code. The ResponseWriter, or one that it unwraps to, must be a http.Hijacker.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, pathSuffix) {
		refuseHandshake(w, http.StatusNotFound, fault{CodeNotFound, "There is no socket here"})
		return
	}
	query := r.URL.Query()
	version, known := phoenix.ParseVersion(query.Get("vsn"))
	key := r.Header.Get("X-Api-Key")
	if key == "" {
		key = query.Get("apikey")
	}
	switch {
	case !known:
		refuseHandshake(w, http.StatusBadRequest, fault{CodeVersionUnsupported, "vsn must be 1.0.0 or 2.0.0"})
		return
	case key == "":
		refuseHandshake(w, http.StatusUnauthorized, fault{CodeAPIKeyMissing, "API key is missing"})
		return
	case s.config.ValidKey != nil && !s.config.ValidKey(key):
		refuseHandshake(w, http.StatusUnauthorized, fault{CodeAPIKeyInvalid, "API key is not known here"})
		return
	case !s.originAllowed(r):
		refuseHandshake(w, http.StatusForbidden, fault{CodeOriginNotAllowed, "This origin may not connect"})
		return
	}
	if f := s.reserve(); f != nil {
		status := http.StatusTooManyRequests
		if f.code == CodeRealtimeRestarting {
			status = http.StatusServiceUnavailable
		}
		refuseHandshake(w, status, *f)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, HandshakeTimeout: s.timing.Write,
		ReadBufferSize: readBytes, WriteBufferPool: &unused}
	conn, err := up.Upgrade(hijacker{w}, r, nil)
	if err != nil { // Upgrade has answered
		s.leave()
		s.log.DebugContext(r.Context(), "handshake refused", logError, err)
		return
	}
	k := &socket{server: s, conn: conn, version: version, channels: map[string]*channel{},
		memory: map[string]*memory{}, owed: map[*channel]struct{}{}, buckets: newBuckets(s.limits)}
	k.queue = newQueue(s.limits, k.startWriter)
	go s.hold(context.Background(), k) //nolint:contextcheck,gosec // Run waits for it; of the request nothing is kept
}

// hold serves a socket until it ends. It does not run on the request's goroutine, whose stack, buffers and headers net/http
// would keep for as long: more than half of what an idle socket took.
func (s *Server) hold(ctx context.Context, k *socket) {
	defer s.leave()
	defer func() {
		if v := recover(); v != nil { // its value may hold what was being handled
			s.log.ErrorContext(ctx, "socket panicked", logReason, fmt.Sprintf("%T", v))
			k.cut()
		}
	}()
	defer s.remove(k)
	s.add(k)
	k.serve(ctx)
}

// readBytes is what a socket's reader holds; what is larger is read past it. Without a size of its own it would keep the two
// buffers of net/http, 4 KiB each, for as long as it lives.
const readBytes = 512

// unused is where gorilla would borrow its buffer for writing. Sockets write frames of their own.
var unused sync.Pool

// hijacker finds the http.Hijacker below wrapped ResponseWriters.
type hijacker struct{ http.ResponseWriter }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}

func refuseHandshake(w http.ResponseWriter, status int, f fault) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": f.text, "code": string(f.code)}) // the client may be gone
}

func (s *Server) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(s.config.AllowedOrigins, "*") {
		return true
	}
	if len(s.config.AllowedOrigins) == 0 {
		u, err := url.Parse(origin)
		return err == nil && strings.EqualFold(u.Host, r.Host)
	}
	return slices.ContainsFunc(s.config.AllowedOrigins, func(allowed string) bool { return strings.EqualFold(allowed, origin) })
}

// reserve counts a socket before its handshake is answered; leave is its counterpart.
func (s *Server) reserve() *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ending:
		return &fault{CodeRealtimeRestarting, "Realtime is restarting, please standby"}
	case s.held >= s.limits.Sockets:
		return &fault{CodeConnectionRateLimit, "Too many connected users"}
	}
	s.held++
	return nil
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held--; s.held == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

func (s *Server) add(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets[k] = struct{}{}
	if s.ending {
		k.finish(websocket.CloseServiceRestart, "restarting")
	}
}

func (s *Server) remove(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, k)
}

func (s *Server) draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// decide asks who someone is or what they may do: at most Limits.AuthorizeAtOnce at once, each within Timing.Decide, the
// wait for its turn included.
func (s *Server) decide(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timing.Decide)
	defer cancel()
	select {
	case s.authorize <- struct{}{}:
		defer func() { <-s.authorize }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return ask(ctx)
}

func (s *Server) at(point string) {
	if s.config.At != nil {
		s.config.At(point)
	}
}

func (s *Server) malformed(ctx context.Context) {
	s.log.DebugContext(ctx, "malformed frame dropped", logCount, s.dropped.Add(1))
}

// Stats is what a Server holds at the moment.
type Stats struct {
	Sockets  int
	Channels int
	Dropped  int64 // malformed frames since New
	Skipped  int64 // client broadcasts and presence frames for which a socket had no room since New
}

// Stats counts sockets and channels.
func (s *Server) Stats() Stats {
	stats := Stats{Dropped: s.dropped.Load(), Skipped: s.skipped.Load()}
	for _, k := range s.connected() {
		stats.Sockets++
		stats.Channels += len(k.all())
	}
	return stats
}
