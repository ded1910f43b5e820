package envelope

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

// The attacks on a whole session, as far as the sidecar can tell them: what a database that lies, or a participant's device that
// has been taken over, may hand it. What only a device can tell is in realtime/client/test/attacks.test.ts.

// serve reads an epoch of the forge as the database would hand it out.
func (f *forge) serve(ring *Ring, row EpochRow, consent *ConsentRow) (*Epoch, error) {
	return ring.Epoch(f.Context(), row.Session, row.Epoch, func(context.Context) (EpochRow, *ConsentRow, error) { return row, consent, nil })
}

// TestSuitesAreNotMixed: an epoch of any other suite is refused before, between and after epochs of this one, whoever signed it,
// and neither changes what the ring thinks of those.
func TestSuitesAreNotMixed(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	ring := NewRing(RingConfig{}, f.analysis)
	for i, row := range f.rows[:2] {
		for _, suite := range []int{0, suiteOld, Suite + 1, -Suite, 1 << 20} {
			other := row
			other.Suite = suite
			_, signed, err := makeEpoch(f.client, EpochRow{
				Session: row.Session, Epoch: row.Epoch, By: f.client.kid, Consent: row.Consent, Suite: suite,
			}, f.roster, f.epochs[i].key[:])
			must(t, err)
			for name, r := range map[string]EpochRow{"renamed": other, "signed so": signed} {
				if _, err := f.serve(ring, r, &f.consent); !errors.Is(err, ErrSuite) {
					t.Errorf("epoch %d of suite %d, %s: %v", row.Epoch, suite, name, err)
				}
			}
		}
		if _, err := f.serve(ring, row, &f.consent); err != nil {
			t.Errorf("the epoch itself: %v", err)
		}
	}
	old := f.rows[0] // suite 1 signs no consent: its signature must not pass for one of suite 2
	old.Consent = uuid.Nil
	commit, err := DecodeText(old.Commit)
	must(t, err)
	hash := f.roster.Hash()
	old.Suite = suiteOld
	signature, err := f.client.sign(old.signed(hash[:], commit))
	must(t, err)
	old.Signature, old.Suite = EncodeText(signature), Suite
	if _, err := NewRing(RingConfig{}, f.analysis).Open(old, &f.consent); !errors.Is(err, ErrSignature) {
		t.Errorf("an epoch signed under suite 1: %v", err)
	}
}

