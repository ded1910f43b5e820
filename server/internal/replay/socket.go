package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"vigil/realtime/phoenix"
)

// How the socket behaves; realtime-js does the same.
const (
	heartbeatInterval = 25 * time.Second
	writeTimeout      = 10 * time.Second
	silence           = 70 * time.Second // without any frame: the server pings every 25 s
	rejoinCheck       = 100 * time.Millisecond
	maxFrameBytes     = 8 << 20
	outCapacity       = 256 // full: the socket is opened anew
	maxRefusals       = 6   // joins of one topic that are refused before it is given up
)

// socket is one person's connection. It stays through any number of broken ones: every topic is joined again with the
// cursor of what was last heard.
//
//	dial ─▶ join every topic ─▶ read, write, heartbeat ─▶ (broken) ─▶ wait ─▶ dial
type socket struct {
	url        string
	person     *person
	reconnects func(lost error) // called for each connection that broke

	mu       sync.Mutex
	channels map[string]*channel
	out      chan []byte // of the present connection; nil: there is none
	drop     func()      // ends the present connection
	lastRef  uint64
}

// channel is one topic of a socket. Guarded by the socket.
type channel struct {
	topic    string
	hear     hearer
	ref      string // join_ref of the present join; "" when not joined
	cursor   string
	last     place
	asked    bool // the present join named a cursor
	rejoinAt time.Time
	refusals int
	settled  chan struct{} // closed when live delivery has begun for the first time, or never will
	done     bool          // settled is closed
	err      error
}

// hearer is told what comes on a topic, one after the other.
type hearer interface {
	// broadcast is a committed row. fault says that it stands at a place where none may be.
	broadcast(b broadcast, fault placeFault)
	// recovered says whether a rejoin was sent all that it had missed; if not, the tables are read.
	recovered(ctx context.Context, all bool) error
}

// broadcast is a durable one.
type broadcast struct {
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
	Meta    *meta           `json:"meta"`
	at      time.Time
}

type meta struct {
	ID     string `json:"id"`
	Seq    uint64 `json:"seq"`
	Prev   uint64 `json:"prev"`
	Epoch  string `json:"epoch"`
	Cursor string `json:"cursor"`
}

// place is where a topic stands in the log.
type place struct {
	epoch string
	seq   uint64
}

type placeFault uint8

const (
	placeRight placeFault = iota
	placeTwice            // it was delivered before
	placeHole             // something before it was not
)

// follow says whether m is the next entry after p. The zero place says nothing: any entry may be the first.
func (p place) follow(m meta) placeFault {
	switch {
	case p.seq == 0 || m.Epoch != p.epoch:
		return placeRight
	case m.Seq <= p.seq:
		return placeTwice
	case m.Prev != p.seq:
		return placeHole
	}
	return placeRight
}

func newSocket(at *url.URL, key string, p *person, reconnects func(error)) *socket {
	u := at.JoinPath("realtime/v1/websocket")
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	u.RawQuery = url.Values{"apikey": {key}, "vsn": {phoenix.V2.String()}}.Encode()
	return &socket{url: u.String(), person: p, reconnects: reconnects, channels: make(map[string]*channel)}
}

// Run stays connected until ctx ends. It returns an error only for what cannot get better by trying again.
func (s *socket) Run(ctx context.Context) error {
	for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, longestWait) {
		began := time.Now()
		err := s.connect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errHandshake) {
			s.giveUp(err)
			return err
		}
		if !errors.Is(err, errNotDialled) {
			s.reconnects(err)
		}
		if time.Since(began) > longestWait {
			wait = firstWait
		}
		sleep(ctx, jitter(wait))
	}
	return nil
}

var (
	// errHandshake: the server refuses the handshake, and will tomorrow.
	errHandshake  = errors.New("the sidecar refused the socket")
	errNotDialled = errors.New("no connection")
)

func (s *socket) connect(ctx context.Context) error {
	dialer := websocket.Dialer{HandshakeTimeout: writeTimeout, Proxy: http.ProxyFromEnvironment}
	conn, res, err := dialer.DialContext(ctx, s.url, nil)
	if err != nil {
		if res != nil {
			_ = res.Body.Close() // the library has read what it keeps
			if res.StatusCode/100 == 4 && res.StatusCode != http.StatusTooManyRequests {
				return advise(fmt.Errorf("%w with %d", errHandshake, res.StatusCode), "Does VIGIL_URL (or --vigil-url) name the sidecar, and is SUPABASE_PUBLISHABLE_KEY a key of its project?")
			}
		}
		return errNotDialled // the library's text has the URL, and so the key
	}
	conn.SetReadLimit(maxFrameBytes)
	out := make(chan []byte, outCapacity)
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the reader
	defer func() { stop(); _ = conn.Close() }()
	if err := s.rejoinAll(ctx, out, func() { _ = conn.Close() }); err != nil {
		return err
	}
	g.Go(func() error { return s.write(ctx, conn, out) })
	g.Go(func() error { return s.readAll(ctx, conn) })
	err = g.Wait()
	s.mu.Lock()
	s.out = nil
	s.mu.Unlock()
	return err
}

