package envelope

import (
	"crypto/hpke"
	"encoding/json"
	"flag"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

var update = flag.Bool("update", false, "make the vectors and the forgery table in testdata anew")

// forge holds what the table is made with: a client, a therapist and an analysis device, two sessions, three epochs.
type forge struct {
	testing.TB
	client, therapist, analysis, outsider *Device
	roster                                Roster
	session, other                        uuid.UUID
	consent, otherConsent                 ConsentRow
	rows                                  []EpochRow // session 1, session 2, other 1
	epochs                                []*Epoch
	bundle                                bundle
	table                                 []forgery
}

const consentText = "My messages may be analysed by the practice's computer, so that a clinician is told of a crisis."

func newForge(t testing.TB) *forge {
	t.Helper()
	f := &forge{TB: t, session: uuid.New(), other: uuid.New()}
	for _, d := range []**Device{&f.client, &f.therapist, &f.analysis, &f.outsider} {
		var err error
		*d, err = NewDevice(uuid.New())
		must(t, err)
	}
	f.roster = Roster{f.client.Member(RoleClient), f.therapist.Member(RoleTherapist), f.analysis.Member(RoleAnalysis)}
	f.consent = f.consents(f.client, f.session, ScopeAnalysis, ScopeCrisisAccess)
	f.otherConsent = f.consents(f.client, f.other, ScopeAnalysis)
	f.makeEpoch(f.client, f.session, 1, f.consent.ID)
	f.makeEpoch(f.therapist, f.session, 2, f.consent.ID)
	f.makeEpoch(f.client, f.other, 1, f.otherConsent.ID)
	f.bundle.Note = "Test keys and rows, made by Go; read by both ends. Refresh: go test ./server/internal/envelope -update"
	for i, d := range []*Device{f.client, f.therapist, f.analysis} {
		f.addDevice(d, f.roster[i].Role)
	}
	f.bundle.Consents = []consentJSON{fromConsent(f.consent), fromConsent(f.otherConsent)}
	for _, row := range f.rows {
		f.bundle.Epochs = append(f.bundle.Epochs, fromEpoch(row))
	}
	for i, m := range []struct {
		epoch  int
		sender *Device
		seq    uint32
	}{{0, f.client, 0}, {0, f.therapist, 0}, {1, f.client, 0}, {1, f.client, 1}, {2, f.client, 0}} {
		f.addMessage(f.epochs[m.epoch], m.sender, m.seq, "Message "+string(rune('a'+i))+": grüße, 🌙 and a longer line")
	}
	return f
}

func (f *forge) consents(d *Device, session uuid.UUID, scope ...string) ConsentRow {
	c, err := SignConsent(d, uuid.New(), session, consentText, scope...)
	must(f, err)
	return c
}

func (f *forge) makeEpoch(by *Device, session uuid.UUID, number uint32, consent uuid.UUID) {
	e, row, err := MakeEpoch(by, session, number, f.roster, consent)
	must(f, err)
	f.epochs, f.rows = append(f.epochs, e), append(f.rows, row)
}

func (f *forge) addDevice(d *Device, role Role) {
	data, err := d.Marshal()
	must(f, err)
	var k keyJSON
	must(f, json.Unmarshal(data, &k))
	f.bundle.Devices = append(f.bundle.Devices, deviceJSON{
		KID: k.KID, Role: int(role), EncPub: EncodeText(d.EncPub()), SigPub: EncodeText(d.SigPub()), Enc: k.Enc, Sig: k.Sig,
	})
}

func (f *forge) addMessage(e *Epoch, d *Device, seq uint32, text string) {
	plaintext, err := Text(text, time.Unix(1790000000+int64(seq), 0))
	must(f, err)
	m, err := e.Seal(d, uuid.New(), seq, plaintext)
	must(f, err)
	f.bundle.Messages = append(f.bundle.Messages, fromMessage(m, string(plaintext)))
}

// add notes a forgery of a message; addEpoch one of an epoch.
func (f *forge) add(name, refusal string, message int, set map[string]any) {
	f.table = append(f.table, forgery{Name: name, Set: set, Message: message, Refusal: refusal})
}

func (f *forge) addEpoch(name, refusal string, epoch int, set map[string]any) {
	f.table = append(f.table, forgery{Name: name, Set: set, Epoch: &epoch, Refusal: refusal})
}

// flip returns the text with one bit of its decoded byte i flipped; a negative i counts from the end.
func (f *forge) flip(text string, i int) string {
	data, err := DecodeText(text)
	must(f, err)
	if i < 0 {
		i += len(data)
	}
	data[i] ^= 1
	return EncodeText(data)
}

func (f *forge) messages() {
	m := f.bundle.Messages
	body := m[0].Body
	f.add("message id changed", "signature", 0, map[string]any{"/messages/0/id": uuid.NewString()})
	f.add("message seq changed", "signature", 0, map[string]any{"/messages/0/seq": 7})
	f.add("message sender changed", "signature", 0, map[string]any{"/messages/0/sender_device_id": f.therapist.KID()})
	f.add("message sender is no member", "roster", 0, map[string]any{"/messages/0/sender_device_id": f.outsider.KID()})
	f.add("message session changed", "signature", 0, map[string]any{"/messages/0/session_id": f.other})
	f.add("message epoch changed", "signature", 0, map[string]any{"/messages/0/epoch": 2})
	f.add("bodies swapped between rows", "signature", 2, map[string]any{
		"/messages/2/body": m[3].Body, "/messages/3/body": m[2].Body,
	})
	f.add("body version changed", "suite", 0, map[string]any{"/messages/0/body": f.flip(body, 0)})
	f.add("one bit of message signature flipped", "signature", 0, map[string]any{"/messages/0/body": f.flip(body, 1)})
	f.add("one bit of nonce flipped", "signature", 0, map[string]any{"/messages/0/body": f.flip(body, bodySealed)})
	f.add("one bit of ciphertext flipped", "signature", 0, map[string]any{"/messages/0/body": f.flip(body, bodySealed+NonceBytes)})
	f.add("one bit of tag flipped", "signature", 0, map[string]any{"/messages/0/body": f.flip(body, -1)})
	f.add("body truncated", "signature", 0, map[string]any{"/messages/0/body": body[:len(body)-len(body)%4-8]})
	f.add("body shorter than its overhead", "format", 0, map[string]any{"/messages/0/body": body[:120]})
	f.add("body is not base64url", "format", 0, map[string]any{"/messages/0/body": "+" + body[1:]})
	f.add("body with padding", "format", 0, map[string]any{"/messages/0/body": body + "="})
	f.add("body with a line break", "format", 0, map[string]any{"/messages/0/body": body[:40] + "\n" + body[40:]})
	f.add("row replayed under a new id", "signature", 2, map[string]any{"/messages/2/id": uuid.NewString(), "/messages/2/seq": 9})
	f.add("row moved to a newer epoch", "signature", 0, map[string]any{"/messages/0/epoch": 2, "/messages/0/seq": 3})

	// A sender who still has the old key seals with it, and signs that it is the new epoch's.
	older := f.epochs[1].clone()
	older.key = f.epochs[0].key
	f.sealed("body sealed under an older epoch", "body", older, f.client)
	// The analysis device signs well and holds the key, and still may not speak.
	speaking := f.epochs[1].clone()
	speaking.Roster = Roster{f.analysis.Member(RoleTherapist)}
	f.sealed("message by the analysis device", "roster", speaking, f.analysis)
}

// sealed adds a forgery whose row is sealed by an altered epoch.
func (f *forge) sealed(name, refusal string, e *Epoch, d *Device) {
	m, err := e.Seal(d, uuid.New(), 11, []byte(`{"t":"text","body":"forged","ts":1790000000}`))
	must(f, err)
	f.add(name, refusal, 2, map[string]any{"/messages/2": fromMessage(m, "")})
}

func (e *Epoch) clone() *Epoch {
	return &Epoch{
		Session: e.Session, Number: e.Number, By: e.By, Roster: e.Roster, Consent: e.Consent, key: e.key,
		senders: map[uuid.UUID]*sender{},
	}
}

// rosters adds each change of a roster three times: as it is, with a hash to match, and (by the caller) signed anew.
func (f *forge) rosters() {
	enc := f.outsider.EncPub()
	changed := map[string]func(r Roster) Roster{
		"member added":   func(r Roster) Roster { return append(r, f.outsider.Member(RoleTherapist)) },
		"member removed": func(r Roster) Roster { return Roster{r[0], r[2]} },
		"role changed":   func(r Roster) Roster { r[1].Role = RoleClient; return r },
		"key changed":    func(r Roster) Roster { r[1].EncPub = enc; return r },
		"signing key changed": func(r Roster) Roster {
			r[1].SigPub = f.outsider.SigPub()
			return r
		},
	}
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		change := changed[name]
		roster := change(append(Roster(nil), f.roster...))
		hash := roster.Hash()
		f.addEpoch("roster "+name, "roster", 0, map[string]any{"/epochs/0/roster": roster})
		f.addEpoch("roster "+name+", hash too", "signature", 0, map[string]any{
			"/epochs/0/roster": roster, "/epochs/0/roster_hash": EncodeText(hash[:]),
		})
	}
	twice := append(append(Roster(nil), f.roster...), f.roster[0])
	f.addEpoch("roster lists a device twice", "format", 0, map[string]any{"/epochs/0/roster": twice})
	unknown := append(Roster(nil), f.roster...)
	unknown[1].Role = 5
	f.addEpoch("roster has an unknown role", "format", 0, map[string]any{"/epochs/0/roster": unknown})
	off := append(Roster(nil), f.roster...)
	off[1].EncPub = append([]byte(nil), off[1].EncPub...)
	off[1].EncPub[64] ^= 1
	f.addEpoch("roster key off the curve", "format", 0, map[string]any{"/epochs/0/roster": off})
	f.addEpoch("roster emptied", "format", 0, map[string]any{"/epochs/0/roster": []any{}})
}

