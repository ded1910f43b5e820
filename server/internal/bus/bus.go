package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/logkey"
)

// Bus is an open bus. All methods are safe for concurrent use; LOG and TOPICS each want one writer.
type Bus struct {
	c       Config
	node    []byte // names this process, for leases
	lock    *os.File
	ns      *server.Server // nil on a cluster
	nc      *nats.Conn
	js      jetstream.JetStream
	log     *Log
	topics  *Topics
	records *Records

	recreated bool
	full      atomic.Int64
	space     space
	readers   readers
	close     sync.Once
	closeErr  error
}

// Open starts the embedded server, or dials the cluster, and finds or makes the streams. A store that cannot be read whole
// is moved aside and made anew: Recreated is then true, and TOPICS has another Epoch, LOG another Nonce. Errors:
// ErrLocked, ErrUnavailable.
func Open(ctx context.Context, c Config) (*Bus, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	if c.URL != "" {
		return openCluster(ctx, c)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := lockDir(filepath.Join(c.Dir, lockName))
	if err != nil {
		return nil, err
	}
	b, err := openEmbedded(ctx, c)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	b.lock = lock
	return b, nil
}

func openCluster(ctx context.Context, c Config) (*Bus, error) {
	b := &Bus{c: c, node: []byte(randomText(12))}
	nc, err := nats.Connect(c.URL, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("dial bus: %w: %w", ErrUnavailable, err)
	}
	if err := b.attach(ctx, nc); err != nil {
		nc.Close()
		return nil, err
	}
	return b, nil
}

func openEmbedded(ctx context.Context, c Config) (*Bus, error) {
	key, err := loadKey(c)
	if err != nil {
		return nil, err
	}
	store := filepath.Join(c.Dir, storeName)
	ready := filepath.Join(store, readyName)
	if _, err := os.Stat(ready); errors.Is(err, os.ErrNotExist) {
		if err := os.RemoveAll(store); err != nil { // an interrupted first start: no append was ever acknowledged
			return nil, fmt.Errorf("clear unfinished store: %w", err)
		}
	}
	_, err = os.Stat(ready)
	held := err == nil
	b, err := openStore(ctx, c, key, held)
	if held && err != nil && ctx.Err() == nil && !c.mayHeal(err) {
		c.Log.ErrorContext(ctx, "bus store could not be opened and was moved aside", logkey.Error, err.Error())
		if err := moveAside(c); err != nil {
			return nil, err
		}
		held = false
		if b, err = openStore(ctx, c, key, false); err == nil {
			b.recreated = true
		}
	}
	if err != nil {
		return nil, err
	}
	if !held {
		if err := writeDurably(ready, time.Now().UTC().Format(time.RFC3339)+"\n"); err != nil {
			return nil, errors.Join(fmt.Errorf("mark store as ready: %w", err), b.Close(ctx))
		}
	}
	return b, nil
}

// mayHeal says whether a store that could not be opened may be sound all the same: this machine is short of something.
// Moving it aside would lose what is in it; the next start finds it.
func (c *Config) mayHeal(err error) bool {
	for _, short := range []error{errSlow, context.DeadlineExceeded, nats.ErrTimeout, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EACCES, syscall.EROFS} {
		if errors.Is(err, short) {
			return true
		}
	}
	free, failed := c.Free(c.Dir)
	return failed == nil && free < c.MinFree
}

// openStore starts the server on the store. When the store held streams before, all must still be there, and whole.
func openStore(ctx context.Context, c Config, key string, held bool) (*Bus, error) {
	ns, _, err := startServer(ctx, c, key)
	if err != nil {
		return nil, err
	}
	b := &Bus{c: c, ns: ns, node: []byte(randomText(12))}
	nc, err := nats.Connect("", append(b.options(), nats.InProcessServer(ns))...)
	if err != nil {
		stopServer(ctx, ns)
		return nil, fmt.Errorf("connect to embedded bus: %w", err)
	}
	if held {
		err = b.expectStreams(ctx, nc)
	}
	if err == nil {
		err = b.attach(ctx, nc)
	}
	if err == nil && held {
		err = b.verify(ctx)
	}
	if err != nil {
		b.nc = nc
		return nil, errors.Join(err, b.Close(ctx))
	}
	return b, nil
}

func (b *Bus) options() []nats.Option {
	return []nats.Option{
		nats.Name("vigil"), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), // a buffered append could arrive out of order
		nats.ReconnectWait(250 * time.Millisecond), nats.NoEcho(), nats.ErrorHandler(b.onAsyncError),
		nats.DisconnectErrHandler(func(*nats.Conn, error) {
			b.failAppends(fmt.Errorf("%w: %w", ErrUnavailable, nats.ErrDisconnected))
		}),
		nats.ReconnectHandler(func(*nats.Conn) { b.readers.cancel() }),
	}
}

func (b *Bus) onAsyncError(_ *nats.Conn, _ *nats.Subscription, err error) {
	b.c.Log.Warn("bus connection reported an error", logkey.Error, err.Error())
}

func (b *Bus) failAppends(err error) {
	if b.log != nil {
		b.log.app.fail(err)
	}
	if b.topics != nil {
		b.topics.app.fail(err)
	}
}

// Connected is false while there is no way to the bus.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// Log is the stream of committed transactions.
func (b *Bus) Log() *Log { return b.log }

// Topics is the stream of what the relay sends.
func (b *Bus) Topics() *Topics { return b.topics }

// Records are small values by key.
func (b *Bus) Records() *Records { return b.records }

