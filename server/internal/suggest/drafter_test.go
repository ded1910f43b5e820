package suggest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/internal/suggest"
	"vigil/server/internal/triage"
)

func TestARequestIsAnsweredFromTheBankWithoutOpeningAnything(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	b.run(t, b.config())
	s := b.Session(t)
	m := s.Send(t, "I think of ending it")
	b.log.entries <- b.assessed(t, m, triage.Assessment{Level: triage.LevelIntent})
	if o := b.next(t); o.outcome != suggest.OutcomeForgone {
		t.Fatalf("unasked in an organisation that wants to be asked: %+v", o)
	}
	id, entry := b.ask(t, s)
	b.log.entries <- entry
	if o := b.next(t); o != (outcome{suggest.OutcomeOffered, "bank"}) {
		t.Fatalf("%+v", o)
	}
	got := b.one(t, m.ID)
	if got.id != id || got.status != "offered" || got.source != "bank" || got.text == "" || got.seals != 1 || !got.asked {
		t.Errorf("%+v", got)
	}
	if n := b.envelope.opened(); n != 0 {
		t.Errorf("%d messages were opened for a text of the bank", n)
	}
	if strings.Contains(b.lines.String(), got.text) {
		t.Error("the draft is in the log")
	}
	for _, message := range []uuid.UUID{m.ID} {
		if _, err := envelope.OpenSuggestion(s.Client.Device, b.Analysis.SigPub(), envelope.Suggestion{ID: got.id, Session: s.ID, Message: message, Device: s.Client.Device.KID()}); err == nil {
			t.Error("the client's device opened it")
		}
	}
}

