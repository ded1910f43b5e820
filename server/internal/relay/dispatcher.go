package relay

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"vigil/realtime"
	"vigil/server/internal/logkey"
)

// feed is TOPICS, as those who send it see it.
type feed interface {
	// Last is the last sequence given out.
	Last(ctx context.Context) (uint64, error)
	// Follow calls handle with every entry from seq on, in order, until ctx ends or the bus goes away.
	Follow(ctx context.Context, seq uint64, handle func(context.Context, TopicEntry) error) error
	// Epoch reads the epoch from the bus.
	Epoch(ctx context.Context) (string, error)
}

// sockets is realtime.Server, the part that what was committed drives.
type sockets interface {
	Publish(e realtime.Entry)
	Reauthorize(match func(realtime.Member) bool)
	EndLogin(loginID string)
}

// DispatcherConfig joins a Dispatcher to the bus and the sockets. Topics, Sockets, Invalidate and Logger are required.
type DispatcherConfig struct {
	Topics  feed
	Sockets sockets
	// ResetHistory is realtime.Server's: the epoch has changed. nil: nothing.
	ResetHistory func()
	// Invalidate drops cached grants of a scope before the channels are stopped. scope.Counter rises with each call of one epoch; a grant
	// that was asked for before must not be kept. It must not wait for the database.
	Invalidate func(ctx context.Context, scope Scope)
	// Policy is told that policies may have changed, and reads whether they have. It must not wait. nil: a hint is
	// handled as ScopeAll.
	Policy func(ctx context.Context, scope Scope)
	Logger *slog.Logger
	// At is called at before_publish; nil: nothing.
	At func(point string)
}

// Dispatcher gives TOPICS to the sockets, in order. Each node runs one.
type Dispatcher struct {
	c     DispatcherConfig
	ready chan struct{}
	once  sync.Once
	epoch string // of the entries that come

	published, revoked, failures atomic.Int64
	position, handled            atomic.Uint64
}

// NewDispatcher makes a Dispatcher; Run starts it.
func NewDispatcher(c DispatcherConfig) *Dispatcher {
	if c.At == nil {
		c.At = func(string) {}
	}
	if c.ResetHistory == nil {
		c.ResetHistory = func() {}
	}
	return &Dispatcher{c: c, ready: make(chan struct{})}
}

// Ready is closed once Run knows where it begins: what is appended from then on is published. No socket may join before.
func (d *Dispatcher) Ready() <-chan struct{} { return d.ready }

// DispatcherStats is a reading for metrics; all but Position count since New.
type DispatcherStats struct {
	Published, Revoked, Failures int64
	Position                     uint64 // last entry of TOPICS handled
}

// Stats reads the counters.
func (d *Dispatcher) Stats() DispatcherStats {
	return DispatcherStats{d.published.Load(), d.revoked.Load(), d.failures.Load(), d.position.Load()}
}

// Run dispatches what is appended after it began, until ctx ends. When the bus goes away it goes on where it was.
func (d *Dispatcher) Run(ctx context.Context) error {
	began := false
	wait := firstBackoff
	for {
		err := d.begin(ctx, began)
		began = began || err == nil
		before := d.position.Load()
		if err == nil {
			err = d.c.Topics.Follow(ctx, before+1, d.handle)
		}
		if ctx.Err() != nil {
			return nil
		}
		d.failures.Add(1)
		d.c.Logger.WarnContext(ctx, "dispatcher begins again", logkey.Error, fmt.Sprint(err), logkey.Duration, wait)
		if d.position.Load() != before {
			wait = firstBackoff
		}
		if !pause(ctx, wait) {
			return nil
		}
		wait = min(2*wait, longestBackoff)
	}
}

// begin fixes where to go on. A TOPICS that ends before what was handled is another one, made while the bus was away: what it
// revoked is not known, so everyone is asked again.
func (d *Dispatcher) begin(ctx context.Context, again bool) error {
	last, err := d.c.Topics.Last(ctx)
	if err != nil {
		return err
	}
	epoch, err := d.c.Topics.Epoch(ctx)
	if err != nil {
		return err
	}
	if again && last >= d.position.Load() && epoch == d.epoch {
		return nil
	}
	d.epoch = epoch
	d.position.Store(last)
	if again {
		d.handled.Store(0)
		d.revoke(ctx, Scope{Kind: ScopeAll, Counter: last})
		d.c.ResetHistory()
	}
	d.handled.Store(last)
	d.once.Do(func() { close(d.ready) })
	return nil
}

// handle is called for one entry at a time. An entry that cannot be read is no reason to stop: those behind it may
// revoke. Its hole shows in the next prev.
func (d *Dispatcher) handle(ctx context.Context, e TopicEntry) error {
	s, err := parseStored(e.Data)
	if err != nil {
		d.c.Logger.ErrorContext(ctx, "entry of TOPICS could not be read", logkey.Sequence, e.Seq, logkey.Error, err.Error())
		if e.Topic == controlRevocation {
			d.revoke(ctx, Scope{Kind: ScopeAll, Counter: e.Seq})
		}
		d.handled.Store(e.Seq)
		d.position.Store(e.Seq)
		return nil
	}
	switch e.Topic {
	case controlPosition:
	case controlEpoch:
		if err := d.enter(ctx, string(s.payload)); err != nil {
			return err
		}
	case controlRevocation:
		scope, err := parseScope(s.payload, e.Seq)
		if err != nil {
			scope = Scope{Kind: ScopeAll, Counter: e.Seq} // rather too much than nothing
			d.c.Logger.ErrorContext(ctx, "revocation could not be read", logkey.Sequence, e.Seq, logkey.Error, err.Error())
		}
		d.revoke(ctx, scope)
	default:
		if !isControl(e.Topic) { // else of a newer version
			d.c.At("before_publish")
			d.handled.Store(e.Seq) // first: who joins while it is published either gets it, or may read it
			d.c.Sockets.Publish(entryOf(e, &s, d.epoch))
			d.published.Add(1)
		}
	}
	d.handled.Store(e.Seq)
	d.position.Store(e.Seq)
	return nil
}

// Handled is the last entry before which no revocation is yet to be handled.
func (d *Dispatcher) Handled() uint64 { return d.handled.Load() }

// enter begins an epoch. What History answers must be of it before anyone is sent to ask.
func (d *Dispatcher) enter(ctx context.Context, epoch string) error {
	if epoch == d.epoch {
		return nil
	}
	if _, err := d.c.Topics.Epoch(ctx); err != nil {
		return err
	}
	d.epoch = epoch
	d.revoke(ctx, Scope{Kind: ScopeAll}) // what was revoked between the epochs is in neither
	d.c.ResetHistory()
	return nil
}

func (d *Dispatcher) revoke(ctx context.Context, scope Scope) {
	d.revoked.Add(1)
	if scope.Kind == ScopePolicy && d.c.Policy != nil {
		d.c.Policy(ctx, scope)
		return
	}
	d.c.Invalidate(ctx, scope)
	if scope.Kind == ScopeLogin {
		d.c.Sockets.EndLogin(scope.ID)
		return
	}
	d.c.Sockets.Reauthorize(scope.Matches)
}

func entryOf(e TopicEntry, s *stored, epoch string) realtime.Entry {
	return realtime.Entry{Topic: e.Topic, Event: s.event, Payload: s.payload, ID: s.id.String(), Seq: e.Seq, Prev: s.prev,
		Epoch: epoch, At: e.At}
}
