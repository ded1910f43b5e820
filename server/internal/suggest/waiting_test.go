package suggest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"vigil/server/internal/triage"
)

// TestWaitingRequestsDoNotStay: each leaves when it is answered, and when nobody comes back to it.
func TestWaitingRequestsDoNotStay(t *testing.T) {
	t.Parallel()
	d, err := New(Config{Patience: time.Minute, Queue: 10})
	if err != nil {
		t.Fatal(err)
	}
	message := uuid.New()
	answered := triage.SuggestionTask{MessageID: message, Request: uuid.New(), At: time.Now()}
	other := triage.SuggestionTask{MessageID: message, Request: uuid.New(), At: time.Now()}
	withdrawn := triage.SuggestionTask{MessageID: uuid.New(), Request: uuid.New(), At: time.Now().Add(-2 * time.Minute)}
	for _, task := range []triage.SuggestionTask{answered, other, withdrawn} {
		d.await(task)
	}
	d.unawait(answered)
	d.lapse()
	if left := d.waiting[message]; len(d.waiting) != 1 || len(left) != 1 || left[0].Request != other.Request {
		t.Errorf("waiting: %+v", d.waiting)
	}
	d.unawait(other)
	if len(d.waiting) != 0 {
		t.Errorf("waiting: %+v", d.waiting)
	}
}

func TestATextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("aé€😀", 5)
	for most := range len(text) + 2 {
		if got := cut(text, most); !utf8.ValidString(got) || len(got) > most || len(got) < min(most, len(text))-3 || !strings.HasPrefix(text, got) {
			t.Errorf("%q at %d", got, most)
		}
	}
}

// closing is a body that tells that it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

type answering func(*http.Request) (*http.Response, error)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func TestAModelsAnswerIsClosed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusOK, http.StatusTooManyRequests} {
		body := &closing{Reader: strings.NewReader("{}")}
		x := &exchange{client: &http.Client{Transport: answering(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: body}, nil
		})}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://model.invalid/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := x.Do(req); err == nil {
			_ = res.Body.Close()
		}
		if !body.closed {
			t.Errorf("left open after %d", status)
		}
	}
}
