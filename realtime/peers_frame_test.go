package realtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"

	"vigil/realtime/phoenix"
)

func TestPeerFramesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	seats := []wireSeat{{"ann", "REF1", json.RawMessage(`{"at":"\u003cdesk","phx_ref":"REF1"}`)}}
	for name, c := range map[string]struct {
		frame []byte
		want  peerFrame
	}{
		"a broadcast": {broadcastFrame(phoenix.Broadcast{Event: "typing", Encoding: phoenix.JSON, Payload: []byte(`{}`)}),
			peerFrame{kind: peerBroadcast, broadcast: phoenix.Broadcast{Event: "typing", Encoding: phoenix.JSON, Payload: []byte(`{}`)}}},
		"raw bytes": {broadcastFrame(phoenix.Broadcast{Event: "ink", Payload: []byte{0xff}}),
			peerFrame{kind: peerBroadcast, broadcast: phoenix.Broadcast{Event: "ink", Payload: []byte{0xff}}}},
		"a delta": {jsonFrame(peerDelta, delta{Clock: 7, Prev: 5, Joins: seats, Leaves: []string{"REF0"}}),
			peerFrame{kind: peerDelta, delta: delta{Clock: 7, Prev: 5, Joins: seats, Leaves: []string{"REF0"}}}},
		"a seating": {jsonFrame(peerState, seating{Room: "p:a", Clock: 7, Page: 1, More: true, Seats: seats}),
			peerFrame{kind: peerState, seating: seating{Room: "p:a", Clock: 7, Page: 1, More: true, Seats: seats}}},
		"a question": {jsonFrame(peerAsk, question{3, []string{"p:a"}}), peerFrame{kind: peerAsk, question: question{3, []string{"p:a"}}}},
		"an answer":  {jsonFrame(peerAnswered, answered{3}), peerFrame{kind: peerAnswered, answered: answered{3}}},
		"a roster": {rosterFrame(roster{9, 1, 2, map[roomHash]uint64{1: 9, 3: 1}}),
			peerFrame{kind: peerRoster, roster: roster{9, 1, 2, map[roomHash]uint64{1: 9, 3: 1}}}},
		"an empty roster": {rosterFrame(roster{Slots: 1}), peerFrame{kind: peerRoster, roster: roster{0, 0, 1, map[roomHash]uint64{}}}},
		"a bye":           {newPeerFrame(peerBye, 0), peerFrame{kind: peerBye}},
	} {
		stamp(c.frame, "ABCDEFGH")
		c.want.run = "ABCDEFGH"
		if got, err := parsePeerFrame(c.frame); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestPeerFramesThatAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxKeyBytes+1)
	for name, frame := range map[string][]byte{
		"nothing":                    nil,
		"another version":            append([]byte{peerVersion + 1}, newPeerFrame(peerBye, 0)[1:]...),
		"a header that is cut":       newPeerFrame(peerBye, 0)[:peerHeaderBytes-1],
		"an unknown kind":            newPeerFrame('x', 0),
		"no event":                   broadcastFrame(phoenix.Broadcast{Payload: []byte("{}")}),
		"an event beyond the end":    append(newPeerFrame(peerBroadcast, 0), 1, 200, 1),
		"an unknown encoding":        append(newPeerFrame(peerBroadcast, 0), 2, 1, 'e'),
		"JSON that is none":          broadcastFrame(phoenix.Broadcast{Event: "e", Encoding: phoenix.JSON, Payload: []byte("{")}),
		"an event that is no text":   broadcastFrame(phoenix.Broadcast{Event: "\xff", Payload: []byte("{}")}),
		"a clock that stands":        jsonFrame(peerDelta, delta{Clock: 5, Prev: 5}),
		"a seat without a key":       jsonFrame(peerDelta, delta{Clock: 5, Joins: []wireSeat{{"", "r", json.RawMessage("{}")}}}),
		"a seat with a long key":     jsonFrame(peerDelta, delta{Clock: 5, Joins: []wireSeat{{long, "r", json.RawMessage("{}")}}}),
		"a seat without a ref":       jsonFrame(peerState, seating{Seats: []wireSeat{{"k", "", json.RawMessage("{}")}}}),
		"a meta that is no object":   jsonFrame(peerState, seating{Seats: []wireSeat{{"k", "r", json.RawMessage("[]")}}}),
		"text that is not UTF-8":     append(newPeerFrame(peerAsk, 0), "{\"rooms\":[\"\xff\"]}"...),
		"a roster that is cut":       rosterFrame(roster{9, 0, 1, map[roomHash]uint64{1: 9}})[:peerHeaderBytes+8],
		"a slot beyond the slots":    rosterFrame(roster{9, 1, 1, nil}),
		"a clock after the roster's": rosterFrame(roster{9, 0, 1, map[roomHash]uint64{1: 10}}),
	} {
		if f, err := parsePeerFrame(frame); !errors.Is(err, errPeerFrame) {
			t.Errorf("%s: got %+v, %v", name, f, err)
		}
	}
}

