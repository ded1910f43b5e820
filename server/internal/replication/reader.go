package replication

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"vigil/server/internal/logkey"
)

// Reader reads one slot. Make it with New; Run may be called once at a time, State at any time by anyone.
type Reader struct {
	c       Config
	state   stateKeeper
	running atomic.Bool

	// Of the goroutine that runs:
	expected     Identity  // of the configuration, then of the first connection
	slotExpected bool      // a missing slot is a loss
	recreate     bool      // not done yet
	ignored      uint64    // sequence of an entry whose position says nothing about the slot we made
	busySince    time.Time // since when another holds the slot
}

// New checks the configuration and starts nothing.
func New(c Config) (*Reader, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Reader{c: c, expected: c.Expected, slotExpected: c.SlotExpected, recreate: c.Recreate}, nil
}

// State gives a copy of what is known.
func (r *Reader) State() State { return r.state.get() }

var errRunning = errors.New("the reader runs already")

// Run reads until ctx ends (nil, once what is in flight was stored or DrainTimeout went by) or until something is wrong
// that does not heal: then the error says what to do, and errors.Is finds one of ErrAuthentication, ErrDatabase,
// ErrMalformed, ErrPooler, ErrPrivilege, ErrProtocol, ErrPublication, ErrRestored, ErrSlotForeign, ErrSlotGone,
// ErrSlotInUse (after SlotWait), ErrSlotLost, ErrSlotsFull, ErrSystemChanged, ErrTLS, ErrVersion, ErrWALLevel, or what
// Started, Last or the log returned with Permanent() bool true. Everything else is tried again, for ever, with backoff; State tells.
func (r *Reader) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errRunning
	}
	defer r.running.Store(false)
	inner, cancel := context.WithCancel(ctx)
	var side sync.WaitGroup
	defer side.Wait()
	defer cancel()
	if r.c.Heartbeat != nil {
		side.Go(func() { r.beat(inner) })
	}
	if r.c.InspectInterval > 0 {
		side.Go(func() { r.watch(inner) })
	}
	return r.keepReading(ctx)
}

// quickBackoff bounds the wait for what is over soon: a starting server, a slot whose holder is leaving.
const quickBackoff = 500 * time.Millisecond

func (r *Reader) keepReading(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		progressed, err := r.connection(ctx)
		if progressed {
			attempt = 0
		}
		r.state.ended(r.endError(ctx, err))
		if err == nil || isEnd(ctx, err) {
			return nil
		}
		if final := r.final(err); final != nil {
			return final
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the connection broke while it was being ended
		}
		wait := r.backoff(attempt, err)
		r.c.Log.WarnContext(ctx, "replication interrupted", logkey.Slot, r.c.Slot, logkey.Error, err.Error(), logkey.Attempt, attempt, logkey.Duration, wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		r.state.reconnecting()
	}
}

func (r *Reader) endError(ctx context.Context, err error) error {
	if isEnd(ctx, err) {
		return nil
	}
	return err
}

// final gives the error that Run returns; nil where trying again may help.
func (r *Reader) final(err error) error {
	if errors.Is(err, ErrSlotInUse) {
		if r.busySince.IsZero() {
			r.busySince = time.Now()
		}
		if r.c.SlotWait > 0 && time.Since(r.busySince) >= r.c.SlotWait {
			return fmt.Errorf("wait %s for slot %s: %w", r.c.SlotWait, r.c.Slot, err)
		}
		return nil
	}
	r.busySince = time.Time{}
	if isPermanent(err) {
		return err
	}
	return nil
}

const stateCannotConnectNow = "57P03" // starting up, shutting down, recovering

func (r *Reader) backoff(attempt int, err error) time.Duration {
	limit := r.c.MaxBackoff
	var pg *pgconn.PgError
	if errors.Is(err, ErrSlotInUse) || errors.As(err, &pg) && pg.Code == stateCannotConnectNow {
		limit = min(limit, quickBackoff)
	}
	wait := min(r.c.MinBackoff<<min(attempt, 16), limit)
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // jitter, not a secret
}

