package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/crypto/argon2"
)

// The recovery key's three scalars, sealed under a key that Argon2id derives from the passphrase: a row of recovery_keys. No Go
// code but this test opens one: Argon2 is not approved under FIPS, and the sidecar has no business with a passphrase. The test
// is the second implementation that the browser's is held against.
const (
	recoverySalt    = 16
	recoveryScalars = 3 * KeyBytes // enc ‖ sig ‖ age
	recoveryBytes   = NonceBytes + recoveryScalars + TagBytes

	// What a reader accepts before it derives: less is too cheap to guess, more would hang the browser.
	leastMemoryKiB, mostMemoryKiB = 64 << 10, 1 << 20
	leastPasses, mostPasses       = 3, 10
)

// recoveryRow is a row of recovery_keys with whose it is.
type recoveryRow struct {
	User      uuid.UUID `json:"user_id"`
	Device    uuid.UUID `json:"device_id"`
	MemoryKiB uint32    `json:"memory_kib"`
	Passes    uint32    `json:"passes"`
	Lanes     uint8     `json:"lanes"`
	Salt      string    `json:"salt"`
	Wrapped   string    `json:"wrapped"`
}

// recoveryCase is a row, the passphrase as it is typed and as it is derived from (NFKC), and what it opens to.
type recoveryCase struct {
	Name string `json:"name"`
	recoveryRow
	Passphrase string `json:"passphrase"`
	Normal     string `json:"nfkc"`
	KEK        string `json:"kek"`
	Enc        string `json:"enc"`
	Sig        string `json:"sig"`
	Age        string `json:"age"`
	EncPub     string `json:"enc_pub"`
	SigPub     string `json:"sig_pub"`
}

// recoveryForgery replaces columns of a case's row, or its passphrase. Refusal is "format", "parameters" (neither derives
// anything), or "open": a wrong passphrase and a forged row cannot be told apart.
type recoveryForgery struct {
	Name    string         `json:"name"`
	Case    int            `json:"case"`
	Set     map[string]any `json:"set"`
	Refusal string         `json:"refusal"`
}

type recoveryFile struct {
	Note      string            `json:"note"`
	Cases     []recoveryCase    `json:"cases"`
	Forgeries []recoveryForgery `json:"forgeries"`
}

func (r recoveryRow) aad(salt []byte) input {
	in := label("pe1/recovery").id(r.User).id(r.Device).number(r.MemoryKiB).number(r.Passes).octet(r.Lanes)
	return in.bytes(salt)
}

