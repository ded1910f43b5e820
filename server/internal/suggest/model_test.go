package suggest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tmc/langchaingo/llms"
)

// standIn is a STAND-IN for an OpenAI-compatible server, for these tests only: it answers in that API's shape, and can be as
// unkind as the real ones.
type standIn struct {
	*httptest.Server
	calls  atomic.Int32
	answer func(w http.ResponseWriter, r *http.Request, body map[string]any)
}

func newStandIn(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, body map[string]any)) *standIn {
	t.Helper()
	s := &standIn{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		raw, err := io.ReadAll(r.Body)
		var body map[string]any
		if err != nil || json.Unmarshal(raw, &body) != nil || r.URL.Path != "/v1/chat/completions" || r.Method != http.MethodPost {
			t.Errorf("not a call of that API: %s %s", r.Method, r.URL.Path)
		}
		s.answer(w, r, body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *standIn) model(t *testing.T, key string, timeout time.Duration) *Model {
	t.Helper()
	u, err := url.Parse(s.URL + "/v1/")
	if err != nil {
		t.Fatal(err)
	}
	m := NewModel(ModelConfig{URL: u, Key: key, Timeout: timeout, Calls: 2})
	t.Cleanup(m.Close)
	return m
}

func completion(text, reason string) string {
	raw, _ := json.Marshal(map[string]any{
		"id": "x", "object": "chat.completion", "choices": []any{
			map[string]any{"index": 0, "finish_reason": reason, "message": map[string]any{"role": "assistant", "content": text}},
		},
		"usage": map[string]any{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
	})
	return string(raw)
}

const (
	goodDraft = "That sounds heavy. What would help you tonight?"
	said      = "the-words-of-a-client"
)

func talk() []llms.MessageContent {
	return prompt(Move{ID: "m", Kind: "open_question", Text: "What stays with you?"}, []utterance{{said, true}, {"I see.", false}, {"and more", true}})
}

func write(status int, body string, headers ...string) func(http.ResponseWriter, *http.Request, map[string]any) {
	return func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestAModelIsAskedAsItsAPISays(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"with a key": "secret-key", "without one": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got map[string]any
			var authorization string
			s := newStandIn(t, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
				got, authorization = body, r.Header.Get("Authorization")
				write(200, completion(`"`+goodDraft+`"`, "stop"))(w, r, body)
			})
			draft, err := s.model(t, key, 5*time.Second).Draft(t.Context(), "qwen3:8b", talk())
			if err != nil || draft != goodDraft {
				t.Fatalf("%q %v", draft, err)
			}
			if want := map[bool]string{true: "Bearer " + key, false: ""}[key != ""]; authorization != want {
				t.Errorf("authorization %q", authorization)
			}
			messages, _ := got["messages"].([]any)
			if got["model"] != "qwen3:8b" || len(messages) != 4 || got["stream"] != nil || got["max_completion_tokens"] == nil || got["max_tokens"] != nil {
				t.Errorf("asked with model %v, %d messages, stream %v, limits %v %v", got["model"], len(messages), got["stream"], got["max_completion_tokens"], got["max_tokens"])
			}
			for i, role := range []string{"system", "user", "assistant", "user"} {
				if m, _ := messages[i].(map[string]any); m["role"] != role {
					t.Errorf("message %d is by %v", i, m["role"])
				}
			}
		})
	}
}

