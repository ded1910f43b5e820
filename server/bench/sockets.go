package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/gorilla/websocket"

	"vigil/realtime"
)

// The socket servers that are compared: each in a process of its own, on the same net/http, publishing the same 300 bytes to
// one channel. Commands: "publish n", "credit n" (n messages have arrived everywhere), "rest" (give memory back, then answer).

// fanChannel is what everybody listens to; its name is of the form that is durable in the sidecar.
const fanChannel = "session:00000000-0000-4000-8000-000000000001"

// restChannel is the second channel of an idle connection.
const restChannel = "care:00000000-0000-4000-8000-000000000001"

// marker is in every message once, and nowhere else on the wire, so that arrivals can be counted without parsing.
const marker = "^^"

const (
	fanBytes  = 300
	fanWindow = 256 // messages on their way: so many fit every server's queue for one socket
)

// message is the body that is published, as JSON.
var fanBody = json.RawMessage(`{"n":"` + marker + strings.Repeat("x", fanBytes-len(`{"n":""}`)-len(marker)) + `"}`)

// publisher is the part that the servers share.
type publisher struct {
	publish func(i int) error

	mu     sync.Mutex
	moved  *sync.Cond
	credit int
	failed error
}

// serveSockets listens and gives the child's handler.
func serveSockets(ctx context.Context, h http.Handler, publish func(i int) error) (handler, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return handler{}, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: socketTimeout}
	go func() { _ = server.Serve(l) }() // ends with the process
	p := &publisher{publish: publish}
	p.moved = sync.NewCond(&p.mu)
	return handler{do: func(_ context.Context, c command) (any, error) {
		switch c.word {
		case "address":
			return l.Addr().String(), nil
		case "publish":
			go p.run(c.n) // ends when all n have gone, or with the process
			return nil, nil
		case "credit":
			p.mu.Lock()
			defer p.mu.Unlock()
			p.credit = c.n
			p.moved.Broadcast()
			return nil, p.failed
		case "rest":
			debug.FreeOSMemory()
			return struct{}{}, nil
		}
		return nil, errors.New("no such command")
	}}, nil
}

func (p *publisher) run(n int) {
	p.mu.Lock()
	p.credit = 0
	p.mu.Unlock()
	for i := range n {
		p.mu.Lock()
		for i-p.credit >= fanWindow {
			p.moved.Wait()
		}
		p.mu.Unlock()
		if err := p.publish(i); err != nil {
			p.mu.Lock()
			p.failed = err
			p.mu.Unlock()
			return
		}
	}
}

// fanHistory is the log behind the sidecar's channel. Everybody joins before the first entry and keeps up, so that it is
// asked only where it stands.
type fanHistory struct {
	mu   sync.Mutex
	last uint64
}

func (*fanHistory) Epoch() string { return "bench" }

func (*fanHistory) Read(context.Context, string, uint64, int) ([]realtime.Entry, error) {
	return nil, errors.New("a client fell behind")
}

func (*fanHistory) Since(context.Context, string, time.Time, int) ([]realtime.Entry, error) {
	return nil, nil
}

func (h *fanHistory) LastOf(_ context.Context, topic string) (uint64, error) {
	if topic != fanChannel {
		return 0, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last, nil
}

// vigilSockets is the sidecar's channel server, with private durable topics as in the sidecar: every join is verified and
// authorised, and every message has its place in the log.
func vigilSockets(ctx context.Context, _ json.RawMessage) (handler, error) {
	h := new(fanHistory)
	s := realtime.New(realtime.Config{
		Authenticate: func(context.Context, string) (realtime.Identity, error) {
			return realtime.Identity{UserID: "u", LoginID: "l", ExpiresAt: time.Now().Add(wholeTimeout)}, nil
		},
		Authorize: func(context.Context, realtime.Identity, string) (realtime.Grant, error) {
			return realtime.Grant{BroadcastReceive: true}, nil
		},
		Durable: func(string) bool { return true }, History: h,
		Limits: realtime.Limits{SocketsPerUser: 1 << 20, SocketsPerAddress: 1 << 20, AddressJoinsPerSecond: 1 << 20}, // all are one person here
	})
	go func() { _ = s.Run(ctx) }() // ends with the process
	return serveSockets(ctx, s, func(int) error {
		h.mu.Lock()
		prev := h.last
		h.last++
		h.mu.Unlock()
		s.Publish(realtime.Entry{Topic: fanChannel, Event: "message", Payload: fanBody, ID: "0192f3a4-0000-7000-8000-000000000000", Seq: prev + 1, Prev: prev, Epoch: "bench", At: time.Now()})
		return nil
	})
}

// centrifugeSockets is a server of the library centrifuge as its examples set it up: memory broker, JSON protocol, no history.
func centrifugeSockets(ctx context.Context, _ json.RawMessage) (handler, error) {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelNone})
	if err != nil {
		return handler{}, err
	}
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return handler{}, err
	}
	sockets := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{})
	known := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sockets.ServeHTTP(w, r.WithContext(centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: "u"})))
	})
	return serveSockets(ctx, known, func(int) error {
		_, err := node.Publish(fanChannel, fanBody)
		return err
	})
}

// gorillaSockets is the bare library: a queue for each connection, and a prepared message written to each.
func gorillaSockets(ctx context.Context, _ json.RawMessage) (handler, error) {
	var mu sync.Mutex
	queues := map[chan *websocket.PreparedMessage]struct{}{}
	var up websocket.Upgrader
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		queue := make(chan *websocket.PreparedMessage, 2*fanWindow)
		mu.Lock()
		queues[queue] = struct{}{}
		mu.Unlock()
		if conn.WriteMessage(websocket.TextMessage, []byte(`{"ok":true}`)) != nil {
			_ = conn.Close()
		}
		go func() { // ends with the connection
			for m := range queue {
				if conn.WritePreparedMessage(m) != nil {
					_ = conn.Close()
				}
			}
		}()
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				break
			}
		}
		mu.Lock()
		delete(queues, queue)
		close(queue)
		mu.Unlock()
	})
	return serveSockets(ctx, h, func(i int) error {
		m, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(`{"seq":`+strconv.Itoa(i)+`,"data":`+string(fanBody)+`}`))
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for queue := range queues {
			queue <- m
		}
		return nil
	})
}
