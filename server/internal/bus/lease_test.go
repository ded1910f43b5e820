package bus_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"vigil/server/internal/bus"
)

// nodesOn opens n buses on one server.
func nodesOn(t *testing.T, url string, n int) []*bus.Bus {
	t.Helper()
	c := config(t)
	c.Dir, c.Key, c.URL = "", "", url
	nodes := make([]*bus.Bus, n)
	for i := range nodes {
		nodes[i] = open(t, c)
	}
	return nodes
}

// TestOneLeadsAtATime: three want to; whoever leads is ended again and again, and never do two work at once.
func TestOneLeadsAtATime(t *testing.T) {
	t.Parallel()
	const turns = 12
	nodes := nodesOn(t, natsServer(t, t.TempDir(), -1).ClientURL(), 3)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var working, taken atomic.Int32
	ended := make(chan error, len(nodes))
	for _, b := range nodes {
		go func() { // waited for below
			var err error
			for taken.Load() < turns && ctx.Err() == nil && err == nil {
				err = b.Lead(ctx, "part", func(context.Context) error {
					if working.Add(1) != 1 {
						t.Error("two lead")
					}
					<-time.After(20 * time.Millisecond) // as long as others look
					taken.Add(1)
					working.Add(-1)
					return nil
				})
			}
			ended <- err
		}()
	}
	for range nodes {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if taken.Load() < turns {
		t.Errorf("%d turns", taken.Load())
	}
}

// TestWhoCannotRenewStops: its connection is gone; its work ends, and another follows after that.
func TestWhoCannotRenewStops(t *testing.T) {
	t.Parallel()
	ns := natsServer(t, t.TempDir(), -1)
	way := newBrittle(t, ns.Addr().String())
	first := nodesOn(t, "nats://"+way.listener.Addr().String(), 1)[0]
	second := nodesOn(t, ns.ClientURL(), 1)[0]
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	leads, stopped, follows, ended := make(chan struct{}), make(chan time.Time, 1), make(chan time.Time, 1), make(chan error, 2)
	go func() { // waited for below
		ended <- first.Lead(ctx, "part", func(ctx context.Context) error {
			select {
			case <-stopped: // again, after the other
				return nil
			default:
			}
			close(leads)
			<-ctx.Done()
			stopped <- time.Now()
			return nil
		})
	}()
	<-leads
	go func() { // likewise
		ended <- second.Lead(ctx, "part", func(context.Context) error { follows <- time.Now(); return nil })
	}()
	nothing := "" // every answer has it
	way.swallow.Store(&nothing)
	select {
	case at := <-follows:
		if before := <-stopped; !before.Before(at) {
			t.Error("the second began before the first had stopped")
		}
	case <-ctx.Done():
		t.Fatal("nobody followed")
	}
	stop()
	way.cut()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestWorkThatFailsGivesTheLeaseBack: the error is the caller's, and whoever waits need not wait for the lease to grow old.
func TestWorkThatFailsGivesTheLeaseBack(t *testing.T) {
	t.Parallel()
	nodes := nodesOn(t, natsServer(t, t.TempDir(), -1).ClientURL(), 2)
	broken := errors.New("broken")
	if err := nodes[0].Lead(t.Context(), "part", func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second) // less than a dead holder is waited for
	defer stop()
	led := false
	if err := nodes[1].Lead(ctx, "part", func(context.Context) error { led = true; return nil }); err != nil || !led {
		t.Fatal(led, err)
	}
}

// TestAConsumerOfAnotherNodeBeginsAnewInARenewedLog: sequences of the new LOG start over; none may be taken for read.
func TestAConsumerOfAnotherNodeBeginsAnewInARenewedLog(t *testing.T) {
	t.Parallel()
	nodes := nodesOn(t, natsServer(t, t.TempDir(), -1).ClientURL(), 2)
	leader, reader := nodes[0], nodes[1]
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	seen, ended := make(chan string, 64), make(chan error, 1)
	go func() { // waited for below
		var err error
		for ctx.Err() == nil && (err == nil || errors.Is(err, bus.ErrTaken) || errors.Is(err, bus.ErrUnavailable)) {
			err = oneByOne(ctx, reader.Log(), bus.Pipeline, func(_ context.Context, e bus.Entry) error { seen <- string(e.Data); return nil })
		}
		ended <- err
	}()
	fill(t, leader, 1, 10)
	for range 10 {
		<-seen
	}
	if err := leader.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	fill(t, leader, 101, 3)
	for _, want := range []string{"entry 101", "entry 102", "entry 103"} {
		select {
		case got := <-seen:
			if got != want {
				t.Fatalf("read %q, want %q", got, want)
			}
		case err := <-ended:
			t.Fatalf("%q was never read: %v", want, err)
		}
	}
	if reader.Log().Nonce() != leader.Log().Nonce() {
		t.Error("the reader thinks that LOG is the old one")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
