package envelope

import (
	"bytes"
	"crypto/ecdh"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/uuid"
)

// oldVector is testdata/pe1-p256.json: suite 1, made by WebCrypto, without a consent.
type oldVector struct {
	AnalysisKid        uuid.UUID
	AnalysisPrivateKey string
	By                 uuid.UUID
	Commit             string
	Epoch              uint32
	EpochKey           string
	EpochSig           string
	Messages           []struct {
		AAD, Body, Plaintext string
		Epoch, Seq           uint32
		ID, Sender, Session  uuid.UUID
	}
	Roster []struct {
		Kid, Pub, Sig string
		Role          int
	}
	RosterHash string
	Session    uuid.UUID
	Wraps      map[uuid.UUID]string
}

func readOldVector(t testing.TB) (oldVector, EpochRow, *Device) {
	t.Helper()
	var v oldVector
	readJSON(t, "testdata/pe1-p256.json", &v)
	var roster []memberJSON
	for _, m := range v.Roster {
		roster = append(roster, memberJSON{KID: m.Kid, Role: m.Role, EncPub: m.Pub, SigPub: m.Sig})
	}
	scalar, err := DecodeText(v.AnalysisPrivateKey)
	must(t, err)
	enc, err := ecdh.P256().NewPrivateKey(scalar)
	must(t, err)
	d, err := newDevice(v.AnalysisKid, enc, nil)
	must(t, err)
	data, err := json.Marshal(roster)
	must(t, err)
	return v, EpochRow{
		Session: v.Session, Epoch: v.Epoch, By: v.By, Roster: data, RosterHash: v.RosterHash, Commit: v.Commit,
		Signature: v.EpochSig, Suite: suiteOld, Wraps: v.Wraps,
	}, d
}

func TestTheVectorMadeByWebCryptoOpens(t *testing.T) {
	t.Parallel()
	v, row, d := readOldVector(t)
	p, err := row.verify()
	must(t, err)
	e, err := row.unwrap(p, d)
	must(t, err)
	if got := EncodeText(e.key[:]); got != v.EpochKey {
		t.Error("the epoch key is another than the vector's")
	}
	for _, vm := range v.Messages {
		m := Message{ID: vm.ID, Session: vm.Session, Sender: vm.Sender, Epoch: vm.Epoch, Seq: vm.Seq, Body: vm.Body}
		if got := EncodeText(m.aad()); got != vm.AAD {
			t.Errorf("message %d: aad is %s instead of %s", vm.Seq, got, vm.AAD)
		}
		plaintext, err := e.Open(m)
		must(t, err)
		if string(plaintext) != vm.Plaintext {
			t.Errorf("message %d: another plaintext than the vector's", vm.Seq)
		}
		if content, err := ParseContent(plaintext); err != nil || content.Kind != KindText || content.Body == "" {
			t.Errorf("message %d: content %+v, %v", vm.Seq, content, err)
		}
	}
}

func TestSuite1IsRefusedElsewhere(t *testing.T) {
	t.Parallel()
	_, row, d := readOldVector(t)
	if _, err := OpenEpoch(row, nil, d); Reason(err) != "suite" {
		t.Errorf("OpenEpoch: %v", err)
	}
	if _, err := NewRing(RingConfig{}, d).Open(row, nil); Reason(err) != "suite" {
		t.Errorf("Ring.Open: %v", err)
	}
}

// TestVectorsOfBothEndsOpen opens what Go and what WebCrypto made, as every device of each roster.
func TestVectorsOfBothEndsOpen(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"made by Go": "testdata/pe1-go.json", "made by WebCrypto": "../../../realtime/client/testdata/pe1-webcrypto.json",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("vectors are missing: %v", err)
			}
			b := readBundle(t, path)
			if len(b.Messages) < 3 || len(b.Epochs) < 2 {
				t.Fatalf("vectors of %d messages in %d epochs are no test", len(b.Messages), len(b.Epochs))
			}
			for _, d := range b.keys(t) {
				for _, m := range b.Messages {
					checkVectorMessage(t, b, d, m)
				}
			}
			for _, c := range b.Consents {
				checkVectorWithdrawal(t, b, c)
			}
		})
	}
}

func checkVectorMessage(t *testing.T, b bundle, d *Device, m messageJSON) {
	t.Helper()
	e, err := b.open(d, m.Session, m.Epoch)
	if row, _ := b.epoch(m.Session, m.Epoch); row.Wraps[d.kid] == "" && Reason(err) == "wrap" {
		return // a strict session: the analysis device is not on its roster
	}
	if err != nil {
		t.Fatalf("open as %s: %v", d, err)
	}
	plaintext, err := e.Open(m.row())
	must(t, err)
	if string(plaintext) != m.Plaintext {
		t.Errorf("message %s opens to another plaintext", m.ID)
	}
}

