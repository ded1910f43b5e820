package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

// source is LOG.
type source interface {
	// Bounds gives the oldest sequence kept and the last one; first = last + 1 when LOG is empty.
	Bounds(ctx context.Context) (first, last uint64, err error)
	// Consume calls handle with what is there from a sequence on, in order, 1 to most entries at a time, until ctx ends.
	Consume(ctx context.Context, from uint64, most int, handle func(context.Context, []LogEntry) error) error
}

// pending is an append in flight.
type pending interface {
	Wait(ctx context.Context) error
}

// sink is TOPICS, as its one writer sees it.
type sink interface {
	// Resume reads where TOPICS ends, so that the next Append goes on from there; false when it holds nothing.
	Resume(ctx context.Context) (last TopicEntry, ok bool, err error)
	// Append sends an entry that becomes seq.
	Append(ctx context.Context, topic string, seq uint64, data []byte) (pending, error)
	// Reset drops every entry and returns the new epoch.
	Reset(ctx context.Context) (epoch string, err error)
}

// Pending is what the app's adapter of TOPICS returns from Append.
type Pending = pending

// SequencerConfig joins a Sequencer to the bus. All but Cache and At are required.
type SequencerConfig struct {
	Log    source
	Topics sink
	// LastOf gives a topic's last sequence, 0 if it has no entry; Next the sequence of the next Append; Epoch the epoch.
	LastOf func(ctx context.Context, topic string) (uint64, error)
	Next   func() uint64
	Epoch  func() string
	// Decode reads one entry of LOG. Its error is permanent: Run returns it.
	Decode func(data []byte) ([]Row, error)
	// Cache is how many topics' last sequences are remembered; 0 means 65,536.
	Cache  int
	Logger *slog.Logger
	// At is called at before_topic_append and after_topic_append; nil: nothing.
	At func(point string)
}

// Sequencer derives TOPICS from LOG. There is one; a second one conflicts and both go on, correct and slow.
type Sequencer struct {
	c     SequencerConfig
	ready chan struct{}
	once  sync.Once

	last map[string]uint64 // topic → its last sequence; only what is surely stored is ever dropped from it
	from place             // of the last entry of TOPICS

	entries, revocations, holes, failures atomic.Int64
	position                              atomic.Uint64
}

const (
	defaultCache   = 65536
	logBatch       = 64 // entries of LOG whose appends are in flight together
	firstBackoff   = 50 * time.Millisecond
	longestBackoff = 5 * time.Second
)