func FuzzPeerFrame(f *testing.F) {
	f.Add(broadcastFrame(phoenix.Broadcast{Event: "typing", Encoding: phoenix.JSON, Payload: []byte(`{}`)}))
	f.Add(jsonFrame(peerDelta, delta{Clock: 2, Joins: []wireSeat{{"k", "r", json.RawMessage("{}")}}, Leaves: []string{"q"}}))
	f.Add(jsonFrame(peerState, seating{Room: "p:a", Clock: 2, Seats: []wireSeat{{"k", "r", json.RawMessage("{}")}}}))
	f.Add(jsonFrame(peerAsk, question{1, []string{"p:a", "o:b"}}))
	f.Add(rosterFrame(roster{9, 0, 2, map[roomHash]uint64{2: 9}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parsePeerFrame(data)
		if err != nil {
			if !errors.Is(err, errPeerFrame) {
				t.Fatal(err)
			}
			return
		}
		switch b := got.broadcast; got.kind {
		case peerBroadcast:
			if b.Event == "" || !utf8.ValidString(b.Event) || b.Encoding == phoenix.JSON && !json.Valid(b.Payload) {
				t.Fatalf("took %+v", b)
			}
			again, err := parsePeerFrame(broadcastFrame(b))
			if err != nil || again.broadcast.Event != b.Event || !bytes.Equal(again.broadcast.Payload, b.Payload) {
				t.Fatalf("%+v came back as %+v, %v", b, again.broadcast, err)
			}
		case peerRoster:
			again, err := parsePeerFrame(rosterFrame(got.roster))
			if err != nil || !maps.Equal(again.roster.Clocks, got.roster.Clocks) || again.roster.Slots == 0 {
				t.Fatalf("%+v came back as %+v, %v", got.roster, again.roster, err)
			}
		case peerDelta, peerState:
			for _, s := range append(got.delta.Joins, got.seating.Seats...) {
				if s.Key == "" || s.Ref == "" || !json.Valid(s.Meta) || !utf8.Valid(s.Meta) {
					t.Fatalf("took %+v", s)
				}
			}
		}
	})
}

func TestRoomsHaveNames(t *testing.T) {
	t.Parallel()
	for _, key := range []roomKey{{"session:1", true}, {"session:1", false}, {"p:x", false}} {
		if got, ok := parseRoom(key.name()); !ok || got != key {
			t.Errorf("%v came back as %v, %v", key, got, ok)
		}
	}
	for _, name := range []string{"", "p:", "o:", "x:1", "session:1"} {
		if key, ok := parseRoom(name); ok {
			t.Errorf("%q is %v", name, key)
		}
	}
}

// TestOneNodePaysNothing holds what a room and a member take where there are no other nodes: bytes of the allocator's class.
func TestOneNodePaysNothing(t *testing.T) {
	t.Parallel()
	const class = 96
	if r, s := unsafe.Sizeof(room{}), unsafe.Sizeof(seat{}); r > class || s > class {
		t.Errorf("a room takes %d bytes and a seat %d, both took up to %d", r, s, class)
	}
	if s := New(Config{}); s.hub.link != nil || s.hub.join(&channel{}, roomKey{"a", true}).share != nil {
		t.Error("there is a link to other nodes")
	}
}

// quiet hears nothing and sends nowhere.
type quiet struct{ sent chan []byte }

func (quiet) Node() string                                           { return "here" }
func (quiet) Subscribe(string, func(string, []byte)) (func(), error) { return func() {}, nil }
func (q quiet) Send(_ string, data []byte) error                     { q.sent <- data; return nil }
func (quiet) Lost() <-chan struct{}                                  { return nil }

func TestRostersTakeTurns(t *testing.T) {
	t.Parallel()
	const rooms = 3*rosterRooms + 1
	q := quiet{make(chan []byte, 4)}
	l := New(Config{Peers: q}).hub.link
	for n := range rooms {
		l.clock++
		l.own[roomHash(n)] = l.clock
	}
	seen := map[roomHash]uint64{}
	for range 4 {
		l.beat()
		f, err := parsePeerFrame(<-q.sent)
		if err != nil || f.roster.Slots != 4 || len(f.roster.Clocks) > rosterRooms || f.roster.At != rooms {
			t.Fatalf("%d rooms of %d slots, %v", len(f.roster.Clocks), f.roster.Slots, err)
		}
		maps.Copy(seen, f.roster.Clocks)
	}
	if !maps.Equal(seen, l.own) {
		t.Errorf("%d of %d rooms were listed", len(seen), rooms)
	}
}

// TestWhatWaitsIsBounded: with nobody to send, what is posted is dropped and counted.
func TestWhatWaitsIsBounded(t *testing.T) {
	t.Parallel()
	l := New(Config{Peers: quiet{}}).hub.link
	for range posted + 5 {
		l.post("p:a", newPeerFrame(peerBye, 0))
	}
	if s := l.stats(); len(l.out) != posted || s.Dropped != 5 {
		t.Errorf("%d wait, stats %+v", len(l.out), s)
	}
	l.out, l.outBytes = nil, 0
	for range postedBytes>>20 + 2 {
		l.post("p:a", make([]byte, 1<<20))
	}
	if s := l.stats(); l.outBytes > postedBytes || s.Dropped != 7 {
		t.Errorf("%d bytes wait, stats %+v", l.outBytes, s)
	}
}
