package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/envelope"
	"vigil/server/pgtest"
)

const (
	latencySessions = 40
	latencyCrisis   = 10 // one message in so many is of a crisis: those are timed
	latencySeconds  = 10
	latencyWriters  = 8

	whoVigil    = "vigil serve"
	whoSmallest = "smallest possible sidecar"
)

// target is a sidecar that turns messages of a practice into alerts at a socket.
type target struct {
	who      string
	p        *practice
	sessions []*therapy
	begin    func(context.Context) (*socket, func(), error)
	after    func(ctx context.Context, r *Result, what string) error // nil: nothing
}

// measureLatency writes messages at a steady rate and times the alerts, through the sidecar and through the smallest that
// could do it, in turn. The two have databases with the same tables, triggers and sessions.
func measureLatency(ctx context.Context, b *bench) (*Result, error) {
	pg, done, err := b.cluster(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	p, sessions, err := b.sealedPractice(ctx, pg, "postgres", latencySessions)
	if err != nil {
		return nil, err
	}
	defer p.close()
	s, err := p.sidecar()
	if err != nil {
		return nil, err
	}
	floor, floorSessions, err := b.sealedPractice(ctx, pg, "floor", latencySessions)
	if err != nil {
		return nil, err
	}
	defer floor.close()
	if _, err := floor.admin.Exec(ctx, `create table public.bench_alerts (id uuid primary key default gen_random_uuid(), message_id uuid not null, raised_at timestamptz not null default now())`); err != nil {
		return nil, err
	}
	targets := []target{
		{whoVigil, p, sessions, func(ctx context.Context) (*socket, func(), error) { return s.hear(ctx, p) }, s.addStages},
		{whoSmallest, floor, floorSessions, floor.smallest, nil},
	}
	r := &Result{}
	for _, rate := range []int{200, 1000} {
		for round := range b.rounds {
			for i := range targets {
				if err := targets[(i+round)%len(targets)].time(ctx, b, r, rate); err != nil {
					return r, fmt.Errorf("%s at %d/s: %w", targets[(i+round)%len(targets)].who, rate, err)
				}
			}
		}
		what := fmt.Sprintf("%d/s", rate)
		for _, p := range []struct {
			name string
			most float64
		}{{"p50", 2}, {"p99", 2.5}} {
			series := what + ": insert sent → frame, " + p.name
			r.check(series+", of the smallest's", ratios(r.values(whoVigil, series), r.values(whoSmallest, series)), "×", true, p.most)
		}
	}
	r.note("messages in %d sessions by %d writers, one in %d of a crisis; both sidecars read messages of the same tables with the same triggers", latencySessions, latencyWriters, latencyCrisis)
	r.note("the smallest opens and assesses nothing, keeps no log, and sends its frame as soon as its insert returns; vigil sends what the log says was committed")
	return r, p.allAssessed(ctx)
}

// hear starts the sidecar and joins its organisation's topic as a supervisor.
func (s *sidecar) hear(ctx context.Context, p *practice) (*socket, func(), error) {
	if _, err := s.begin(ctx); err != nil {
		return nil, nil, err
	}
	stop := func() { _ = s.stop() }
	k, err := func() (*socket, error) {
		supervisor, err := p.people(ctx, 1, "supervisor")
		if err != nil {
			return nil, err
		}
		logins, err := p.logins(ctx, supervisor)
		if err != nil {
			return nil, err
		}
		k, err := dial(ctx, s.address, phoenixPath(s.key), socketBuffer)
		if err == nil {
			err = k.join("1", "org:"+p.org.String(), logins[0].token, "")
		}
		if err == nil {
			_, err = k.joined(nil)
		}
		return k, err
	}()
	if err != nil {
		stop()
		return nil, nil, err
	}
	return k, stop, nil
}

// smallest starts the floor's sidecar on a slot of its own.
func (p *practice) smallest(ctx context.Context) (*socket, func(), error) {
	const slot = "smallest"
	if _, err := p.admin.Exec(ctx, `select pg_create_logical_replication_slot($1, 'pgoutput')`, slot); err != nil {
		return nil, nil, err
	}
	drop := func() {
		_ = until(context.WithoutCancel(ctx), stopWithin, 20*time.Millisecond, func() (bool, error) {
			_, err := p.admin.Exec(context.WithoutCancel(ctx), `select pg_drop_replication_slot($1)`, slot)
			return err == nil, nil
		})
	}
	url := p.pg.URL(pgtest.RoleSuperuser, p.database)
	c, err := p.b.child(ctx, "smallest", smallestConfig{Database: url, Replication: url, Slot: slot})
	if err != nil {
		drop()
		return nil, nil, err
	}
	stop := func() {
		c.stop()
		drop()
	}
	var address string
	if err = c.ask(ctx, &address, "address"); err == nil {
		var k *socket
		if k, err = dial(ctx, address, "/", socketBuffer); err == nil {
			return k, stop, nil
		}
	}
	stop()
	return nil, nil, err
}

// watch notes when each alert arrives.
type watch struct {
	mu      sync.Mutex
	arrived map[string]time.Time
}

func (w *watch) read(k *socket) {
	for {
		data, err := k.next()
		if err != nil {
			return // closed at the end; what is missing is found out then
		}
		const before = `"message_id":"`
		at := bytes.Index(data, []byte(before))
		if at < 0 || !bytes.Contains(data, []byte(`"event":"alert"`)) {
			continue
		}
		id := string(data[at+len(before) : at+len(before)+36])
		w.mu.Lock()
		if _, ok := w.arrived[id]; !ok {
			w.arrived[id] = time.Now()
		}
		w.mu.Unlock()
	}
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.arrived)
}