// connection opens one, checks everything, and streams until it breaks. progressed says that something was stored, or that
// it stood for a while: a log that is full must not be asked again and again without a pause.
func (r *Reader) connection(ctx context.Context) (progressed bool, err error) {
	s, err := r.c.connect(ctx)
	if err != nil {
		return false, err
	}
	defer s.close(ctx) // after start it has no connection any more
	stream, start, slot, err := r.prepare(ctx, s)
	if err != nil {
		return false, err
	}
	if r.c.Started != nil {
		if err := r.c.Started(ctx, start); err != nil {
			return false, fmt.Errorf("start replication: %w", err)
		}
	}
	if stream.conn, err = s.start(ctx, start.Position.Commit); err != nil {
		return false, err
	}
	r.busySince = time.Time{}
	r.state.connected(start, slot)
	r.c.Log.InfoContext(ctx, "replication started", logkey.Slot, r.c.Slot, logkey.LSN, start.From.String())
	began := time.Now()
	err = stream.run(ctx)
	return stream.wrote || time.Since(began) > r.c.MaxBackoff, err
}

// prepare checks that log and server fit, gets the slot, and makes the stream that goes on after the log's last entry.
func (r *Reader) prepare(ctx context.Context, s *session) (*stream, Start, Slot, error) {
	fail := func(err error) (*stream, Start, Slot, error) { return nil, Start{}, Slot{}, err }
	asking, cancel := context.WithTimeout(ctx, r.c.ConnectTimeout)
	defer cancel()
	seq, last, err := r.c.Last(asking)
	if err != nil {
		return fail(fmt.Errorf("read the last entry of the log: %w", err))
	}
	if r.recreate {
		r.ignored, r.expected = seq, Identity{}
	}
	known, err := resumeAfter(last)
	if err != nil {
		return fail(err)
	}
	expected := r.slotExpected || len(last) > 0
	if seq == r.ignored {
		known = resume{}
	}
	if err := s.checkHistory(r.expected, known.last); err != nil {
		return fail(err)
	}
	if err := s.checkPublications(asking); err != nil {
		return fail(err)
	}
	slot, created, err := s.slot(ctx, r.recreate, expected)
	if err != nil {
		return fail(err)
	}
	r.recreate, r.slotExpected, r.expected = false, true, s.identity
	known.mustSee = known.last.Commit != 0 && slot.Confirmed <= known.last.Commit
	stream := &stream{c: r.c, state: &r.state, confirmed: slot.Confirmed, stored: slot.Confirmed, received: slot.Confirmed, walEnd: s.flush,
		asm: &assembler{maxBytes: r.c.MaxBytes, maxRows: r.c.MaxRows, messages: r.c.Messages}}
	stream.asm.reset(known, nil)
	return stream, Start{Identity: s.identity, Created: created, From: slot.Confirmed, Position: known.last}, slot, nil
}

// beat calls Heartbeat while the stream runs.
func (r *Reader) beat(ctx context.Context) {
	ticker := time.NewTicker(r.c.HeartbeatInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !r.State().Connected {
			continue
		}
		err := r.c.Heartbeat(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.c.Log.WarnContext(ctx, "heartbeat failed", logkey.Slot, r.c.Slot, logkey.Error, err.Error())
		}
		r.state.beat(err)
	}
}

// watch looks at the WAL budget of the slot, over a short connection of its own.
func (r *Reader) watch(ctx context.Context) {
	ticker := time.NewTicker(r.c.InspectInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		limit, cancel := context.WithTimeout(ctx, r.c.ConnectTimeout)
		report, err := Inspect(limit, r.c.URL, r.c.Slot, nil)
		cancel()
		if err == nil && report.Slot != nil {
			r.state.inspected(*report.Slot)
		}
	}
}
