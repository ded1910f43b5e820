package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/store/storetest"
	"vigil/server/internal/triage"
)

// page records a grave message of a session and gives its alert, whose page is due.
func (b bundle) page(t *testing.T, s *storetest.Session) (alert uuid.UUID) {
	t.Helper()
	m := s.Send(t, "one")
	if _, err := b.store.Record(t.Context(), []triage.Advance{b.advance(m.Position-1, b.outcome(m, 5))}); err != nil {
		t.Fatal(err)
	}
	if err := b.Superuser.QueryRow(t.Context(), `select id from public.alerts where message_id = $1`, m.ID).Scan(&alert); err != nil {
		t.Fatal(err)
	}
	return alert
}

func (b bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := b.Superuser.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// older makes pages older, past the trigger that keeps them as they were made.
func (b bundle) older(t *testing.T, alert uuid.UUID, by string) {
	t.Helper()
	b.exec(t, `alter table public.alert_pages disable trigger a_sent_page_stands`)
	b.exec(t, `update public.alert_pages set created_at = created_at - $2::interval, next_attempt_at = next_attempt_at - $2::interval where alert_id = $1`, alert, by)
	b.exec(t, `alter table public.alert_pages enable trigger a_sent_page_stands`)
}

func TestPagesAreClaimedTheLongestDueFirstAndOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	alerts := []uuid.UUID{b.page(t, s), b.page(t, s), b.page(t, s), b.page(t, s)}
	b.older(t, alerts[2], "1 hour")
	b.older(t, alerts[1], "2 days") // nobody is paged for it any more
	claim := func(limit int) (ids []uuid.UUID) {
		t.Helper()
		pages, err := b.store.ClaimPages(t.Context(), limit, time.Minute, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			ids = append(ids, p.AlertID)
		}
		return ids
	}
	if got := claim(1); !slices.Equal(got, alerts[2:3]) {
		t.Errorf("claimed %v, want the one that is due for an hour", got)
	}
	got := claim(10)
	slices.SortFunc(got, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	want := []uuid.UUID{alerts[0], alerts[3]}
	slices.SortFunc(want, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	if !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
	if got := claim(10); len(got) != 0 {
		t.Errorf("claimed %v twice", got)
	}
}

func TestAClaimedPageShowsTheAlertAsItIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	alert := b.page(t, b.Session(t))
	claim := func() triage.Page {
		t.Helper()
		pages, err := b.store.ClaimPages(t.Context(), 1, 0, time.Hour)
		if err != nil || len(pages) != 1 {
			t.Fatalf("%+v, %v", pages, err)
		}
		return pages[0]
	}
	p := claim()
	want := []uuid.UUID{b.Therapist.ID, b.Supervisor.ID} // the closest first
	if p.Step != 1 || p.Attempt != 1 || p.Level == nil || *p.Level != 5 || p.Answered || p.OrganizationID != b.Organization || !slices.Equal(p.Recipients, want) || p.Age <= 0 || p.Age > time.Minute {
		t.Errorf("claimed %+v", p)
	}
	if err := b.As(t.Context(), b.Therapist, []any{new(uuid.UUID)}, `select id from public.resolve_alert($1, 1)`, alert); err != nil {
		t.Fatal(err)
	}
	if p = claim(); p.Attempt != 2 || !p.Answered || len(p.Recipients) != 0 {
		t.Errorf("after it was resolved: %+v", p)
	}
}

func TestOldPagesAreGivenUpAndTheRestCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if u, err := b.store.UnsentPages(t.Context()); err != nil || u != (triage.Unsent{}) {
		t.Errorf("of nothing: %+v, %v", u, err)
	}
	s := b.Session(t)
	old, young, sent := b.page(t, s), b.page(t, s), b.page(t, s)
	b.older(t, old, "25 hours")
	b.older(t, young, "1 hour")
	b.exec(t, `update public.alert_pages set status = 'sent', sent_at = now() where alert_id = $1`, sent)
	if u, err := b.store.UnsentPages(t.Context()); err != nil || u.Count != 2 || u.Oldest < 25*time.Hour {
		t.Errorf("before: %+v, %v", u, err)
	}
	if n, err := b.store.ExpirePages(t.Context(), 24*time.Hour, "gave_up"); err != nil || n != 1 {
		t.Errorf("gave up %d, %v", n, err)
	}
	if n := b.count(t, `public.alert_pages where alert_id = $1 and status = 'failed' and last_error = 'gave_up'`, old); n != 1 {
		t.Error("the old page is not given up")
	}
	if u, err := b.store.UnsentPages(t.Context()); err != nil || u.Count != 1 || u.Oldest < time.Hour || u.Oldest > 2*time.Hour {
		t.Errorf("after: %+v, %v", u, err)
	}
}
