package realtime

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// elsewhere is a room of one node, and what arrives there of others.
type elsewhere struct {
	t    *testing.T
	link *link
	room *room
}

func newElsewhere(t *testing.T) elsewhere {
	t.Helper()
	s := New(Config{Peers: quiet{make(chan []byte, 100)}})
	return elsewhere{t, s.hub.link, s.hub.join(&channel{}, roomKey{"a", true})}
}

func seatsOf(refs string) (seats []wireSeat) {
	for _, ref := range strings.Fields(refs) {
		seats = append(seats, wireSeat{"k", ref, json.RawMessage(fmt.Sprintf(`{"phx_ref":%q}`, ref))})
	}
	return seats
}

// take hands the link a frame of the node from.
func (e elsewhere) take(from string, key *roomKey, frame []byte) {
	stamp(frame, "OTHERRUN")
	e.link.take(key, from, frame)
}

func (e elsewhere) delta(clock, prev uint64, joins, leaves string) {
	e.take("other", &e.room.key, jsonFrame(peerDelta, delta{clock, prev, seatsOf(joins), strings.Fields(leaves)}))
}

func (e elsewhere) seating(clock uint64, page int, more bool, refs string) {
	e.take("other", nil, jsonFrame(peerState, seating{"p:a", clock, page, more, seatsOf(refs)}))
}

func (e elsewhere) roster(at, clock uint64) {
	r := roster{At: at, Slots: 1, Clocks: map[roomHash]uint64{hashOf("p:a"): clock}}
	if clock == 0 {
		clear(r.Clocks)
	}
	e.take("other", nil, rosterFrame(r))
}

func (e elsewhere) shows(want string) {
	e.t.Helper()
	var refs []string
	for _, s := range e.room.presence["k"] {
		refs = append(refs, s.ref)
	}
	slices.Sort(refs)
	if got := strings.Join(refs, " "); got != want || e.room.metas != len(refs) {
		e.t.Errorf("%q is shown (%d counted), want %q", got, e.room.metas, want)
	}
}

// asks says whether the node was to be asked since the last time, and lets it be asked again.
func (e elsewhere) asks(want bool) {
	e.t.Helper()
	node := nodeOf("other", "OTHERRUN")
	if _, got := e.link.asks[node]["p:a"]; got != want {
		e.t.Errorf("asked: %v, want %v", got, want)
	}
	delete(e.link.asks, node)
	if p := e.room.share.parts[node]; p != nil {
		p.asked = time.Time{}
	}
}

