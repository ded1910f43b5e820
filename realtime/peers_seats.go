package realtime

import (
	"time"

	"slices"
)

// shareOf is what a room has besides, where there are other nodes. Guarded by the room.
type shareOf struct {
	name    string
	hash    roomHash
	settled bool   // other nodes had their time to say who is present there
	clock   uint64 // of the last change of this node's seats; 0: it has none
	seats   int    // of this node that are taken
	leftOut int    // seats of other nodes that found no room
	parts   map[string]*part
}

// part is what is known of another node's seats in a room.
type part struct {
	clock uint64 // as of which
	asked time.Time
	seats map[string]*seat // by ref
	pages *pages           // of a seating that is not whole yet
}

type pages struct {
	clock uint64
	next  int
	seats []wireSeat
}

// tell has other nodes know of a change of this node's seats. The caller holds mu.
func (r *room) tell(joins, leaves *seat) {
	if r.share == nil {
		return
	}
	l, d := r.hub.link, delta{Prev: r.share.clock}
	if joins != nil {
		d.Joins = []wireSeat{{joins.key, joins.ref, joins.meta}}
		r.share.seats++
	}
	if leaves != nil {
		d.Leaves = []string{leaves.ref}
		r.share.seats--
	}
	l.mu.Lock()
	l.clock++
	d.Clock = l.clock
	if r.share.clock = d.Clock; r.share.seats > 0 {
		l.own[r.share.hash] = d.Clock
	} else {
		r.share.clock = 0
		delete(l.own, r.share.hash)
	}
	left := l.left
	l.mu.Unlock()
	if !left {
		l.post(r.share.name, jsonFrame(peerDelta, d))
	}
}

// ownSeats gives this node's seats and the clock of their last change; 0: it has none.
func (r *room) ownSeats() ([]wireSeat, uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.share.clock == 0 {
		return nil, 0
	}
	seats := make([]wireSeat, 0, r.share.seats)
	for _, s := range r.members {
		if s.meta != nil {
			seats = append(seats, wireSeat{s.key, s.ref, s.meta})
		}
	}
	return seats, r.share.clock
}

// part gives what is known of a node here. The caller holds mu.
func (r *room) part(node string) *part {
	p := r.share.parts[node]
	if p == nil {
		p = &part{seats: map[string]*seat{}}
		r.share.parts[node] = p
		r.hub.link.placed(node, r.key, r.share.hash)
	}
	return p
}

// wants says whether a node may be asked now for its seats here. The caller holds mu.
func (p *part) wants() bool {
	now := time.Now()
	if now.Sub(p.asked) < askAgain {
		return false
	}
	p.asked = now
	return true
}

// takeDelta makes another node's change here. True: one before it was missed, so the node is to be asked.
func (r *room) takeDelta(node string, d delta) (ask bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.part(node)
	switch {
	case d.Clock <= p.clock: // known already
		return false
	case d.Prev == 0:
		r.replace(p, d.Joins)
	case d.Prev == p.clock:
		r.change(p, d.Joins, d.Leaves)
	default:
		return p.wants()
	}
	p.clock = d.Clock
	return false
}

// takeSeating takes a page of another node's seats here, and with the last makes them what it says.
func (r *room) takeSeating(node string, s seating) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.part(node)
	if s.Page == 0 {
		p.pages = &pages{clock: s.Clock}
	}
	got := p.pages
	if got == nil || got.clock != s.Clock || got.next != s.Page { // one was lost: the next roster has the rest asked for again
		p.pages = nil
		return
	}
	got.seats = append(got.seats, s.Seats...)
	got.next++
	if s.More && len(got.seats) <= r.hub.link.server.limits.PresenceMetas {
		return
	}
	if p.pages = nil; s.Clock > p.clock {
		r.replace(p, got.seats)
		p.clock = s.Clock
	}
}

