package relay

import "vigil/realtime"

// What the engine calls must be what it is given.
var (
	_ sockets         = (*realtime.Server)(nil)
	_ realtime.Config = realtime.Config{History: (*History)(nil)}
)

// For tests of the parts.
var (
	AppendValue = appendValue
	Derive      = deriveForTest
	ParseStored = parseForTest
)

// Draft is what a row yields.
type Draft struct {
	Topic, Event, ID, Payload string
}

func deriveForTest(rows []Row) []Draft {
	var all []Draft
	for _, d := range derive(rows) {
		all = append(all, Draft{d.topic, d.event, d.id.String(), string(d.payload)})
	}
	return all
}

// Stored is what TOPICS keeps.
type Stored struct {
	Seq, Part, Prev    uint64
	ID, Event, Payload string
	Again              []byte // encoded again
}

func parseForTest(data []byte) (Stored, error) {
	s, err := parseStored(data)
	return Stored{s.from.seq, s.from.part, s.prev, s.id.String(), s.event, string(s.payload), s.appendTo(nil)}, err
}