func TestWhatIsForReviewIsAnsweredUnaskedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingElevated)
	b.run(t, b.config())
	s := b.Session(t)
	calm, loud := s.Send(t, "one"), s.Send(t, "two")
	b.log.entries <- b.assessed(t, calm, triage.Assessment{})
	entry := b.assessed(t, loud, triage.Assessment{Level: triage.LevelWishToBeDead})
	b.log.entries <- entry
	if o := b.next(t); o != (outcome{suggest.OutcomeOffered, "bank"}) {
		t.Fatalf("%+v", o)
	}
	b.log.entries <- entry
	if o := b.next(t); o.outcome != suggest.OutcomeForgone {
		t.Errorf("again: %+v", o)
	}
	if got := b.one(t, loud.ID); got.asked || got.text == "" {
		t.Errorf("%+v", got)
	}
	if found := b.stored(t, calm.ID); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestWhyThereIsNoneIsRecorded(t *testing.T) {
	t.Parallel()
	for reason, before := range map[string]func(t *testing.T, b *bundle, m triage.Message){
		"no_consent": func(t *testing.T, b *bundle, m triage.Message) {
			b.exec(t, `update public.devices set revoked_at = now() where id = $1`, m.SenderDeviceID) // that signed it; a withdrawal withdraws the request
		},
		"no_device": func(t *testing.T, b *bundle, _ triage.Message) {
			b.exec(t, `update public.devices set revoked_at = now() where id = $1`, b.Therapist.Device.KID())
		},
		"strict": func(t *testing.T, b *bundle, m triage.Message) {
			b.exec(t, `update public.sessions set mode = 'strict' where id = $1`, m.SessionID)
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := setup(t, triage.SuggestingOnDemand)
			s := b.Session(t)
			m := s.Send(t, "one")
			b.assessed(t, m, triage.Assessment{})
			_, entry := b.ask(t, s)
			before(t, b, m)
			b.run(t, b.config())
			b.log.entries <- entry
			if o := b.next(t); o.outcome != reason {
				t.Errorf("%+v", o)
			}
			if got := b.one(t, m.ID); got.status != "not_made" || got.reason != reason || got.seals != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestARequestWaitsForItsAssessment(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	b.run(t, b.config())
	s := b.Session(t)
	m := s.Send(t, "one")
	_, entry := b.ask(t, s)
	b.log.entries <- entry
	<-b.log.handled
	b.log.entries <- b.assessed(t, m, triage.Assessment{Topics: []string{"grief"}})
	if o := b.next(t); o.outcome != suggest.OutcomeOffered {
		t.Fatalf("%+v", o)
	}
	if got := b.one(t, m.ID); !strings.HasPrefix(got.move, "topic.grief") {
		t.Errorf("%+v", got)
	}
}

func TestARequestThatWaitedInVainIsNotOpened(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	s := b.Session(t)
	m := s.Send(t, "one")
	_, entry := b.ask(t, s)
	c := b.config()
	c.Patience = time.Nanosecond
	b.run(t, c)
	b.log.entries <- entry
	if o := b.next(t); o.outcome != "not_opened" {
		t.Errorf("%+v", o)
	}
	if got := b.one(t, m.ID); got.reason != "not_opened" {
		t.Errorf("%+v", got)
	}
}

// TestWhatACrashLeftIsMadeAtTheNextStart: the log says nothing of either any more.
func TestWhatACrashLeftIsMadeAtTheNextStart(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingElevated)
	s, other := b.Session(t), b.Session(t)
	asked, unasked := s.Send(t, "one"), other.Send(t, "two")
	b.assessed(t, asked, triage.Assessment{})
	b.assessed(t, unasked, triage.Assessment{Distress: true})
	b.ask(t, s)
	b.run(t, b.config())
	for range 2 {
		if o := b.next(t); o.outcome != suggest.OutcomeOffered {
			t.Errorf("%+v", o)
		}
	}
	if got := b.one(t, asked.ID); !got.asked || got.text == "" {
		t.Errorf("%+v", got)
	}
	if got := b.one(t, unasked.ID); got.asked || got.text == "" {
		t.Errorf("%+v", got)
	}
}

func TestTooManyAtOnceAreShedAndSayBusy(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	s, other, third := b.Session(t), b.Session(t), b.Session(t)
	began, end := make(chan struct{}, 3), make(chan struct{})
	c := b.config()
	c.Workers, c.Queue = 1, 1
	c.At = func(point string) {
		if point == suggest.AtBeforeDraft {
			began <- struct{}{}
			<-end
		}
	}
	b.run(t, c)
	var messages []triage.Message
	for i, of := range []interface {
		Send(tb testing.TB, text string) triage.Message
	}{s, other, third} {
		messages = append(messages, of.Send(t, "one"))
		b.assessed(t, messages[i], triage.Assessment{})
	}
	_, first := b.ask(t, s)
	_, second := b.ask(t, other)
	_, last := b.ask(t, third)
	b.log.entries <- first
	<-began // the only worker is busy
	b.log.entries <- second
	b.log.entries <- last
	if o := b.next(t); o.outcome != "busy" {
		t.Errorf("%+v", o)
	}
	close(end)
	for range 2 {
		if o := b.next(t); o.outcome != suggest.OutcomeOffered {
			t.Errorf("%+v", o)
		}
	}
	if got := b.one(t, messages[2].ID); got.status != "not_made" || got.reason != "busy" {
		t.Errorf("%+v", got)
	}
}

func TestNoTextIsGivenTwiceInASession(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingElevated)
	b.run(t, b.config())
	s := b.Session(t)
	texts := map[string]bool{}
	for range 6 {
		m := s.Send(t, "one")
		b.log.entries <- b.assessed(t, m, triage.Assessment{Level: triage.LevelPlanAndIntent, Alert: true})
		if o := b.next(t); o.outcome != suggest.OutcomeOffered {
			t.Fatalf("%+v", o)
		}
		got := b.one(t, m.ID)
		if texts[got.text] {
			t.Errorf("%q came again", got.move)
		}
		texts[got.text] = true
	}
}

// model is a STAND-IN for an OpenAI-compatible server, for these tests only. It says what it was asked.
type model struct {
	*httptest.Server
	calls atomic.Int32
	asked chan string
	hold  chan struct{} // nil: answers at once
}

const modelDraft = "It sounds like a tiring stretch. What has been the hardest hour of it?"

func newModel(t *testing.T, hold chan struct{}) *model {
	t.Helper()
	m := &model{asked: make(chan string, 10), hold: hold}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.calls.Add(1)
		raw, _ := io.ReadAll(r.Body)
		m.asked <- string(raw)
		if m.hold != nil {
			select {
			case <-m.hold:
			case <-r.Context().Done():
				return
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": modelDraft}}}})
	}))
	t.Cleanup(m.Close)
	return m
}

// withModel gives the organisation a route, and the configuration the model.
func (b *bundle) withModel(t *testing.T, m *model) suggest.Config {
	t.Helper()
	b.exec(t, `insert into public.model_routes (organization_id, task, provider, model) values ($1, 'suggest', 'openai', 'test-model')`, b.Organization)
	u, err := url.Parse(m.URL + "/v1")
	if err != nil {
		t.Fatal(err)
	}
	c := b.config()
	c.Model = suggest.NewModel(suggest.ModelConfig{URL: u, Timeout: 10 * time.Second, Calls: 2})
	t.Cleanup(c.Model.Close)
	return c
}

