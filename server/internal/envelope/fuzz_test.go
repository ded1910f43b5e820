package envelope

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/uuid"
)

// FuzzBody: any text is refused or opens to what was sealed; the genuine body is the only one that opens in this row.
func FuzzBody(f *testing.F) {
	b := readBundle(f, "testdata/pe1-go.json")
	keys := b.keys(f)
	genuine := b.Messages[0]
	e, err := b.open(keys[0], genuine.Session, genuine.Epoch)
	must(f, err)
	for _, m := range b.Messages {
		f.Add(m.Body)
	}
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, body string) {
		m := genuine.row()
		m.Body = body
		plaintext, err := e.Open(m)
		if err == nil && string(plaintext) != genuine.Plaintext {
			t.Error("a forged body opened")
		}
		if err != nil && Reason(err) == "" {
			t.Errorf("an error without a reason: %v", err)
		}
	})
}

// FuzzWrap: any wrap is refused with ErrWrap or ErrCommitment, or is the genuine one's key.
func FuzzWrap(f *testing.F) {
	b := readBundle(f, "testdata/pe1-go.json")
	d := b.keys(f)[0]
	row, consent := b.epoch(b.Epochs[0].Session, b.Epochs[0].Epoch)
	for _, wrap := range row.Wraps {
		f.Add(wrap)
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, wrap string) {
		forged := row
		forged.Wraps = map[uuid.UUID]string{d.kid: wrap}
		_, err := OpenEpoch(forged, consent, d)
		if err != nil && !errors.Is(err, ErrWrap) && !errors.Is(err, ErrCommitment) {
			t.Errorf("got %v", err)
		}
	})
}

// FuzzRoster: what parses can be written and parsed again to the same hash.
func FuzzRoster(f *testing.F) {
	for _, e := range readBundle(f, "testdata/pe1-go.json").Epochs {
		f.Add([]byte(e.Roster))
	}
	f.Add([]byte(`[]`))
	f.Add([]byte(`[{"kid":null,"role":-1}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		roster, err := ParseRoster(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("got %v", err)
			}
			return
		}
		written, err := json.Marshal(roster)
		must(t, err)
		again, err := ParseRoster(written)
		must(t, err)
		if again.Hash() != roster.Hash() {
			t.Error("the roster came back as another")
		}
	})
}

// FuzzKeyFile: what parses can be written and parsed again.
func FuzzKeyFile(f *testing.F) {
	d, err := NewDevice(uuid.New())
	must(f, err)
	data, err := d.Marshal()
	must(f, err)
	f.Add(data)
	f.Add([]byte("[" + string(data) + "]"))
	f.Add([]byte(`{"kid":"","enc":"","sig":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParseKeys(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("got %v", err)
			}
			return
		}
		for _, d := range keys {
			written, err := d.Marshal()
			must(t, err)
			again, err := ParseDevice(written)
			must(t, err)
			if !again.enc.Equal(d.enc) || !again.sig.Equal(d.sig) {
				t.Error("the key came back as another")
			}
		}
	})
}
