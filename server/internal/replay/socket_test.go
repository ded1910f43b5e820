package replay

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"vigil/realtime/phoenix"
)

const wait = 10 * time.Second

// peer is a server that does what a test tells it, frame by frame.
type peer struct {
	t     *testing.T
	conns chan *websocket.Conn
	url   *url.URL
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{t: t, conns: make(chan *websocket.Conn, 8)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("apikey") != "key" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var up websocket.Upgrader
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		p.conns <- conn
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.url = at
	return p
}

// accept waits for the next connection.
func (p *peer) accept() *websocket.Conn {
	p.t.Helper()
	select {
	case conn := <-p.conns:
		p.t.Cleanup(func() { _ = conn.Close() })
		return conn
	case <-time.After(wait):
		p.t.Fatal("nobody connected")
		return nil
	}
}

// next reads frames until one is of the event.
func (p *peer) next(conn *websocket.Conn, event string) phoenix.Message {
	p.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	for {
		_, raw, err := conn.ReadMessage()
		if err != nil {
			p.t.Fatalf("no %s: %v", event, err)
		}
		m, err := phoenix.Decode(phoenix.V2, raw)
		if err != nil {
			p.t.Fatal(err)
		}
		if m.Event == event {
			return m
		}
	}
}

func (p *peer) send(conn *websocket.Conn, m phoenix.Message) {
	p.t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, phoenix.AppendText(nil, phoenix.V2, m)); err != nil {
		p.t.Fatal(err)
	}
}

// admit answers a join, and says where live delivery starts.
func (p *peer) admit(conn *websocket.Conn, join phoenix.Message, recovery string) {
	p.t.Helper()
	p.send(conn, phoenix.Reply(join, true, nil))
	p.send(conn, phoenix.Message{JoinRef: join.JoinRef, Topic: join.Topic, Event: phoenix.EventSystem, Payload: json.RawMessage(recovery)})
}

