package pipeline_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/pipeline"
	"vigil/server/internal/replication"
	"vigil/server/internal/triage"
)

// failing opens as its inner opener does, but for the sessions of which fail says otherwise.
type failing struct {
	ringOpener
	mu   sync.Mutex
	fail map[uuid.UUID]error
}

func (f *failing) set(session uuid.UUID, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		f.fail = make(map[uuid.UUID]error)
	}
	f.fail[session] = err
}

func (f *failing) Open(ctx context.Context, m triage.Message) ([]byte, error) {
	f.mu.Lock()
	err := f.fail[m.SessionID]
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return f.ringOpener.Open(ctx, m)
}

// spoil changes one byte of a sealed body, counted from its start.
func spoil(t *testing.T, body string, at int) string {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	return base64.RawURLEncoding.EncodeToString(data)
}

// Guarantee 8: every message needs a device's signature.
func TestUnsignedBodyIsRefusedRecordedAndAlerted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	for name, at := range map[string]int{"signature": 5, "nonce": 1 + envelope.SignatureBytes, "ciphertext": 1 + envelope.SignatureBytes + envelope.NonceBytes} {
		forged := s.Seal(t, "I am fine, "+name)
		forged.Body = spoil(t, forged.Body, at)
		b.log.append(b.shown(t, s.Insert(t, forged))...)
	}
	after := s.Send(t, "a good one after them")
	b.log.append(b.shown(t, after)...)
	p, stop := run(t, b.patient())
	b.awaitAssessed(t)
	awaitCounted(t, p, 4)
	stop()
	b.demandExactlyOnce(t)
	if n := b.count(t, `public.assessments where status = 'not_assessed' and reason = 'signature' and level is null`); n != 3 {
		t.Errorf("%d messages recorded as unsigned, want 3", n)
	}
	if n := b.count(t, `public.alerts x join public.alert_recipients r on r.alert_id = x.id where x.source = 'not_assessed' and r.user_id = $1`, b.Therapist.ID); n != 3 {
		t.Errorf("%d alerts reach the therapist, want 3", n)
	}
	if n := b.count(t, `public.assessments where message_id = $1 and status = 'assessed'`, after.ID); n != 1 {
		t.Error("the message after them was not assessed")
	}
	if s := p.Stats(); s.NotAssessed != 3 || s.Assessed != 1 || s.Alerts != 3 || s.Failures != 0 {
		t.Errorf("stats %+v: a permanent failure is no temporary one", s)
	}
	if lines := b.lines.String(); strings.Count(lines, "message was not assessed") != 3 {
		t.Errorf("said %d times, want 3", strings.Count(lines, "message was not assessed"))
	}
}

func TestParkedSessionDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.patient()
	opener := &failing{ringOpener: ringOpener{envelope.NewRing(envelope.RingConfig{}, b.Analysis), b.store}}
	c.Opener = opener
	stuck, free := b.Session(t), b.Session(t)
	opener.set(stuck.ID, errors.New("no key for this roster"))
	var first []triage.Message
	for i := range 5 {
		first = append(first, stuck.Send(t, fmt.Sprintf("stuck %d", i)), free.Send(t, fmt.Sprintf("free %d", i)))
	}
	b.log.append(b.shown(t, first...)...)
	p, stop := run(t, c)
	await(t, "the other session is assessed", func() bool { return b.count(t, `public.assessments where session_id = $1`, free.ID) == 5 })
	if n := b.count(t, `public.assessments where session_id = $1`, stuck.ID); n != 0 {
		t.Errorf("%d assessments of the session that cannot be opened", n)
	}
	last := []triage.Message{stuck.Send(t, "stuck still"), free.Send(t, "free still")}
	b.log.append(b.shown(t, last...)...)
	await(t, "the other session goes on", func() bool { return b.count(t, `public.assessments where session_id = $1`, free.ID) == 6 })
	opener.set(stuck.ID, nil)
	b.awaitAssessed(t)
	awaitCounted(t, p, 12)
	stop()
	b.demandExactlyOnce(t)
	if s := p.Stats(); s.NotAssessed != 0 || s.Assessed != 12 {
		t.Errorf("stats %+v, want all twelve assessed once the key was there", s)
	}
}

