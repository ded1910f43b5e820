package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	handOver         = 16                     // entries between the reader and the handler; blocks when full
	positionInterval = 100 * time.Millisecond // how often a durable's position is written while it moves
)

// Entry is one entry of LOG.
type Entry struct {
	Seq  uint64
	Data []byte
	At   time.Time // when LOG stored it
	// Redelivered: it was in LOG before this run began, so a handler that died may have seen it.
	Redelivered bool
}

// ConsumeBatches calls handle for the entries after the durable's position, in order, one call at a time, and moves the
// position after it returned nil. It hands over at once what is there, 1 to most entries, and never waits to fill a batch. It
// returns handle's error, nil when ctx ends, ErrTaken when another process runs the same durable or LOG was made anew. from, unless 0, is the sequence to begin with instead of the one after the durable's position; the
// position is then set to the entry before it. The handler must not keep the slice.
func (l *Log) ConsumeBatches(ctx context.Context, durable string, from uint64, most int, handle func(context.Context, []Entry) error) error {
	if !slices.Contains(l.durables, durable) {
		return fmt.Errorf("consume LOG as %q: not among the durables that LOG is kept for", durable)
	}
	c := &consumption{log: l, durable: durable, most: max(most, 1), handle: handle}
	var err error
	if c.nonce, c.known, err = l.refresh(ctx); err != nil {
		return err
	}
	if c.seq, c.revision, err = l.position(ctx, durable, c.nonce); err != nil {
		return err
	}
	if from != 0 {
		c.seq = from - 1
	}
	if c.revision, err = l.setPosition(ctx, durable, c.nonce, c.revision, c.seq); err != nil { // any other process stops here
		return err
	}
	c.stored = c.seq
	for {
		reading, stop := l.readers.reading(ctx)
		err = c.run(reading)
		forgotten := errors.Is(context.Cause(reading), errForgotten)
		stop()
		switch {
		case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
			return nil
		case !forgotten || ctx.Err() != nil:
			return err
		}
	}
}

// consumption is one run of a durable.
type consumption struct {
	log      *Log
	durable  string
	most     int
	handle   func(context.Context, []Entry) error
	nonce    string // of the LOG that is read
	known    uint64 // LOG's end when this began
	seq      uint64 // last entry handled
	stored   uint64 // last position written
	revision uint64
}

func (c *consumption) run(ctx context.Context) error {
	entries := make(chan Entry, handOver) // full: the reader blocks, and asks for no more
	g, ctx := errgroup.WithContext(ctx)
	after := c.seq
	g.Go(func() error { return c.read(ctx, c.log.feed(after+1, c.nonce), after, entries) })
	g.Go(func() error { return c.work(ctx, entries) })
	return g.Wait()
}

func (c *consumption) read(ctx context.Context, feed *feed, after uint64, entries chan<- Entry) error {
	last := after
	for {
		m, meta, err := feed.next(ctx)
		if err != nil {
			return fmt.Errorf("read LOG after %d: %w", last, err)
		}
		e := Entry{Seq: meta.Sequence.Stream, Data: m.Data(), At: meta.Timestamp, Redelivered: meta.Sequence.Stream <= c.known}
		if last != after && e.Seq != last+1 { // LOG is purged at its front only
			return fmt.Errorf("%w: LOG has %d after %d", ErrDamaged, e.Seq, last)
		}
		last = e.Seq
		select {
		case entries <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// work hands batches to the handler and writes the position when it is due, and at the end.
func (c *consumption) work(ctx context.Context, entries <-chan Entry) error {
	defer func() { //nolint:contextcheck // the last position is written even though ctx has ended
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		_ = c.store(end) // without it the same entries come again
	}()
	ticker := time.NewTicker(positionInterval)
	defer ticker.Stop()
	batch := make([]Entry, 0, c.most)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if err := c.store(ctx); err != nil {
				return err
			}
			continue
		case e := <-entries:
			batch = append(batch[:0], e)
		}
	drain:
		for len(batch) < c.most {
			select {
			case e := <-entries:
				batch = append(batch, e)
			default:
				break drain
			}
		}
		if err := c.handle(ctx, batch); err != nil {
			return err
		}
		c.seq = batch[len(batch)-1].Seq
	}
}

func (c *consumption) store(ctx context.Context) error {
	if c.stored == c.seq {
		return nil
	}
	revision, err := c.log.setPosition(ctx, c.durable, c.nonce, c.revision, c.seq)
	if err != nil {
		return fmt.Errorf("move %s to %d: %w", c.durable, c.seq, err)
	}
	c.revision, c.stored = revision, c.seq
	return nil
}
