package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pglogrepl"

	"vigil/realtime"
	"vigil/server/internal/assess"
	"vigil/server/internal/bus"
	"vigil/server/internal/escalation"
	"vigil/server/internal/grant"
	"vigil/server/internal/identity"
	"vigil/server/internal/logkey"
	"vigil/server/internal/pipeline"
	"vigil/server/internal/relay"
	"vigil/server/internal/replication"
	"vigil/server/internal/suggest"
	"vigil/server/internal/telemetry"
	"vigil/server/internal/triage"
)

// flow is everything between Postgres and the sockets. It runs as one generation after another: a generation ends when
// continuity of the log is not proven, and the next begins with a new log epoch.
type flow struct {
	*resources
	front    *front
	verifier *identity.Verifier
	keys     *identity.APIKeys
	// escalation pages people; nil where VIGIL_NOTIFY_SECRET is not set.
	escalation *escalation.Escalation
	model      *suggest.Model // nil where VIGIL_MODEL_URL is not set
	now        atomic.Pointer[generation]
}

// generation is one run of the flow's parts.
type generation struct {
	continuity *continuity
	reader     *replication.Reader
	pipeline   *pipeline.Pipeline
	suggest    *suggest.Drafter
	sequencer  *relay.Sequencer
	dispatcher *relay.Dispatcher
	channel    *realtime.Server
	grants     *grant.Grants
	begun      chan struct{} // closed once the slot is there and continuity is proven from here on
	open       atomic.Bool   // sockets are let in
	hint       chan struct{} // capacity 1: policies may have changed; full: watch will look
}

// begin lets sockets in, as far as the slot is concerned. The reader's goroutine calls it at each connection.
func (g *generation) begin() {
	select {
	case <-g.begun:
	default:
		close(g.begun)
	}
}

// retryPause is how long the flow waits before it asks a database that is away again.
const retryPause = 500 * time.Millisecond

// run runs generations until ctx ends or one fails for another cause than continuity.
func (f *flow) run(ctx context.Context) error {
	lost := &continuityLost{}
	for {
		v, err := f.prepare(ctx)
		if err != nil {
			return endOf(ctx, err)
		}
		if v.cause == "" {
			v.cause = lost.cause
		}
		v.recreate = v.recreate || lost.recreate // both may be true: a lost bus, and a slot that is gone
		if v.cause != "" {
			if err := f.beginEpoch(ctx, v.cause); err != nil {
				return endOf(ctx, err)
			}
		}
		err = f.generation(ctx, v)
		if lost = lostBy(err); lost == nil || ctx.Err() != nil || errors.Is(err, errDeadline) {
			return err // a part that did not stop may still write: only a new process begins anew beside it
		}
	}
}

