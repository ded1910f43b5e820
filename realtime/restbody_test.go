package realtime

import (
	"encoding/json"
	"net/url"
	"testing"
	"unicode/utf8"

	"vigil/realtime/phoenix"
)

// checkPost holds what the rest of the package relies on.
func checkPost(t *testing.T, p posting, most int) {
	t.Helper()
	b := p.broadcast
	if p.key.topic == "" || b.Topic != phoenix.TopicPrefix+p.key.topic || b.Event == "" || len(b.Topic) > 255 || len(b.Event) > 255 {
		t.Fatalf("names: %+v", p)
	}
	if b.Encoding == phoenix.JSON && (!json.Valid(b.Payload) || !utf8.Valid(b.Payload)) || len(b.Payload) > most || b.Meta != nil {
		t.Fatalf("payload: %+v", p)
	}
}

func FuzzReadBatch(f *testing.F) {
	for _, seed := range []string{
		`{"messages":[{"topic":"session:1","event":"e","payload":{"a":1},"private":true}]}`,
		`{"messages":[{"topic":"session:1","event":"e","payload":null,"private":"true","persist":false},{"topic":"","event":"e"},null,7]}`,
		`{"messages":[{"topic":"t","event":"e","payload":"0123456789012345678901234567890123456789"}]}`,
		`{"messages":[{"topic":"t","event":"e","persist":{"ttl":5}}]}`, "{\"messages\":[{\"topic\":\"t\",\"event\":\"e\",\"payload\":\"\xff\"}]}", `{"messages":[]}`, `{"messages":{}}`, `[]`, "\xff", "",
	} {
		f.Add([]byte(seed))
	}
	limits := Limits{BroadcastBytes: 40, UserBroadcastBurst: 3}.withDefaults()
	f.Fuzz(func(t *testing.T, body []byte) {
		posts, no := readBatch(body, limits)
		if (no == nil) != (len(posts) > 0) || len(posts) > limits.UserBroadcastBurst {
			t.Fatalf("%d messages and %+v", len(posts), no)
		}
		for _, p := range posts {
			checkPost(t, p, limits.BroadcastBytes)
		}
		if no == nil {
			return
		}
		if no.status < 400 || no.fault.code == "" || no.fault.text == "" {
			t.Fatalf("%+v", no)
		}
		last := -1
		for _, e := range no.errors {
			if e.Index <= last || e.Index >= limits.UserBroadcastBurst || e.Code == "" {
				t.Fatalf("%+v", no.errors)
			}
			last = e.Index
		}
	})
}

func FuzzReadEvent(f *testing.F) {
	f.Add("/realtime/v1/api/broadcast/session%3A1/events/a%2Fb", "private=true", false, []byte(`{"a":1}`))
	f.Add("/api/broadcast", "", false, []byte("{}"))
	f.Add("/api/broadcast/t/events/websocket", "persist%5Bttl%5D=5", true, []byte{0, 255})
	f.Add("/api/broadcast/%ff/events/e", "persist=false&private=1", true, []byte{})
	f.Fuzz(func(t *testing.T, path, query string, raw bool, body []byte) {
		to, ok := parseTarget(path)
		if !ok || to.batch {
			return
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		p, status, fault := readEvent(to, values, raw, body)
		if fault != nil {
			if status < 400 || fault.code == "" {
				t.Fatalf("%d %+v", status, fault)
			}
			return
		}
		checkPost(t, p, max(len(body), len("{}")))
		again, ok := parseTarget("/any/api/broadcast/" + url.PathEscape(p.key.topic) + "/events/" + url.PathEscape(p.broadcast.Event))
		if !ok || again != to || p.key.private != (values.Get("private") == "true") {
			t.Fatalf("%+v, want %+v", again, to)
		}
	})
}

func TestTargets(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]target{
		"/api/broadcast":                                {batch: true},
		"/realtime/v1/api/broadcast":                    {batch: true},
		"/api/broadcast/room/events/websocket":          {topic: "room", event: "websocket"},
		"/x/api/broadcast/a%2Fevents%2Fb/events/api%20": {topic: "a/events/b", event: "api "},
		"/api/broadcast/api/broadcast/room/events/e":    {topic: "room", event: "e"},
		"/api/broadcast/room/events/broadcast":          {topic: "room", event: "broadcast"},
	} {
		if got, ok := parseTarget(path); !ok || got != want {
			t.Errorf("%s: got %+v %v", path, got, ok)
		}
	}
	for _, path := range []string{"", "/", "/broadcast", "/api/broadcast/", "/api/broadcast/room", "/api/broadcast/room/events", "/broadcast/room/events/e", "/websocket"} {
		if got, ok := parseTarget(path); ok {
			t.Errorf("%s: got %+v", path, got)
		}
	}
}
