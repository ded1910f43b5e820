package envelope

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// suggestionFile is a file of sealed suggestions: rows of suggestion_seals, with the private keys of their devices, and (in
// Go's) the forgeries that both ends must refuse. The browser's tests read the same.
type suggestionFile struct {
	Note        string              `json:"note"`
	Devices     []deviceJSON        `json:"devices"`
	Suggestions []suggestionJSON    `json:"suggestions"`
	Forgeries   []suggestionForgery `json:"forgeries,omitempty"`
}

type suggestionJSON struct {
	ID        uuid.UUID `json:"suggestion_id"`
	Device    uuid.UUID `json:"device_id"`
	Session   uuid.UUID `json:"session_id"`
	Message   uuid.UUID `json:"message_id"`
	Sealed    string    `json:"sealed"`
	Signature string    `json:"signature"`
	Plaintext string    `json:"plaintext"`
}

func (s suggestionJSON) row() Suggestion {
	return Suggestion{ID: s.ID, Session: s.Session, Message: s.Message, Device: s.Device, Sealed: s.Sealed, Signature: s.Signature}
}

// suggestionForgery replaces columns of one suggestion; it is opened as the device that the good one is sealed to.
type suggestionForgery struct {
	Name       string            `json:"name"`
	Suggestion int               `json:"suggestion"`
	Set        map[string]string `json:"set"`
	Refusal    string            `json:"refusal"`
}

func (f suggestionFile) device(t testing.TB, kid uuid.UUID) *Device {
	t.Helper()
	for _, d := range (bundle{Devices: f.Devices}).keys(t) {
		if d.kid == kid {
			return d
		}
	}
	t.Fatalf("no device %s", kid)
	return nil
}

func (f suggestionFile) sigPub(t testing.TB) []byte {
	t.Helper()
	return f.device(t, analysisKID(bundle{Devices: f.Devices})).SigPub()
}

const suggestionVectors = "testdata/suggestions-go.json"

func TestSuggestionsOfBothEndsOpen(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"made by Go": suggestionVectors, "made by WebCrypto": "../../../realtime/client/testdata/suggestions-webcrypto.json",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("vectors are missing: %v", err)
			}
			var f suggestionFile
			readJSON(t, path, &f)
			if len(f.Suggestions) < 3 {
				t.Fatalf("%d suggestions are no test", len(f.Suggestions))
			}
			for _, s := range f.Suggestions {
				text, err := OpenSuggestion(f.device(t, s.Device), f.sigPub(t), s.row())
				must(t, err)
				if string(text) != s.Plaintext {
					t.Errorf("suggestion %s opens to another text", s.ID)
				}
			}
		})
	}
}

func TestForgedSuggestionsAreRefused(t *testing.T) {
	t.Parallel()
	var f suggestionFile
	readJSON(t, suggestionVectors, &f)
	if len(f.Forgeries) < 15 {
		t.Fatalf("a table of %d forgeries is not the whole one", len(f.Forgeries))
	}
	for _, forged := range f.Forgeries {
		t.Run(forged.Name, func(t *testing.T) {
			t.Parallel()
			good := f.Suggestions[forged.Suggestion]
			data, err := json.Marshal(good)
			must(t, err)
			var columns map[string]string
			must(t, json.Unmarshal(data, &columns))
			maps.Copy(columns, forged.Set)
			data, err = json.Marshal(columns)
			must(t, err)
			var bad suggestionJSON
			must(t, json.Unmarshal(data, &bad))
			text, err := OpenSuggestion(f.device(t, good.Device), f.sigPub(t), bad.row())
			if Reason(err) != forged.Refusal || text != nil {
				t.Errorf("refused as %q (%v) instead of %q", Reason(err), err, forged.Refusal)
			}
		})
	}
}

