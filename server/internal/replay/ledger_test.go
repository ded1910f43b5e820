package replay

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
)

// stage is a ledger with one session in which n messages were stored.
type stage struct {
	*ledger
	session  uuid.UUID
	messages []uuid.UUID
	seq      uint64
}

func newStage(t *testing.T, n int) *stage {
	t.Helper()
	s := &stage{ledger: newLedger(), session: uuid.New()}
	s.open(s.session, Conversation{ID: "one", Turns: make([]Turn, n)})
	s.planned = n
	for range n {
		id := uuid.New()
		s.sending(s.session, id, "body")
		s.sent(s.session, id, nil)
		s.messages = append(s.messages, id)
	}
	return s
}

// hear gives a listener a frame.
func (s *stage) hear(t *testing.T, by audience, event string, row any) string {
	t.Helper()
	return s.hearAt(t, by, event, row, placeRight)
}

func (s *stage) hearAt(t *testing.T, by audience, event string, row any, fault placeFault) string {
	t.Helper()
	payload, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	s.seq++
	id := uuid.NewString()
	hearing{ledger: s.ledger, session: s.session, by: by}.broadcast(broadcast{Event: event, Payload: payload, Meta: &meta{ID: id, Seq: s.seq, Epoch: "e"}, at: time.Now()}, fault)
	return id
}

// arrive gives everybody everything of a message; alert: with an alert.
func (s *stage) arrive(t *testing.T, message uuid.UUID, alert bool) {
	t.Helper()
	for by := range audiences {
		s.hear(t, by, eventMessage, messageRow{ID: message, Body: "body"})
	}
	level := 4
	s.hear(t, byClinician, eventAssessment, assessmentRow{ID: uuid.New(), MessageID: message, Status: statusAssessed, Level: &level, Alert: alert})
	if alert {
		s.hear(t, byClinician, eventAlert, alertRow{ID: uuid.New(), MessageID: message, Level: &level})
	}
}

func TestWhatArrivesWholeIsCountedOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, 3)
	for i, id := range s.messages {
		if done, _ := s.settled(s.session); done {
			t.Fatal("it is settled before all has arrived")
		}
		s.arrive(t, id, i == 1)
	}
	done, _ := s.settled(s.session)
	c := s.counts(true)
	if !done || !c.Sound() || c.Written != 3 || c.Assessed != 3 || c.Relayed != 3 {
		t.Errorf("settled %t, %+v", done, c)
	}
	if got := spread(s.alert).Count; got != 1 {
		t.Errorf("%d alerts' latencies, want 1", got)
	}
}

