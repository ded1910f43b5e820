package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/envelope"
)

// keysOf are the wraps and bodies of a session: what opens it, and what is opened.
func (s *stack) keysOf(t testing.TB, session uuid.UUID) (wraps, bodies []string) {
	t.Helper()
	if err := s.admin.QueryRow(t.Context(), `select array(select wrap from public.epoch_wraps where session_id = $1), array(select body from public.messages where session_id = $1)`,
		session).Scan(&wraps, &bodies); err != nil {
		t.Fatal(err)
	}
	return wraps, bodies
}

// below is everything in the files of a folder.
func below(t testing.TB, dir string) string {
	t.Helper()
	var all strings.Builder
	if err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		all.Write(data)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestAnErasedSessionOpensNowhere: with every device's key and the sidecar's, a dump of the database, the bus and the log, there is no
// epoch key to be had; the sidecar has forgotten those that it had open; and the receipt says what was destroyed.
func TestAnErasedSessionOpensNowhere(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	e := s.emergency(t, envelope.ScopeCrisisAccess)
	other := s.therapy(t, e.org)
	client := s.watch(e.client, "session:"+e.id.String())
	client.begin(t)
	message, kept := e.send(t, crisisText), other.send(t, ordinaryText)
	e.awaitRead(t, e.supervisor, e.supervisor.device, message)
	s.settled(t.Context(), t)
	s.awaitMetric(t, "vigil_epochs_open", func(n float64) bool { return n == 2 })
	wraps, bodies := s.keysOf(t, e.id)
	if before := string(s.everyRow(t)); len(wraps) < 4 || !strings.Contains(before, wraps[0]) || !strings.Contains(before, bodies[0]) {
		t.Fatal("the dump before does not hold the keys: the test proves nothing")
	}

	code, out, complaints := s.vigil(t, "erase", "session", e.id.String())
	var receipt struct {
		ID     uuid.UUID
		Status string
		Counts map[string]int
		Seq    int64  `json:"audit_seq"`
		Hash   string `json:"audit_hash"`
	}
	if err := json.Unmarshal([]byte(out), &receipt); err != nil || code != 0 || receipt.Status != "done" {
		t.Fatalf("%d %s %s %v", code, out, complaints, err)
	}
	if receipt.Counts["wraps"] != len(wraps) || receipt.Counts["messages"] != 1 || receipt.Counts["alerts"] != 1 || receipt.Hash == "" {
		t.Errorf("the receipt says %+v", receipt)
	}
	s.awaitMetric(t, "vigil_epochs_open", func(n float64) bool { return n == 1 })
	dump, bus, log := string(s.everyRow(t)), below(t, s.dataDir), s.sidecar.out.String()
	for _, wrap := range wraps {
		if strings.Contains(dump, wrap) || strings.Contains(bus, wrap) || strings.Contains(log, wrap) {
			t.Error("a key of the session is still there")
		}
	}
	if strings.Contains(dump, bodies[0]) || strings.Contains(dump, "1 "+e.id.String()) {
		t.Error("a body of the session is still in the database")
	}
	for _, p := range []*person{e.client, e.therapist, e.supervisor} {
		if text, err := e.readAs(t.Context(), p, p.device, message); !errors.Is(err, pgx.ErrNoRows) {
			t.Errorf("the %s reads %q, %v", p.role, text, err)
		}
	}
	if text, err := other.readAs(t.Context(), other.therapist, other.therapist.device, kept); err != nil || text != ordinaryText {
		t.Errorf("another session reads %q, %v", text, err)
	}
	heardErasure(t, client, receipt.ID)
	if code, out, _ := s.vigil(t, "erase", "session", e.id.String()); code != 1 || out != "" {
		t.Errorf("erased again: %d %s", code, out)
	}
	if told := s.sidecar.out.errors(); told != "" {
		t.Errorf("the sidecar complains: %s", told)
	}
}

// heardErasure waits until a watcher was told that the session was shredded.
func heardErasure(t testing.TB, w *watcher, id uuid.UUID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.await(ctx, func(w *watcher) bool {
		for _, b := range w.entries {
			var r struct {
				ID     uuid.UUID
				Status string
			}
			if b.Event == "erasure" && json.Unmarshal(b.Payload, &r) == nil && r.ID == id && r.Status == "shredded" {
				return true
			}
		}
		return false
	}); err != nil {
		t.Errorf("the client was not told of the erasure: %v", err)
	}
}
