package relay_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"vigil/server/internal/relay"
)

// countedTopics counts reads, and may hold or fail them.
type countedTopics struct {
	topicsOf
	reads  atomic.Int64
	before func() error
}

func (c *countedTopics) Read(ctx context.Context, topic string, after uint64, limit int) ([]relay.TopicEntry, error) {
	c.reads.Add(1)
	if c.before != nil {
		if err := c.before(); err != nil {
			return nil, err
		}
	}
	return c.topicsOf.Read(ctx, topic, after, limit)
}

// TestManyWhoComeBackShareAPage: the bus is asked once for what many ask at once, and for a full page not again; what may
// grow is asked for each time, a failure is nobody else's, and another epoch has other pages.
func TestManyWhoComeBackShareAPage(t *testing.T) {
	t.Parallel()
	b := openBus(t, busConfig(t))
	write := func(i int) {
		commit(t, b, messages.row(relay.Insert, uint64(i+1), 0, id(i), id(5), fmt.Sprint(i), "sealed")) //nolint:gosec // small
	}
	for i := range 4 {
		write(i)
	}
	sequenceAll(t, b)
	topic, epoch := "session:"+id(5), b.Topics().Epoch()
	c := &countedTopics{topicsOf: topicsOf{b.Topics()}}
	h := relay.NewHistory(c, func() string { return epoch })
	read := func(limit, wantEntries int, wantReads int64) {
		t.Helper()
		got, err := h.Read(t.Context(), topic, 0, limit)
		if err != nil || len(got) != wantEntries || c.reads.Load() != wantReads {
			t.Errorf("%d entries after %d reads, %v; want %d after %d", len(got), c.reads.Load(), err, wantEntries, wantReads)
		}
	}
	read(4, 4, 1)
	read(4, 4, 1)
	read(5, 4, 2)
	read(5, 4, 3)
	epoch = "another"
	read(4, 4, 4)

	held, entered := make(chan struct{}), make(chan struct{}, 1)
	c.before = func() error { entered <- struct{}{}; <-held; return nil }
	first := make(chan int, 1)
	go func() { // waited for below
		got, _ := h.Read(t.Context(), topic, 0, 6)
		first <- len(got)
	}()
	<-entered
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Read(gone, topic, 0, 6); !errors.Is(err, context.Canceled) || c.reads.Load() != 5 {
		t.Errorf("who comes while a page is read waits for it: %v, %d reads", err, c.reads.Load())
	}
	close(held)
	if n := <-first; n != 4 {
		t.Errorf("%d entries", n)
	}

	broken := errors.New("broken")
	c.before = func() error { return broken }
	if _, err := h.Read(t.Context(), topic, 0, 7); !errors.Is(err, broken) {
		t.Errorf("a failed read: %v", err)
	}
	c.before = nil
	before := c.reads.Load()
	read(7, 4, before+1)
}
