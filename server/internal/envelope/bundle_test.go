package envelope

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// bundle is a file of vectors: rows as SQL has them, with the private keys of the devices. The browser's tests read the same.
type bundle struct {
	Note     string        `json:"note"`
	Devices  []deviceJSON  `json:"devices"`
	Consents []consentJSON `json:"consents"`
	Epochs   []epochJSON   `json:"epochs"`
	Messages []messageJSON `json:"messages"`
}

type deviceJSON struct {
	KID    string `json:"kid"`
	Role   int    `json:"role"`
	EncPub string `json:"enc_pub"`
	SigPub string `json:"sig_pub"`
	Enc    string `json:"enc"`
	Sig    string `json:"sig"`
}

type consentJSON struct {
	ID                  uuid.UUID `json:"id"`
	Session             uuid.UUID `json:"session_id"`
	Device              uuid.UUID `json:"device_id"`
	Scope               []string  `json:"scope"`
	TextHash            string    `json:"text_hash"`
	Signature           string    `json:"signature"`
	WithdrawnAt         *string   `json:"withdrawn_at"`
	WithdrawalSignature string    `json:"withdrawal_signature,omitempty"`
}

func (c consentJSON) row() ConsentRow {
	return ConsentRow{
		ID: c.ID, Session: c.Session, Device: c.Device, Scope: c.Scope, TextHash: c.TextHash, Signature: c.Signature,
		Withdrawn: c.WithdrawnAt != nil, WithdrawalSignature: c.WithdrawalSignature,
	}
}

func fromConsent(c ConsentRow) consentJSON {
	return consentJSON{
		ID: c.ID, Session: c.Session, Device: c.Device, Scope: c.Scope, TextHash: c.TextHash, Signature: c.Signature,
		WithdrawalSignature: c.WithdrawalSignature,
	}
}

type epochJSON struct {
	Session    uuid.UUID            `json:"session_id"`
	Epoch      uint32               `json:"epoch"`
	By         uuid.UUID            `json:"device_id"`
	Roster     json.RawMessage      `json:"roster"`
	RosterHash string               `json:"roster_hash"`
	Commit     string               `json:"key_commit"`
	Consent    *uuid.UUID           `json:"consent_id"`
	Signature  string               `json:"signature"`
	Suite      int                  `json:"suite"`
	Wraps      map[uuid.UUID]string `json:"wraps"`
}

func (e epochJSON) row() EpochRow {
	row := EpochRow{
		Session: e.Session, Epoch: e.Epoch, By: e.By, Roster: e.Roster, RosterHash: e.RosterHash, Commit: e.Commit,
		Signature: e.Signature, Suite: e.Suite, Wraps: e.Wraps,
	}
	if e.Consent != nil {
		row.Consent = *e.Consent
	}
	return row
}

func fromEpoch(row EpochRow) epochJSON {
	e := epochJSON{
		Session: row.Session, Epoch: row.Epoch, By: row.By, Roster: row.Roster, RosterHash: row.RosterHash,
		Commit: row.Commit, Signature: row.Signature, Suite: row.Suite, Wraps: row.Wraps,
	}
	if row.Consent != uuid.Nil {
		e.Consent = &row.Consent
	}
	return e
}

type messageJSON struct {
	ID        uuid.UUID `json:"id"`
	Session   uuid.UUID `json:"session_id"`
	Sender    uuid.UUID `json:"sender_device_id"`
	Epoch     uint32    `json:"epoch"`
	Seq       uint32    `json:"seq"`
	Body      string    `json:"body"`
	Plaintext string    `json:"plaintext"`
}

func (m messageJSON) row() Message {
	return Message{ID: m.ID, Session: m.Session, Sender: m.Sender, Epoch: m.Epoch, Seq: m.Seq, Body: m.Body}
}

func fromMessage(m Message, plaintext string) messageJSON {
	return messageJSON{
		ID: m.ID, Session: m.Session, Sender: m.Sender, Epoch: m.Epoch, Seq: m.Seq, Body: m.Body, Plaintext: plaintext,
	}
}

