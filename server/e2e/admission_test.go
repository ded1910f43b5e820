package e2e_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
)

// register makes the person a further device, which waits, unless it is their first.
func (s *stack) register(t testing.TB, p *person) *envelope.Device {
	t.Helper()
	d, err := envelope.NewDevice(uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	s.as(t, p, "insert into public.devices (id, enc_pub, sig_pub, label) values ($1, $2, $3, 'test')",
		d.KID(), envelope.EncodeText(d.EncPub()), envelope.EncodeText(d.SigPub()))
	return d
}

// vouch stores the signature by which one device of the person vouches for another.
func (s *stack) vouch(t testing.TB, p *person, by, d *envelope.Device) {
	t.Helper()
	signature, err := envelope.SignDevice(by, envelope.DeviceTerms{
		User: p.id, By: by.KID(), KID: d.KID(), Kind: envelope.KindParticipant, EncPub: d.EncPub(), SigPub: d.SigPub(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.as(t, p, "insert into public.device_signatures (device_id, by_device_id, signature) values ($1, $2, $3)", d.KID(), by.KID(), signature)
}

// admitted waits until the device takes part.
func (s *stack) admitted(t testing.TB, d *envelope.Device) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (is bool, err error) {
		err = s.admin.QueryRow(ctx, "select admitted_at is not null from public.devices where id = $1", d.KID()).Scan(&is)
		return is, ignoreTransient(err)
	}); err != nil {
		t.Fatalf("device %s was not admitted: %v\n%s", d.KID(), err, s.sidecar.out.tail())
	}
}

// addDevice gives the person a device that they use from now on. A further one is approved on the one before, and so needs the
// sidecar to run.
func (s *stack) addDevice(t testing.TB, p *person) {
	t.Helper()
	before := p.device
	p.device = s.register(t, p)
	if before != nil {
		s.vouch(t, p, before, p.device)
		s.admitted(t, p.device)
	}
}

// stateWaits is the SQLSTATE of what a device may not do that waits for another.
const stateWaits = "VG025"

// TestASecondDeviceIsAdmittedByTheFirst: it waits, and is on no roster; once the first has vouched for it, the sidecar admits it at
// once, the session needs a new epoch, and the device holds that one's key.
func TestASecondDeviceIsAdmittedByTheFirst(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	// Looking by the clock alone would take longer than the test waits: it is the log that says when.
	s.sidecar.begin(t, "VIGIL_RECONCILE_INTERVAL=1h")
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	y := s.therapy(t, org)
	y.send(t, ordinaryText)
	first := y.client.device
	second := s.register(t, y.client)
	m, err := y.seal(ordinaryText)
	if err != nil {
		t.Fatal(err)
	}
	if err := y.insert(t.Context(), m); err != nil {
		t.Errorf("a device that waits keeps its owner from sending: %v", err)
	}
	m.ID, m.Sender, m.Seq = uuid.New(), second.KID(), 0 // it has no key to seal with
	if err := y.insert(t.Context(), m); !isState(err, stateWaits) {
		t.Errorf("a device that waits may send: %v", err)
	}
	s.vouch(t, y.client, first, second)
	s.admitted(t, second)
	y.client.device = first
	before := y.epoch.Number
	id := y.send(t, "for both devices") // the next epoch is made for it
	if y.epoch.Number != before+1 {
		t.Errorf("sent under epoch %d, want %d", y.epoch.Number, before+1)
	}
	if _, ok := y.epoch.Roster.Member(second.KID()); !ok {
		t.Error("the admitted device is not on the next roster")
	}
	if text, err := y.readAs(t.Context(), y.client, second, id); err != nil || text != "for both devices" {
		t.Errorf("the admitted device reads %q, %v", text, err)
	}
	if o := s.outcomeOf(t, id); o.status != "assessed" {
		t.Errorf("under the new epoch the message is %s %s", o.status, o.reason)
	}
}

// TestAStolenTokenAdmitsNoDevice: it registers one, and gets nothing by it, whatever it signs.
func TestAStolenTokenAdmitsNoDevice(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	victim, other := s.signUp(t, org, "client"), s.signUp(t, org, "client")
	stolen, second := s.register(t, victim), s.register(t, victim)
	terms := envelope.DeviceTerms{User: victim.id, By: victim.device.KID(), KID: stolen.KID(), Kind: envelope.KindParticipant, EncPub: stolen.EncPub(), SigPub: stolen.SigPub()}
	forged := terms
	forged.By = other.device.KID()
	signature, err := envelope.SignDevice(other.device, forged) // by a true device, of somebody else
	if err != nil {
		t.Fatal(err)
	}
	for _, bogus := range []string{signature, envelope.EncodeText(make([]byte, envelope.SignatureBytes))} {
		s.as(t, victim, "insert into public.device_signatures (device_id, by_device_id, signature) values ($1, $2, $3)", stolen.KID(), victim.device.KID(), bogus)
	}
	if err := s.tryAs(t.Context(), victim, "insert into public.device_signatures (device_id, by_device_id, signature) values ($1, $2, $3)",
		stolen.KID(), other.device.KID(), signature); err == nil {
		t.Error("somebody else's device may vouch")
	}
	s.vouch(t, victim, victim.device, second)
	s.admitted(t, second)
	var admitted bool
	var refused int
	if err := s.admin.QueryRow(t.Context(), `select d.admitted_at is not null, (select count(*) from public.device_signatures g where g.device_id = d.id and g.refusal = 'signature')
		from public.devices d where d.id = $1`, stolen.KID()).Scan(&admitted, &refused); err != nil || admitted || refused != 2 {
		t.Errorf("admitted %t, %d signatures refused, want 2, %v", admitted, refused, err)
	}
}