func (f *forge) epochRows() {
	row := f.rows[0]
	f.addEpoch("roster hash replaced", "roster", 0, map[string]any{"/epochs/0/roster_hash": f.flip(row.RosterHash, 3)})
	f.addEpoch("signer replaced", "signature", 0, map[string]any{"/epochs/0/device_id": f.therapist.KID()})
	f.addEpoch("signer is no member", "roster", 0, map[string]any{"/epochs/0/device_id": f.outsider.KID()})
	f.addEpoch("signer is the analysis device", "roster", 0, f.resigned(0, f.analysis, func(r *EpochRow) { r.By = f.analysis.KID() }))
	f.addEpoch("commitment replaced", "signature", 0, map[string]any{"/epochs/0/key_commit": f.flip(row.Commit, 0)})
	f.addEpoch("commitment replaced and signed", "commitment", 0, f.resigned(0, f.client, func(r *EpochRow) {
		r.Commit = f.flip(r.Commit, 0)
	}))
	f.addEpoch("one bit of epoch signature flipped", "signature", 0, map[string]any{"/epochs/0/signature": f.flip(row.Signature, 63)})
	f.addEpoch("epoch signature truncated", "format", 0, map[string]any{"/epochs/0/signature": row.Signature[:80]})
	f.addEpoch("epoch number changed", "signature", 0, map[string]any{"/messages/0/epoch": 3, "/epochs/0/epoch": 3})
	f.table[len(f.table)-1].Epoch = nil
	f.addEpoch("suite 1", "suite", 0, map[string]any{"/epochs/0/suite": 1})
	f.addEpoch("suite of the future", "suite", 0, map[string]any{"/epochs/0/suite": 3})

	f.addEpoch("wrap truncated", "wrap", 0, f.wraps(0, func(kid uuid.UUID) string {
		return row.Wraps[kid][:len(row.Wraps[kid])-4]
	}))
	f.addEpoch("one bit of wrap flipped", "wrap", 0, f.wraps(0, func(kid uuid.UUID) string { return f.flip(row.Wraps[kid], 100) }))
	f.addEpoch("wraps removed", "wrap", 0, map[string]any{"/epochs/0/wraps": map[string]string{}})
	f.addEpoch("wrap moved from another session", "wrap", 0, f.wraps(0, func(kid uuid.UUID) string { return f.rows[2].Wraps[kid] }))
	f.addEpoch("wrap moved from another epoch", "wrap", 0, f.wraps(0, func(kid uuid.UUID) string { return f.rows[1].Wraps[kid] }))
	_, larger, err := makeEpoch(f.client, EpochRow{
		Session: f.session, Epoch: 1, By: f.client.KID(), Consent: f.consent.ID, Suite: Suite,
	}, append(append(Roster(nil), f.roster...), f.outsider.Member(RoleTherapist)), f.epochs[0].key[:])
	must(f, err)
	f.addEpoch("wrap moved from another roster", "wrap", 0, f.wraps(0, func(kid uuid.UUID) string { return larger.Wraps[kid] }))
	f.addEpoch("wraps of another key", "commitment", 0, f.wraps(0, f.wrapOf(f.epochs[1].key)))
}