func TestAModelIsAskedOnlyWhenEverythingAllowsIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leave   []bool
		found   triage.Assessment
		noRoute bool
		source  string
		calls   int32
	}{
		"route and consent":                      {[]bool{true}, triage.Assessment{}, false, "model", 1},
		"below level 4":                          {[]bool{true}, triage.Assessment{Level: triage.LevelMethod}, false, "model", 1},
		"no consent":                             {[]bool{false}, triage.Assessment{}, false, "bank", 0},
		"consent, taken back before text leaves": {[]bool{true, false}, triage.Assessment{}, false, "bank", 0},
		"consent, taken back while it was asked": {[]bool{true, true, false}, triage.Assessment{}, false, "bank", 1},
		"no route":                               {[]bool{true}, triage.Assessment{}, true, "bank", 0},
		"level 4":                                {[]bool{true}, triage.Assessment{Level: triage.LevelIntent}, false, "bank", 0},
		"level 6":                                {[]bool{true}, triage.Assessment{Level: triage.LevelBehaviour}, false, "bank", 0},
		"a threat to somebody else":              {[]bool{true}, triage.Assessment{HarmOthers: true}, false, "bank", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, triage.SuggestingOnDemand)
			b.envelope.leave = c.leave
			server := newModel(t, nil)
			config := b.withModel(t, server)
			if c.noRoute {
				b.exec(t, `update public.model_routes set enabled = false`)
			}
			b.run(t, config)
			s := b.Session(t)
			earlier := s.Send(t, "an earlier-canary message")
			m := s.Send(t, "the last-canary message")
			b.assessed(t, earlier, triage.Assessment{})
			b.assessed(t, m, c.found)
			_, entry := b.ask(t, s)
			b.log.entries <- entry
			if o := b.next(t); o != (outcome{suggest.OutcomeOffered, c.source}) {
				t.Fatalf("%+v", o)
			}
			got := b.one(t, m.ID)
			if got.source != c.source || (got.text == modelDraft) != (c.source == "model") || (got.model == "test-model") != (c.source == "model") || got.move == "" {
				t.Errorf("%+v", got)
			}
			if server.calls.Load() != c.calls {
				t.Errorf("%d calls, want %d", server.calls.Load(), c.calls)
			}
			if c.calls == 0 && len(c.leave) == 1 && b.envelope.opened() != 0 {
				t.Error("messages were opened for nobody")
			}
			if c.calls > 0 {
				asked := <-server.asked
				for _, id := range []uuid.UUID{s.ID, m.ID, b.Organization, s.Client.ID, b.Therapist.ID} {
					if strings.Contains(asked, id.String()) {
						t.Error("an id left with the text")
					}
				}
				if !strings.Contains(asked, "earlier-canary") || strings.Index(asked, "earlier-canary") > strings.Index(asked, "last-canary") {
					t.Error("the talk is not in order")
				}
			}
			for _, text := range []string{"canary", modelDraft, got.text} {
				if strings.Contains(b.lines.String(), text) {
					t.Errorf("the log has %q", text)
				}
			}
		})
	}
}

func TestAModelThatFailsLeavesTheBanksText(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	b.envelope.leave = []bool{true}
	server := newModel(t, nil)
	c := b.withModel(t, server)
	server.Close()
	b.run(t, c)
	s := b.Session(t)
	m := s.Send(t, "a canary")
	b.assessed(t, m, triage.Assessment{})
	_, entry := b.ask(t, s)
	b.log.entries <- entry
	if o := b.next(t); o != (outcome{suggest.OutcomeOffered, "bank"}) {
		t.Fatalf("%+v", o)
	}
	if called := <-b.calls; called != suggest.CallUnreachable {
		t.Errorf("called: %s", called)
	}
	if !strings.Contains(b.lines.String(), "the bank answers") || strings.Contains(b.lines.String(), "canary") {
		t.Errorf("the log says %s", b.lines)
	}
}