// TestFramesOutOfOrderChangeNothingForTheWorse: a transport that reorders, or keeps frames of old, does no lasting harm.
func TestFramesOutOfOrderChangeNothingForTheWorse(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(e elsewhere){
		"a change that was made already": func(e elsewhere) {
			e.delta(1, 0, "A", "")
			e.delta(2, 1, "B", "A")
			e.delta(1, 0, "A", "")
			e.shows("B")
			e.asks(false)
		},
		"a change after one that was missed": func(e elsewhere) {
			e.delta(1, 0, "A", "")
			e.delta(5, 3, "C", "")
			e.shows("A")
			e.asks(true)
			e.seating(5, 0, false, "A B C")
			e.shows("A B C")
			e.delta(3, 1, "B", "")
			e.shows("A B C")
			e.asks(false)
		},
		"an answer that was overtaken": func(e elsewhere) {
			e.delta(1, 0, "A", "")
			e.delta(2, 1, "", "A")
			e.seating(1, 0, false, "A")
			e.shows("")
		},
		"a room that was left unheard and taken again": func(e elsewhere) {
			e.delta(1, 0, "A", "")
			e.delta(4, 0, "B", "") // 3 was the leave of A
			e.shows("B")
			e.asks(false)
		},
		"a roster that was overtaken": func(e elsewhere) {
			e.delta(1, 0, "A", "")
			e.delta(7, 1, "B", "")
			e.roster(6, 1)
			e.asks(false)
			e.roster(6, 0)
			e.shows("A B")
		},
		"a roster without the room": func(e elsewhere) {
			e.delta(1, 0, "A", "")
			e.roster(6, 0)
			e.shows("")
			e.delta(5, 1, "B", "") // before the roster
			e.shows("")
			e.delta(8, 0, "C", "")
			e.shows("C")
		},
		"a roster that knows more": func(e elsewhere) {
			e.delta(1, 0, "A", "")
			e.roster(6, 6)
			e.shows("A")
			e.asks(true)
			e.roster(6, 6)
			e.asks(true)
			e.roster(6, 6)
			e.roster(6, 6)
			e.asks(true) // once, however often it is told within a while
		},
		"pages": func(e elsewhere) {
			e.seating(3, 0, true, "A B")
			e.shows("")
			e.seating(3, 1, false, "C")
			e.shows("A B C")
		},
		"pages of which one was lost": func(e elsewhere) {
			e.seating(3, 0, true, "A B")
			e.seating(3, 2, false, "D")
			e.shows("")
			e.seating(3, 1, false, "C")
			e.shows("")
			e.seating(4, 0, true, "A")
			e.seating(3, 1, false, "C") // of another answer
			e.shows("")
			e.roster(4, 4)
			e.asks(true)
		},
		"a change that came after a bye": func(e elsewhere) {
			e.delta(1, 0, "A", "")
			e.take("other", nil, newPeerFrame(peerBye, 0))
			e.shows("")
			e.delta(2, 1, "B", "")
			e.delta(3, 0, "C", "")
			e.roster(3, 3)
			e.shows("")
			e.asks(false)
		},
		"the same ref twice": func(e elsewhere) {
			e.delta(1, 0, "A A", "")
			e.delta(2, 1, "A", "X")
			e.shows("A")
			e.delta(3, 2, "", "A A")
			e.shows("")
		},
		"frames of the wrong place": func(e elsewhere) {
			e.take("other", nil, jsonFrame(peerDelta, delta{Clock: 1, Joins: seatsOf("A")}))
			e.take("other", &e.room.key, jsonFrame(peerState, seating{Room: "p:a", Clock: 1, Seats: seatsOf("A")}))
			e.take("other", nil, jsonFrame(peerState, seating{Room: "x", Clock: 1, Seats: seatsOf("A")}))
			e.take("other", nil, jsonFrame(peerState, seating{Room: "p:b", Clock: 1, Seats: seatsOf("A")}))
			e.shows("")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newElsewhere(t)
			story(e)
			want := 0
			for _, seats := range e.room.presence {
				for _, s := range seats {
					want += s.stateBytes()
				}
			}
			if e.room.bytes != want {
				t.Errorf("%d bytes are counted, there are %d", e.room.bytes, want)
			}
		})
	}
}

// TestAnswersSayAllOrNothing: who asks directly is told also that there is nothing, in a way that nothing later contradicts.
func TestAnswersSayAllOrNothing(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t)
	e.link.clock = 9
	ask := func(round uint64) (frames []peerFrame) {
		e.take("other", nil, jsonFrame(peerAsk, question{round, []string{"p:a", "p:closed", "nonsense"}}))
		for _, out := range e.link.out {
			f, err := parsePeerFrame(out.data)
			if err != nil || out.room != inboxOf(nodeOf("other", "OTHERRUN")) {
				t.Fatalf("got %+v to %q, %v", f, out.room, err)
			}
			frames = append(frames, f)
		}
		e.link.out = nil
		return frames
	}
	if got := ask(0); len(got) != 2 || got[0].seating.Clock != 9 || got[1].seating.Clock != 9 || len(got[0].seating.Seats) > 0 {
		t.Errorf("got %+v", got)
	}
	if got := ask(4); len(got) != 1 || got[0].answered.Round != 4 {
		t.Errorf("got %+v", got)
	}
	for n := range 3 { // each fills a page
		s := &seat{key: "k", ref: fmt.Sprint("R", n), meta: json.RawMessage(`{"x":"` + strings.Repeat("y", pageBytes) + `"}`)}
		e.room.members[&channel{}] = s
		e.room.tell(s, nil)
	}
	e.link.out = nil
	got := ask(5)
	if len(got) != 4 || got[3].answered.Round != 5 {
		t.Fatalf("got %d frames", len(got))
	}
	for n, f := range got[:3] {
		if f.seating.Clock != 12 || f.seating.Page != n || f.seating.More != (n < 2) || len(f.seating.Seats) != 1 {
			t.Errorf("page %d is %d of %d, more %v", n, f.seating.Page, f.seating.Clock, f.seating.More)
		}
	}
}