// Recreated tells that a store was there and could not be opened: everything that was only in it is lost.
func (b *Bus) Recreated() bool { return b.recreated }

// Run purges LOG and TOPICS until ctx ends, and starts the embedded streams again after a failed write. It must run, or the
// bus fills.
func (b *Bus) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { b.every(ctx, "purge of LOG", b.c.PurgeInterval, b.log.PurgePassed); return nil })
	if b.ns != nil {
		g.Go(func() error { b.every(ctx, "embedded server", mendInterval, b.mend); return nil })
	}
	g.Go(func() error { b.every(ctx, "janitor of TOPICS", b.c.JanitorInterval, b.topics.Sweep); return nil })
	return g.Wait()
}

// every calls work at each tick; a failure is logged and tried again at the next.
func (b *Bus) every(ctx context.Context, part string, interval time.Duration, work func(context.Context, time.Time) error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if err := work(ctx, now); err != nil && ctx.Err() == nil {
				b.c.Log.WarnContext(ctx, "upkeep of the bus was put off", logkey.Part, part, logkey.Error, err.Error())
			}
		}
	}
}

// Close fails what is in flight, writes what the server holds in memory and stops it. It returns when all has ended or
// ctx has. Calls after the first return what the first did.
func (b *Bus) Close(ctx context.Context) error {
	b.close.Do(func() {
		ctx, stop := context.WithTimeout(ctx, closeTimeout)
		defer stop()
		if b.log != nil {
			b.log.app.close()
		}
		if b.topics != nil {
			b.topics.app.close()
		}
		if b.nc != nil {
			b.nc.Close()
		}
		if b.ns != nil {
			stopServer(ctx, b.ns)
			if ctx.Err() != nil {
				b.closeErr = fmt.Errorf("stop embedded bus: %w", context.Cause(ctx))
			}
		}
		if b.lock != nil {
			b.closeErr = errors.Join(b.closeErr, b.lock.Close())
		}
	})
	return b.closeErr
}

// Health is nil while the bus can take an entry; else the error says why not (ErrFull, ErrUnavailable).
func (b *Bus) Health(ctx context.Context) error {
	if b.ns != nil {
		if err := b.serverHealth(ctx); err != nil {
			return err
		}
	}
	if !b.nc.IsConnected() {
		return fmt.Errorf("%w: not connected", ErrUnavailable)
	}
	if err := b.admit(0); err != nil {
		return err
	}
	info, err := b.log.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("read state of LOG: %w", classify(err))
	}
	if info.State.Bytes >= uint64(b.c.LogMaxBytes) { //nolint:gosec // set to be positive
		return fmt.Errorf("%w: LOG is at its limit", ErrFull)
	}
	return b.log.app.refusal() // an entry may be refused below the limit: it would go beyond
}

// space remembers how much the disk has left, so that not every append asks.
type space struct {
	mu      sync.Mutex
	checked time.Time
	left    uint64 // at checked, less what was appended since
	err     error
}

const (
	spaceInterval = 500 * time.Millisecond
	entryOverhead = 256 // at most, of one entry in a stream's files
)

// admit refuses an append when the disk is short: a stream that could not write takes nothing more until it is mended.
func (b *Bus) admit(size int) error {
	if size > b.c.MaxEntryBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, b.c.MaxEntryBytes)
	}
	if b.ns == nil {
		return nil
	}
	b.space.mu.Lock()
	defer b.space.mu.Unlock()
	s, needed := &b.space, b.c.MinFree+uint64(size)+entryOverhead //nolint:gosec // a size
	if now := time.Now(); now.Sub(s.checked) >= spaceInterval || s.left < needed {
		s.checked = now
		if s.left, s.err = b.c.Free(b.c.Dir); s.err == nil && s.left < needed {
			s.err = fmt.Errorf("%w: %d bytes left on the disk, %d wanted", ErrFull, s.left, needed)
		}
	}
	if s.err != nil {
		b.full.Add(1)
		return s.err
	}
	s.left -= uint64(size) + entryOverhead //nolint:gosec // a size
	return nil
}

// Stats is a reading for metrics.
type Stats struct {
	Log, Topics StreamStats
	Lag         map[string]uint64 // entries of LOG that each durable has not passed
	LostStores  int               // stores that were moved aside and still lie in Dir
	Refused     int64             // appends refused for want of disk space since the start
}

// StreamStats is one stream's size.
type StreamStats struct {
	First, Last, Entries, Bytes uint64
	InFlight                    int
}

// Stats reads sizes and lags.
func (b *Bus) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Refused: b.full.Load(), LostStores: lostStores(b.c.Dir)}
	var err error
	if s.Log, err = streamStats(ctx, b.log.stream, b.log.app); err != nil {
		return Stats{}, fmt.Errorf("read state of LOG: %w", err)
	}
	if s.Topics, err = streamStats(ctx, b.topics.stream, b.topics.app); err != nil {
		return Stats{}, fmt.Errorf("read state of TOPICS: %w", err)
	}
	if s.Lag, err = b.log.Lag(ctx); err != nil {
		return Stats{}, err
	}
	return s, nil
}

func streamStats(ctx context.Context, stream jetstream.Stream, app *appender) (StreamStats, error) {
	info, err := stream.Info(ctx)
	if err != nil {
		return StreamStats{}, classify(err)
	}
	app.mu.Lock()
	defer app.mu.Unlock()
	return StreamStats{First: info.State.FirstSeq, Last: info.State.LastSeq, Entries: info.State.Msgs,
		Bytes: info.State.Bytes, InFlight: len(app.inFlight)}, nil
}
