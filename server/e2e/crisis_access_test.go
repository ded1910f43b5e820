package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/envelope"
)

// emergency is a session whose client agreed to scope, with the supervisor whom its alerts page besides the therapist.
type emergency struct {
	*therapy
	supervisor *person
}

func (s *stack) emergency(t testing.TB, scope ...string) *emergency {
	t.Helper()
	org, _ := s.organization(t)
	client, therapist := s.signUp(t, org, "client"), s.signUp(t, org, "therapist")
	e := &emergency{supervisor: s.signUp(t, org, "supervisor")}
	e.therapy = s.therapyOf(t, org, client, therapist, scope...)
	return e
}

// awaitRead waits until somebody can open the message on the device.
func (e *emergency) awaitRead(t testing.TB, p *person, d *envelope.Device, message uuid.UUID) (text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) {
		var err error
		text, err = e.readAs(ctx, p, d, message)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, nil
		}
		return err == nil, err
	}); err != nil {
		t.Fatalf("the %s cannot read the message: %v\n%s", p.role, err, e.s.sidecar.out.tail())
	}
	return text
}

// readerRow is the broadcast by which everybody in a session learns who was let in.
type readerRow struct {
	Device  uuid.UUID `json:"device_id"`
	User    uuid.UUID `json:"user_id"`
	Epoch   uint32    `json:"epoch"`
	Reason  string    `json:"reason"`
	Alert   uuid.UUID `json:"alert_id"`
	By      uuid.UUID `json:"by_device_id"`
	Signed  string    `json:"signature"`
	EndedAt *string   `json:"ended_at"`
}

// heardOf waits until a watcher was told of a reader: its latest row.
func heardOf(t testing.TB, w *watcher, device uuid.UUID, is func(readerRow) bool) (row readerRow) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.await(ctx, func(w *watcher) bool {
		for _, b := range w.entries {
			var r readerRow
			if b.Event == "reader" && json.Unmarshal(b.Payload, &r) == nil && r.Device == device && is(r) {
				row = r
				return true
			}
		}
		return false
	}); err != nil {
		t.Fatalf("nobody was told of the reader: %v", err)
	}
	return row
}

// TestThePagedClinicianCanReadTheMessageThatPagedThem: also when the sidecar dies between the alert and the key, and on a device
// that they add later. The client is told who can read, in a row that the analysis key signed.
func TestThePagedClinicianCanReadTheMessageThatPagedThem(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t, "VIGIL_FAULT=sharer.before_give:1")
	s.sidecar.mustBeReady(t)
	e := s.emergency(t, envelope.ScopeCrisisAccess)
	message := e.send(t, crisisText)
	alert := s.alertOf(t, message)
	<-s.sidecar.done
	if !s.sidecar.wasKilled() {
		t.Fatalf("vigil ended by itself, not before it gave the key\n%s", s.sidecar.out.tail())
	}
	if _, err := e.readAs(t.Context(), e.supervisor, e.supervisor.device, message); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("the key was there before it was given: %v", err)
	}
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	client := s.watch(e.client, "session:"+e.id.String())
	client.begin(t)
	if text := e.awaitRead(t, e.supervisor, e.supervisor.device, message); text != crisisText {
		t.Errorf("the paged supervisor reads %q", text)
	}
	first := e.supervisor.device
	s.addDevice(t, e.supervisor)
	if text := e.awaitRead(t, e.supervisor, e.supervisor.device, message); text != crisisText {
		t.Errorf("on a device added later the supervisor reads %q", text)
	}
	row := heardOf(t, client, e.supervisor.device.KID(), func(r readerRow) bool { return r.EndedAt == nil })
	if row.User != e.supervisor.id || row.Reason != "crisis_access" || row.Alert != alert || row.Epoch != e.epoch.Number {
		t.Errorf("the client is told %+v", row)
	}
	e.demandGrant(t, row)
	// The therapist has the key anyway; nobody else is let in.
	var others int
	if err := s.admin.QueryRow(t.Context(), `select count(*) from public.epoch_readers where device_id not in ($1, $2)`, first.KID(), e.supervisor.device.KID()).Scan(&others); err != nil || others != 0 {
		t.Errorf("%d others were let in, %v", others, err)
	}
}

