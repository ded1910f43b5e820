package app

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/internal/store/storetest"
)

// consents stores a consent as the database would have it after anything: also one that no client's request could store.
func consents(t *testing.T, p *storetest.Practice, s *storetest.Session, c envelope.ConsentRow) {
	t.Helper()
	if err := p.As(t.Context(), s.Client, nil, `insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature)
		values ($1, $2, $3, $4, $5, $6)`, c.ID, s.ID, c.Device, c.Scope, c.TextHash, c.Signature); err != nil {
		t.Fatal(err)
	}
}

func signed(t *testing.T, by *envelope.Device, session uuid.UUID, scope ...string) envelope.ConsentRow {
	t.Helper()
	c, err := envelope.SignConsent(by, uuid.New(), session, "An invented text.", scope...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestNothingLeavesForAModelWithoutASignedConsent: a row that says so is not enough.
func TestNothingLeavesForAModelWithoutASignedConsent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		give func(t *testing.T, p *storetest.Practice, s *storetest.Session)
		may  bool
	}{
		"to analysis only": {func(*testing.T, *storetest.Practice, *storetest.Session) {}, false},
		"to external models": {func(t *testing.T, p *storetest.Practice, s *storetest.Session) {
			consents(t, p, s, signed(t, s.Client.Device, s.ID, envelope.ScopeAnalysis, envelope.ScopeExternalModels))
		}, true},
		"widened after it was signed": {func(t *testing.T, p *storetest.Practice, s *storetest.Session) {
			c := signed(t, s.Client.Device, s.ID, envelope.ScopeAnalysis)
			c.Scope = append(c.Scope, envelope.ScopeExternalModels)
			consents(t, p, s, c)
		}, false},
		"signed by another device": {func(t *testing.T, p *storetest.Practice, s *storetest.Session) {
			c := signed(t, p.Therapist.Device, s.ID, envelope.ScopeExternalModels)
			c.Device = s.Client.Device.KID()
			consents(t, p, s, c)
		}, false},
		"for another session": {func(t *testing.T, p *storetest.Practice, s *storetest.Session) {
			consents(t, p, s, signed(t, s.Client.Device, uuid.New(), envelope.ScopeExternalModels))
		}, false},
		"withdrawn": {func(t *testing.T, p *storetest.Practice, s *storetest.Session) {
			c := signed(t, s.Client.Device, s.ID, envelope.ScopeExternalModels)
			consents(t, p, s, c)
			if _, err := p.Superuser.Exec(t.Context(), `update public.session_consents set withdrawn_at = now() where id = $1`, c.ID); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := storetest.New(t, clusters.Database(t))
			s := p.Session(t)
			m := s.Send(t, "one")
			mayDraft(t, p)
			c.give(t, p, s)
			o := sealing{opener{envelope.NewRing(envelope.RingConfig{}, p.Analysis), store.New(p.Vigil)}}
			if may, err := o.MayLeave(t.Context(), m, "test-model"); may != c.may || err != nil {
				t.Errorf("may leave: %t, %v", may, err)
			}
		})
	}
}

// mayDraft lets the practice's organisation ask a model.
func mayDraft(t *testing.T, p *storetest.Practice) {
	t.Helper()
	for _, statement := range []string{
		`update public.organizations set suggestions = 'on_demand' where id = $1`,
		`insert into public.model_routes (organization_id, task, provider, model) values ($1, 'suggest', 'openai', 'test-model')`,
	} {
		if _, err := p.Superuser.Exec(t.Context(), statement, p.Organization); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNothingLeavesForAModelOnceAnythingForbidsIt: all of it is read at that moment.
func TestNothingLeavesForAModelOnceAnythingForbidsIt(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	mayDraft(t, p)
	o := sealing{opener{envelope.NewRing(envelope.RingConfig{}, p.Analysis), store.New(p.Vigil)}}
	for name, forbid := range map[string]struct{ by, allow string }{
		"suggestions off": {`update public.organizations set suggestions = 'off'`, `update public.organizations set suggestions = 'elevated'`},
		"strict":          {`update public.sessions set mode = 'strict'`, ``},
		"no analysis":     {`update public.session_consents set withdrawn_at = now() where not 'external_models' = any (scope)`, ``},
		"route off":       {`update public.model_routes set enabled = false`, `update public.model_routes set enabled = true`},
		"another model":   {`update public.model_routes set model = 'other'`, `update public.model_routes set model = 'test-model'`},
	} {
		s := p.Session(t)
		m := s.Send(t, "one")
		consents(t, p, s, signed(t, s.Client.Device, s.ID, envelope.ScopeExternalModels))
		if may, err := o.MayLeave(t.Context(), m, "test-model"); !may || err != nil {
			t.Errorf("before %s: %t, %v", name, may, err)
		}
		if _, err := p.Superuser.Exec(t.Context(), forbid.by); err != nil {
			t.Fatal(err)
		}
		if may, err := o.MayLeave(t.Context(), m, "test-model"); may || err != nil {
			t.Errorf("%s: %t, %v", name, may, err)
		}
		if _, err := p.Superuser.Exec(t.Context(), forbid.allow); err != nil {
			t.Fatal(err)
		}
	}
}

// TestADeviceThatIsNotOnTheRosterGetsNoSeal: a row of devices is not enough, also not a therapist's own.
func TestADeviceThatIsNotOnTheRosterGetsNoSeal(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	s := p.Session(t)
	m := s.Send(t, "one")
	o := sealing{opener{envelope.NewRing(envelope.RingConfig{}, p.Analysis), store.New(p.Vigil)}}
	id := uuid.New()
	good := p.Therapist.Device.KID()
	added := newDevice(t)   // after the epoch of the message
	waiting := newDevice(t) // nobody has vouched for it
	for _, d := range []*envelope.Device{added, waiting} {
		if _, err := p.Superuser.Exec(t.Context(), `insert into public.devices (id, user_id, enc_pub, sig_pub) values ($1, $2, $3, $4)`, d.KID(), p.Therapist.ID,
			envelope.EncodeText(d.EncPub()), envelope.EncodeText(d.SigPub())); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Superuser.Exec(t.Context(), `update public.devices set admitted_at = now(), admission = 'signed', admitted_by = $2 where id = $1`,
		added.KID(), p.Therapist.Device.KID()); err != nil {
		t.Fatal(err)
	}
	basis, _, err := store.New(p.Vigil).SuggestionBasis(t.Context(), m.ID, uuid.Nil)
	if err != nil || len(basis.Devices) != 2 {
		t.Fatalf("%d devices, %v", len(basis.Devices), err)
	}
	devices := slices.Concat(basis.Devices, []uuid.UUID{s.Client.Device.KID(), p.Analysis.KID(), uuid.New()})
	seals, err := o.Seal(t.Context(), m, id, devices, "draft")
	if err != nil || len(seals) != 1 || seals[0].DeviceID != good {
		t.Fatalf("%d seals, %v", len(seals), err)
	}
	text, err := envelope.OpenSuggestion(p.Therapist.Device, p.Analysis.SigPub(), envelope.Suggestion{
		ID: id, Session: m.SessionID, Message: m.ID, Device: good, Sealed: seals[0].Sealed, Signature: seals[0].Signature,
	})
	if err != nil || string(text) != "draft" {
		t.Errorf("%q %v", text, err)
	}
	stranger, err := envelope.NewDevice(uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	o.ring = envelope.NewRing(envelope.RingConfig{}, stranger)
	if _, err := o.Seal(t.Context(), m, id, devices, "draft"); err == nil {
		t.Error("sealed by a device that the session does not know")
	}
}
