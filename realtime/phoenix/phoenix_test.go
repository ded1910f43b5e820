package phoenix_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"vigil/realtime/phoenix"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for vsn, want := range map[string]struct {
		version phoenix.Version
		ok      bool
	}{
		"":       {phoenix.V1, true},
		"1.0.0":  {phoenix.V1, true},
		"1.0.7":  {phoenix.V1, true},
		"2.0.0":  {phoenix.V2, true},
		"2.1.0":  {phoenix.V1, false},
		"3.0.0":  {phoenix.V1, false},
		"latest": {phoenix.V1, false},
	} {
		if got, ok := phoenix.ParseVersion(vsn); got != want.version || ok != want.ok {
			t.Errorf("%q: %v, %v", vsn, got, ok)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", phoenix.MaxHeaderBytes+1)
	for name, c := range map[string]struct {
		version phoenix.Version
		frame   string
	}{
		"nothing":                    {phoenix.V2, ``},
		"no JSON":                    {phoenix.V2, `[`},
		"an object where v2 speaks":  {phoenix.V2, `{"topic":"t","event":"e","payload":{}}`},
		"an array where v1 speaks":   {phoenix.V1, `["1","1","t","e",{}]`},
		"four fields":                {phoenix.V2, `["1","1","t","e"]`},
		"six fields":                 {phoenix.V2, `["1","1","t","e",{},1]`},
		"a null topic":               {phoenix.V2, `["1","1",null,"e",{}]`},
		"an empty topic":             {phoenix.V2, `["1","1","","e",{}]`},
		"a number as event":          {phoenix.V2, `["1","1","t",7,{}]`},
		"an object as ref":           {phoenix.V2, `["1",{},"t","e",{}]`},
		"a list as payload":          {phoenix.V2, `["1","1","t","e",[]]`},
		"a string as payload":        {phoenix.V1, `{"topic":"t","event":"e","payload":"p"}`},
		"a missing event":            {phoenix.V1, `{"topic":"t","payload":{}}`},
		"a topic longer than a byte": {phoenix.V2, `["1","1","` + long + `","e",{}]`},
		"text that is not UTF-8":     {phoenix.V2, "[\"1\",\"1\",\"t\xff\",\"e\",{}]"},
		"more after the frame":       {phoenix.V2, `["1","1","t","e",{}] []`},
	} {
		if m, err := phoenix.Decode(c.version, []byte(c.frame)); !errors.Is(err, phoenix.ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
}

func TestDecodeIsLenientWithRefsAndPayload(t *testing.T) {
	t.Parallel()
	for frame, want := range map[string]phoenix.Message{
		`[null,7,"t","e",null]`:          {Ref: "7", Topic: "t", Event: "e", Payload: json.RawMessage(`{}`)},
		`["1",null,"t","e",{"a":1}]`:     {JoinRef: "1", Topic: "t", Event: "e", Payload: json.RawMessage(`{"a":1}`)},
		` [ "1" , "2","t", "e" , { } ] `: {JoinRef: "1", Ref: "2", Topic: "t", Event: "e", Payload: json.RawMessage(`{ }`)},
	} {
		m, err := phoenix.Decode(phoenix.V2, []byte(frame))
		if err != nil || m.JoinRef != want.JoinRef || m.Ref != want.Ref || string(m.Payload) != string(want.Payload) {
			t.Errorf("%s: got %+v, %v", frame, m, err)
		}
	}
	m, err := phoenix.Decode(phoenix.V1, []byte(`{"topic":"t","event":"e"}`))
	if err != nil || m.Ref != "" || string(m.Payload) != "{}" {
		t.Errorf("vsn 1 without refs: got %+v, %v", m, err)
	}
}

func TestDecodePushRefuses(t *testing.T) {
	t.Parallel()
	for name, frame := range map[string]string{
		"nothing":              "",
		"another kind":         "\x00\x01\x01\x01\x01\x00\x0116te{}",
		"a short header":       "\x03\x01\x01\x01",
		"less than it says":    "\x03\x01\x01\xff\x01\x00\x0116te{}",
		"no topic":             "\x03\x01\x01\x00\x01\x00\x0116e{}",
		"no event":             "\x03\x01\x01\x01\x00\x00\x0116t{}",
		"JSON that is none":    "\x03\x01\x01\x01\x01\x00\x0116te{",
		"meta that is no JSON": "\x03\x01\x01\x01\x01\x01\x0116te{{}",
		"an unknown encoding":  "\x03\x01\x01\x01\x01\x00\x0216te{}",
		"a topic not UTF-8":    "\x03\x01\x01\x01\x01\x00\x0116\xffe{}",
	} {
		if b, err := phoenix.DecodePush([]byte(frame)); !errors.Is(err, phoenix.ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, b, err)
		}
	}
}

func TestBroadcastTooLongForBinaryIsLeftToText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", phoenix.MaxHeaderBytes+1)
	for name, b := range map[string]phoenix.Broadcast{
		"topic": {Topic: long, Event: "e"},
		"event": {Topic: "t", Event: long},
		"meta":  {Topic: "t", Event: "e", Meta: json.RawMessage(`"` + long + `"`)},
	} {
		if got, ok := phoenix.AppendBroadcast([]byte("kept"), b); ok || string(got) != "kept" {
			t.Errorf("%s: got %q, %v", name, got, ok)
		}
		if got, ok := phoenix.AppendPush([]byte("kept"), b); ok || string(got) != "kept" {
			t.Errorf("%s push: got %q, %v", name, got, ok)
		}
	}
}

func TestReplies(t *testing.T) {
	t.Parallel()
	to := phoenix.Message{JoinRef: "6", Ref: "7", Topic: "t", Event: "x"}
	for want, m := range map[string]phoenix.Message{
		`["6","7","t","phx_reply",{"status":"ok","response":{}}]`:                      phoenix.Reply(to, true, nil),
		`["6","7","t","phx_reply",{"status":"error","response":{"reason":"a \"b\""}}]`: phoenix.Refuse(to, `a "b"`),
		`["6","6","t","phx_close",{}]`:                                                 phoenix.End("t", phoenix.EventClose, "6"),
	} {
		if got := phoenix.AppendText(nil, phoenix.V2, m); string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, g := range readGolden(f) {
		if g.Encoding == "text" {
			f.Add(g.bytes(f), g.VSN == "2.0.0")
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte, two bool) {
		v := phoenix.V1
		if two {
			v = phoenix.V2
		}
		m, err := phoenix.Decode(v, frame)
		if err != nil {
			if !errors.Is(err, phoenix.ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		again, err := phoenix.Decode(v, phoenix.AppendText(nil, v, m))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if again.Topic != m.Topic || again.Event != m.Event || again.Ref != m.Ref || again.JoinRef != m.JoinRef ||
			!bytes.Equal(again.Payload, m.Payload) {
			t.Fatalf("read %+v, wrote and read %+v", m, again)
		}
	})
}

func FuzzDecodePush(f *testing.F) {
	for _, g := range readGolden(f) {
		if g.Encoding == "base64" {
			f.Add(g.bytes(f))
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		b, err := phoenix.DecodePush(frame)
		if err != nil {
			if !errors.Is(err, phoenix.ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		if got, ok := phoenix.AppendPush(nil, b); !ok || !bytes.Equal(got, frame) {
			t.Fatalf("read %x, wrote %x", frame, got)
		}
	})
}

func FuzzDecodeBroadcast(f *testing.F) {
	for _, g := range readGolden(f) {
		if g.Encoding == "base64" {
			f.Add(g.bytes(f))
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		b, err := phoenix.DecodeBroadcast(frame)
		if err != nil {
			return
		}
		if got, ok := phoenix.AppendBroadcast(nil, b); !ok || !bytes.Equal(got, frame) {
			t.Fatalf("read %x, wrote %x", frame, got)
		}
	})
}
