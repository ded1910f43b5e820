package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/assess"
	"vigil/server/internal/bus"
	"vigil/server/internal/envelope"
	"vigil/server/internal/pipeline"
	"vigil/server/internal/replication"
	"vigil/server/internal/store"
	"vigil/server/internal/triage"
	"vigil/server/pgtest"
)

// pipelineConfig tells the child where to read and write.
type pipelineConfig struct {
	Database    string `json:"database"`
	Replication string `json:"replication"`
	Slot        string `json:"slot"`
	Dir         string `json:"dir"`
	KeyFile     string `json:"key_file"`
}

// pipelineChild is the sidecar without its relay, its sockets and its HTTP: what the row names, slot → opened → assessed →
// recorded, joined as app joins it.
func pipelineChild(ctx context.Context, raw json.RawMessage) (handler, error) {
	var c pipelineConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return handler{}, err
	}
	pool, err := pgxpool.New(ctx, c.Database)
	if err != nil {
		return handler{}, err
	}
	keys, err := envelope.FileSource{Path: c.KeyFile}.Keys(ctx)
	if err != nil {
		return handler{}, err
	}
	quiet := slog.New(slog.DiscardHandler)
	b, err := bus.Open(ctx, bus.Config{Dir: c.Dir, Log: quiet, Durables: []string{bus.Pipeline}})
	if err != nil {
		return handler{}, err
	}
	s, log := store.New(pool), b.Log()
	found, err := replication.Inspect(ctx, c.Replication, c.Slot, []string{"vigil_messages", "vigil_rows"})
	if err != nil {
		return handler{}, err
	}
	reader, err := replication.New(replication.Config{
		URL: c.Replication, Slot: c.Slot, Publications: found.Publications, Last: log.Last, Log: quiet,
		Append: func(ctx context.Context, data []byte) (replication.Stored, error) { return log.Append(ctx, data) },
	})
	if err != nil {
		return handler{}, err
	}
	const batch = 32 // as app's
	p := pipeline.New(pipeline.Config{
		Source: func(ctx context.Context, handle func(context.Context, []pipeline.Entry) error) error {
			return log.ConsumeBatches(ctx, bus.Pipeline, 0, batch, func(ctx context.Context, entries []bus.Entry) error {
				given := make([]pipeline.Entry, len(entries))
				for i, e := range entries {
					given[i] = pipeline.Entry{Seq: e.Seq, Data: e.Data, At: e.At}
				}
				return handle(ctx, given)
			})
		},
		Opener: opener{envelope.NewRing(envelope.RingConfig{}, keys...), s}, Assessor: assess.New(), Recorder: s, Progress: s, Lookup: s, Log: quiet,
	})
	ended := make(chan error, 1)
	go func() { // ends with the process
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return b.Run(ctx) })
		g.Go(func() error { return reader.Run(ctx) })
		g.Go(func() error { return p.Run(ctx) })
		ended <- g.Wait()
	}()
	return handler{do: func(context.Context, command) (any, error) {
		select {
		case err := <-ended:
			return nil, err
		default:
			return reader.State().Connected, nil
		}
	}}, nil
}

// opener opens messages as app's does.
type opener struct {
	*envelope.Ring
	store *store.Store
}

func (o opener) Open(ctx context.Context, m triage.Message) ([]byte, error) {
	if m.Epoch < 0 || m.Seq < 0 || m.Seq > math.MaxUint32 {
		return nil, triage.PermanentFor(triage.Reason(envelope.ErrFormat.Reason()), envelope.ErrFormat)
	}
	e, err := o.Epoch(ctx, m.SessionID, uint32(m.Epoch), func(ctx context.Context) (envelope.EpochRow, *envelope.ConsentRow, error) {
		e, c, err := o.store.Epoch(ctx, m.SessionID, m.Epoch)
		if err != nil || c == nil {
			return envelope.EpochRow{}, nil, errors.Join(err, errors.New("no consent"))
		}
		return envelope.EpochRow{
				Session: e.SessionID, Epoch: uint32(e.Epoch), By: e.DeviceID, Roster: e.Roster, RosterHash: e.RosterHash,
				Commit: e.KeyCommit, Consent: e.ConsentID, Signature: e.Signature, Suite: e.Suite, Wraps: e.Wraps,
			}, &envelope.ConsentRow{
				ID: c.ID, Session: c.SessionID, Device: c.DeviceID, Scope: c.Scope, TextHash: c.TextHash, Signature: c.Signature,
				Withdrawn: c.Withdrawn, WithdrawalSignature: c.WithdrawalSignature,
			}, nil
	})
	if err != nil {
		return nil, err
	}
	return e.Open(envelope.Message{ID: m.ID, Session: m.SessionID, Sender: m.SenderDeviceID, Epoch: uint32(m.Epoch), Seq: uint32(m.Seq), Body: m.Body})
}

const (
	pipelineSessions = 40
	crisisShare      = 100 // one message in so many is of a crisis, in the rows about throughput

	whoAlone = "verify + open + assess alone"
	whoParts = "pipeline: reader, LOG, open, assess, record"
	whoServe = "vigil serve, with relay and sockets"
)

