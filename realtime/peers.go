package realtime

import (
	"sync"
	"sync/atomic"
	"time"

	"vigil/realtime/phoenix"
)

// peers carries frames between the nodes that serve one set of topics: ephemeral, at most once, in no order between nodes.
// What one node sends reaches another in the order it was sent, as far as it does. All methods may be called at once.
type peers interface {
	// Node names this node; no other, and no earlier process of this one, ever had the name.
	Node() string
	// Subscribe hears what other nodes send to a room, until stop is called. heard is never called for what this node sent,
	// for one frame at a time, must not block, and must not keep data.
	Subscribe(room string, heard func(from string, data []byte)) (stop func(), err error)
	// Send hands a frame to the nodes that hear the room. It keeps nothing of data.
	Send(room string, data []byte) error
	// Lost gives a value when something may have been missed: the connection was made anew, or was too slow.
	Lost() <-chan struct{}
}

// broadcast hands a client's broadcast to everyone who may hear it. from is the channel that sent it; nil: it came by REST.
func (s *Server) broadcast(key roomKey, from *channel, b phoenix.Broadcast) {
	var r *room
	if from != nil {
		r = from.room
	} else {
		r = s.hub.find(key)
	}
	if r != nil {
		r.broadcast(from, b)
	}
	if s.hub.link != nil {
		s.hub.link.post(key.name(), broadcastFrame(b))
	}
}

// PeerStats is what a Server and the other nodes told each other since New.
type PeerStats struct {
	Nodes   int   // others that are there now
	Sent    int64 // frames
	Heard   int64 // frames
	Dropped int64 // frames that found no room, could not be sent or could not be read
	LeftOut int64 // presences of other nodes beyond Limits
}

const (
	beatEvery    = time.Second            // a node tells the others that it is there
	silence      = 5 * time.Second        // after which it is not
	settleWithin = 500 * time.Millisecond // a room waits for what other nodes know of it before it tells who is present
	askAgain     = 500 * time.Millisecond // for a node's seats in a room
	byeKept      = time.Minute            // what comes of a node after its bye is late
	postedBytes  = 8 << 20                // frames that wait to be sent
	posted       = 8192                   // bytes of the same
	askedRooms   = 500                    // in one question
	rosterRooms  = 4000                   // in one roster
	pageBytes    = 256 << 10              // of seats in one frame
)

// link joins the rooms of a Server to those of other nodes. Nothing of it waits for them: what is to be sent, asked and heard
// is noted, and one goroutine, begun by Run, does it.
//
// Each node owns its seats, and tells each change of them in the room, with a clock of its own; it repeats the clocks in its
// heartbeat. Whoever finds that it missed a change asks for all seats of that node in that room. So whatever is lost, what
// a node shows of another is right again within a roster's round (a heartbeat for each rosterRooms) of the last loss, or
// the other is silent and its seats leave.
//
// Lock order: hub.mu, room.mu, link.mu.
type link struct {
	server *Server
	hub    *hub
	peers  peers
	run    string        // names this Server among all that its node ever had
	wake   chan struct{} // capacity 1: there is something to do

	// Of the goroutine.
	subs  map[string]func() // what is subscribed, by room
	deaf  bool              // the last Subscribe failed
	asked time.Time         // everything, the last time

	sent, heard, dropped, leftOut atomic.Int64

	mu       sync.Mutex
	clock    uint64               // of the last change of this node's presence
	own      map[roomHash]uint64  // the rooms where it has seats: clocks of their last change
	rooms    map[roomHash]roomKey // that are open here
	changed  map[roomKey]struct{} // rooms that opened or closed: what is subscribed may have to change
	asks     map[string]askedOf   // to be sent, by node; everyoneRoom: to all
	opening  []*opening           // rooms that wait for answers, oldest first
	out      []post               // to be sent
	outBytes int                  // of these
	others   map[string]*other    // by node
	gone     map[string]time.Time // nodes that said bye, and when
	round    uint64               // of the last question to all
	slot     uint64               // of the last roster
	hello    bool                 // a node that is new should hear of us at once
	sure     time.Time            // from then on every node that is there was heard
	left     bool                 // we said bye
}

type askedOf map[string]struct{}