func recoveryCipher(kek []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// derive is the slow step; its results are kept, for a hostile row that changes nothing of it derives the same.
func (r recoveryRow) derive(passphrase string, salt []byte) []byte {
	return argon2.IDKey([]byte(passphrase), salt, r.Passes, r.MemoryKiB, r.Lanes, KeyBytes)
}

// open returns the scalars, or the code of the refusal.
func (r recoveryRow) open(kek func(salt []byte) []byte) (scalars []byte, refusal string) {
	salt, err := decodeSized("salt", r.Salt, recoverySalt)
	if err != nil {
		return nil, "format"
	}
	wrapped, err := decodeSized("wrapped", r.Wrapped, recoveryBytes)
	if err != nil {
		return nil, "format"
	}
	if r.MemoryKiB < leastMemoryKiB || r.MemoryKiB > mostMemoryKiB || r.Passes < leastPasses || r.Passes > mostPasses || r.Lanes != 1 {
		return nil, "parameters"
	}
	aead, err := recoveryCipher(kek(salt))
	if err != nil {
		return nil, "format"
	}
	scalars, err = aead.Open(nil, nil, wrapped, r.aad(salt))
	if err != nil {
		return nil, "open"
	}
	return scalars, ""
}

const (
	recoveryVectors    = "testdata/recovery.json"
	recoveryWebVectors = "../../../realtime/client/testdata/recovery-webcrypto.json" // by its tests, with UPDATE_VECTORS=1
)

func TestRecoveryKeysOpen(t *testing.T) {
	t.Parallel()
	if strings.Contains(os.Getenv("GODEBUG"), "fips140=only") {
		t.Skip("Argon2 is not approved, and nothing but this test derives with it")
	}
	for _, path := range []string{recoveryVectors, recoveryWebVectors} {
		var f recoveryFile
		readJSON(t, path, &f)
		if len(f.Cases) == 0 {
			t.Fatal("no recovery key to open")
		}
		for _, c := range f.Cases {
			scalars, refusal := c.open(func(salt []byte) []byte {
				kek := c.derive(c.Normal, salt)
				if EncodeText(kek) != c.KEK {
					t.Errorf("%s: derives another key than the file's", c.Name)
				}
				return kek
			})
			if refusal != "" {
				t.Errorf("%s: refused as %q", c.Name, refusal)
				continue
			}
			c.check(t, scalars)
		}
	}
}

// check holds the scalars against the public keys of the recovery device.
func (c recoveryCase) check(t *testing.T, scalars []byte) {
	t.Helper()
	enc, sig, age := EncodeText(scalars[:KeyBytes]), EncodeText(scalars[KeyBytes:2*KeyBytes]), EncodeText(scalars[2*KeyBytes:])
	if enc != c.Enc || sig != c.Sig || age != c.Age {
		t.Errorf("%s: opens to other keys than the file's", c.Name)
	}
	d, err := keyJSON{KID: c.Device.String(), Enc: enc, Sig: sig}.device()
	must(t, err)
	if EncodeText(d.EncPub()) != c.EncPub || EncodeText(d.SigPub()) != c.SigPub {
		t.Errorf("%s: opens to the keys of another device", c.Name)
	}
}

func TestForgedRecoveryKeysAreRefused(t *testing.T) {
	t.Parallel()
	var f recoveryFile
	readJSON(t, recoveryVectors, &f)
	if len(f.Forgeries) < 15 {
		t.Fatalf("a table of %d forgeries is not the whole one", len(f.Forgeries))
	}
	for _, forged := range f.Forgeries {
		t.Run(forged.Name, func(t *testing.T) {
			t.Parallel()
			good := f.Cases[forged.Case]
			row := decode[recoveryCase](t, changed(t, mustMarshal(t, good), forged.Set))
			same := row.Passphrase == good.Passphrase && row.Salt == good.Salt && row.MemoryKiB == good.MemoryKiB && row.Passes == good.Passes
			_, refusal := row.open(func([]byte) []byte {
				kek, err := DecodeText(good.KEK)
				must(t, err)
				if !same { // what Argon2 gives for another input is another key; the slow step itself is tested above
					kek[0] ^= 1
				}
				return kek
			})
			if refusal != forged.Refusal {
				t.Errorf("refused as %q instead of %q", refusal, forged.Refusal)
			}
		})
	}
}

func makeRecoveryCase(t *testing.T, name, typed, normal string, memory, passes uint32) recoveryCase {
	t.Helper()
	d, err := NewDevice(uuid.New())
	must(t, err)
	k := decode[keyJSON](t, mustDevice(t, d))
	random := make([]byte, KeyBytes+recoverySalt)
	_, err = rand.Read(random)
	must(t, err)
	age, salt := random[:KeyBytes], random[KeyBytes:]
	c := recoveryCase{
		Name: name, Passphrase: typed, Normal: normal, Enc: k.Enc, Sig: k.Sig, Age: EncodeText(age),
		EncPub: EncodeText(d.EncPub()), SigPub: EncodeText(d.SigPub()),
		recoveryRow: recoveryRow{
			User: uuid.New(), Device: d.kid, MemoryKiB: memory, Passes: passes, Lanes: 1, Salt: EncodeText(salt),
		},
	}
	kek := c.derive(normal, salt)
	aead, err := recoveryCipher(kek)
	must(t, err)
	enc, err := DecodeText(k.Enc)
	must(t, err)
	sig, err := DecodeText(k.Sig)
	must(t, err)
	c.KEK = EncodeText(kek)
	c.Wrapped = EncodeText(aead.Seal(nil, nil, slices.Concat(enc, sig, age), c.aad(salt)))
	return c
}

func makeRecovery(t *testing.T) recoveryFile {
	t.Helper()
	f := recoveryFile{
		Note: "Test keys and passphrases, made by Go; read by both ends. Refresh: go test ./server/internal/envelope -update",
		Cases: []recoveryCase{
			makeRecoveryCase(t, "as it is set today", "correct horse battery staple", "correct horse battery staple", 64<<10, 3),
			// A ligature, a letter with a combining ring, and a full-width digit: as one keyboard types it, and as all derive.
			makeRecoveryCase(t, "a passphrase that NFKC changes", "\ufb01ve A\u030angstro\u0308m \uff11", "five \u00c5ngstr\u00f6m 1", 64<<10, 3),
			makeRecoveryCase(t, "one that was set dearer", "another passphrase, longer", "another passphrase, longer", 80<<10, 4),
		},
	}
	add := func(name, refusal string, set map[string]any) {
		f.Forgeries = append(f.Forgeries, recoveryForgery{Name: name, Set: set, Refusal: refusal})
	}
	good, other := f.Cases[0], f.Cases[1]
	flip := func(text string, i int) string { return (&forge{TB: t}).flip(text, i) }
	add("another passphrase", "open", map[string]any{"passphrase": "correct horse battery stable", "nfkc": "correct horse battery stable"})
	add("another account", "open", map[string]any{"user_id": uuid.New()})
	add("another device", "open", map[string]any{"device_id": other.Device})
	add("the keys of another row", "open", map[string]any{"wrapped": other.Wrapped})
	add("more memory than it was sealed with", "open", map[string]any{"memory_kib": 80 << 10})
	add("more passes than it was sealed with", "open", map[string]any{"passes": 4})
	add("another salt", "open", map[string]any{"salt": other.Salt})
	add("one bit of the nonce flipped", "open", map[string]any{"wrapped": flip(good.Wrapped, 0)})
	add("one bit of a key flipped", "open", map[string]any{"wrapped": flip(good.Wrapped, NonceBytes)})
	add("one bit of the tag flipped", "open", map[string]any{"wrapped": flip(good.Wrapped, -1)})
	add("less memory than may be", "parameters", map[string]any{"memory_kib": 64<<10 - 1})
	add("more memory than may be", "parameters", map[string]any{"memory_kib": 1<<20 + 1})
	add("fewer passes than may be", "parameters", map[string]any{"passes": 2})
	add("more passes than may be", "parameters", map[string]any{"passes": 11})
	add("more lanes than may be", "parameters", map[string]any{"lanes": 2})
	add("salt truncated", "format", map[string]any{"salt": good.Salt[:20]})
	add("keys truncated", "format", map[string]any{"wrapped": good.Wrapped[:160]})
	add("keys that are not base64url", "format", map[string]any{"wrapped": "+" + good.Wrapped[1:]})
	return f
}

// TestRecoveryTableIsUpToDate: the forgeries of the file are those above; with -update it writes the file, keys and all.
func TestRecoveryTableIsUpToDate(t *testing.T) {
	if *update {
		writeJSON(t, recoveryVectors, makeRecovery(t))
	}
	var kept recoveryFile
	readJSON(t, recoveryVectors, &kept)
	names := map[string]bool{}
	for _, f := range kept.Forgeries {
		names[f.Name] = true
		if len(slices.Collect(maps.Keys(f.Set))) == 0 {
			t.Errorf("%s: changes nothing", f.Name)
		}
	}
	if len(names) != len(kept.Forgeries) {
		t.Error("two forgeries have one name")
	}
}