// measurePipeline has messages written and assessed, by the sidecar as a whole and by its pipeline alone, and compares the
// CPU of each with what cannot be spared.
func measurePipeline(ctx context.Context, b *bench) (*Result, error) {
	pg, done, err := b.cluster(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	whole, wholeSessions, err := b.sealedPractice(ctx, pg, "postgres", pipelineSessions)
	if err != nil {
		return nil, err
	}
	defer whole.close()
	s, err := whole.sidecar()
	if err != nil {
		return nil, err
	}
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer func() { _ = s.stop() }()
	parts, partsSessions, err := b.sealedPractice(ctx, pg, "parts", pipelineSessions)
	if err != nil {
		return nil, err
	}
	defer parts.close()
	child, err := parts.pipeline(ctx)
	if err != nil {
		return nil, err
	}
	defer child.stop()
	r := &Result{}
	n := max(1, b.messages/b.rounds)
	for round := range b.rounds {
		if err := b.alone(ctx, r, n); err != nil {
			return r, err
		}
		turns := []func() error{
			func() error { return whole.assess(ctx, r, whoServe, s.process, wholeSessions, n) },
			func() error { return parts.assess(ctx, r, whoParts, child.process, partsSessions, n) },
		}
		for i := range turns {
			if err := turns[(i+round)%len(turns)](); err != nil {
				return r, err
			}
		}
	}
	judgePipeline(r, n)
	return r, errors.Join(whole.allAssessed(ctx), parts.allAssessed(ctx))
}

func judgePipeline(r *Result, n int) {
	r.check("CPU a message of the pipeline, of verify + open + assess alone", ratios(r.values(whoParts, "CPU"), r.values(whoAlone, "CPU")), "×", true, 1.4)
	most := r.values(whoServe, "RSS, highest so far")
	r.check("RSS of vigil serve, highest", most[len(most)-1:], " MB", true, 200)
	r.note("%d messages a round and process, in %d sessions, one in %d of a crisis, written in transactions of %d while they are assessed", n, pipelineSessions, crisisShare, bulkRows)
	r.note("vigil serve as a whole also writes every message, assessment and alert to TOPICS and dispatches it: %.2f× verify + open + assess alone",
		median(ratios(r.values(whoServe, "CPU"), r.values(whoAlone, "CPU"))))
}

// sealedPractice is a practice whose sessions can be written to.
func (b *bench) sealedPractice(ctx context.Context, pg *pgtest.Cluster, database string, sessions int) (*practice, []*therapy, error) {
	p, err := b.practice(ctx, pg, database)
	if err != nil {
		return nil, nil, err
	}
	made, err := p.therapies(ctx, sessions, max(1, sessions/10), true)
	if err != nil {
		p.close()
		return nil, nil, err
	}
	return p, made, nil
}

// pipeline starts the pipeline's own process and waits until it streams.
func (p *practice) pipeline(ctx context.Context) (*child, error) {
	dir, err := os.MkdirTemp(p.b.dir, "bus-")
	if err != nil {
		return nil, err
	}
	c, err := p.b.child(ctx, "pipeline", pipelineConfig{
		Database: p.pg.URL(pgtest.RoleSidecar, p.database), Replication: p.pg.URL(pgtest.RoleSuperuser, p.database),
		Slot: "parts_" + p.database, Dir: dir, KeyFile: p.keyFile,
	})
	if err != nil {
		return nil, err
	}
	err = until(ctx, time.Minute, 10*time.Millisecond, func() (connected bool, err error) {
		err = c.ask(ctx, &connected, "connected")
		return connected, err
	})
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// assess writes n messages and waits until they are assessed.
func (p *practice) assess(ctx context.Context, r *Result, who string, process *process, sessions []*therapy, n int) error {
	p.b.progress.begin(fmt.Sprintf("%s: %d messages", who, n), n)
	began := time.Now()
	used, err := during(ctx, process, func() error {
		if err := p.write(ctx, sessions, n, crisisShare); err != nil {
			return fmt.Errorf("write messages: %w", err)
		}
		return p.settle(ctx, process)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", who, err)
	}
	const mb = 1 << 20
	now, _, err := process.memory()
	r.add(who, "rate, as fast as they are written", "messages/s", float64(n)/time.Since(began).Seconds())
	r.add(who, "CPU", "µs/message", used.cpu.Seconds()*1e6/float64(n))
	r.add(who, "RSS, after each round", "MB", float64(now)/mb)
	r.add(who, "RSS, highest so far", "MB", float64(used.most)/mb)
	return err
}

const settleWithin = 20 * time.Minute

// settle waits until every session is assessed to its end.
func (p *practice) settle(ctx context.Context, process *process) error {
	return until(ctx, settleWithin, 20*time.Millisecond, func() (bool, error) {
		behind, err := p.behind(ctx)
		return behind == 0, errors.Join(err, process.alive())
	})
}

func (p *practice) allAssessed(ctx context.Context) error {
	n, err := p.unassessed(ctx)
	if err == nil && n != 0 {
		return fmt.Errorf("%d messages of %s were not assessed", n, p.database)
	}
	return err
}