// sent is one message of a crisis on its way.
type sent struct {
	id              string
	begun, returned time.Time
}

// time runs one round: the sidecar started, warmed up, written to, and stopped again.
func (t target) time(ctx context.Context, b *bench, r *Result, rate int) error {
	seconds := b.scaled(latencySeconds, 1)
	b.progress.begin(fmt.Sprintf("%s: %d messages/s for %d s", t.who, rate, seconds), 0)
	k, stop, err := t.begin(ctx)
	if err != nil {
		return err
	}
	defer stop()
	w := &watch{arrived: map[string]time.Time{}}
	var reading errgroup.Group
	reading.Go(func() error { w.read(k); return nil })
	defer func() {
		k.close()
		_ = reading.Wait()
	}()
	warm, err := t.write(ctx, rate, rate)
	if err != nil {
		return err
	}
	began := time.Now()
	messages, err := t.write(ctx, rate*seconds, rate)
	if err != nil {
		return err
	}
	achieved := float64(rate*seconds) / time.Since(began).Seconds()
	want := len(warm) + len(messages)
	if err := until(ctx, time.Minute, 10*time.Millisecond, func() (bool, error) { return w.count() >= want, nil }); err != nil {
		return fmt.Errorf("%d of %d alerts arrived: %w", w.count(), want, err)
	}
	fromSent, fromReturned := make(durations, 0, len(messages)), make(durations, 0, len(messages))
	for _, m := range messages {
		at, ok := w.arrived[m.id]
		if !ok {
			return errors.New("an alert did not arrive")
		}
		fromSent, fromReturned = append(fromSent, at.Sub(m.begun)), append(fromReturned, at.Sub(m.returned))
	}
	what := fmt.Sprintf("%d/s", rate)
	r.addLatency(t.who, what+": insert sent → frame", fromSent)
	r.add(t.who, what+": insert returned → frame, p50", "ms", fromReturned.percentile(0.5))
	r.add(t.who, what+": messages written", "/s", achieved)
	if t.after != nil {
		return t.after(ctx, r, what)
	}
	return nil
}

// write stores n messages at a steady rate; those of a crisis are returned.
func (t target) write(ctx context.Context, n, rate int) ([]sent, error) {
	per := max(1, n/latencyWriters)
	interval := time.Duration(latencyWriters) * time.Second / time.Duration(rate)
	var mu sync.Mutex
	var all []sent
	var g errgroup.Group
	begin := time.Now().Add(50 * time.Millisecond) // everything is sealed on the way
	for writer := range latencyWriters {
		var mine []*therapy
		for i := writer; i < len(t.sessions); i += latencyWriters {
			mine = append(mine, t.sessions[i])
		}
		g.Go(func() error {
			next := begin.Add(interval * time.Duration(writer) / latencyWriters)
			for i := range per {
				y := mine[i%len(mine)]
				crisis := (i*latencyWriters+writer)%latencyCrisis == 0
				if err := t.p.rotate(ctx, y, 1); err != nil {
					return err
				}
				m, err := y.sealMarked(i, crisis)
				if err != nil {
					return err
				}
				if err := pause(ctx, time.Until(next)); err != nil {
					return err
				}
				next = next.Add(interval)
				s := sent{id: m.ID.String(), begun: time.Now()}
				if err := t.p.insertOne(ctx, y, m); err != nil {
					return err
				}
				s.returned = time.Now()
				if crisis {
					mu.Lock()
					all = append(all, s)
					mu.Unlock()
				}
			}
			return nil
		})
	}
	return all, g.Wait()
}

// sealMarked makes a message whose id says whether it is of a crisis. rotate was called for it.
func (y *therapy) sealMarked(i int, crisis bool) (envelope.Message, error) {
	id := uuid.New()
	text := ordinaryTexts[i%len(ordinaryTexts)]
	if id[0] == 0xcc {
		id[0] = 0
	}
	if crisis {
		id[0], text = 0xcc, crisisText
	}
	plain, err := envelope.Text(text, time.Now())
	if err != nil {
		return envelope.Message{}, err
	}
	m, err := y.epoch.Seal(y.device, id, y.seq, plain)
	y.seq++
	return m, err
}

// insertOne stores a message in one round trip, as PostgREST would in its transaction.
func (p *practice) insertOne(ctx context.Context, y *therapy, m envelope.Message) error {
	conn, err := p.api.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue("select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)", y.client.claims)
	batch.Queue("insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) values ($1, $2, $3, $4, $5, $6)",
		m.ID, m.Session, m.Sender, int32(m.Epoch), int64(m.Seq), m.Body)
	batch.Queue("commit")
	return conn.SendBatch(ctx, batch).Close()
}