func TestEachUnkindnessOfAModelHasItsOutcome(t *testing.T) {
	t.Parallel()
	quoting := `{"error":{"message":"your input was: ` + said + `","type":"x"}}`
	for name, c := range map[string]struct {
		answer  func(http.ResponseWriter, *http.Request, map[string]any)
		outcome string
		pauses  bool
	}{
		"429 with Retry-After":         {write(429, quoting, "Retry-After", "30"), CallLimited, true},
		"429 without":                  {write(429, quoting), CallLimited, true},
		"500":                          {write(500, quoting), CallOverloaded, true},
		"503 with a date":              {write(503, quoting, "Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)), CallOverloaded, true},
		"529, which is in no standard": {write(529, quoting), CallOverloaded, true},
		"401":                          {write(401, quoting), CallRefused, true},
		"404":                          {write(404, "no such model"), CallRefused, true},
		"400 of another kind":          {write(400, quoting), CallRefused, true},
		"a redirect":                   {write(307, "", "Location", "http://127.0.0.1:1/v1/chat/completions"), CallRefused, true},
		"no JSON":                      {write(200, "<html>busy</html>"), CallInvalid, false},
		"an empty answer":              {write(200, ""), CallInvalid, false},
		"empty choices":                {write(200, `{"choices":[]}`), CallInvalid, false},
		"a choice that is null":        {write(200, `{"choices":[null]}`), CallInvalid, false},
		"an empty text":                {write(200, completion("", "stop")), CallInvalid, false},
		"a list":                       {write(200, completion("- breathe\n- walk", "stop")), CallInvalid, false},
		"advice on medication":         {write(200, completion("You should increase your medication a little bit.", "stop")), CallInvalid, false},
		"cut off in the middle":        {write(200, completion(goodDraft, "length")), CallInvalid, false},
		"filtered":                     {write(200, completion(goodDraft, "content_filter")), CallInvalid, false},
		"without end":                  {write(200, completion(strings.Repeat("a", mostAnswer), "stop")), CallInvalid, false},
		"a connection that breaks": {func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"choices"`)
		}, CallUnreachable, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, c.answer)
			m := s.model(t, "secret-key", 10*time.Second)
			draft, err := m.Draft(t.Context(), "model", talk())
			failure, ok := errors.AsType[*callError](err)
			if draft != "" || !ok || failure.outcome != c.outcome {
				t.Fatalf("%q, %v, want %s", draft, err, c.outcome)
			}
			for _, secret := range []string{said, "secret-key", "127.0.0.1"} {
				if strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) {
					t.Error("the error quotes what is nobody's business")
				}
			}
			_, err = m.Draft(t.Context(), "model", talk())
			again, _ := errors.AsType[*callError](err)
			if want := map[bool]string{true: CallPaused, false: c.outcome}[c.pauses]; again.outcome != want || c.pauses != (s.calls.Load() == 1) {
				t.Errorf("then %q after %d calls, want %q", again.outcome, s.calls.Load(), want)
			}
		})
	}
}

func TestAModelThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	s := newStandIn(t, func(_ http.ResponseWriter, r *http.Request, _ map[string]any) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(hang) })
	m := s.model(t, "", 50*time.Millisecond)
	_, err := m.Draft(t.Context(), "model", talk())
	if failure, ok := errors.AsType[*callError](err); !ok || failure.outcome != CallTimeout {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatIsAwayIsUnreachable(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, nil)
	m := s.model(t, "", time.Second)
	s.Close()
	_, err := m.Draft(t.Context(), "model", talk())
	if failure, ok := errors.AsType[*callError](err); !ok || failure.outcome != CallUnreachable {
		t.Errorf("got %v", err)
	}
}

func TestMoreCallsThanAllowedAreNotMade(t *testing.T) {
	t.Parallel()
	began, end := make(chan struct{}, 2), make(chan struct{})
	s := newStandIn(t, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		began <- struct{}{}
		<-end
		write(200, completion(goodDraft, "stop"))(w, r, body)
	})
	m := s.model(t, "", 20*time.Second)
	results := make(chan error, 2)
	for range 2 {
		go func() { // waited for by the receives below
			_, err := m.Draft(t.Context(), "model", talk())
			results <- err
		}()
	}
	<-began
	<-began
	_, err := m.Draft(t.Context(), "model", talk())
	if failure, ok := errors.AsType[*callError](err); !ok || failure.outcome != CallBusy {
		t.Errorf("a third call: %v", err)
	}
	close(end)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestAnOlderServerIsAskedInItsOwnWords(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		if body["max_completion_tokens"] != nil {
			write(400, `{"error":{"message":"Unrecognized request argument supplied: max_completion_tokens"}}`)(w, r, body)
			return
		}
		if body["max_tokens"] == nil {
			t.Error("no limit at all")
		}
		write(200, completion(goodDraft, "stop"))(w, r, body)
	})
	m := s.model(t, "", 10*time.Second)
	for calls := range 2 {
		if draft, err := m.Draft(t.Context(), "old", talk()); err != nil || draft != goodDraft {
			t.Fatalf("%q %v", draft, err)
		}
		if want := int32(2 + calls); s.calls.Load() != want { //nolint:gosec // two
			t.Errorf("%d calls, want %d: it is remembered", s.calls.Load(), want)
		}
	}
}

func TestRetryAfterIsReadAsSecondsOrADate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"30": 30 * time.Second, "0.5": 500 * time.Millisecond, "": 0, "soon": 0, "-5": 0, "NaN": 0, "1e300": 0,
		"Sun, 01 Nov 2026 12:01:00 GMT": time.Minute, "Sun, 01 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
	m := NewModel(ModelConfig{URL: &url.URL{}, Timeout: time.Second, Calls: 1})
	m.rest(&exchange{outcome: CallLimited, retryAfter: 24 * time.Hour})
	if until := time.Until(m.until); until > longestPause || until < longestPause-time.Minute {
		t.Errorf("a rest of %s", until)
	}
}

func TestAnEndedCallIsNoFaultOfTheModels(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, write(200, completion(goodDraft, "stop")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if draft, err := s.model(t, "", time.Second).Draft(ctx, "model", talk()); err == nil || draft != "" {
		t.Errorf("%q %v", draft, err)
	}
}
