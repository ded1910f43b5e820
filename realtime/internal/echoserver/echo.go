package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"vigil/realtime"
	"vigil/realtime/internal/memory"
)

// echo is a server of channels with its tables. Its address and its log outlive a drain.
type echo struct {
	config  realtime.Config
	log     *memory.Log
	sockets sockets

	publishing sync.Mutex // Publish is called in order

	mu      sync.Mutex
	server  *realtime.Server
	drain   context.CancelFunc        // of server
	drained chan error                // server's Run
	grants  map[string]realtime.Grant // by user and topic
	expires map[string]time.Time      // by token
}

func newEcho(log *slog.Logger, limits realtime.Limits, timing realtime.Timing) *echo {
	e := &echo{log: memory.New(), grants: map[string]realtime.Grant{}, expires: map[string]time.Time{}}
	if timing.DenialFirst == 0 {
		timing.DenialFirst, timing.DenialMost = 100*time.Millisecond, 200*time.Millisecond
	}
	e.config = realtime.Config{
		Authenticate: e.authenticate, Authorize: e.authorize, History: e.log, AllowPublic: true, Log: log,
		Durable: func(topic string) bool {
			return strings.HasPrefix(topic, "session:") || strings.HasPrefix(topic, "care:")
		},
		ValidKey:       func(key string) bool { return key == "sb_publishable_echo" },
		AllowedOrigins: []string{"*"},
		Limits:         limits,
		Timing:         timing,
	}
	e.resume()
	return e
}

// run serves until ctx ends, and drains.
func (e *echo) run(ctx context.Context, on net.Listener) error {
	h := &http.Server{Handler: e.routes(), ReadHeaderTimeout: time.Minute, ConnState: e.sockets.note}
	serving := make(chan error, 1)
	go func() { serving <- h.Serve(breakable{on}) }() // awaited below
	<-ctx.Done()
	return errors.Join(e.stop(), h.Close(), ignoreClosed(<-serving))
}

// stop drains the server that serves, as a stop of the sidecar does, and returns when every socket has ended.
func (e *echo) stop() error {
	e.mu.Lock()
	drain, drained := e.drain, e.drained
	e.mu.Unlock()
	drain()
	err := <-drained
	drained <- err // for who asks again
	return err
}

// resume puts a new server where the drained one was.
func (e *echo) resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	ctx, drain := context.WithCancel(context.Background())
	server, drained := realtime.New(e.config), make(chan error, 1)
	e.server, e.drain, e.drained = server, drain, drained
	go func() { drained <- server.Run(ctx) }() // awaited by stop
}

func (e *echo) serving() *realtime.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.server
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
	mux.HandleFunc("/realtime/v1/", func(w http.ResponseWriter, r *http.Request) { e.serving().ServeHTTP(w, r) })
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(e.serving().Stats()) // who asked may be gone
	})
	for path, do := range map[string]func(order) error{
		"publish": e.publish,
		"allow":   e.allow,
		"expire":  e.expire,
		"end":     func(o order) error { e.serving().EndLogin(o.Login); return nil },
		"cut":     func(order) error { e.sockets.cut(); return nil },
		"silence": func(order) error { e.sockets.silence(); return nil },
		"drain":   func(order) error { return e.stop() },
		"resume":  func(order) error { e.resume(); return nil },
		"reset":   func(order) error { e.log.Reset(); e.serving().ResetHistory(); return nil },
	} {
		mux.HandleFunc("POST /"+path, func(w http.ResponseWriter, r *http.Request) {
			var o order
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&o); err != nil {
				http.Error(w, "no order", http.StatusBadRequest)
				return
			}
			if err := do(o); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	return fromAnywhere(mux)
}

// publish stores and delivers Count entries (one if zero); with more than one the payload is {"n": 0}, {"n": 1}, …
func (e *echo) publish(o order) error {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	for n := range max(o.Count, 1) {
		payload := o.Payload
		if o.Count > 1 {
			payload = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
		}
		e.serving().Publish(e.log.Append(o.Topic, o.Event, payload))
	}
	return nil
}

// allow sets a grant and has the channels that it is about asked again.
func (e *echo) allow(o order) error {
	e.mu.Lock()
	e.grants[o.User+" "+o.Topic] = o.Grant
	e.mu.Unlock()
	e.serving().Reauthorize(func(m realtime.Member) bool { return m.UserID == o.User && m.Topic == o.Topic })
	return nil
}

func (e *echo) expire(o order) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expires[o.Token] = time.Now().Add(time.Duration(o.Milliseconds) * time.Millisecond)
	return nil
}
