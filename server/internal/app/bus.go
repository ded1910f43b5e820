package app

import (
	"context"
	"time"

	"vigil/server/internal/bus"
	"vigil/server/internal/relay"
	"vigil/server/internal/replication"
)

// logSource is LOG as the sequencer reads it.
type logSource struct{ log *bus.Log }

func (s logSource) Bounds(ctx context.Context) (first, last uint64, err error) {
	if first, err = s.log.First(ctx); err != nil {
		return 0, 0, err
	}
	last, err = s.log.LastSeq(ctx)
	return first, last, err
}

func (s logSource) Consume(ctx context.Context, from uint64, most int, handle func(context.Context, []relay.LogEntry) error) error {
	buffer := make([]relay.LogEntry, 0, most)
	return s.log.ConsumeBatches(ctx, bus.Sequencer, from, most, func(ctx context.Context, batch []bus.Entry) error {
		buffer = buffer[:0]
		for _, e := range batch {
			buffer = append(buffer, relay.LogEntry{Seq: e.Seq, Data: e.Data})
		}
		return handle(ctx, buffer)
	})
}

// topicsSink is TOPICS as its one writer sees it.
type topicsSink struct{ topics *bus.Topics }

func (s topicsSink) Resume(ctx context.Context) (relay.TopicEntry, bool, error) {
	if _, err := s.topics.Last(ctx); err != nil {
		return relay.TopicEntry{}, false, err
	}
	e, ok, err := s.topics.LastEntry(ctx)
	return relay.TopicEntry(e), ok, err
}

func (s topicsSink) Append(ctx context.Context, topic string, seq uint64, data []byte) (relay.Pending, error) {
	return s.topics.Append(ctx, topic, seq, data)
}

func (s topicsSink) Reset(ctx context.Context) (string, error) {
	if err := s.topics.Reset(ctx); err != nil {
		return "", err
	}
	return s.topics.Epoch(), nil
}

// topicsFeed is TOPICS as the dispatcher and the history read it.
type topicsFeed struct{ topics *bus.Topics }

func (f topicsFeed) Last(ctx context.Context) (uint64, error) { return f.topics.LastSeq(ctx) }

func (f topicsFeed) Epoch(ctx context.Context) (string, error) {
	err := f.topics.Reload(ctx)
	return f.topics.Epoch(), err
}

func (f topicsFeed) Follow(ctx context.Context, seq uint64, handle func(context.Context, relay.TopicEntry) error) error {
	return f.topics.Follow(ctx, seq, func(ctx context.Context, e bus.TopicEntry) error { return handle(ctx, relay.TopicEntry(e)) })
}

func (f topicsFeed) Read(ctx context.Context, topic string, after uint64, limit int) ([]relay.TopicEntry, error) {
	return converted(f.topics.Read(ctx, topic, after, limit))
}

func (f topicsFeed) Since(ctx context.Context, topic string, since time.Time, limit int) ([]relay.TopicEntry, error) {
	return converted(f.topics.Since(ctx, topic, since, limit))
}

func (f topicsFeed) LastOf(ctx context.Context, topic string) (uint64, error) {
	e, _, err := f.topics.LastOf(ctx, topic)
	return e.Seq, err
}

func converted(found []bus.TopicEntry, err error) ([]relay.TopicEntry, error) {
	entries := make([]relay.TopicEntry, len(found))
	for i, e := range found {
		entries[i] = relay.TopicEntry(e)
	}
	return entries, err
}

// decodeRows reads one entry of LOG as the relay's rows.
func decodeRows(data []byte) ([]relay.Row, error) {
	batch, err := replication.Decode(data)
	if err != nil {
		return nil, err
	}
	rows := make([]relay.Row, 0, batch.Rows())
	columns := make(map[*replication.Relation][]relay.Column)
	for _, chunk := range batch {
		for _, c := range chunk.Changes {
			r := relay.Row{
				Op: relay.Op(c.Op), New: relayValues(c.New), Old: relayValues(c.Old), Prefix: c.Prefix,
				Commit: uint64(chunk.Commit), Ordinal: c.Ordinal, XID: chunk.XID,
			}
			if c.Relation != nil {
				r.Schema, r.Table = c.Relation.Schema, c.Relation.Name
				if columns[c.Relation] == nil {
					columns[c.Relation] = relayColumns(c.Relation)
				}
				r.Columns = columns[c.Relation]
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func relayColumns(r *replication.Relation) []relay.Column {
	columns := make([]relay.Column, len(r.Columns))
	for i, c := range r.Columns {
		columns[i] = relay.Column(c)
	}
	return columns
}

func relayValues(values []replication.Value) []relay.Value {
	if values == nil {
		return nil
	}
	converted := make([]relay.Value, len(values))
	for i, v := range values {
		converted[i] = relay.Value{Kind: relay.Kind(v.Kind), Data: v.Data}
	}
	return converted
}