// checkVectorWithdrawal holds a withdrawal's signature against the device's key. Nothing here asks for that, for a withdrawal
// counts without one; it is what the other end, and an auditor, verify.
func checkVectorWithdrawal(t *testing.T, b bundle, c consentJSON) {
	t.Helper()
	if c.WithdrawalSignature == "" {
		return
	}
	i := slices.IndexFunc(b.Devices, func(d deviceJSON) bool { return d.KID == c.Device.String() })
	sigPub, err := DecodeText(b.Devices[i].SigPub)
	must(t, err)
	in, err := c.row().signed("pe1/consent-withdrawn")
	must(t, err)
	for text, want := range map[string]bool{c.WithdrawalSignature: true, c.Signature: false} {
		signature, err := decodeSized("signature", text, SignatureBytes)
		must(t, err)
		if verify(sigPub, in, signature) != want {
			t.Errorf("a signature verifies as a withdrawal: %t", !want)
		}
	}
}

func TestForgeriesAreRefused(t *testing.T) {
	t.Parallel()
	var table forgeryTable
	readJSON(t, "testdata/forgeries.json", &table)
	if len(table.Forgeries) < 30 {
		t.Fatalf("a table of %d forgeries is not the whole one", len(table.Forgeries))
	}
	for _, f := range table.Forgeries {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			good, forged := table.bundle(t), table.bundle(t)
			f.apply(t, &forged)
			for _, d := range good.keys(t) {
				if err := f.check(good, good, d); err != nil {
					t.Fatalf("the good bundle is refused as %s: %v", d, err)
				}
				err := f.check(good, forged, d)
				if f.Refusal == "pin" && d.kid != analysisKID(good) {
					continue // a device without a memory has no pins; the browser's end has
				}
				if Reason(err) != f.Refusal {
					t.Errorf("as %s: refused as %q (%v) instead of %q", d, Reason(err), err, f.Refusal)
				}
			}
		})
	}
}

// check opens what the forgery names, from the forged bundle, as a device; the analysis device does it through a ring that has
// seen the good bundle.
func (f forgery) check(good, forged bundle, d *Device) error {
	m := forged.Messages[f.Message]
	session, epoch := m.Session, m.Epoch
	if f.Epoch != nil {
		session, epoch = good.Epochs[*f.Epoch].Session, good.Epochs[*f.Epoch].Epoch
	}
	open := func(b bundle, session uuid.UUID, epoch uint32) (*Epoch, error) { return b.open(d, session, epoch) }
	if d.kid == analysisKID(good) {
		ring := NewRing(RingConfig{}, d)
		open = func(b bundle, session uuid.UUID, epoch uint32) (*Epoch, error) {
			row, consent := b.epoch(session, epoch)
			return ring.Open(row, consent)
		}
		for _, e := range good.Epochs {
			if _, err := open(good, e.Session, e.Epoch); err != nil {
				return err
			}
		}
	}
	e, err := open(forged, session, epoch)
	if err != nil || f.Epoch != nil {
		return err
	}
	_, err = e.Open(m.row())
	return err
}

func TestNoForgeryIsNamedTwiceOrMissing(t *testing.T) {
	t.Parallel()
	var table forgeryTable
	readJSON(t, "testdata/forgeries.json", &table)
	names := map[string]bool{}
	for _, f := range table.Forgeries {
		names[f.Name] = true
	}
	if len(names) != len(table.Forgeries) {
		t.Error("two forgeries have one name")
	}
	// ENVELOPE.md's list, each by the name it has in the table.
	for _, want := range []string{
		"message id changed", "message seq changed", "message sender changed", "message session changed",
		"message epoch changed", "bodies swapped between rows", "one bit of ciphertext flipped", "one bit of nonce flipped",
		"one bit of tag flipped", "one bit of message signature flipped", "roster member added", "roster member removed",
		"roster role changed", "roster key changed", "signer replaced", "commitment replaced", "wrap truncated",
		"wrap moved from another session", "wrap moved from another epoch", "wrap moved from another roster",
		"body sealed under an older epoch", "row replayed under a new id", "whole roster replaced",
	} {
		if !names[want] {
			t.Errorf("the table lacks %q; it has %v", want, slices.Sorted(maps.Keys(names)))
		}
	}
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	dec := json.NewDecoder(bytes.NewReader(data))
	must(t, dec.Decode(into))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
