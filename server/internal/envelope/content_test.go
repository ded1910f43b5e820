package envelope

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// contentCase is one of testdata/content.json, which realtime/client/test/content.test.ts reads as well.
type contentCase struct {
	Name, Text, Bytes string
	Kind, Body        string
	TS                int64
	Refusal           string
}

func (c contentCase) plaintext(t testing.TB) []byte {
	t.Helper()
	if c.Bytes == "" {
		return []byte(c.Text)
	}
	plaintext, err := DecodeText(c.Bytes)
	must(t, err)
	return plaintext
}

func readContents(t testing.TB) []contentCase {
	t.Helper()
	var table struct{ Contents []contentCase }
	readJSON(t, "testdata/content.json", &table)
	if len(table.Contents) < 60 {
		t.Fatalf("%d contents are no test", len(table.Contents))
	}
	return table.Contents
}

// TestNobodyReadsAnotherTextThanThePeople: what the sidecar reads is what a browser shows, or both refuse it.
func TestNobodyReadsAnotherTextThanThePeople(t *testing.T) {
	t.Parallel()
	for _, c := range readContents(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseContent(c.plaintext(t))
			if c.Refusal != "" {
				if Reason(err) != c.Refusal {
					t.Errorf("read as %+v, %v", got, err)
				}
				return
			}
			must(t, err)
			if got != (Content{Kind: c.Kind, Body: c.Body, At: time.Unix(c.TS, 0).UTC()}) {
				t.Errorf("read as %+v", got)
			}
		})
	}
}

func TestContentOfAnyDepthIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, deep := range []string{"[", `{"a":`} {
		for _, n := range []int{9, 9_000, 1_000_000} {
			if _, err := ParseContent([]byte(`{"t":"text","body":"x","ts":1,"more":` + strings.Repeat(deep, n))); !errors.Is(err, ErrFormat) {
				t.Errorf("%d of %s: %v", n, deep, err)
			}
		}
		closed := strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)
		if _, err := ParseContent([]byte(`{"t":"text","body":"x","ts":1,"more":` + closed + `}`)); !errors.Is(err, ErrFormat) {
			t.Errorf("%v", err)
		}
	}
}

// FuzzContent: what parses says the same to a reader that ignores case, takes the last of two keys and mends characters;
// nothing panics, and no error quotes the plaintext.
func FuzzContent(f *testing.F) {
	for _, c := range readContents(f) {
		f.Add(c.plaintext(f))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseContent(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("got %v", err)
			}
			return
		}
		var lenient struct {
			Kind string `json:"t"`
			Body string `json:"body"`
		}
		must(t, json.Unmarshal(data, &lenient))
		var exact map[string]any
		if json.Unmarshal(data, &exact) == nil && (exact["body"] != c.Body || exact["t"] != c.Kind) { // 1e999 beside them is no float64
			t.Error("another text than the exact keys hold")
		}
		if lenient.Kind != c.Kind || lenient.Body != c.Body {
			t.Error("two readers read two texts")
		}
	})
}
