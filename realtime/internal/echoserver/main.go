// Command echoserver serves the channels from memory for tests with real clients: the log is realtime/internal/memory, a
// token is "user/login" or "user/login/anything", and grants are a table that the test writes over HTTP. It prints its
// address as one line of JSON, and ends when its standard input does.
//
// POST /serve there makes a server with an address, a log and tables of its own, so that tests disturb none but themselves;
// its body may name limits and waits. GET / is an empty page for a browser to stand on.
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
	"sync"
	"time"

	"vigil/realtime"
)

func main() {
	if err := run(os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "echoserver:", err)
		os.Exit(1)
	}
}

func run(stdin io.Reader, stdout, stderr io.Writer) error {
	f := &factory{log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page)
	mux.HandleFunc("POST /serve", func(w http.ResponseWriter, r *http.Request) { f.serve(ctx, w, r) })
	listener, err := listen(ctx)
	if err != nil {
		return err
	}
	h := &http.Server{Handler: fromAnywhere(mux), ReadHeaderTimeout: time.Minute}
	serving := make(chan error, 1)
	go func() { serving <- h.Serve(listener) }() // awaited below
	if err := json.NewEncoder(stdout).Encode(map[string]string{"url": "http://" + listener.Addr().String()}); err != nil {
		return fmt.Errorf("say where: %w", err)
	}
	_, _ = io.Copy(io.Discard, stdin) // until who started us is done
	cancel()
	return errors.Join(h.Close(), ignoreClosed(<-serving), f.wait())
}

func listen(ctx context.Context) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!doctype html><title>Conformance</title><link rel=icon href=data:,>") // the browser may be gone
}

// fromAnywhere lets pages of any origin ask, with the headers of realtime-js, as a gateway before the channels does.
func fromAnywhere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Headers", "apikey, authorization, content-type, x-client-info")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// factory makes servers and knows when all have ended.
type factory struct {
	log     *slog.Logger
	running sync.WaitGroup

	mu     sync.Mutex
	failed error
}

// serve answers with the address of a new server, which lives until ctx ends.
func (f *factory) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	var config struct {
		Limits realtime.Limits
		Timing realtime.Timing // in nanoseconds
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&config); err != nil {
		http.Error(w, "no configuration", http.StatusBadRequest)
		return
	}
	listener, err := listen(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	e := newEcho(f.log, config.Limits, config.Timing)
	f.running.Go(func() {
		if err := e.run(ctx, listener); err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.failed = errors.Join(f.failed, err)
		}
	})
	_ = json.NewEncoder(w).Encode(map[string]string{"url": "http://" + listener.Addr().String()}) // who asked may be gone
}

func (f *factory) wait() error {
	f.running.Wait()
	return f.failed
}
