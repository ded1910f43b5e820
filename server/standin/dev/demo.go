package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"vigil/server/console"
	"vigil/server/pgtest"
)

// demoPort is taken for the demo's page when it is free.
const demoPort = 8787

const (
	demoMaxBody      = 4 << 10
	demoReadTimeout  = 10 * time.Second
	demoStop         = 10 * time.Second
	demoPollInterval = 200 * time.Millisecond // five states a second
	demoKeepAlive    = 15 * time.Second       // a comment on a silent event stream
)

// demo is the page that starts a replay and pulls the sidecar's plug, and what it controls. It has an address of its own,
// so that it outlives the sidecar. For development only: it is reached from this machine's browser alone, and only by its
// own page (Host and Origin are checked, and what changes anything must be JSON, which no foreign form can send).
type demo struct {
	url      string
	listener net.Listener
	pages    http.Handler // what the console has built for it
	sidecar  *sidecar
	console  string
	people   []demoPerson
	counts   *pgxpool.Pool
	plays    func(speed float64, conversations int) (player, error)

	stage  stage
	cancel context.CancelFunc
	ended  chan error
}

// openDemo takes the page's address, which the sidecar is told before it starts.
func (s *stack) openDemo() error {
	listener, err := listen(s.options.demoPort, demoPort, s.options.throwaway)
	if err != nil {
		return err
	}
	s.demo = &demo{url: "http://" + listener.Addr().String(), listener: listener, ended: make(chan error, 1)}
	return nil
}

// serveDemo begins to serve the page. stop ends it.
func (s *stack) serveDemo(ctx context.Context) (string, error) {
	d := s.demo
	d.sidecar, d.console, d.plays = s.sidecar, s.sidecar.url+console.Path, s.player
	var err error
	if d.pages, err = console.Demo(); err != nil {
		return "", err
	}
	if d.people, err = s.demoPeople(ctx); err != nil {
		return "", err
	}
	if d.counts, err = pgxpool.New(ctx, s.cluster.URL(pgtest.RoleSuperuser, database)); err != nil {
		return "", fmt.Errorf("connect to Postgres: %w", err)
	}
	if err := s.writeVariables(); err != nil {
		return "", err
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	go func() { d.ended <- d.Run(serving) }() // stop waits for it
	return d.url + ", variables in " + s.shown(s.variables()), nil
}

// stop ends the page, a replay that runs, and a sidecar's restart.
func (d *demo) stop() error {
	if d.cancel == nil { // it was never served
		if d.counts != nil {
			d.counts.Close()
		}
		return d.listener.Close()
	}
	d.cancel()
	err := <-d.ended
	d.counts.Close()
	return err
}

// Run serves until ctx ends, and then ends what it had started.
func (d *demo) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	d.stage.begin(ctx, g)
	server := &http.Server{Handler: d.handler(), ReadHeaderTimeout: demoReadTimeout, BaseContext: func(net.Listener) context.Context { return ctx }}
	g.Go(func() error {
		if err := server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the demo's page: %w", err)
		}
		return nil
	})
	g.Go(func() error { return d.watch(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), demoStop)
		defer cancel()
		return server.Shutdown(stopping)
	})
	return g.Wait()
}

func (d *demo) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/state", func(w http.ResponseWriter, r *http.Request) { writeDemoJSON(w, http.StatusOK, d.state(r.Context())) })
	mux.HandleFunc("GET /api/events", d.events)
	mux.HandleFunc("POST /api/start", d.startReplay)
	mux.HandleFunc("POST /api/plug", d.pullPlug)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		refuseDemo(w, http.StatusNotFound, "not_found", "There is no such call.")
	})
	mux.Handle("/", d.pages)
	return d.guard(mux)
}

// guard lets in what this machine's own page asks. A name that was made to point here (DNS rebinding) shows in Host, another
// page in Origin or Sec-Fetch-Site; and JSON cannot be sent across origins without asking first, which is never answered.
func (d *demo) guard(next http.Handler) http.Handler {
	_, port, _ := net.SplitHostPort(d.listener.Addr().String()) // it is an address
	hosts := []string{"127.0.0.1:" + port, "localhost:" + port}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'") // the pages have their own
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // "" is none that is allowed
		navigates := r.Method == http.MethodGet && r.URL.Path == "/"    // by a link, from anywhere
		switch {
		case !slices.Contains(hosts, r.Host):
			refuseDemo(w, http.StatusMisdirectedRequest, "wrong_host", "The demo is at "+d.url+" and answers to no other name.")
		case origin != "" && origin != "http://"+r.Host, !navigates && site != "" && site != "same-origin" && site != "none":
			refuseDemo(w, http.StatusForbidden, "wrong_origin", "Only the demo's own page may ask.")
		case r.Method == http.MethodPost && kind != "application/json":
			refuseDemo(w, http.StatusUnsupportedMediaType, "wrong_type", "Send JSON, with Content-Type: application/json.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// startReplay begins a replay: {"speed": 8, "conversations": 12}, both optional.
func (d *demo) startReplay(w http.ResponseWriter, r *http.Request) {
	body := struct {
		Speed         *float64 `json:"speed"`
		Conversations int      `json:"conversations"`
	}{}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, demoMaxBody))
	if err != nil || len(raw) > 0 && json.Unmarshal(raw, &body) != nil {
		refuseDemo(w, http.StatusBadRequest, "bad_body", `Send {"speed": number, "conversations": number}, or {}.`)
		return
	}
	const most = 1000
	speed := float64(demoSpeed)
	if body.Speed != nil {
		speed = *body.Speed
	}
	if !(speed >= 0 && speed <= most) || body.Conversations < 0 || body.Conversations > most {
		refuseDemo(w, http.StatusUnprocessableEntity, "out_of_range", "Speed and conversations are 0 to "+strconv.Itoa(most)+".")
		return
	}
	switch err := d.play(speed, body.Conversations); {
	case errors.Is(err, errPlaying):
		refuseDemo(w, http.StatusConflict, "already_running", "A replay runs already.")
	case errors.Is(err, errSidecarDown):
		refuseDemo(w, http.StatusConflict, "sidecar_down", "The sidecar is down; it comes back by itself.")
	case err != nil:
		refuseDemo(w, http.StatusInternalServerError, "not_started", err.Error())
	default:
		writeDemoJSON(w, http.StatusAccepted, d.state(r.Context()))
	}
}

// pullPlug kills the sidecar as kill -9 does. It comes back by itself.
func (d *demo) pullPlug(w http.ResponseWriter, r *http.Request) {
	if err := d.plug(); err != nil {
		refuseDemo(w, http.StatusConflict, "sidecar_down", "The sidecar is down already; it comes back by itself.")
		return
	}
	writeDemoJSON(w, http.StatusAccepted, d.state(r.Context()))
}

// events sends the state at once, and whenever it changes.
func (d *demo) events(w http.ResponseWriter, r *http.Request) {
	flusher := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	states, leave := d.stage.subscribe()
	defer leave()
	first, err := json.Marshal(d.state(r.Context()))
	if err != nil {
		return
	}
	quiet := time.NewTicker(demoKeepAlive)
	defer quiet.Stop()
	for next := first; ; {
		text := ": quiet\n\n"
		if next != nil {
			text = "data: " + string(next) + "\n\n"
		}
		if _, err := io.WriteString(w, text); err != nil || flusher.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case next = <-states:
		case <-quiet.C:
			next = nil
		}
	}
}

func writeDemoJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a browser that left is nobody's error
}

func refuseDemo(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": detail}) // as above
}

// address is an address as a URL.
func address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read our own address: %w", err)
	}
	return u, nil
}
