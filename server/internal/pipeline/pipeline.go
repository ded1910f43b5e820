package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pglogrepl"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/triage"
)

// Entry is one entry of LOG: what replication.Batch encodes.
type Entry struct {
	Seq  uint64
	Data []byte
	At   time.Time // when LOG stored it
}

// opener opens sealed messages. Errors are classified (triage); Forget makes it read a session's keys and consents again.
type opener interface {
	Open(ctx context.Context, m triage.Message) ([]byte, error)
	Forget(session uuid.UUID)
	ForgetAll()
}

// assessor is the detector: pure, and safe for concurrent use.
type assessor interface {
	Assess(text string, state triage.State, policy triage.CrisisPolicy) (triage.Assessment, triage.State)
}

// recorder writes advances in one transaction, as store.Record does.
type recorder interface {
	Record(ctx context.Context, advances []triage.Advance) ([]triage.Recorded, error)
}

// progress reads how far sessions are, as store does.
type progress interface {
	Progress(ctx context.Context, sessions []uuid.UUID) ([]triage.Progress, error)
	Backlog(ctx context.Context, session uuid.UUID, limit int) (triage.Backlog, bool, error)
	Behind(ctx context.Context, after uuid.UUID, grace time.Duration, limit int) ([]triage.Behind, error)
}

// lookup reads what else the flow needs to know, as store does.
type lookup interface {
	Policies(ctx context.Context, organizations []uuid.UUID) ([]triage.CrisisPolicy, error)
	Visible(ctx context.Context, xids []uint32) (bool, error)
	Earlier(ctx context.Context, session uuid.UUID, after, upTo int64, limit int) ([]triage.Message, error)
}

// The points at which Config.At is called.
const (
	AtBeforeOpen   = "before_open"
	AtAfterAssess  = "after_assess"
	AtBeforeRecord = "before_record"
	AtAfterRecord  = "after_record"
	AtBeforeAck    = "before_ack"
)

// The stages that Config.Trace hears of.
const (
	stageCommitted = "committed"
	stageReceived  = "received"
	stageOpened    = "opened"
	stageAssessed  = "assessed"
	stageRecorded  = "recorded"
)

// Defaults of Config.
const (
	DefaultGiveUpAfter       = 10 * time.Minute
	DefaultReconcileInterval = time.Minute
	DefaultReconcileGrace    = 10 * time.Second
	DefaultMaxSessions       = 50_000
	DefaultMaxParked         = 10_000
	DefaultCatchUps          = 4
)

// Config joins the pipeline to its neighbours. Zero durations and numbers mean the defaults; zero functions are not called.
type Config struct {
	// Source hands the entries of LOG, in order, one call at a time, to handle, and moves its position after handle
	// returned nil. It returns handle's error, and nil when ctx ends.
	Source func(ctx context.Context, handle func(context.Context, []Entry) error) error

	Opener   opener
	Assessor assessor
	Recorder recorder
	Progress progress
	Lookup   lookup
	Log      *slog.Logger

	// StateVersion is that of the states the Assessor writes. A session whose state is of another is assessed again from
	// its first message, without a record, before its next one. 0: every state is taken as it is.
	StateVersion int32
	// CompileTerms makes an organisation's own terms ready for the Assessor. nil: they are ignored.
	CompileTerms func([]triage.TopicTerm) triage.Terms

	GiveUpAfter       time.Duration // how long a temporary failure may hold a message up
	ReconcileInterval time.Duration
	ReconcileGrace    time.Duration // messages younger than this are still on their way through the log
	MaxSessions       int           // sessions whose progress is remembered
	MaxParked         int           // sessions that are caught up at once; the others wait for reconcile
	Parallel          int           // sessions assessed at once from the log; 0: GOMAXPROCS
	CatchUps          int           // sessions caught up at once

	// At is called at the named points, for tests that stop the process there.
	At func(point string)
	// Trace hears when a message reached a stage: committed, received, opened, assessed, recorded.
	Trace func(message uuid.UUID, stage string, at time.Time)
	// Committed hears of the commit that a message came with.
	Committed func(message uuid.UUID, commit pglogrepl.LSN)
	// Recorded hears of each outcome once it is committed here. Metrics count by Reason and Level; alerts by Outcome.Alert.
	Recorded func(triage.Outcome)
}

// Pipeline runs the flow. Make one with New.
type Pipeline struct {
	config Config
	now    chan struct{} // capacity 1: reconcile at once; full: it will
	wake   chan struct{} // capacity 1: a parked session is due earlier; full: the dispatcher will look
	counts counts

	mu       sync.Mutex
	sessions *sessions
	parking  *parking
	policies map[uuid.UUID]knownPolicy
}

