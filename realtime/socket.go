package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"vigil/realtime/phoenix"
)

// closeWithin is how long a client may take to answer our close frame.
const closeWithin = time.Second

// socket is one WebSocket: a reader (serve's goroutine), and, while they have work, a writer and the goroutines of its
// channels. serve returns when all have ended.
type socket struct {
	server  *Server
	conn    *websocket.Conn
	version phoenix.Version
	queue   *queue
	from    *place
	ending  atomic.Bool // our close frame is on its way; the read deadline is not moved any more
	slow    atomic.Bool // its channels are being dropped

	verified atomic.Pointer[verified] // nil: no token was verified yet

	workMu sync.Mutex
	work   sync.WaitGroup
	gone   bool // nothing more is started
	pings  *time.Timer

	mu       sync.Mutex // taken after a channel's
	channels map[string]*channel
	memory   map[string]*memory    // by topic; at most Limits.TopicsRemembered
	owed     map[*channel]struct{} // those whose presence_state waits for room
	person   *account              // whose socket it is; nil: nobody has shown a token yet
	bare     time.Time             // since when there is no channel, if there is none
	asked    bool                  // for a channel, whether or not it was given

	buckets
}

// memory is what a socket keeps of a topic between joins.
type memory struct {
	denials int
	resume  *cursor // of a channel that ended with phx_error: the next join goes on there
}

// spawn runs f in a goroutine that serve waits for; not once serve has begun to end.
func (s *socket) spawn(f func()) {
	s.workMu.Lock()
	defer s.workMu.Unlock()
	if !s.gone {
		s.work.Go(f)
	}
}

// serve reads until the socket ends, and returns when everything of it has.
func (s *socket) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		s.finished()
	}()
	s.workMu.Lock()
	s.pings = time.AfterFunc(s.server.timing.Ping, s.ping)
	s.workMu.Unlock()
	first := time.AfterFunc(s.server.timing.FirstJoinWithin, func() { s.endUnused() })
	defer first.Stop()
	s.read(ctx)
}

// finished ends what the socket has begun, and waits for it.
func (s *socket) finished() {
	for _, c := range s.all() {
		c.close()
	}
	s.queue.shut()
	_ = s.conn.Close() // the client is gone or was told; nothing to do about an error
	s.workMu.Lock()
	s.gone = true
	s.pings.Stop()
	s.workMu.Unlock()
	s.work.Wait()
	s.disown()
}

func (s *socket) read(ctx context.Context) {
	s.conn.SetReadLimit(s.server.limits.FrameBytes)
	alive := func(string) error {
		if s.ending.Load() {
			return nil
		}
		err := s.conn.SetReadDeadline(time.Now().Add(s.server.timing.Idle))
		if s.ending.Load() { // the writer's shorter deadline must stand
			err = s.conn.SetReadDeadline(time.Now().Add(closeWithin))
		}
		return err
	}
	s.conn.SetPongHandler(alive)
	s.conn.SetPingHandler(func(data string) error {
		s.urgent(appendFrame(nil, websocket.PongMessage, []byte(data)))
		return alive("")
	})
	s.conn.SetCloseHandler(func(code int, _ string) error {
		if s.ending.Load() {
			return nil
		}
		answer := websocket.FormatCloseMessage(code, "")
		return s.conn.WriteControl(websocket.CloseMessage, answer, time.Now().Add(closeWithin))
	})
	for alive("") == nil {
		kind, data, err := s.conn.ReadMessage()
		if err != nil {
			s.ended(ctx, err)
			return
		}
		if ctx.Err() != nil {
			return
		}
		apart(func() { s.receive(ctx, kind, data) })
	}
}

// apart runs f on a goroutine of its own and waits for it; a panic is the caller's. What f needs of a stack is then given
// back, and a reader, which mostly waits, keeps a small one: 4 KB less of 21 for an idle socket, for less than 1 µs a frame.
func apart(f func()) {
	done := make(chan any)
	go func() {
		defer func() { done <- recover() }()
		f()
	}()
	if v := <-done; v != nil {
		panic(v)
	}
}

func (s *socket) ended(ctx context.Context, err error) {
	var timeout net.Error
	reason := "closed"
	switch {
	case errors.Is(err, websocket.ErrReadLimit):
		reason = "frame too large"
	case errors.As(err, &timeout) && timeout.Timeout():
		reason = "idle"
	}
	s.server.log.DebugContext(ctx, "socket ended", logReason, reason)
}

// endUnused closes a socket that nobody uses, and says whether it did.
func (s *socket) endUnused() bool {
	if !s.unused() {
		return false
	}
	s.finish(closeNoChannel, "no channel")
	return true
}

