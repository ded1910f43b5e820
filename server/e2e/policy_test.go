package e2e_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// TestAPolicyAndItsTermsAreLiveWithTheNextMessage: an admin changes them in SQL while the sidecar runs; the row comes as
// Postgres writes it, the terms from their table, and what a clinician reads says so.
func TestAPolicyAndItsTermsAreLiveWithTheNextMessage(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, admin := s.organization(t)
	y := s.therapy(t, org)
	const text = "see you on Monday, after the night  rota"
	if a := y.judged(t, y.send(t, text)); a.own || a.escalate || a.version != 1 {
		t.Errorf("before: %+v", a)
	}
	s.as(t, admin, "insert into public.topic_terms (organization_id, topic, term) values ($1, 'night-shift', 'Night rota')", org)
	if a := y.judged(t, y.send(t, text)); !a.own || a.escalate || a.version != 2 {
		t.Errorf("with a term of one's own: %+v", a)
	}
	s.as(t, admin, `update public.crisis_policies set review_rules = '{topic.visa,topic.night-shift}', page_least_self_harm = 0.25,
		quiet_rules = '{wish.burden}' where organization_id = $1`, org)
	if a := y.judged(t, y.send(t, text)); !a.own || !a.escalate || a.alert || a.version != 3 {
		t.Errorf("with a rule for review: %+v", a)
	}
	s.as(t, admin, "delete from public.topic_terms where organization_id = $1", org)
	if a := y.judged(t, y.send(t, text)); a.own || a.escalate || a.version != 4 {
		t.Errorf("without the term: %+v", a)
	}
	var first string
	if err := s.asPerson(t.Context(), y.therapist, func(tx pgx.Tx) error {
		return tx.QueryRow(t.Context(), "select topics -> 0 ->> 'topic' from public.session_progress where session_id = $1", y.id).Scan(&first)
	}); err != nil || first != "night-shift" {
		t.Errorf("the session is about %q to its therapist, error %v", first, err)
	}
	if told := s.sidecar.out.errors(); told != "" {
		t.Errorf("the sidecar complains: %s", told)
	}
}

// judgement is what a therapist reads of how a message was judged.
type judgement struct {
	version              int
	own, alert, escalate bool
}

// judged waits until the therapist can read the message's assessment.
func (y *therapy) judged(t testing.TB, message uuid.UUID) (a judgement) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		found := false
		if err := y.s.asPerson(t.Context(), y.therapist, func(tx pgx.Tx) error {
			rows, err := tx.Query(t.Context(), `select policy_version, 'night-shift' = any (topics) and evidence @> '[{"rule": "topic.night-shift"}]', alert, escalate
				from public.assessments where message_id = $1 and cardinality(items) = 6 and risk_score is not null`, message)
			if err != nil {
				return err
			}
			_, err = pgx.ForEachRow(rows, []any{&a.version, &a.own, &a.alert, &a.escalate}, func() error { found = true; return nil })
			return err
		}); err != nil {
			t.Fatalf("read the assessment of message %s: %v", message, err)
		}
		if found {
			return a
		}
	}
	t.Fatalf("message %s was not assessed in time", message)
	return a
}