// NewSequencer makes a Sequencer; Run starts it.
func NewSequencer(c SequencerConfig) *Sequencer {
	if c.Cache == 0 {
		c.Cache = defaultCache
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	return &Sequencer{c: c, ready: make(chan struct{})}
}

// Ready is closed once everything that LOG held when Run began is in TOPICS.
func (s *Sequencer) Ready() <-chan struct{} { return s.ready }

// SequencerStats is a reading for metrics; all but Position count since New.
type SequencerStats struct {
	Entries     int64  // sent to topics that can be joined
	Revocations int64  // scopes
	Holes       int64  // new epochs because LOG had lost what follows TOPICS
	Failures    int64  // runs that were begun again
	Position    uint64 // LOG's last entry that is in TOPICS
}

// Stats reads the counters.
func (s *Sequencer) Stats() SequencerStats {
	return SequencerStats{s.entries.Load(), s.revocations.Load(), s.holes.Load(), s.failures.Load(), s.position.Load()}
}

// Run sequences until ctx ends. What fails for a time (the bus is full or away) is tried again with backoff; an entry of
// LOG that cannot be read ends it with a permanent error.
func (s *Sequencer) Run(ctx context.Context) error {
	wait := firstBackoff
	for {
		before := s.position.Load()
		err := s.run(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case triage.IsPermanent(err):
			return err
		}
		s.failures.Add(1)
		s.c.Logger.WarnContext(ctx, "sequencer begins again", logkey.Error, fmt.Sprint(err), logkey.Duration, wait)
		if s.position.Load() != before {
			wait = firstBackoff
		}
		if !pause(ctx, wait) {
			return nil
		}
		wait = min(2*wait, longestBackoff)
	}
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

var errStopped = errors.New("LOG ended")

func (s *Sequencer) run(ctx context.Context) error {
	next, err := s.resume(ctx)
	if err != nil {
		return err
	}
	_, end, err := s.c.Log.Bounds(ctx)
	if err != nil {
		return err
	}
	if next > end {
		s.once.Do(func() { close(s.ready) })
	}
	err = s.c.Log.Consume(ctx, next, logBatch, func(ctx context.Context, batch []LogEntry) error {
		if err := s.sequence(ctx, batch); err != nil {
			return err
		}
		if last := batch[len(batch)-1].Seq; last >= end {
			s.once.Do(func() { close(s.ready) })
		}
		return nil
	})
	if err == nil {
		return errStopped
	}
	return err
}

// resume finds where TOPICS ends and gives the entry of LOG to go on with: the one that TOPICS' last entry comes from,
// for it may yield more. Where LOG does not have what follows, TOPICS begins anew.
func (s *Sequencer) resume(ctx context.Context) (next uint64, err error) {
	s.last = make(map[string]uint64)
	first, last, err := s.c.Log.Bounds(ctx)
	if err != nil {
		return 0, err
	}
	entry, ok, err := s.c.Topics.Resume(ctx)
	if err != nil {
		return 0, err
	}
	if ok {
		end, err := parseStored(entry.Data)
		if err == nil && end.from.seq+1 >= first && end.from.seq <= last {
			s.from = end.from
			s.position.Store(s.from.seq)
			return max(s.from.seq, first), nil
		}
		s.holes.Add(1)
		s.c.Logger.ErrorContext(ctx, "LOG has lost what follows TOPICS: a new epoch begins", logkey.Position, end.from.seq,
			logkey.Sequence, first)
		if _, err := s.c.Topics.Reset(ctx); err != nil {
			return 0, err
		}
		if _, _, err := s.c.Topics.Resume(ctx); err != nil {
			return 0, err
		}
	}
	return first, s.beginEpoch(ctx, first)
}

// beginEpoch makes the first entry of an empty TOPICS, which tells every dispatcher of the epoch.
func (s *Sequencer) beginEpoch(ctx context.Context, first uint64) error {
	s.from = place{seq: first - 1}
	e := stored{from: s.from, payload: []byte(s.c.Epoch())}
	p, err := s.c.Topics.Append(ctx, controlEpoch, s.c.Next(), e.appendTo(nil))
	if err != nil {
		return err
	}
	return p.Wait(ctx)
}

// sequence derives and appends what a batch yields, all in flight together, and returns when all is stored.
func (s *Sequencer) sequence(ctx context.Context, batch []LogEntry) error {
	var flight []pending
	for _, e := range batch {
		var err error
		if flight, err = s.append(ctx, e, flight); err != nil {
			return err
		}
	}
	for _, p := range flight {
		if err := p.Wait(ctx); err != nil {
			return err
		}
	}
	if len(flight) > 0 {
		s.c.At("after_topic_append")
	}
	s.position.Store(batch[len(batch)-1].Seq)
	s.trim()
	return nil
}

// append sends what one entry of LOG yields and TOPICS does not have yet.
func (s *Sequencer) append(ctx context.Context, e LogEntry, flight []pending) ([]pending, error) {
	rows, err := s.c.Decode(e.Data)
	if err != nil {
		return nil, triage.Permanent(fmt.Errorf("read entry %d of LOG: %w", e.Seq, err))
	}
	drafts := derive(rows)
	if len(drafts) == 0 {
		drafts = []draft{{topic: controlPosition}}
	}
	for i := range drafts {
		at := place{seq: e.Seq, part: uint64(i)} //nolint:gosec // an index
		if at.seq < s.from.seq || at.seq == s.from.seq && at.part <= s.from.part {
			continue // TOPICS has it
		}
		p, err := s.appendDraft(ctx, &drafts[i], at)
		if err != nil {
			return nil, err
		}
		flight = append(flight, p)
	}
	return flight, nil
}

func (s *Sequencer) appendDraft(ctx context.Context, d *draft, at place) (pending, error) {
	prev, err := s.prev(ctx, d.topic)
	if err != nil {
		return nil, err
	}
	e := stored{from: at, prev: prev, id: d.id, event: d.event, payload: d.payload}
	seq := s.c.Next()
	s.c.At("before_topic_append")
	p, err := s.c.Topics.Append(ctx, d.topic, seq, e.appendTo(make([]byte, 0, len(d.payload)+len(d.event)+64)))
	if err != nil {
		return nil, err
	}
	s.last[d.topic], s.from = seq, at
	switch {
	case d.topic == controlRevocation:
		s.revocations.Add(1)
	case !isControl(d.topic):
		s.entries.Add(1)
	}
	return p, nil
}

func (s *Sequencer) prev(ctx context.Context, topic string) (uint64, error) {
	if seq, ok := s.last[topic]; ok {
		return seq, nil
	}
	seq, err := s.c.LastOf(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("find the end of a topic: %w", err)
	}
	return seq, nil
}

// trim forgets some topics when there are too many. Nothing is in flight: LastOf knows them all.
func (s *Sequencer) trim() {
	for topic := range s.last {
		if len(s.last) <= s.c.Cache {
			return
		}
		delete(s.last, topic)
	}
}