// TestTurningSuggestionsOffStopsOneInFlight: while a slow model is asked, the organisation turns suggestions off.
func TestTurningSuggestionsOffStopsOneInFlight(t *testing.T) {
	t.Parallel()
	for name, asked := range map[string]bool{"asked for": true, "unasked": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, triage.SuggestingElevated)
			b.envelope.leave = []bool{true}
			hold := make(chan struct{})
			server := newModel(t, hold)
			b.run(t, b.withModel(t, server))
			s := b.Session(t)
			m := s.Send(t, "one")
			entry := b.assessed(t, m, triage.Assessment{Distress: true})
			if asked {
				_, entry = b.ask(t, s)
			}
			b.log.entries <- entry
			<-server.asked
			b.set(t, triage.SuggestingOff)
			close(hold)
			if o := b.next(t); o.outcome != suggest.OutcomeWithdrawn && o.outcome != suggest.OutcomeForgone {
				t.Errorf("%+v", o)
			}
			for _, got := range b.stored(t, m.ID) {
				if got.status != "withdrawn" || got.seals != 0 || got.text != "" || !asked {
					t.Errorf("%+v", got)
				}
			}
			var offered int
			if err := b.Superuser.QueryRow(t.Context(), `select count(*) from public.suggestion_seals`).Scan(&offered); err != nil || offered != 0 {
				t.Errorf("%d seals, %v", offered, err)
			}
		})
	}
}

// TestAStopCutsOffTheModelAndTheNextStartAnswers: what is in flight when the process ends is not lost.
func TestAStopCutsOffTheModelAndTheNextStartAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	b.envelope.leave = []bool{true}
	hold := make(chan struct{})
	server := newModel(t, hold)
	c := b.withModel(t, server)
	stop := b.run(t, c)
	s := b.Session(t)
	m := s.Send(t, "one")
	b.assessed(t, m, triage.Assessment{})
	_, entry := b.ask(t, s)
	b.log.entries <- entry
	<-server.asked
	stop()
	if got := b.one(t, m.ID); got.status != "requested" {
		t.Fatalf("%+v", got)
	}
	close(hold)
	c.Model = nil
	b.run(t, c)
	if o := b.next(t); o.outcome != suggest.OutcomeOffered {
		t.Errorf("%+v", o)
	}
}

// panicking opens nothing: it panics with what a detector of leaks would find.
type panicking struct{ *ringEnvelope }

func (panicking) Seal(context.Context, triage.Message, uuid.UUID, []uuid.UUID, string) ([]triage.Seal, error) {
	panic("canary in a panic")
}

func TestAPanicShowsNothingAndEndsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	s := b.Session(t)
	m := s.Send(t, "one")
	b.assessed(t, m, triage.Assessment{})
	_, entry := b.ask(t, s)
	c := b.config()
	c.Envelope = panicking{b.envelope}
	stop := b.run(t, c)
	b.log.entries <- entry
	if o := b.next(t); o.outcome != suggest.OutcomeFailed {
		t.Errorf("%+v", o)
	}
	stop()
	if strings.Contains(b.lines.String(), "canary") {
		t.Error("the panic's value is in the log")
	}
	if got := b.one(t, m.ID); got.status != "requested" {
		t.Errorf("%+v", got)
	}
	c.Patience = time.Nanosecond // it has been tried for long enough
	b.run(t, c)
	for _, want := range []string{suggest.OutcomeFailed, "not_opened"} {
		if o := b.next(t); o.outcome != want {
			t.Errorf("%+v, want %s", o, want)
		}
	}
	if got := b.one(t, m.ID); got.status != "not_made" || got.reason != "not_opened" {
		t.Errorf("%+v", got)
	}
}

// faulty fails to record as often as it is told, as a database that is away for a moment would.
type faulty struct {
	*store.Store
	left atomic.Int32
}

func (f *faulty) RecordSuggestion(ctx context.Context, s triage.Suggestion) (triage.SuggestionStatus, error) {
	if f.left.Add(-1) >= 0 {
		return "", errors.New("the connection broke")
	}
	return f.Store.RecordSuggestion(ctx, s)
}

func TestAnUnaskedDraftThatCouldNotBeRecordedIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingElevated)
	broken := &faulty{Store: b.store}
	broken.left.Store(1)
	c := b.config()
	c.Book, c.Sweep = broken, 50*time.Millisecond
	b.run(t, c)
	s := b.Session(t)
	m := s.Send(t, "one")
	b.log.entries <- b.assessed(t, m, triage.Assessment{Distress: true})
	for _, want := range []string{suggest.OutcomeFailed, suggest.OutcomeOffered} {
		o := b.next(t)
		for o.outcome == suggest.OutcomeForgone { // the first sweep may have been there as well
			o = b.next(t)
		}
		if o.outcome != want {
			t.Errorf("%+v, want %s", o, want)
		}
	}
	if got := b.one(t, m.ID); got.asked || got.text == "" {
		t.Errorf("%+v", got)
	}
}
