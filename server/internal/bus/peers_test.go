package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"vigil/server/internal/bus"
)

// heardFrame is a frame and who sent it.
type heardFrame struct{ from, data string }

// peersOn is a node of its own on a server until the test ends.
func peersOn(t *testing.T, ns *server.Server, key string) *bus.Peers {
	t.Helper()
	c := config(t)
	c.Dir, c.Key, c.URL = "", key, ns.ClientURL()
	p := open(t, c).Peers()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }() // the clean-up waits for it
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return p
}

// hear subscribes, as soon as there is a connection.
func hear(t *testing.T, p *bus.Peers, room string, into chan heardFrame) (stop func()) {
	t.Helper()
	for began := time.Now(); ; {
		if time.Since(began) > 20*time.Second {
			t.Fatal("there is no connection")
		}
		stop, err := p.Subscribe(room, func(from string, data []byte) { into <- heardFrame{from, string(data)} })
		if err == nil {
			return stop
		}
		if !errors.Is(err, bus.ErrUnavailable) {
			t.Fatal(err)
		}
		pause(t)
	}
}

func pause(t *testing.T) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(10 * time.Millisecond):
	}
}

// greet sends in a room until it was heard, so that what is sent after it is heard too.
func greet(t *testing.T, p *bus.Peers, room string, into chan heardFrame) {
	t.Helper()
	for began := time.Now(); ; {
		if time.Since(began) > 20*time.Second {
			t.Fatal("nobody hears")
		}
		if err := p.Send(room, []byte("hello")); err != nil && !errors.Is(err, bus.ErrUnavailable) {
			t.Fatal(err)
		}
		select {
		case <-into:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// next gives what was heard after the greetings.
func next(t *testing.T, into chan heardFrame) heardFrame {
	t.Helper()
	for {
		select {
		case f := <-into:
			if f.data != "hello" {
				return f
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing was heard")
		}
	}
}

func TestNodesHearEachOther(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"sealed": "a key of the test", "plain": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := natsServer(t, t.TempDir(), -1)
			a := peersOn(t, ns, key)
			b := peersOn(t, ns, key)
			if a.Node() == b.Node() || a.Node() == "" {
				t.Fatalf("nodes are %q and %q", a.Node(), b.Node())
			}
			atA, atB, all := make(chan heardFrame, 4096), make(chan heardFrame, 4096), make(chan heardFrame, 4096)
			const room = "p:session:1 *.>\x00ü"
			hear(t, a, room, atA)
			stop := hear(t, b, room, atB)
			hear(t, b, "", all)
			greet(t, a, room, atB)
			greet(t, a, "", all)
			greet(t, b, room, atA)
			const frames = 1000
			for n := range frames {
				if err := errors.Join(a.Send(room, []byte(strconv.Itoa(n))), a.Send("o:session:1", []byte("elsewhere"))); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.Send("", []byte("everyone")); err != nil {
				t.Fatal(err)
			}
			for n := range frames { // in order, and nothing of another room
				if f := next(t, atB); f != (heardFrame{a.Node(), strconv.Itoa(n)}) {
					t.Fatalf("got %v, want %d", f, n)
				}
			}
			if f := next(t, all); f.data != "everyone" {
				t.Errorf("got %v", f)
			}
			if err := b.Send(room, []byte("back")); err != nil {
				t.Fatal(err)
			}
			if f := next(t, atA); f != (heardFrame{b.Node(), "back"}) { // none of its own before it
				t.Errorf("got %v", f)
			}
			stop()
			if err := errors.Join(a.Send(room, []byte("unheard")), a.Send("", []byte("after"))); err != nil {
				t.Fatal(err)
			}
			if f := next(t, all); f.data != "after" {
				t.Errorf("got %v", f)
			}
			if len(atB) > 0 {
				t.Errorf("heard %v after the stop", <-atB)
			}
		})
	}
}

func TestFramesBetweenNodesAreSealed(t *testing.T) {
	t.Parallel()
	ns := natsServer(t, t.TempDir(), -1)
	a := peersOn(t, ns, "a key of the test")
	b := peersOn(t, ns, "a key of the test")
	stranger := peersOn(t, ns, "another key")
	tap, err := nats.Connect(ns.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	tapped, err := tap.SubscribeSync("vigil.room.p:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tap.Flush(); err != nil {
		t.Fatal(err)
	}
	atB, atC := make(chan heardFrame, 4096), make(chan heardFrame, 4096)
	hear(t, b, "p:1", atB)
	hear(t, b, "p:2", atB)
	hear(t, stranger, "p:1", atC)
	greet(t, a, "p:1", atB)
	greet(t, a, "p:2", atB)
	if err := a.Send("p:1", []byte("canary")); err != nil {
		t.Fatal(err)
	}
	if f := next(t, atB); f.data != "canary" {
		t.Fatalf("got %v", f)
	}
	for began := time.Now(); bus.RefusedFrames(stranger) == 0; pause(t) { // it may have come too late for the first
		if err := a.Send("p:1", []byte("hello")); err != nil || time.Since(began) > 20*time.Second {
			t.Fatal("nothing was refused", err)
		}
	}
	if len(atC) > 0 {
		t.Errorf("another key opened %v", <-atC)
	}
	var last *nats.Msg
	for m, err := tapped.NextMsg(time.Second); err == nil && m != nil; m, err = tapped.NextMsg(100 * time.Millisecond) {
		if last = m; bytes.Contains(m.Data, []byte("canary")) || bytes.Contains(m.Data, []byte(a.Node())) {
			t.Fatal("what was sent is to be read")
		}
	}
	if last == nil {
		t.Fatal("nothing was tapped")
	}
	for _, forged := range [][]byte{last.Data, last.Data[:20], nil, []byte("canary, and as long as a nonce")} { // the first is of another room
		if err := tap.Publish("vigil.room.p:2", forged); err != nil {
			t.Fatal(err)
		}
	}
	if err := tap.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := a.Send("p:2", []byte("after")); err != nil {
		t.Fatal(err)
	}
	if f := next(t, atB); f.data != "after" {
		t.Errorf("took %v", f)
	}
}

func TestNodesLearnWhatTheyMissed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ns := natsServer(t, dir, -1)
	a := peersOn(t, ns, "")
	b := peersOn(t, ns, "")
	into := make(chan heardFrame, 4096)
	hear(t, b, "p:1", into)
	hear(t, a, "p:1", make(chan heardFrame, 4096))
	greet(t, a, "p:1", into)
	for len(a.Lost())+len(b.Lost()) > 0 { // of the first connection
		select {
		case <-a.Lost():
		case <-b.Lost():
		}
	}
	address := ns.Addr().String()
	ns.Shutdown()
	ns.WaitForShutdown()
	for began := time.Now(); a.Send("p:1", []byte("into the void")) == nil && time.Since(began) < 20*time.Second; {
		pause(t)
	}
	if err := a.Send("p:1", []byte("into the void")); !errors.Is(err, bus.ErrUnavailable) {
		t.Fatalf("without a server: %v", err)
	}
	var port int
	if _, err := fmt.Sscanf(address, "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	natsServer(t, dir, port)
	for _, p := range []*bus.Peers{a, b} {
		select {
		case <-p.Lost():
		case <-time.After(20 * time.Second):
			t.Fatal("nobody was told")
		}
	}
	greet(t, a, "p:1", into)
	for len(into) > 0 {
		if f := <-into; f.data != "hello" {
			t.Errorf("%v was kept", f)
		}
	}
}

func TestANodeThatIsTooSlowIsTold(t *testing.T) {
	t.Parallel()
	ns := natsServer(t, t.TempDir(), -1)
	a := peersOn(t, ns, "")
	b := peersOn(t, ns, "")
	stuck, hold := make(chan heardFrame, 4096), make(chan struct{})
	let := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(let)
	hear(t, b, "p:2", make(chan heardFrame, 4096)) // as soon as there is a connection
	if _, err := b.Subscribe("p:1", func(string, []byte) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Subscribe("p:2", func(from string, data []byte) {
		if string(data) == "wait" {
			<-hold
		}
		stuck <- heardFrame{from, string(data)}
	}); err != nil {
		t.Fatal(err)
	}
	greet(t, a, "p:2", stuck)
	for len(b.Lost()) > 0 {
		<-b.Lost()
	}
	if err := a.Send("p:2", []byte("wait")); err != nil {
		t.Fatal(err)
	}
	for range bus.HeardFrames + 100 {
		if err := a.Send("p:1", []byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-b.Lost():
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was told")
	}
	let()
	for began := time.Now(); ; { // and everything goes on
		if err := a.Send("p:2", []byte("after")); err != nil || time.Since(began) > 20*time.Second {
			t.Fatal("nothing is heard any more", err)
		}
		select {
		case f := <-stuck:
			if f.data == "after" {
				return
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestOneNodeHasNoPeers(t *testing.T) {
	t.Parallel()
	if p := open(t, config(t)).Peers(); p != nil {
		t.Errorf("got %v", p)
	}
}
