package realtime

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
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
	accounts  *accounts
	dropped   atomic.Int64
	skipped   atomic.Int64
	revoked   atomic.Uint64 // moves with every Reauthorize and EndLogin

	handshakes *turns
	joins      *turns
	stopping   chan struct{} // closed when Run drains

	mu      sync.Mutex
	sockets map[*socket]struct{}
	places  map[string]*place
	held    int // sockets, and handshakes that will be one
	ending  bool
	empty   chan struct{} // not nil: closed when held is 0
}

// New makes a server. It starts nothing; Run drains it, and hears the other nodes.
func New(config Config) *Server {
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	limits := config.Limits.withDefaults()
	s := &Server{
		config: config, limits: limits, timing: config.Timing.withDefaults(), log: log,
		hub: &hub{rooms: map[roomKey]*room{}}, refs: newRefMaker(),
		authorize: make(chan struct{}, limits.AuthorizeAtOnce), accounts: newAccounts(limits),
		handshakes: newTurns(limits.HandshakesPerSecond), joins: newTurns(limits.ServerJoinsPerSecond),
		stopping: make(chan struct{}), sockets: map[*socket]struct{}{}, places: map[string]*place{},
	}
	if config.Peers != nil {
		s.hub.link = newLink(s, s.hub, config.Peers)
	}
	return s
}

// ServeHTTP answers POST …/api/broadcast and …/api/broadcast/<topic>/events/<event>, below any prefix, and upgrades a request
// for …/websocket and returns; the socket is served until it ends or Run does. A refusal is JSON with the keys error, code and
// message. To upgrade, the ResponseWriter, or one that it unwraps to, must be a http.Hijacker.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	to, posts := parseTarget(path)
	switch {
	case posts:
		s.servePost(w, r, to)
	case strings.HasSuffix(path, pathSuffix):
		s.shakeHands(w, r)
	default:
		refuse(w, http.StatusNotFound, fault{CodeNotFound, "There is no socket here"})
	}
}

// refuse answers a request that asks for what it may not have, or not now.
func refuse(w http.ResponseWriter, status int, f fault) {
	answer(w, status, refusalBody{Error: f.text, Code: f.code, Message: f.text})
}

// refusalBody is what a refused request is answered with. realtime-js shows error, or else message.
type refusalBody struct {
	Error   string       `json:"error"`
	Code    Code         `json:"code"`
	Message string       `json:"message"`
	Errors  []indexError `json:"errors,omitempty"` // of a batch
}

// indexError names a message of a batch by its place.
type indexError struct {
	Index   int    `json:"index"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func answer(w http.ResponseWriter, status int, body refusalBody) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

func (s *Server) draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// decide asks who someone is or what they may do: at most Limits.AuthorizeAtOnce at once, each within Timing.Decide, the
// wait for its turn included, and no later than by, unless that is zero.
func (s *Server) decide(ctx context.Context, by time.Time, ask func(context.Context) error) error {
	ctx, cancel := s.within(ctx, by)
	defer cancel()
	select {
	case s.authorize <- struct{}{}:
		defer func() { <-s.authorize }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return ask(ctx)
}

// within bounds one question by Timing.Decide, and by a time unless that is zero.
func (s *Server) within(ctx context.Context, by time.Time) (context.Context, context.CancelFunc) {
	if deadline := time.Now().Add(s.timing.Decide); by.IsZero() || deadline.Before(by) {
		by = deadline
	}
	return context.WithDeadline(ctx, by)
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
	Peers    PeerStats
}

// Stats counts sockets and channels.
func (s *Server) Stats() Stats {
	stats := Stats{Dropped: s.dropped.Load(), Skipped: s.skipped.Load(), Peers: s.hub.link.stats()}
	for _, k := range s.connected() {
		stats.Sockets++
		stats.Channels += len(k.all())
	}
	return stats
}
