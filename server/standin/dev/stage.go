package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/config"
	"vigil/server/internal/replay"
)

// What the demo plays: quick enough for a minute, slow enough to watch.
const (
	demoSpeed       = 8
	demoConcurrency = 6
)

var (
	errPlaying     = errors.New("a replay runs already")
	errSidecarDown = errors.New("the sidecar is down")
)

// player is a replay that is ready to run.
type player interface {
	Run(ctx context.Context, progress func(replay.Progress)) (replay.Summary, error)
	Sessions() []uuid.UUID
}

// player makes a replay of the bundled conversations in the demo's practice.
func (s *stack) player(speed float64, conversations int) (player, error) {
	supabase, err := address(s.supabase.url)
	if err != nil {
		return nil, err
	}
	vigil, err := address(s.sidecar.url)
	if err != nil {
		return nil, err
	}
	return replay.New(replay.Config{
		SupabaseURL: supabase, VigilURL: vigil, Organization: demoOrganization,
		PublishableKey: config.NewSecret(s.supabase.server.PublishableKey()), SecretKey: config.NewSecret(s.supabase.server.SecretKey()),
		Count: conversations, Concurrency: demoConcurrency, Speed: speed, Keep: true,
	})
}

// performance is one replay of the demo.
type performance struct {
	replay   player
	running  bool
	progress replay.Progress
	fault    string
}

// stage holds what the page sees. The zero value is empty; begin gives it somebody to run its parts.
type stage struct {
	mu          sync.Mutex
	start       func(func(context.Context)) // in Run's group: what a request starts does not end with the request
	performance *performance
	subscribers map[chan []byte]bool
}

func (s *stage) begin(ctx context.Context, g *errgroup.Group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start = func(work func(context.Context)) { g.Go(func() error { work(ctx); return nil }) }
	s.subscribers = make(map[chan []byte]bool)
}

// subscribe gives the states as they change; the newest wins over one that was not taken yet.
func (s *stage) subscribe() (states <-chan []byte, leave func()) {
	c := make(chan []byte, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers[c] = true
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subscribers, c)
	}
}

func (s *stage) publish(state []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.subscribers {
		select {
		case <-c:
		default:
		}
		c <- state
	}
}

func (s *stage) watched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.subscribers) > 0
}

// play begins a replay, unless one runs.
func (d *demo) play(speed float64, conversations int) error {
	if state, _, _ := d.sidecar.status(); state != stateUp {
		return errSidecarDown
	}
	s := &d.stage
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.performance != nil && s.performance.running {
		return errPlaying
	}
	made, err := d.plays(speed, conversations)
	if err != nil {
		return err
	}
	p := &performance{replay: made, running: true}
	s.performance = p
	s.start(func(ctx context.Context) {
		summary, err := made.Run(ctx, func(now replay.Progress) {
			s.mu.Lock()
			defer s.mu.Unlock()
			p.progress = now
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		p.running = false
		switch {
		case err != nil:
			p.fault = err.Error()
		case summary.Failed > 0:
			p.fault = "Not every conversation was replayed to its end: " + summary.Reasons[0]
		}
		p.progress.Counts = summary.Messages
	})
	return nil
}

// plug kills the sidecar, which a while later is started again.
func (d *demo) plug() error {
	if err := d.sidecar.kill(); err != nil {
		return err
	}
	s := &d.stage
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start(d.sidecar.revive)
	return nil
}

// watch tells the subscribers what has changed.
func (d *demo) watch(ctx context.Context) error {
	tick := time.NewTicker(demoPollInterval)
	defer tick.Stop()
	var last []byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !d.stage.watched() {
			last = nil
			continue
		}
		state, err := json.Marshal(d.state(ctx))
		if err != nil || bytes.Equal(state, last) {
			continue
		}
		last = state
		d.stage.publish(state)
	}
}