// demandGrant verifies the row as a participant does: signed by the analysis key that stands on the epoch's roster.
func (e *emergency) demandGrant(t testing.TB, row readerRow) {
	t.Helper()
	g := envelope.Grant{Session: e.id, Epoch: row.Epoch, By: row.By, Device: row.Device, Role: envelope.RoleOnCall, Alert: row.Alert, Signature: row.Signed}
	if err := e.s.admin.QueryRow(t.Context(), `select wrap from public.epoch_wraps where session_id = $1 and epoch = $2 and device_id = $3`,
		e.id, row.Epoch, row.Device).Scan(&g.Wrap); err != nil {
		t.Fatal(err)
	}
	member, ok := e.epoch.Roster.Member(row.By)
	if !ok || member.Role != envelope.RoleAnalysis {
		t.Fatalf("let in by %s, which is no analysis device of the roster", row.By)
	}
	if err := g.Verify(member.SigPub); err != nil {
		t.Error(err)
	}
}

// TestThePagedClinicianCannotReadWithoutTheScope: the alert comes all the same, and says that the text is not shared.
func TestThePagedClinicianCannotReadWithoutTheScope(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	e, with := s.emergency(t), s.emergency(t, envelope.ScopeCrisisAccess)
	message := e.send(t, crisisText)
	alert := s.alertOf(t, message)
	shared := with.send(t, crisisText) // later: when it can be read, the sidecar has looked at the first as well
	with.awaitRead(t, with.supervisor, with.supervisor.device, shared)
	if text, err := e.readAs(t.Context(), e.supervisor, e.supervisor.device, message); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("without the scope the supervisor reads %q, %v", text, err)
	}
	var says, saysWith bool
	if err := s.admin.QueryRow(t.Context(), `select (select text_shared from public.alerts where id = $1), (select text_shared from public.alerts where message_id = $2)`,
		alert, shared).Scan(&says, &saysWith); err != nil || says || !saysWith {
		t.Errorf("the alert says that the text is shared: %t without the scope, %t with it, %v", says, saysWith, err)
	}
	var readers int
	if err := s.admin.QueryRow(t.Context(), `select count(*) from public.epoch_readers where session_id = $1`, e.id).Scan(&readers); err != nil || readers != 0 {
		t.Errorf("%d readers without the scope, %v", readers, err)
	}
}

// TestThePagedClinicianCannotReadAfterResolution: the wraps are gone, what comes next is under a key that they never had, and the
// client is told that it ended.
func TestThePagedClinicianCannotReadAfterResolution(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	e := s.emergency(t, envelope.ScopeCrisisAccess)
	client := s.watch(e.client, "session:"+e.id.String())
	client.begin(t)
	message := e.send(t, crisisText)
	alert := s.alertOf(t, message)
	e.awaitRead(t, e.supervisor, e.supervisor.device, message)
	before := e.epoch.Number
	s.as(t, e.therapist, "select public.resolve_alert($1, 1)", alert)
	next := e.send(t, ordinaryText)
	if e.epoch.Number <= before {
		t.Errorf("sent under epoch %d although it was held on call", e.epoch.Number)
	}
	heardOf(t, client, e.supervisor.device.KID(), func(r readerRow) bool { return r.EndedAt != nil })
	s.outcomeOf(t, next) // by then the sidecar has read the resolution and the new epoch
	for what, id := range map[string]uuid.UUID{"the message that paged": message, "what came next": next} {
		if text, err := e.readAs(t.Context(), e.supervisor, e.supervisor.device, id); !errors.Is(err, pgx.ErrNoRows) {
			t.Errorf("after the resolution the supervisor reads %s: %q, %v", what, text, err)
		}
	}
	if text, err := e.readAs(t.Context(), e.therapist, e.therapist.device, next); err != nil || text != ordinaryText {
		t.Errorf("the therapist reads %q, %v", text, err)
	}
	var left int
	if err := s.admin.QueryRow(t.Context(), `select count(*) from public.epoch_wraps where session_id = $1 and role = 3`, e.id).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d keys are left on call, %v", left, err)
	}
}
