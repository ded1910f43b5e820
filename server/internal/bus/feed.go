package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	prefetch         = 128                    // entries asked for at once
	prefetchBytes    = 5 << 20                // likewise in bytes; above any entry, see Config
	readerInactivity = 30 * time.Second       // after which the server forgets a reader of ours that is gone
	pullHeartbeat    = 2 * time.Second        // twice this without a sign: the reader is made anew
	feedRetry        = 100 * time.Millisecond // the wait before that; it doubles
	feedRetryMost    = 2 * time.Second
)

// feed reads a stream in order, each entry once, through reconnects. It asks for entries by one request at a time, whose
// answers always find room. jetstream's ordered consumer has none for the signs that come between the entries it asked
// for: it drops an entry then, and finds that out by the next one, or, if there is none, two heartbeats later (nats.go 1.55).
type feed struct {
	stream   jetstream.Stream
	same     func(context.Context) error // fails when the stream is not the one that sequences were counted in; may be nil
	last     uint64                      // the entry given last
	consumer jetstream.Consumer          // nil: to be made
	given    uint64                      // by this consumer
	batch    <-chan jetstream.Msg
	result   jetstream.MessageBatch
}

// newFeed reads from seq on.
func newFeed(stream jetstream.Stream, seq uint64) *feed {
	return &feed{stream: stream, last: max(seq, 1) - 1}
}

var errSkipped = errors.New("the bus skipped an entry on the way")

// next waits for an entry. ctx is the same at each call; what was asked for ends with it. It tries again whatever may pass;
// an error is that of ctx, or final.
func (f *feed) next(ctx context.Context) (jetstream.Msg, *jetstream.MsgMetadata, error) {
	for wait := feedRetry; ; wait = min(2*wait, feedRetryMost) {
		m, meta, err := f.take(ctx)
		switch {
		case err == nil:
			return m, meta, nil
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case errors.Is(err, jetstream.ErrStreamNotFound): // it is being made anew
			return nil, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		case errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, errRenewed):
			return nil, nil, classify(err)
		}
		f.consumer, f.batch = nil, nil
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, ctx.Err()
		}
	}
}

func (f *feed) take(ctx context.Context) (jetstream.Msg, *jetstream.MsgMetadata, error) {
	if f.consumer == nil {
		consumer, err := f.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.last + 1, AckPolicy: jetstream.AckNonePolicy,
			InactiveThreshold: readerInactivity, MemoryStorage: true, Replicas: 1,
		})
		if err != nil {
			return nil, nil, err
		}
		if f.same != nil { // asked after: a stream that is made anew from here on takes its consumers with it
			if err := f.same(ctx); err != nil {
				return nil, nil, err
			}
		}
		f.consumer, f.given = consumer, 0
	}
	for {
		if f.batch == nil {
			result, err := f.consumer.Fetch(prefetch, jetstream.FetchMaxBytes(prefetchBytes), jetstream.FetchContext(undated{ctx}), jetstream.FetchHeartbeat(pullHeartbeat))
			if err != nil {
				return nil, nil, err
			}
			f.result, f.batch = result, result.Messages()
		}
		select {
		case m, ok := <-f.batch:
			if ok {
				meta, err := f.check(m)
				return m, meta, err
			}
			f.batch = nil
			if err := f.result.Error(); err != nil {
				return nil, nil, err
			}
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// undated ends when its context does, but does not say when: a request would be refused whose deadline is near.
type undated struct{ context.Context } //nolint:containedctx // it is one

func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

func (f *feed) check(m jetstream.Msg) (*jetstream.MsgMetadata, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	if meta.Sequence.Consumer != f.given+1 || meta.Sequence.Stream <= f.last {
		return nil, fmt.Errorf("%w: %d after %d", errSkipped, meta.Sequence.Stream, f.last)
	}
	f.given, f.last = meta.Sequence.Consumer, meta.Sequence.Stream
	return meta, nil
}
