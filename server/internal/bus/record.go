package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Records are small values by key, each on the disk when Put returns. Safe for concurrent use.
type Records struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	prefix string
}

// Get returns the value and its revision; nil and 0 when there is none.
func (r *Records) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	m, err := r.stream.GetLastMsgForSubject(ctx, r.prefix+encodeTopic(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read record %q: %w", key, classify(err))
	}
	return m.Data, m.Sequence, nil
}

// Put stores the value, whatever was there.
func (r *Records) Put(ctx context.Context, key string, value []byte) error {
	_, err := r.put(ctx, key, value)
	return err
}

// PutIf stores the value when the record still has that revision (0: when there is none), and returns its new revision.
// Else ErrTaken.
func (r *Records) PutIf(ctx context.Context, key string, revision uint64, value []byte) (uint64, error) {
	next, err := r.put(ctx, key, value, jetstream.WithExpectLastSequencePerSubject(revision))
	if errors.Is(err, ErrConflict) {
		return 0, fmt.Errorf("write record %q: %w", key, ErrTaken)
	}
	return next, err
}

func (r *Records) put(ctx context.Context, key string, value []byte, opts ...jetstream.PublishOpt) (uint64, error) {
	if len(value) > maxRecord {
		return 0, fmt.Errorf("write record %q: %w", key, ErrTooLarge)
	}
	a, err := r.js.PublishMsg(ctx, &nats.Msg{Subject: r.prefix + encodeTopic(key), Data: value}, opts...)
	if err != nil {
		return 0, fmt.Errorf("write record %q: %w", key, classify(err))
	}
	return a.Sequence, nil
}
