package suggest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/suggest"
	"vigil/server/internal/triage"
)

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
