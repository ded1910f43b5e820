package realtime

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"

	"vigil/realtime/phoenix"
)

// seat is a channel's place in its room, or one that was taken on another node. Guarded by the room.
type seat struct {
	hears   bool // presence_state was sent, diffs follow
	owed    bool // there was no room for presence_state or for a diff: presence_state is due, and no diff before it
	due     bool // presence_state waits for what other nodes know of the room
	leftOut bool // of another node: beyond the limits, and not listed

	key   string
	ref   string
	plain json.RawMessage // what was tracked
	meta  json.RawMessage // the same with phx_ref; nil: nothing is tracked
}

// stateBytes is about what a meta adds to a presence_state: itself, its key, and {"metas":[]} around it.
func (s *seat) stateBytes() int {
	if s.meta == nil {
		return 0
	}
	return len(s.meta) + len(mustJSON(s.key)) + len(`:{"metas":[]},`)
}

// refMaker makes phx_refs that no other node and no earlier run makes.
type refMaker struct {
	node string
	last atomic.Uint64
}

const refNodeBytes = 5

func newRefMaker() *refMaker {
	node := make([]byte, refNodeBytes)
	_, _ = rand.Read(node) // never errs since Go 1.24
	return &refMaker{node: base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(node)}
}

func (r *refMaker) next() string { return r.node + strconv.FormatUint(r.last.Add(1), 36) }

func mayWatch(g Grant) bool { return g.PresenceReceive }

// The replies to a presence message that tracks nothing.
var (
	errNoMap     = fault{CodeInvalidPayload, "Presence track payload must be a map"}
	errNoEvent   = fault{CodeUnknownEvent, "Presence events are track and untrack"}
	errTooMany   = fault{CodePresenceLimitReached, "Too many presences on this topic"}
	errTooLarge  = fault{CodePayloadTooLarge, "Track message size exceeded"}
	errNoSending = fault{CodeUnauthorized, "You do not have permissions to send on this Channel topic"}
)

// presence handles one presence message of a channel; the fault is the reply's reason, nil is ok.
func (c *channel) presence(payload json.RawMessage) *fault {
	var p struct {
		Event   string          `json:"event"`
		Payload json.RawMessage `json:"payload"`
	}
	lenient(payload, &p)
	event := strings.ToLower(p.Event)
	if event != "track" && event != "untrack" {
		return &errNoEvent
	}
	if f := c.maySend(func(g Grant) bool { return g.PresenceSend }); f != nil {
		return f
	}
	if event == "untrack" {
		c.room.untrack(c)
		return nil
	}
	if len(p.Payload) > c.socket.server.limits.PresenceBytes {
		return &errTooLarge
	}
	plain, meta, ok := c.socket.server.metaOf(p.Payload)
	if !ok {
		return &errNoMap
	}
	return c.room.track(c, plain, meta)
}

// metaOf gives a tracked payload in one fixed form, and a maker of the same with a phx_ref. The client's own phx_ref, if
// it sent one, does not survive.
func (s *Server) metaOf(payload json.RawMessage) (plain json.RawMessage, meta func(ref string) json.RawMessage, ok bool) {
	fields := map[string]json.RawMessage{}
	if isNull(payload) || json.Unmarshal(payload, &fields) != nil {
		return nil, nil, false
	}
	delete(fields, "phx_ref")
	return mustJSON(fields), func(ref string) json.RawMessage {
		fields["phx_ref"] = mustJSON(ref)
		return mustJSON(fields)
	}, true
}

// track sets a channel's one meta. Tracking again replaces it: leave and join in one diff; the same payload is no change.
func (r *room) track(c *channel, plain json.RawMessage, meta func(string) json.RawMessage) *fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.members[c]
	if s == nil { // it left meanwhile
		return &errNoSending
	}
	if bytes.Equal(s.plain, plain) {
		return nil
	}
	before, limits, ref := *s, c.socket.server.limits, c.socket.server.refs.next()
	after := seat{key: c.config.key, ref: ref, plain: plain, meta: meta(ref)}
	bytes := r.bytes - before.stateBytes() + after.stateBytes()
	if before.meta == nil && r.metas >= limits.PresenceMetas || bytes > limits.QueueBytes/ephemeralShare {
		return &errTooMany
	}
	if watches := c.tracking(); watches && !s.hears {
		r.state(c, s)
	}
	s.key, s.ref, s.plain, s.meta = after.key, after.ref, after.plain, after.meta
	if before.meta == nil {
		r.list(s)
		r.tell(s, nil)
		r.diff([]*seat{s}, nil)
	} else {
		r.bytes = bytes
		r.tell(s, &before)
		r.diff([]*seat{s}, []*seat{&before})
	}
	return nil
}

// tracking notes that the channel takes part in presence, which tracking turns on, and says whether it may watch it.
func (c *channel) tracking() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tracked, c.config.presence = true, true
	return c.grant.PresenceReceive
}

func (r *room) untrack(c *channel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.members[c]; s != nil && s.meta != nil {
		r.unseat(s)
	}
}

// unseat takes a meta away and says so. The caller holds mu.
func (r *room) unseat(s *seat) {
	gone := *s
	r.unlist(s)
	s.key, s.ref, s.plain, s.meta = "", "", nil, nil
	r.tell(nil, &gone)
	r.diff(r.readmit(), []*seat{&gone})
}

type metaList struct {
	Metas []json.RawMessage `json:"metas"`
}

func listOf(seats []*seat) map[string]metaList {
	all := make(map[string]metaList, len(seats))
	for _, s := range seats {
		all[s.key] = metaList{Metas: append(all[s.key].Metas, s.meta)}
	}
	return all
}

// diff tells one change to every member that watches, or has it sent the whole state later. The caller holds mu.
func (r *room) diff(joins, leaves []*seat) {
	payload := mustJSON(map[string]any{"joins": listOf(joins), "leaves": listOf(leaves)})
	m := &shared{message: phoenix.Message{Topic: phoenix.TopicPrefix + r.key.topic, Event: phoenix.EventPresenceDiff, Payload: payload}}
	for c, s := range r.members {
		if s.hears && !c.deliver(m, passing, mayWatch) {
			r.owe(c, s)
		}
	}
}

// sendState sends presence_state, after which the channel gets every diff.
func (r *room) sendState(c *channel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.members[c]; s != nil {
		r.state(c, s)
	}
}

// settle sends presence_state if it is still owed.
func (r *room) settle(c *channel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.members[c]; s != nil && s.owed {
		r.state(c, s)
	}
}

// owe has presence_state sent as soon as the channel's socket has room. The caller holds mu.
func (r *room) owe(c *channel, s *seat) {
	s.hears, s.owed = false, true
	c.socket.owe(c)
}

// state sends presence_state, or owes it. Where other nodes have not said yet who is present, it waits for them: nobody is
// shown to be alone who is not. The caller holds mu.
func (r *room) state(c *channel, s *seat) {
	if s.due = r.share != nil && !r.share.settled; s.due {
		return
	}
	s.hears, s.owed = true, false
	all := make(map[string]metaList, len(r.presence))
	for key, seats := range r.presence {
		metas := make([]json.RawMessage, len(seats))
		for i, other := range seats {
			metas[i] = other.meta
		}
		all[key] = metaList{Metas: metas}
	}
	m := &shared{message: phoenix.Message{JoinRef: c.joinRef, Topic: c.wire, Event: phoenix.EventPresenceState,
		Payload: mustJSON(all)}}
	if !c.deliver(m, standing, mayWatch) {
		r.owe(c, s)
	}
}
