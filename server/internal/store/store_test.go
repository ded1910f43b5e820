package store_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/internal/store/storetest"
	"vigil/server/internal/triage"
	"vigil/server/pgtest"
)

var postgres = pgtest.Shared(pgtest.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

type bundle struct {
	*storetest.Practice
	store *store.Store
}

func setup(t *testing.T) bundle {
	t.Helper()
	p := storetest.New(t, postgres.Database(t))
	return bundle{Practice: p, store: store.New(p.Vigil)}
}

func (b bundle) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	if err := b.Superuser.QueryRow(t.Context(), "select count(*) from "+query, args...).Scan(&n); err != nil {
		t.Fatalf("count %s: %v", query, err)
	}
	return n
}

func (b bundle) outcome(m triage.Message, level triage.Level) triage.Outcome {
	policy := triage.DefaultCrisisPolicy(m.OrganizationID)
	policy.Version = 1
	a := policy.Decide(triage.Assessment{
		Level: level, Sentiment: -.5, Topics: []string{"work", "sleep"}, ModelVersion: "m", RulesetVersion: "r",
		Evidence: []triage.Evidence{{Rule: "rule", Start: 1, End: 5, UTF16Start: 1, UTF16End: 5}},
	})
	return triage.Outcome{Message: m, Assessment: a, Policy: policy}
}

func (b bundle) advance(from int64, outcomes ...triage.Outcome) triage.Advance {
	last := outcomes[len(outcomes)-1].Message
	return triage.Advance{
		SessionID: last.SessionID, From: from, To: last.Position, Outcomes: outcomes,
		State: triage.State{Version: 3, Data: []byte{9, byte(last.Position)}},
	}
}

func TestRecordWritesAllOfItAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	calm, loud := b.Session(t), b.Session(t)
	one, two, three := calm.Send(t, "one"), calm.Send(t, "two"), loud.Send(t, "three")
	shift := b.Join(t, "therapist")
	if _, err := b.Superuser.Exec(t.Context(), `insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
		values ($1, $2, now() - interval '1 hour', now() + interval '1 hour')`, b.Organization, shift.ID); err != nil {
		t.Fatal(err)
	}
	recorded, err := b.store.Record(t.Context(), []triage.Advance{
		b.advance(0, b.outcome(one, 0), b.outcome(two, 2)), b.advance(0, b.outcome(three, 5)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(recorded, []triage.Recorded{{Moved: true}, {Moved: true, Alerts: 1}}) {
		t.Errorf("recorded %+v", recorded)
	}
	if n := b.count(t, `public.assessments where status = 'assessed' and topics = '{work,sleep}' and evidence -> 0 ->> 'rule' = 'rule'`); n != 3 {
		t.Errorf("%d assessments, want 3", n)
	}
	if n := b.count(t, `public.alerts where message_id = $1 and level = 5 and status = 'open' and policy_version = 1`, three.ID); n != 1 {
		t.Errorf("%d alerts, want 1", n)
	}
	if n := b.count(t, `public.alert_events e join public.alerts a on a.id = e.alert_id where e.kind = 'raised' and e.version = 1`); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	for reason, who := range map[string]uuid.UUID{"therapist": b.Therapist.ID, "supervisor": b.Supervisor.ID, "on_call": shift.ID} {
		if n := b.count(t, `public.alert_recipients where reason = $1 and user_id = $2`, reason, who); n != 1 {
			t.Errorf("%d recipients as %s, want 1", n, reason)
		}
	}
	progress, err := b.store.Progress(t.Context(), []uuid.UUID{calm.ID, loud.ID, uuid.New()})
	if err != nil || len(progress) != 2 {
		t.Fatalf("progress of %d sessions, error %v", len(progress), err)
	}
	for _, p := range progress {
		want := map[uuid.UUID]int64{calm.ID: two.Position, loud.ID: three.Position}[p.SessionID]
		if p.Position != want || p.State.Version != 3 || string(p.State.Data) != string([]byte{9, byte(want)}) || p.OrganizationID != b.Organization {
			t.Errorf("progress %+v, want position %d with its state", p, want)
		}
	}
}

func TestRecordMovesASessionOnlyFromWhereItStood(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, other := b.Session(t), b.Session(t)
	m, o := s.Send(t, "one"), other.Send(t, "one")
	first := []triage.Advance{b.advance(0, b.outcome(m, 5))}
	if _, err := b.store.Record(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	recorded, err := b.store.Record(t.Context(), []triage.Advance{first[0], b.advance(0, b.outcome(o, 5))})
	if err != nil {
		t.Fatal(err)
	}
	if recorded[0].Moved || !recorded[1].Moved || recorded[0].Alerts != 0 || recorded[1].Alerts != 1 {
		t.Errorf("recorded %+v: the session that was moved already is the one dropped", recorded)
	}
	if n := b.count(t, `public.assessments`) + b.count(t, `public.alerts`); n != 4 {
		t.Errorf("%d assessments and alerts, want 2 and 2", n)
	}
	recorded, err = b.store.Record(t.Context(), []triage.Advance{{SessionID: uuid.New(), From: 0, To: 1}})
	if err != nil || recorded[0].Moved {
		t.Errorf("a session that is gone: %+v, error %v", recorded, err)
	}
}

func TestTwoRecordersOfOneMessageLeaveOneAssessment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	m := s.Send(t, "one")
	var moved [8]bool
	var racers sync.WaitGroup
	for i := range moved {
		racers.Go(func() {
			recorded, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, b.outcome(m, 6))})
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
				return
			}
			moved[i] = recorded[0].Moved
		})
	}
	racers.Wait()
	wins := 0
	for _, m := range moved {
		if m {
			wins++
		}
	}
	if wins != 1 || b.count(t, `public.assessments`) != 1 || b.count(t, `public.alerts`) != 1 {
		t.Errorf("%d moved it, %d assessments, %d alerts, want 1 of each", wins, b.count(t, `public.assessments`), b.count(t, `public.alerts`))
	}
}