// write sends what is queued, heartbeats, and the joins that are due again.
func (s *socket) write(ctx context.Context, conn *websocket.Conn, out <-chan []byte) error {
	beat, check := time.NewTicker(heartbeatInterval), time.NewTicker(rejoinCheck)
	defer beat.Stop()
	defer check.Stop()
	access, err := s.person.token(ctx)
	if err != nil {
		return err
	}
	for {
		var frame []byte
		select {
		case <-ctx.Done():
			return ctx.Err()
		case frame = <-out:
		case <-check.C:
			if err := s.rejoinDue(ctx); err != nil {
				return err
			}
			continue
		case <-beat.C:
			fresh, err := s.person.token(ctx)
			if err != nil {
				return err
			}
			if fresh != access {
				access = fresh
				s.pushToken(access)
			}
			frame = phoenix.AppendText(nil, phoenix.V2, phoenix.Message{Ref: s.ref(), Topic: phoenix.TopicPhoenix, Event: phoenix.EventHeartbeat})
		}
		if err := errors.Join(conn.SetWriteDeadline(time.Now().Add(writeTimeout)), conn.WriteMessage(websocket.TextMessage, frame)); err != nil {
			return errors.New("the connection broke")
		}
	}
}

func (s *socket) readAll(ctx context.Context, conn *websocket.Conn) error {
	alive := func() error { return conn.SetReadDeadline(time.Now().Add(silence)) }
	pinged := conn.PingHandler()
	conn.SetPingHandler(func(data string) error { return errors.Join(alive(), pinged(data)) })
	for {
		if err := alive(); err != nil {
			return errors.New("the connection broke")
		}
		kind, raw, err := conn.ReadMessage()
		if err != nil {
			return errors.New("the connection broke")
		}
		if kind != websocket.TextMessage {
			continue // what other clients send in binary is not ours to count
		}
		m, err := phoenix.Decode(phoenix.V2, raw)
		if err != nil {
			return err
		}
		if err := s.handle(ctx, m, time.Now()); err != nil {
			return err
		}
	}
}

func (s *socket) ref() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nextRef()
}

// nextRef gives a new ref. The caller holds mu.
func (s *socket) nextRef() string {
	s.lastRef++
	return strconv.FormatUint(s.lastRef, 10)
}

// push queues a frame for the present connection. The caller holds mu.
func (s *socket) push(m phoenix.Message) {
	if s.out == nil {
		return
	}
	select {
	case s.out <- phoenix.AppendText(nil, phoenix.V2, m):
	default:
		s.out = nil
		s.drop()
	}
}

// join joins a topic and waits until live delivery has begun, ctx ends or the server has refused for good.
func (s *socket) join(ctx context.Context, topic string, hear hearer) error {
	access, err := s.person.token(ctx)
	if err != nil {
		return err
	}
	c := &channel{topic: topic, hear: hear, settled: make(chan struct{})}
	s.mu.Lock()
	s.channels[topic] = c
	s.pushJoin(c, access)
	s.mu.Unlock()
	select {
	case <-c.settled:
		s.mu.Lock()
		defer s.mu.Unlock()
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("join %s: %w", kindOf(topic), ctx.Err())
	}
}

// leave leaves a topic.
func (s *socket) leave(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.channels[topic]
	if !ok {
		return
	}
	delete(s.channels, topic)
	if c.ref != "" {
		s.push(phoenix.Message{JoinRef: c.ref, Ref: s.nextRef(), Topic: phoenix.TopicPrefix + topic, Event: phoenix.EventLeave})
	}
}

// kindOf is what a topic is about, without the id.
func kindOf(topic string) string {
	kind, _, _ := strings.Cut(topic, ":")
	return kind
}

// rejoinAll makes out the present connection and joins every topic on it.
func (s *socket) rejoinAll(ctx context.Context, out chan []byte, drop func()) error {
	access, err := s.person.token(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out, s.drop = out, drop
	for _, c := range s.channels {
		if c.err == nil {
			s.pushJoin(c, access)
		}
	}
	return nil
}

func (s *socket) rejoinDue(ctx context.Context) error {
	now := time.Now()
	s.mu.Lock()
	due := false
	for _, c := range s.channels {
		due = due || c.due(now)
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	access, err := s.person.token(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		if c.due(now) {
			s.pushJoin(c, access)
		}
	}
	return nil
}

func (c *channel) due(now time.Time) bool {
	return c.err == nil && !c.rejoinAt.IsZero() && now.After(c.rejoinAt)
}

// pushJoin asks to join. The caller holds mu.
func (s *socket) pushJoin(c *channel, access string) {
	c.ref, c.rejoinAt, c.asked = s.nextRef(), time.Time{}, c.cursor != ""
	cast := map[string]any{"ack": false, "self": false}
	if c.asked {
		cast["replay"] = map[string]any{"after": c.cursor}
	}
	payload, err := json.Marshal(map[string]any{
		"access_token": access,
		"config": map[string]any{
			"private": true, "broadcast": cast, "postgres_changes": []any{},
			"presence": map[string]any{"key": s.person.id.String(), "enabled": true},
		},
	})
	if err != nil { // of strings and booleans: cannot fail
		return
	}
	s.push(phoenix.Message{JoinRef: c.ref, Ref: c.ref, Topic: phoenix.TopicPrefix + c.topic, Event: phoenix.EventJoin, Payload: payload})
}

// pushToken tells every topic the new token.
func (s *socket) pushToken(access string) {
	payload := append(phoenix.AppendString([]byte(`{"access_token":`), access), '}')
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		if c.ref != "" {
			s.push(phoenix.Message{JoinRef: c.ref, Ref: s.nextRef(), Topic: phoenix.TopicPrefix + c.topic, Event: phoenix.EventAccessToken, Payload: payload})
		}
	}
}

// giveUp ends the waiting of every topic.
func (s *socket) giveUp(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		c.settle(err)
	}
}

// settle says that live delivery has begun, or never will. The caller holds the socket's mu.
func (c *channel) settle(err error) {
	if err != nil {
		c.err = err
	}
	if !c.done {
		c.done = true
		close(c.settled)
	}
}
