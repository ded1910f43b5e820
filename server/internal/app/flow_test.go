package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pglogrepl"

	"vigil/server/internal/relay"
	"vigil/server/internal/replication"
)

func TestTheFrontTurnsSocketsAwayWhileThereIsNoFlow(t *testing.T) {
	t.Parallel()
	f := new(front)
	ask := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/socket/websocket", nil))
		return w
	}
	refused := func(when string) {
		t.Helper()
		w := ask()
		var body struct{ Error, Code string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || body.Code != "RealtimeRestarting" {
			t.Errorf("%s: %d %s %v", when, w.Code, w.Body, err)
		}
	}
	refused("at first")
	f.open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if w := ask(); w.Code != http.StatusTeapot {
		t.Errorf("open: %d", w.Code)
	}
	f.open(nil)
	refused("shut again")
}

func TestAnIntakeBeginsOnce(t *testing.T) {
	t.Parallel()
	i := &intake{begun: make(chan struct{})}
	i.begin()
	i.begin() // a second connection
	<-i.begun
}

func TestTheMessageOfAFrameIsReadFromItsBeginning(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	for payload, want := range map[string]bool{
		`{"id":"` + id.String() + `","session_id":"x"}`: true,
		`{"id":"` + id.String()[:35] + `"}`:             false,
		`{"session_id":"` + id.String() + `"}`:          false,
		`{"id":"zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz"}`: false,
		``: false,
	} {
		if got, ok := messageID([]byte(payload)); ok != want || ok && got != id {
			t.Errorf("%s: %s %t", payload, got, ok)
		}
	}
}

func TestRowsOfLogAreReadAsTheRelaysRows(t *testing.T) {
	t.Parallel()
	alerts := &replication.Relation{OID: 5, Schema: "public", Name: "alerts", Columns: []replication.Column{{Name: "id", TypeOID: 2950, Key: true}, {Name: "level", TypeOID: 21}}}
	text := func(s string) replication.Value { return replication.Value{Kind: replication.Text, Data: []byte(s)} }
	data, err := replication.Batch{{
		Commit: 100, End: 120, XID: 7, CommittedAt: time.Unix(1_800_000_000, 0), Last: true,
		Changes: []replication.Change{
			{Ordinal: 1, Op: replication.Update, Relation: alerts, New: []replication.Value{text("a"), {Kind: replication.Unchanged}}, Old: []replication.Value{text("b"), {Kind: replication.Null}}},
			{Ordinal: 2, Op: replication.Message, Prefix: "vigil.ddl", Content: []byte("x")},
		},
	}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := decodeRows(data)
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	r := rows[0]
	if r.Op != relay.Update || r.Schema != "public" || r.Table != "alerts" || pglogrepl.LSN(r.Commit) != 100 || r.Ordinal != 1 || r.XID != 7 ||
		len(r.Columns) != 2 || r.Columns[0] != (relay.Column{Name: "id", TypeOID: 2950, Key: true}) {
		t.Errorf("%+v", r)
	}
	if string(r.New[0].Data) != "a" || r.New[0].Kind != relay.Text || r.New[1].Kind != relay.Unchanged || string(r.Old[0].Data) != "b" || r.Old[1].Kind != relay.Null {
		t.Errorf("values %+v %+v", r.New, r.Old)
	}
	if m := rows[1]; m.Op != relay.Message || m.Prefix != "vigil.ddl" || m.New != nil || m.Columns != nil {
		t.Errorf("%+v", m)
	}
	if _, err := decodeRows([]byte("no batch")); err == nil {
		t.Error("what is no batch was read")
	}
}

func TestTopicsOfTheLogAreDurable(t *testing.T) {
	t.Parallel()
	for topic, want := range map[string]bool{"session:1": true, "care:1": true, "inbox:1": true, "org:1": true, "room:1": false, "sessions:1": false, "": false} {
		if relay.Durable(topic) != want {
			t.Errorf("%q: %t", topic, !want)
		}
	}
}