// compare looks at how far a node was in this room when its clock stood at at; 0: it had no seats. True: something was
// missed, so the node is to be asked.
func (r *room) compare(node string, clock, at uint64) (ask bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.share.parts[node]
	switch {
	case p == nil && clock == 0:
		return false
	case p == nil:
		return r.part(node).wants()
	case p.clock > at: // we know more than the roster
		return false
	case clock == 0:
		r.replace(p, nil)
		p.clock = at
		return false
	}
	return p.clock != clock && p.wants()
}

// dropPart takes away all that is known of a node.
func (r *room) dropPart(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.share.parts[node]; p != nil {
		r.replace(p, nil)
		delete(r.share.parts, node)
	}
}

// replace makes a node's seats those, in one diff. The caller holds mu.
func (r *room) replace(p *part, seats []wireSeat) {
	stay := make(map[string]bool, len(seats))
	for _, s := range seats {
		stay[s.Ref] = true
	}
	var leaves []string
	for ref := range p.seats {
		if !stay[ref] {
			leaves = append(leaves, ref)
		}
	}
	r.change(p, seats, leaves)
}

// change takes seats of another node away and adds some, in one diff. The caller holds mu.
func (r *room) change(p *part, joins []wireSeat, leaves []string) {
	var came, went []*seat
	for _, ref := range leaves {
		s := p.seats[ref]
		if s == nil {
			continue
		}
		delete(p.seats, ref)
		if s.leftOut {
			r.share.leftOut--
			continue
		}
		r.unlist(s)
		went = append(went, s)
	}
	l := r.hub.link
	for _, w := range joins {
		switch {
		case p.seats[w.Ref] != nil:
			continue
		case len(p.seats) >= l.server.limits.PresenceMetas:
			l.leftOut.Add(1)
			continue
		}
		s := &seat{key: w.Key, ref: w.Ref, meta: w.Meta}
		p.seats[w.Ref] = s
		if !r.fits(s) {
			s.leftOut = true
			r.share.leftOut++
			l.leftOut.Add(1)
			continue
		}
		r.list(s)
		came = append(came, s)
	}
	if len(went) > 0 {
		came = append(came, r.readmit()...)
	}
	if len(came)+len(went) > 0 {
		r.diff(came, went)
	}
}

// fits says whether one more seat of another node may be listed. The caller holds mu.
func (r *room) fits(s *seat) bool {
	limits := r.hub.link.server.limits
	return r.metas < limits.PresenceMetas && r.bytes+s.stateBytes() <= limits.QueueBytes/ephemeralShare
}

// readmit lists seats that were left out, as far as there is room now. The caller holds mu and tells of them.
func (r *room) readmit() (came []*seat) {
	if r.share == nil || r.share.leftOut == 0 {
		return nil
	}
	for _, p := range r.share.parts {
		for _, s := range p.seats {
			if s.leftOut && r.fits(s) {
				s.leftOut = false
				r.share.leftOut--
				r.list(s)
				came = append(came, s)
			}
		}
	}
	return came
}

// settleShare tells everyone here who waits for it who is present. s is of the time when the other nodes were asked.
func (r *room) settleShare(s *shareOf) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.share != s || s.settled {
		return
	}
	s.settled = true
	for c, seat := range r.members {
		if seat.due {
			r.state(c, seat)
		}
	}
}

// list counts a seat among those that presence_state gives. The caller holds mu.
func (r *room) list(s *seat) {
	if r.presence == nil {
		r.presence = map[string][]*seat{}
	}
	r.presence[s.key] = append(r.presence[s.key], s)
	r.bytes += s.stateBytes()
	r.metas++
}

// unlist is its opposite.
func (r *room) unlist(s *seat) {
	kept := slices.DeleteFunc(r.presence[s.key], func(other *seat) bool { return other == s })
	if r.presence[s.key] = kept; len(kept) == 0 {
		delete(r.presence, s.key)
	}
	r.bytes -= s.stateBytes()
	r.metas--
}
