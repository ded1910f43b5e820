package replication_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"vigil/server/internal/replication"
)

var update = flag.Bool("update", false, "write the golden files anew")

var messages = &replication.Relation{OID: 16385, Schema: "public", Name: "messages", Columns: []replication.Column{
	{Name: "id", TypeOID: 2950, Key: true}, {Name: "body", TypeOID: 25}, {Name: "note", TypeOID: 25},
}}

var sessions = &replication.Relation{OID: 16390, Schema: "public", Name: "sessions", Columns: []replication.Column{
	{Name: "id", TypeOID: 2950, Key: true},
}}

func text(s string) replication.Value {
	return replication.Value{Kind: replication.Text, Data: []byte(s)}
}

// everything is a batch that uses each feature of the format.
func everything() replication.Batch {
	null, unchanged := replication.Value{}, replication.Value{Kind: replication.Unchanged}
	at := time.Date(2026, 3, 1, 12, 30, 0, 123456000, time.UTC)
	return replication.Batch{
		{Commit: 0x16B374D848, End: 0x16B374D878, XID: 771, CommittedAt: at, Last: true, Changes: []replication.Change{
			{Ordinal: 1, Op: replication.Insert, Relation: messages, New: []replication.Value{text("a"), text(""), null}},
			{Ordinal: 2, Op: replication.Update, Relation: messages,
				New: []replication.Value{text("b"), unchanged, text(string(bytes.Repeat([]byte("x"), 300)))},
				Old: []replication.Value{text("a"), unchanged, unchanged}},
			{Ordinal: 3, Op: replication.Truncate, Relation: sessions},
			{Ordinal: 7, Op: replication.Message, Prefix: "vigil.ddl", Content: []byte{}},
		}},
		{Commit: 0x16B374D878, End: 0x16B374D900, XID: 772, CommittedAt: at.Add(time.Second), Last: true},
		{Commit: 0x16B374D900, XID: 4294967295, CommittedAt: at.Add(-40 * 365 * 24 * time.Hour), Changes: []replication.Change{
			{Ordinal: 4294967295, Op: replication.Delete, Relation: messages, Old: []replication.Value{text("b"), unchanged, unchanged}},
		}},
	}
}

func TestBatchSurvivesTheCodec(t *testing.T) {
	t.Parallel()
	want := everything()
	data, err := want.AppendBinary([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("before")) {
		t.Fatal("AppendBinary did not append")
	}
	data = data[len("before"):]
	got, err := replication.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Rows() != 5 || got.Position() != (replication.Position{Commit: 0x16B374D900, Ordinal: 4294967295}) {
		t.Errorf("rows %d, position %v", got.Rows(), got.Position())
	}
	golden := filepath.Join("testdata", "entry_v1.bin")
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, data) {
		t.Error("the format changed: stored logs could not be read; give it a new version")
	}
}

func TestDecodeRefusesEveryTruncationAndStaysBounded(t *testing.T) {
	t.Parallel()
	data, err := everything().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for n := range data {
		batch, err := replication.Decode(data[:n])
		if err == nil {
			whole++ // a cut between two chunks is an entry of its own
			if len(batch) >= 3 {
				t.Errorf("cut at %d gave everything", n)
			}
		} else if !errors.Is(err, replication.ErrMalformed) {
			t.Errorf("cut at %d: %v is not ErrMalformed", n, err)
		}
	}
	if whole != 3 { // no chunk, one, two
		t.Errorf("%d truncations were accepted, want 3", whole)
	}
	for name, bad := range map[string][]byte{
		"nothing":                 nil,
		"another version":         {9},
		"a relation out of range": {1, 1, 1, 1, 9, 1, 7},
		"a length beyond the end": {1, 1, 1, 1, 9, 1, 0, 1, 255, 255, 255, 255, 15},
		"too many columns":        append([]byte{1, 1, 1, 1, 9, 1, 0, 1, 0, 0, 0x81, 0x0d}, make([]byte, 9000)...),
		"ordinal zero":            {1, 1, 1, 1, 5, 0, 0, 0, 0},
		"too large":               make([]byte, replication.MaxEntryBytes+1),
	} {
		if _, err := replication.Decode(bad); !errors.Is(err, replication.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAppendBinaryRefusesWhatDecodeCouldNotGive(t *testing.T) {
	t.Parallel()
	insert := replication.Change{Ordinal: 1, Op: replication.Insert, Relation: sessions, New: []replication.Value{text("a")}}
	for name, bad := range map[string]replication.Chunk{
		"last without an end":        {Commit: 1, Last: true},
		"an end without last":        {Commit: 1, End: 2},
		"an end before the commit":   {Commit: 3, End: 2, Last: true},
		"ordinals that do not rise":  {Commit: 1, Changes: []replication.Change{insert, insert}},
		"a row of another width":     {Commit: 1, Changes: []replication.Change{{Ordinal: 1, Op: replication.Insert, Relation: messages, New: []replication.Value{{}}}}},
		"a row without its relation": {Commit: 1, Changes: []replication.Change{{Ordinal: 1, Op: replication.Insert}}},
		"a message with a row":       {Commit: 1, Changes: []replication.Change{{Ordinal: 1, Op: replication.Message, Relation: sessions}}},
	} {
		if _, err := (replication.Batch{bad}).AppendBinary(nil); err == nil {
			t.Errorf("%s was encoded", name)
		}
	}
}

func TestGetFindsColumnsOfNewAndOfOld(t *testing.T) {
	t.Parallel()
	changes := everything()[0].Changes
	if v, ok := changes[1].Get("id"); !ok || string(v.Data) != "b" {
		t.Errorf("new id: %v %v", v, ok)
	}
	if v, ok := everything()[2].Changes[0].Get("id"); !ok || string(v.Data) != "b" {
		t.Errorf("old id: %v %v", v, ok)
	}
	for name, c := range map[string]replication.Change{"no such column": changes[0], "truncate": changes[2], "message": changes[3]} {
		if _, ok := c.Get("absent"); ok {
			t.Errorf("%s: found", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := everything().AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{1})
	f.Add([]byte{1, 1, 1, 1, 9, 1, 0, 1, 0, 0, 1, 0, 0, 1, 2, 6, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		batch, err := replication.Decode(data)
		if err != nil {
			return
		}
		again, err := batch.AppendBinary(nil)
		if err != nil {
			t.Fatalf("%+v cannot be encoded: %v", batch, err)
		}
		second, err := replication.Decode(again)
		if err != nil || !reflect.DeepEqual(batch, second) {
			t.Fatalf("got %+v, %v\nwant %+v", second, err, batch)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	chunk := replication.Chunk{Commit: 1, End: 2, Last: true}
	for i := range 1000 {
		chunk.Changes = append(chunk.Changes, replication.Change{Ordinal: uint32(i + 1), Op: replication.Insert, Relation: messages,
			New: []replication.Value{text("0b9c7b39-3c0d-4f3e-9c6c-1b3d3a1f0a11"), text(string(bytes.Repeat([]byte("x"), 300))), {}}})
	}
	data, err := replication.Batch{chunk}.AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := replication.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
