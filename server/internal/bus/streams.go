package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Keys of the streams' metadata.
const (
	metaNonce = "vigil.nonce" // LOG: made with the stream
	metaEpoch = "vigil.epoch" // TOPICS: made with the stream and by Reset
	metaLog   = "vigil.log"   // TOPICS: nonce of the LOG that it was derived from
)

// parts are the streams of a bus.
var parts = []string{"LOG", "TOPICS", "STATE"}

func (c *Config) streamName(part string) string { return c.Prefix + "_" + part }

func (b *Bus) logConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: b.c.streamName("LOG"), Subjects: []string{b.c.Prefix + ".log"}, Storage: jetstream.FileStorage,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: b.c.LogMaxBytes, Replicas: b.c.Replicas,
		Metadata: map[string]string{metaNonce: randomText(16)},
	}
}

func (b *Bus) topicsConfig(logNonce string) jetstream.StreamConfig {
	config := jetstream.StreamConfig{
		Name: b.c.streamName("TOPICS"), Subjects: []string{b.c.Prefix + ".topic.*"}, Storage: jetstream.FileStorage,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: b.c.TopicsMaxBytes, Replicas: b.c.Replicas,
		AllowDirect: true, Metadata: map[string]string{metaEpoch: randomText(16), metaLog: logNonce},
	}
	if b.ns != nil {
		config.PersistMode = jetstream.AsyncPersistMode // overrides SyncAlways for this stream alone
	}
	return config
}

func (b *Bus) stateConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: b.c.streamName("STATE"), Subjects: []string{b.c.Prefix + ".state.*"}, Storage: jetstream.FileStorage,
		Retention: jetstream.LimitsPolicy, MaxMsgsPerSubject: 1, Replicas: b.c.Replicas,
	}
}

// expectStreams fails when one of the streams that the store held was not recovered.
func (b *Bus) expectStreams(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	for _, part := range parts {
		if _, err := js.Stream(ctx, b.c.streamName(part)); err != nil {
			return fmt.Errorf("%w: recover stream %s: %w", ErrDamaged, part, err)
		}
	}
	return nil
}

// attach finds or makes the streams and reads where they end.
func (b *Bus) attach(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	b.nc, b.js = nc, js
	state, err := b.ensure(ctx, b.stateConfig())
	if err != nil {
		return err
	}
	b.records = &Records{js: js, stream: state, prefix: b.c.Prefix + ".state."}
	logStream, err := b.ensure(ctx, b.logConfig())
	if err != nil {
		return err
	}
	app, err := newAppender(nc, b.c.Window, windowBytes, b.admit)
	if err != nil {
		return err
	}
	b.log = newLog(b, logStream, app)
	if _, _, err := b.log.Last(ctx); err != nil {
		return err
	}
	return b.attachTopics(ctx)
}

func (b *Bus) attachTopics(ctx context.Context) error {
	stream, err := b.ensure(ctx, b.topicsConfig(b.log.nonce))
	if err != nil {
		return err
	}
	app, err := newAppender(b.nc, b.c.Window*4, windowBytes, b.admit)
	if err != nil {
		return err
	}
	b.topics = newTopics(b, stream, app)
	if b.ns != nil { // on a cluster another node may be about to; see Refresh
		if err := b.matchTopics(ctx); err != nil {
			return err
		}
	}
	_, err = b.topics.Last(ctx)
	return err
}

// matchTopics empties TOPICS where its entries name positions of a LOG that is no more.
func (b *Bus) matchTopics(ctx context.Context) error {
	info, err := b.topics.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("read state of TOPICS: %w", classify(err))
	}
	if info.Config.Metadata[metaLog] == b.log.Nonce() {
		return nil
	}
	return b.topics.Reset(ctx)
}

// ensure finds a stream, adopting changed limits and more replicas, or makes it. Metadata of a stream that is there stays.
func (b *Bus) ensure(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = b.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was first
			stream, err = b.js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", want.Name, classify(err))
	}
	have := stream.CachedInfo().Config
	limit := have.MaxBytes != want.MaxBytes && want.MaxBytes != 0
	if !limit && have.Replicas >= want.Replicas { // fewer are left to who administers the cluster
		return stream, nil
	}
	if limit {
		have.MaxBytes = want.MaxBytes
	}
	have.Replicas = max(have.Replicas, want.Replicas)
	if stream, err = b.js.UpdateStream(ctx, have); err != nil {
		return nil, fmt.Errorf("set limits of stream %s: %w", want.Name, classify(err))
	}
	return stream, nil
}

// verify reads all of LOG, the end of TOPICS and every position, and fails when something that was acknowledged is gone.
func (b *Bus) verify(ctx context.Context) error {
	for _, s := range []jetstream.Stream{b.log.stream, b.topics.stream, b.records.stream} {
		info, err := s.Info(ctx)
		if err != nil {
			return fmt.Errorf("read state of a stream: %w", classify(err))
		}
		if info.State.Lost != nil && len(info.State.Lost.Msgs) > 0 {
			return fmt.Errorf("%w: stream %s lost %d entries", ErrDamaged, info.Config.Name, len(info.State.Lost.Msgs))
		}
	}
	if err := b.log.verify(ctx); err != nil {
		return err
	}
	last, err := b.topics.Last(ctx)
	if err != nil || last == 0 {
		return err
	}
	if _, err := b.topics.Get(ctx, last); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%w: read end of TOPICS: %w", ErrDamaged, err)
	}
	return nil
}
