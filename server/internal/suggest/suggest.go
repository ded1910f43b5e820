// Package suggest drafts replies for clinicians: moves of therapists from a bank that is bundled, or, where the
// organisation and the client both allow it, from one OpenAI-compatible model.
//
//	LOG ── request, or an assessment for review ──▶ queue ──▶ basis (SQL) ──▶ move of the bank ──▶ model? ──▶ seal ──▶ record
//	                        ▲                         │ full: shed (busy)                            │ fails: the bank's text
//	tables: requests that nobody answered ────────────┘ (at start, and every Config.Sweep)           ▼
//	                                                                       opened messages live in one call, and nowhere else
//
// Guarantees: a request that is committed is answered, or recorded as not made with the reason, through any crash of this
// process. The setting of the organisation and the consent are read for each one, and again by the database in the
// transaction that records it, so that nothing is offered after they were taken back. From level 4 up, and for whatever pages
// somebody, the text is the bank's, never a model's. A model is asked only when a route, the live and verified consent to
// external models, and a configured server are there, as read right before the text leaves; it is asked once; and what it says
// is checked before anybody sees it. Messages are opened only for that. No text, opened or drafted, leaves the call but sealed to a clinician's device:
// not into a row, a log line, a metric or an error. Nothing here is waited for by detection; memory is bounded; no draft is
// ever sent by itself.
//
// Not guaranteed: that a draft is good: no clinician has approved the bank yet, and one reads each draft first. That one is made: when too much is asked at once, it is
// not, and says so; nobody is told of an unasked one that was shed.
package suggest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

// Entry is one entry of LOG: what replication.Batch encodes.
type Entry struct {
	Seq  uint64
	Data []byte
}

// sealing opens messages and seals drafts. Errors are classified (triage).
type sealing interface {
	Open(ctx context.Context, m triage.Message) ([]byte, error)
	// Seal seals text to devices, as the answer to m; one that is no therapist's on the roster of m's epoch is left out.
	Seal(ctx context.Context, m triage.Message, suggestion uuid.UUID, to []uuid.UUID, text string) ([]triage.Seal, error)
	// MayLeave says whether at this moment all allows that what was said in m's session leaves for that model: setting, mode,
	// route, and of every client a live consent to analysis and one to external models, with a signature that verifies.
	MayLeave(ctx context.Context, m triage.Message, model string) (bool, error)
}

// book is what stands in the tables, as store does.
type book interface {
	SuggestionBasis(ctx context.Context, message, request uuid.UUID) (triage.SuggestionBasis, bool, error)
	SuggestionHistory(ctx context.Context, session uuid.UUID, position int64, limit int) ([]triage.Spoken, error)
	RecordSuggestion(ctx context.Context, s triage.Suggestion) (triage.SuggestionStatus, error)
}

// backlog is what was left behind, as store does.
type backlog interface {
	SuggestionRequests(ctx context.Context, limit int) ([]triage.SuggestionTask, error)
	UnsuggestedMessages(ctx context.Context, since time.Duration, limit int) ([]triage.SuggestionTask, error)
}

// Outcomes that Config.Counted hears of beside the reasons of suggestions.reason.
const (
	OutcomeOffered   = "offered"
	OutcomeWithdrawn = "withdrawn" // taken back before it was there
	OutcomeForgone   = "forgone"   // nobody asked, and none is wanted (any more)
	OutcomeShed      = "shed"      // nobody asked, and there was no room
	OutcomeFailed    = "failed"    // it will be tried again
)

// The points at which Config.At is called.
const (
	AtBeforeDraft  = "before_draft"
	AtBeforeRecord = "before_record"
	AtAfterRecord  = "after_record"
)

// Defaults of Config.
const (
	DefaultWorkers  = 8
	DefaultQueue    = 256
	DefaultSweep    = 10 * time.Second
	DefaultPatience = time.Minute
	DefaultFresh    = 15 * time.Minute
)

// Config joins the Drafter to its neighbours. Zero durations and numbers mean the defaults; zero functions are not called.
type Config struct {
	// Source hands the entries of LOG, in order, one call at a time, to handle, and moves its position after handle
	// returned nil. It returns handle's error, and nil when ctx ends.
	Source func(ctx context.Context, handle func(context.Context, []Entry) error) error

	Envelope sealing
	Book     book
	Backlog  backlog
	Model    *Model // nil: the bank only
	Log      *slog.Logger

	// Forget makes the Envelope read a session's keys and consents again, and ForgetAll every session's.
	Forget    func(session uuid.UUID)
	ForgetAll func()

	Workers  int           // suggestions worked on at once
	Queue    int           // that wait; more are shed
	Sweep    time.Duration // how often the tables are asked for requests that nobody answered
	Patience time.Duration // how long a request waits for its message to be assessed
	Fresh    time.Duration // a message older than this gets nothing unasked

	// Counted hears of each outcome, with its source ("" for none); Took of how long after it was asked one was offered;
	// Called of what became of a call to the model.
	Counted func(outcome, source string)
	Took    func(source string, since time.Duration)
	Called  func(outcome string)
	// At is called at the named points, for tests that stop the process there.
	At func(point string)
}

