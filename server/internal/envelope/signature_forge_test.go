package envelope

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
)

// signatureForge makes testdata/signatures.json on the rows of a forge: the client's devices (a second one, a recovery key),
// the therapist's, an on-call clinician's and the analysis key.
type signatureForge struct {
	*forge
	second, recovery, onCall *Device
	nextKey                  *Device // the analysis key after the first
	user, stranger           uuid.UUID
	file                     signatureFile
}

func makeSignatures(t *testing.T) signatureFile {
	t.Helper()
	f := &signatureForge{forge: newForge(t), user: uuid.New(), stranger: uuid.New()}
	for _, d := range []**Device{&f.second, &f.recovery, &f.onCall, &f.nextKey} {
		var err error
		*d, err = NewDevice(uuid.New())
		must(t, err)
	}
	f.addDevice(f.second, RoleClient)
	f.addDevice(f.recovery, RoleRecovery)
	f.addDevice(f.onCall, RoleOnCall)
	f.addDevice(f.outsider, RoleClient)
	f.file = signatureFile{
		Note:    "Test keys and signatures, made by Go; read by both ends. Refresh: go test ./server/internal/envelope -update",
		Devices: f.bundle.Devices, Consents: f.bundle.Consents, Epochs: f.bundle.Epochs[:2],
		Users: []userJSON{
			{ID: f.user, Devices: []uuid.UUID{f.client.kid, f.second.kid, f.recovery.kid}},
			{ID: f.stranger, Devices: []uuid.UUID{f.outsider.kid}},
		},
	}
	f.deviceRows()
	f.grantRows()
	f.scoreRows()
	for _, d := range []*Device{f.client, f.second, f.recovery} {
		f.file.Codes = append(f.file.Codes, codeJSON{f.user, d.kid, DeviceCode(f.user, d.kid, d.EncPub(), d.SigPub())})
	}
	f.safety(f.analysis)
	f.safety(f.client, f.therapist)
	f.safety(f.therapist, f.recovery, f.second, f.client)
	return f.file
}

func (f *signatureForge) safety(devices ...*Device) {
	var s safetyJSON
	var members []Member
	for _, d := range devices {
		s.Devices, members = append(s.Devices, d.kid), append(members, d.Member(RoleClient))
	}
	s.Number = SafetyNumber(members...)
	f.file.Safety = append(f.file.Safety, s)
}

// put notes a row; a good one's bytes are filled in.
func (f *signatureForge) put(kind, name, refusal string, key *Device, terms any, signature string) signatureJSON {
	data, err := json.Marshal(terms)
	must(f, err)
	row := signatureJSON{
		Name: name, Kind: kind, Terms: data, Key: EncodeText(key.SigPub()), Signature: signature, Refusal: refusal,
	}
	if refusal == "" {
		in, err := row.verify(f)
		must(f, err)
		row.Bytes = EncodeText(in)
	}
	f.file.Signatures = append(f.file.Signatures, row)
	return row
}

// forged notes a good row with its terms changed, or another signature.
func (f *signatureForge) forged(good signatureJSON, name, refusal string, set map[string]any) {
	row := good
	row.Name, row.Refusal, row.Bytes = name, refusal, ""
	if signature, ok := set["signature"].(string); ok {
		row.Signature = signature
		set = map[string]any{}
	}
	row.Terms = changed(f, good.Terms, set)
	f.file.Signatures = append(f.file.Signatures, row)
}

// damaged notes what happens to any signature.
func (f *signatureForge) damaged(good, other signatureJSON) {
	f.forged(good, "one bit of the signature flipped", "signature", map[string]any{"signature": f.flip(good.Signature, 5)})
	f.forged(good, "signature of another row", "signature", map[string]any{"signature": other.Signature})
	f.forged(good, "signature truncated", "format", map[string]any{"signature": good.Signature[:80]})
	f.forged(good, "signature with padding", "format", map[string]any{"signature": good.Signature + "=="})
	f.forged(good, "signature empty", "format", map[string]any{"signature": ""})
}

func (f *signatureForge) deviceRow(name, refusal string, by, named, d *Device, user uuid.UUID, kind string) signatureJSON {
	terms := deviceTermsJSON{
		User: user, By: named.kid, KID: d.kid, Kind: kind, EncPub: EncodeText(d.EncPub()), SigPub: EncodeText(d.SigPub()),
	}
	in, err := terms.terms().signed()
	if err != nil { // terms that nobody may sign, signed all the same
		in = label("pe1/device")
	}
	signature, err := by.sign(in)
	must(f, err)
	return f.put("device", name, refusal, named, terms, EncodeText(signature))
}

