package envelope

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func newTestDevice(t testing.TB) *Device {
	t.Helper()
	d, err := NewDevice(uuid.New())
	must(t, err)
	return d
}

func TestKeyFileKeepsADevice(t *testing.T) {
	t.Parallel()
	for name, count := range map[string]int{"one key": 1, "three keys": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "analysis.key")
			var keys []*Device
			for range count {
				keys = append(keys, newTestDevice(t))
			}
			must(t, WriteKeyFile(path, keys...))
			info, err := os.Stat(path)
			must(t, err)
			if info.Mode().Perm() != 0o600 {
				t.Errorf("mode is %v", info.Mode().Perm())
			}
			read, err := FileSource{Path: path}.Keys(t.Context())
			must(t, err)
			text, err := os.ReadFile(path)
			must(t, err)
			fromText, err := TextSource{Text: string(text)}.Keys(t.Context())
			must(t, err)
			for _, got := range [][]*Device{read, fromText} {
				if len(got) != count {
					t.Fatalf("%d keys came back of %d", len(got), count)
				}
				for i, d := range got {
					if !d.enc.Equal(keys[i].enc) || !d.sig.Equal(keys[i].sig) || d.kid != keys[i].kid {
						t.Errorf("key %d came back as another", i)
					}
				}
			}
			if err := WriteKeyFile(path, keys...); !errors.Is(err, fs.ErrExist) {
				t.Errorf("a key file was replaced: %v", err)
			}
		})
	}
}

func TestKeyFileThatOthersReadIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "analysis.key")
	must(t, WriteKeyFile(path, newTestDevice(t)))
	must(t, os.Chmod(path, 0o640))
	if _, err := (FileSource{Path: path}).Keys(t.Context()); !errors.Is(err, ErrKeyFileMode) {
		t.Errorf("got %v", err)
	}
	if _, err := (FileSource{Path: path + ".none"}).Keys(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestBadKeyFilesAreRefusedWithoutQuotingThem(t *testing.T) {
	t.Parallel()
	d := newTestDevice(t)
	data, err := d.Marshal()
	must(t, err)
	good := string(data)
	var k keyJSON
	must(t, json.Unmarshal(data, &k))
	for name, text := range map[string]string{
		"empty":               "",
		"no JSON":             "secret-" + k.Enc,
		"an empty array":      "[]",
		"a null":              "null",
		"two objects":         good + good,
		"the same kid twice":  "[" + good + "," + good + "]",
		"no kid":              strings.Replace(good, k.KID, "", 1),
		"kid as urn":          strings.Replace(good, k.KID, "urn:uuid:"+k.KID, 1),
		"short enc":           strings.Replace(good, k.Enc, k.Enc[:40], 1),
		"zero sig":            strings.Replace(good, k.Sig, EncodeText(make([]byte, 32)), 1),
		"enc above the order": strings.Replace(good, k.Enc, strings.Repeat("_", 42)+"8", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseKeys([]byte(text))
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("got %v", err)
			}
			for _, secret := range []string{k.Enc, k.Sig, k.Enc[:20]} {
				if strings.Contains(err.Error(), secret) {
					t.Error("the error quotes a key")
				}
			}
		})
	}
}

func TestNothingPrintsAKey(t *testing.T) {
	t.Parallel()
	d := newTestDevice(t)
	data, err := d.Marshal()
	must(t, err)
	var k keyJSON
	must(t, json.Unmarshal(data, &k))
	e, _, err := MakeEpoch(d, uuid.New(), 1, Roster{d.Member(RoleClient)}, uuid.Nil)
	must(t, err)
	structure, err := json.Marshal(struct {
		D *Device
		E *Epoch
	}{d, e})
	must(t, err)
	source := TextSource{Text: string(data)}
	printed := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %v %#v %s", d, d, d, d, e, e, e, source, source, structure)
	raw := fmt.Sprintf("%v", e.key)
	for _, secret := range []string{k.Enc, k.Sig, EncodeText(e.key[:]), raw, raw[1:20]} {
		if strings.Contains(printed, secret) {
			t.Errorf("a key was printed: %s", printed)
		}
	}
}

func TestPermanentAndTemporaryAreToldApart(t *testing.T) {
	t.Parallel()
	for _, f := range []*Failure{
		ErrFormat, ErrSuite, ErrRoster, ErrSignature, ErrPin, ErrConsent, ErrWrap, ErrCommitment, ErrEpoch, ErrBody, ErrKey,
	} {
		wrapped := fmt.Errorf("open message: %w", f)
		if Reason(wrapped) != f.Reason() || f.Reason() == "" {
			t.Errorf("reason of %v is %q", f, Reason(wrapped))
		}
		if f.Permanent() == (f == ErrKey) {
			t.Errorf("%v: permanent is %v", f, f.Permanent())
		}
	}
	if Reason(errors.New("other")) != "" {
		t.Error("a foreign error has a reason")
	}
}
