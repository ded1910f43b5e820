package app

import (
	"testing"
	"time"

	"vigil/server/internal/store/storetest"
	"vigil/server/internal/triage"
)

// age makes a session's messages that much older.
func age(t *testing.T, p *storetest.Practice, by time.Duration) {
	t.Helper()
	tx, err := p.Superuser.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // committed below
	if _, err := tx.Exec(t.Context(), `set local session_replication_role = replica`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `update public.messages set created_at = created_at - $1 * interval '1 microsecond'`, by.Microseconds()); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestAMessageThatNobodyScoresIsHeard: a device that does not score must not be one that found nothing. What it says late counts.
func TestAMessageThatNobodyScoresIsHeard(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f := flowOf(p)
	f.config.ReconcileInterval = 0
	scorer, s := f.newScorer(), p.StrictSession(t)
	quiet, second := s.Send(t, "one"), s.Send(t, "two")
	watched := p.Session(t).Send(t, "the sidecar reads this itself")
	look(t, scorer)
	if got := scoredOf(t, p, quiet); len(got) != 0 {
		t.Errorf("at once: %+v", got)
	}
	age(t, p, unscoredAfter)
	look(t, scorer)
	look(t, scorer) // once
	unscored := scored{"sender", "not_assessed", "unscored", -1, 1}
	for _, m := range []triage.Message{quiet, second} {
		if got := scoredOf(t, p, m); len(got) != 1 || got[0] != unscored {
			t.Errorf("%+v, want %+v", got, unscored)
		}
	}
	if got := scoredOf(t, p, watched); len(got) != 0 {
		t.Errorf("of an assisted session: %+v", got)
	}
	var pages int
	if err := p.Superuser.QueryRow(t.Context(), `select count(*) from public.alert_pages where session_id = $1`, s.ID).Scan(&pages); err != nil || pages != 1 {
		t.Errorf("%d pages, want one for both, %v", pages, err)
	}
	s.Score(t, s.Client, quiet, triage.SourceSender, found(5), nil)
	look(t, scorer)
	look(t, scorer)
	if got := scoredOf(t, p, quiet); len(got) != 2 || got[0] == got[1] {
		t.Errorf("scored late: %+v", got)
	}
	var level, alerts int
	if err := p.Superuser.QueryRow(t.Context(), `select a.level, (select count(*) from public.alerts x where x.assessment_id = a.id and x.level = 5)
		from public.assessments a where a.message_id = $1 and a.superseded_at is null`, quiet.ID).Scan(&level, &alerts); err != nil || level != 5 || alerts != 1 {
		t.Errorf("level %d with %d alerts, %v", level, alerts, err)
	}
	s.Score(t, s.Client, second, triage.SourceSender, found(1), nil)
	look(t, scorer)
	if got := scoredOf(t, p, second); len(got) != 2 {
		t.Errorf("scored late, and harmless: %+v", got)
	}
	if due, err := f.store.ScoresDue(t.Context(), 100); len(due) != 0 || err != nil {
		t.Errorf("%d scores are judged again, %v", len(due), err)
	}
}

// TestUnscoredMessagesAreLookedForAtIntervals: not at each score.
func TestUnscoredMessagesAreLookedForAtIntervals(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f := flowOf(p)
	f.config.ReconcileInterval = time.Hour
	scorer, s := f.newScorer(), p.StrictSession(t)
	look(t, scorer)
	m := s.Send(t, "one")
	age(t, p, unscoredAfter)
	look(t, scorer)
	if got := scoredOf(t, p, m); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}
