package bus

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"vigil/server/internal/logkey"
)

const (
	storeName    = "bus"
	keyName      = "bus.key"
	lockName     = "bus.lock"
	readyName    = "ready" // in the store, once all streams were made: a store without it never held anything
	lostInfix    = ".lost-"
	startTimeout = 30 * time.Second
	syncInterval = 5 * time.Second // of TOPICS; LogKeep must be well above it
)

// streamsConfig is where and how the embedded server keeps streams. Space is watched by MinFree and each stream's limit.
func streamsConfig(c Config) server.JetStreamConfig {
	return server.JetStreamConfig{StoreDir: filepath.Join(c.Dir, storeName), MaxMemory: 64 << 20, MaxStore: 1 << 50,
		SyncAlways: true, SyncInterval: syncInterval}
}

// errSlow: the server did not answer in time, which says nothing about its files.
var errSlow = errors.New("it took too long")

// startServer starts JetStream on the store; it recovers every stream before it returns.
func startServer(ctx context.Context, c Config, key string) (*server.Server, *serverLog, error) {
	js := streamsConfig(c)
	opts := &server.Options{
		ServerName: "vigil", DontListen: true, NoSigs: true, NoSystemAccount: true, DisableJetStreamBanner: true,
		JetStream: true, StoreDir: js.StoreDir, JetStreamKey: key, JetStreamCipher: server.ChaCha,
		JetStreamMaxMemory: js.MaxMemory, JetStreamMaxStore: js.MaxStore, SyncAlways: js.SyncAlways, SyncInterval: js.SyncInterval,
		MaxPayload: int32(c.MaxEntryBytes + headerMargin), //nolint:gosec // a few MiB
	}
	if err := removeStray(c); err != nil {
		return nil, nil, err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, nil, fmt.Errorf("configure embedded bus: %w", err)
	}
	log := &serverLog{log: c.Log}
	ns.SetLoggerV2(log, false, false, false)
	go ns.Start() // ends by itself once the server is up; shutdown waits for the rest
	deadline, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	for !ns.ReadyForConnections(50 * time.Millisecond) {
		if deadline.Err() != nil && !log.fatal.Load() {
			stopServer(ctx, ns)
			return nil, nil, errors.Join(fmt.Errorf("start embedded bus: %w: %w", ErrUnavailable, errSlow), context.Cause(ctx))
		}
		if log.fatal.Load() {
			stopServer(ctx, ns)
			return nil, nil, errors.Join(fmt.Errorf("start embedded bus: %w", ErrUnavailable), context.Cause(ctx))
		}
	}
	return ns, log, nil
}

// removeStray removes what a server that was killed left behind and the next one would stumble on: the files with which it tries
// whether it may write, which would be taken for accounts that cannot be recovered; and blocks that were made and not written
// yet, whose key is still missing, for which the whole stream would be given up (nats-server 2.15 writes a block's key after
// the block).
func removeStray(c Config) error {
	store := filepath.Join(c.Dir, storeName, server.JetStreamStoreDir)
	streams := filepath.Join(store, "*", "streams", "*")
	for pattern, stray := range map[string]func(path string) bool{
		filepath.Join(store, "_test_*"):           isAny,
		filepath.Join(streams, "_test_*"):         isAny,
		filepath.Join(streams, "msgs", "*"+block): isUnwritten,
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("look for stray files: %w", err)
		}
		for _, path := range found {
			if !stray(path) {
				continue
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove a stray file: %w", err)
			}
		}
	}
	return nil
}

// block is the extension of a stream's files; the key of each has the same name with blockKey.
const (
	block    = ".blk"
	blockKey = ".key"
)

func isAny(string) bool { return true }

// isUnwritten says whether a block is empty and has no key: nothing was ever stored in it.
func isUnwritten(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() > 0 {
		return false
	}
	_, err = os.Stat(strings.TrimSuffix(path, block) + blockKey)
	return errors.Is(err, os.ErrNotExist)
}

// stopServer flushes and closes the streams. It gives up waiting when ctx ends.
func stopServer(ctx context.Context, ns *server.Server) {
	done := make(chan struct{})
	go func() { // ends with the server; waited for here, for as long as ctx allows
		defer close(done)
		ns.Shutdown()
		ns.WaitForShutdown()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// loadKey gives the configured key, or the one in the key file, which it makes when there is none.
func loadKey(c Config) (string, error) {
	if c.Key != "" {
		return c.Key, nil
	}
	path := filepath.Join(c.Dir, keyName)
	data, err := os.ReadFile(path)
	if key := strings.TrimSpace(string(data)); err == nil && key != "" {
		return key, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read key of the bus: %w", err)
	}
	key := randomText(32)
	if err := writeDurably(path, key+"\n"); err != nil {
		return "", fmt.Errorf("write key of the bus: %w", err)
	}
	return key, nil
}

// writeDurably puts a file in place whole or not at all, mode 0600.
func writeDurably(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// moveAside renames the store, so that a fresh one can be made and nothing is destroyed.
func moveAside(c Config) error {
	store := filepath.Join(c.Dir, storeName)
	aside := store + lostInfix + time.Now().UTC().Format("20060102T150405.000Z")
	if err := os.Rename(store, aside); err != nil {
		return fmt.Errorf("move store aside: %w", err)
	}
	return syncDir(c.Dir)
}

// lostStores counts the stores that were moved aside and are still there.
func lostStores(dir string) int {
	found, _ := filepath.Glob(filepath.Join(dir, storeName+lostInfix+"*")) // the pattern is a constant below dir
	return len(found)
}

func randomText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b)
}

// serverLog passes on what the embedded server warns of. Its lines name streams, files and subjects, which are ids.
type serverLog struct {
	log      *slog.Logger
	warnings atomic.Int64
	fatal    atomic.Bool
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) {
	l.warnings.Add(1)
	l.log.Warn("embedded bus warned", logkey.Reason, fmt.Sprintf(format, v...))
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.warnings.Add(1)
	l.log.Error("embedded bus reported an error", logkey.Reason, fmt.Sprintf(format, v...))
}

func (l *serverLog) Fatalf(format string, v ...any) {
	l.fatal.Store(true)
	l.log.Error("embedded bus cannot run", logkey.Reason, fmt.Sprintf(format, v...))
}