func (f *signatureForge) deviceRows() {
	good := f.deviceRow("a second device", "", f.client, f.client, f.second, f.user, "participant")
	other := f.deviceRow("a recovery key", "", f.client, f.client, f.recovery, f.user, "recovery")
	f.deviceRow("a new device after a loss, by the recovery key", "", f.recovery, f.recovery, f.second, f.user, "participant")
	f.damaged(good, other)
	f.deviceRow("signed by another person's device", "signature", f.outsider, f.client, f.second, f.user, "participant")
	f.deviceRow("a device that confirms itself", "format", f.second, f.second, f.second, f.user, "participant")
	f.deviceRow("an analysis key", "format", f.client, f.client, f.analysis, f.user, "analysis")
	next := f.deviceRow("the next analysis key", "", f.analysis, f.analysis, f.nextKey, uuid.Nil, "analysis")
	f.deviceRow("the next analysis key, signed by a client's device", "signature", f.client, f.analysis, f.nextKey, uuid.Nil, "analysis")
	f.deviceRow("a person's device of no person", "format", f.analysis, f.analysis, f.second, uuid.Nil, "participant")
	f.forged(next, "an analysis key of a person", "format", map[string]any{"user_id": f.user})
	f.forged(next, "an analysis key as a person's device", "signature", map[string]any{"kind": "participant", "user_id": f.user})
	f.forged(next, "key of the next analysis key replaced", "signature", map[string]any{"enc_pub": EncodeText(f.outsider.EncPub())})
	f.forged(good, "a person's device as an analysis key", "signature", map[string]any{"kind": "analysis", "user_id": uuid.Nil})
	f.forged(good, "user changed", "signature", map[string]any{"user_id": f.stranger})
	f.forged(good, "signer changed", "signature", map[string]any{"by_device_id": f.recovery.kid})
	f.forged(good, "kid changed", "signature", map[string]any{"device_id": f.outsider.kid})
	f.forged(good, "kind changed", "signature", map[string]any{"kind": "recovery"})
	f.forged(other, "kind of a recovery key changed", "signature", map[string]any{"kind": "participant"})
	f.forged(good, "kind unknown", "format", map[string]any{"kind": "guest"})
	enc, sig := EncodeText(f.second.EncPub()), EncodeText(f.second.SigPub())
	f.forged(good, "keys swapped", "signature", map[string]any{"enc_pub": sig, "sig_pub": enc})
	f.forged(good, "enc_pub replaced", "signature", map[string]any{"enc_pub": EncodeText(f.outsider.EncPub())})
	f.forged(good, "sig_pub replaced", "signature", map[string]any{"sig_pub": EncodeText(f.outsider.SigPub())})
	f.forged(good, "enc_pub off the curve", "format", map[string]any{"enc_pub": f.flip(enc, -1)})
	f.forged(good, "sig_pub truncated", "format", map[string]any{"sig_pub": sig[:80]})
	f.forged(good, "sig_pub empty", "format", map[string]any{"sig_pub": ""})
}

func (f *signatureForge) grantRow(name string, by *Device, epoch int, to Member, alert uuid.UUID) signatureJSON {
	g, err := SignGrant(by, f.epochs[epoch], to, alert)
	must(f, err)
	terms := grantJSON{Session: g.Session, Epoch: g.Epoch, By: g.By, Device: g.Device, Role: g.Role, Wrap: g.Wrap}
	if alert != uuid.Nil {
		terms.Alert = &alert
	}
	return f.put("grant", name, "", by, terms, g.Signature)
}

func (f *signatureForge) grantRows() {
	alert := uuid.New()
	good := f.grantRow("crisis access", f.analysis, 0, f.onCall.Member(RoleOnCall), alert)
	history := f.grantRow("history for a second device", f.client, 0, f.second.Member(RoleClient), uuid.Nil)
	f.grantRow("history for a recovery key", f.client, 1, f.recovery.Member(RoleRecovery), uuid.Nil)
	newer := f.grantRow("crisis access to the next epoch", f.analysis, 1, f.onCall.Member(RoleOnCall), alert)
	f.damaged(good, newer)
	terms := decode[grantJSON](f, good.Terms)
	f.forged(good, "session changed", "signature", map[string]any{"session_id": f.other})
	f.forged(good, "epoch changed", "signature", map[string]any{"epoch": 2})
	f.forged(good, "signer changed", "signature", map[string]any{"by_device_id": f.client.kid})
	f.forged(good, "device changed", "signature", map[string]any{"device_id": f.second.kid})
	f.forged(good, "alert changed", "signature", map[string]any{"alert_id": uuid.New()})
	f.forged(good, "role changed", "signature", map[string]any{"role": 2, "alert_id": nil})
	f.forged(history, "role of one's own device changed", "signature", map[string]any{"role": 2})
	f.forged(history, "history called crisis access", "signature", map[string]any{"role": 3, "alert_id": alert})
	f.forged(good, "crisis access without an alert", "format", map[string]any{"alert_id": nil})
	f.forged(history, "history on account of an alert", "format", map[string]any{"alert_id": alert})
	f.forged(history, "an analysis key beside the roster", "format", map[string]any{"role": 9})
	f.forged(history, "role unknown", "format", map[string]any{"role": 5})
	f.forged(good, "one bit of the wrap flipped", "signature", map[string]any{"wrap": f.flip(terms.Wrap, 80)})
	f.forged(good, "wrap of another epoch", "signature", map[string]any{"wrap": decode[grantJSON](f, newer.Terms).Wrap})
	f.forged(good, "wrap truncated", "format", map[string]any{"wrap": terms.Wrap[:100]})
	f.forged(good, "wrap empty", "format", map[string]any{"wrap": ""})
	by := f.client
	forged, err := SignGrant(by, f.epochs[0], f.onCall.Member(RoleOnCall), alert)
	must(f, err)
	f.forged(good, "signed by a participant", "signature", map[string]any{"signature": forged.Signature})
}

