package e2e_test

import (
	"context"
	"encoding/base64"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/envelope"
	"vigil/server/pgtest"
)

// outcome is what the tables say of one message.
type outcome struct {
	status, reason string
	level          int
	alerts, told   int // alerts, and people told of them
}

// outcomeOf waits until a message has an assessment, of whatever status.
func (s *stack) outcomeOf(t testing.TB, message uuid.UUID) (o outcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) {
		err := s.admin.QueryRow(ctx, `
			select a.status, coalesce(a.reason, ''), coalesce(a.level, -1),
			  (select count(*) from public.alerts l where l.message_id = a.message_id),
			  (select count(*) from public.alerts l join public.alert_recipients r on r.alert_id = l.id where l.message_id = a.message_id)
			from public.assessments a where a.message_id = $1`, message).Scan(&o.status, &o.reason, &o.level, &o.alerts, &o.told)
		if err == pgx.ErrNoRows { //nolint:errorlint // as pgx returns it
			return false, nil
		}
		return err == nil, err
	}); err != nil {
		t.Fatalf("the message has no assessment: %v\n%s", err, s.sidecar.out.tail())
	}
	return o
}

// tampered changes one bit of a body, counted from its end.
func tampered(t testing.TB, m envelope.Message) envelope.Message {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-20] ^= 1
	m.Body = base64.RawURLEncoding.EncodeToString(raw)
	return m
}

// TestAMessageThatNoDeviceSignedIsRefused is guarantees 1 and 8: it is recorded as not assessed, with the reason, and a
// clinician is told; what follows it is assessed. The sidecar's own role cannot write a message at all. That no code leads
// from assess to a language model (guarantee 6) is held by TestCrisisDetectionNeverWaitsForALanguageModel and TestImportDirection.
func TestAMessageThatNoDeviceSignedIsRefused(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	y, other := s.therapy(t, org), s.therapy(t, org)
	before := y.send(t, ordinaryText)
	forged, err := y.seal(crisisText)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := other.seal(crisisText) // signed, for another session
	if err != nil {
		t.Fatal(err)
	}
	moved.Session, moved.Sender, moved.Seq = y.id, y.client.device.KID(), y.seq
	y.seq++
	for _, m := range []envelope.Message{tampered(t, forged), moved} {
		if err := y.insert(t.Context(), m); err != nil {
			t.Fatalf("Postgres cannot know that it is forged: %v", err)
		}
	}
	after := y.send(t, crisisText)
	for _, m := range []uuid.UUID{forged.ID, moved.ID} {
		if o := s.outcomeOf(t, m); o.status != "not_assessed" || o.reason != "signature" || o.level != -1 || o.alerts != 1 || o.told == 0 {
			t.Errorf("a forged message: %+v", o)
		}
	}
	if o := s.outcomeOf(t, before); o.status != "assessed" || o.alerts != 0 {
		t.Errorf("the message before: %+v", o)
	}
	if o := s.outcomeOf(t, after); o.status != "assessed" || o.level < 4 || o.alerts != 1 || o.told == 0 {
		t.Errorf("the message after: %+v", o)
	}
	s.awaitMetric(t, `vigil_assessments_total{reason="signature",status="not_assessed"}`, func(n float64) bool { return n == 2 })
	s.vigilCannotWriteMessages(t, y)
}

func (s *stack) vigilCannotWriteMessages(t *testing.T, y *therapy) {
	t.Helper()
	own := s.pool(t, pgtest.RoleSidecar)
	m, err := y.seal(ordinaryText)
	if err != nil {
		t.Fatal(err)
	}
	for what, statement := range map[string]string{
		"insert":                 "insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) values ($1, $2, $3, $4, $5, $6)",
		"insert as a person":     "with me as (select set_config('role', 'authenticated', true)) insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) select $1, $2, $3, $4, $5, $6 from me",
		"update":                 "update public.messages set body = $6 where id = $1 and session_id = $2 and sender_device_id = $3 and epoch = $4 and seq = $5",
		"delete":                 "delete from public.messages where $1::uuid is not null and $2::uuid is not null and $3::uuid is not null and $4 > 0 and $5 > 0 and $6 <> ''",
		"write suggestions back": "insert into public.message_arrivals (message_id, session_id, sender_device_id, epoch, seq, created_at) values ($1, $2, $3, $4, $5, $6::text::timestamptz)",
	} {
		if _, err := own.Exec(t.Context(), statement, m.ID, m.Session, m.Sender, m.Epoch, m.Seq, m.Body); !isState(err, "42501") {
			t.Errorf("vigil may %s: %v", what, err)
		}
	}
}

// TestAMessageErasedBeforeItWasAssessedIsPassedOver is guarantee 1: it is not missing, and holds nothing up.
func TestAMessageErasedBeforeItWasAssessedIsPassedOver(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	org, _ := s.organization(t)
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	for name, erased := range map[string][]int{"in the middle": {1}, "the last": {2}, "all": {0, 1, 2}} {
		y := s.therapy(t, org)
		s.sidecar.kill()
		var sent []uuid.UUID
		for range 3 {
			sent = append(sent, y.send(t, crisisText))
		}
		gone := make(map[uuid.UUID]bool)
		for _, i := range erased {
			s.sql(t, "delete from public.messages where id = $1", sent[i])
			gone[sent[i]] = true
		}
		s.sidecar.begin(t)
		s.sidecar.mustBeReady(t)
		sent = append(sent, y.send(t, crisisText))
		s.settled(t.Context(), t)
		for _, id := range sent {
			var assessed int
			if err := s.admin.QueryRow(t.Context(), "select count(*) from public.assessments where message_id = $1 and status = 'assessed'", id).Scan(&assessed); err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{false: 1, true: 0}[gone[id]]; assessed != want {
				t.Errorf("%s: %d assessments, want %d", name, assessed, want)
			}
		}
	}
}

// TestAMessageOfAWithdrawnConsentIsNotOpened is guarantee 1's other side: what came while the sidecar was away is not opened
// once the client has said no, and that is recorded, not passed over in silence.
func TestAMessageOfAWithdrawnConsentIsNotOpened(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	y := s.therapy(t, org)
	if o := s.outcomeOf(t, y.send(t, ordinaryText)); o.status != "assessed" {
		t.Fatalf("while the consent stood: %+v", o)
	}
	s.sidecar.kill()
	late := y.send(t, crisisText)
	withdrawal, err := envelope.SignWithdrawal(y.client.device, y.consented)
	if err != nil {
		t.Fatal(err)
	}
	s.as(t, y.client, "select public.withdraw_consent($1, $2)", y.consented.ID, withdrawal)
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	if o := s.outcomeOf(t, late); o.status != "not_assessed" || o.reason != "consent" || o.level != -1 || o.told == 0 {
		t.Errorf("after the withdrawal: %+v", o)
	}
}
