package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	joinTherapists = 50
	joinSessions   = 1000 // so each therapist has 20: forty topics
	joinsAtOnce    = 32   // asked and not yet answered
)

// measureJoins has therapists join the topics of all their sessions. Every round has new logins, so that no answer is
// remembered: each join is verified and asked of Postgres.
func measureJoins(ctx context.Context, b *bench) (*Result, error) {
	pg, done, err := b.cluster(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	p, err := b.practice(ctx, pg, "postgres")
	if err != nil {
		return nil, err
	}
	defer p.close()
	therapists := b.scaled(joinTherapists, 5)
	sessions, err := p.therapies(ctx, b.scaled(joinSessions, 20), therapists, false)
	if err != nil {
		return nil, err
	}
	s, err := p.sidecar()
	if err != nil {
		return nil, err
	}
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer func() { _ = s.stop() }()
	r := &Result{}
	for round := range b.rounds + 1 {
		took, elapsed, used, err := p.join(ctx, s, sessions, therapists)
		if err != nil {
			return r, err
		}
		if round == 0 {
			continue // connections, plans and keys are made
		}
		r.addLatency(whoVigil, "join → answer", took)
		r.add(whoVigil, "joins", "/s", float64(len(took))/elapsed.Seconds())
		r.add(whoVigil, "CPU of the sidecar", "µs/join", used.cpu.Seconds()*1e6/float64(len(took)))
	}
	r.check("joins/s", r.values(whoVigil, "joins"), "", false, 2000)
	r.check("join → answer, p99", r.values(whoVigil, "join → answer, p99"), " ms", true, 50)
	r.note("%d joins a round by %d new logins, %d asked at once; the client, the sidecar and Postgres share the cores", 2*len(sessions), therapists, joinsAtOnce)
	return r, nil
}

// lane is one login's socket: what it has asked for, and when.
type lane struct {
	socket *socket
	topics []string
	token  string

	mu    sync.Mutex
	asked map[string]time.Time
}

func (p *practice) join(ctx context.Context, s *sidecar, sessions []*therapy, therapists int) (took durations, elapsed time.Duration, used usage, err error) {
	lanes, err := p.lanes(ctx, s, sessions, therapists)
	defer func() {
		for _, l := range lanes {
			l.socket.close()
		}
	}()
	if err != nil {
		return nil, 0, usage{}, err
	}
	slots := make(chan struct{}, joinsAtOnce)
	var mu sync.Mutex
	began := time.Now()
	used, err = during(ctx, s.process, func() error {
		g, ctx := errgroup.WithContext(ctx)
		for _, l := range lanes {
			g.Go(func() error { return l.ask(ctx, slots) })
			g.Go(func() error {
				mine, err := l.answers(slots)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, mine...)
				return err
			})
		}
		return g.Wait()
	})
	return took, time.Since(began), used, err
}

// lanes opens a socket for a new login of each therapist.
func (p *practice) lanes(ctx context.Context, s *sidecar, sessions []*therapy, therapists int) ([]*lane, error) {
	people := make([]person, therapists)
	for i := range people {
		people[i].id = sessions[i].therapist.person
	}
	logins, err := p.logins(ctx, people)
	if err != nil {
		return nil, err
	}
	lanes := make([]*lane, 0, therapists)
	for i := range logins {
		l := &lane{token: logins[i].token, asked: map[string]time.Time{}}
		for j := i; j < len(sessions); j += therapists {
			l.topics = append(l.topics, "session:"+sessions[j].id.String(), "care:"+sessions[j].id.String())
		}
		if l.socket, err = dial(ctx, s.address, phoenixPath(s.key), socketBuffer); err != nil {
			return lanes, err
		}
		lanes = append(lanes, l)
	}
	return lanes, nil
}

func (l *lane) ask(ctx context.Context, slots chan<- struct{}) error {
	for i, topic := range l.topics {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			l.socket.close()
			return ctx.Err()
		}
		ref := strconv.Itoa(i + 1)
		l.mu.Lock()
		l.asked[ref] = time.Now()
		l.mu.Unlock()
		if err := l.socket.join(ref, topic, l.token, ""); err != nil {
			return err
		}
	}
	return nil
}

// answers reads until every join is answered.
func (l *lane) answers(slots <-chan struct{}) (durations, error) {
	took := make(durations, 0, len(l.topics))
	for len(took) < len(l.topics) {
		data, err := l.socket.next()
		if err != nil {
			return took, err
		}
		f, err := parse(data)
		if err != nil {
			return took, err
		}
		if f.event != "phx_reply" {
			continue
		}
		if !strings.Contains(string(f.payload), `"ok"`) {
			return took, fmt.Errorf("a join was refused: %s", f.payload)
		}
		l.mu.Lock()
		at, ok := l.asked[f.ref]
		l.mu.Unlock()
		if !ok {
			return took, errors.New("an answer to nothing")
		}
		took = append(took, time.Since(at))
		<-slots
	}
	return took, nil
}