func TestTemporaryFailureIsRecordedAfterItsTimeAndAlerts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.patient()
	c.GiveUpAfter = 300 * time.Millisecond
	opener := &failing{ringOpener: ringOpener{envelope.NewRing(envelope.RingConfig{}, b.Analysis), b.store}}
	c.Opener = opener
	s := b.Session(t)
	opener.set(s.ID, errors.New("no key for this roster"))
	b.log.append(b.shown(t, s.Send(t, "one"), s.Send(t, "two"))...)
	_, stop := run(t, c)
	b.awaitAssessed(t)
	opener.set(s.ID, nil)
	b.log.append(b.shown(t, s.Send(t, "three"))...)
	b.awaitAssessed(t)
	stop()
	b.demandExactlyOnce(t)
	if n := b.count(t, `public.assessments where reason = 'gave_up'`); n != 2 {
		t.Errorf("%d given up, want the first two", n)
	}
	if n := b.count(t, `public.alerts where source = 'not_assessed'`); n != 2 {
		t.Errorf("%d alerts, want 2", n)
	}
}

func TestWithdrawnConsentIsNotOpenedByAnEpochInMemory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	b.log.append(b.shown(t, s.Send(t, "before"))...)
	_, stop := run(t, b.patient())
	b.awaitAssessed(t) // the epoch is in memory now
	after := s.Send(t, "sent before the withdrawal, read after it")
	s.Withdraw(t)
	var xid int64
	if err := b.Superuser.QueryRow(t.Context(), `select xmin::text::bigint from public.session_consents where id = $1`, s.Consent.ID).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	consents := relation("session_consents", "session_id", "id")
	b.log.append(b.entry(t, uint32(xid), replication.Change{Op: replication.Update, Relation: consents, New: values(s.ID.String(), s.Consent.ID.String())}))
	b.log.append(b.shown(t, after)...)
	b.awaitAssessed(t)
	stop()
	b.demandExactlyOnce(t)
	if n := b.count(t, `public.assessments where message_id = $1 and status = 'not_assessed' and reason = 'consent'`, after.ID); n != 1 {
		t.Error("a message was opened after its consent was withdrawn")
	}
}

// TestAnErasedSessionIsForgotten: its keys, and what the detector knew of it, also where only the receipt is on the log.
func TestAnErasedSessionIsForgotten(t *testing.T) {
	t.Parallel()
	for name, receipt := range map[string]struct {
		op      replication.Op
		session bool // of one session, and not of the person who had it
	}{
		"a session's, at once":        {replication.Insert, true},
		"a session's, that was asked": {replication.Update, true},
		"a person's names no session": {replication.Insert, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			s, other := b.Session(t), b.Session(t)
			c := b.patient()
			ring := envelope.NewRing(envelope.RingConfig{}, b.Analysis)
			c.Opener = ringOpener{ring, b.store}
			b.log.append(b.shown(t, s.Send(t, "before"), other.Send(t, "of somebody else"))...)
			p, stop := run(t, c)
			b.awaitAssessed(t)
			awaitCounted(t, p, 2)
			if ring.Len() != 2 {
				t.Fatalf("%d epochs in memory, want 2", ring.Len())
			}
			row := replication.Change{Op: receipt.op, Relation: relation("erasures", "id", "session_id"), New: values(uuid.NewString(), s.ID.String())}
			want := 1
			if !receipt.session {
				row.New[1], want = replication.Value{Kind: replication.Null}, 2
			}
			b.log.append(b.entry(t, 100, row))
			await(t, "the receipt is handled", func() bool { return p.Stats().Entries == 3 })
			stop()
			if ring.Len() != want {
				t.Errorf("%d epochs in memory, want %d", ring.Len(), want)
			}
			if faults := p.Stats().Faults; faults != 0 {
				t.Errorf("%d rows could not be read", faults)
			}
		})
	}
}

func TestPolicyChangeHoldsForTheNextMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	one := s.Send(t, "I want to kill myself")
	b.log.append(b.shown(t, one)...)
	p, stop := run(t, b.patient())
	b.awaitAssessed(t)
	if _, err := b.Superuser.Exec(t.Context(), `update public.crisis_policies set page_at_level = 2 where organization_id = $1`, b.Organization); err != nil {
		t.Fatal(err)
	}
	b.log.append(b.entry(t, 100, policyRow(replication.Update, b.Organization, map[string]string{"page_at_level": "2", "version": "2"})))
	// A redelivered older version changes nothing.
	b.log.append(b.entry(t, 100, policyRow(replication.Insert, b.Organization, nil)))
	two := s.Send(t, "I want to kill myself")
	b.log.append(b.shown(t, two)...)
	b.awaitAssessed(t)
	stop()
	for id, want := range map[uuid.UUID]int{one.ID: 0, two.ID: 1} {
		if n := b.count(t, `public.alerts where message_id = $1`, id); n != want {
			t.Errorf("%d alerts, want %d", n, want)
		}
	}
	if n := b.count(t, `public.assessments where message_id = $1 and policy_version = 2`, two.ID); n != 1 {
		t.Error("the second assessment does not name the policy that was in force")
	}
	if faults := p.Stats().Faults; faults != 0 {
		t.Errorf("%d rows of the log could not be read", faults)
	}
}

// quoting is a detector that fails as badly as it can: it puts what it read into its panic.
type quoting struct{}

func (quoting) Assess(text string, state triage.State, policy triage.CrisisPolicy) (triage.Assessment, triage.State) {
	if strings.Contains(text, "panic") {
		panic("cannot make sense of " + text)
	}
	return policy.Decide(triage.Assessment{Level: 5, Evidence: []triage.Evidence{{Rule: "all", End: len(text)}}}), state
}

// Guarantee 5, as far as this package goes: text that was opened is in no row, no log line, no error and no outcome.
func TestOpenedTextIsNowhereAfterTheCall(t *testing.T) {
	t.Parallel()
	const canary = "zanzibar-quince-canary"
	b := setup(t)
	s, other := b.Session(t), b.Session(t)
	c := b.config()
	c.Assessor = quoting{}
	var mu sync.Mutex
	var outcomes []triage.Outcome
	c.Recorded = func(o triage.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		outcomes = append(outcomes, o)
	}
	notContent, err := s.Epoch.Seal(s.Client.Device, uuid.New(), 900, []byte(`{"t":"text","body":`+canary+`}`))
	if err != nil {
		t.Fatal(err)
	}
	otherKind, err := s.Epoch.Seal(s.Client.Device, uuid.New(), 901, []byte(`{"t":"`+canary+`","body":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	// The browser would show the one, and a reader that ignores case the other.
	twoTexts, err := s.Epoch.Seal(s.Client.Device, uuid.New(), 902, []byte(`{"t":"text","body":"`+canary+`","ts":1,"Body":"nice weather"}`))
	if err != nil {
		t.Fatal(err)
	}
	b.log.append(b.shown(t, s.Send(t, canary), s.Send(t, "panic "+canary), s.Insert(t, notContent), s.Insert(t, otherKind), s.Insert(t, twoTexts))...)
	other.Send(t, "panic "+canary) // by reconcile
	_, stop := run(t, c)
	b.awaitAssessed(t)
	stop()
	b.demandExactlyOnce(t)
	for reason, want := range map[string]int{"detector": 2, "content": 3} {
		if n := b.count(t, `public.assessments where reason = $1`, reason); n != want {
			t.Errorf("%d recorded as %s, want %d", n, reason, want)
		}
	}
	if strings.Contains(b.lines.String(), canary) {
		t.Error("the log quotes a message")
	}
	if strings.Contains(fmt.Sprintf("%+v", outcomes), canary) {
		t.Error("an outcome quotes a message")
	}
	for _, table := range []string{"assessments", "alerts", "alert_events", "alert_recipients", "session_progress", "audit_log", "messages"} {
		if n := b.count(t, `public.`+table+` x where x::text like '%' || $1 || '%' or x::text like '%' || $2 || '%'`,
			canary, base64.RawURLEncoding.EncodeToString([]byte(canary))[:20]); n != 0 {
			t.Errorf("%d rows of %s hold the text", n, table)
		}
	}
}

func TestRunEndsWithTheErrorOfItsSource(t *testing.T) {
	t.Parallel()
	broken := errors.New("LOG is damaged")
	for name, c := range map[string]struct{ source, want error }{"an error": {broken, broken}, "an end": {nil, nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tables := newTables()
			config := tables.config()
			config.Source = func(context.Context, func(context.Context, []pipeline.Entry) error) error { return c.source }
			err := pipeline.New(config).Run(t.Context())
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("run: %v", err)
			}
		})
	}
}
