package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pglogrepl"

	"vigil/realtime"
	"vigil/server/internal/assess"
	"vigil/server/internal/bus"
	"vigil/server/internal/config"
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

// flow is everything between Postgres and the sockets.
type flow struct {
	*resources
	front    *front
	verifier *identity.Verifier
	keys     *identity.APIKeys
	// escalation pages people; nil where VIGIL_NOTIFY_SECRET is not set.
	escalation *escalation.Escalation
	model      *suggest.Model // nil where VIGIL_MODEL_URL is not set
	now        running
	leads      map[config.Role]*atomic.Bool // of leased; true while this node does it
}

// running are the parts that run at the moment, for readings; nil while one does not.
type running struct {
	intake   atomic.Pointer[intake]
	pipeline atomic.Pointer[pipeline.Pipeline]
	relaying atomic.Pointer[relaying]
}

// intake is what brings commits into LOG and TOPICS.
type intake struct {
	continuity *continuity
	reader     *replication.Reader
	sequencer  *relay.Sequencer
	begun      chan struct{} // closed once the slot is there and continuity is proven from here on
}

// begin says that what is committed from now on comes. The reader's goroutine calls it at each connection.
func (i *intake) begin() {
	select {
	case <-i.begun:
	default:
		close(i.begun)
	}
}

// relaying is what brings TOPICS to the sockets.
type relaying struct {
	dispatcher *relay.Dispatcher
	channel    *realtime.Server
	grants     *grant.Grants
	open       atomic.Bool   // sockets are let in
	hint       chan struct{} // capacity 1: policies may have changed; full: watch will look
}

// retryPause is how long the flow waits before it asks a database that is away again.
const retryPause = 500 * time.Millisecond

// run runs the flow until ctx ends or fails: whole in this process with a bus of its own, or this node's share of it.
func (f *flow) run(ctx context.Context) error {
	if !f.config.NATSURL.IsZero() {
		return f.node(ctx)
	}
	return f.epochs(ctx, f.generation)
}

// epochs runs one log epoch after another until ctx ends or one fails for another cause than continuity: an epoch ends when
// continuity of the log is not proven.
func (f *flow) epochs(ctx context.Context, epoch func(context.Context, verdict) error) error {
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
		err = epoch(ctx, v)
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
	var v verdict
	err := f.whileAway(ctx, func(ctx context.Context) error {
		err := f.registerKeys(ctx)
		if err == nil {
			v, err = c.read(ctx)
		}
		return err
	})
	return v, err
}

// whileAway asks again until the database and the bus are there.
func (f *flow) whileAway(ctx context.Context, ask func(context.Context) error) error {
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || !isAway(err) {
			return fmt.Errorf("prepare: %w", err)
		}
		f.log.WarnContext(ctx, "database or bus is away or not set up", logkey.Error, err.Error())
		if !pause(ctx, retryPause) {
			return ctx.Err()
		}
	}
}

// isAway says whether an error says only that the database or the bus is away for a time.
func isAway(err error) bool {
	return triage.IsUnavailable(err) || errors.Is(err, bus.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) // of one question
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
	return f.whileAway(ctx, f.bus.Renew) // again does no harm
}

// generation is one log epoch of a process that does everything: it builds the parts, runs them until ctx ends or one fails,
// and stops them in the order of the flow.
func (f *flow) generation(ctx context.Context, v verdict) error {
	errands := f.newErrands()
	r, p := f.newRelaying(nil), f.newPipeline(func() {}, errands)
	drafter, err := f.newDrafter()
	if err != nil {
		return err
	}
	i, err := f.newIntake(v, p.Reset)
	if err != nil {
		return err
	}
	f.now.relaying.Store(r)
	f.now.pipeline.Store(p)
	f.now.intake.Store(i)
	for _, role := range leased {
		f.leads[role].Store(true)
	}
	defer f.front.open(nil)
	// Sockets are let in once TOPICS has all that LOG had, and the dispatcher knows where it begins: before that a cursor could
	// not be judged. In a new log epoch the slot must be there, too: what is committed before it never comes, and whoever had
	// joined, and read the tables, before that would not know.
	ready := []<-chan struct{}{i.begun, r.dispatcher.Ready(), i.sequencer.Ready()}
	return runParts(ctx, f.log, f.config.DrainTimeout, slices.Concat([]part{
		{"replication", i.reader.Run},
		{"pipeline", p.Run},
	}, errands.parts(), []part{
		{"suggest", drafter.Run},
		{"sequencer", i.sequencer.Run},
		{"dispatcher", r.dispatcher.Run},
		{"watch", func(ctx context.Context) error { return f.watch(ctx, r) }},
		{"channel", func(ctx context.Context) error { return f.serveChannel(ctx, r, ready...) }},
	}), func() { f.front.open(nil) })
}