// wrapOf wraps a key for the first epoch as its maker could: with the right info.
func (f *forge) wrapOf(key [KeyBytes]byte) func(uuid.UUID) string {
	return func(kid uuid.UUID) string {
		m, _ := f.roster.Member(kid)
		public, err := hpke.DHKEM(p256).NewPublicKey(m.EncPub)
		must(f, err)
		hash := f.roster.Hash()
		wrap, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), wrapInfo(f.session, 1, kid, hash[:]), key[:])
		must(f, err)
		return EncodeText(wrap)
	}
}

func (f *forge) wraps(epoch int, wrap func(kid uuid.UUID) string) map[string]any {
	wraps := maps.Clone(f.rows[epoch].Wraps)
	for kid := range wraps {
		wraps[kid] = wrap(kid)
	}
	return map[string]any{"/epochs/" + string(rune('0'+epoch)) + "/wraps": wraps}
}

// resigned is an epoch that was changed by one who may sign epochs.
func (f *forge) resigned(epoch int, by *Device, change func(*EpochRow)) map[string]any {
	row := f.rows[epoch]
	change(&row)
	hash, err := DecodeText(row.RosterHash)
	must(f, err)
	commit, err := DecodeText(row.Commit)
	must(f, err)
	signature, err := by.sign(row.signed(hash, commit))
	must(f, err)
	row.Signature = EncodeText(signature)
	return map[string]any{"/epochs/" + string(rune('0'+epoch)): fromEpoch(row)}
}