// Each of these is a fault that must be seen: a test that all is well is worth what it would have noticed.
func TestEveryFaultIsCounted(t *testing.T) {
	t.Parallel()
	level := 4
	for sentence, c := range map[string]struct {
		do   func(t *testing.T, s *stage)
		want Counts
	}{
		"the clinician never hears of it": {
			func(t *testing.T, s *stage) {
				s.hear(t, byClient, eventMessage, messageRow{ID: s.messages[0], Body: "body"})
			},
			Counts{Missing: 1},
		},
		"it is relayed and not assessed": {
			func(t *testing.T, s *stage) {
				for by := range audiences {
					s.hear(t, by, eventMessage, messageRow{ID: s.messages[0], Body: "body"})
				}
			},
			Counts{Missing: 1},
		},
		"its assessment speaks of an alert that does not come": {
			func(t *testing.T, s *stage) {
				for by := range audiences {
					s.hear(t, by, eventMessage, messageRow{ID: s.messages[0], Body: "body"})
				}
				s.hear(t, byClinician, eventAssessment, assessmentRow{ID: uuid.New(), MessageID: s.messages[0], Status: statusAssessed, Alert: true})
			},
			Counts{Missing: 1},
		},
		"two entries are of one message": {
			func(t *testing.T, s *stage) {
				s.arrive(t, s.messages[0], false)
				s.hear(t, byClinician, eventMessage, messageRow{ID: s.messages[0], Body: "body"})
			},
			Counts{Doubled: 1},
		},
		"one frame comes twice": {
			func(t *testing.T, s *stage) {
				s.arrive(t, s.messages[0], false)
				s.hearAt(t, byClinician, eventMessage, messageRow{ID: s.messages[0], Body: "body"}, placeTwice)
			},
			Counts{Doubled: 1},
		},
		"it is assessed twice": {
			func(t *testing.T, s *stage) {
				s.arrive(t, s.messages[0], false)
				s.hear(t, byClinician, eventAssessment, assessmentRow{ID: uuid.New(), MessageID: s.messages[0], Status: statusAssessed})
			},
			Counts{Doubled: 1},
		},
		"the table has a second assessment": {
			func(t *testing.T, s *stage) {
				s.arrive(t, s.messages[0], false)
				s.reconciled(s.session, tables{messages: []messageRow{{ID: s.messages[0]}}, assessments: []assessmentRow{{ID: uuid.New(), MessageID: s.messages[0]}}})
			},
			Counts{Doubled: 1},
		},
		"it alerts twice": {
			func(t *testing.T, s *stage) {
				s.arrive(t, s.messages[0], true)
				s.hear(t, byClinician, eventAlert, alertRow{ID: uuid.New(), MessageID: s.messages[0], Level: &level})
			},
			Counts{Doubled: 1},
		},
		"the table does not have it": {
			func(t *testing.T, s *stage) {
				s.arrive(t, s.messages[0], false)
				s.reconciled(s.session, tables{})
			},
			Counts{Missing: 1},
		},
		"something before it was left out": {
			func(t *testing.T, s *stage) {
				s.arrive(t, s.messages[0], false)
				s.hearAt(t, byClinician, "session", map[string]any{}, placeHole)
			},
			Counts{Holes: 1},
		},
		"another body is relayed": {
			func(t *testing.T, s *stage) {
				s.arrive(t, s.messages[0], false)
				s.hear(t, byClient, eventMessage, messageRow{ID: s.messages[0], Body: "another"})
			},
			Counts{Altered: 1, Doubled: 1},
		},
		"nobody sent it": {
			func(t *testing.T, s *stage) {
				s.arrive(t, s.messages[0], false)
				s.hear(t, byClinician, eventMessage, messageRow{ID: uuid.New(), Body: "body"})
			},
			Counts{Unknown: 1},
		},
	} {
		s := newStage(t, 1)
		c.do(t, s)
		got := s.counts(true)
		if got.Sound() || got.Missing != c.want.Missing || got.Doubled != c.want.Doubled || got.Holes != c.want.Holes ||
			got.Altered != c.want.Altered || got.Unknown != c.want.Unknown {
			t.Errorf("%s: %+v", sentence, got)
		}
	}
}

func TestWhatIsOnItsWayIsMissingOnlyOnceItWasPassed(t *testing.T) {
	t.Parallel()
	s := newStage(t, 3)
	s.arrive(t, s.messages[0], false)
	if c := s.counts(false); c.Missing != 0 || c.Written != 3 || c.Relayed != 1 {
		t.Errorf("two are on their way: %+v", c)
	}
	s.arrive(t, s.messages[2], false)
	if c := s.counts(false); c.Missing != 1 {
		t.Errorf("the second was passed: %+v", c)
	}
	s.finish(s.session)
	if c := s.counts(false); c.Missing != 1 {
		t.Errorf("the conversation has ended: %+v", c)
	}
	other := newStage(t, 1)
	other.finish(other.session)
	if c := other.counts(false); c.Missing != 1 {
		t.Errorf("nothing came before the conversation was given up: %+v", c)
	}
}

func TestWhatWasReadAgainIsNotMissing(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1)
	found := tables{
		messages:    []messageRow{{ID: s.messages[0], Body: "body"}},
		assessments: []assessmentRow{{ID: uuid.New(), MessageID: s.messages[0], Status: statusAssessed}},
	}
	s.ledger.reread(s.session, byClient, "session", found)
	s.ledger.reread(s.session, byClinician, "session", found)
	if done, _ := s.settled(s.session); done {
		t.Error("nobody has read what was assessed")
	}
	s.ledger.reread(s.session, byClinician, "care", found)
	if c := s.counts(true); !c.Sound() || c.Relayed != 1 || c.Assessed != 1 {
		t.Errorf("%+v", c)
	}
}

