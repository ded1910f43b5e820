package realtime

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"vigil/realtime/phoenix"
)

// A frame between nodes is its version, its kind, the run of the Server that sends it, and a body. A node drops, and counts,
// what another version says.
const (
	peerVersion     = 1
	runBytes        = 8 // of refMaker's name of this run: 5 bytes in base32
	peerHeaderBytes = 2 + runBytes
)

// peerKind is a frame's second byte.
type peerKind byte

const (
	peerBroadcast peerKind = 'b' // in a room: what a client sent
	peerDelta     peerKind = 'd' // in a room: one change of its sender's seats
	peerAsk       peerKind = 'a' // to all, or to one: send your seats of these rooms
	peerState     peerKind = 's' // to who asked: all seats of the sender in one room
	peerAnswered  peerKind = 'n' // to who asked: that was all
	peerRoster    peerKind = 'r' // to all, the heartbeat: how far the sender's rooms are
	peerBye       peerKind = 'y' // to all: the sender goes, and so do its seats
)

// The rooms that are no topic's: everyoneRoom reaches every node, inboxOf one.
const everyoneRoom = ""

func inboxOf(node string) string { return "n:" + node }

// name gives the room as peers know it.
func (k roomKey) name() string {
	if k.private {
		return "p:" + k.topic
	}
	return "o:" + k.topic
}

func parseRoom(name string) (roomKey, bool) {
	private, isPrivate := strings.CutPrefix(name, "p:")
	open, isOpen := strings.CutPrefix(name, "o:")
	switch {
	case isPrivate && private != "":
		return roomKey{private, true}, true
	case isOpen && open != "":
		return roomKey{open, false}, true
	}
	return roomKey{}, false
}

// roomHash stands for a room in rosters. What collides by accident costs a question; nobody can choose a topic that
// collides with another's.
type roomHash uint64

func hashOf(name string) roomHash {
	sum := sha256.Sum256([]byte(name))
	return roomHash(binary.BigEndian.Uint64(sum[:]))
}

const roomHashBytes = 8

// wireSeat is one meta of another node.
type wireSeat struct {
	Key  string          `json:"key"`
	Ref  string          `json:"ref"`
	Meta json.RawMessage `json:"meta"` // with phx_ref
}

// delta is one change of its sender's seats in a room. Clocks count the changes of a node, so they rise along a room and are
// not dense: one was missed where Prev is not the last clock heard. Prev 0: the sender had no seats there.
type delta struct {
	Clock  uint64     `json:"clock"`
	Prev   uint64     `json:"prev"`
	Joins  []wireSeat `json:"joins"`
	Leaves []string   `json:"leaves"` // refs
}

// seating is a page of all seats that its sender has in a room as of Clock.
type seating struct {
	Room  string     `json:"room"`
	Clock uint64     `json:"clock"`
	Page  int        `json:"page"` // from 0
	More  bool       `json:"more"` // pages
	Seats []wireSeat `json:"seats"`
}

// question asks for seatings. Round is 0 where no answered is wanted.
type question struct {
	Round uint64   `json:"round"`
	Rooms []string `json:"rooms"`
}

// answered says that all seatings a question asked for were sent.
type answered struct {
	Round uint64 `json:"round"`
}

// roster lists the rooms where its sender had seats when its clock stood at At. It covers those whose hash is Slot modulo
// Slots: of these, one that is not listed has no seats.
type roster struct {
	At, Slot, Slots uint64
	Clocks          map[roomHash]uint64
}

func (r roster) covers(h roomHash) bool { return uint64(h)%r.Slots == r.Slot }

// peerFrame is a frame that was read; the field of its kind is set.
type peerFrame struct {
	kind      peerKind
	run       string
	broadcast phoenix.Broadcast // without topic; Payload aliases the frame
	delta     delta
	seating   seating
	question  question
	answered  answered
	roster    roster
}

// newPeerFrame begins a frame. Its run is written as it is sent.
func newPeerFrame(kind peerKind, size int) []byte {
	f := make([]byte, peerHeaderBytes, peerHeaderBytes+size)
	f[0], f[1] = peerVersion, byte(kind)
	return f
}

func stamp(frame []byte, run string) { copy(frame[2:peerHeaderBytes], run) }

func jsonFrame(kind peerKind, v any) []byte {
	body := mustJSON(v)
	return append(newPeerFrame(kind, len(body)), body...)
}

func broadcastFrame(b phoenix.Broadcast) []byte {
	f := newPeerFrame(peerBroadcast, 1+binary.MaxVarintLen64+len(b.Event)+len(b.Payload))
	f = append(f, byte(b.Encoding))
	f = binary.AppendUvarint(f, uint64(len(b.Event)))
	return append(append(f, b.Event...), b.Payload...)
}