// ping asks for a sign of life, again and again until the socket has ended.
func (s *socket) ping() {
	if s.endUnused() {
		return
	}
	s.urgent(appendFrame(nil, websocket.PingMessage, nil))
	s.workMu.Lock()
	defer s.workMu.Unlock()
	if !s.gone {
		s.pings.Reset(s.server.timing.Ping)
	}
}

// startWriter is what the queue calls when there is something to write and nobody who writes: an idle socket has no writer.
func (s *socket) startWriter() { s.spawn(s.write) }

// write sends what is queued, until nothing is, the queue ends, or a write does not get through.
func (s *socket) write() {
	for {
		ended, err := s.flush()
		if err != nil { // a peer that does not read for Timing.Write, or is gone
			s.cut()
			return
		}
		s.settle()
		if ended {
			s.ending.Store(true)
			_ = s.conn.SetReadDeadline(time.Now().Add(closeWithin))
			return
		}
		if s.queue.rest() {
			return
		}
	}
}

// writeBuffers holds *[]byte, so that a socket that is idle keeps none.
var writeBuffers sync.Pool

// flush writes one batch of the queue.
func (s *socket) flush() (ended bool, err error) {
	buf, ok := writeBuffers.Get().(*[]byte)
	if !ok {
		b := make([]byte, 0, joinedBytes)
		buf = &b
	}
	defer writeBuffers.Put(buf)
	data, entries, ended := s.queue.pop((*buf)[:0], nil)
	if cap(data) <= 2*joinedBytes {
		*buf = data
	}
	if len(data) == 0 {
		return ended, nil
	}
	conn := s.conn.NetConn()
	if err := conn.SetWriteDeadline(time.Now().Add(s.server.timing.Write)); err != nil {
		return ended, err
	}
	if _, err := conn.Write(data); err != nil {
		return ended, err
	}
	for _, e := range entries {
		if s.server.config.OnFrame != nil && e.written.CompareAndSwap(false, true) {
			s.server.config.OnFrame(e.entry)
		}
	}
	return ended, nil
}

// receive handles one frame. A malformed one is dropped and the connection kept, as at the reference server; a push of which it can be
// told whose it is, is answered.
func (s *socket) receive(ctx context.Context, kind int, data []byte) {
	if kind == websocket.BinaryMessage {
		b, err := phoenix.DecodePush(data)
		to := phoenix.Message{JoinRef: b.JoinRef, Ref: b.Ref, Topic: b.Topic, Event: phoenix.EventBroadcast}
		if err == nil && s.version == phoenix.V2 {
			s.broadcast(to, b)
			return
		}
		s.server.malformed(ctx)
		if to.Topic != "" && to.Ref != "" { // somebody may wait for an answer
			s.reply(phoenix.Refuse(to, fault{CodeInvalidPayload, "The broadcast cannot be read"}.String()))
		}
		return
	}
	m, err := phoenix.Decode(s.version, data)
	if err != nil {
		s.server.malformed(ctx)
		return
	}
	switch {
	case m.Topic == phoenix.TopicPhoenix && m.Event == phoenix.EventHeartbeat:
		s.urgent(textFrame(s.version, phoenix.Reply(m, true, nil)))
	case m.Event == phoenix.EventJoin:
		s.join(ctx, m)
	default:
		s.push(m)
	}
}

// push handles a message to a channel that is joined.
func (s *socket) push(m phoenix.Message) {
	c := s.find(m.Topic)
	if c == nil {
		s.unmatched(m)
		return
	}
	switch m.Event {
	case phoenix.EventLeave:
		s.forget(m.Topic)
		c.close()
		s.reply(phoenix.Reply(m, true, nil))
		s.reply(phoenix.End(c.wire, phoenix.EventClose, c.joinRef))
	case phoenix.EventAccessToken:
		var p struct {
			Token json.RawMessage `json:"access_token"`
		}
		lenient(m.Payload, &p)
		c.show(readToken(p.Token))
	case phoenix.EventBroadcast:
		var p struct {
			Event   string          `json:"event"`
			Payload json.RawMessage `json:"payload"`
			Meta    json.RawMessage `json:"meta"`
		}
		lenient(m.Payload, &p)
		if isNull(p.Payload) {
			p.Payload = json.RawMessage("{}")
		}
		s.broadcast(m, phoenix.Broadcast{Topic: m.Topic, Event: p.Event, Meta: p.Meta, Encoding: phoenix.JSON, Payload: p.Payload})
	case phoenix.EventPresence:
		if person := s.owner(); !s.buckets.presence.Allow() || person != nil && !person.presence.Allow() {
			s.answer(m, &errTooOften)
			return
		}
		s.answer(m, c.presence(m.Payload))
	default:
		s.reply(phoenix.Refuse(m, fault{CodeUnknownEvent, "This server does not serve the event"}.String()))
	}
}