func (f *signatureForge) scoreRow(name string, d *Device, terms scoreJSON) signatureJSON {
	terms.Device = d.kid
	s, err := SignScore(d, terms.score(""))
	must(f, err)
	return f.put("score", name, "", d, terms, s.Signature)
}

func (f *signatureForge) scoreRows() {
	items := []string{"present", "present", "unknown", "absent", "unknown", "unknown"}
	terms := scoreJSON{
		Message: uuid.New(), Session: f.session, Epoch: 1, Side: "sender", After: 41, Level: 2, Distress: true, Alert: true,
		Escalate: true, Hard: []string{"self_harm"}, Items: items, Scores: []uint32{912345, 12, 0, ScoreUnit},
		Rules: []string{"self_harm.thoughts", "distress.panic", "self_harm.wish"}, Model: "bag-2", Ruleset: "lexicon-3",
	}
	good := f.scoreRow("found by the sender", f.client, terms)
	nothing := scoreJSON{
		Message: uuid.New(), Session: f.session, Epoch: 2, Side: "sender", Hard: []string{}, Items: make([]string, 6),
		Scores: []uint32{0, 0, 0, 0}, Rules: []string{}, Model: "bag-2", Ruleset: "lexicon-3",
	}
	for i := range nothing.Items {
		nothing.Items[i] = "unknown"
	}
	other := f.scoreRow("nothing found in a first message", f.client, nothing)
	all := terms
	all.Side, all.After, all.Level, all.HarmOthers, all.Abuse = "clinician", 1<<53-1, 6, true, true
	all.Hard = []string{"self_harm", "harm_others", "abuse", "distress"}
	f.scoreRow("everything found by the clinician", f.therapist, all)
	f.damaged(good, other)
	for _, c := range []struct {
		name    string
		refusal string
		set     map[string]any
	}{
		{"message changed", "signature", map[string]any{"message_id": uuid.New()}},
		{"session changed", "signature", map[string]any{"session_id": f.other}},
		{"epoch changed", "signature", map[string]any{"epoch": 2}},
		{"device changed", "signature", map[string]any{"device_id": f.second.kid}},
		{"side changed", "signature", map[string]any{"side": "clinician"}},
		{"side unknown", "format", map[string]any{"side": "nobody"}},
		{"after_position changed", "signature", map[string]any{"after_position": 40}},
		{"after_position negative", "format", map[string]any{"after_position": -1}},
		{"level lowered", "signature", map[string]any{"level": 0}},
		{"level out of bounds", "format", map[string]any{"level": 7}},
		{"alert taken away", "signature", map[string]any{"alert": false}},
		{"distress taken away", "signature", map[string]any{"distress": false}},
		{"abuse added", "signature", map[string]any{"abuse": true}},
		{"hard taken away", "signature", map[string]any{"hard": []string{}}},
		{"item changed", "signature", map[string]any{"items": append([]string{"absent"}, items[1:]...)}},
		{"score changed", "signature", map[string]any{"scores": []uint32{912344, 12, 0, ScoreUnit}}},
		{"score over one", "format", map[string]any{"scores": []uint32{ScoreUnit + 1, 12, 0, 0}}},
		{"rule added", "signature", map[string]any{"rules": append([]string{"self_harm.plan"}, terms.Rules...)}},
		{"rule dropped", "signature", map[string]any{"rules": terms.Rules[:2]}},
		{"rule twice", "format", map[string]any{"rules": append([]string{terms.Rules[0]}, terms.Rules...)}},
		{"rule that holds a zero", "format", map[string]any{"rules": []string{"self_harm.wish\x00b"}}},
		{"rule that holds a space", "format", map[string]any{"rules": []string{"a rule"}}},
		{"rule empty", "format", map[string]any{"rules": []string{""}}},
		{"model_version changed", "signature", map[string]any{"model_version": "bag-3"}},
		{"ruleset_version changed", "signature", map[string]any{"ruleset_version": "lexicon-2"}},
		{"model_version empty", "format", map[string]any{"model_version": ""}},
		{"versions shifted by one letter", "signature", map[string]any{"model_version": "bag-2l", "ruleset_version": "exicon-3"}},
	} {
		f.forged(good, c.name, c.refusal, c.set)
	}
	shuffled := []string{terms.Rules[2], terms.Rules[0], terms.Rules[1]}
	f.forged(good, "rules in another order", "", map[string]any{"rules": shuffled})
	signed, err := SignScore(f.second, terms.score(""))
	must(f, err)
	f.forged(good, "signed by another device", "signature", map[string]any{"signature": signed.Signature})
}