// post is a frame on its way to a room.
type post struct {
	room string
	data []byte
}

// opening is a room that waits for what other nodes know of it.
type opening struct {
	key   roomKey
	seats *shareOf
	round uint64 // of the question; 0: it was not sent yet
	until time.Time
}

func newLink(s *Server, h *hub, p peers) *link {
	return &link{server: s, hub: h, peers: p, run: s.refs.node, wake: make(chan struct{}, 1), subs: map[string]func(){},
		own: map[roomHash]uint64{}, rooms: map[roomHash]roomKey{}, others: map[string]*other{}, gone: map[string]time.Time{}}
}

// begin starts the goroutine. end sends what waits, stops it and waits until it has ended. A nil link does nothing.
func (l *link) begin() (end func()) {
	if l == nil {
		return func() {}
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { // end waits for it
		defer close(ended)
		l.serve(stop)
	}()
	return func() {
		close(stop)
		<-ended
	}
}

// node is what the others call this Server.
func (l *link) node() string { return nodeOf(l.peers.Node(), l.run) }

func nodeOf(from, run string) string { return from + "." + run }

// bye has the other nodes forget our presence at once: the sockets end now. A nil link does nothing.
func (l *link) bye() {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.left = true
	l.mu.Unlock()
	l.post(everyoneRoom, newPeerFrame(peerBye, 0))
}

func (l *link) serve(stop <-chan struct{}) {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	settle := time.NewTimer(0)
	defer settle.Stop()
	last := time.Now()
	l.mu.Lock()
	l.sure, l.hello = last.Add(2*beatEvery), true
	l.mu.Unlock()
	l.poke()
	for {
		select {
		case <-stop:
			l.flush()
			for room, unsubscribe := range l.subs {
				unsubscribe()
				delete(l.subs, room)
			}
			return
		case now := <-beat.C:
			l.flush()
			l.beat()
			if now.Sub(last) < silence/2 { // else it was us who stood still, and what they sent waits to be heard
				l.sweep(now)
			}
			last = now
		case <-l.peers.Lost():
			l.askEverything()
		case <-l.wake:
		case <-settle.C:
		}
		l.flush()
		if next, ok := l.settle(time.Now()); ok {
			settle.Reset(next)
		}
	}
}

// poke has the goroutine look for what there is to do.
func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// post has a frame sent. Where too much waits already it is dropped: broadcasts are at most once, and a change of presence
// that is missed is asked for.
func (l *link) post(room string, data []byte) {
	l.mu.Lock()
	full := len(l.out) >= posted || l.outBytes+len(data) > postedBytes
	if !full {
		l.out = append(l.out, post{room, data})
		l.outBytes += len(data)
	}
	l.mu.Unlock()
	if full {
		l.dropped.Add(1)
	}
	l.poke()
}

// opened gives what a new room needs to be one with those of other nodes. The caller holds hub.mu.
func (l *link) opened(key roomKey) *shareOf {
	name := key.name()
	s := &shareOf{name: name, hash: hashOf(name), parts: map[string]*part{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rooms[s.hash] = key
	l.change(key)
	l.opening = append(l.opening, &opening{key: key, seats: s})
	l.ask(everyoneRoom, name)
	return s
}

// closed forgets a room whose last member left. The caller holds hub.mu and room.mu.
func (l *link) closed(key roomKey, s *shareOf) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.rooms, s.hash)
	l.change(key)
	for node := range s.parts {
		if o := l.others[node]; o != nil {
			delete(o.rooms, s.hash)
		}
	}
	l.poke()
}

// change notes that a room opened or closed. The caller holds mu.
func (l *link) change(key roomKey) {
	if l.changed == nil {
		l.changed = map[roomKey]struct{}{}
	}
	l.changed[key] = struct{}{}
}

// ask has a node asked for its seats in a room. The caller holds mu.
func (l *link) ask(node, room string) {
	if l.asks == nil {
		l.asks = map[string]askedOf{}
	}
	if l.asks[node] == nil {
		l.asks[node] = askedOf{}
	}
	l.asks[node][room] = struct{}{}
	l.poke()
}

// askEverything has every node asked for its seats in every room that is open here, and told how far ours are. Rosters do the
// same more slowly, so it is not done again at once: the answers may be what came too fast.
func (l *link) askEverything() {
	l.beat()
	now := time.Now()
	if now.Sub(l.asked) < silence {
		return
	}
	l.asked = now
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range l.rooms {
		l.ask(everyoneRoom, key.name())
	}
}

// flush does what was noted: first what is to be heard, so that no answer is missed, then what is to be sent.
func (l *link) flush() {
	l.mu.Lock()
	changed, asks, out, hello := l.changed, l.asks, l.out, l.hello
	l.changed, l.asks = nil, nil
	l.out, l.outBytes, l.hello = nil, 0, false
	l.mu.Unlock()
	l.hear(everyoneRoom, nil)
	l.hear(inboxOf(l.node()), nil)
	for key := range changed {
		if l.hub.find(key) == nil {
			l.unhear(key.name())
		} else if !l.hear(key.name(), &key) {
			l.mu.Lock()
			l.change(key) // tried again at the next beat, at the latest
			l.mu.Unlock()
		}
	}
	for _, f := range out {
		l.send(f.room, f.data)
	}
	if hello {
		l.beat()
	}
	for node, rooms := range asks {
		l.sendQuestions(node, rooms)
	}
}

// hear subscribes to a room if that is not done yet. key is nil for the rooms that are no topic's.
func (l *link) hear(room string, key *roomKey) bool {
	if l.subs[room] != nil {
		return true
	}
	stop, err := l.peers.Subscribe(room, func(from string, data []byte) { l.take(key, from, data) })
	if err != nil {
		if !l.deaf {
			l.server.log.Warn("other nodes cannot be heard, trying again", logError, err)
		}
		l.deaf = true
		return false
	}
	l.subs[room], l.deaf = stop, false
	return true
}

func (l *link) unhear(room string) {
	if stop := l.subs[room]; stop != nil {
		stop()
		delete(l.subs, room)
	}
}

func (l *link) send(room string, data []byte) {
	stamp(data, l.run)
	if err := l.peers.Send(room, data); err != nil {
		l.dropped.Add(1)
		l.server.log.Debug("frame for other nodes was dropped", logError, err)
		return
	}
	l.sent.Add(1)
}

// sendQuestions asks one node, or all, for its seats in rooms. Rooms that are opening then wait for the answers.
func (l *link) sendQuestions(node string, rooms askedOf) {
	q, to := question{}, everyoneRoom
	if node != everyoneRoom {
		to = inboxOf(node)
	}
	ask := func() {
		if node == everyoneRoom {
			l.mu.Lock()
			l.round++
			q.Round = l.round
			l.mu.Unlock()
		}
		l.send(to, jsonFrame(peerAsk, q))
		q.Rooms = q.Rooms[:0]
	}
	for room := range rooms {
		if q.Rooms = append(q.Rooms, room); len(q.Rooms) == askedRooms {
			ask()
		}
	}
	if len(q.Rooms) > 0 {
		ask()
	}
	if node != everyoneRoom {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.opening {
		if _, asked := rooms[o.key.name()]; asked && o.round == 0 {
			o.round, o.until = l.round, time.Now().Add(settleWithin)
		}
	}
}

// settle lets rooms tell who is present once every node has answered, or taken too long. It gives how long the next may take.
func (l *link) settle(now time.Time) (next time.Duration, waiting bool) {
	l.mu.Lock()
	heard := l.round
	for _, o := range l.others {
		heard = min(heard, o.answered)
	}
	if now.Before(l.sure) {
		heard = 0
	}
	var ready []*opening
	waits := l.opening[:0]
	for _, o := range l.opening {
		if o.round > 0 && (o.round <= heard || !now.Before(o.until)) {
			ready = append(ready, o)
			continue
		}
		waits = append(waits, o)
		if o.round > 0 && (!waiting || o.until.Sub(now) < next) {
			next, waiting = o.until.Sub(now), true
		}
	}
	clear(l.opening[len(waits):])
	if l.opening = waits; len(waits) == 0 {
		l.opening = nil
	}
	l.mu.Unlock()
	for _, o := range ready {
		if r := l.hub.find(o.key); r != nil {
			r.settleShare(o.seats)
		}
	}
	return next, waiting
}
