package replay

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// audience is who listens: both people of a session hear its messages, the clinician its care.
type audience uint8

const (
	byClient audience = iota
	byClinician
	audiences
)

// Events of the relay that are counted.
const (
	eventMessage    = "message"
	eventAssessment = "assessment"
	eventAlert      = "alert"
	eventSuggestion = "suggestion"
)

const statusAssessed = "assessed"

// entry is one message of ours, from the attempt to store it.
type entry struct {
	body     string
	sent     time.Time // the first attempt
	stored   bool      // PostgREST has said so, or it was seen
	heard    [audiences]map[string]bool
	reread   [audiences]bool // found in the table, after the relay had said that it could not recover
	judged   map[uuid.UUID]bool
	assessed bool // with status assessed; else, where judged, it was not
	alerts   map[uuid.UUID]bool
	wanted   bool // its assessment says that there is an alert
	altered  bool // what was relayed is not what was sent
}

func newEntry(body string, at time.Time) *entry {
	e := &entry{body: body, sent: at, judged: make(map[uuid.UUID]bool), alerts: make(map[uuid.UUID]bool)}
	for a := range e.heard {
		e.heard[a] = make(map[string]bool)
	}
	return e
}

// arrived says whether everything that must follow on the message has been seen.
func (e *entry) arrived() bool {
	return e.heardByAll() && len(e.judged) > 0 && (!e.wanted || len(e.alerts) > 0)
}

// heardByAll says whether every listener had its frame or, told that the log could not give it, its row.
func (e *entry) heardByAll() bool {
	for a := range e.heard {
		if len(e.heard[a]) == 0 && !e.reread[a] {
			return false
		}
	}
	return true
}

// book is what is known of one session.
type book struct {
	conversation Conversation
	messages     map[uuid.UUID]*entry
	order        []uuid.UUID
	level        int
	alerts       map[uuid.UUID]int // by id: level, or -1
	suggestions  map[uuid.UUID]bool
	finished     bool
	unstored     int // in the ledger, but not in the table at the end
	changed      chan struct{}
}

// ledger counts what became of every message. Safe for concurrent use.
type ledger struct {
	planned int

	mu         sync.Mutex
	books      map[uuid.UUID]*book
	made       []uuid.UUID // sessions
	unknown    int         // frames of messages that nobody here sent
	twice      int         // frames that had been delivered before
	holes      int         // frames before which something was left out
	reconnects int
	recovered  int
	lost       int // rejoins that were told that the log could not give what was missed
	failed     int // conversations
	ended      int

	assessment, alert []time.Duration
}

func newLedger() *ledger { return &ledger{books: make(map[uuid.UUID]*book)} }

func (l *ledger) open(session uuid.UUID, c Conversation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = append(l.made, session)
	l.books[session] = &book{
		conversation: c, messages: make(map[uuid.UUID]*entry), alerts: make(map[uuid.UUID]int), suggestions: make(map[uuid.UUID]bool),
		changed: make(chan struct{}),
	}
}

func (l *ledger) sessionIDs() []uuid.UUID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.made)
}

// sending notes a message before it is stored: its frame may be faster than PostgREST's answer.
func (l *ledger) sending(session, id uuid.UUID, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[session]
	b.messages[id] = newEntry(body, time.Now())
	b.order = append(b.order, id)
}

// sent notes how storing it went. One that was refused is ours no more, unless it was seen. One whose answer was lost may be
// stored or not: it is waited for and counted only once it is seen.
func (l *ledger) sent(session, id uuid.UUID, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[session]
	e := b.messages[id]
	var refused *RequestError
	if e.stored = e.stored || err == nil; e.stored || !errors.As(err, &refused) || refused.temporary() {
		return
	}
	delete(b.messages, id)
	b.order = slices.DeleteFunc(b.order, func(other uuid.UUID) bool { return other == id })
}

// hearing is one listener's ear on a session.
type hearing struct {
	ledger  *ledger
	session uuid.UUID
	by      audience
	reread  rereader
}

