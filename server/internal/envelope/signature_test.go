package envelope

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/uuid"
)

// signatureFile is a file of cross-signatures, grants and scores with the forgeries that both ends must refuse, and of what
// people compare by eye. The browser's tests read the same.
type signatureFile struct {
	Note       string          `json:"note"`
	Users      []userJSON      `json:"users"`
	Devices    []deviceJSON    `json:"devices"` // whose they are stands in users
	Consents   []consentJSON   `json:"consents"`
	Epochs     []epochJSON     `json:"epochs"` // the grants' epochs: a good grant's wrap opens them
	Signatures []signatureJSON `json:"signatures"`
	Codes      []codeJSON      `json:"codes"`
	Safety     []safetyJSON    `json:"safety"`
}

type userJSON struct {
	ID      uuid.UUID   `json:"user_id"`
	Devices []uuid.UUID `json:"devices"`
}

// signatureJSON is one signature under terms of its kind: device, grant or score. Key is whose it should be; Refusal is
// Failure.Reason, empty for a good one; Bytes is what a good one's signature covers.
type signatureJSON struct {
	Name      string          `json:"name"`
	Kind      string          `json:"kind"`
	Terms     json.RawMessage `json:"terms"`
	Key       string          `json:"key"`
	Signature string          `json:"signature"`
	Refusal   string          `json:"refusal"`
	Bytes     string          `json:"bytes,omitempty"`
}

type deviceTermsJSON struct {
	User   uuid.UUID `json:"user_id"`
	By     uuid.UUID `json:"by_device_id"`
	KID    uuid.UUID `json:"device_id"`
	Kind   string    `json:"kind"` // of the row of devices
	EncPub string    `json:"enc_pub"`
	SigPub string    `json:"sig_pub"`
}

func (j deviceTermsJSON) terms() DeviceTerms {
	enc, _ := DecodeText(j.EncPub) // what cannot be read is of the wrong length, then
	sig, _ := DecodeText(j.SigPub)
	return DeviceTerms{User: j.User, By: j.By, KID: j.KID, Kind: DeviceKind(j.Kind), EncPub: enc, SigPub: sig}
}

type grantJSON struct {
	Session uuid.UUID  `json:"session_id"`
	Epoch   uint32     `json:"epoch"`
	By      uuid.UUID  `json:"by_device_id"`
	Device  uuid.UUID  `json:"device_id"`
	Role    Role       `json:"role"`
	Alert   *uuid.UUID `json:"alert_id"`
	Wrap    string     `json:"wrap"`
}

func (j grantJSON) grant(signature string) Grant {
	g := Grant{
		Session: j.Session, Epoch: j.Epoch, By: j.By, Device: j.Device, Role: j.Role, Wrap: j.Wrap, Signature: signature,
	}
	if j.Alert != nil {
		g.Alert = *j.Alert
	}
	return g
}

type scoreJSON struct {
	Message    uuid.UUID `json:"message_id"`
	Session    uuid.UUID `json:"session_id"`
	Epoch      uint32    `json:"epoch"`
	Device     uuid.UUID `json:"device_id"`
	Side       string    `json:"side"`
	After      int64     `json:"after_position"`
	Level      byte      `json:"level"`
	HarmOthers bool      `json:"harm_others"`
	Abuse      bool      `json:"abuse"`
	Distress   bool      `json:"distress"`
	Alert      bool      `json:"alert"`
	Escalate   bool      `json:"escalate"`
	Hard       []string  `json:"hard"`
	Items      []string  `json:"items"`
	Scores     []uint32  `json:"scores"`
	Rules      []string  `json:"rules"`
	Model      string    `json:"model_version"`
	Ruleset    string    `json:"ruleset_version"`
}

var (
	sideNames = []string{"", "sender", "clinician"}
	hardNames = []string{"self_harm", "harm_others", "abuse", "distress"}
	itemNames = []string{"unknown", "absent", "present"}
)

func (j scoreJSON) score(signature string) Score {
	s := Score{
		Session: j.Session, Message: j.Message, Device: j.Device, Epoch: j.Epoch, After: j.After, Level: j.Level,
		Side:  byte(max(0, slices.Index(sideNames, j.Side))),
		Model: j.Model, Ruleset: j.Ruleset, Rules: j.Rules, Signature: signature,
	}
	for i, set := range []bool{j.HarmOthers, j.Abuse, j.Distress, j.Alert, j.Escalate} {
		if set {
			s.Flags |= 1 << i
		}
	}
	for _, name := range j.Hard {
		s.Hard |= 1 << (slices.Index(hardNames, name) & 7)
	}
	for i := range s.Items {
		s.Items[i] = byte(slices.Index(itemNames, j.Items[i]))
	}
	copy(s.Scores[:], j.Scores)
	return s
}

// verify checks the signature as the end that it concerns would.
func (j signatureJSON) verify(t testing.TB) (input, error) {
	t.Helper()
	key, err := DecodeText(j.Key)
	must(t, err)
	var in input
	switch j.Kind {
	case "device":
		terms := decode[deviceTermsJSON](t, j.Terms).terms()
		in, _ = terms.signed()
		err = terms.Verify(key, j.Signature)
	case "grant":
		g := decode[grantJSON](t, j.Terms).grant(j.Signature)
		in, _ = g.signed()
		err = g.Verify(key)
	case "score":
		s := decode[scoreJSON](t, j.Terms).score(j.Signature)
		in, _ = s.signed()
		err = s.Verify(key)
	default:
		t.Fatalf("a signature of the kind %q", j.Kind)
	}
	return in, err
}

func decode[T any](t testing.TB, data []byte) T {
	t.Helper()
	var value T
	must(t, json.Unmarshal(data, &value))
	return value
}