func (p *peer) broadcast(conn *websocket.Conn, topic, event string, seq, prev int) {
	p.t.Helper()
	payload, err := json.Marshal(map[string]any{"type": "broadcast", "event": event, "payload": map[string]any{}, "meta": map[string]any{
		"id": uuid.NewString(), "seq": seq, "prev": prev, "epoch": "e", "cursor": "c" + string(rune('0'+seq)),
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(conn, phoenix.Message{Topic: topic, Event: phoenix.EventBroadcast, Payload: payload})
}

// ear keeps what it hears.
type ear struct {
	mu      sync.Mutex
	faults  []placeFault
	events  []string
	told    []bool
	refuse  error
	changed chan struct{}
}

func (e *ear) broadcast(b broadcast, fault placeFault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events, e.faults = append(e.events, b.Event), append(e.faults, fault)
	e.changed <- struct{}{}
}

func (e *ear) recovered(_ context.Context, all bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = append(e.told, all)
	e.changed <- struct{}{}
	return e.refuse
}

func (e *ear) await(t *testing.T) {
	t.Helper()
	select {
	case <-e.changed:
	case <-time.After(wait):
		t.Fatal("nothing was heard")
	}
}

// begin runs a socket until the test ends.
func begin(t *testing.T, s *socket) (result func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error { return s.Run(ctx) })
	t.Cleanup(func() { cancel(); _ = g.Wait() })
	return g.Wait
}

func somebody() *person {
	return &person{id: uuid.New(), access: "token", expires: time.Now().Add(time.Hour)}
}

const topicName = "session:1"

func TestABrokenSocketIsJoinedAgainWithItsCursor(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	var broken sync.WaitGroup
	broken.Add(1)
	s := newSocket(p.url, "key", somebody(), func(error) { broken.Done() })
	begin(t, s)
	heard := &ear{changed: make(chan struct{}, 16)}
	var g errgroup.Group
	g.Go(func() error { return s.join(t.Context(), topicName, heard) })
	conn := p.accept()
	join := p.next(conn, phoenix.EventJoin)
	if strings.Contains(string(join.Payload), "replay") || !strings.Contains(string(join.Payload), `"access_token":"token"`) {
		t.Errorf("the first join asks %s", join.Payload)
	}
	p.admit(conn, join, `{"extension":"recovery","status":"ok","recovered":false,"cursor":"c1"}`)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	p.next(conn, phoenix.EventPresence)
	p.broadcast(conn, join.Topic, "message", 2, 1)
	heard.await(t)
	p.broadcast(conn, join.Topic, "message", 2, 1)
	heard.await(t)
	p.broadcast(conn, join.Topic, "message", 5, 3)
	heard.await(t)
	_ = conn.Close()

	conn = p.accept()
	broken.Wait()
	join = p.next(conn, phoenix.EventJoin)
	if !strings.Contains(string(join.Payload), `"replay":{"after":"c5"}`) {
		t.Errorf("the second join asks %s", join.Payload)
	}
	p.broadcast(conn, join.Topic, "message", 6, 5)
	heard.await(t)
	p.admit(conn, join, `{"extension":"recovery","status":"ok","recovered":true,"cursor":"c6"}`)
	heard.await(t)
	heard.mu.Lock()
	defer heard.mu.Unlock()
	if want := []placeFault{placeRight, placeTwice, placeHole, placeRight}; len(heard.faults) != 4 || [4]placeFault(heard.faults) != [4]placeFault(want) {
		t.Errorf("places %v, want %v", heard.faults, want)
	}
	if len(heard.told) != 1 || !heard.told[0] {
		t.Errorf("recovered %v", heard.told)
	}
}

func TestALogThatCannotRecoverIsToldUntilTheTablesAreRead(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	s := newSocket(p.url, "key", somebody(), func(error) {})
	begin(t, s)
	heard := &ear{changed: make(chan struct{}, 16), refuse: errors.New("the tables cannot be read now")}
	var g errgroup.Group
	g.Go(func() error { return s.join(t.Context(), topicName, heard) })
	conn := p.accept()
	p.admit(conn, p.next(conn, phoenix.EventJoin), `{"extension":"recovery","recovered":false,"cursor":"c1"}`)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	const lost = `{"extension":"recovery","recovered":false,"cursor":"n1"}`
	for range 2 { // the first time the tables do not answer, so the cursor stands
		conn = p.accept()
		join := p.next(conn, phoenix.EventJoin)
		if !strings.Contains(string(join.Payload), `"after":"c1"`) {
			t.Errorf("it asks %s", join.Payload)
		}
		p.admit(conn, join, lost)
		heard.await(t)
		heard.mu.Lock()
		heard.refuse = nil
		heard.mu.Unlock()
	}
	p.broadcast(conn, phoenix.TopicPrefix+topicName, "message", 3, 2)
	heard.await(t)
	heard.mu.Lock()
	defer heard.mu.Unlock()
	if len(heard.told) != 2 || heard.told[0] || heard.told[1] || heard.faults[0] != placeRight {
		t.Errorf("recovered %v, places %v", heard.told, heard.faults)
	}
}

func TestATopicThatIsRefusedOrEndedIsAskedForAgain(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	s := newSocket(p.url, "key", somebody(), func(error) {})
	begin(t, s)
	var g errgroup.Group
	g.Go(func() error { return s.join(t.Context(), topicName, &ear{changed: make(chan struct{}, 16)}) })
	conn := p.accept()
	join := p.next(conn, phoenix.EventJoin)
	p.send(conn, phoenix.Refuse(join, "UnableToConnectToProject: later"))
	join = p.next(conn, phoenix.EventJoin)
	p.admit(conn, join, `{"extension":"recovery","recovered":false,"cursor":"c1"}`)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	p.send(conn, phoenix.End(join.Topic, phoenix.EventError, join.JoinRef))
	again := p.next(conn, phoenix.EventJoin)
	if again.JoinRef == join.JoinRef || !strings.Contains(string(again.Payload), `"after":"c1"`) {
		t.Errorf("it came back with %s", again.Payload)
	}
	s.leave(topicName)
	if left := p.next(conn, phoenix.EventLeave); left.JoinRef != again.JoinRef {
		t.Errorf("it left %s", left.JoinRef)
	}
}

func TestATopicThatIsClosedForGoodIsGivenUp(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	s := newSocket(p.url, "key", somebody(), func(error) {})
	begin(t, s)
	var g errgroup.Group
	g.Go(func() error { return s.join(t.Context(), topicName, &ear{changed: make(chan struct{}, 16)}) })
	conn := p.accept()
	join := p.next(conn, phoenix.EventJoin)
	p.send(conn, phoenix.End(join.Topic, phoenix.EventClose, join.JoinRef))
	if err := g.Wait(); err == nil || !strings.Contains(err.Error(), "for good") {
		t.Errorf("joined: %v", err)
	}
}

func TestARefusedHandshakeSaysWhatToDoAndNoKey(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	s := newSocket(p.url, "wrong-key", somebody(), func(error) {})
	result := begin(t, s)
	err := result()
	var advised *Error
	if !errors.Is(err, errHandshake) || !errors.As(err, &advised) || strings.Contains(err.Error(), "wrong-key") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.join(ctx, topicName, &ear{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a join that was given up: %v", err)
	}
}

func TestABroadcastOfAnotherClientIsNotCounted(t *testing.T) {
	t.Parallel()
	heard := &ear{changed: make(chan struct{}, 1)}
	s := &socket{channels: map[string]*channel{topicName: {topic: topicName, hear: heard, settled: make(chan struct{})}}}
	m := phoenix.Message{Topic: phoenix.TopicPrefix + topicName, Event: phoenix.EventBroadcast, Payload: json.RawMessage(`{"event":"message","payload":{}}`)}
	if err := s.handle(t.Context(), m, time.Now()); err != nil {
		t.Fatal(err)
	}
	if len(heard.events) != 0 {
		t.Error("a frame without meta was believed")
	}
}
