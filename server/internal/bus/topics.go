package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Topics is the TOPICS stream: what the relay sends, a subject for each topic. One process appends to it; any may read.
type Topics struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	stream   jetstream.Stream
	name     string
	app      *appender
	readers  *readers
	prefix   string
	logNonce string
	keep     time.Duration
	maxBytes uint64

	mu    sync.Mutex
	epoch string
}

// TopicEntry is one entry of TOPICS.
type TopicEntry struct {
	Topic string
	Seq   uint64
	Data  []byte
	At    time.Time // when TOPICS stored it
}

func newTopics(b *Bus, stream jetstream.Stream, app *appender) *Topics {
	return &Topics{nc: b.nc, js: b.js, stream: stream, name: b.c.streamName("TOPICS"), app: app, readers: &b.readers, prefix: b.c.Prefix + ".topic.",
		logNonce: b.log.nonce, keep: b.c.TopicsKeep, maxBytes: uint64(b.c.TopicsMaxBytes), //nolint:gosec // set to be positive
		epoch: stream.CachedInfo().Config.Metadata[metaEpoch]}
}

// Epoch is the nonce made with the stream and by each Reset: sequences of different epochs are not comparable.
func (t *Topics) Epoch() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.epoch
}

// Reload reads the epoch again, when another node may have called Reset.
func (t *Topics) Reload(ctx context.Context) error {
	info, err := t.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("read epoch of TOPICS: %w", classify(err))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch = info.Config.Metadata[metaEpoch]
	return nil
}

// Reset drops every entry and makes a new epoch. Sequences go on rising, so a Follow goes on too. The caller appends
// nothing meanwhile. A crash in between leaves the new epoch with old entries, or none: Reset again does no harm.
func (t *Topics) Reset(ctx context.Context) error {
	info, err := t.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("read epoch of TOPICS: %w", classify(err))
	}
	epoch := randomText(16)
	if err := t.setMeta(ctx, info.Config, metaEpoch, epoch); err != nil {
		return err
	}
	t.mu.Lock()
	t.epoch = epoch
	t.mu.Unlock()
	if err := t.stream.Purge(ctx); err != nil {
		return fmt.Errorf("empty TOPICS: %w", classify(err))
	}
	if info, err = t.stream.Info(ctx); err != nil {
		return fmt.Errorf("read state of TOPICS: %w", classify(err))
	}
	return t.setMeta(ctx, info.Config, metaLog, t.logNonce) // last: until then each start resets again
}

func (t *Topics) setMeta(ctx context.Context, config jetstream.StreamConfig, key, value string) error {
	if config.Metadata[key] == value {
		return nil
	}
	config.Metadata[key] = value
	if _, err := t.js.UpdateStream(ctx, config); err != nil {
		return fmt.Errorf("mark TOPICS: %w", classify(err))
	}
	return nil
}

// Last is the last sequence given out; 0 when none was. It waits for the appends in flight and lets the next one go on from
// there, also after a failed one. Only the one who appends may call it; see Log.Last.
func (t *Topics) Last(ctx context.Context) (uint64, error) { return t.app.settle(ctx, t.LastSeq) }

// LastSeq is Last for those who only read.
func (t *Topics) LastSeq(ctx context.Context) (uint64, error) {
	info, err := t.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read state of TOPICS: %w", classify(err))
	}
	return info.State.LastSeq, nil
}

// LastEntry is the entry that is last in the whole stream; false when there is none.
func (t *Topics) LastEntry(ctx context.Context) (TopicEntry, bool, error) {
	info, err := t.stream.Info(ctx)
	if err != nil {
		return TopicEntry{}, false, fmt.Errorf("read state of TOPICS: %w", classify(err))
	}
	if info.State.Msgs == 0 {
		return TopicEntry{}, false, nil
	}
	e, err := t.Get(ctx, info.State.LastSeq)
	return e, err == nil, err
}

// Get reads one entry.
func (t *Topics) Get(ctx context.Context, seq uint64) (TopicEntry, error) {
	m, err := t.stream.GetMsg(ctx, seq)
	if err != nil {
		return TopicEntry{}, fmt.Errorf("read entry %d of TOPICS: %w", seq, classify(err))
	}
	return t.entry(m)
}

// LastOf is the last entry of a topic; false when it has none.
func (t *Topics) LastOf(ctx context.Context, topic string) (TopicEntry, bool, error) {
	m, err := t.stream.GetLastMsgForSubject(ctx, t.prefix+encodeTopic(topic))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return TopicEntry{}, false, nil
	}
	if err != nil {
		return TopicEntry{}, false, fmt.Errorf("read last entry of a topic: %w", classify(err))
	}
	e, err := t.entry(m)
	return e, err == nil, err
}

func (t *Topics) entry(m *jetstream.RawStreamMsg) (TopicEntry, error) {
	topic, err := t.topicOf(m.Subject)
	return TopicEntry{Topic: topic, Seq: m.Sequence, Data: m.Data, At: m.Time}, err
}

func (t *Topics) topicOf(subject string) (string, error) {
	token, ok := strings.CutPrefix(subject, t.prefix)
	if !ok {
		return "", fmt.Errorf("entry of TOPICS has a foreign subject: %w", errToken)
	}
	return decodeTopic(token)
}

// Next is the sequence that the next Append gets; 0 when Last must be called first.
func (t *Topics) Next() uint64 { return t.app.nextSeq() }

// Append sends an entry that becomes seq, which must be Next. Its errors are those of Log.Append. data must not be changed
// until the append is done.
func (t *Topics) Append(ctx context.Context, topic string, seq uint64, data []byte) (*Pending, error) {
	return t.app.append(ctx, t.prefix+encodeTopic(topic), seq, data)
}

// Follow calls handle for every entry from seq on, in order, as they are stored. It returns handle's error, nil when ctx
// ends, and ErrUnavailable when the bus went away: call it again with the sequence after the last one handled.
func (t *Topics) Follow(ctx context.Context, seq uint64, handle func(context.Context, TopicEntry) error) error {
	reading, stop := t.readers.reading(ctx)
	defer stop()
	feed := newFeed(t.stream, seq)
	for {
		m, meta, err := feed.next(reading)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow TOPICS: %w: %w", ErrUnavailable, err)
		}
		topic, err := t.topicOf(m.Subject())
		if err != nil {
			return err
		}
		e := TopicEntry{Topic: topic, Seq: meta.Sequence.Stream, Data: m.Data(), At: meta.Timestamp}
		if err := handle(ctx, e); err != nil {
			return err
		}
	}
}
