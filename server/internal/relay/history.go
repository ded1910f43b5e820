package relay

import (
	"context"
	"fmt"
	"sync"
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
//
// After a restart everybody on a topic comes back at once and asks for the same pages. So a page that is being read is
// shared, and one that was full, which nothing is added to, is kept for a moment.
type History struct {
	topics archive
	epoch  func() string

	mu    sync.Mutex
	pages map[pageKey]*page
	kept  []*page // those that are kept, oldest first
	bytes int     // of these
}

// Limits of what is kept.
const (
	keepPage  = 5 * time.Second
	keepBytes = 16 << 20
)

// pageKey names a page. The epoch is part of it: another log has other pages.
type pageKey struct {
	epoch, topic string
	after        uint64
	limit        int
}

// page is one answer of the bus. done is closed when it is there.
type page struct {
	key     pageKey
	done    chan struct{}
	entries []realtime.Entry
	err     error
	until   time.Time
	bytes   int
}

// NewHistory makes a History. epoch gives the current epoch at once, without asking the bus.
func NewHistory(topics archive, epoch func() string) *History {
	return &History{topics: topics, epoch: epoch, pages: map[pageKey]*page{}}
}

// Epoch names the log.
func (h *History) Epoch() string { return h.epoch() }

// Read gives at most limit entries of a topic after a sequence, oldest first. The caller must not change them: others may
// have been given the same.
func (h *History) Read(ctx context.Context, topic string, after uint64, limit int) ([]realtime.Entry, error) {
	if isControl(topic) {
		return nil, nil
	}
	key := pageKey{h.epoch(), topic, after, limit}
	for {
		h.mu.Lock()
		p := h.pages[key]
		if p == nil || !p.until.IsZero() && time.Now().After(p.until) {
			p = &page{key: key, done: make(chan struct{})}
			h.pages[key] = p
			h.mu.Unlock()
			found, err := h.topics.Read(ctx, topic, after, limit)
			p.entries, p.err = h.entries(key.epoch, found, err)
			h.keep(p)
			return p.entries, p.err
		}
		h.mu.Unlock()
		select {
		case <-p.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if p.err == nil || ctx.Err() != nil {
			return p.entries, p.err
		}
		// It failed for who asked first, who may have gone away: ask ourselves.
	}
}

// keep ends a read: its page is kept if it is full, and forgotten else.
func (h *History) keep(p *page) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if p.err == nil && len(p.entries) == p.key.limit && p.key.epoch == h.epoch() {
		for _, e := range p.entries {
			p.bytes += len(e.Payload)
		}
		p.until = now.Add(keepPage)
		h.kept = append(h.kept, p)
		h.bytes += p.bytes
	} else {
		delete(h.pages, p.key)
	}
	for len(h.kept) > 0 && (h.bytes > keepBytes || now.After(h.kept[0].until)) {
		oldest := h.kept[0]
		h.kept = h.kept[1:]
		h.bytes -= oldest.bytes
		if h.pages[oldest.key] == oldest {
			delete(h.pages, oldest.key)
		}
	}
	close(p.done)
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