func (f *forge) consentRows() {
	f.addEpoch("consent absent", "consent", 0, map[string]any{"/consents": []any{}})
	f.addEpoch("consent withdrawn", "consent", 0, map[string]any{"/consents/0/withdrawn_at": "2026-01-02T03:04:05Z"})
	withdrawal, err := SignWithdrawal(f.client, f.consent)
	must(f, err)
	f.addEpoch("consent withdrawn by signature alone", "consent", 0, map[string]any{"/consents/0/withdrawal_signature": withdrawal})
	f.addEpoch("consent without a signature", "consent", 0, map[string]any{"/consents/0/signature": ""})
	f.addEpoch("one bit of consent signature flipped", "consent", 0, map[string]any{
		"/consents/0/signature": f.flip(f.consent.Signature, 5),
	})
	f.addEpoch("consent to another text", "consent", 0, map[string]any{"/consents/0/text_hash": f.flip(f.consent.TextHash, 5)})
	f.addEpoch("consent widened", "consent", 0, map[string]any{
		"/consents/0/scope": []string{ScopeAnalysis, ScopeCrisisAccess, ScopeExternalModels},
	})
	f.addEpoch("consent with a repeated scope", "consent", 0, map[string]any{
		"/consents/0/scope": []string{ScopeAnalysis, ScopeAnalysis, ScopeCrisisAccess},
	})
	f.addEpoch("consent to less than analysis", "consent", 0, f.withConsent(f.client, f.session, ScopeCrisisAccess))
	f.addEpoch("consent by a therapist", "consent", 0, f.withConsent(f.therapist, f.session, ScopeAnalysis))
	f.addEpoch("consent by no member", "consent", 0, f.withConsent(f.outsider, f.session, ScopeAnalysis))
	f.addEpoch("consent of another session", "consent", 0, f.withConsent(f.client, f.other, ScopeAnalysis))
	f.addEpoch("consent replaced in the epoch", "signature", 0, map[string]any{"/epochs/0/consent_id": f.otherConsent.ID})
	f.addEpoch("no consent named in the epoch", "consent", 0, f.resigned(0, f.client, func(r *EpochRow) { r.Consent = uuid.Nil }))
	forged := f.consent
	forged.Signature = withdrawal
	f.addEpoch("withdrawal passed off as consent", "consent", 0, map[string]any{"/consents/0": fromConsent(forged)})
}

