package app

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/config"
	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/internal/store/storetest"
	"vigil/server/internal/telemetry"
	"vigil/server/internal/triage"
)

// flowOf is what an errand needs of the flow, over a practice's database.
func flowOf(p *storetest.Practice) *flow {
	return &flow{resources: &resources{
		config: config.Config{ReconcileInterval: time.Minute}, log: slog.New(slog.DiscardHandler), metrics: telemetry.NewMetrics(),
		store: store.New(p.Vigil), ring: envelope.NewRing(envelope.RingConfig{}, p.Analysis),
	}}
}

// newDevice makes one that belongs to nobody yet.
func newDevice(t *testing.T) *envelope.Device {
	t.Helper()
	d, err := envelope.NewDevice(uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// vouch signs for a device as another of the person.
func vouch(t *testing.T, who uuid.UUID, by, d *envelope.Device) (envelope.DeviceTerms, string) {
	t.Helper()
	terms := envelope.DeviceTerms{User: who, By: by.KID(), KID: d.KID(), Kind: envelope.KindParticipant, EncPub: d.EncPub(), SigPub: d.SigPub()}
	signature, err := envelope.SignDevice(by, terms)
	if err != nil {
		t.Fatal(err)
	}
	return terms, signature
}

// TestOnlyAVerifiedSignatureAdmitsADevice: what is not over this very device, by that very one, is refused, and says why.
func TestOnlyAVerifiedSignatureAdmitsADevice(t *testing.T) {
	t.Parallel()
	who, by, d, other := uuid.New(), newDevice(t), newDevice(t), newDevice(t)
	_, signature := vouch(t, who, by, d)
	_, ofOther := vouch(t, who, by, other)
	_, ofStranger := vouch(t, uuid.New(), by, d)
	good := func() triage.Admission {
		return triage.Admission{
			SignatureID: uuid.New(), DeviceID: d.KID(), UserID: who, Kind: "participant", EncPub: envelope.EncodeText(d.EncPub()), SigPub: envelope.EncodeText(d.SigPub()),
			ByDeviceID: by.KID(), BySigPub: envelope.EncodeText(by.SigPub()), Signature: signature,
		}
	}
	for name, c := range map[string]struct {
		forge func(a *triage.Admission)
		want  triage.AdmissionRefusal
	}{
		"as it was signed":            {func(*triage.Admission) {}, ""},
		"for another device":          {func(a *triage.Admission) { a.Signature = ofOther }, triage.AdmissionSignature},
		"for another person":          {func(a *triage.Admission) { a.Signature = ofStranger }, triage.AdmissionSignature},
		"as a recovery key":           {func(a *triage.Admission) { a.Kind = "recovery" }, triage.AdmissionSignature},
		"as an analysis key":          {func(a *triage.Admission) { a.Kind = "analysis" }, triage.AdmissionFormat},
		"with another key to seal to": {func(a *triage.Admission) { a.EncPub = envelope.EncodeText(other.EncPub()) }, triage.AdmissionSignature},
		"with another key to sign":    {func(a *triage.Admission) { a.SigPub = envelope.EncodeText(other.SigPub()) }, triage.AdmissionSignature},
		"with one key for both":       {func(a *triage.Admission) { a.SigPub = a.EncPub }, triage.AdmissionSignature},
		"by another device":           {func(a *triage.Admission) { a.ByDeviceID = other.KID() }, triage.AdmissionSignature},
		"by another key":              {func(a *triage.Admission) { a.BySigPub = envelope.EncodeText(other.SigPub()) }, triage.AdmissionSignature},
		"by itself":                   {func(a *triage.Admission) { a.ByDeviceID = a.DeviceID }, triage.AdmissionFormat},
		"cut short":                   {func(a *triage.Admission) { a.Signature = signature[:85] }, triage.AdmissionFormat},
		"with a key off the curve":    {func(a *triage.Admission) { a.EncPub = envelope.EncodeText(make([]byte, 65)) }, triage.AdmissionFormat},
		"with a key that is no text":  {func(a *triage.Admission) { a.BySigPub = "%" }, triage.AdmissionFormat},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := good()
			c.forge(&a)
			if got := refusalOf(&a); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestADeviceIsAdmittedByItsOwnersOther: the true signature admits it although bogus ones were there first, and what was refused
// is not looked at again.
func TestADeviceIsAdmittedByItsOwnersOther(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f, who, second, stolen := flowOf(p), p.Therapist, newDevice(t), newDevice(t)
	register := func(d *envelope.Device) {
		t.Helper()
		if err := p.As(t.Context(), who, nil, `insert into public.devices (id, enc_pub, sig_pub) values ($1, $2, $3)`, d.KID(),
			envelope.EncodeText(d.EncPub()), envelope.EncodeText(d.SigPub())); err != nil {
			t.Fatal(err)
		}
	}
	register(second)
	register(stolen)
	_, good := vouch(t, who.ID, who.Device, second)
	_, bad := vouch(t, who.ID, stolen, second) // by a device that nobody vouched for, as if by the first
	for _, row := range []struct {
		device    *envelope.Device
		signature string
	}{{stolen, bad}, {second, bad}, {second, good}} {
		if err := p.As(t.Context(), who, nil, `insert into public.device_signatures (device_id, by_device_id, signature) values ($1, $2, $3)`,
			row.device.KID(), who.Device.KID(), row.signature); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.admitDevices(admitMost)(t.Context()); err != nil {
		t.Fatal(err)
	}
	admission := func(d *envelope.Device) (how *string) {
		if err := p.Superuser.QueryRow(t.Context(), `select admission from public.devices where id = $1`, d.KID()).Scan(&how); err != nil {
			t.Fatal(err)
		}
		return how
	}
	if how := admission(second); how == nil || *how != "signed" {
		t.Errorf("the second device was not admitted: %v", how)
	}
	if how := admission(stolen); how != nil {
		t.Errorf("a device that nobody vouched for was admitted: %s", *how)
	}
	if due, err := f.store.DevicesToAdmit(t.Context(), 10); len(due) != 0 || err != nil {
		t.Errorf("%d signatures are looked at again, %v", len(due), err)
	}
	if admitted, err := f.store.AdmitDevice(t.Context(), second.KID(), who.Device.KID()); admitted || err != nil {
		t.Errorf("admitted twice: %t %v", admitted, err)
	}
}
