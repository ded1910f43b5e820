package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// idleFor is how long the sidecar rests before its memory is read, both before the first connection and after the last: longer
// than the two minutes after which Go collects what the start and the handshakes left, if nothing else makes it do so.
const idleFor = 130 * time.Second

// measureIdle reads what connections cost that do nothing: of the channel server and its peers alone, after they gave memory
// back, and of the sidecar as it is.
func measureIdle(ctx context.Context, b *bench) (*Result, error) {
	r := &Result{}
	n := b.scaled(5000, 50)
	servers := []string{fanVigil, fanPeer, fanBare}
	b.progress.begin(fmt.Sprintf("%d idle connections", n), b.rounds*len(servers))
	for round := range b.rounds {
		for i, server := range servers {
			kb, err := b.idle(ctx, server, n)
			if err != nil {
				return r, fmt.Errorf("%s: %w", server, err)
			}
			r.add(server+" (server alone)", "RSS", "KB/connection", kb)
			b.progress.set(round*len(servers) + i + 1)
		}
	}
	if err := b.idleSidecar(ctx, r, n); err != nil {
		return r, err
	}
	const who = "vigil serve"
	r.check("RSS a connection", r.values(who, "RSS"), " KB", true, 20)
	r.note("%d connections, each on two private topics, presence off; alone: after GC; vigil serve: the process as it is, %s after the last join", n, idleFor)
	return r, nil
}

func (b *bench) idle(ctx context.Context, server string, n int) (kb float64, err error) {
	warm, err := b.audience(ctx, server, 0, socketBuffer)
	if err != nil {
		return 0, err
	}
	defer warm.close()
	before, err := warm.rest(ctx)
	if err != nil {
		return 0, err
	}
	warm.sockets = make([]*socket, n)
	if err := warm.open(ctx, server, socketBuffer); err != nil {
		return 0, err
	}
	after, err := warm.rest(ctx)
	return float64(after-before) / float64(n) / 1024, err
}

func (a *audience) rest(ctx context.Context) (int64, error) {
	if err := pause(ctx, time.Second); err != nil {
		return 0, err
	}
	var none struct{}
	if err := a.child.ask(ctx, &none, "rest"); err != nil {
		return 0, err
	}
	now, _, err := a.child.memory()
	return now, err
}

// idleSidecar does the same to a whole sidecar, once.
func (b *bench) idleSidecar(ctx context.Context, r *Result, n int) error {
	pg, done, err := b.cluster(ctx)
	if err != nil {
		return err
	}
	defer done()
	p, err := b.practice(ctx, pg, "postgres")
	if err != nil {
		return err
	}
	defer p.close()
	sessions, err := p.therapies(ctx, min(n, 100), min(n, 10), false)
	if err != nil {
		return err
	}
	kb, err := p.idle(ctx, sessions, n)
	if err != nil {
		return fmt.Errorf("vigil serve: %w", err)
	}
	r.add("vigil serve", "RSS", "KB/connection", kb)
	return nil
}

func (p *practice) idle(ctx context.Context, sessions []*therapy, n int) (kb float64, err error) {
	s, err := p.sidecar()
	if err != nil {
		return 0, err
	}
	if _, err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer func() { _ = s.stop() }()
	p.b.progress.begin(fmt.Sprintf("%d idle connections to vigil serve", n), 0)
	if err := pause(ctx, idleFor); err != nil {
		return 0, err
	}
	before, _, err := s.memory()
	if err != nil {
		return 0, err
	}
	sockets := make([]*socket, n)
	defer func() {
		for _, k := range sockets {
			if k != nil {
				k.close()
			}
		}
	}()
	var g errgroup.Group
	g.SetLimit(dialsAtOnce)
	for i := range sockets {
		g.Go(func() error {
			k, err := dial(ctx, s.address, phoenixPath(s.key), socketBuffer)
			if err != nil {
				return err
			}
			sockets[i] = k
			y := sessions[i%len(sessions)]
			for ref, topic := range []string{"session:", "care:"} {
				if err := k.join(strconv.Itoa(ref+1), topic+y.id.String(), y.therapist.token, ""); err != nil {
					return err
				}
				if _, err := k.joined(nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	if err := pause(ctx, idleFor); err != nil {
		return 0, err
	}
	after, _, err := s.memory()
	return float64(after-before) / float64(n) / 1024, err
}
