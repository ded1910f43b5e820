package relay

import (
	"context"
	"fmt"
	"time"

	"vigil/realtime"
)

// archive is TOPICS, as those who look back see it.
type archive interface {
	Read(ctx context.Context, topic string, after uint64, limit int) ([]TopicEntry, error)
	Since(ctx context.Context, topic string, since time.Time, limit int) ([]TopicEntry, error)
	LastOf(ctx context.Context, topic string) (uint64, error)
}

// History is what realtime replays from. Safe for concurrent use.
type History struct {
	topics archive
	epoch  func() string
}

// NewHistory makes a History. epoch gives the current epoch at once, without asking the bus.
func NewHistory(topics archive, epoch func() string) *History { return &History{topics, epoch} }

// Epoch names the log.
func (h *History) Epoch() string { return h.epoch() }

// Read gives at most limit entries of a topic after a sequence, oldest first.
func (h *History) Read(ctx context.Context, topic string, after uint64, limit int) ([]realtime.Entry, error) {
	if isControl(topic) {
		return nil, nil
	}
	epoch := h.epoch()
	found, err := h.topics.Read(ctx, topic, after, limit)
	return h.entries(epoch, found, err)
}

// Since gives at most limit entries of a topic stored at or after a time, oldest first.
func (h *History) Since(ctx context.Context, topic string, since time.Time, limit int) ([]realtime.Entry, error) {
	if isControl(topic) {
		return nil, nil
	}
	epoch := h.epoch()
	found, err := h.topics.Since(ctx, topic, since, limit)
	return h.entries(epoch, found, err)
}

// LastOf gives a topic's last sequence; 0 when it has no entry.
func (h *History) LastOf(ctx context.Context, topic string) (uint64, error) {
	if isControl(topic) {
		return 0, nil
	}
	return h.topics.LastOf(ctx, topic)
}

func (h *History) entries(epoch string, found []TopicEntry, err error) ([]realtime.Entry, error) {
	if err != nil {
		return nil, err
	}
	entries := make([]realtime.Entry, 0, len(found))
	for _, e := range found {
		s, err := parseStored(e.Data)
		if err != nil {
			return nil, fmt.Errorf("read entry %d of TOPICS: %w", e.Seq, err)
		}
		entries = append(entries, entryOf(e, &s, epoch))
	}
	return entries, nil
}