// unmatched answers a push on a topic that is not joined here. A client that holds it for joined is told that it is not, so that it
// joins again; one that knows better has another join by now, and does not listen.
func (s *socket) unmatched(m phoenix.Message) {
	s.reply(phoenix.Refuse(m, string(CodeUnmatchedTopic)))
	if m.JoinRef != "" && m.Event != phoenix.EventLeave {
		s.reply(phoenix.End(m.Topic, phoenix.EventError, m.JoinRef))
	}
}

func (s *socket) answer(m phoenix.Message, f *fault) {
	if f != nil {
		s.reply(phoenix.Refuse(m, f.String()))
		return
	}
	s.reply(phoenix.Reply(m, true, nil))
}

// errTooOften is the reply to a push above the rate of the socket or of its person. It changes nothing.
var errTooOften = fault{CodeMessageRateLimit, "Too many messages per second"}

// What a client's broadcast is refused for, whichever way it came.
var (
	errNoName  = fault{CodeInvalidPayload, "A broadcast needs an event"}
	errPayload = fault{CodePayloadTooLarge, "payload_size_exceeded"}
	errPersist = fault{CodePersistUnsupported, "Broadcasts of clients are not stored"}
	errPublic  = fault{CodePrivateOnly, "This server only allows private channels"}
	errPrivate = fault{CodePrivateOnly, "pass { config: { private: true } }"}
	errNoTopic = fault{CodeTopicNameRequired, "You must provide a topic name"}
)

// broadcast fans a client's broadcast out. Refused: an error, asked for or not. Done: ok, if the join asked for acks.
func (s *socket) broadcast(m phoenix.Message, b phoenix.Broadcast) {
	c := s.find(m.Topic)
	if c == nil {
		s.unmatched(m)
		return
	}
	var meta struct {
		Persist json.RawMessage `json:"persist"`
	}
	lenient(b.Meta, &meta)
	person := s.owner()
	switch {
	case !s.broadcasts.Allow() || person != nil && !person.broadcasts.Allow():
		s.answer(m, &errTooOften)
	case b.Event == "":
		s.answer(m, &errNoName)
	case len(b.Payload) > s.server.limits.BroadcastBytes:
		s.answer(m, &errPayload)
	case !isNull(meta.Persist):
		s.answer(m, &errPersist)
	default:
		if f := c.maySend(func(g Grant) bool { return g.BroadcastSend }); f != nil {
			s.answer(m, f)
			return
		}
		s.server.broadcast(c.room.key, c, b)
		if c.config.ack {
			s.answer(m, nil)
		}
	}
}

// join makes a channel. What is decided at once is answered here, the rest by the channel's goroutine.
func (s *socket) join(ctx context.Context, m phoenix.Message) {
	topic, prefixed := strings.CutPrefix(m.Topic, phoenix.TopicPrefix)
	if old := s.find(m.Topic); old != nil && old.close() {
		s.reply(phoenix.End(old.wire, phoenix.EventClose, old.joinRef))
	}
	config := parseJoin(m.Payload)
	durable := s.server.config.Durable != nil && s.server.config.Durable(topic)
	var refused *fault
	switch {
	case !prefixed || topic == "":
		refused = &errNoTopic
	case !s.joins.Allow():
		refused = &errJoinsTooOften
	case s.server.draining():
		refused = &errRestarting
	case durable && !config.private:
		refused = &errPrivate
	case !config.private && !s.server.config.AllowPublic:
		refused = &errPublic
	case config.changes > 0:
		refused = &fault{CodePostgresChanges, "postgres_changes is not served here: listen to broadcasts"}
	}
	c := &channel{socket: s, wire: m.Topic, topic: topic, joinRef: m.JoinRef, join: m, config: config, began: time.Now(),
		durable: durable, working: true, parent: ctx}
	c.join.Payload = nil
	c.room = s.server.hub.join(c, roomKey{topic, config.private})
	if !s.add(c) {
		c.room.leave(c)
		s.reply(phoenix.Refuse(m, fault{CodeChannelRateLimitReached, "Too many channels"}.String()))
		return
	}
	first := c.begin
	if refused != nil {
		first = func(ctx context.Context) { c.refuse(ctx, *refused) }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start(first)
}

// show gives a channel a token that was pushed; none and the one it has are ignored.
func (c *channel) show(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token == "" || !c.config.private || digestOf(token) == c.token {
		return
	}
	if c.state == awaiting && c.expiry != nil {
		c.expiry.Stop()
	}
	c.nextToken = token
	c.kick()
}
