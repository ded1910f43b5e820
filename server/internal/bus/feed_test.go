package bus_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"vigil/server/internal/bus"
)

// lockedBuffer is a log that several write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestNoEntryIsDroppedOnTheWay reads entries of all sizes with a handler that is now quick and now slow. A reader whose
// buffer is full would lose one, and find out only seconds later.
func TestNoEntryIsDroppedOnTheWay(t *testing.T) {
	t.Parallel()
	const entries, rounds = 3000, 10
	c := config(t)
	c.Durables = []string{bus.Pipeline}
	var log lockedBuffer
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	b := open(t, c)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same sizes each time
	data := make([]byte, 1<<20)
	for i := range entries {
		size := 200 + random.IntN(3000)
		if i%20 == 0 {
			size = 100_000 + random.IntN(400_000)
		}
		if _, err := b.Log().Append(t.Context(), data[:size]); err != nil {
			t.Fatal(err)
		}
	}
	for range rounds {
		ctx, done := context.WithTimeout(t.Context(), time.Minute)
		read := 0
		err := b.Log().ConsumeBatches(ctx, bus.Pipeline, 1, 1+random.IntN(200), func(_ context.Context, batch []bus.Entry) error {
			if read += len(batch); read == entries {
				done()
			}
			for range random.IntN(20_000) * (read / 500 % 2) { // slow in every other five hundred
				_ = bytes.Equal(data[:100], data[100:200])
			}
			return nil
		})
		if err != nil || read != entries {
			t.Fatalf("read %d of %d: %v", read, entries, err)
		}
	}
	if said := log.String(); strings.Contains(said, "dropped") {
		t.Error(said)
	}
	shut(t, b)
}

// TestReaderThatHasLittleTimeReads: the deadline is nearer than two heartbeats.
func TestReaderThatHasLittleTimeReads(t *testing.T) {
	t.Parallel()
	c := config(t)
	b := open(t, c)
	fill(t, b, 1, 3)
	ctx, done := context.WithTimeout(t.Context(), 3*time.Second)
	defer done()
	read := 0
	err := b.Log().ConsumeBatches(ctx, bus.Pipeline, 1, 10, func(_ context.Context, batch []bus.Entry) error {
		if read += len(batch); read == 3 {
			done()
		}
		return nil
	})
	if err != nil || read != 3 {
		t.Errorf("read %d: %v", read, err)
	}
	shut(t, b)
}