// serveChannel lets sockets in once all is ready, and serves them until ctx ends.
func (f *flow) serveChannel(ctx context.Context, r *relaying, ready ...<-chan struct{}) error {
	for _, ready := range ready {
		select {
		case <-ready:
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		f.front.open(r.channel)
		r.open.Store(true)
	}
	return r.channel.Run(ctx)
}

// newIntake makes the way from the slot into LOG and TOPICS. created is called when the slot was made: what was committed before
// it never comes by the log.
func (f *flow) newIntake(v verdict, created func()) (*intake, error) {
	i := &intake{begun: make(chan struct{})}
	if v.cause == "" && v.known {
		close(i.begun) // the slot holds what was committed meanwhile: sockets need not wait for the database
	}
	i.continuity = newContinuity(f.config.Slot, f.store, f.bus, func() string { return i.reader.State().Confirmed.String() })
	topics := f.bus.Topics()
	i.sequencer = relay.NewSequencer(relay.SequencerConfig{
		Log: logSource{f.bus.Log()}, Topics: topicsSink{topics}, LastOf: topicsFeed{topics}.LastOf, Next: topics.Next, Epoch: topics.Epoch,
		Decode: decodeRows, Logger: f.log, At: faultsAt("relay"),
	})
	return i, f.buildReader(i, v, created)
}

func (f *flow) buildReader(i *intake, v verdict, created func()) (err error) {
	dsn, err := WithCA(f.config.ReplicationURL, f.config.CACertFile)
	if err != nil {
		return err
	}
	begun := false
	log := f.bus.Log()
	i.reader, err = replication.New(replication.Config{
		URL: dsn, Slot: f.config.Slot, Publications: Publications(),
		Expected: v.identity, SlotExpected: v.known, Recreate: v.recreate,
		Takeover: true, // the lease is the bus': of an embedded one the lock on its folder
		Last:     log.Last,
		Append: func(ctx context.Context, data []byte) (replication.Stored, error) {
			return log.Append(ctx, data)
		},
		Heartbeat: i.continuity.beat, HeartbeatInterval: f.config.HeartbeatInterval,
		Started: func(ctx context.Context, s replication.Start) error {
			if err := i.continuity.started(ctx, s, begun || v.cause == ""); err != nil {
				return err
			}
			begun = true
			if s.Created {
				created()
			}
			i.begin()
			return nil
		},
		At: faultsAt("replication"), Log: f.log,
	})
	return err
}

// newPipeline makes the way from LOG to the record of each message, and lets errands hear of what comes by it. renewed is called
// when LOG was made anew meanwhile.
func (f *flow) newPipeline(renewed func(), errands errands) *pipeline.Pipeline {
	log := f.bus.Log()
	return pipeline.New(pipeline.Config{
		Source: func(ctx context.Context, handle func(context.Context, []pipeline.Entry) error) error {
			var buffer []pipeline.Entry
			return f.consume(ctx, log, bus.Pipeline, renewed, func(ctx context.Context, batch []bus.Entry) error {
				errands.announce(batch)
				buffer = buffer[:0]
				for _, e := range batch {
					buffer = append(buffer, pipeline.Entry{Seq: e.Seq, Data: e.Data, At: e.At})
				}
				return handle(ctx, buffer)
			})
		},
		Opener:   opener{f.ring, f.store},
		Assessor: assess.New(), StateVersion: assess.StateVersion,
		CompileTerms: func(terms []triage.TopicTerm) triage.Terms { return assess.CompileTerms(terms) },
		Recorder:     f.store, Progress: f.store, Lookup: f.store, Log: f.log,
		GiveUpAfter: f.config.GiveUpAfter, ReconcileInterval: f.config.ReconcileInterval,
		At:    faultsAt("pipeline"),
		Trace: f.tracer.Mark,
		Committed: func(message uuid.UUID, commit pglogrepl.LSN) {
			f.tracer.SetLSN(message, commit.String())
		},
		Recorded: f.recorded,
	})
}

// consume hands LOG to a durable's handler, and begins again at the stored position when the bus was away or full for a time, or
// LOG was made anew, which it tells.
func (f *flow) consume(ctx context.Context, log *bus.Log, durable string, renewed func(), handle func(context.Context, []bus.Entry) error) error {
	for nonce := log.Nonce(); ; {
		err := log.ConsumeBatches(ctx, durable, 0, consumedBatch, handle)
		// What looks taken was stored, and its acknowledgement lost; or another node had the lease for a moment.
		away := errors.Is(err, bus.ErrUnavailable) || errors.Is(err, bus.ErrFull) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, bus.ErrTaken)
		if !away || ctx.Err() != nil {
			return err
		}
		f.log.WarnContext(ctx, "consumer reads LOG again", logkey.Consumer, durable, logkey.Error, err.Error(), logkey.Duration, retryPause)
		if !pause(ctx, retryPause) {
			return nil
		}
		if now := log.Nonce(); now != nonce {
			nonce = now
			renewed()
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
	if _, ok := o.Alert(); ok {
		f.metrics.Alerts.WithLabelValues(levelLabel(&o)).Inc()
		f.escalation.Wake()
	}
}

func levelLabel(o *triage.Outcome) string { return fmt.Sprint(int(o.Assessment.Level)) }

// newRelaying makes the way from TOPICS to the sockets. peers is nil where there are no other nodes.
func (f *flow) newRelaying(peers *bus.Peers) *relaying {
	r := &relaying{hint: make(chan struct{}, 1), grants: grant.New(grant.Config{Pool: f.pool})}
	r.channel = f.newChannel(r.grants, peers, func() uint64 { return r.dispatcher.Handled() })
	r.dispatcher = relay.NewDispatcher(relay.DispatcherConfig{
		Topics: topicsFeed{f.bus.Topics()}, Sockets: r.channel, ResetHistory: r.channel.ResetHistory,
		Invalidate: func(_ context.Context, s relay.Scope) { r.invalidate(s) },
		Policy: func(context.Context, relay.Scope) {
			select {
			case r.hint <- struct{}{}:
			default:
			}
		},
		Logger: f.log, At: faultsAt("relay"),
	})
	return r
}

// invalidate drops the grants of a scope; the channels are stopped after it, by whoever calls.
func (r *relaying) invalidate(s relay.Scope) { r.grants.Invalidate(s.XID, s.Matches) }

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
