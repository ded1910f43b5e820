package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vigil/server/internal/bus"
	"vigil/server/internal/relay"
	"vigil/server/internal/triage"
)

// history is a random LOG: messages, alerts for two topics, revocations, entries that yield nothing.
func history(tb testing.TB, b *bus.Bus, n int, seed uint64) (want []relay.Draft) {
	tb.Helper()
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's choice
	for i := range n {
		var rows []relay.Row
		for j := range random.IntN(5) {
			lsn, ordinal := uint64(i+1), uint32(j) //nolint:gosec // small
			switch random.IntN(4) {
			case 0:
				rows = append(rows, alerts.row(relay.Insert, lsn, ordinal, id(1000*i+j), id(9), id(random.IntN(4)), "4"))
			case 1:
				rows = append(rows, memberships.row(relay.Update, lsn, ordinal, id(9), id(random.IntN(50)), "client", nil))
			case 2:
				rows = append(rows, relay.Row{Op: relay.Message, Prefix: "vigil.heartbeat", Commit: lsn, Ordinal: ordinal})
			default:
				rows = append(rows, messages.row(relay.Insert, lsn, ordinal, id(1000*i+j), id(random.IntN(4)), fmt.Sprint(i), "sealed"))
			}
		}
		commit(tb, b, rows...)
		want = append(want, relay.Derive(rows)...)
	}
	return want
}