func TestMessageNobodyAssessedIsRecordedWithItsReason(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.Session(t).Send(t, "one")
	recorded, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, triage.Outcome{Message: m, Reason: "signature"})})
	if err != nil || recorded[0].Alerts != 1 || recorded[0].Unreached != 0 {
		t.Fatalf("recorded %+v, error %v", recorded, err)
	}
	if n := b.count(t, `public.assessments where status = 'not_assessed' and reason = 'signature' and level is null and sentiment is null and alert`); n != 1 {
		t.Errorf("%d assessments, want 1 that says nothing but the reason", n)
	}
	if n := b.count(t, `public.alerts where source = 'not_assessed' and level is null`); n != 1 {
		t.Errorf("%d alerts, want 1", n)
	}
	if n := b.count(t, `public.alert_recipients`); n != 2 {
		t.Errorf("%d recipients, want therapist and supervisor", n)
	}
}

func TestAlertReachesOnlyClinicians(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	m := s.Send(t, "one")
	gone, stranger := b.Join(t, "therapist"), b.Join(t, "admin")
	for _, who := range []uuid.UUID{gone.ID, stranger.ID} {
		if _, err := b.Superuser.Exec(t.Context(), `insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
			values ($1, $2, now() - interval '1 hour', now() + interval '1 hour')`, b.Organization, who); err != nil {
			t.Fatal(err)
		}
	}
	for _, who := range []uuid.UUID{gone.ID, b.Therapist.ID, b.Supervisor.ID} {
		if _, err := b.Superuser.Exec(t.Context(), `update public.memberships set ended_at = now() where user_id = $1`, who); err != nil {
			t.Fatal(err)
		}
	}
	recorded, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, b.outcome(m, 6))})
	if err != nil {
		t.Fatal(err)
	}
	if recorded[0].Alerts != 1 || recorded[0].Unreached != 1 || b.count(t, `public.alert_recipients`) != 0 {
		t.Errorf("recorded %+v with %d recipients: ended memberships and admins are nobody to page", recorded, b.count(t, `public.alert_recipients`))
	}
}

func TestErasedMessageFailsByForeignKeyAndIsPassedOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	one, two, three := s.Send(t, "one"), s.Send(t, "two"), s.Send(t, "three")
	s.Erase(t, one, three)
	_, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, b.outcome(one, 5))})
	var fault *pgconn.PgError
	if !errors.As(err, &fault) || fault.Code != "23503" || triage.IsPermanent(err) || triage.IsUnavailable(err) {
		t.Fatalf("error %v, want a foreign key failure that is neither permanent nor an outage", err)
	}
	if b.count(t, `public.assessments`) != 0 || b.count(t, `public.session_progress where assessed_position > 0`) != 0 {
		t.Fatal("a failed record left something behind")
	}
	backlog, ok, err := b.store.Backlog(t.Context(), s.ID, 10)
	if err != nil || !ok || len(backlog.Messages) != 1 || backlog.Messages[0].ID != two.ID || backlog.Last != three.Position || backlog.Position != 0 {
		t.Fatalf("backlog %+v ok %v error %v, want the second message only, up to the third", backlog, ok, err)
	}
	if _, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, b.outcome(two, 0))}); err != nil {
		t.Fatal(err)
	}
	recorded, err := b.store.Record(t.Context(), []triage.Advance{{SessionID: s.ID, From: two.Position, To: three.Position}})
	if err != nil || !recorded[0].Moved {
		t.Fatalf("passing over the erased end: %+v, error %v", recorded, err)
	}
	if behind, err := b.store.Behind(t.Context(), uuid.Nil, 0, 10); err != nil || len(behind) != 0 {
		t.Errorf("%d sessions behind, error %v, want none", len(behind), err)
	}
}

func TestBacklogReadsMessagesAsTheyWereStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	want := []triage.Message{s.Send(t, "one"), s.Send(t, "two"), s.Send(t, "three")}
	backlog, ok, err := b.store.Backlog(t.Context(), s.ID, 2)
	if err != nil || !ok {
		t.Fatalf("ok %v, error %v", ok, err)
	}
	if !slices.Equal(backlog.Messages, want[:2]) || backlog.Last != 3 {
		t.Errorf("backlog %+v, want the first two of three", backlog)
	}
	if _, ok, err := b.store.Backlog(t.Context(), uuid.New(), 2); ok || err != nil {
		t.Errorf("an unknown session: ok %v, error %v", ok, err)
	}
}

func TestBehindPagesThroughSessionsOlderThanGrace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all []uuid.UUID
	for range 5 {
		s := b.Session(t)
		s.Send(t, "one")
		all = append(all, s.ID)
	}
	done := b.Session(t)
	m := done.Send(t, "done")
	if _, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, b.outcome(m, 0))}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(x, y uuid.UUID) int { return strings.Compare(x.String(), y.String()) })
	var found []uuid.UUID
	after := uuid.Nil
	for {
		page, err := b.store.Behind(t.Context(), after, 0, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, s := range page {
			found, after = append(found, s.SessionID), s.SessionID
			if s.Last != 1 || s.Position != 0 || s.Since.IsZero() {
				t.Errorf("behind %+v", s)
			}
		}
	}
	if !slices.Equal(found, all) {
		t.Errorf("found %v, want %v", found, all)
	}
	if young, err := b.store.Behind(t.Context(), uuid.Nil, time.Hour, 10); err != nil || len(young) != 0 {
		t.Errorf("%d sessions behind for an hour, error %v", len(young), err)
	}
}

func TestEpochOpensWhatTheClientSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	row, consent, err := b.store.Epoch(t.Context(), s.ID, 1)
	if err != nil || consent == nil {
		t.Fatalf("consent %v, error %v", consent, err)
	}
	if len(row.Wraps) != 1 || row.Wraps[b.Analysis.KID()] != s.Row.Wraps[b.Analysis.KID()] {
		t.Errorf("%d wraps, want only the sidecar's own", len(row.Wraps))
	}
	if row.ConsentID != s.Consent.ID || consent.Signature != s.Consent.Signature || consent.Withdrawn {
		t.Errorf("epoch names consent %s, read %+v", row.ConsentID, consent)
	}
	opened, err := envelope.NewRing(envelope.RingConfig{}, b.Analysis).Open(envelope.EpochRow{
		Session: row.SessionID, Epoch: uint32(row.Epoch), By: row.DeviceID, Roster: row.Roster, RosterHash: row.RosterHash, Commit: row.KeyCommit,
		Consent: row.ConsentID, Signature: row.Signature, Suite: row.Suite, Wraps: row.Wraps,
	}, &envelope.ConsentRow{
		ID: consent.ID, Session: consent.SessionID, Device: consent.DeviceID, Scope: consent.Scope, TextHash: consent.TextHash, Signature: consent.Signature,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Open(s.Seal(t, "sealed")); err != nil {
		t.Error(err)
	}
	s.Withdraw(t)
	if _, consent, err := b.store.Epoch(t.Context(), s.ID, 1); err != nil || !consent.Withdrawn || consent.WithdrawalSignature == "" {
		t.Errorf("consent %+v, error %v, want a withdrawn one", consent, err)
	}
	if _, _, err := b.store.Epoch(t.Context(), s.ID, 9); !errors.Is(err, store.ErrNoEpoch) || triage.IsPermanent(err) || triage.IsUnavailable(err) {
		t.Errorf("error %v, want ErrNoEpoch, to be tried again", err)
	}
}

func TestVisibleFollowsTheTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.Superuser.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	var text string
	if err := tx.QueryRow(t.Context(), `select pg_current_xact_id()::text`).Scan(&text); err != nil {
		t.Fatal(err)
	}
	wide, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	xid := uint32(wide)
	for name, c := range map[string]struct {
		xids []uint32
		want bool
	}{
		"a running transaction": {[]uint32{xid}, false}, "nothing": {nil, true}, "an old one": {[]uint32{3}, true},
		"an old and a running one": {[]uint32{3, xid}, false}, "one that is yet to begin": {[]uint32{xid + 1000}, false},
		"one of the epoch before": {[]uint32{xid - 1<<30}, true},
	} {
		if got, err := b.store.Visible(t.Context(), c.xids); err != nil || got != c.want {
			t.Errorf("%s: visible %v, error %v, want %v", name, got, err, c.want)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := b.store.Visible(t.Context(), []uint32{xid}); err != nil || !got {
		t.Errorf("after the commit: visible %v, error %v", got, err)
	}
}

func TestContinuityIsKeptBySlot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, ok, err := b.store.Continuity(t.Context(), "vigil"); ok || err != nil {
		t.Fatalf("ok %v, error %v of a slot never seen", ok, err)
	}
	want := store.Continuity{Slot: "vigil", SystemID: "7", Timeline: 2, StreamNonce: "n", LastLSN: "0/16B3748", Checkpoint: 5, HeartbeatAt: time.Now().Truncate(time.Microsecond)}
	if err := b.store.SaveContinuity(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	kept := want.HeartbeatAt
	want.LastLSN, want.HeartbeatAt = "0/16B3800", time.Time{}
	if err := b.store.SaveContinuity(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := b.store.Continuity(t.Context(), "vigil")
	if err != nil || !ok || got.LastLSN != "0/16B3800" || !got.HeartbeatAt.Equal(kept) || got.Timeline != 2 || got.UpdatedAt.IsZero() {
		t.Errorf("read %+v ok %v error %v", got, ok, err)
	}
	if err := b.store.Heartbeat(t.Context(), `{}`); err != nil {
		t.Error(err)
	}
}

func TestOutageIsToldApartFromARefusedRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.Session(t).Send(t, "one")
	wrong := b.outcome(m, 6)
	wrong.Assessment.Level = 7
	_, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, wrong)})
	if !triage.IsPermanent(err) || triage.ReasonOf(err) != triage.ReasonUnrecordable {
		t.Errorf("error %v, want a permanent one: no retry mends a row that is refused", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.store.Record(ended, []triage.Advance{b.advance(0, b.outcome(m, 6))}); !triage.IsUnavailable(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want an outage", err)
	}
	if recorded, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, b.outcome(m, 6))}); err != nil || !recorded[0].Moved {
		t.Errorf("after both: %+v, error %v", recorded, err)
	}
}

// Guarantee 8: there is no way from the sidecar to a message.
func TestVigilCannotWriteAMessageNorAcknowledgeAnAlert(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	sealed := s.Seal(t, "never sent")
	m := s.Send(t, "one")
	if _, err := b.store.Record(t.Context(), []triage.Advance{b.advance(0, b.outcome(m, 6))}); err != nil {
		t.Fatal(err)
	}
	for name, statement := range map[string]string{
		"insert a message": `insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) values ('` + sealed.ID.String() + `', '` +
			s.ID.String() + `', '` + sealed.Sender.String() + `', 1, 0, '` + sealed.Body + `')`,
		"change a message":      `update public.messages set body = body`,
		"delete a message":      `delete from public.messages`,
		"change an alert":       `update public.alerts set status = 'resolved'`,
		"acknowledge an alert":  `insert into public.alert_events (alert_id, organization_id, session_id, kind, version) select id, organization_id, session_id, 'acknowledged', 2 from public.alerts`,
		"lower an assessment":   `update public.assessments set level = 0`,
		"make an epoch":         `insert into public.session_epochs select * from public.session_epochs`,
		"read the clients' key": `do $$ begin if exists (select from public.epoch_wraps where role <> 9) then return; end if; raise exception using errcode = '42501'; end $$`,
	} {
		_, err := b.Vigil.Exec(t.Context(), statement)
		var fault *pgconn.PgError
		if !errors.As(err, &fault) || fault.Code != "42501" {
			t.Errorf("%s: error %v, want it refused", name, err)
		}
	}
}