// changed returns terms with columns replaced.
func changed(t testing.TB, terms json.RawMessage, set map[string]any) json.RawMessage {
	t.Helper()
	columns := decode[map[string]any](t, terms)
	maps.Copy(columns, set)
	data, err := json.Marshal(columns)
	must(t, err)
	return data
}

type codeJSON struct {
	User   uuid.UUID `json:"user_id"`
	Device uuid.UUID `json:"device_id"`
	Code   string    `json:"code"`
}

type safetyJSON struct {
	Devices []uuid.UUID `json:"devices"` // in an order that is not the one that is hashed
	Number  string      `json:"number"`
}

const signatureVectors = "testdata/signatures.json"

// bothEnds are the files of signatures, by who made them.
var bothEnds = map[string]string{
	"made by Go": signatureVectors, "made by WebCrypto": "../../../realtime/client/testdata/signatures-webcrypto.json",
}

func TestSignaturesOfBothEndsAreJudgedAlike(t *testing.T) {
	t.Parallel()
	for end, path := range bothEnds {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("vectors are missing: %v", err)
			}
			var f signatureFile
			readJSON(t, path, &f)
			good := map[string]bool{}
			for _, s := range f.Signatures {
				in, err := s.verify(t)
				if Reason(err) != s.Refusal || (err == nil) != (s.Refusal == "") {
					t.Errorf("%s, %s: refused as %q (%v) instead of %q", s.Kind, s.Name, Reason(err), err, s.Refusal)
				}
				if s.Bytes != "" && EncodeText(in) != s.Bytes {
					t.Errorf("%s, %s: signs other bytes than the file's", s.Kind, s.Name)
				}
				good[s.Kind] = good[s.Kind] || err == nil && s.Bytes != ""
			}
			if len(good) != 3 || !good["device"] || !good["grant"] || !good["score"] {
				t.Errorf("good signatures of the kinds %v are no test", good)
			}
			f.checkGrantsOpen(t)
			f.checkDigits(t)
		})
	}
}

// checkGrantsOpen opens the epoch of each good grant with the wrap that it carries.
func (f signatureFile) checkGrantsOpen(t *testing.T) {
	t.Helper()
	b := bundle{Devices: f.Devices, Consents: f.Consents, Epochs: f.Epochs}
	for _, s := range f.Signatures {
		if s.Kind != "grant" || s.Refusal != "" {
			continue
		}
		g := decode[grantJSON](t, s.Terms)
		row, consent := b.epoch(g.Session, g.Epoch)
		row.Wraps = map[uuid.UUID]string{g.Device: g.Wrap}
		if _, err := OpenEpoch(row, consent, f.device(t, g.Device)); err != nil {
			t.Errorf("%s: does not open its epoch: %v", s.Name, err)
		}
	}
}

func (f signatureFile) checkDigits(t *testing.T) {
	t.Helper()
	if len(f.Codes) == 0 || len(f.Safety) == 0 {
		t.Error("no codes or no safety numbers")
	}
	for _, c := range f.Codes {
		d := f.device(t, c.Device)
		if got := DeviceCode(c.User, c.Device, d.EncPub(), d.SigPub()); got != c.Code {
			t.Errorf("code of device %s is %s instead of %s", c.Device, got, c.Code)
		}
	}
	for _, s := range f.Safety {
		var members []Member
		for _, kid := range s.Devices {
			members = append(members, f.device(t, kid).Member(RoleClient))
		}
		if got := SafetyNumber(members...); got != s.Number {
			t.Errorf("safety number of %v is %s instead of %s", s.Devices, got, s.Number)
		}
	}
}

func (f signatureFile) device(t testing.TB, kid uuid.UUID) *Device {
	t.Helper()
	return suggestionFile{Devices: f.Devices}.device(t, kid)
}

// TestSignatureTableIsUpToDate makes the table again and holds its names against the file; with -update it writes the file.
func TestSignatureTableIsUpToDate(t *testing.T) {
	made := makeSignatures(t)
	if *update {
		writeJSON(t, signatureVectors, made)
	}
	var kept signatureFile
	readJSON(t, signatureVectors, &kept)
	if len(kept.Signatures) != len(made.Signatures) {
		t.Fatalf("the file has %d rows and the table %d: run with -update", len(kept.Signatures), len(made.Signatures))
	}
	names := map[string]bool{}
	for i, want := range made.Signatures {
		got := kept.Signatures[i]
		if got.Name != want.Name || got.Kind != want.Kind || got.Refusal != want.Refusal {
			t.Errorf("row %d is %s %q (%s) in the file and %s %q (%s) here: run with -update",
				i, got.Kind, got.Name, got.Refusal, want.Kind, want.Name, want.Refusal)
		}
		if names[got.Kind+got.Name] {
			t.Errorf("%s, %s is there twice", got.Kind, got.Name)
		}
		names[got.Kind+got.Name] = true
	}
	for _, name := range []string{ // the forgeries that the issue asks for
		"devicesigned by another person's device", "devicekid changed", "devicekind changed", "devicekeys swapped",
		"deviceuser changed", "devicesignature truncated", "grantsession changed", "grantepoch changed", "grantdevice changed",
		"grantrole changed", "grantalert changed", "grantone bit of the wrap flipped", "grantsigned by a participant",
		"scoremessage changed", "scoreside changed", "scorelevel lowered", "scorerule added", "scorerule dropped",
		"scoreafter_position changed", "scoresigned by another device", "scoremodel_version changed",
	} {
		if !names[name] {
			t.Errorf("the table lacks %q", name)
		}
	}
}

func mustMarshal(t testing.TB, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	must(t, err)
	return data
}

func mustDevice(t testing.TB, d *Device) []byte {
	t.Helper()
	data, err := d.Marshal()
	must(t, err)
	return data
}
