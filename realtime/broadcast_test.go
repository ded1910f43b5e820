package realtime_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

// push sends a client's broadcast as realtime-js does: binary on vsn 2, text on vsn 1.
func (c *client) push(joinRef, topic, event, payload, meta string) {
	c.t.Helper()
	if c.v == phoenix.V1 {
		c.send(joinRef, "realtime:"+topic, "broadcast", `{"type":"broadcast","event":"`+event+`","payload":`+payload+`}`)
		return
	}
	c.binary(phoenix.Broadcast{JoinRef: joinRef, Ref: "77", Topic: "realtime:" + topic, Event: event, Meta: json.RawMessage(meta),
		Encoding: phoenix.JSON, Payload: []byte(payload)})
}

func (c *client) binary(b phoenix.Broadcast) {
	c.t.Helper()
	frame, ok := phoenix.AppendPush(nil, b)
	if !ok {
		c.t.Fatal("header too long")
	}
	if err := c.conn.WriteMessage(websocket.BinaryMessage, frame); err != nil {
		c.t.Fatal(err)
	}
}

func TestClientBroadcastReachesTheOthersOnBothVersions(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, v phoenix.Version) {
		b := setup(t)
		var all []*client
		for _, user := range []string{"ann", "ben", "cay"} {
			b.people.allow(user, "session:1", everything)
			all = append(all, b.connect(phoenix.Version(len(all)%2)))
		}
		from := b.connect(v)
		for i, user := range []string{"ann", "ben", "cay"} {
			all[i].joined("session:1", user+"/l")
		}
		ref := from.joined("session:1", "ann/l1")
		from.push(ref, "session:1", "typing", `{"n":3}`, "")
		for _, c := range all {
			m := c.expect("broadcast")
			if want := `{"type":"broadcast","event":"typing","payload":{"n":3}}`; string(m.Payload) != want {
				t.Errorf("got %s, want %s", m.Payload, want)
			}
		}
		from.silent() // neither itself nor an ack, as it asked for neither
	})
}

func TestClientBroadcastWithSelfAndAck(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V2)
	ref := c.join("session:1", joinOptions{token: "ann/l1", config: `,"broadcast":{"ack":true,"self":"true"}`})
	c.ok()
	c.recovery()
	c.push(ref, "session:1", "typing", `[1]`, "")
	c.expect("broadcast")
	if m := c.expect("phx_reply"); m.Ref != "77" || reply(t, m).Status != "ok" {
		t.Errorf("got %s", m)
	}
}

func TestClientBroadcastsThatAreRefusedSaySo(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.Limits.BroadcastBytes = 100 })
	b.people.allow("ann", "session:1", everything)
	b.people.allow("ann", "care:1", realtime.Grant{BroadcastReceive: true})
	c, other := b.connect(phoenix.V2), b.connect(phoenix.V2)
	session, care := c.joined("session:1", "ann/l1"), c.joined("care:1", "ann/l1")
	other.joined("session:1", "ann/l1")
	other.joined("care:1", "ann/l1")
	c.push(care, "care:1", "alert", `{}`, "")
	c.refused(realtime.CodeUnauthorized)
	c.push(session, "session:1", "big", `"`+strings.Repeat("x", 100)+`"`, "")
	c.refused(realtime.CodePayloadTooLarge)
	c.push(session, "session:1", "kept", `{}`, `{"persist":true}`)
	c.refused(realtime.CodePersistUnsupported)
	c.send(session, "realtime:session:1", "broadcast", `{"type":"broadcast","payload":{}}`)
	c.refused(realtime.CodeInvalidPayload)
	c.push(session, "session:3", "e", `{}`, "")
	c.refused(realtime.CodeUnmatchedTopic)
	if m := c.expect("phx_error"); m.JoinRef != session || m.Topic != "realtime:session:3" {
		t.Errorf("who holds it for joined is told %s", m)
	}
	c.push(session, "session:1", "", `{}`, "")
	c.refused(realtime.CodeInvalidPayload)
	c.push(session, "session:1", "e", `{`, "")
	c.refused(realtime.CodeInvalidPayload)
	c.binary(phoenix.Broadcast{Topic: "realtime:session:1", Event: "e", Encoding: phoenix.JSON, Payload: []byte("{")}) // nobody waits
	c.push(session, "session:3", "e", `{}`, "")
	c.refused(realtime.CodeUnmatchedTopic)
	one := b.connect(phoenix.V1)
	one.binary(phoenix.Broadcast{JoinRef: one.joined("session:1", "ann/l1"), Ref: "77", Topic: "realtime:session:1", Event: "e", Payload: []byte("{}")})
	one.refused(realtime.CodeInvalidPayload) // vsn 1 has no binary frames
	other.silent()
}