// withConsent replaces the first consent by one that is well signed and not what is demanded.
func (f *forge) withConsent(by *Device, session uuid.UUID, scope string) map[string]any {
	c, err := SignConsent(by, f.consent.ID, session, consentText, scope)
	must(f, err)
	return map[string]any{"/consents/0": fromConsent(c)}
}

// replaced adds epochs that are whole in themselves, with keys that an attacker in the database has made.
func (f *forge) replaced() {
	roster := make(Roster, 0, len(f.roster))
	var client *Device
	for _, m := range f.roster {
		d, err := NewDevice(m.KID)
		must(f, err)
		roster = append(roster, d.Member(m.Role))
		if m.Role == RoleClient {
			client = d
		}
	}
	f.addReplaced("whole roster replaced", client, roster, client)
	key, err := NewDevice(f.client.KID())
	must(f, err)
	f.addReplaced("client's keys replaced by the therapist", f.therapist, Roster{key.Member(RoleClient), f.roster[1], f.roster[2]}, key)
}

func (f *forge) addReplaced(name string, by *Device, roster Roster, client *Device) {
	consent, err := SignConsent(client, f.consent.ID, f.session, consentText, ScopeAnalysis)
	must(f, err)
	_, row, err := MakeEpoch(by, f.session, 1, roster, consent.ID)
	must(f, err)
	f.addEpoch(name, "pin", 0, map[string]any{"/consents/0": fromConsent(consent), "/epochs/0": fromEpoch(row)})
}

// recoveries adds what a recovery key may not do, on epochs whose roster has one: it makes none, sends nothing and consents to
// nothing.
func (f *forge) recoveries() {
	roster := append(append(Roster(nil), f.roster...), f.outsider.Member(RoleRecovery))
	row := f.rows[0]
	data, err := json.Marshal(roster)
	must(f, err)
	hash := roster.Hash()
	row.Roster, row.RosterHash, row.Wraps = data, EncodeText(hash[:]), map[uuid.UUID]string{}
	recovered := f.epochs[0].clone()
	recovered.Roster = roster
	for _, m := range roster {
		wrap, err := recovered.Wrap(m)
		must(f, err)
		row.Wraps[m.KID] = EncodeText(wrap)
	}
	signed := func(by *Device, row EpochRow) EpochRow {
		commit, err := DecodeText(row.Commit)
		must(f, err)
		row.By = by.kid
		signature, err := by.sign(row.signed(hash[:], commit))
		must(f, err)
		row.Signature = EncodeText(signature)
		return row
	}
	f.addEpoch("epoch by a recovery key", "roster", 0, map[string]any{"/epochs/0": fromEpoch(signed(f.outsider, row))})
	good := signed(f.client, row)
	f.addEpoch("consent by a recovery key", "consent", 0, map[string]any{
		"/epochs/0": fromEpoch(good), "/consents/0": f.withConsent(f.outsider, f.session, ScopeAnalysis)["/consents/0"],
	})
	speaking := recovered.clone()
	speaking.Roster = Roster{f.outsider.Member(RoleClient)}
	m, err := speaking.Seal(f.outsider, uuid.New(), 3, []byte(`{"t":"text","body":"forged","ts":1790000000}`))
	must(f, err)
	f.add("message by a recovery key", "roster", 0, map[string]any{"/epochs/0": fromEpoch(good), "/messages/0": fromMessage(m, "")})
	other := append(Roster(nil), roster...)
	other[3].Role = RoleClient
	f.addEpoch("recovery key passed off as a client's device", "roster", 0, map[string]any{
		"/epochs/0": fromEpoch(good), "/epochs/0/roster": other,
	})
}