// makeSuggestions makes the vectors and the forgeries: two devices of therapists, two suggestions, one sealed to both.
func makeSuggestions(t *testing.T) suggestionFile {
	t.Helper()
	f := &forge{TB: t, session: uuid.New(), other: uuid.New()}
	for _, d := range []**Device{&f.therapist, &f.client, &f.analysis, &f.outsider} { // client: the therapist's second device
		var err error
		*d, err = NewDevice(uuid.New())
		must(t, err)
	}
	f.addDevice(f.therapist, RoleTherapist)
	f.addDevice(f.client, RoleTherapist)
	f.addDevice(f.analysis, RoleAnalysis)
	file := suggestionFile{
		Note:    "Test keys and sealed suggestions, made by Go; read by both ends. Refresh: go test ./server/internal/envelope -update",
		Devices: f.bundle.Devices,
	}
	seal := func(by, to *Device, place Suggestion, text string) suggestionJSON {
		s, err := SealSuggestion(by, to.Member(RoleTherapist), place, []byte(text))
		must(t, err)
		return suggestionJSON{s.ID, s.Device, s.Session, s.Message, s.Sealed, s.Signature, text}
	}
	first := Suggestion{ID: uuid.New(), Session: f.session, Message: uuid.New()}
	second := Suggestion{ID: uuid.New(), Session: f.session, Message: uuid.New()}
	const text = "It sounds as if the nights are the hardest. What are they like?"
	file.Suggestions = []suggestionJSON{
		seal(f.analysis, f.therapist, first, text), seal(f.analysis, f.client, first, text),
		seal(f.analysis, f.therapist, second, "grüße, 🌙 \"quoted\"\nand a second line"), seal(f.analysis, f.therapist, Suggestion{ID: uuid.New(), Session: f.other, Message: uuid.New()}, "a"),
	}
	add := func(name, refusal string, set map[string]string) {
		file.Forgeries = append(file.Forgeries, suggestionForgery{Name: name, Set: set, Refusal: refusal})
	}
	good, other, moved := file.Suggestions[0], file.Suggestions[1], file.Suggestions[2]
	add("suggestion id changed", "signature", map[string]string{"suggestion_id": uuid.NewString()})
	add("session changed", "signature", map[string]string{"session_id": f.other.String()})
	add("message changed", "signature", map[string]string{"message_id": second.Message.String()})
	add("device changed", "wrap", map[string]string{"device_id": f.client.KID().String()})
	add("the seal of another device", "signature", map[string]string{"sealed": other.Sealed, "signature": other.Signature})
	add("the text of another suggestion", "signature", map[string]string{"sealed": moved.Sealed, "signature": moved.Signature})
	add("the text of another, under its own signature", "signature", map[string]string{"sealed": moved.Sealed})
	add("the signature of another", "signature", map[string]string{"signature": moved.Signature})
	for name, i := range map[string]int{"encapsulated key": 10, "ciphertext": PointBytes, "tag": -1} {
		add("one bit of "+name+" flipped", "signature", map[string]string{"sealed": f.flip(good.Sealed, i)})
	}
	slices.SortFunc(file.Forgeries, func(a, b suggestionForgery) int { return strings.Compare(a.Name, b.Name) })
	add("one bit of the signature flipped", "signature", map[string]string{"signature": f.flip(good.Signature, 5)})
	add("signature truncated", "format", map[string]string{"signature": good.Signature[:80]})
	add("signature empty", "format", map[string]string{"signature": ""})
	add("sealed shorter than its overhead", "format", map[string]string{"sealed": good.Sealed[:100]})
	add("sealed empty", "format", map[string]string{"sealed": ""})
	add("sealed is not base64url", "format", map[string]string{"sealed": "+" + good.Sealed[1:]})
	by := seal(f.outsider, f.therapist, first, "forged")
	add("signed by another device", "signature", map[string]string{"sealed": by.Sealed, "signature": by.Signature})
	by = seal(f.therapist, f.therapist, first, "forged")
	add("signed by the clinician's own device", "signature", map[string]string{"sealed": by.Sealed, "signature": by.Signature})
	// The analysis device signs what it did not seal for this place: the signature verifies, and it does not open.
	for name, sealed := range map[string]string{"signed anew for another device's key": other.Sealed} {
		raw, err := DecodeText(sealed)
		must(t, err)
		signature, err := f.analysis.sign(good.row().signed(raw))
		must(t, err)
		add(name, "body", map[string]string{"sealed": sealed, "signature": EncodeText(signature)})
	}
	return file
}

