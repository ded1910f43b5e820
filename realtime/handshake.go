package realtime

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"vigil/realtime/phoenix"
)

// shakeHands upgrades a request when it is its turn.
func (s *Server) shakeHands(w http.ResponseWriter, r *http.Request) {
	version, status, f := s.mayConnect(r)
	if f != nil {
		refuse(w, status, *f)
		return
	}
	from, f := s.reserve(s.addressOf(r))
	if f == nil && !s.turn(r.Context(), s.handshakes, s.timing.HandshakeWait) {
		s.leave(from)
		f = &fault{CodeHandshakeRateLimit, "Too many handshakes, please try again"}
		if s.draining() {
			f = &errRestarting
		}
	}
	if f != nil {
		status := http.StatusTooManyRequests
		if f.code == CodeRealtimeRestarting {
			status = http.StatusServiceUnavailable
		}
		refuse(w, status, *f)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, HandshakeTimeout: s.timing.Write,
		ReadBufferSize: readBytes, WriteBufferPool: &unused}
	conn, err := up.Upgrade(hijacker{w}, r, nil)
	if err != nil { // Upgrade has answered
		s.leave(from)
		s.log.DebugContext(r.Context(), "handshake refused", logError, err)
		return
	}
	k := &socket{server: s, conn: conn, version: version, from: from, channels: map[string]*channel{},
		memory: map[string]*memory{}, owed: map[*channel]struct{}{}, buckets: newBuckets(s.limits), bare: time.Now()}
	k.queue = newQueue(s.limits, k.startWriter)
	go s.hold(context.Background(), k) //nolint:contextcheck,gosec // Run waits for it; of the request nothing is kept
}

// mayConnect looks at what a handshake says of itself.
func (s *Server) mayConnect(r *http.Request) (v phoenix.Version, status int, f *fault) {
	version, known := phoenix.ParseVersion(r.URL.Query().Get("vsn"))
	key := keyOf(r)
	switch {
	case !known:
		return version, http.StatusBadRequest, &fault{CodeVersionUnsupported, "vsn must be 1.0.0 or 2.0.0"}
	case key == "":
		return version, http.StatusUnauthorized, &errKeyMissing
	case s.config.ValidKey != nil && !s.config.ValidKey(key):
		return version, http.StatusUnauthorized, &errKeyInvalid
	case !s.originAllowed(r):
		return version, http.StatusForbidden, &errOrigin
	}
	return version, 0, nil
}

// What a request is refused for before it is looked at what it wants.
var (
	errKeyMissing = fault{CodeAPIKeyMissing, "API key is missing"}
	errKeyInvalid = fault{CodeAPIKeyInvalid, "API key is not known here"}
	errOrigin     = fault{CodeOriginNotAllowed, "This origin may not connect"}
	errRestarting = fault{CodeRealtimeRestarting, "Realtime is restarting, please standby"}
)

// hold serves a socket until it ends. It does not run on the request's goroutine, whose stack, buffers and headers net/http
// would keep for as long: more than half of what an idle socket took.
func (s *Server) hold(ctx context.Context, k *socket) {
	defer s.leave(k.from)
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

// addressOf says where a request comes from.
func (s *Server) addressOf(r *http.Request) string {
	if s.config.Address != nil {
		return s.config.Address(r)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// place is an address that has sockets. Guarded by the server's mu.
type place struct {
	address string
	sockets int    // and handshakes that will be one
	joins   *turns // its own, so that one address does not hold up the joins of all
}

// reserve counts a socket before its handshake is answered; leave is its counterpart.
func (s *Server) reserve(address string) (*place, *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.places[address]
	switch {
	case s.ending:
		return nil, &errRestarting
	case s.held >= s.limits.Sockets:
		return nil, &fault{CodeConnectionRateLimit, "Too many connected users"}
	case from != nil && from.sockets >= s.limits.SocketsPerAddress:
		return nil, &fault{CodeConnectionRateLimit, "Too many connections from this address"}
	case from == nil:
		from = &place{address: address, joins: newTurns(s.limits.AddressJoinsPerSecond)}
		s.places[address] = from
	}
	from.sockets++
	s.held++
	return from, nil
}

func (s *Server) leave(from *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from.sockets--; from.sockets == 0 {
		delete(s.places, from.address)
	}
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
