// Command echoserver serves the channels from memory for tests with real clients: the log is realtime/internal/memory, a
// token is "user/login" or "user/login/anything", and grants are a table that the test writes over HTTP. It prints its
// address as one line of JSON, and ends when its standard input does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"vigil/realtime"
	"vigil/realtime/internal/memory"
)

func main() {
	if err := run(os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "echoserver:", err)
		os.Exit(1)
	}
}

func run(stdin io.Reader, stdout, stderr io.Writer) error {
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	e := newEcho(log)
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.server.Run(ctx) }() // awaited below
	h := &http.Server{Handler: e.routes(), ReadHeaderTimeout: time.Minute, ConnState: e.sockets.note}
	serving := make(chan error, 1)
	go func() { serving <- h.Serve(listener) }() // awaited below
	if err := json.NewEncoder(stdout).Encode(map[string]string{"url": "http://" + listener.Addr().String()}); err != nil {
		cancel()
		return fmt.Errorf("say where: %w", err)
	}
	_, _ = io.Copy(io.Discard, stdin) // until who started us is done
	cancel()
	err = <-ended
	return errors.Join(err, h.Close(), ignoreClosed(<-serving))
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// sockets remembers the connections that became WebSockets, so that a test can cut them.
type sockets struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (s *sockets) note(c net.Conn, state http.ConnState) {
	if state == http.StateHijacked {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns = append(s.conns, c)
	}
}

func (s *sockets) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close() // many have ended already
	}
	s.conns = nil
}

// echo is the server with its tables.
type echo struct {
	server  *realtime.Server
	log     *memory.Log
	sockets sockets

	publishing sync.Mutex // Publish is called in order

	mu      sync.Mutex
	grants  map[string]realtime.Grant // by user and topic
	expires map[string]time.Time      // by token
}

func newEcho(log *slog.Logger) *echo {
	e := &echo{log: memory.New(), grants: map[string]realtime.Grant{}, expires: map[string]time.Time{}}
	e.server = realtime.New(realtime.Config{
		Authenticate: e.authenticate, Authorize: e.authorize, History: e.log, AllowPublic: true, Log: log,
		Durable: func(topic string) bool {
			return strings.HasPrefix(topic, "session:") || strings.HasPrefix(topic, "care:")
		},
		ValidKey:       func(key string) bool { return key == "sb_publishable_echo" },
		AllowedOrigins: []string{"*"},
		Timing:         realtime.Timing{DenialFirst: 100 * time.Millisecond, DenialMost: 200 * time.Millisecond},
	})
	return e
}

var errToken = errors.New("no token of the table")

func (e *echo) authenticate(_ context.Context, token string) (realtime.Identity, error) {
	user, rest, ok := strings.Cut(token, "/")
	login, _, _ := strings.Cut(rest, "/")
	if !ok || login == "" {
		return realtime.Identity{}, errToken
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.expires[token]
	if !at.IsZero() && time.Now().After(at) {
		return realtime.Identity{}, errToken
	}
	return realtime.Identity{UserID: user, LoginID: login, AAL: "aal1", ExpiresAt: at, Claims: json.RawMessage(`{}`)}, nil
}

func (e *echo) authorize(_ context.Context, id realtime.Identity, topic string) (realtime.Grant, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.grants[id.UserID+" "+topic], nil
}

// order is the body of every request to the tables.
type order struct {
	User, Login, Topic, Event, Token string
	Payload                          json.RawMessage
	Count                            int
	Milliseconds                     int
	Grant                            realtime.Grant
}

func (e *echo) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/realtime/v1/", e.server)
	for path, do := range map[string]func(order){
		"publish": e.publish,
		"allow":   e.allow,
		"expire":  e.expire,
		"end":     func(o order) { e.server.EndLogin(o.Login) },
		"cut":     func(order) { e.sockets.cut() },
		"reset":   func(order) { e.log.Reset(); e.server.ResetHistory() },
	} {
		mux.HandleFunc("POST /"+path, func(w http.ResponseWriter, r *http.Request) {
			var o order
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&o); err != nil {
				http.Error(w, "no order", http.StatusBadRequest)
				return
			}
			do(o)
			w.WriteHeader(http.StatusNoContent)
		})
	}
	return mux
}

// publish stores and delivers Count entries (one if zero); with more than one the payload is {"n": 0}, {"n": 1}, …
func (e *echo) publish(o order) {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	for n := range max(o.Count, 1) {
		payload := o.Payload
		if o.Count > 1 {
			payload = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
		}
		e.server.Publish(e.log.Append(o.Topic, o.Event, payload))
	}
}

// allow sets a grant and has the channels that it is about asked again.
func (e *echo) allow(o order) {
	e.mu.Lock()
	e.grants[o.User+" "+o.Topic] = o.Grant
	e.mu.Unlock()
	e.server.Reauthorize(func(m realtime.Member) bool { return m.UserID == o.User && m.Topic == o.Topic })
}

func (e *echo) expire(o order) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expires[o.Token] = time.Now().Add(time.Duration(o.Milliseconds) * time.Millisecond)
}