// endOf is nil when ctx ended: what failed then failed because of that.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// prepare waits for the database, makes the analysis key known and compares what database and bus hold.
func (f *flow) prepare(ctx context.Context) (verdict, error) {
	c := newContinuity(f.config.Slot, f.store, f.bus, func() string { return "" })
	for {
		err := f.registerKeys(ctx)
		if err == nil {
			var v verdict
			if v, err = c.read(ctx); err == nil {
				return v, nil
			}
		}
		if ctx.Err() != nil || !triage.IsUnavailable(err) {
			return verdict{}, fmt.Errorf("prepare: %w", err)
		}
		f.log.WarnContext(ctx, "database is away or not set up", logkey.Error, err.Error())
		if !pause(ctx, retryPause) {
			return verdict{}, ctx.Err()
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// beginEpoch makes LOG and TOPICS anew, so that nobody is told that nothing was missed, and nobody is shown what the
// database may not have any more. Fail loud: it is counted and logged.
func (f *flow) beginEpoch(ctx context.Context, cause string) error {
	f.metrics.Continuity.WithLabelValues(cause).Inc()
	f.log.ErrorContext(ctx, "continuity is not proven: a new log epoch begins and the tables are reconciled", logkey.Cause, cause, logkey.Slot, f.config.Slot)
	f.ring.ForgetAll()
	return f.bus.Renew(ctx)
}

// generation builds the parts, runs them until ctx ends or one fails, and stops them in the order of the flow.
func (f *flow) generation(ctx context.Context, v verdict) error {
	g := &generation{hint: make(chan struct{}, 1), begun: make(chan struct{})}
	if v.cause == "" && v.known {
		close(g.begun) // the slot holds what was committed meanwhile: sockets need not wait for the database
	}
	g.continuity = newContinuity(f.config.Slot, f.store, f.bus, func() string { return g.reader.State().Confirmed.String() })
	f.buildChannel(g)
	f.buildRelay(g)
	f.buildPipeline(g)
	if err := f.buildSuggest(g); err != nil {
		return err
	}
	if err := f.buildReader(g, v); err != nil {
		return err
	}
	f.now.Store(g)
	defer f.front.open(nil)
	return runParts(ctx, f.log, f.config.DrainTimeout, []part{
		{"replication", g.reader.Run},
		{"pipeline", g.pipeline.Run},
		{"suggest", g.suggest.Run},
		{"sequencer", g.sequencer.Run},
		{"dispatcher", g.dispatcher.Run},
		{"watch", func(ctx context.Context) error { return f.watch(ctx, g) }},
		{"channel", func(ctx context.Context) error { return f.serveChannel(ctx, g) }},
	}, func() { f.front.open(nil) })
}

// serveChannel lets sockets in once the dispatcher knows where it begins and TOPICS has all that LOG had: before that a
// cursor could not be judged. In a new log epoch the slot must be there, too: what is committed before it never comes, and
// whoever had joined, and read the tables, before that would not know.
func (f *flow) serveChannel(ctx context.Context, g *generation) error {
	for _, ready := range []<-chan struct{}{g.begun, g.dispatcher.Ready(), g.sequencer.Ready()} {
		select {
		case <-ready:
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		f.front.open(g.channel)
		g.open.Store(true)
	}
	return g.channel.Run(ctx)
}

func (f *flow) buildReader(g *generation, v verdict) (err error) {
	dsn, err := WithCA(f.config.ReplicationURL, f.config.CACertFile)
	if err != nil {
		return err
	}
	begun := false
	log := f.bus.Log()
	g.reader, err = replication.New(replication.Config{
		URL: dsn, Slot: f.config.Slot, Publications: Publications(),
		Expected: v.identity, SlotExpected: v.known, Recreate: v.recreate,
		Takeover: f.config.NATSURL.IsZero(), // the lock on the data directory is the lease of an embedded bus
		Last:     log.Last,
		Append: func(ctx context.Context, data []byte) (replication.Stored, error) {
			return log.Append(ctx, data)
		},
		Heartbeat: g.continuity.beat, HeartbeatInterval: f.config.HeartbeatInterval,
		Started: func(ctx context.Context, s replication.Start) error {
			if err := g.continuity.started(ctx, s, begun || v.cause == ""); err != nil {
				return err
			}
			begun = true
			if s.Created { // what was committed before the slot never comes by the log
				g.pipeline.Reset()
			}
			g.begin()
			return nil
		},
		At: faultsAt("replication"), Log: f.log,
	})
	return err
}

func (f *flow) buildPipeline(g *generation) {
	log := f.bus.Log()
	g.pipeline = pipeline.New(pipeline.Config{
		Source: func(ctx context.Context, handle func(context.Context, []pipeline.Entry) error) error {
			var buffer []pipeline.Entry
			return f.consume(ctx, log, bus.Pipeline, func(ctx context.Context, batch []bus.Entry) error {
				buffer = buffer[:0]
				for _, e := range batch {
					buffer = append(buffer, pipeline.Entry{Seq: e.Seq, Data: e.Data, At: e.At})
				}
				return handle(ctx, buffer)
			})
		},
		Opener:   opener{f.ring, f.store},
		Assessor: assess.New(),
		Recorder: f.store, Progress: f.store, Lookup: f.store, Log: f.log,
		GiveUpAfter: f.config.GiveUpAfter, ReconcileInterval: f.config.ReconcileInterval,
		At:    faultsAt("pipeline"),
		Trace: f.tracer.Mark,
		Committed: func(message uuid.UUID, commit pglogrepl.LSN) {
			f.tracer.SetLSN(message, commit.String())
		},
		Recorded: f.recorded,
	})
}

// consume hands LOG to a durable's handler, and begins again at the stored position when the bus was away or full for a time.
func (f *flow) consume(ctx context.Context, log *bus.Log, durable string, handle func(context.Context, []bus.Entry) error) error {
	for {
		err := log.ConsumeBatches(ctx, durable, 0, consumedBatch, handle)
		// An embedded bus has no other process: what looks taken was stored, and its acknowledgement lost.
		away := errors.Is(err, bus.ErrUnavailable) || errors.Is(err, bus.ErrFull) || errors.Is(err, context.DeadlineExceeded) ||
			errors.Is(err, bus.ErrTaken) && f.config.NATSURL.IsZero()
		if !away || ctx.Err() != nil {
			return err
		}
		f.log.WarnContext(ctx, "consumer reads LOG again", logkey.Consumer, durable, logkey.Error, err.Error(), logkey.Duration, retryPause)
		if !pause(ctx, retryPause) {
			return nil
		}
	}
}

// consumedBatch is how many entries of LOG a consumer takes at once when it is behind.
const consumedBatch = 32

func (f *flow) recorded(o triage.Outcome) {
	status := "assessed"
	if o.Reason != "" {
		status = "not_assessed"
	}
	f.metrics.Assessments.WithLabelValues(status, string(o.Reason)).Inc()
	if a, ok := o.Alert(); ok {
		f.metrics.Alerts.WithLabelValues(fmt.Sprint(int(a.Level))).Inc()
		f.escalation.Wake()
	}
}

func (f *flow) buildRelay(g *generation) {
	topics := f.bus.Topics()
	feed := topicsFeed{topics}
	g.sequencer = relay.NewSequencer(relay.SequencerConfig{
		Log: logSource{f.bus.Log()}, Topics: topicsSink{topics}, LastOf: feed.LastOf, Next: topics.Next, Epoch: topics.Epoch,
		Decode: decodeRows, Logger: f.log, At: faultsAt("relay"),
	})
	g.dispatcher = relay.NewDispatcher(relay.DispatcherConfig{
		Topics: feed, Sockets: g.channel, ResetHistory: g.channel.ResetHistory,
		Invalidate: func(_ context.Context, s relay.Scope) { g.invalidate(s) },
		Policy: func(context.Context, relay.Scope) {
			select {
			case g.hint <- struct{}{}:
			default:
			}
		},
		Logger: f.log, At: faultsAt("relay"),
	})
}

// markRelayed notes the first frame that carried a message.
func (f *flow) markRelayed(e realtime.Entry) {
	if e.Event != "message" {
		return
	}
	if id, ok := messageID(e.Payload); ok {
		f.tracer.Mark(id, telemetry.StageRelayed, time.Now())
	}
}

// messageID reads the id that a message's row begins with, as the relay writes it.
func messageID(payload []byte) (uuid.UUID, bool) {
	const before, length = `{"id":"`, 36
	if len(payload) < len(before)+length || string(payload[:len(before)]) != before {
		return uuid.Nil, false
	}
	id, err := uuid.ParseBytes(payload[len(before) : len(before)+length])
	return id, err == nil
}
