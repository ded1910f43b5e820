package realtime

import (
	"time"

	"vigil/realtime/phoenix"
)

// other is another node: a Server that runs elsewhere.
type other struct {
	last     time.Time            // anything of it was heard
	answered uint64               // the last round that it answered, or need not
	rooms    map[roomHash]roomKey // open here, and it has or had seats there
}

// take handles a frame of another node. key is the room it came in; nil: it came to every node, or to this one.
func (l *link) take(key *roomKey, from string, data []byte) {
	f, err := parsePeerFrame(data)
	if err != nil {
		l.dropped.Add(1)
		return
	}
	from = nodeOf(from, f.run)
	if from == l.node() { // our own, sent again by somebody
		l.dropped.Add(1)
		return
	}
	l.heard.Add(1)
	if key != nil && f.kind == peerBroadcast {
		if r := l.hub.find(*key); r != nil {
			f.broadcast.Topic = phoenix.TopicPrefix + key.topic
			r.broadcast(nil, f.broadcast)
		}
	}
	if f.kind == peerBye && key == nil {
		l.forget(from, true)
		return
	}
	if !l.alive(from) {
		return
	}
	switch {
	case key != nil && f.kind == peerDelta:
		if r := l.hub.find(*key); r != nil && r.takeDelta(from, f.delta) {
			l.askOne(from, key.name())
		}
	case key != nil:
	case f.kind == peerState:
		if at, ok := parseRoom(f.seating.Room); ok {
			if r := l.hub.find(at); r != nil {
				r.takeSeating(from, f.seating)
			}
		}
	case f.kind == peerAsk:
		l.answer(from, f.question)
	case f.kind == peerAnswered:
		l.mu.Lock()
		if o := l.others[from]; o != nil {
			o.answered = max(o.answered, f.answered.Round)
		}
		l.mu.Unlock()
		l.poke()
	case f.kind == peerRoster:
		l.compare(from, f.roster)
	}
}

// alive notes a sign of life. False: the node said bye, and this is late.
func (l *link) alive(node string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, gone := l.gone[node]; gone {
		return false
	}
	l.other(node).last = time.Now()
	return true
}

// other gives what is known of a node, which is now if it was not. The caller holds mu.
func (l *link) other(node string) *other {
	o := l.others[node]
	if o == nil {
		o = &other{last: time.Now(), answered: l.round, rooms: map[roomHash]roomKey{}}
		l.others[node] = o
		l.hello = true
		l.poke()
	}
	return o
}

// placed notes that a node may have seats in a room, so that they leave when it does. The caller holds the room's lock.
func (l *link) placed(node string, key roomKey, hash roomHash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.other(node).rooms[hash] = key
}

func (l *link) askOne(node, room string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ask(node, room)
}

// beat tells the others that we are there, and how far our rooms are.
func (l *link) beat() {
	l.mu.Lock()
	if l.left {
		l.mu.Unlock()
		return
	}
	r := roster{At: l.clock, Slots: 1}
	for uint64(len(l.own)) > r.Slots*rosterRooms {
		r.Slots *= 2
	}
	l.slot++
	r.Slot = l.slot % r.Slots
	r.Clocks = make(map[roomHash]uint64, uint64(len(l.own))/r.Slots)
	for h, clock := range l.own {
		if r.covers(h) {
			r.Clocks[h] = clock
		}
	}
	l.mu.Unlock()
	l.send(everyoneRoom, rosterFrame(r))
}

// compare looks for what we missed of a node.
func (l *link) compare(from string, r roster) {
	rooms := map[roomHash]roomKey{}
	l.mu.Lock()
	for h := range r.Clocks {
		if key, open := l.rooms[h]; open && r.covers(h) {
			rooms[h] = key
		}
	}
	if o := l.others[from]; o != nil {
		for h, key := range o.rooms {
			if r.covers(h) {
				rooms[h] = key
			}
		}
	}
	l.mu.Unlock()
	for h, key := range rooms {
		if here := l.hub.find(key); here != nil && here.compare(from, r.Clocks[h], r.At) {
			l.askOne(from, key.name())
		}
	}
}

// sweep forgets nodes that are silent.
func (l *link) sweep(now time.Time) {
	var silent []string
	l.mu.Lock()
	for node, o := range l.others {
		if now.Sub(o.last) >= silence {
			silent = append(silent, node)
		}
	}
	for node, at := range l.gone {
		if now.Sub(at) > byeKept {
			delete(l.gone, node)
		}
	}
	l.mu.Unlock()
	for _, node := range silent {
		l.forget(node, false)
	}
}

// forget takes a node's seats away. For good: it said bye, and does not come back under its name.
func (l *link) forget(node string, forGood bool) {
	l.mu.Lock()
	o := l.others[node]
	delete(l.others, node)
	if forGood {
		l.gone[node] = time.Now()
	}
	l.mu.Unlock()
	l.poke() // rooms may have waited for its answer
	if o == nil {
		return
	}
	l.server.log.Info("another node is gone", logCount, len(o.rooms))
	for _, key := range o.rooms {
		if r := l.hub.find(key); r != nil {
			r.dropPart(node)
		}
	}
}

// answer sends our seats in the rooms that another node asks about.
func (l *link) answer(to string, q question) {
	for _, name := range q.Rooms {
		key, ok := parseRoom(name)
		if !ok {
			continue
		}
		l.mu.Lock()
		at := l.clock // before we look: what changes after it has a later clock
		left := l.left
		l.mu.Unlock()
		if left {
			return
		}
		var seats []wireSeat
		if r := l.hub.find(key); r != nil {
			if mine, clock := r.ownSeats(); clock > 0 {
				seats, at = mine, clock
			}
		}
		if len(seats) > 0 || q.Round == 0 {
			l.postSeating(inboxOf(to), name, at, seats)
		}
	}
	if q.Round > 0 {
		l.post(inboxOf(to), jsonFrame(peerAnswered, answered{q.Round}))
	}
}

// postSeating sends all seats of a room, in pages.
func (l *link) postSeating(to, room string, at uint64, seats []wireSeat) {
	for page := 0; ; page++ {
		n, bytes := 0, 0
		for n < len(seats) && (n == 0 || bytes < pageBytes) {
			bytes += len(seats[n].Meta) + len(seats[n].Key) + len(seats[n].Ref)
			n++
		}
		s := seating{Room: room, Clock: at, Page: page, More: n < len(seats), Seats: seats[:n]}
		l.post(to, jsonFrame(peerState, s))
		if seats = seats[n:]; !s.More {
			return
		}
	}
}

func (l *link) stats() PeerStats {
	if l == nil {
		return PeerStats{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return PeerStats{Nodes: len(l.others), Sent: l.sent.Load(), Heard: l.heard.Load(), Dropped: l.dropped.Load(), LeftOut: l.leftOut.Load()}
}
