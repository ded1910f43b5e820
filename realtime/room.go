package realtime

import (
	"sync"

	"vigil/realtime/phoenix"
)

// roomKey names a room: private and public channels of one name are two.
type roomKey struct {
	topic   string
	private bool
}

// hub holds the rooms that have members. Lock order: hub.mu, then room.mu.
type hub struct {
	link *link // nil: there are no other nodes

	mu    sync.RWMutex
	rooms map[roomKey]*room
}

// room is everyone on this node who joined one topic.
type room struct {
	hub *hub
	key roomKey

	mu       sync.RWMutex
	members  map[*channel]*seat
	metas    int // tracked, here and on other nodes
	bytes    int // of a presence_state that lists them
	presence map[string][]*seat
	share    *shareOf // nil: there are no other nodes
}

func (h *hub) join(c *channel, key roomKey) *room {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[key]
	if r == nil {
		r = &room{hub: h, key: key, members: map[*channel]*seat{}}
		if h.link != nil {
			r.share = h.link.opened(key)
		}
		h.rooms[key] = r
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[c] = &seat{}
	return r
}

// leave takes a channel out, and its presence with it. A second call does nothing.
func (r *room) leave(c *channel) {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.members[c]
	if s == nil {
		return
	}
	delete(r.members, c)
	if s.meta != nil {
		r.unseat(s)
	}
	if len(r.members) == 0 {
		delete(r.hub.rooms, r.key)
		if r.share != nil {
			r.hub.link.closed(r.key, r.share)
		}
	}
}

func (h *hub) find(key roomKey) *room {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.rooms[key]
}

// publish hands a durable entry to every member, encoded once for each version.
func (r *room) publish(e *Entry) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m := &shared{message: broadcastOf(*e, false), entry: &entryFrame{entry: *e}}
	for c := range r.members {
		c.publish(e, m)
	}
}

// broadcast hands a client's broadcast to the members that may hear it and have room for it; to its sender only if it
// asked for that.
func (r *room) broadcast(from *channel, b phoenix.Broadcast) {
	m := &shared{}
	if b.Encoding == phoenix.Raw {
		m.raw = &phoenix.Broadcast{Topic: b.Topic, Event: b.Event, Encoding: phoenix.Raw, Payload: b.Payload}
	} else {
		p := make([]byte, 0, len(b.Payload)+len(b.Event)+48)
		p = phoenix.AppendString(append(p, `{"type":"broadcast","event":`...), b.Event)
		p = append(append(p, `,"payload":`...), b.Payload...)
		m.message = phoenix.Message{Topic: b.Topic, Event: phoenix.EventBroadcast, Payload: append(p, '}')}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for c := range r.members {
		if c != from || from.config.self {
			c.deliver(m, passing, mayHear) // at most once: not made good where there is no room
		}
	}
}
