package realtime

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/gorilla/websocket"

	"vigil/realtime/phoenix"
)

// reply queues a control frame. A client that lets too many pile up is closed.
func (s *socket) reply(m phoenix.Message) {
	if !s.queue.control(textFrame(s.version, m)) {
		s.cut()
	}
}

// urgent queues a frame that goes before all others.
func (s *socket) urgent(data []byte) {
	if !s.queue.first(data) {
		s.cut()
	}
}

// cut ends the socket without a word: its reader sees the closed connection.
func (s *socket) cut() {
	s.queue.shut()
	_ = s.conn.Close()
}

// finish lets the socket send what is queued, then closes it with code.
func (s *socket) finish(code int, reason string) {
	s.queue.finish(appendFrame(nil, websocket.CloseMessage, websocket.FormatCloseMessage(code, reason)))
}

// owe notes that a channel's presence_state is due, for the writer to send when there is room. The caller holds its room's
// lock.
func (s *socket) owe(c *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed[c] = struct{}{}
	s.queue.poke() // the writer may have made room before it could see this
}

// settle sends the presence_states that are owed, as far as there is room. Only the writer calls it.
func (s *socket) settle() {
	for s.queue.settles() {
		s.mu.Lock()
		var c *channel
		for c = range s.owed {
			delete(s.owed, c)
			break
		}
		s.mu.Unlock()
		if c == nil {
			return
		}
		c.room.settle(c)
	}
}

// overflow drops all channels of a socket whose queue is full of what is kept, so that they come back and replay. Its own
// goroutine does it: the caller holds locks.
func (s *socket) overflow() {
	if s.slow.Swap(true) {
		return
	}
	s.server.log.Warn("slow consumer dropped to recovery", logCode, string(CodeSlowConsumer))
	s.spawn(func() {
		defer s.slow.Store(false)
		for _, c := range s.all() {
			c.end(phoenix.EventError, fault{CodeSlowConsumer, "This client reads too slowly: join again and replay"})
		}
	})
}

// add registers a channel. False: the socket has too many.
func (s *socket) add(c *channel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
	if len(s.channels) >= s.server.limits.Channels {
		return false
	}
	s.channels[c.wire] = c
	return true
}

func (s *socket) drop(c *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channels[c.wire] == c {
		delete(s.channels, c.wire)
		if len(s.channels) == 0 {
			s.bare = time.Now()
		}
	}
	delete(s.owed, c)
}

func (s *socket) find(wire string) *channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.channels[wire]
}

func (s *socket) all() []*channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*channel, 0, len(s.channels))
	for _, c := range s.channels {
		all = append(all, c)
	}
	return all
}

// memoryOf gives what is kept of a topic, nil if there is no room for one more. The caller holds mu.
func (s *socket) memoryOf(wire string) *memory {
	m := s.memory[wire]
	if m == nil && len(s.memory) < s.server.limits.TopicsRemembered {
		m = &memory{}
		s.memory[wire] = m
	}
	return m
}

// denialDelay is the wait before the next error reply to a join of a topic. It doubles with each, since the client asks
// again for ever.
func (s *socket) denialDelay(wire string) time.Duration {
	t := s.server.timing
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memoryOf(wire)
	if m == nil {
		return t.DenialMost
	}
	delay := t.DenialFirst
	for range m.denials {
		if delay = 2 * delay; delay >= t.DenialMost {
			return t.DenialMost
		}
	}
	m.denials++
	return delay
}

func (s *socket) forgetDenials(wire string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memory[wire]
	if m == nil {
		return
	}
	if m.denials = 0; m.resume == nil {
		delete(s.memory, wire)
	}
}

// remember keeps where a durable channel ended, for the join that its phx_error asks for: everything that left the queue
// reaches the client before that phx_error does.
func (s *socket) remember(c *channel) {
	c.mu.Lock()
	keep, epoch := c.durable && c.started && c.state == closed && c.identity.UserID != "", c.epoch
	c.mu.Unlock()
	if !keep {
		return
	}
	sent, _ := s.queue.barrier(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.memoryOf(c.wire); m != nil {
		m.resume = &cursor{epoch, sent}
	}
}

// recall gives, once, where an earlier channel of the topic ended; nil if none did.
func (s *socket) recall(wire string) *cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memory[wire]
	if m == nil || m.resume == nil {
		return nil
	}
	at := m.resume
	m.resume = nil
	return at
}

// verified is the token that a socket showed last, and whom it speaks for.
type verified struct {
	token    tokenDigest
	identity Identity
}

// tokenDigest stands for a token that was seen: none is held longer than it takes to verify it.
type tokenDigest [sha256.Size]byte

func digestOf(token string) tokenDigest { return sha256.Sum256([]byte(token)) }

// verify says whom a token speaks for. A socket shows one token for all its channels: it is verified at the first, and stands
// for the others until it expires, as it does for a channel that has joined.
func (s *socket) verify(ctx context.Context, by time.Time, token string) (Identity, error) {
	digest := digestOf(token)
	if v := s.verified.Load(); v != nil && v.token == digest && time.Now().Before(v.identity.ExpiresAt) {
		return v.identity, nil
	}
	var id Identity
	err := s.server.decide(ctx, by, func(ctx context.Context) (err error) {
		id, err = s.server.config.Authenticate(ctx, token)
		return err
	})
	if err == nil {
		s.verified.Store(&verified{digest, id})
	}
	return id, err
}

func (s *socket) forget(wire string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.memory, wire)
}
