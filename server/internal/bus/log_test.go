package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"vigil/server/internal/bus"
)

func TestAppendGivesDenseSequencesAndLastIsTheLast(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	if seq, data, err := b.Log().Last(t.Context()); seq != 0 || data != nil || err != nil {
		t.Fatalf("last of an empty LOG: %d %q %v", seq, data, err)
	}
	fill(t, b, 1, 600) // more than the window
	seq, data, err := b.Log().Last(t.Context())
	if seq != 600 || string(data) != "entry 600" || err != nil {
		t.Fatalf("last: %d %q %v", seq, data, err)
	}
}

// TestLastWaitsForWhatIsInFlight: else a writer that begins again could append twice what is about to be stored.
func TestLastWaitsForWhatIsInFlight(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	for i := range 200 {
		if _, err := b.Log().Append(t.Context(), fmt.Appendf(nil, "entry %d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if seq, data, err := b.Log().Last(t.Context()); seq != 200 || string(data) != "entry 200" || err != nil {
		t.Fatalf("last: %d %q %v", seq, data, err)
	}
	fill(t, b, 201, 1)
	for range 300 {
		if _, err := b.Topics().Append(t.Context(), "session:a", b.Topics().Next(), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if seq, err := b.Topics().Last(t.Context()); seq != 300 || err != nil {
		t.Fatalf("last: %d %v", seq, err)
	}
}

// TestReadersDoNotMendTheWriter: a purge, a lag, a reader between a failed append and the writer's next one must not let that one
// through, or the failed one would be missing.
func TestReadersDoNotMendTheWriter(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	fill(t, b, 1, 3)
	rival := b.Rival(t)
	p, err := rival.Append(t.Context(), []byte("of the rival"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, err = b.Log().Append(t.Context(), []byte("lost")); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	purge(t, b)
	collect(t, b, bus.Pipeline, 4)
	if _, err := b.Stats(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Log().First(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Log().Append(t.Context(), []byte("behind the lost one")); !errors.Is(err, bus.ErrConflict) {
		t.Fatalf("the next append: %v", err)
	}
}

func TestEntriesSurviveARestart(t *testing.T) {
	t.Parallel()
	c := config(t)
	b := open(t, c)
	fill(t, b, 1, 10)
	nonce, epoch := b.Log().Nonce(), b.Topics().Epoch()
	if err := b.Records().Put(t.Context(), "continuity", []byte("system 7")); err != nil {
		t.Fatal(err)
	}
	shut(t, b)
	b = open(t, c)
	if b.Recreated() || b.Log().Nonce() != nonce || b.Topics().Epoch() != epoch {
		t.Fatal("a clean restart made another bus")
	}
	fill(t, b, 11, 1)
	value, _, err := b.Records().Get(t.Context(), "continuity")
	if err != nil || string(value) != "system 7" {
		t.Fatalf("record: %q %v", value, err)
	}
	seen := collect(t, b, bus.Pipeline, 11)
	for i, e := range seen {
		if e.Seq != uint64(i+1) || string(e.Data) != fmt.Sprintf("entry %d", i+1) {
			t.Fatalf("entry %d: %d %q", i, e.Seq, e.Data)
		}
	}
}

// TestASecondWriterConflicts: the writer whose expectation is wrong learns of it, all its later appends fail too, and it
// goes on from where LOG really ends.
func TestASecondWriterConflicts(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	fill(t, b, 1, 3)
	rival := b.Rival(t)
	p, err := rival.Append(t.Context(), []byte("of the rival"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err = b.Log().Append(t.Context(), []byte("entry 4"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); !errors.Is(err, bus.ErrConflict) {
		t.Fatalf("append beside a rival: %v", err)
	}
	if _, err := b.Log().Append(t.Context(), nil); !errors.Is(err, bus.ErrConflict) {
		t.Fatalf("append after a conflict: %v", err)
	}
	seq, data, err := b.Log().Last(t.Context())
	if seq != 4 || string(data) != "of the rival" || err != nil {
		t.Fatalf("last: %d %q %v", seq, data, err)
	}
	fill(t, b, 5, 1)
}

// TestAFullLogRefusesAndDropsNothing: MaxBytes reached means ErrFull; what is there stays; after a purge it goes on.
func TestAFullLogRefusesAndDropsNothing(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.LogMaxBytes = 1 << 20
	b := open(t, c)
	chunk := bytes.Repeat([]byte("x"), 100<<10)
	var stored uint64
	var err error
	for range 20 {
		var p *bus.Pending
		if p, err = b.Log().Append(t.Context(), chunk); err == nil {
			err = p.Wait(t.Context())
		}
		if err != nil {
			break
		}
		stored++
	}
	if !errors.Is(err, bus.ErrFull) || stored < 5 {
		t.Fatalf("after %d entries: %v", stored, err)
	}
	if first, err := b.Log().First(t.Context()); first != 1 || err != nil {
		t.Fatalf("first entry is %d: %v", first, err)
	}
	if _, err := b.Log().Append(t.Context(), []byte("later")); !errors.Is(err, bus.ErrFull) {
		t.Fatalf("append to a full LOG without Last: %v", err)
	}
	if err := b.Health(t.Context()); !errors.Is(err, bus.ErrFull) { // although the limit is not quite reached
		t.Errorf("health of a full LOG: %v", err)
	}
	collect(t, b, bus.Pipeline, int(stored))
	collect(t, b, bus.Sequencer, int(stored))
	purge(t, b)
	if seq, _, err := b.Log().Last(t.Context()); seq != stored || err != nil {
		t.Fatalf("last: %d %v, want %d", seq, err, stored)
	}
	fill(t, b, 1, 1)
	if err := b.Health(t.Context()); err != nil {
		t.Errorf("health once there is space again: %v", err)
	}
}

// TestADiskThatIsShortRefuses: nothing is sent, nothing breaks, and the same append succeeds once there is space.
func TestADiskThatIsShortRefuses(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(math.MaxUint64)
	c := config(t)
	c.MinFree = 1 << 20
	c.Free = func(string) (uint64, error) { return free.Load(), nil }
	b := open(t, c)
	fill(t, b, 1, 1)
	free.Store(1000)
	b.ForgetSpace()
	if _, err := b.Log().Append(t.Context(), []byte("entry 2")); !errors.Is(err, bus.ErrFull) {
		t.Fatalf("append to a full disk: %v", err)
	}
	if err := b.Health(t.Context()); !errors.Is(err, bus.ErrFull) {
		t.Fatalf("health: %v", err)
	}
	free.Store(math.MaxUint64)
	b.ForgetSpace()
	fill(t, b, 2, 1)
	if err := b.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAnEntryTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.MaxEntryBytes = 1 << 20
	b := open(t, c)
	if _, err := b.Log().Append(t.Context(), make([]byte, 1<<20+1)); !errors.Is(err, bus.ErrTooLarge) {
		t.Fatal(err)
	}
	p, err := b.Log().Append(t.Context(), make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func purge(tb testing.TB, b *bus.Bus) {
	tb.Helper()
	for range 2 { // the first call notes how far the durables are, the second may purge that
		if err := b.Log().PurgePassed(tb.Context(), time.Now()); err != nil {
			tb.Fatal(err)
		}
	}
}

// TestPurgeKeepsTheLastEntryAndWhatADurableHasNotPassed.
func TestPurgeKeepsTheLastEntryAndWhatADurableHasNotPassed(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	fill(t, b, 1, 10)
	collect(t, b, bus.Pipeline, 10)
	purge(t, b)
	if first, err := b.Log().First(t.Context()); first != 1 || err != nil {
		t.Fatalf("first %d %v: the sequencer has not passed it", first, err)
	}
	stats, err := b.Stats(t.Context())
	if err != nil || stats.Lag[bus.Sequencer] != 10 || stats.Lag[bus.Pipeline] != 0 {
		t.Fatalf("lag %v %v", stats.Lag, err)
	}
	collect(t, b, bus.Sequencer, 10)
	purge(t, b)
	if first, err := b.Log().First(t.Context()); first != 10 || err != nil {
		t.Fatalf("first %d %v, want the last", first, err)
	}
	if seq, data, err := b.Log().Last(t.Context()); seq != 10 || string(data) != "entry 10" || err != nil {
		t.Fatalf("last %d %q %v", seq, data, err)
	}
}

func TestPurgeWaitsForLogKeep(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.LogKeep = time.Minute
	b := open(t, c)
	fill(t, b, 1, 10)
	collect(t, b, bus.Pipeline, 10)
	collect(t, b, bus.Sequencer, 10)
	start := time.Now()
	for after, want := range map[time.Duration]uint64{0: 1, 59 * time.Second: 1} {
		if err := b.Log().PurgePassed(t.Context(), start.Add(after)); err != nil {
			t.Fatal(err)
		}
		if first, err := b.Log().First(t.Context()); first != want || err != nil {
			t.Fatalf("first after %s: %d %v", after, first, err)
		}
	}
	if err := b.Log().PurgePassed(t.Context(), start.Add(2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if first, err := b.Log().First(t.Context()); first != 10 || err != nil {
		t.Fatalf("first after two minutes: %d %v", first, err)
	}
}

// TestAHandlerThatFailsSeesItsEntryAgain: and everything after it, in order.
func TestAHandlerThatFailsSeesItsEntryAgain(t *testing.T) {
	t.Parallel()
	c := config(t)
	b := open(t, c)
	fill(t, b, 1, 50)
	boom := errors.New("boom")
	err := oneByOne(t.Context(), b.Log(), bus.Pipeline, func(_ context.Context, e bus.Entry) error {
		if e.Seq == 20 {
			return boom
		}
		return nil
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if seq, err := b.Log().Position(t.Context(), bus.Pipeline); seq != 19 || err != nil {
		t.Fatalf("position %d %v", seq, err)
	}
	seen := collect(t, b, bus.Pipeline, 31)
	if seen[0].Seq != 20 || !seen[0].Redelivered || seen[30].Seq != 50 {
		t.Fatalf("saw %d (redelivered %t) to %d", seen[0].Seq, seen[0].Redelivered, seen[30].Seq)
	}
}

func TestBatchesBeginWhereTheCallerSays(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	fill(t, b, 1, 30)
	collect(t, b, bus.Sequencer, 30)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var first uint64
	err := b.Log().ConsumeBatches(ctx, bus.Sequencer, 7, 8, func(_ context.Context, batch []bus.Entry) error {
		if len(batch) == 0 || len(batch) > 8 {
			t.Errorf("batch of %d", len(batch))
		}
		if first == 0 {
			first = batch[0].Seq
		}
		if batch[len(batch)-1].Seq == 30 {
			stop()
		}
		return nil
	})
	if err != nil || first != 7 {
		t.Fatalf("first %d, %v", first, err)
	}
}

// TestASecondProcessTakesTheDurable: the first one stops and says so.
func TestASecondProcessTakesTheDurable(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	began, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { // waited for by the receive below
		ended <- oneByOne(t.Context(), b.Log(), bus.Pipeline, func(context.Context, bus.Entry) error {
			select {
			case began <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	fill(t, b, 1, 1)
	<-began
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	other := make(chan error, 1)
	go func() { // waited for by the receive below
		other <- oneByOne(ctx, b.Log(), bus.Pipeline, func(context.Context, bus.Entry) error { return nil })
	}()
	var err error
	for i := 2; err == nil; i++ {
		fill(t, b, i, 1)
		select {
		case err = <-ended:
		case <-time.After(20 * time.Millisecond):
		}
	}
	if !errors.Is(err, bus.ErrTaken) {
		t.Fatal(err)
	}
	stop()
	if err := <-other; err != nil {
		t.Fatal(err)
	}
}

func TestAnUnknownDurableIsRefused(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	if err := oneByOne(t.Context(), b.Log(), "stranger", nil); err == nil {
		t.Fatal("LOG is not kept for a stranger")
	}
}

func TestRecordsAreComparedAndSet(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	r := b.Records()
	first, err := r.PutIf(t.Context(), "key of any text. *>", 0, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.PutIf(t.Context(), "key of any text. *>", 0, []byte("two")); !errors.Is(err, bus.ErrTaken) {
		t.Fatal(err)
	}
	if _, err := r.PutIf(t.Context(), "key of any text. *>", first, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if value, _, err := r.Get(t.Context(), "key of any text. *>"); string(value) != "two" || err != nil {
		t.Fatalf("%q %v", value, err)
	}
	if value, revision, err := r.Get(t.Context(), "none"); value != nil || revision != 0 || err != nil {
		t.Fatalf("%q %d %v", value, revision, err)
	}
}

func TestRunStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.PurgeInterval, c.JanitorInterval = time.Millisecond, time.Millisecond
	b := open(t, c)
	fill(t, b, 1, 10)
	collect(t, b, bus.Pipeline, 10)
	collect(t, b, bus.Sequencer, 10)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }() // waited for below
	for {
		first, err := b.Log().First(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if first == 10 {
			break
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func BenchmarkAppendToLog(b *testing.B) {
	bench(b, 22_500, func(ctx context.Context, opened *bus.Bus, data []byte) (*bus.Pending, error) {
		return opened.Log().Append(ctx, data)
	})
}

func BenchmarkAppendToTopics(b *testing.B) {
	bench(b, 450, func(ctx context.Context, opened *bus.Bus, data []byte) (*bus.Pending, error) {
		return opened.Topics().Append(ctx, "session:bench", opened.Topics().Next(), data)
	})
}

func bench(b *testing.B, size int, appendOne func(context.Context, *bus.Bus, []byte) (*bus.Pending, error)) {
	opened := open(b, config(b))
	data := bytes.Repeat([]byte("x"), size)
	b.SetBytes(int64(size))
	b.ResetTimer()
	var last *bus.Pending
	for range b.N {
		p, err := appendOne(b.Context(), opened, data)
		if err != nil {
			b.Fatal(err)
		}
		last = p
	}
	if err := last.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
}