func readBundle(t testing.TB, path string) bundle {
	t.Helper()
	var b bundle
	readJSON(t, path, &b)
	return b
}

// keys returns the devices with their private keys.
func (b bundle) keys(t testing.TB) []*Device {
	t.Helper()
	var keys []*Device
	for _, j := range b.Devices {
		d, err := keyJSON{KID: j.KID, Enc: j.Enc, Sig: j.Sig}.device()
		must(t, err)
		if EncodeText(d.EncPub()) != j.EncPub || EncodeText(d.SigPub()) != j.SigPub {
			t.Fatalf("public keys of %s are not those of its private keys", d)
		}
		keys = append(keys, d)
	}
	return keys
}

func analysisKID(b bundle) uuid.UUID {
	for _, d := range b.Devices {
		if Role(d.Role) == RoleAnalysis {
			return uuid.MustParse(d.KID)
		}
	}
	return uuid.Nil
}

// epoch finds an epoch's row and the consent that it names.
func (b bundle) epoch(session uuid.UUID, epoch uint32) (EpochRow, *ConsentRow) {
	for _, e := range b.Epochs {
		if e.Session != session || e.Epoch != epoch {
			continue
		}
		row := e.row()
		for _, c := range b.Consents {
			if c.ID == row.Consent {
				consent := c.row()
				return row, &consent
			}
		}
		return row, nil
	}
	return EpochRow{Session: session, Epoch: epoch}, nil
}

func (b bundle) open(d *Device, session uuid.UUID, epoch uint32) (*Epoch, error) {
	row, consent := b.epoch(session, epoch)
	return OpenEpoch(row, consent, d)
}

// forgeryTable is testdata/forgeries.json, which both ends read.
type forgeryTable struct {
	Note      string          `json:"note"`
	Bundle    json.RawMessage `json:"bundle"`
	Forgeries []forgery       `json:"forgeries"`
}

func (f forgeryTable) bundle(t testing.TB) bundle {
	t.Helper()
	var b bundle
	must(t, json.Unmarshal(f.Bundle, &b))
	return b
}

// forgery replaces values in the good bundle, and names what is then opened and how it must be refused.
type forgery struct {
	Name    string         `json:"name"`
	Set     map[string]any `json:"set"`             // JSON pointer → new value
	Message int            `json:"message"`         // index of the message to open, with its epoch
	Epoch   *int           `json:"epoch,omitempty"` // index of the epoch to open instead; its good row says which
	Refusal string         `json:"refusal"`         // Failure.Reason
}

func (f forgery) apply(t testing.TB, b *bundle) {
	t.Helper()
	data, err := json.Marshal(b)
	must(t, err)
	var tree any
	must(t, json.Unmarshal(data, &tree))
	for _, pointer := range slices.Sorted(maps.Keys(f.Set)) {
		setPointer(t, tree, strings.Split(pointer, "/")[1:], f.Set[pointer])
	}
	data, err = json.Marshal(tree)
	must(t, err)
	*b = bundle{}
	must(t, json.Unmarshal(data, b))
}

func setPointer(t testing.TB, node any, path []string, value any) {
	t.Helper()
	switch node := node.(type) {
	case map[string]any:
		if len(path) == 1 {
			node[path[0]] = value
			return
		}
		setPointer(t, node[path[0]], path[1:], value)
	case []any:
		i, err := strconv.Atoi(path[0])
		must(t, err)
		if len(path) == 1 {
			node[i] = value
			return
		}
		setPointer(t, node[i], path[1:], value)
	default:
		t.Fatalf("nothing at %v", path)
	}
}

func writeJSON(t testing.TB, path string, value any) {
	t.Helper()
	data, err := json.MarshalIndent(value, "", "  ")
	must(t, err)
	must(t, os.WriteFile(path, append(data, '\n'), 0o644))
}