// Drafter makes suggestions. Make one with New.
type Drafter struct {
	config Config
	bank   *Bank
	queue  chan triage.SuggestionTask // full: shed
	turned chan triage.SuggestionTask // requests that were shed, to be recorded as such; full: the sweep finds them again

	swept atomic.Bool // all messages that want an unasked suggestion were taken up; false again when one failed

	mu      sync.Mutex
	pending map[uuid.UUID]bool                    // requests, and messages of unasked ones, that are under way; true: look once more
	waiting map[uuid.UUID][]triage.SuggestionTask // requests by the message that is not assessed yet, at most Config.Queue

	forgotten map[uuid.UUID]bool // sessions whose keys were forgotten since the last sweep
}

// New returns a Drafter. It starts nothing. Its error is a bank that cannot be used.
func New(c Config) (*Drafter, error) {
	bank, err := ParseBank(bankJSON)
	if err != nil {
		return nil, err
	}
	setDefault(&c.Workers, DefaultWorkers)
	setDefault(&c.Queue, DefaultQueue)
	setDefault(&c.Sweep, DefaultSweep)
	setDefault(&c.Patience, DefaultPatience)
	setDefault(&c.Fresh, DefaultFresh)
	if c.Counted == nil {
		c.Counted = func(string, string) {}
	}
	if c.Took == nil {
		c.Took = func(string, time.Duration) {}
	}
	if c.Called == nil {
		c.Called = func(string) {}
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	if c.Forget == nil {
		c.Forget = func(uuid.UUID) {}
	}
	if c.ForgetAll == nil {
		c.ForgetAll = func() {}
	}
	return &Drafter{
		config: c, bank: bank, queue: make(chan triage.SuggestionTask, c.Queue), turned: make(chan triage.SuggestionTask, c.Queue),
		pending: make(map[uuid.UUID]bool), waiting: make(map[uuid.UUID][]triage.SuggestionTask),
		forgotten: make(map[uuid.UUID]bool),
	}, nil
}

func setDefault[T int | time.Duration](value *T, fallback T) {
	if *value <= 0 {
		*value = fallback
	}
}

// errLogEnded is Run's error when Source ended by itself.
var errLogEnded = errors.New("the log's entries ended")

// Run makes suggestions until ctx ends (nil) or Source fails. What is being drafted then is cut off, and made at the next
// start. Not to be called twice.
func (d *Drafter) Run(ctx context.Context) error {
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := d.config.Source(inner, d.handle); err != nil {
			return err
		}
		if inner.Err() == nil {
			return errLogEnded
		}
		return nil
	})
	for range d.config.Workers {
		g.Go(func() error { d.work(inner); return nil })
	}
	g.Go(func() error { d.turnAway(inner); return nil })
	g.Go(func() error { d.sweeps(inner); return nil })
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("run suggestions: %w", err)
	}
	return nil
}

// key is what a task may be under way for once.
func key(t triage.SuggestionTask) uuid.UUID {
	if t.Request != uuid.Nil {
		return t.Request
	}
	return t.MessageID
}

// add queues a task, unless it is under way. When the queue is full a request is turned away and an unasked one forgotten.
func (d *Drafter) add(ctx context.Context, t triage.SuggestionTask) {
	d.mu.Lock()
	_, underWay := d.pending[key(t)]
	d.pending[key(t)] = underWay
	d.mu.Unlock()
	if underWay {
		return
	}
	select {
	case d.queue <- t:
		return
	default:
	}
	if t.Request == uuid.Nil {
		d.config.Counted(OutcomeShed, "")
		d.done(t)
		return
	}
	d.config.Log.WarnContext(ctx, "too many suggestions are asked for: this one is turned away", logkey.Message, t.MessageID)
	select {
	case d.turned <- t:
	default:
		d.done(t) // still requested in the table: the sweep comes back to it
	}
}

// done ends a task, and says whether it was added again while it was under way: what was read may be older than that.
func (d *Drafter) done(t triage.SuggestionTask) (again bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	again = d.pending[key(t)]
	delete(d.pending, key(t))
	return again
}

// work drafts what is queued until ctx ends.
func (d *Drafter) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-d.queue:
			d.answer(ctx, t)
			if d.done(t) {
				d.add(ctx, t)
			}
		}
	}
}

// turnAway records requests for which there is no room.
func (d *Drafter) turnAway(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-d.turned:
			d.record(ctx, t, notMade(t, triage.SuggestionBusy))
			d.done(t)
		}
	}
}

// sweepLimit is how many tasks one look at the tables takes.
const sweepLimit = 100

// sweeps picks up what a crash, an outage or a lost entry left behind.
func (d *Drafter) sweeps(ctx context.Context) {
	tick := time.NewTicker(d.config.Sweep)
	defer tick.Stop()
	for {
		d.lapse()
		d.forgetAgain()
		tasks, err := d.config.Backlog.SuggestionRequests(ctx, sweepLimit)
		if err == nil && !d.swept.Swap(true) { // set before the table is read: what fails meanwhile is not missed
			var unasked []triage.SuggestionTask
			if unasked, err = d.config.Backlog.UnsuggestedMessages(ctx, d.config.Fresh, sweepLimit); err != nil {
				d.swept.Store(false)
			}
			tasks = append(tasks, unasked...)
		}
		if err != nil && ctx.Err() == nil {
			d.config.Log.WarnContext(ctx, "requests for suggestions could not be read", logkey.Error, err)
		}
		for _, t := range tasks {
			d.add(ctx, t)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