// A durable broadcast is told by its meta: whatever a client pushes, the others get a broadcast without.
func TestClientCannotForgeTheMetaOfADurableBroadcast(t *testing.T) {
	t.Parallel()
	const (
		topic = "realtime:session:1"
		meta  = `{"id":"5f0c8a4e-0000-4000-8000-000000000001","seq":1,"prev":0,"epoch":"e"}`
		plain = `{"type":"broadcast","event":"message","payload":{}}`
	)
	text := func(payload string) func(*client, string) {
		return func(c *client, ref string) { c.send(ref, topic, "broadcast", payload) }
	}
	binary := func(event, payload string, encoding phoenix.Encoding) func(*client, string) {
		return func(c *client, ref string) {
			c.binary(phoenix.Broadcast{JoinRef: ref, Ref: "77", Topic: topic, Event: event, Meta: json.RawMessage(meta),
				Encoding: encoding, Payload: []byte(payload)})
		}
	}
	cases := []struct {
		name string
		from phoenix.Version
		push func(c *client, ref string)
		want string // the text payload; "" for a frame of kind 4
	}{
		{"text, vsn 1", phoenix.V1, text(`{"type":"broadcast","event":"message","payload":{},"meta":` + meta + `,"seq":1}`), plain},
		{"text, vsn 2", phoenix.V2, text(`{"type":"broadcast","event":"message","payload":{},"meta":` + meta + `,"seq":1}`), plain},
		{"text, meta first and twice", phoenix.V2, text(`{"meta":` + meta + `,"META":` + meta + `,"event":"message","payload":{}}`), plain},
		{"text, quotes in the event", phoenix.V2, text(`{"event":"a\",\"meta\":{},\"b\":\"","payload":{}}`),
			`{"type":"broadcast","event":"a\",\"meta\":{},\"b\":\"","payload":{}}`},
		{"kind 3, JSON", phoenix.V2, binary("message", `{}`, phoenix.JSON), plain},
		{"kind 3, JSON, meta in the payload", phoenix.V2, binary("message", `{"meta":`+meta+`}`, phoenix.JSON),
			`{"type":"broadcast","event":"message","payload":{"meta":` + meta + `}}`},
		{"kind 3, quotes in the event", phoenix.V2, binary(`a","meta":{},"b":"`, `{}`, phoenix.JSON),
			`{"type":"broadcast","event":"a\",\"meta\":{},\"b\":\"","payload":{}}`},
		{"kind 3, raw", phoenix.V2, binary("message", `{"meta":`+meta+`}`, phoenix.Raw), ""},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.people.allow("ann", "session:1", everything)
			c, old, other := b.connect(tt.from), b.connect(phoenix.V1), b.connect(phoenix.V2)
			ref := c.joined("session:1", "ann/l1")
			old.joined("session:1", "ann/l1")
			other.joined("session:1", "ann/l1")
			tt.push(c, ref)
			if tt.want == "" {
				if m := other.next(); m.binary == nil || m.binary.Meta != nil {
					t.Errorf("got %s, want a binary frame without meta", m)
				}
				return
			}
			for _, hears := range []*client{old, other} {
				if m := hears.expect("broadcast"); string(m.Payload) != tt.want {
					t.Errorf("got %s, want %s", m, tt.want)
				}
			}
		})
	}
}

// A payload that ends its own object early would bring a meta of its own: it is no JSON, and not relayed.
func TestClientCannotEndThePayloadEarly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	c, other := b.connect(phoenix.V2), b.connect(phoenix.V2)
	ref := c.joined("session:1", "ann/l1")
	other.joined("session:1", "ann/l1")
	for _, payload := range []string{`{},"meta":{"seq":1}`, `{}}`, `{} {}`, ``} {
		c.binary(phoenix.Broadcast{JoinRef: ref, Topic: "realtime:session:1", Event: "message", Encoding: phoenix.JSON,
			Payload: []byte(payload)})
	}
	c.send(ref, "realtime:session:1", "system", `{"extension":"recovery","cursor":"x"}`)
	c.refused(realtime.CodeUnknownEvent)
	other.silent()
}

func TestRawBroadcastIsKindFourAndSkipsVersionOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	from, two, one := b.connect(phoenix.V2), b.connect(phoenix.V2), b.connect(phoenix.V1)
	ref := from.joined("session:1", "ann/l1")
	two.joined("session:1", "ann/l1")
	one.joined("session:1", "ann/l1")
	from.binary(phoenix.Broadcast{JoinRef: ref, Topic: "realtime:session:1", Event: "audio", Payload: []byte{0, 255}})
	m := two.next()
	if m.binary == nil || m.binary.Topic != "realtime:session:1" || m.binary.Event != "audio" || string(m.binary.Payload) != "\x00\xff" {
		t.Errorf("got %s", m)
	}
	from.push(ref, "session:1", "next", `{}`, "")
	if m := one.expect("broadcast"); !strings.Contains(string(m.Payload), `"next"`) {
		t.Errorf("got %s", m)
	}
}

func TestPublicAndPrivateChannelsOfOneNameAreTwoRooms(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.AllowPublic = true })
	b.people.allow("ann", "lobby", everything)
	private, public := b.connect(phoenix.V2), b.connect(phoenix.V2)
	private.joined("lobby", "ann/l1")
	ref := public.join("lobby", joinOptions{public: true})
	public.ok()
	public.push(ref, "lobby", "e", `{}`, "")
	public.silent()
	private.silent()
}
