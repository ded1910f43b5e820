package suggest

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"vigil/server/internal/replication"
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

// TestAnErasedSessionIsForgottenHereToo: this may be another process than the pipeline's. What was read before the tables showed
// the change is forgotten once more.
func TestAnErasedSessionIsForgottenHereToo(t *testing.T) {
	t.Parallel()
	text := func(s string) replication.Value { return replication.Value{Kind: replication.Text, Data: []byte(s)} }
	erased, absent := uuid.New(), replication.Value{Kind: replication.Null}
	for name, c := range map[string]struct {
		table, column string
		op            replication.Op
		value         replication.Value
		once, all     int
	}{
		"a receipt":               {"erasures", "session_id", replication.Insert, text(erased.String()), 1, 0},
		"a receipt that moves on": {"erasures", "session_id", replication.Update, text(erased.String()), 1, 0},
		"a person's receipt":      {"erasures", "session_id", replication.Insert, absent, 0, 0},
		"an epoch that is gone":   {"session_epochs", "session_id", replication.Delete, text(erased.String()), 1, 0},
		"a new epoch":             {"session_epochs", "session_id", replication.Insert, text(erased.String()), 0, 0},
		"a consent":               {"session_consents", "session_id", replication.Update, text(erased.String()), 1, 0},
		"a session that is gone":  {"sessions", "id", replication.Delete, text(erased.String()), 1, 0},
		"all sessions":            {"sessions", "id", replication.Truncate, text(erased.String()), 0, 1},
		"a message":               {"messages", "session_id", replication.Insert, text(erased.String()), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			once, all := 0, 0
			d, err := New(Config{
				Log: slog.New(slog.DiscardHandler), ForgetAll: func() { all++ },
				Forget: func(session uuid.UUID) {
					if session != erased {
						t.Errorf("session %s was forgotten", session)
					}
					once++
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			row := replication.Change{
				Ordinal: 1, Op: c.op,
				Relation: &replication.Relation{OID: 5, Schema: "public", Name: c.table, Columns: []replication.Column{{Name: c.column, TypeOID: 2950, Key: true}}},
			}
			switch c.op {
			case replication.Delete:
				row.Old = []replication.Value{c.value}
			case replication.Insert, replication.Update:
				row.New = []replication.Value{c.value}
			}
			data, err := replication.Batch{{Commit: 1, End: 2, XID: 7, CommittedAt: time.Unix(1_800_000_000, 0), Last: true, Changes: []replication.Change{row}}}.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.handle(t.Context(), []Entry{{Seq: 1, Data: data}}); err != nil {
				t.Fatal(err)
			}
			if once != c.once || all != c.all {
				t.Errorf("forgotten %d times, all %d times, want %d and %d", once, all, c.once, c.all)
			}
			d.forgetAgain()
			d.forgetAgain()
			if once != 2*c.once {
				t.Errorf("forgotten %d times after two sweeps, want %d", once, 2*c.once)
			}
		})
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
