package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Control topics. No policy lets anyone join a topic that begins so, and History refuses it.
const (
	controlPrefix     = "$"
	controlRevocation = "$revocation" // payload: a Scope
	controlPosition   = "$position"   // an entry of LOG that yields nothing
	controlEpoch      = "$epoch"      // payload: the epoch that begins here
)

func isControl(topic string) bool { return strings.HasPrefix(topic, controlPrefix) }

// place is where in LOG an entry of TOPICS comes from: the entry's sequence, and which of the drafts it yields.
type place struct{ seq, part uint64 }

// stored is what TOPICS keeps of an entry; its topic is the subject, its sequence the stream's.
type stored struct {
	from    place
	prev    uint64
	id      uuid.UUID
	event   string
	payload []byte
}

const entryVersion = 1

// appendTo appends the entry's bytes: version, from, prev, id, event, payload.
func (s *stored) appendTo(dst []byte) []byte {
	dst = append(dst, entryVersion)
	dst = binary.AppendUvarint(dst, s.from.seq)
	dst = binary.AppendUvarint(dst, s.from.part)
	dst = binary.AppendUvarint(dst, s.prev)
	dst = append(dst, s.id[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(s.event)))
	dst = append(dst, s.event...)
	return append(dst, s.payload...)
}

var errEntry = errors.New("not an entry of TOPICS")

// parseStored reads what appendTo wrote. payload points into data.
func parseStored(data []byte) (s stored, err error) {
	if len(data) == 0 || data[0] != entryVersion {
		return stored{}, fmt.Errorf("entry of %d bytes: version: %w", len(data), errEntry)
	}
	rest := data[1:]
	for _, field := range []*uint64{&s.from.seq, &s.from.part, &s.prev} {
		value, n := binary.Uvarint(rest)
		if n <= 0 {
			return stored{}, fmt.Errorf("entry of %d bytes: place: %w", len(data), errEntry)
		}
		*field, rest = value, rest[n:]
	}
	if len(rest) < len(s.id) {
		return stored{}, fmt.Errorf("entry of %d bytes: id: %w", len(data), errEntry)
	}
	rest = rest[copy(s.id[:], rest):]
	length, n := binary.Uvarint(rest)
	if n <= 0 || length > uint64(len(rest)-n) {
		return stored{}, fmt.Errorf("entry of %d bytes: event: %w", len(data), errEntry)
	}
	rest = rest[n:]
	s.event, s.payload = string(rest[:length]), rest[length:]
	return s, nil
}

// LogEntry is one entry of LOG.
type LogEntry struct {
	Seq  uint64
	Data []byte
}

// TopicEntry is one entry of TOPICS.
type TopicEntry struct {
	Topic string
	Seq   uint64
	Data  []byte
	At    time.Time
}
