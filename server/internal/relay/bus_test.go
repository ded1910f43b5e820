package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vigil/server/internal/bus"
	"vigil/server/internal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logOf and topicsOf are what app does: the bus, as the relay declares what it needs.
type logOf struct{ *bus.Log }

func (l logOf) Bounds(ctx context.Context) (first, last uint64, err error) {
	if last, err = l.LastSeq(ctx); err != nil {
		return 0, 0, err
	}
	first, err = l.First(ctx)
	return first, last, err
}

func (l logOf) Consume(ctx context.Context, from uint64, most int, handle func(context.Context, []relay.LogEntry) error) error {
	return l.ConsumeBatches(ctx, bus.Sequencer, from, most, func(ctx context.Context, batch []bus.Entry) error {
		entries := make([]relay.LogEntry, len(batch))
		for i, e := range batch {
			entries[i] = relay.LogEntry{Seq: e.Seq, Data: e.Data}
		}
		return handle(ctx, entries)
	})
}

type topicsOf struct{ *bus.Topics }

func (t topicsOf) Resume(ctx context.Context) (relay.TopicEntry, bool, error) {
	if _, err := t.Topics.Last(ctx); err != nil {
		return relay.TopicEntry{}, false, err
	}
	e, ok, err := t.LastEntry(ctx)
	return relay.TopicEntry(e), ok, err
}

func (t topicsOf) Last(ctx context.Context) (uint64, error) { return t.LastSeq(ctx) }

func (t topicsOf) Append(ctx context.Context, topic string, seq uint64, data []byte) (relay.Pending, error) {
	return t.Topics.Append(ctx, topic, seq, data)
}

func (t topicsOf) Reset(ctx context.Context) (string, error) {
	err := t.Topics.Reset(ctx)
	return t.Topics.Epoch(), err
}

func (t topicsOf) Epoch(ctx context.Context) (string, error) {
	err := t.Reload(ctx)
	return t.Topics.Epoch(), err
}

func (t topicsOf) Follow(ctx context.Context, seq uint64, handle func(context.Context, relay.TopicEntry) error) error {
	return t.Topics.Follow(ctx, seq, func(ctx context.Context, e bus.TopicEntry) error { return handle(ctx, relay.TopicEntry(e)) })
}

func (t topicsOf) LastOf(ctx context.Context, topic string) (uint64, error) {
	e, _, err := t.Topics.LastOf(ctx, topic)
	return e.Seq, err
}

func (t topicsOf) Read(ctx context.Context, topic string, after uint64, limit int) ([]relay.TopicEntry, error) {
	return convert(t.Topics.Read(ctx, topic, after, limit))
}

func (t topicsOf) Since(ctx context.Context, topic string, since time.Time, limit int) ([]relay.TopicEntry, error) {
	return convert(t.Topics.Since(ctx, topic, since, limit))
}

func convert(found []bus.TopicEntry, err error) ([]relay.TopicEntry, error) {
	entries := make([]relay.TopicEntry, len(found))
	for i, e := range found {
		entries[i] = relay.TopicEntry(e)
	}
	return entries, err
}

func busConfig(tb testing.TB) bus.Config {
	tb.Helper()
	return bus.Config{Dir: tb.TempDir(), Key: "a key of the test", Log: slog.New(slog.DiscardHandler), LogKeep: time.Nanosecond, MinFree: 1,
		Durables: []string{bus.Sequencer}}
}

func openBus(tb testing.TB, c bus.Config) *bus.Bus {
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

// commit appends one entry of LOG that holds the rows.
func commit(tb testing.TB, b *bus.Bus, rows ...relay.Row) {
	tb.Helper()
	data, err := json.Marshal(rows)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := b.Log().Append(tb.Context(), data)
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.Wait(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

func decode(data []byte) (rows []relay.Row, err error) {
	err = json.Unmarshal(data, &rows)
	return rows, err
}

func sequencerConfig(b *bus.Bus) relay.SequencerConfig {
	t := topicsOf{b.Topics()}
	return relay.SequencerConfig{Log: logOf{b.Log()}, Topics: t, LastOf: t.LastOf, Next: b.Topics().Next, Epoch: b.Topics().Epoch,
		Decode: decode, Logger: slog.New(slog.DiscardHandler)}
}

// sequenceAll runs a sequencer until TOPICS holds what LOG holds.
func sequenceAll(tb testing.TB, b *bus.Bus) *relay.Sequencer {
	tb.Helper()
	s := relay.NewSequencer(sequencerConfig(b))
	stop := start(tb, s.Run)
	defer stop()
	select {
	case <-s.Ready():
	case <-time.After(20 * time.Second):
		tb.Fatal("the sequencer did not come to the end of LOG")
	}
	return s
}

// start runs a part; the result stops it and waits.
func start(tb testing.TB, run func(context.Context) error) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }() // waited for by stop
	return func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("run: %v", err)
		}
	}
}

// topicEntry is an entry of TOPICS, read.
type topicEntry struct {
	relay.Stored
	Topic string
	At    uint64 // its sequence
}

// everything reads all of TOPICS.
func everything(tb testing.TB, b *bus.Bus) []topicEntry {
	tb.Helper()
	ctx, stop := context.WithTimeout(tb.Context(), 20*time.Second)
	defer stop()
	last, err := b.Topics().LastSeq(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	var all []topicEntry
	err = b.Topics().Follow(ctx, 1, func(_ context.Context, e bus.TopicEntry) error {
		s, err := relay.ParseStored(e.Data)
		all = append(all, topicEntry{s, e.Topic, e.Seq})
		if e.Seq == last {
			stop()
		}
		return err
	})
	if err != nil || len(all) == 0 || all[len(all)-1].At != last {
		tb.Fatalf("read %d entries of %d: %v", len(all), last, err)
	}
	return all
}

// table makes rows of a table from its columns' names and types.
type table struct {
	name    string
	columns []relay.Column
}

// row makes a row; a nil value is null, the value unchanged is left out of the log.
func (t table) row(op relay.Op, commit uint64, ordinal uint32, values ...any) relay.Row {
	r := relay.Row{Op: op, Schema: "public", Table: t.name, Columns: t.columns, Commit: commit, Ordinal: ordinal, XID: uint32(commit)} //nolint:gosec // small
	var row []relay.Value
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			row = append(row, relay.Value{Kind: relay.Null})
		case string:
			row = append(row, relay.Value{Kind: relay.Text, Data: []byte(v)})
		default:
			row = append(row, relay.Value{Kind: relay.Unchanged})
		}
	}
	if op == relay.Delete {
		r.Old = row
	} else {
		r.New = row
	}
	return r
}

type unchanged struct{}

var messages = table{"messages", []relay.Column{{Name: "id", TypeOID: 2950, Key: true}, {Name: "session_id", TypeOID: 2950},
	{Name: "position", TypeOID: 20}, {Name: "body", TypeOID: 25}}}

var alerts = table{"alerts", []relay.Column{{Name: "id", TypeOID: 2950, Key: true}, {Name: "organization_id", TypeOID: 2950},
	{Name: "session_id", TypeOID: 2950}, {Name: "level", TypeOID: 21}}}

var memberships = table{"memberships", []relay.Column{{Name: "organization_id", TypeOID: 2950, Key: true},
	{Name: "user_id", TypeOID: 2950, Key: true}, {Name: "role", TypeOID: 25}, {Name: "ended_at", TypeOID: 1184}}}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }
