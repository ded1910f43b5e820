package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	reconnectClients = 10_000
	reconnectTopics  = 100
	reconnectGap     = 100 // entries that each has missed
	reconnectAtOnce  = 1000
	filesSpare       = 500 // open files that a process needs besides its sockets
)

// away is one client: a login of its own on a session's topic, and how far it has come.
type away struct {
	login  login
	topic  string
	socket *socket
	cursor string
	last   meta
	got    int // entries since the restart
}

type meta struct {
	Seq    uint64 `json:"seq"`
	Prev   uint64 `json:"prev"`
	Cursor string `json:"cursor"`
}

// measureReconnect stops the sidecar under many clients, has rows committed meanwhile, and starts it again.
func measureReconnect(ctx context.Context, b *bench) (*Result, error) {
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
	n := b.scaled(reconnectClients, 20)
	most := files() - filesSpare
	topics := min(reconnectTopics, n)
	sessions, err := p.therapies(ctx, topics, max(1, topics/10), false)
	if err != nil {
		return nil, err
	}
	s, err := p.sidecar()
	if err != nil {
		return nil, err
	}
	r := &Result{}
	if n > most {
		r.note("%d clients in place of %d: a process may have %d files open here", most, n, files())
		n = most
	}
	clients, err := p.everyone(ctx, sessions, n)
	if err != nil {
		return r, err
	}
	for range b.rounds {
		if err := p.restart(ctx, r, s, sessions, clients); err != nil {
			return r, err
		}
	}
	r.check("last client recovered, from the start of the process", r.values(whoVigil, "start → last client recovered"), " s", true, 20)
	all := r.values(whoVigil, "recovered")
	r.check("clients that recovered, in the worst round", []float64{slices.Min(all)}, " %", false, 100)
	r.note("%d sockets, each a login of its own, on %d topics, %d entries missed on each; %d come at once, each again when it has recovered; a recovery counts when every entry came once and in order", n, topics, reconnectGap, reconnectAtOnce)
	return r, nil
}

// files is how many files a process may have open here.
func files() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return filesSpare
	}
	return int(min(limit.Max, 1<<20))
}

// everyone gives each client a login of its own; a session's client signs in many times.
func (p *practice) everyone(ctx context.Context, sessions []*therapy, n int) ([]*away, error) {
	people := make([]person, n)
	for i := range people {
		people[i].id = sessions[i%len(sessions)].client.person
	}
	logins, err := p.logins(ctx, people)
	if err != nil {
		return nil, err
	}
	clients := make([]*away, n)
	for i := range clients {
		clients[i] = &away{login: logins[i], topic: "session:" + sessions[i%len(sessions)].id.String()}
	}
	return clients, nil
}

// connect joins from where the client was, and returns when it has want entries more.
func (a *away) connect(ctx context.Context, s *sidecar, want int) (err error) {
	if a.socket, err = dial(ctx, s.address, phoenixPath(s.key), socketBuffer); err != nil {
		return err
	}
	if err := a.socket.conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	if err := a.socket.join("1", a.topic, a.login.token, a.cursor); err != nil {
		return err
	}
	a.got = 0
	var faults error
	r, err := a.socket.joined(func(payload []byte) { faults = errors.Join(faults, a.take(payload)) })
	if err = errors.Join(err, faults); err != nil {
		return err
	}
	if want > 0 && !r.Recovered {
		return fmt.Errorf("not recovered: %s", r.Message)
	}
	a.cursor = r.Cursor
	for a.got < want {
		data, err := a.socket.next()
		if err != nil {
			return err
		}
		f, err := parse(data)
		if err != nil {
			return err
		}
		if f.event == "broadcast" {
			if err := a.take(f.payload); err != nil {
				return err
			}
		}
	}
	return nil
}

// persist comes again after a second, as a real client does, when it is refused because the server is busy.
func (a *away) persist(ctx context.Context, s *sidecar, want int) error {
	const tries = 10
	for i := 1; ; i++ {
		err := a.connect(ctx, s, want)
		if err == nil || !errors.Is(err, errRefused) || i == tries {
			return err
		}
		a.socket.close()
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// take holds the order: prev is the last seq seen.
func (a *away) take(payload []byte) error {
	var b struct {
		Meta meta `json:"meta"`
	}
	if err := json.Unmarshal(payload, &b); err != nil {
		return err
	}
	if a.last.Seq != 0 && b.Meta.Prev != a.last.Seq {
		return fmt.Errorf("a hole or a double: %d has prev %d after %d", b.Meta.Seq, b.Meta.Prev, a.last.Seq)
	}
	a.last, a.cursor = b.Meta, b.Meta.Cursor
	a.got++
	return nil
}

// all connects every client; a client that fails is counted, not fatal.
func (p *practice) all(ctx context.Context, s *sidecar, clients []*away, want int) (failed int64, first error) {
	var count, ready atomic.Int64
	var firstErr atomic.Pointer[error]
	var g errgroup.Group
	g.SetLimit(reconnectAtOnce)
	for _, a := range clients {
		g.Go(func() error {
			if err := a.persist(ctx, s, want); err != nil {
				count.Add(1)
				firstErr.CompareAndSwap(nil, &err)
			}
			p.b.progress.set(int(ready.Add(1)))
			return nil
		})
	}
	_ = g.Wait() // failures are counted
	if e := firstErr.Load(); e != nil {
		first = *e
	}
	return count.Load(), first
}

func (p *practice) restart(ctx context.Context, r *Result, s *sidecar, sessions []*therapy, clients []*away) error {
	defer func() {
		for _, a := range clients {
			if a.socket != nil {
				a.socket.close()
			}
		}
	}()
	if _, err := s.begin(ctx); err != nil {
		return err
	}
	p.b.progress.begin(fmt.Sprintf("%d clients join", len(clients)), len(clients))
	failed, err := p.all(ctx, s, clients, 0)
	if failed > 0 {
		_ = s.stop()
		return fmt.Errorf("%d clients could not join: %w", failed, err)
	}
	if err := s.stop(); err != nil {
		return err
	}
	for _, a := range clients {
		a.socket.close()
		a.last = meta{}
	}
	for range reconnectGap {
		if err := p.arrive(ctx, sessions, 0, len(sessions)); err != nil {
			return err
		}
	}
	p.b.progress.begin(fmt.Sprintf("%d clients come back", len(clients)), len(clients))
	began := time.Now()
	ready, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	failed, err = p.all(ctx, s, clients, reconnectGap)
	took := time.Since(began)
	if failed > 0 {
		r.note("%d clients did not recover; the first: %v", failed, err)
	}
	cpu, err := s.cpu()
	if err != nil {
		return err
	}
	_, most, err := s.memory()
	r.add(whoVigil, "start → ready", "s", ready.Seconds())
	r.add(whoVigil, "start → last client recovered", "s", took.Seconds())
	r.add(whoVigil, "recovered", "%", 100*float64(int64(len(clients))-failed)/float64(len(clients)))
	r.add(whoVigil, "CPU of the sidecar", "ms/client", cpu.Seconds()*1e3/float64(len(clients)))
	r.add(whoVigil, "RSS, highest", "MB", float64(most)/(1<<20))
	return err
}