// heardFrame is a broadcast's payload, read by its event.
func (h hearing) broadcast(b broadcast, fault placeFault) {
	l := h.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	switch fault {
	case placeTwice:
		l.twice++
		return
	case placeHole:
		l.holes++
	case placeRight:
	}
	k := l.books[h.session]
	switch b.Event {
	case eventMessage:
		var row messageRow
		if json.Unmarshal(b.Payload, &row) != nil {
			l.unknown++
			return
		}
		l.message(k, h.by, row, b.Meta.ID)
	case eventAssessment:
		var row assessmentRow
		if json.Unmarshal(b.Payload, &row) == nil {
			l.judge(k, row, b.at)
		}
	case eventAlert:
		var row alertRow
		if json.Unmarshal(b.Payload, &row) == nil {
			l.raise(k, row, b.at)
		}
	case eventSuggestion:
		var row struct {
			ID uuid.UUID `json:"id"`
		}
		if json.Unmarshal(b.Payload, &row) == nil {
			k.suggestions[row.ID] = true
		}
	}
	k.wake()
}

// wake tells whoever waits. The caller holds mu.
func (k *book) wake() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// message notes a frame, or (entry id "") a row that was read. The caller holds mu.
func (l *ledger) message(k *book, by audience, row messageRow, id string) {
	e, ours := k.messages[row.ID]
	if !ours {
		l.unknown++
		return
	}
	e.stored = true
	if id == "" {
		e.reread[by] = true
	} else {
		e.heard[by][id] = true
	}
	e.altered = e.altered || row.Body != e.body
}

// judge notes an assessment. The caller holds mu.
func (l *ledger) judge(k *book, row assessmentRow, at time.Time) {
	e, ours := k.messages[row.MessageID]
	if !ours {
		l.unknown++
		return
	}
	e.stored = true
	if row.Superseded != nil || e.judged[row.ID] {
		return
	}
	e.judged[row.ID] = true
	e.assessed = row.Status == statusAssessed
	e.wanted = e.wanted || row.Alert || !e.assessed
	if row.Level != nil {
		k.level = max(k.level, *row.Level)
	}
	if len(e.judged) == 1 && !at.IsZero() {
		l.assessment = append(l.assessment, at.Sub(e.sent))
	}
}

// raise notes an alert. The caller holds mu.
func (l *ledger) raise(k *book, row alertRow, at time.Time) {
	e, ours := k.messages[row.MessageID]
	if !ours {
		l.unknown++
		return
	}
	e.stored = true
	if _, known := k.alerts[row.ID]; known {
		return // it was acknowledged, say
	}
	level := -1
	if row.Level != nil {
		level = *row.Level
	}
	k.alerts[row.ID], e.alerts[row.ID] = level, true
	if len(e.alerts) == 1 && !at.IsZero() {
		l.alert = append(l.alert, at.Sub(e.sent))
	}
}

// reconciled notes what the tables have of a session at its end: stored rows that are not there, and rows of which there
// are two.
func (l *ledger) reconciled(session uuid.UUID, t tables) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.books[session]
	there := make(map[uuid.UUID]bool, len(t.messages))
	for _, row := range t.messages {
		there[row.ID] = true
	}
	for id, e := range k.messages {
		if e.stored && !there[id] {
			k.unstored++
		}
	}
	for _, row := range t.assessments {
		if e, ours := k.messages[row.MessageID]; ours && row.Superseded == nil && len(e.judged) > 0 {
			e.judged[row.ID] = true // a second one doubles the message, relayed or not
		}
	}
	for _, row := range t.alerts {
		if e, ours := k.messages[row.MessageID]; ours && len(e.alerts) > 0 {
			e.alerts[row.ID] = true
		}
	}
}

// settled says whether all that was stored in the session has arrived; if not, changed closes when something comes.
func (l *ledger) settled(session uuid.UUID) (done bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.books[session]
	for _, e := range k.messages {
		if e.stored && !e.arrived() {
			return false, k.changed
		}
	}
	return true, k.changed
}

func (l *ledger) finish(session uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books[session].finished = true
	l.ended++
}

func (l *ledger) add(to *int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*to++
}

// rereader reads the tables, as a client does that was told that the log could not give what it had missed.
type rereader func(ctx context.Context) error

func (h hearing) recovered(ctx context.Context, all bool) error {
	if all {
		h.ledger.add(&h.ledger.recovered)
		return nil
	}
	h.ledger.add(&h.ledger.lost)
	return h.reread(ctx)
}

// reread notes what the tables have, for the listener who read them.
func (l *ledger) reread(session uuid.UUID, by audience, kind string, t tables) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.books[session]
	if kind == "session" {
		for _, row := range t.messages {
			l.message(k, by, row, "")
		}
	} else {
		for _, row := range t.assessments {
			l.judge(k, row, time.Time{})
		}
		for _, row := range t.alerts {
			l.raise(k, row, time.Time{})
		}
	}
	k.wake()
}