// TestADowngradeGivesTheSidecarNothing: an epoch that keeps the sidecar out opens nothing here, and one that lets it in under
// another name, or without a consent, is refused rather than read.
func TestADowngradeGivesTheSidecarNothing(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	member := func(role Role) Roster { return Roster{f.roster[0], f.roster[1], f.analysis.Member(role)} }
	foreign := newKeys(t, 1)[0]
	for name, c := range map[string]struct {
		roster  Roster
		consent uuid.UUID
		want    error
	}{
		"strict, passed off as assisted":        {f.roster[:2], f.consent.ID, ErrRoster},
		"the sidecar as a therapist":            {member(RoleTherapist), f.consent.ID, ErrRoster},
		"the sidecar as a recovery key":         {member(RoleRecovery), f.consent.ID, ErrRoster},
		"the sidecar as an on-call clinician":   {member(RoleOnCall), f.consent.ID, ErrRoster},
		"assisted without a consent":            {f.roster, uuid.Nil, ErrConsent},
		"assisted under another's consent":      {f.roster, f.otherConsent.ID, ErrConsent},
		"a key that is called an analysis key":  {Roster{f.roster[0], f.roster[1], foreign.Member(RoleAnalysis)}, f.consent.ID, ErrKey},
		"another's keys under the sidecar's id": {Roster{f.roster[0], f.roster[1], f.asAnalysis(t, foreign)}, f.consent.ID, ErrWrap},
	} {
		_, row, err := MakeEpoch(f.client, f.session, 9, c.roster, c.consent)
		must(t, err)
		ring := NewRing(RingConfig{}, f.analysis)
		if e, err := f.serve(ring, row, &f.consent); !errors.Is(err, c.want) || e != nil || ring.Len() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// asAnalysis is a member with the sidecar's id and the keys of another.
func (f *forge) asAnalysis(t testing.TB, keys *Device) Member {
	t.Helper()
	m := keys.Member(RoleAnalysis)
	m.KID = f.analysis.kid
	return m
}

// TestASplitEpochIsOneOrTheOther: a device that was taken over signs two epochs of one number, and the database shows one to the
// sidecar and the other to the people. Messages of theirs do not open here: they are not assessed, which is seen, instead of
// other texts being read than the people's.
func TestASplitEpochIsOneOrTheOther(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	alone, rowAlone, err := MakeEpoch(f.client, f.session, 5, f.roster, f.consent.ID)
	must(t, err)
	both, rowBoth, err := MakeEpoch(f.client, f.session, 5, append(Roster{f.outsider.Member(RoleTherapist)}, f.roster...), f.consent.ID)
	must(t, err)
	ring := NewRing(RingConfig{}, f.analysis)
	shown, err := f.serve(ring, rowAlone, &f.consent)
	must(t, err)
	plaintext, err := Text("what the people read", time.Unix(1790000000, 0))
	must(t, err)
	theirs, err := both.Seal(f.therapist, uuid.New(), 0, plaintext)
	must(t, err)
	if _, err := shown.Open(theirs); !errors.Is(err, ErrBody) {
		t.Errorf("a message of the other half: %v", err)
	}
	mine, err := alone.Seal(f.therapist, uuid.New(), 1, plaintext)
	must(t, err)
	if _, err := shown.Open(mine); err != nil {
		t.Errorf("a message of this half: %v", err)
	}
	// A wrap of the one in the row of the other: roster and commitment hold it.
	crossed := rowAlone
	crossed.Wraps = rowBoth.Wraps
	if _, err := NewRing(RingConfig{}, f.analysis).Open(crossed, &f.consent); !errors.Is(err, ErrWrap) {
		t.Errorf("a wrap of the other half: %v", err)
	}
	crossed = rowBoth
	crossed.Commit = rowAlone.Commit
	if _, err := NewRing(RingConfig{}, f.analysis).Open(crossed, &f.consent); !errors.Is(err, ErrSignature) {
		t.Errorf("the commitment of the other half: %v", err)
	}
	// While the first half is remembered the second is not even asked for; once it is forgotten, the database may show it.
	again, err := f.serve(ring, rowBoth, &f.consent)
	if err != nil || again != shown {
		t.Errorf("the other half took the place of the first: %v", err)
	}
}

// TestAReplacedRosterIsRefusedAcrossEpochs: keys that were seen once are those that are demanded in every later epoch and every
// other session, under whatever role.
func TestAReplacedRosterIsRefusedAcrossEpochs(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	ring := NewRing(RingConfig{}, f.analysis)
	if _, err := f.serve(ring, f.rows[0], &f.consent); err != nil {
		t.Fatal(err)
	}
	replaced, err := NewDevice(f.therapist.kid)
	must(t, err)
	for name, member := range map[string]Member{
		"as a therapist":    replaced.Member(RoleTherapist),
		"as a client":       replaced.Member(RoleClient),
		"as a recovery key": replaced.Member(RoleRecovery),
	} {
		for _, session := range []uuid.UUID{f.session, f.other} {
			consent := f.consent
			if session == f.other {
				consent = f.otherConsent
			}
			_, row, err := MakeEpoch(f.client, session, 7, Roster{f.roster[0], member, f.roster[2]}, consent.ID)
			must(t, err)
			if _, err := f.serve(ring, row, &consent); !errors.Is(err, ErrPin) {
				t.Errorf("the therapist's device with other keys, %s: %v", name, err)
			}
		}
	}
	if _, err := f.serve(ring, f.rows[1], &f.consent); err != nil {
		t.Errorf("the true epoch after the attempts: %v", err)
	}
}

// TestAReplacedDeviceIsLetInNowhere: a database that gives a clinician's device other keys, to read along with them, is refused,
// whether the sidecar knows the device from a roster or from an earlier page.
func TestAReplacedDeviceIsLetInNowhere(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	ring := NewRing(RingConfig{}, f.analysis)
	e, err := f.serve(ring, f.rows[0], &f.consent)
	must(t, err)
	if _, err := ring.Grant(e, f.outsider.Member(RoleOnCall), uuid.New(), f.consent); err != nil {
		t.Fatalf("a clinician seen for the first time: %v", err)
	}
	for name, kid := range map[string]uuid.UUID{"paged before": f.outsider.kid, "on a roster": f.therapist.kid} {
		replaced, err := NewDevice(kid)
		must(t, err)
		if g, err := ring.Grant(e, replaced.Member(RoleOnCall), uuid.New(), f.consent); !errors.Is(err, ErrPin) || g.Wrap != "" {
			t.Errorf("other keys of a device that was %s: %v", name, err)
		}
	}
	if _, err := ring.Grant(e, f.outsider.Member(RoleOnCall), uuid.New(), f.consent); err != nil {
		t.Errorf("the device itself, paged again: %v", err)
	}
}

// TestASignatureNeverPassesForAnother: what was signed as one thing verifies as no other, for each begins with a label of its own.
func TestASignatureNeverPassesForAnother(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	var file signatureFile
	readJSON(t, signatureVectors, &file)
	var inputs []input
	for _, s := range file.Signatures {
		if s.Refusal == "" {
			in, err := s.verify(t)
			must(t, err)
			inputs = append(inputs, in)
		}
	}
	hash := f.roster.Hash()
	consent, err := f.consent.signed("pe1/consent")
	must(t, err)
	withdrawal, err := f.consent.signed("pe1/consent-withdrawn")
	must(t, err)
	message := f.bundle.Messages[0].row()
	inputs = append(inputs, consent, withdrawal, f.rows[0].signed(hash[:], hash[:]), signed(message.aad(), make([]byte, 40)), Suggestion{}.signed(nil))
	labels := map[string]int{}
	for _, in := range inputs {
		name, _, ok := cutLabel(in)
		if !ok {
			t.Fatal("something is signed without a label")
		}
		labels[name]++
	}
	if len(labels) != 8 {
		t.Errorf("the labels are %v", labels)
	}
	for _, a := range inputs {
		signature, err := f.client.sign(a)
		must(t, err)
		for _, b := range inputs {
			if same := string(a) == string(b); verify(f.client.SigPub(), b, signature) != same {
				t.Errorf("a signature over %d bytes verifies over %d others: %t", len(a), len(b), !same)
			}
		}
	}
}

func cutLabel(in input) (name string, rest input, ok bool) {
	for i, b := range in {
		if b == 0 {
			return string(in[:i]), in[i+1:], i > len("pe1/")
		}
	}
	return "", nil, false
}

// TestARosterIsReadAsItIsHashed: the same members in any order, and written anew, are the same roster; nothing that JSON allows
// beside (further fields, a repeated one) makes two readers see two.
func TestARosterIsReadAsItIsHashed(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	data, err := json.Marshal(f.roster)
	must(t, err)
	var members []map[string]any
	must(t, json.Unmarshal(data, &members))
	members[0], members[2] = members[2], members[0]
	members[1]["name"] = "a field that no version knows"
	data, err = json.Marshal(members)
	must(t, err)
	roster, err := ParseRoster(data)
	must(t, err)
	if roster.Hash() != f.roster.Hash() {
		t.Error("the same members in another order are another roster")
	}
}
