package phoenix_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"vigil/realtime/phoenix"
)

// golden is one file of realtime/testdata/frames. Vitest reads the same files.
type golden struct {
	Name      string
	VSN       string
	Direction string // client or server
	Encoding  string // text or base64
	Frame     string
	Decoded   struct {
		JoinRef *string `json:"join_ref"`
		Ref     *string
		Topic   string
		Event   string
		Payload json.RawMessage
	}
}

func readGolden(tb testing.TB) []golden {
	tb.Helper()
	files, err := filepath.Glob("../testdata/frames/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no golden frames: %v", err)
	}
	all := make([]golden, len(files))
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		if err := json.Unmarshal(data, &all[i]); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
	}
	return all
}

func (g golden) bytes(tb testing.TB) []byte {
	tb.Helper()
	if g.Encoding == "text" {
		return []byte(g.Frame)
	}
	data, err := base64.StdEncoding.DecodeString(g.Frame)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func (g golden) version(tb testing.TB) phoenix.Version {
	tb.Helper()
	v, ok := phoenix.ParseVersion(g.VSN)
	if !ok {
		tb.Fatalf("version %q", g.VSN)
	}
	return v
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func TestGoldenFramesDecodeToWhatTheyName(t *testing.T) {
	t.Parallel()
	for _, g := range readGolden(t) {
		t.Run(g.Name+" "+g.VSN, func(t *testing.T) {
			t.Parallel()
			if g.Encoding == "text" {
				m, err := phoenix.Decode(g.version(t), g.bytes(t))
				if err != nil {
					t.Fatal(err)
				}
				want := phoenix.Message{JoinRef: text(g.Decoded.JoinRef), Ref: text(g.Decoded.Ref), Topic: g.Decoded.Topic,
					Event: g.Decoded.Event}
				if !sameJSON(t, m.Payload, g.Decoded.Payload) {
					t.Errorf("payload %s, want %s", m.Payload, g.Decoded.Payload)
				}
				if m.Payload = nil; !reflect.DeepEqual(m, want) {
					t.Errorf("decoded %+v, want %+v", m, want)
				}
				return
			}
			b, err := decodeBinary(g)(g.bytes(t))
			if err != nil {
				t.Fatal(err)
			}
			if b.Topic != g.Decoded.Topic || b.JoinRef != text(g.Decoded.JoinRef) || b.Ref != text(g.Decoded.Ref) {
				t.Errorf("decoded %+v, want %+v", b, g.Decoded)
			}
			if got := asPayload(t, b); !sameJSON(t, got, g.Decoded.Payload) {
				t.Errorf("payload %s, want %s", got, g.Decoded.Payload)
			}
		})
	}
}

func TestGoldenFramesEncodeToThemselves(t *testing.T) {
	t.Parallel()
	for _, g := range readGolden(t) {
		frame := g.bytes(t)
		if g.Encoding == "text" {
			m, err := phoenix.Decode(g.version(t), frame)
			if err != nil {
				t.Fatal(err)
			}
			if got := phoenix.AppendText(nil, g.version(t), m); string(got) != string(frame) {
				t.Errorf("%s %s: encoded %s, want %s", g.Name, g.VSN, got, frame)
			}
			continue
		}
		b, err := decodeBinary(g)(frame)
		if err != nil {
			t.Fatal(err)
		}
		encode := phoenix.AppendPush
		if g.Direction == "server" {
			encode = phoenix.AppendBroadcast
		}
		if got, ok := encode(nil, b); !ok || string(got) != string(frame) {
			t.Errorf("%s: encoded %x, want %x", g.Name, got, frame)
		}
	}
}

func decodeBinary(g golden) func([]byte) (phoenix.Broadcast, error) {
	if g.Direction == "server" {
		return phoenix.DecodeBroadcast
	}
	return phoenix.DecodePush
}

// asPayload gives b as realtime-js hands it to the app; raw bytes as {"base64": …}.
func asPayload(t *testing.T, b phoenix.Broadcast) []byte {
	t.Helper()
	o := map[string]any{"type": "broadcast", "event": b.Event, "payload": json.RawMessage(b.Payload)}
	if b.Encoding == phoenix.Raw {
		o["payload"] = map[string]any{"base64": b.Payload}
	}
	if b.Meta != nil {
		o["meta"] = b.Meta
	}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return reflect.DeepEqual(x, y)
}