// TestSuggestionTableIsUpToDate makes the vectors again and holds them against the file; with -update it writes the file.
func TestSuggestionTableIsUpToDate(t *testing.T) {
	made := makeSuggestions(t)
	if *update {
		writeJSON(t, suggestionVectors, made)
	}
	var kept suggestionFile
	readJSON(t, suggestionVectors, &kept)
	if len(kept.Forgeries) != len(made.Forgeries) || len(kept.Suggestions) != len(made.Suggestions) {
		t.Fatal("the file has other rows than the table: run with -update")
	}
	for i, want := range made.Forgeries {
		got := kept.Forgeries[i]
		same := slices.Equal(slices.Sorted(maps.Keys(got.Set)), slices.Sorted(maps.Keys(want.Set)))
		if got.Name != want.Name || got.Refusal != want.Refusal || !same {
			t.Errorf("forgery %d is %q (%s) in the file and %q (%s) here: run with -update", i, got.Name, got.Refusal, want.Name, want.Refusal)
		}
	}
}

func TestASuggestionIsSealedOnlyAsItShould(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	place := Suggestion{ID: uuid.New(), Session: f.session, Message: uuid.New()}
	to := f.therapist.Member(RoleTherapist)
	off := to
	off.EncPub = append([]byte(nil), to.EncPub...)
	off.EncPub[64] ^= 1
	mute, err := newDevice(uuid.New(), f.analysis.enc, nil)
	must(t, err)
	for name, c := range map[string]struct {
		by   *Device
		to   Member
		text string
		want error
	}{
		"an empty text":               {f.analysis, to, "", ErrFormat},
		"a text that is too long":     {f.analysis, to, strings.Repeat("a", MaxSuggestionBytes), ErrFormat},
		"a key off the curve":         {f.analysis, off, "text", ErrFormat},
		"a device that cannot sign":   {mute, to, "text", ErrKey},
		"the longest text that there": {f.analysis, to, strings.Repeat("a", MaxSuggestionBytes-SuggestionOverhead), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := SealSuggestion(c.by, c.to, place, []byte(c.text))
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("got %v", err)
			}
			if (err == nil) != (s.Sealed != "") || len(s.Sealed) > 32768 {
				t.Errorf("sealed to %d characters", len(s.Sealed))
			}
		})
	}
}

func TestASealThatIsTooLongIsRefusedUnread(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	s := Suggestion{Device: f.therapist.KID(), Sealed: strings.Repeat("A", MaxSuggestionBytes*2), Signature: strings.Repeat("A", 86)}
	if _, err := OpenSuggestion(f.therapist, f.analysis.SigPub(), s); !errors.Is(err, ErrFormat) {
		t.Errorf("got %v", err)
	}
}

func TestTheRingSealsWithTheKeyThatTheSessionKnows(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	ring := NewRing(RingConfig{}, f.outsider, f.analysis) // a newer key stands first
	place := Suggestion{ID: uuid.New(), Session: f.session, Message: uuid.New()}
	s, err := ring.SealSuggestion(f.epochs[0], f.therapist.Member(RoleTherapist), place, []byte("text"))
	must(t, err)
	text, err := OpenSuggestion(f.therapist, f.analysis.SigPub(), s)
	must(t, err)
	if string(text) != "text" {
		t.Error("another text")
	}
	if _, err := OpenSuggestion(f.client, f.analysis.SigPub(), s); !errors.Is(err, ErrWrap) {
		t.Errorf("the client's device: %v", err)
	}
	ring.SetKeys(f.outsider)
	if _, err := ring.SealSuggestion(f.epochs[0], f.therapist.Member(RoleTherapist), place, []byte("text")); !errors.Is(err, ErrKey) {
		t.Errorf("without the key: %v", err)
	}
}

// FuzzSuggestion: any sealed text and signature is refused with a reason, or is the genuine one's.
func FuzzSuggestion(f *testing.F) {
	var file suggestionFile
	readJSON(f, suggestionVectors, &file)
	for _, s := range file.Suggestions {
		f.Add(s.Sealed, s.Signature)
	}
	genuine := file.Suggestions[0]
	d, sigPub := file.device(f, genuine.Device), file.sigPub(f)
	f.Fuzz(func(t *testing.T, sealed, signature string) {
		s := genuine.row()
		s.Sealed, s.Signature = sealed, signature
		text, err := OpenSuggestion(d, sigPub, s)
		if err == nil && string(text) != genuine.Plaintext {
			t.Error("a forged suggestion opened")
		}
		if err != nil && Reason(err) == "" {
			t.Errorf("an error without a reason: %v", err)
		}
	})
}