func TestARefusedMessageIsNotWritten(t *testing.T) {
	t.Parallel()
	s := newStage(t, 0)
	gone, seen := uuid.New(), uuid.New()
	for _, id := range []uuid.UUID{gone, seen} {
		s.sending(s.session, id, "body")
	}
	s.hear(t, byClient, eventMessage, messageRow{ID: seen, Body: "body"})
	s.sent(s.session, gone, &RequestError{Status: http.StatusForbidden})
	s.sent(s.session, seen, &RequestError{})
	if c := s.counts(true); c.Written != 1 || c.Missing != 1 {
		t.Errorf("the one that was seen is written, whatever the answer, and must arrive everywhere: %+v", c)
	}
}

func TestAMessageWhoseAnswerWasLostIsOursWhenItComes(t *testing.T) {
	t.Parallel()
	s := newStage(t, 0)
	for sentence, err := range map[string]error{"no answer": &RequestError{}, "a fault of the server": &RequestError{Status: http.StatusBadGateway}, "interrupted": context.Canceled} {
		id := uuid.New()
		s.sending(s.session, id, "body")
		s.sent(s.session, id, err)
		if c := s.counts(true); c.Missing != 0 {
			t.Errorf("%s: nobody knows whether it is stored, and it is missing: %+v", sentence, c)
		}
		s.hear(t, byClient, eventMessage, messageRow{ID: id, Body: "body"})
		if c := s.counts(true); c.Unknown != 0 || c.Missing != 1 {
			t.Errorf("%s: it was stored, and must arrive everywhere: %+v", sentence, c)
		}
		s.arrive(t, id, false)
		s.open(s.session, Conversation{ID: sentence})
	}
}

func TestTheJudgementNamesWhatDisagrees(t *testing.T) {
	t.Parallel()
	yes, no, four := true, false, 4
	r := &Replay{ledger: newLedger(), total: 4}
	for id, c := range map[string]struct {
		alert  bool
		expect Outcome
	}{
		"agreed": {true, Outcome{Level: &four, Alert: &yes}}, "missed": {false, Outcome{Alert: &yes}}, "raised": {true, Outcome{Alert: &no}}, "unknown": {true, Outcome{}},
	} {
		s := &stage{ledger: r.ledger, session: uuid.New()}
		s.open(s.session, Conversation{ID: id, Turns: make([]Turn, 1), Expect: c.expect})
		message := uuid.New()
		s.sending(s.session, message, "body")
		s.sent(s.session, message, nil)
		s.arrive(t, message, c.alert)
		s.finish(s.session)
	}
	r.ledger.planned = 4
	got := r.summary()
	h := got.Human
	if h.Known != 3 || h.Agreed != 1 || len(h.Missed) != 1 || h.Missed[0] != "missed" || len(h.Raised) != 1 || h.Raised[0] != "raised" || h.Levels != 1 || h.Exactly != 1 {
		t.Errorf("%+v", h)
	}
	if !got.OK() || got.Alerts["4"] != 3 {
		t.Errorf("disagreement is no fault of the path: %+v", got)
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(200-i)*time.Millisecond)
	}
	if got, want := spread(all), (Spread{Count: 200, P50: 100, P95: 190, P99: 198, Max: 200}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := spread(nil); got != (Spread{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestAPlaceInTheLogIsJudged(t *testing.T) {
	t.Parallel()
	at := place{epoch: "a", seq: 7}
	for sentence, c := range map[string]struct {
		m    meta
		want placeFault
	}{
		"the next":                   {meta{Epoch: "a", Seq: 12, Prev: 7}, placeRight},
		"the same":                   {meta{Epoch: "a", Seq: 7, Prev: 3}, placeTwice},
		"an older":                   {meta{Epoch: "a", Seq: 3, Prev: 0}, placeTwice},
		"one after another":          {meta{Epoch: "a", Seq: 15, Prev: 12}, placeHole},
		"the first of another log":   {meta{Epoch: "b", Seq: 2, Prev: 1}, placeRight},
		"one after a gap in numbers": {meta{Epoch: "a", Seq: 900, Prev: 7}, placeRight},
	} {
		if got := at.follow(c.m); got != c.want {
			t.Errorf("%s: %d, want %d", sentence, got, c.want)
		}
	}
	if got := (place{}).follow(meta{Epoch: "a", Seq: 5, Prev: 4}); got != placeRight {
		t.Errorf("the first that is heard: %d", got)
	}
}