// requireExact fails unless TOPICS holds exactly the drafts, in order, each once, with unbroken chains of prev.
func requireExact(t *testing.T, all []topicEntry, want []relay.Draft) {
	t.Helper()
	ends := map[string]uint64{}
	var got []topicEntry
	var place [2]uint64
	for i, e := range all {
		if e.Prev != ends[e.Topic] {
			t.Fatalf("entry %d of %s has prev %d, want %d", e.At, e.Topic, e.Prev, ends[e.Topic])
		}
		ends[e.Topic] = e.At
		if at := [2]uint64{e.Seq, e.Part}; i > 0 && slices.Compare(at[:], place[:]) <= 0 {
			t.Fatalf("entry %d is from %v, after %v", e.At, at, place)
		}
		place = [2]uint64{e.Seq, e.Part}
		if e.Topic != "$position" && e.Topic != "$epoch" {
			got = append(got, e)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i, e := range got {
		if d := (relay.Draft{Topic: e.Topic, Event: e.Event, ID: e.ID, Payload: e.Payload}); d != want[i] {
			t.Fatalf("entry %d is\n%+v, want\n%+v", i, d, want[i])
		}
	}
}

var errCrash = errors.New("crash")

// crashing is TOPICS of a process that dies at some append: before it is sent, or after, before its acknowledgement.
type crashing struct {
	topicsOf
	random *rand.Rand
	crash  func()
}

func (c crashing) Append(ctx context.Context, topic string, seq uint64, data []byte) (relay.Pending, error) {
	switch c.random.IntN(40) {
	case 0:
		c.crash()
		return nil, errCrash
	case 1:
		if _, err := c.topicsOf.Append(ctx, topic, seq, data); err != nil {
			return nil, err
		}
		c.crash()
		return nil, errCrash
	}
	return c.topicsOf.Append(ctx, topic, seq, data)
}

// TestSequencingIsExactThroughCrashes: whatever LOG holds and wherever the sequencer dies, TOPICS holds one entry for each
// (row, topic), in order, and no prev is broken.
func TestSequencingIsExactThroughCrashes(t *testing.T) {
	t.Parallel()
	c := busConfig(t)
	b := openBus(t, c)
	seed := rand.Uint64() //nolint:gosec // a test's choice
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // a test's choice
	want := history(t, b, 150, seed)
	crashes := 0
	for done := false; !done; {
		ctx, cancel := context.WithCancel(t.Context())
		config := sequencerConfig(b)
		config.Cache = 2 // less than there are topics
		config.Topics = crashing{topicsOf{b.Topics()}, random, cancel}
		s := relay.NewSequencer(config)
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }() // waited for below
		select {
		case <-s.Ready():
			done = true
		case <-ctx.Done():
			crashes++
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if crashes%8 == 7 && !done {
			shut(t, b)
			b = openBus(t, c)
		}
	}
	if crashes < 3 {
		t.Fatalf("only %d crashes", crashes)
	}
	requireExact(t, everything(t, b), want)
}

// TestSequencerGoesOnInTheSameProcess: an append that fails for a time is tried again, and nothing is doubled.
func TestSequencerGoesOnInTheSameProcess(t *testing.T) {
	t.Parallel()
	b := openBus(t, busConfig(t))
	want := history(t, b, 40, 3)
	config := sequencerConfig(b)
	config.Topics = crashing{topicsOf{b.Topics()}, rand.New(rand.NewPCG(5, 5)), func() {}} //nolint:gosec // a test's choice
	s := relay.NewSequencer(config)
	stop := start(t, s.Run)
	<-s.Ready()
	want = append(want, history(t, b, 40, 4)...)
	last, err := b.Log().LastSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for s.Stats().Position < last {
		select {
		case <-t.Context().Done():
			t.Fatal("stuck")
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if s.Stats().Failures == 0 {
		t.Fatal("nothing failed")
	}
	requireExact(t, everything(t, b), want)
}

// TestALostTailIsDerivedAgainTheSame: TOPICS is put back to an older state, as a power cut may leave it. What is derived
// again has the sequences, ids and prevs that clients have seen, whatever the batches were.
func TestALostTailIsDerivedAgainTheSame(t *testing.T) {
	t.Parallel()
	c := busConfig(t)
	b := openBus(t, c)
	want := history(t, b, 30, 11)
	sequenceAll(t, b)
	epoch := b.Topics().Epoch()
	shut(t, b)
	stream := filepath.Join(c.Dir, "bus", "jetstream", "$G", "streams", "vigil_TOPICS")
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(stream)); err != nil {
		t.Fatal(err)
	}
	b = openBus(t, c)
	for i := range 6 {
		want = append(want, history(t, b, 10, uint64(20+i))...)
		sequenceAll(t, b)
	}
	seen := everything(t, b)
	shut(t, b)
	if err := os.RemoveAll(stream); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(stream, os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	b = openBus(t, c)
	if b.Recreated() || b.Topics().Epoch() != epoch {
		t.Fatal("another bus")
	}
	if last, err := b.Topics().LastSeq(t.Context()); err != nil || last >= seen[len(seen)-1].At {
		t.Fatalf("the tail is still there: %d %v", last, err)
	}
	sequenceAll(t, b)
	again := everything(t, b)
	requireExact(t, again, want)
	if !slices.EqualFunc(seen, again, func(a, b topicEntry) bool {
		a.Again, b.Again = nil, nil
		return fmt.Sprint(a) == fmt.Sprint(b)
	}) {
		t.Fatal("derived again, TOPICS differs")
	}
}

// TestAHoleInTheLogBeginsANewEpoch: LOG lost what follows TOPICS' last place, so nobody may be told that nothing was missed.
func TestAHoleInTheLogBeginsANewEpoch(t *testing.T) {
	t.Parallel()
	b := openBus(t, busConfig(t))
	history(t, b, 10, 1)
	sequenceAll(t, b)
	before := everything(t, b)
	epoch := b.Topics().Epoch()
	history(t, b, 10, 2)
	// The position is moved past what was never sequenced, and LOG is purged up to it.
	ctx, cancel := context.WithCancel(t.Context())
	if err := b.Log().ConsumeBatches(ctx, bus.Sequencer, 0, 64, func(_ context.Context, batch []bus.Entry) error {
		if batch[len(batch)-1].Seq == 20 {
			cancel()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Log().PurgePassed(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	s := sequenceAll(t, b)
	if made := b.Topics().Epoch(); made == epoch || s.Stats().Holes != 1 {
		t.Fatalf("epoch %q after %q, %d holes", made, epoch, s.Stats().Holes)
	}
	all := everything(t, b)
	if all[0].Topic != "$epoch" || all[0].Payload != b.Topics().Epoch() || all[0].At <= before[len(before)-1].At || all[0].Seq != 19 {
		t.Fatalf("first entry %+v", all[0])
	}
	if s := sequenceAll(t, b); s.Stats().Holes != 0 {
		t.Fatal("the new epoch has a hole")
	}
}

// TestHeartbeatsAloneMakeNoHole: entries that yield nothing are passed, purged, and still no new epoch begins.
func TestHeartbeatsAloneMakeNoHole(t *testing.T) {
	t.Parallel()
	b := openBus(t, busConfig(t))
	commit(t, b, messages.row(relay.Insert, 1, 0, id(1), id(2), "1", "sealed"))
	for i := range 20 {
		commit(t, b, relay.Row{Op: relay.Message, Prefix: "vigil.heartbeat", Commit: uint64(i + 2)}) //nolint:gosec // small
	}
	sequenceAll(t, b)
	for range 2 {
		if err := b.Log().PurgePassed(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if first, err := b.Log().First(t.Context()); err != nil || first != 21 {
		t.Fatalf("first %d %v", first, err)
	}
	commit(t, b, messages.row(relay.Insert, 30, 0, id(3), id(2), "2", "sealed"))
	if s := sequenceAll(t, b); s.Stats().Holes != 0 {
		t.Fatal("a new epoch")
	}
}

func TestAnEntryThatCannotBeReadIsPermanent(t *testing.T) {
	t.Parallel()
	b := openBus(t, busConfig(t))
	p, err := b.Log().Append(t.Context(), []byte("not rows"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := relay.NewSequencer(sequencerConfig(b)).Run(t.Context()); !triage.IsPermanent(err) {
		t.Fatalf("run: %v", err)
	}
}

// BenchmarkSequence is the time for one row; decoding LOG is replication's, and left out.
func BenchmarkSequence(b *testing.B) {
	opened := openBus(b, busConfig(b))
	rows := make([]relay.Row, 50)
	for i := range rows {
		rows[i] = messages.row(relay.Insert, 1, uint32(i), id(i), id(i%10), "17", strings.Repeat("x", 200)) //nolint:gosec // small
	}
	for range (b.N + len(rows) - 1) / len(rows) {
		commit(b, opened)
	}
	config := sequencerConfig(opened)
	config.Decode = func([]byte) ([]relay.Row, error) { return rows, nil }
	s := relay.NewSequencer(config)
	b.ResetTimer()
	stop := start(b, s.Run)
	<-s.Ready()
	stop()
}
