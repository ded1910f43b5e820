package relay

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Topics by what they are about. A client's topic is one of these and an id.
const (
	topicSession = "session:"
	topicCare    = "care:"
	topicInbox   = "inbox:"
	topicOrg     = "org:"
)

// Durable says whether a topic comes from the log: private, and with a history.
func Durable(topic string) bool {
	return slices.ContainsFunc([]string{topicSession, topicCare, topicInbox, topicOrg}, func(p string) bool { return strings.HasPrefix(topic, p) })
}

// route says that a table's rows go to a topic named by one of their columns.
type route struct{ prefix, column string }

// table says what becomes of a table's rows.
type table struct {
	event   string // and event + "_deleted"
	routes  []route
	revokes []revocation
}

var (
	bySession      = route{topicSession, "session_id"}
	byCare         = route{topicCare, "session_id"}
	byOrganization = route{topicOrg, "organization_id"}
)

// tables is the whole mapping; a table that is not here is not relayed. Topics follow from the row's own columns, so that every
// node agrees.
var tables = map[string]table{
	"messages":             {event: "message", routes: []route{bySession}},
	"message_arrivals":     {event: "arrival", routes: []route{bySession}},
	"sessions":             {event: "session", routes: []route{{topicSession, "id"}, byOrganization}, revokes: []revocation{{ScopeSession, "id"}}},
	"session_participants": {event: "participant", routes: []route{bySession}, revokes: []revocation{{ScopeUser, "user_id"}}},
	"session_consents":     {event: "consent", routes: []route{bySession}, revokes: []revocation{{ScopeSession, "session_id"}}},
	"session_epochs":       {event: "epoch", routes: []route{bySession}},
	"epoch_readers":        {event: "reader", routes: []route{bySession}},
	"assessments":          {event: "assessment", routes: []route{byCare}},
	"alerts":               {event: "alert", routes: []route{byCare, byOrganization}},
	"alert_events":         {event: "alert_event", routes: []route{byCare, byOrganization}},
	"suggestions":          {event: "suggestion", routes: []route{byCare}},
	"message_scores":       {event: "score", routes: []route{byCare}},
	"erasures":             {event: "erasure", routes: []route{bySession}},
	"suggestion_seals":     {event: "suggestion_seal", routes: []route{byCare}},
	"alert_recipients": {event: "alert_recipient", routes: []route{{topicInbox, "user_id"}, byCare},
		revokes: []revocation{{ScopeUser, "user_id"}}},
	"memberships":   {event: "membership", routes: []route{byOrganization}, revokes: []revocation{{ScopeUser, "user_id"}}},
	"oncall_shifts": {event: "shift", routes: []route{byOrganization}},
	"organizations": {revokes: []revocation{{ScopeAll, ""}}},
	"devices":       {revokes: []revocation{{ScopeUser, "user_id"}}},
	"ended_logins":  {revokes: []revocation{{ScopeLogin, "login_id"}}},
}

// maxPayload is the largest row that is sent whole, in bytes of JSON. Of a larger one the key is sent, and clients select the
// row: it must neither stop the sequencer nor be missed.
const maxPayload = 1 << 20

const (
	publicSchema  = "public"
	deletedSuffix = "_deleted"
	policyPrefix  = "vigil.ddl" // of a logical message: policies, functions or grants may have changed
)

// draft is an entry that has no place in TOPICS yet.
type draft struct {
	topic   string
	event   string
	id      uuid.UUID
	payload []byte
}

// derive gives what one entry of LOG yields, in order: for each transaction its revocations, then its rows' entries. The
// same rows yield the same drafts, always.
func derive(rows []Row) []draft {
	var drafts []draft
	for start := 0; start < len(rows); {
		end := start + 1
		for end < len(rows) && rows[end].Commit == rows[start].Commit {
			end++
		}
		drafts = appendRevocations(drafts, rows[start:end])
		for i := start; i < end; i++ {
			drafts = appendEntries(drafts, &rows[i])
		}
		start = end
	}
	return drafts
}

// appendEntries appends one draft for each topic of a row. A row that does not name its topic yields none.
func appendEntries(drafts []draft, r *Row) []draft {
	t, ok := tables[r.Table]
	if !ok || r.Schema != publicSchema || len(t.routes) == 0 || r.Op > Delete {
		return drafts
	}
	event := t.event
	var payload []byte
	for _, to := range t.routes {
		id, ok := r.text(to.column)
		if !ok {
			continue
		}
		if payload == nil {
			if r.Op == Delete {
				event += deletedSuffix
				payload = appendRow(nil, r.Columns, r.Old, true)
			} else {
				payload = appendRow(make([]byte, 0, sizeOf(r)), r.Columns, r.New, false)
			}
			if len(payload) > maxPayload {
				payload = appendRow(nil, r.Columns, values(r), true)
			}
		}
		d := draft{topic: to.prefix + id, event: event, payload: payload}
		d.id = idOf(r, d.topic, payload)
		drafts = append(drafts, d)
	}
	return drafts
}

// values are the row's as it is now, or as it was when it is no more.
func values(r *Row) []Value {
	if r.New != nil {
		return r.New
	}
	return r.Old
}

// sizeOf is about how long the row's JSON gets.
func sizeOf(r *Row) int {
	n := 2
	for i := range r.New {
		n += len(r.New[i].Data) + 8
		if i < len(r.Columns) {
			n += len(r.Columns[i].Name)
		}
	}
	return n
}

// idOf names an entry by what it is made of, so that it is the same on every node and after every loss of the bus.
func idOf(r *Row, topic string, payload []byte) uuid.UUID {
	var place [12]byte
	binary.BigEndian.PutUint64(place[:8], r.Commit)
	binary.BigEndian.PutUint32(place[8:], r.Ordinal)
	h := sha256.New()
	h.Write(place[:])
	h.Write([]byte(topic))
	h.Write([]byte{0})
	h.Write(payload)
	var sum [sha256.Size]byte
	id := uuid.UUID(h.Sum(sum[:0])[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8: custom
	id[8] = id[8]&0x3f | 0x80
	return id
}
