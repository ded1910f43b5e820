package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/envelope"
)

// How often what happens. Each is the longest wait: the mean is half of it.
const (
	churnKillEvery   = 8 * time.Second
	churnCutEvery    = 150 * time.Millisecond
	churnTokenEvery  = 200 * time.Millisecond
	churnRevokeEvery = 500 * time.Millisecond
	churnRevokedFor  = 1500 * time.Millisecond
	churnRevokers    = 4
)

// every calls f again and again, after a random wait of at most most, until ctx ends.
func every(ctx context.Context, most time.Duration, f func() error) error {
	for {
		timer := time.NewTimer(rand.N(most)) //nolint:gosec // no secret
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// run lets everything happen at once for as long as it lasts. Afterwards the sidecar runs and everybody has their rights.
func (c *churn) run(t testing.TB, lasts time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), lasts)
	defer cancel()
	var g errgroup.Group
	for _, y := range c.sessions {
		g.Go(func() error { return every(ctx, 2*churnWritePause, func() error { return c.send(y) }) })
	}
	for i := range churnRevokers {
		var mine []*churner
		for n, p := range c.people {
			if p.loose && n%churnRevokers == i {
				mine = append(mine, p)
			}
		}
		g.Go(func() error {
			return every(ctx, churnRevokeEvery, func() error { return c.revoke(ctx, mine[rand.IntN(len(mine))]) })
		}) //nolint:gosec // no secret
	}
	g.Go(func() error { return every(ctx, churnCutEvery, c.cut) })
	g.Go(func() error { return every(ctx, churnTokenEvery, c.refresh) })
	c.restart(ctx, t)
	if err := g.Wait(); err != nil {
		t.Errorf("churn: %v", err)
	}
}

// restart kills the sidecar, or has it drain, and starts it again, until ctx ends, and each at least once. It is the test's own
// goroutine.
func (c *churn) restart(ctx context.Context, t testing.TB) {
	t.Helper()
	for n := 0; ; n++ {
		timer := time.NewTimer(churnKillEvery/4 + rand.N(churnKillEvery*3/4)) //nolint:gosec // no secret
		select {
		case <-ctx.Done():
			timer.Stop()
			if n > 1 {
				return
			}
		case <-timer.C:
		}
		if n%3 == 1 {
			if code := c.s.sidecar.stop(t); code != 0 {
				t.Errorf("vigil ended with %d", code)
			}
			c.restarts.Add(1)
		} else {
			c.s.sidecar.kill()
			c.kills.Add(1)
		}
		c.s.sidecar.begin(t)
		c.s.sidecar.mustBeReady(t)
	}
}

// send stores one message in the session.
func (c *churn) send(y *therapy) error {
	if _, err := y.deliver(context.Background(), envelope.Message{}, ordinaryText); err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	return nil
}

// cut closes a socket as a network does that goes away: what was on its way is gone.
func (c *churn) cut() error {
	k := c.all[rand.IntN(len(c.all))] //nolint:gosec // no secret
	k.mu.Lock()
	conn := k.conn
	k.mu.Unlock()
	if conn != nil {
		_ = conn.NetConn().Close()
		c.cuts.Add(1)
	}
	return nil
}

// refresh gives somebody a new token and pushes it on all their channels.
func (c *churn) refresh() error {
	p := c.people[rand.IntN(len(c.people))] //nolint:gosec // no secret
	p.mu.Lock()
	p.renew()
	token := p.person.token
	p.mu.Unlock()
	for _, k := range p.socket {
		for _, topic := range k.topics {
			k.mu.Lock()
			k.refs++
			ref, join := fmt.Sprint(k.refs), ""
			if s := k.attendee.topics[topic]; s != nil {
				join = s.joinRef
			}
			k.mu.Unlock()
			if k.send([]any{join, ref, "realtime:" + topic, "access_token", map[string]any{"access_token": token}}) == nil {
				c.refreshes.Add(1)
			}
		}
	}
	return nil
}

// underWayEnded waits until every transaction that goes on now has ended. One that no snapshot shows yet may already stand in the log, and
// before what a snapshot shows: whoever asks the tables right after a commit does not see all that the log has before it.
func (c *churn) underWayEnded(ctx context.Context) error {
	var end int64
	if err := c.s.admin.QueryRow(ctx, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint").Scan(&end); err != nil {
		return err
	}
	return poll(ctx, func() (ended bool, err error) {
		err = c.s.admin.QueryRow(ctx, "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= $1", end).Scan(&ended)
		return ended, err
	})
}

// endings end a supervisor's right, each with what gives it back.
var endings = []struct{ end, back string }{
	{"update public.memberships set ended_at = now() where user_id = $1", "update public.memberships set ended_at = null where user_id = $1"},
	{"delete from public.memberships where user_id = $1", "insert into public.memberships (organization_id, user_id, role) values ($2, $1, 'supervisor')"},
	{"update public.memberships set role = 'client' where user_id = $1", "update public.memberships set role = 'supervisor' where user_id = $1"},
	{"update auth.users set banned_until = now() + interval '1 day' where id = $1", "update auth.users set banned_until = null where id = $1"},
	{"delete from auth.sessions where user_id = $1", ""}, // another login
}

// revoke ends somebody's right for a while. What is committed after the positions that are read next was committed without it, and
// what is sent before it is given back must not have it.
func (c *churn) revoke(ctx context.Context, p *churner) error {
	work := context.WithoutCancel(ctx)
	way := endings[rand.IntN(len(endings))] //nolint:gosec // no secret
	if _, err := c.s.admin.Exec(work, way.end, p.person.id); err != nil {
		return err
	}
	if err := c.underWayEnded(work); err != nil {
		return err
	}
	after, err := lastPositions(work, c.s.admin)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.revoked, p.after = true, after
	p.mu.Unlock()
	timer := time.NewTimer(rand.N(churnRevokedFor)) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	var flushed errgroup.Group // what was sent by now is judged by what is true now
	for _, k := range p.socket {
		flushed.Go(func() error {
			ctx, cancel := context.WithTimeout(work, patience)
			defer cancel()
			return k.flush(ctx)
		})
	}
	if err := flushed.Wait(); err != nil && !errors.Is(err, errNoSocket) {
		return err
	}
	p.mu.Lock()
	p.revoked, p.after = false, nil
	if way.back == "" {
		p.person.login = uuid.NewString()
		p.renew()
	}
	close(p.changed)
	p.changed = make(chan struct{})
	login := p.person.login
	p.mu.Unlock()
	c.revoked.Add(1)
	if way.back == "" {
		_, err = c.s.admin.Exec(work, "insert into auth.sessions (id, user_id, created_at, updated_at, aal) values ($1, $2, now(), now(), 'aal1')", login, p.person.id)
		return err
	}
	args := []any{p.person.id}
	if way.back != endings[1].back {
		_, err = c.s.admin.Exec(work, way.back, args...)
	} else {
		_, err = c.s.admin.Exec(work, way.back, append(args, p.org)...)
	}
	return err
}
