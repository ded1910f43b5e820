package e2e_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/assess"
	"vigil/server/internal/envelope"
	"vigil/server/internal/triage"
)

// sealed puts into the system what nobody but devices may know: a file's key and name, a recovery key, and a message of a strict
// session with what a detector found in it. It returns what must be found nowhere.
func (y *therapy) sealed(t testing.TB, canary string) (secrets []secret) {
	t.Helper()
	secrets = append(y.recoverable(t), y.sendFile(t, canary))
	kept := y.s.strictTherapy(t, y.org, y.client, y.therapist)
	text := canary + " " + crisisText
	id := kept.send(t, text)
	found, _ := assess.New().Assess(text, triage.State{}, triage.DefaultCrisisPolicy(uuid.Nil))
	kept.score(t, y.client, id, envelope.SideSender, scoreOf(found, 0), nil)
	if v := kept.scoreVerdictOf(t, id, "sender"); v.Alerts != 1 {
		t.Errorf("a strict message with the canary raised %d alerts", v.Alerts)
	}
	return secrets
}

func random(t testing.TB, bytes int) []byte {
	t.Helper()
	data := make([]byte, bytes)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	return data
}

// sendFile sends a message that names a file by the canary, with its key; the sidecar opens it, and so sees both.
func (y *therapy) sendFile(t testing.TB, canary string) secret {
	t.Helper()
	key := random(t, envelope.KeyBytes)
	content, err := json.Marshal(map[string]any{
		"t": "text", "body": canary + " " + crisisText, "ts": 1790000000,
		"files": []map[string]any{{
			"id": uuid.NewString(), "key": envelope.EncodeText(key), "name": canary + ".pdf", "type": "application/pdf", "bytes": 7,
			"sha256": strings.Repeat("A", 43),
		}},
		"seen": []any{[]any{1, "AAAAAAAAAAA"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := y.epoch.Seal(y.client.device, uuid.New(), y.seq, content)
	if err != nil {
		t.Fatal(err)
	}
	y.seq++
	if err := y.insert(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if o := y.s.outcomeOf(t, m.ID); o.status != "assessed" || o.level < 4 {
		t.Errorf("a message with a file was not opened: %+v", o)
	}
	return newSecret("a file's key", string(key))
}

// recoverable gives the client a recovery key, as a browser would; its private halves are sealed.
func (y *therapy) recoverable(t testing.TB) (secrets []secret) {
	t.Helper()
	d, err := envelope.NewDevice(uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var scalars struct{ Enc, Sig string }
	if err := json.Unmarshal(text, &scalars); err != nil {
		t.Fatal(err)
	}
	private := random(t, envelope.KeyBytes) // the third, for age
	for _, scalar := range []string{scalars.Sig, scalars.Enc} {
		raw, err := base64.RawURLEncoding.DecodeString(scalar)
		if err != nil {
			t.Fatal(err)
		}
		private = slices.Concat(raw, private)
	}
	block, err := aes.NewCipher(random(t, envelope.KeyBytes)) // of a passphrase; which one says nothing here
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	terms := envelope.DeviceTerms{User: y.client.id, By: y.client.device.KID(), KID: d.KID(), Kind: envelope.KindRecovery, EncPub: d.EncPub(), SigPub: d.SigPub()}
	signature, err := envelope.SignDevice(y.client.device, terms)
	if err != nil {
		t.Fatal(err)
	}
	var arguments []any
	for _, part := range []map[string]any{
		{"id": d.KID(), "enc_pub": envelope.EncodeText(d.EncPub()), "sig_pub": envelope.EncodeText(d.SigPub())},
		{"by_device_id": y.client.device.KID(), "signature": signature},
		{
			"version": 1, "memory_kib": 65536, "passes": 3, "lanes": 1, "salt": envelope.EncodeText(random(t, 16)),
			"wrapped": envelope.EncodeText(aead.Seal(nil, nil, private, nil)), "age_recipient": "age1" + strings.Repeat("q", 58),
		},
	} {
		data, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, string(data))
	}
	y.s.as(t, y.client, "select public.set_recovery($1, $2, $3)", arguments...)
	y.s.admitted(t, d)
	before := y.epoch.Number
	y.send(t, ordinaryText)
	if m, ok := y.epoch.Roster.Member(d.KID()); !ok || m.Role != envelope.RoleRecovery || y.epoch.Number == before {
		t.Error("the recovery key is not on the next roster")
	}
	for scalar := range slices.Chunk(private, envelope.KeyBytes) {
		secrets = append(secrets, newSecret("a recovery key", string(scalar)))
	}
	return secrets
}