func rosterFrame(r roster) []byte {
	f := newPeerFrame(peerRoster, (4+len(r.Clocks))*binary.MaxVarintLen64+len(r.Clocks)*roomHashBytes)
	f = binary.AppendUvarint(f, r.At)
	f = binary.AppendUvarint(f, r.Slot)
	f = binary.AppendUvarint(f, r.Slots)
	f = binary.AppendUvarint(f, uint64(len(r.Clocks)))
	for h, clock := range r.Clocks {
		f = binary.BigEndian.AppendUint64(f, uint64(h))
		f = binary.AppendUvarint(f, clock)
	}
	return f
}

// errPeerFrame is what every frame that cannot be read tests as.
var errPeerFrame = errors.New("malformed frame of another node")

// parsePeerFrame reads a frame. What it gives is safe to hand to clients: text is UTF-8, JSON is valid, keys and refs are
// neither empty nor long.
func parsePeerFrame(data []byte) (peerFrame, error) {
	if len(data) < peerHeaderBytes || data[0] != peerVersion {
		return peerFrame{}, fmt.Errorf("%w: of another version", errPeerFrame)
	}
	f, body := peerFrame{kind: peerKind(data[1]), run: string(data[2:peerHeaderBytes])}, data[peerHeaderBytes:]
	var err error
	switch f.kind {
	case peerBroadcast:
		f.broadcast, err = parsePeerBroadcast(body)
	case peerDelta:
		if err = fromJSON(body, &f.delta); err == nil {
			err = checkSeats(f.delta.Joins)
		}
		if err == nil && f.delta.Clock <= f.delta.Prev {
			err = fmt.Errorf("%w: clock does not rise", errPeerFrame)
		}
	case peerState:
		if err = fromJSON(body, &f.seating); err == nil {
			err = checkSeats(f.seating.Seats)
		}
	case peerAsk:
		err = fromJSON(body, &f.question)
	case peerAnswered:
		err = fromJSON(body, &f.answered)
	case peerRoster:
		f.roster, err = parseRoster(body)
	case peerBye:
	default:
		err = fmt.Errorf("%w: kind %d is unknown", errPeerFrame, f.kind)
	}
	return f, err
}

func fromJSON(body []byte, into any) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("%w: text is not UTF-8", errPeerFrame)
	}
	if json.Unmarshal(body, into) != nil {
		return fmt.Errorf("%w: body is not what its kind has", errPeerFrame)
	}
	return nil
}

func parsePeerBroadcast(body []byte) (phoenix.Broadcast, error) {
	if len(body) < 2 || body[0] > byte(phoenix.JSON) {
		return phoenix.Broadcast{}, fmt.Errorf("%w: encoding is unknown", errPeerFrame)
	}
	n, used := binary.Uvarint(body[1:])
	if used <= 0 || n == 0 || n > uint64(len(body)-1-used) {
		return phoenix.Broadcast{}, fmt.Errorf("%w: no event", errPeerFrame)
	}
	event, payload := body[1+used:1+used+int(n)], body[1+used+int(n):]
	b := phoenix.Broadcast{Event: string(event), Encoding: phoenix.Encoding(body[0]), Payload: payload}
	if !utf8.Valid(event) || b.Encoding == phoenix.JSON && (!utf8.Valid(payload) || !json.Valid(payload)) {
		return phoenix.Broadcast{}, fmt.Errorf("%w: no text", errPeerFrame)
	}
	return b, nil
}

// maxRefBytes is longer than any ref that refMaker makes.
const maxRefBytes = 64

// checkSeats refuses seats that no node has, and gives every meta the one form that is counted.
func checkSeats(seats []wireSeat) error {
	for i := range seats {
		s := &seats[i]
		if s.Key == "" || len(s.Key) > maxKeyBytes || s.Ref == "" || len(s.Ref) > maxRefBytes || len(s.Meta) == 0 || s.Meta[0] != '{' {
			return fmt.Errorf("%w: not a seat", errPeerFrame)
		}
		s.Meta = mustJSON(s.Meta)
	}
	return nil
}

func parseRoster(body []byte) (roster, error) {
	var numbers [4]uint64
	for i := range numbers {
		n, used := binary.Uvarint(body)
		if used <= 0 {
			return roster{}, fmt.Errorf("%w: roster is too short", errPeerFrame)
		}
		numbers[i], body = n, body[used:]
	}
	r, count := roster{At: numbers[0], Slot: numbers[1], Slots: numbers[2]}, numbers[3]
	if r.Slot >= r.Slots || count > uint64(len(body)/(roomHashBytes+1)) {
		return roster{}, fmt.Errorf("%w: roster is no roster", errPeerFrame)
	}
	r.Clocks = make(map[roomHash]uint64, count)
	for range count {
		if len(body) <= roomHashBytes {
			return roster{}, fmt.Errorf("%w: roster is too short", errPeerFrame)
		}
		h := roomHash(binary.BigEndian.Uint64(body))
		clock, used := binary.Uvarint(body[roomHashBytes:])
		if used <= 0 || clock == 0 || clock > r.At {
			return roster{}, fmt.Errorf("%w: roster has no such clock", errPeerFrame)
		}
		r.Clocks[h], body = clock, body[roomHashBytes+used:]
	}
	return r, nil
}