// counts is what Stats reads.
type counts struct {
	entries, messages, repeated, assessed, notAssessed, alerts, unreached atomic.Uint64
	gaps, overtaken, faults, reconciled, failures, rebuilt                atomic.Uint64
}

// Stats are counts since the start, and two sizes of now.
type Stats struct {
	Entries     uint64 // entries of LOG handled
	Messages    uint64 // messages in them
	Repeated    uint64 // of which were assessed already
	Assessed    uint64
	NotAssessed uint64
	Alerts      uint64
	Unreached   uint64 // alerts that reach nobody
	Gaps        uint64 // messages of the log that did not follow on what was assessed
	Overtaken   uint64 // sessions that somebody else had moved
	Faults      uint64 // entries or rows of the log that could not be read
	Failures    uint64 // temporary failures
	Reconciled  uint64 // sessions that reconcile found behind
	Rebuilt     uint64 // sessions whose state another version of the detector had written
	Parked      int    // sessions being caught up
	Sessions    int    // sessions remembered
}

// New returns a pipeline. It starts nothing.
func New(c Config) *Pipeline {
	setDefault(&c.GiveUpAfter, DefaultGiveUpAfter)
	setDefault(&c.ReconcileInterval, DefaultReconcileInterval)
	setDefault(&c.ReconcileGrace, DefaultReconcileGrace)
	setDefault(&c.MaxSessions, DefaultMaxSessions)
	setDefault(&c.MaxParked, DefaultMaxParked)
	setDefault(&c.Parallel, runtime.GOMAXPROCS(0))
	setDefault(&c.CatchUps, DefaultCatchUps)
	if c.At == nil {
		c.At = func(string) {}
	}
	if c.Trace == nil {
		c.Trace = func(uuid.UUID, string, time.Time) {}
	}
	if c.Committed == nil {
		c.Committed = func(uuid.UUID, pglogrepl.LSN) {}
	}
	if c.CompileTerms == nil {
		c.CompileTerms = func([]triage.TopicTerm) triage.Terms { return nil }
	}
	if c.Recorded == nil {
		c.Recorded = func(triage.Outcome) {}
	}
	return &Pipeline{
		config: c, now: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		sessions: newSessions(c.MaxSessions), parking: newParking(c.MaxParked), policies: make(map[uuid.UUID]knownPolicy),
	}
}

func setDefault[T int | time.Duration](value *T, fallback T) {
	if *value <= 0 {
		*value = fallback
	}
}

// errLogEnded is Run's error when Source ended by itself.
var errLogEnded = errors.New("the log's entries ended")

// Run handles LOG's entries, catches up parked sessions and reconciles, until ctx ends (nil) or Source fails. It begins
// with nothing remembered, so it may be called again after it returned, but not twice at once.
func (p *Pipeline) Run(ctx context.Context) error {
	p.mu.Lock()
	p.sessions.clear()
	p.parking = newParking(p.config.MaxParked)
	p.mu.Unlock()
	g, inner := errgroup.WithContext(ctx)
	due := make(chan *parked) // unbuffered: the dispatcher waits for a free worker
	g.Go(func() error {
		if err := p.config.Source(inner, p.handle); err != nil {
			return err
		}
		if inner.Err() == nil {
			return errLogEnded
		}
		return nil
	})
	g.Go(func() error { return p.dispatch(inner, due) })
	for range p.config.CatchUps {
		g.Go(func() error { return p.catchUps(inner, due) })
	}
	g.Go(func() error { return p.reconciles(inner) })
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("run pipeline: %w", err)
	}
	return nil
}

// Reset forgets everything that was remembered of the database, and reconciles at once: for a database that was restored
// to an older state, or whenever continuity of the log is not proven.
func (p *Pipeline) Reset() {
	p.mu.Lock()
	p.sessions.clear()
	clear(p.policies)
	p.mu.Unlock()
	p.config.Opener.ForgetAll()
	p.reconcileNow()
}

// Stats returns counts. Safe to call at any time.
func (p *Pipeline) Stats() Stats {
	p.mu.Lock()
	parked, sessions := p.parking.len(), p.sessions.len()
	p.mu.Unlock()
	c := &p.counts
	return Stats{
		Entries: c.entries.Load(), Messages: c.messages.Load(), Repeated: c.repeated.Load(), Assessed: c.assessed.Load(),
		NotAssessed: c.notAssessed.Load(), Alerts: c.alerts.Load(), Unreached: c.unreached.Load(), Gaps: c.gaps.Load(),
		Overtaken: c.overtaken.Load(), Faults: c.faults.Load(), Failures: c.failures.Load(), Reconciled: c.reconciled.Load(),
		Rebuilt: c.rebuilt.Load(), Parked: parked, Sessions: sessions,
	}
}