// all makes the whole table.
func (f *forge) all() {
	f.messages()
	f.rosters()
	f.epochRows()
	f.consentRows()
	f.replaced()
	f.recoveries()
}

// TestForgeryTableIsUpToDate makes the table again and holds it against the file, by name, refusal and what is replaced (keys
// and ids are new each time). With -update it writes the file, and the vectors, instead.
func TestForgeryTableIsUpToDate(t *testing.T) {
	f := newForge(t)
	f.all()
	if *update {
		f.write(t)
		writeVectors(t)
	}
	var kept forgeryTable
	readJSON(t, "testdata/forgeries.json", &kept)
	if len(kept.Forgeries) != len(f.table) {
		t.Fatalf("the file has %d forgeries, the table %d: run with -update", len(kept.Forgeries), len(f.table))
	}
	for i, want := range f.table {
		got := kept.Forgeries[i]
		same := slices.Equal(slices.Sorted(maps.Keys(got.Set)), slices.Sorted(maps.Keys(want.Set)))
		if got.Name != want.Name || got.Refusal != want.Refusal || !same {
			t.Errorf("forgery %d is %q (%s) in the file and %q (%s) here: run with -update", i, got.Name, got.Refusal, want.Name, want.Refusal)
		}
	}
}

func (f *forge) write(t *testing.T) {
	data, err := json.Marshal(f.bundle)
	must(t, err)
	writeJSON(t, "testdata/forgeries.json", forgeryTable{
		Note: "Read by both ends. Each forgery replaces values (JSON pointers) in the bundle and then opens a message, or an " +
			"epoch, as each device; the refusal is Failure.Reason. 'pin' is demanded of ends that remember the good bundle's keys.",
		Bundle: data, Forgeries: f.table,
	})
}

// writeVectors writes testdata/pe1-go.json: beside two assisted sessions, a strict one at the upper ends of epoch and seq, and a
// consent that was withdrawn.
func writeVectors(t *testing.T) {
	v := newForge(t)
	v.roster = v.roster[:2]
	v.makeEpoch(v.therapist, uuid.New(), 4_000_000_000, uuid.Nil)
	v.bundle.Epochs = append(v.bundle.Epochs, fromEpoch(v.rows[3]))
	v.addMessage(v.epochs[3], v.client, 4_294_967_295, "")
	withdrawn, err := SignConsent(v.client, uuid.New(), v.session, consentText, ScopeExternalModels, ScopeAnalysis)
	must(t, err)
	withdrawn.WithdrawalSignature, err = SignWithdrawal(v.client, withdrawn)
	must(t, err)
	v.bundle.Consents = append(v.bundle.Consents, fromConsent(withdrawn))
	// A recovery key on the roster, which opens what is sealed to all.
	v.roster = append(v.roster, v.outsider.Member(RoleRecovery))
	v.makeEpoch(v.therapist, uuid.New(), 1, uuid.Nil)
	v.bundle.Epochs = append(v.bundle.Epochs, fromEpoch(v.rows[4]))
	v.addMessage(v.epochs[4], v.client, 0, "for the recovery key, too")
	v.addDevice(v.outsider, RoleRecovery)
	writeJSON(t, "testdata/pe1-go.json", v.bundle)
}
