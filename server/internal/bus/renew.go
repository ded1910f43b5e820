package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Renew makes LOG and TOPICS anew and empty, under another Nonce and Epoch, with every durable at the beginning: what they
// held is not what the database goes on from. Nobody may append or consume meanwhile. A crash in between leaves a bus that
// Open takes for lost, or one under a Nonce that nobody knows: Renew again does no harm.
func (b *Bus) Renew(ctx context.Context) error {
	end, err := b.log.keepUp(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := b.log.renew(ctx, b.logConfig()); err != nil {
		return fmt.Errorf("make LOG anew: %w", err)
	}
	b.topics.mu.Lock()
	b.topics.logNonce = b.log.Nonce()
	b.topics.mu.Unlock()
	if _, err := b.topics.Last(ctx); err != nil {
		return err
	}
	return b.topics.Reset(ctx)
}

// Refresh is called by a node that begins to be the one that appends, on a cluster: another may have called Renew since this one
// read which LOG and which TOPICS there are, or died in between.
func (b *Bus) Refresh(ctx context.Context) error {
	if _, err := b.ensure(ctx, b.logConfig()); err != nil { // it died between deleting LOG and making it
		return err
	}
	nonce, _, err := b.log.refresh(ctx)
	if err != nil {
		return err
	}
	b.topics.mu.Lock()
	b.topics.logNonce = nonce
	b.topics.mu.Unlock()
	if err := b.matchTopics(ctx); err != nil {
		return err
	}
	return b.topics.Reload(ctx)
}

// keepUp waits until no other upkeep of LOG goes on.
func (l *Log) keepUp(ctx context.Context) (end func(), err error) {
	select {
	case l.upkeep <- struct{}{}:
		return func() { <-l.upkeep }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *Log) renew(ctx context.Context, config jetstream.StreamConfig) error {
	for again := true; again; {
		if err := l.js.DeleteStream(ctx, config.Name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return classify(err)
		}
		_, err := l.js.CreateStream(ctx, config)
		again = errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) // a node that starts has made one in between
		if err != nil && !again {
			return classify(err)
		}
	}
	for _, name := range l.durables {
		if err := l.records.Put(ctx, positionKey(name), positionRecord(0, config.Metadata[metaNonce])); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.nonce, l.samples = config.Metadata[metaNonce], nil
	l.mu.Unlock()
	_, _, err := l.Last(ctx)
	return err
}
