package realtime

import (
	"encoding/json"
	"testing"
)

func FuzzParseJoin(f *testing.F) {
	at := cursor{epoch: "log-1", seq: 7}.String()
	for _, seed := range []string{
		`{"config":{"broadcast":{"ack":true,"self":"true","replay":{"since":1700000000000,"limit":10}},"presence":{"key":"k","enabled":true},"postgres_changes":[null,{}],"private":true},"access_token":"a.b.c"}`,
		`{"config":{"broadcast":{"replay":{"after":"` + at + `","limit":"3"}}},"user_token":"sb_secret"}`,
		`{"config":{"broadcast":{"replay":{"since":"1e400","limit":-1}}}}`, `{"config":{"broadcast":{"replay":{"since":-1}}}}`, `{"config":{"broadcast":{"replay":{"after":7}}}}`,
		`{"config":{"broadcast":{"replay":[]}}}`, `{"config":7,"access_token":null}`, `{"config":{"broadcast":{"replay":{"since":"NaN"}}}}`, `{}`, `null`, `[]`, "\xff", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		j := parseJoin(json.RawMessage(payload))
		r := j.replay
		if j.key == "" || len(j.key) > maxKeyBytes || j.changes < 0 || len(j.token) > len(payload) {
			t.Fatalf("%+v", j)
		}
		asked := r.after != nil || !r.since.IsZero()
		switch {
		case r.invalid && asked, r.after != nil && !r.since.IsZero():
			t.Fatalf("two answers: %+v", r)
		case asked && (r.limit < 1 || r.limit > replayMost):
			t.Fatalf("limit %d", r.limit)
		case r.after != nil && (r.after.epoch == "" || r.after.seq >= maxSeq):
			t.Fatalf("cursor %+v", r.after)
		case !r.since.IsZero() && (r.since.UnixMilli() < 0 || r.since.UnixMilli() >= maxSeq):
			t.Fatalf("since %v", r.since)
		}
	})
}

func FuzzParseCursor(f *testing.F) {
	for _, seed := range []string{cursor{"log-1", 7}.String(), cursor{"a.b", maxSeq - 1}.String(), "bG9nLTEuLTc", "LjE", "bG9n", "====", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := parseCursor(text)
		if !ok {
			return
		}
		again, ok := parseCursor(c.String())
		if c.epoch == "" || c.seq >= maxSeq || !ok || again != c {
			t.Fatalf("%+v became %+v, %t", c, again, ok)
		}
	})
}
