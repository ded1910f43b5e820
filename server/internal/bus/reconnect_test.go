package bus_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vigil/server/internal/bus"
)

// brittle is a way to a server that can take what the server sends, and break.
type brittle struct {
	listener net.Listener
	to       string
	swallow  atomic.Pointer[string] // from the first answer that has this in it, nothing comes through
	gone     chan struct{}          // closed when it had it
	once     sync.Once

	mu    sync.Mutex
	conns []net.Conn
	all   sync.WaitGroup
}

func newBrittle(t *testing.T, to string) *brittle {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &brittle{listener: listener, to: to, gone: make(chan struct{})}
	b.all.Go(b.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		b.cut()
		b.all.Wait()
	})
	return b
}

func (b *brittle) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", b.to) //nolint:noctx // ends with the test
		if err != nil {
			_ = client.Close()
			continue
		}
		b.mu.Lock()
		b.conns = append(b.conns, client, server)
		b.mu.Unlock()
		b.all.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
		b.all.Go(func() { b.answers(client, server); _ = client.Close() })
	}
}

func (b *brittle) answers(client, server net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if word := b.swallow.Load(); word != nil && bytes.Contains(buffer[:n], []byte(*word)) {
			b.once.Do(func() { close(b.gone) })
			continue
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (b *brittle) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		_ = c.Close()
	}
	b.conns = nil
}

// TestAnEntryThatWentDownWithTheConnectionIsReadAgain: the server takes for read what it sent; nothing is appended after it.
func TestAnEntryThatWentDownWithTheConnectionIsReadAgain(t *testing.T) {
	t.Parallel()
	ns := natsServer(t, t.TempDir(), -1)
	c := config(t)
	c.Dir, c.Key, c.URL = "", "", ns.ClientURL()
	writer := open(t, c)
	way := newBrittle(t, ns.Addr().String())
	c.URL = "nats://" + way.listener.Addr().String()
	reader := open(t, c)

	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	logged, relayed, ended := make(chan string, 8), make(chan string, 8), make(chan error, 2)
	go func() { // waited for below
		var err error
		for ctx.Err() == nil && (err == nil || errors.Is(err, bus.ErrUnavailable)) { // a position may be written just then
			err = oneByOne(ctx, reader.Log(), bus.Pipeline, func(_ context.Context, e bus.Entry) error { logged <- string(e.Data); return nil })
		}
		ended <- err
	}()
	go func() { // likewise; the relay follows again in the same way
		var err error
		for next := uint64(1); ctx.Err() == nil && (err == nil || errors.Is(err, bus.ErrUnavailable)); {
			err = reader.Topics().Follow(ctx, next, func(_ context.Context, e bus.TopicEntry) error {
				next = e.Seq + 1
				relayed <- string(e.Data)
				return nil
			})
		}
		ended <- err
	}()
	want := func(entries <-chan string, text string) {
		t.Helper()
		for got := ""; got != text; { // an entry of LOG comes again when its position was not written
			select {
			case got = <-entries:
			case err := <-ended:
				t.Fatalf("%q was never read: %v", text, err)
			}
		}
	}
	fill(t, writer, 1, 1)
	want(logged, "entry 1")
	put(t, writer, "session:a", "topic 1")
	want(relayed, "topic 1")

	word := "topic 2"
	way.swallow.Store(&word)
	put(t, writer, "session:a", word)
	<-way.gone
	way.swallow.Store(nil)
	way.cut()
	want(relayed, word)
	fill(t, writer, 2, 1)
	want(logged, "entry 2")
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
