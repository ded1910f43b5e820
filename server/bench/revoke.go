package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	revokeChannels = 1000
	revocations    = 100 // in a round
	trafficRows    = 20  // rows written in one statement while people are revoked
	trafficEvery   = 20 * time.Millisecond
)

// listener is one client on its session's topic.
type listener struct {
	socket *socket
	last   atomic.Int64 // when the last frame came, in Unix nanoseconds
	frames atomic.Int64
	closed chan struct{} // the channel was ended
	after  atomic.Int64  // frames of the topic after that: there must be none
}

func (l *listener) read() {
	open := true
	for {
		data, err := l.socket.next()
		if err != nil {
			return
		}
		f, err := parse(data)
		if err != nil {
			return
		}
		l.last.Store(time.Now().UnixNano())
		l.frames.Add(1)
		switch {
		case f.event == "phx_close" && open:
			open = false
			close(l.closed)
		case f.event == "broadcast" && !open:
			l.after.Add(1)
		}
	}
}

// measureRevoke ends memberships one after the other while every topic has traffic, and times the last frame.
func measureRevoke(ctx context.Context, b *bench) (*Result, error) {
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
	n, each := b.scaled(revokeChannels, 20), b.scaled(revocations, 3)
	// Who was revoked is made up for by as many more: each round has the same number of live channels.
	sessions, err := p.therapies(ctx, n+b.rounds*each, max(1, n/20), false)
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
	listeners := map[uuid.UUID]*listener{}
	var reading errgroup.Group
	defer func() {
		for _, l := range listeners {
			l.socket.close()
		}
		_ = reading.Wait()
	}()
	r := &Result{}
	for round := range b.rounds {
		live := sessions[round*each : round*each+n]
		b.progress.begin(fmt.Sprintf("%d revocations at %d live channels", each, n), 0)
		if err := p.listen(ctx, s, live, listeners, &reading); err != nil {
			return r, err
		}
		took, err := p.revoke(ctx, live, each, listeners)
		if err != nil {
			return r, err
		}
		r.addLatency(whoVigil, "commit returned → last frame", took)
	}
	for _, l := range listeners {
		if l.after.Load() > 0 {
			return r, errors.New("a frame came after the channel was closed")
		}
	}
	r.check("commit → last frame, p99", r.values(whoVigil, "commit returned → last frame, p99"), " ms", true, 20)
	r.note("%d revocations a round (memberships.ended_at), %d sockets with a topic each, %d rows written every %s, one on each of as many topics; the last frame is phx_close", each, n, trafficRows, trafficEvery)
	return r, nil
}

// listen joins every session's topic as its client, those that have not yet.
func (p *practice) listen(ctx context.Context, s *sidecar, live []*therapy, listeners map[uuid.UUID]*listener, reading *errgroup.Group) error {
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(dialsAtOnce)
	for _, y := range live {
		mu.Lock()
		joined := listeners[y.id] != nil
		mu.Unlock()
		if joined {
			continue
		}
		l := &listener{closed: make(chan struct{})}
		g.Go(func() error {
			k, err := dial(ctx, s.address, phoenixPath(s.key), socketBuffer)
			if err != nil {
				return err
			}
			l.socket = k
			mu.Lock()
			listeners[y.id] = l
			mu.Unlock()
			if err := k.join("1", "session:"+y.id.String(), y.client.token, ""); err != nil {
				return err
			}
			if _, err := k.joined(nil); err != nil {
				return err
			}
			reading.Go(func() error { l.read(); return nil })
			return nil
		})
	}
	return g.Wait()
}

func (p *practice) revoke(ctx context.Context, live []*therapy, n int, listeners map[uuid.UUID]*listener) (durations, error) {
	traffic, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	g.Go(func() error { return p.traffic(traffic, live) })
	took := make(durations, 0, n)
	err := func() error {
		for _, y := range live[:n] {
			if err := pause(ctx, trafficEvery); err != nil {
				return err
			}
			l := listeners[y.id]
			if _, err := p.admin.Exec(ctx, `update public.memberships set ended_at = now() where user_id = $1`, y.client.person); err != nil {
				return err
			}
			committed := time.Now()
			select {
			case <-l.closed:
			case <-time.After(socketTimeout):
				return errors.New("a revoked client's channel was not ended")
			case <-ctx.Done():
				return ctx.Err()
			}
			took = append(took, max(0, time.Duration(l.last.Load()-committed.UnixNano())))
		}
		return nil
	}()
	stop()
	return took, errors.Join(err, g.Wait())
}

// traffic writes rows, so that the topics have frames all the time.
func (p *practice) traffic(ctx context.Context, live []*therapy) error {
	tick := time.NewTicker(trafficEvery)
	defer tick.Stop()
	for at := 0; ; at += trafficRows {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := p.arrive(context.WithoutCancel(ctx), live, at, trafficRows); err != nil {
			return err
		}
	}
}

// arrive has n sessions' topics relay an entry each, of a row that says that a message has come. Triggers and foreign keys
// are passed over, for what is measured lies behind them.
func (p *practice) arrive(ctx context.Context, sessions []*therapy, from, n int) error {
	ids := make([]uuid.UUID, 0, n)
	for i := range n {
		ids = append(ids, sessions[(from+i)%len(sessions)].id)
	}
	return pgx.BeginFunc(ctx, p.admin, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `set local session_replication_role = replica`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `insert into public.message_arrivals
			(message_id, session_id, organization_id, position, sender_id, sender_device_id, epoch, seq, created_at)
			select gen_random_uuid(), s, $2, $3, gen_random_uuid(), gen_random_uuid(), 1, $3, now() from unnest($1::uuid[]) s`, ids, p.org, p.arrivals.Add(1))
		return err
	})
}
