package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vigil/server/internal/bus"
)

// childDir makes the test binary a writer that is killed: see kill_test.go.
const childDir = "VIGIL_BUS_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// config is a small bus below a directory of the test.
func config(tb testing.TB) bus.Config {
	tb.Helper()
	return bus.Config{Dir: tb.TempDir(), Key: "a key of the test", Log: slog.New(slog.DiscardHandler), LogKeep: time.Nanosecond, MinFree: 1,
		Durables: []string{bus.Pipeline, bus.Sequencer}}
}

// oneByOne consumes LOG an entry at a time.
func oneByOne(ctx context.Context, l *bus.Log, durable string, handle func(context.Context, bus.Entry) error) error {
	return l.ConsumeBatches(ctx, durable, 0, 1, func(ctx context.Context, batch []bus.Entry) error { return handle(ctx, batch[0]) })
}

// open opens a bus that is closed when the test ends.
func open(tb testing.TB, c bus.Config) *bus.Bus {
	tb.Helper()
	b, err := bus.Open(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { shut(tb, b) })
	return b
}

func shut(tb testing.TB, b *bus.Bus) {
	tb.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := b.Close(ctx); err != nil {
		tb.Errorf("close: %v", err)
	}
}

// fill appends entries with the texts first..first+n-1 and waits for all.
func fill(tb testing.TB, b *bus.Bus, first, n int) {
	tb.Helper()
	pending := make([]*bus.Pending, 0, n)
	for i := range n {
		p, err := b.Log().Append(tb.Context(), fmt.Appendf(nil, "entry %d", first+i))
		if err != nil {
			tb.Fatal(err)
		}
		pending = append(pending, p)
	}
	for _, p := range pending {
		if err := p.Wait(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
}

// put appends one entry to a topic and waits.
func put(tb testing.TB, b *bus.Bus, topic, text string) uint64 {
	tb.Helper()
	p, err := b.Topics().Append(tb.Context(), topic, b.Topics().Next(), []byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.Wait(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return p.Seq()
}

// collect runs a durable until it has seen n entries, and returns them.
func collect(tb testing.TB, b *bus.Bus, durable string, n int) []bus.Entry {
	tb.Helper()
	ctx, stop := context.WithTimeout(tb.Context(), 20*time.Second)
	defer stop()
	var seen []bus.Entry
	err := b.Log().ConsumeBatches(ctx, durable, 0, 64, func(_ context.Context, batch []bus.Entry) error {
		if seen = append(seen, batch...); len(seen) >= n {
			stop()
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if len(seen) < n {
		tb.Fatalf("saw %d entries, want %d", len(seen), n)
	}
	return seen
}
