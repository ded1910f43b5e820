package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestNothingIsMissedThroughRestartsOfPostgres is guarantees 1 to 3 while Postgres is restarted and killed under load: the
// sidecar stays up, and its clients keep their sockets and their place in the log.
func TestNothingIsMissedThroughRestartsOfPostgres(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	l := newLoad(t, s, 3)
	stopWriting := l.begin(t)
	restart := map[bool]func(context.Context) error{
		false: s.cluster.Restart,
		true: func(ctx context.Context) error {
			if err := s.cluster.Kill(ctx); err != nil {
				return err
			}
			return s.cluster.Resume(ctx)
		},
	}
	for i := range 6 {
		l.progresses(t, 30)
		if err := restart[i%2 == 1](t.Context()); err != nil {
			t.Fatal(err)
		}
		s.admin.Reset() // what it held is broken
		if !s.sidecar.running() {
			t.Fatalf("vigil ended:\n%s", s.sidecar.out.tail())
		}
	}
	l.progresses(t, 30)
	stopWriting()
	l.verify(t, true)
	if n := l.watchers[0].joins; n != 1 {
		t.Errorf("the client had to join %d times: sockets need no Postgres", n)
	}
	s.awaitMetric(t, "vigil_replication_reconnects_total", func(n float64) bool { return n >= 6 })
}

// TestStopLosesNothing: SIGTERM under load ends in time with exit code 0, sockets are told to come back (1012), and the
// next process goes on where this one ended.
func TestStopLosesNothing(t *testing.T) {
	t.Parallel()
	const within = 10 * time.Second
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	l := newLoad(t, s, 3)
	stopWriting := l.begin(t)
	for range 3 {
		l.progresses(t, 60)
		start := time.Now()
		if code := s.sidecar.stop(t); code != 0 {
			t.Errorf("vigil ended with %d:\n%s", code, s.sidecar.out.tail())
		}
		if took := time.Since(start); took > within {
			t.Errorf("the stop took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		for _, w := range l.watchers {
			if err := w.await(ctx, func(w *watcher) bool { return w.close != 0 }); err != nil {
				t.Errorf("%s: the socket was not closed properly: %v", w.topic, err)
			}
			w.update(func() {
				if w.close != websocket.CloseServiceRestart {
					t.Errorf("%s was closed with %d, want 1012", w.topic, w.close)
				}
				w.close = 0
			})
		}
		cancel()
		s.sidecar.begin(t)
		s.sidecar.mustBeReady(t)
	}
	stopWriting()
	l.verify(t, true)
}
