package bus

import (
	"bytes"
	"context"
	"errors"
	"time"

	"vigil/server/internal/logkey"
)

const (
	leaseRenew = 500 * time.Millisecond  // between a holder's renewals; half of it between looks of those who wait
	leaseStop  = 1500 * time.Millisecond // without a renewal that was stored: the holder stops
	leaseAfter = 2500 * time.Millisecond // without a renewal to be seen: whoever waits takes the lease
)

// lease is a record that its holder writes again and again. Whoever waits measures with a clock of its own how long it stays
// the same, so that nobody's clock is compared with another's.
type lease struct {
	bus      *Bus
	name     string
	revision uint64
}

// Lead runs work while this process holds the lease of a name, which one process has at a time, and waits while another has
// it. The context of work ends when ctx does, or when the lease is lost: Lead then waits for it again. It returns what work
// returned by itself, and nil when ctx ends. A holder that ends hands over at once; one that dies is followed within 3 s.
//
// A lease keeps two from doing the same work and fences nothing: a process that was stopped for a while goes on for a moment.
// What it writes is refused where it is written: by LOG's and TOPICS' sequences, by the slot, by compare-and-set in SQL.
func (b *Bus) Lead(ctx context.Context, name string, work func(context.Context) error) error {
	l := &lease{bus: b, name: name}
	for {
		if !l.acquire(ctx) {
			return nil
		}
		b.c.Log.InfoContext(ctx, "this node leads", logkey.Part, name)
		lost, err := l.hold(ctx, work)
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		if !lost || err != nil || ctx.Err() != nil {
			return err
		}
		b.c.Log.WarnContext(ctx, "this node no longer leads: its lease is another's, or could not be renewed", logkey.Part, name)
	}
}

func leaseKey(name string) string { return "lease." + name }

// acquire waits until nobody renews the lease, and takes it. False: ctx ended.
func (l *lease) acquire(ctx context.Context) bool {
	ticker := time.NewTicker(leaseRenew / 2)
	defer ticker.Stop()
	var seen uint64
	var since time.Time
	for {
		if value, revision, err := l.bus.records.Get(ctx, leaseKey(l.name)); err == nil {
			if since.IsZero() || revision != seen {
				seen, since = revision, time.Now()
			}
			free := len(value) == 0 || bytes.Equal(value, l.bus.node)
			if (free || time.Since(since) >= leaseAfter) && l.write(ctx, revision, l.bus.node) == nil {
				return true
			}
		}
		select { // the bus is away, or another was first: look again
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

func (l *lease) write(ctx context.Context, revision uint64, value []byte) error {
	ctx, stop := context.WithTimeout(ctx, leaseRenew)
	defer stop()
	next, err := l.bus.records.PutIf(ctx, leaseKey(l.name), revision, value)
	if err == nil {
		l.revision = next
	}
	return err
}

// hold runs work and renews the lease meanwhile. lost: work was ended because it could not.
func (l *lease) hold(ctx context.Context, work func(context.Context) error) (lost bool, err error) {
	held, end := context.WithCancel(ctx)
	defer end()
	done := make(chan error, 1)
	go func() { done <- work(held) }() // waited for below
	ticker := time.NewTicker(leaseRenew)
	defer ticker.Stop()
	for renewed := time.Now(); ; {
		select {
		case err := <-done:
			if !lost {
				l.release(ctx)
			}
			return lost, err
		case <-ticker.C:
		}
		if lost {
			continue
		}
		began := time.Now()
		switch err := l.renew(context.WithoutCancel(ctx)); { // also while work drains
		case err == nil:
			renewed = began
		case errors.Is(err, ErrTaken) || time.Since(renewed) >= leaseStop:
			lost = true
			end()
		}
	}
}

// renew writes the lease again. ErrTaken: another has it.
func (l *lease) renew(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, leaseRenew)
	defer stop()
	err := l.write(ctx, l.revision, l.bus.node)
	if !errors.Is(err, ErrTaken) {
		return err
	}
	value, revision, failed := l.bus.records.Get(ctx, leaseKey(l.name))
	if failed != nil {
		return failed
	}
	if !bytes.Equal(value, l.bus.node) {
		return err
	}
	l.revision = revision // it was stored, and the answer lost
	return nil
}

// release hands the lease over; whoever waits takes it at the next look. Without it they wait until it has grown old.
func (l *lease) release(ctx context.Context) {
	_ = l.write(context.WithoutCancel(ctx), l.revision, nil)
}
