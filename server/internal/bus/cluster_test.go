package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"vigil/server/internal/bus"
)

// natsServer is one of its own, as NATS_URL names it. port -1 takes a free one.
func natsServer(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, SyncAlways: true, NoSigs: true,
		NoLog: true, MaxPayload: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	go ns.Start() // ends once the server is up
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not start")
	}
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	return ns
}

// TestABusOutsideTheProcess: the same streams on a server of its own; when it restarts, what is in flight fails, readers
// and the writer go on.
func TestABusOutsideTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ns := natsServer(t, dir, -1)
	c := config(t)
	c.Dir, c.Key, c.URL = "", "", ns.ClientURL()
	b := open(t, c)
	fill(t, b, 1, 20)
	put(t, b, "session:a", "1")
	if err := b.Health(t.Context()); err != nil || b.Recreated() {
		t.Fatal(err, b.Recreated())
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen, ended := make(chan bus.Entry, 256), make(chan error, 1)
	go func() { // waited for below
		ended <- oneByOne(ctx, b.Log(), bus.Pipeline, func(_ context.Context, e bus.Entry) error { seen <- e; return nil })
	}()
	for want := uint64(1); want <= 20; want++ {
		if e := <-seen; e.Seq != want {
			t.Fatalf("saw %d, want %d", e.Seq, want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	nonce, epoch, port := b.Log().Nonce(), b.Topics().Epoch(), ns.Addr().String()
	ns.Shutdown()
	ns.WaitForShutdown()
	if p, err := b.Log().Append(t.Context(), []byte("entry 21")); err == nil {
		if err := p.Wait(t.Context()); !errors.Is(err, bus.ErrUnavailable) {
			t.Fatalf("append without a server: %v", err)
		}
	} else if !errors.Is(err, bus.ErrUnavailable) {
		t.Fatalf("append without a server: %v", err)
	}
	var number int
	if _, err := fmt.Sscanf(port, "127.0.0.1:%d", &number); err != nil {
		t.Fatal(err)
	}
	natsServer(t, dir, number)
	for {
		seq, _, err := b.Log().Last(t.Context())
		if err == nil && seq == 20 {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	fill(t, b, 21, 5)
	if got := collect(t, b, bus.Pipeline, 5); got[0].Seq != 21 || got[4].Seq != 25 {
		t.Fatalf("%d to %d", got[0].Seq, got[4].Seq)
	}
	other := open(t, c)
	if other.Log().Nonce() != nonce || other.Topics().Epoch() != epoch {
		t.Fatal("a second node sees another bus")
	}
}

func TestABusThatIsNotThere(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.URL = "nats://127.0.0.1:1"
	if _, err := bus.Open(t.Context(), c); !errors.Is(err, bus.ErrUnavailable) {
		t.Fatal(err)
	}
}
