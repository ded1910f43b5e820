package envelope

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// Whatever terms and signature come from outside: they are refused with a reason, or what was signed are those very terms.

// genuine returns the good rows of a kind.
func genuine(f *testing.F, kind string) (rows []signatureJSON) {
	f.Helper()
	var file signatureFile
	readJSON(f, signatureVectors, &file)
	for _, s := range file.Signatures {
		if s.Kind == kind && s.Refusal == "" {
			rows = append(rows, s)
		}
	}
	return rows
}

// judge fails where bytes that nobody signed verify, or a refusal has no reason.
func judge(t *testing.T, rows []signatureJSON, in input, err error) {
	t.Helper()
	if err != nil {
		if r := Reason(err); r != "format" && r != "signature" {
			t.Errorf("refused as %q: %v", r, err)
		}
		return
	}
	if !slices.ContainsFunc(rows, func(s signatureJSON) bool { return s.Bytes == EncodeText(in) }) {
		t.Error("a signature verifies over terms that nobody signed")
	}
}

func keyOf(t testing.TB, s signatureJSON) []byte {
	t.Helper()
	key, err := DecodeText(s.Key)
	must(t, err)
	return key
}

// someID makes an id of whatever bytes there are.
func someID(data []byte) (id uuid.UUID) {
	copy(id[:], data)
	return id
}

func FuzzCrossSignature(f *testing.F) {
	rows := genuine(f, "device")
	for _, s := range rows {
		t := decode[deviceTermsJSON](f, s.Terms).terms()
		f.Add(t.User[:], t.By[:], t.KID[:], t.Kind, t.EncPub, t.SigPub, s.Signature)
	}
	key := keyOf(f, rows[0])
	f.Fuzz(func(t *testing.T, user, by, kid []byte, kind byte, enc, sig []byte, signature string) {
		terms := DeviceTerms{User: someID(user), By: someID(by), KID: someID(kid), Kind: kind, EncPub: enc, SigPub: sig}
		err := terms.Verify(key, signature)
		in, _ := terms.signed()
		judge(t, rows, in, err)
	})
}

func FuzzGrant(f *testing.F) {
	rows := genuine(f, "grant")
	for _, s := range rows {
		g := decode[grantJSON](f, s.Terms).grant(s.Signature)
		f.Add(g.Session[:], g.Epoch, g.By[:], g.Device[:], byte(g.Role), g.Alert[:], g.Wrap, g.Signature)
	}
	key := keyOf(f, rows[0])
	f.Fuzz(func(t *testing.T, session []byte, epoch uint32, by, device []byte, role byte, alert []byte, wrap, signature string) {
		g := Grant{
			Session: someID(session), Epoch: epoch, By: someID(by), Device: someID(device), Role: Role(role),
			Alert: someID(alert), Wrap: wrap, Signature: signature,
		}
		err := g.Verify(key)
		in, _ := g.signed()
		judge(t, rows, in, err)
	})
}

func FuzzScore(f *testing.F) {
	rows := genuine(f, "score")
	for _, s := range rows {
		score := decode[scoreJSON](f, s.Terms).score(s.Signature)
		f.Add(mustMarshal(f, score), strings.Join(score.Rules, "\n"), s.Signature)
	}
	key := keyOf(f, rows[0])
	f.Fuzz(func(t *testing.T, data []byte, rules, signature string) {
		var s Score
		if json.Unmarshal(data, &s) != nil {
			return
		}
		s.Rules, s.Signature = strings.Split(rules, "\n"), signature
		if rules == "" {
			s.Rules = nil
		}
		err := s.Verify(key)
		in, _ := s.signed()
		judge(t, rows, in, err)
	})
}

// FuzzConsent: a consent whose scope, text or signature was changed is none.
func FuzzConsent(f *testing.F) {
	b := readBundle(f, "testdata/pe1-go.json")
	good := b.Consents[0].row()
	roster, err := ParseRoster(b.Epochs[0].Roster)
	must(f, err)
	want, err := good.signed("pe1/consent")
	must(f, err)
	for _, c := range b.Consents {
		f.Add(strings.Join(c.Scope, "\n"), c.TextHash, c.Signature)
	}
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, scope, hash, signature string) {
		c := good
		c.Scope, c.TextHash, c.Signature = strings.Split(scope, "\n"), hash, signature
		err := c.Verify(roster)
		if err != nil {
			if Reason(err) != "consent" {
				t.Errorf("got %v", err)
			}
			return
		}
		if in, err := c.signed("pe1/consent"); err != nil || !bytes.Equal(in, want) {
			t.Error("a consent verifies that nobody gave")
		}
	})
}
