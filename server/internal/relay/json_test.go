package relay_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"vigil/server/internal/relay"
)

func TestValuesBecomeJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		oid        uint32
		text, want string
	}{
		"true":                          {16, "t", `true`},
		"false":                         {16, "f", `false`},
		"a bool of another shape":       {16, "yes", `"yes"`},
		"an integer":                    {23, "-17", `-17`},
		"zero":                          {21, "0", `0`},
		"the largest safe integer":      {20, "9007199254740991", `9007199254740991`},
		"one more":                      {20, "9007199254740992", `"9007199254740992"`},
		"the smallest bigint":           {20, "-9223372036854775808", `"-9223372036854775808"`},
		"no integer of JSON's":          {23, "007", `"007"`},
		"negative zero":                 {23, "-0", `"-0"`},
		"a float":                       {701, "1.5e-07", `1.5e-07`},
		"a real":                        {700, "0.25", `0.25`},
		"not a number":                  {701, "NaN", `"NaN"`},
		"infinity":                      {701, "-Infinity", `"-Infinity"`},
		"a numeric keeps its digits":    {1700, "1.10", `"1.10"`},
		"json":                          {114, ` {"a" : [1]}`, ` {"a" : [1]}`},
		"jsonb":                         {3802, `{"a": null}`, `{"a": null}`},
		"json that is none":             {3802, `{"a":`, `"{\"a\":"`},
		"text":                          {25, "a \"b\" \\ \n\t\r\x01 é 🙂", `"a \"b\" \\ \n\t\r\u0001 é 🙂"`},
		"bytes that are no text":        {25, "a\xffb\xc3", `"a\ufffdb\ufffd"`},
		"a uuid":                        {2950, "0b8f", `"0b8f"`},
		"a time with a zone":            {1184, "2026-01-02 03:04:05.678901+00", `"2026-01-02T03:04:05.678901+00:00"`},
		"a zone with minutes":           {1184, "2026-01-02 03:04:05+05:30", `"2026-01-02T03:04:05+05:30"`},
		"a zone behind":                 {1184, "2026-01-02 03:04:05-08", `"2026-01-02T03:04:05-08:00"`},
		"a time without a zone":         {1114, "2026-01-02 03:04:05", `"2026-01-02T03:04:05"`},
		"the end of time":               {1184, "infinity", `"infinity"`},
		"long ago":                      {1184, "0044-03-15 12:00:00+00 BC", `"0044-03-15 12:00:00+00 BC"`},
		"a far year":                    {1184, "12026-01-02 03:04:05+00", `"12026-01-02 03:04:05+00"`},
		"a date":                        {1082, "2026-01-02", `"2026-01-02"`},
		"an array of text":              {1009, `{analysis,"a \"b\" \\ c",NULL,"NULL",""}`, `["analysis","a \"b\" \\ c",null,"NULL",""]`},
		"an empty array":                {1009, `{}`, `[]`},
		"an array of integers":          {1007, `{1,-2,NULL}`, `[1,-2,null]`},
		"an array of large integers":    {1016, `{9007199254740993}`, `["9007199254740993"]`},
		"an array of bools":             {1000, `{t,f}`, `[true,false]`},
		"an array of floats":            {1022, `{1.5,NaN}`, `[1.5,"NaN"]`},
		"an array of uuids":             {2951, `{0b8f,0b90}`, `["0b8f","0b90"]`},
		"an array of jsonb":             {3807, `{"{\"a\": 1}",NULL}`, `[{"a": 1},null]`},
		"an array of times":             {1185, `{"2026-01-02 03:04:05+00"}`, `["2026-01-02T03:04:05+00:00"]`},
		"two dimensions":                {1007, `{{1,2},{3,4}}`, `[[1,2],[3,4]]`},
		"bounds":                        {1007, `[0:1]={1,2}`, `[1,2]`},
		"an array that does not end":    {1007, `{1,2`, `"{1,2"`},
		"an array with more behind it":  {1007, `{1}x`, `"{1}x"`},
		"an array with an empty item":   {1009, `{a,}`, `"{a,}"`},
		"an array that ends in a quote": {1009, `{"a`, `"{\"a"`},
		"an array too deep":             {1007, `{{{{{{{1}}}}}}}`, `"{{{{{{{1}}}}}}}"`},
		"nothing":                       {25, "", `""`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := string(relay.AppendValue([]byte("before"), c.oid, []byte(c.text)))
			if got != "before"+c.want {
				t.Fatalf("%s, want %s", got[len("before"):], c.want)
			}
		})
	}
}

// FuzzValueIsAlwaysJSON: whatever the type and the text, and text that is UTF-8 comes back as it was.
func FuzzValueIsAlwaysJSON(f *testing.F) {
	for _, oid := range []uint32{16, 20, 25, 114, 701, 1000, 1007, 1009, 1016, 1022, 1114, 1184, 1185, 2951, 3802, 3807} {
		for _, text := range []string{"t", "12", "-0", "1e5", "{}", `{"a":1}`, `{1,NULL,{2}}`, `{"a\"",b}`, "[0:0]={x}", "2026-01-02 03:04:05+00", "\xff\x00"} {
			f.Add(oid, []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, oid uint32, text []byte) {
		got := relay.AppendValue(nil, oid, text)
		if !json.Valid(got) || !utf8.Valid(got) {
			t.Fatalf("type %d: %q became %q", oid, text, got)
		}
		if oid == 25 && utf8.Valid(text) {
			var back string
			if err := json.Unmarshal(got, &back); err != nil || back != string(text) {
				t.Fatalf("%q came back as %q: %v", text, back, err)
			}
		}
	})
}

// FuzzStoredEntries: what can be read is written again as it was; nothing makes the reader panic.
func FuzzStoredEntries(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{1, 7, 0, 3}, make([]byte, 17)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := relay.ParseStored(data)
		if err != nil {
			return
		}
		again, err := relay.ParseStored(s.Again)
		if err != nil || again.Payload != s.Payload || again.Event != s.Event || again.Prev != s.Prev || again.Seq != s.Seq {
			t.Fatalf("%+v came back as %+v: %v", s, again, err)
		}
	})
}

func BenchmarkRowToJSON(b *testing.B) {
	rows := []relay.Row{alerts.row(relay.Insert, 1, 0, id(1), id(2), id(3), "4")}
	b.ReportAllocs()
	for range b.N {
		relay.Derive(rows)
	}
}
