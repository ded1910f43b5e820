package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
)

// wire builds pgoutput messages.
type wire []byte

func (w wire) u8(v byte) wire    { return append(w, v) }
func (w wire) u16(v uint16) wire { return binary.BigEndian.AppendUint16(w, v) }
func (w wire) u32(v uint32) wire { return binary.BigEndian.AppendUint32(w, v) }
func (w wire) u64(v uint64) wire { return binary.BigEndian.AppendUint64(w, v) }
func (w wire) str(s string) wire { return append(append(w, s...), 0) }

func beginOf(commit uint64, xid uint32) wire { return wire{'B'}.u64(commit).u64(1000).u32(xid) }
func commitOf(commit uint64) wire            { return wire{'C'}.u8(0).u64(commit).u64(commit + 8).u64(1000) }

func relationOf(oid uint32, name string, columns ...string) wire {
	w := wire{'R'}.u32(oid).str("public").str(name).u8('d').u16(uint16(len(columns)))
	for i, c := range columns {
		key := byte(0)
		if i == 0 {
			key = 1
		}
		w = w.u8(key).str(c).u32(25).u32(0xffffffff)
	}
	return w
}

// tuple takes "~" as null, "?" as unchanged, and the rest as text.
func (w wire) tuple(kind byte, values ...string) wire {
	w = w.u8(kind).u16(uint16(len(values)))
	for _, v := range values {
		switch v {
		case "~":
			w = w.u8('n')
		case "?":
			w = w.u8('u')
		default:
			w = append(w.u8('t').u32(uint32(len(v))), v...)
		}
	}
	return w
}

func insertOf(oid uint32, values ...string) wire { return wire{'I'}.u32(oid).tuple('N', values...) }

// collect is an assembler whose entries are kept.
type collect struct {
	assembler
	entries [][]byte
}

func newCollect(maxBytes, maxRows int, r resume) *collect {
	c := &collect{assembler: assembler{maxBytes: maxBytes, maxRows: maxRows, messages: func(p string) bool { return strings.HasPrefix(p, "vigil.") }}}
	c.full = func() error {
		c.entries = append(c.entries, c.take(nil))
		return nil
	}
	c.reset(r, nil)
	return c
}

func (c *collect) feed(messages ...wire) error {
	for _, m := range messages {
		if err := c.handle(m, false); err != nil {
			return err
		}
	}
	return nil
}

// finish gives everything as lines: commit.ordinal op values.
func (c *collect) finish(t *testing.T) []string {
	t.Helper()
	if !c.isEmpty() {
		c.entries = append(c.entries, c.take(nil))
	}
	var lines []string
	for _, data := range c.entries {
		b, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, chunk := range b {
			for _, ch := range chunk.Changes {
				line := fmt.Sprintf("%d.%d %s", chunk.Commit, ch.Ordinal, ch.Op)
				for _, v := range append(append([]Value{}, ch.New...), ch.Old...) {
					line += " " + [...]string{"null", "unchanged", string(v.Data)}[v.Kind]
				}
				lines = append(lines, line)
			}
			if chunk.Last {
				lines = append(lines, fmt.Sprintf("%d ends at %d", chunk.Commit, chunk.End))
			}
		}
	}
	return lines
}

func expectLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestTheAssemblerReadsEveryMessage(t *testing.T) {
	t.Parallel()
	c := newCollect(1<<20, 1000, resume{})
	err := c.feed(
		beginOf(100, 7), wire{'O'}.u64(5).str("elsewhere"), wire{'Y'}.u32(99).str("public").str("mood"),
		relationOf(1, "items", "id", "body"), insertOf(1, "a", "~"),
		wire{'U'}.u32(1).tuple('N', "a", "?"),
		wire{'U'}.u32(1).tuple('K', "a", "~").tuple('N', "b", "x"),
		wire{'U'}.u32(1).tuple('O', "a", "~").tuple('N', "b", "x"),
		wire{'D'}.u32(1).tuple('K', "b", "~"),
		wire{'D'}.u32(1).tuple('O', "b", "~"),
		relationOf(2, "other", "id"),
		wire{'T'}.u32(2).u8(3).u32(1).u32(2),
		append(wire{'M'}.u8(1).u64(90).str("vigil.ddl").u32(2), "hi"...),
		append(wire{'M'}.u8(1).u64(90).str("foreign").u32(2), "hi"...),
		insertOf(1, "c", ""),
		commitOf(100),
		append(wire{'M'}.u8(0).u64(110).str("vigil.ddl").u32(2), "hi"...),
		beginOf(200, 8), commitOf(200),
		beginOf(300, 9), insertOf(1, "d", "~"), commitOf(300),
	)
	if err != nil {
		t.Fatal(err)
	}
	expectLines(t, c.finish(t), "100.1 insert a null", "100.2 update a unchanged", "100.3 update b x a unchanged", "100.4 update b x a null",
		"100.5 delete b unchanged", "100.6 delete b null", "100.7 truncate", "100.8 truncate", "100.9 message", "100.11 insert c ", "100 ends at 108",
		"300.1 insert d null", "300 ends at 308")
	if c.complete != 308 {
		t.Errorf("complete %d", c.complete)
	}
}

func TestTheAssemblerRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	start := []wire{beginOf(100, 7), relationOf(1, "items", "id", "body")}
	for name, messages := range map[string][]wire{
		"an unknown message":            {{'Z'}},
		"a streamed transaction":        {wire{'S'}.u32(1).u8(1)},
		"an empty message":              {{}},
		"a change before begin":         {relationOf(1, "items", "id", "body"), insertOf(1, "a", "b")},
		"an unknown relation":           append(start, insertOf(2, "a", "b")),
		"too few values":                append(start, insertOf(1, "a")),
		"a binary value":                append(start, wire{'I'}.u32(1).u8('N').u16(2).u8('b').u32(0).u8('n')),
		"a value beyond the end":        append(start, wire{'I'}.u32(1).u8('N').u16(2).u8('t').u32(99).u8('n')),
		"bytes after the row":           append(start, insertOf(1, "a", "b").u8(0)),
		"an update with a strange part": append(start, wire{'U'}.u32(1).tuple('X', "a", "b").tuple('N', "a", "b")),
		"an insert of an old row":       append(start, wire{'I'}.u32(1).tuple('O', "a", "b")),
		"a begin in a transaction":      append(start, beginOf(200, 8)),
		"a begin that goes back":        append(start, commitOf(100), beginOf(100, 8)),
		"a commit of another":           append(start, commitOf(200)),
		"a commit outside":              {commitOf(100)},
		"a short begin":                 {wire{'B'}.u64(1)},
		"a truncate of what is unknown": append(start, wire{'T'}.u32(1).u8(0).u32(9)),
		"a truncate with a wrong count": append(start, wire{'T'}.u32(9).u8(0).u32(1)),
		"a relation without an end":     {wire{'R'}.u32(1).str("public").str("x").u8('d').u16(5)},
		"a message with a wrong length": {append(wire{'M'}.u8(1).u64(90).str("vigil.ddl").u32(3), "hi"...)},
	} {
		err := newCollect(1<<20, 1000, resume{}).feed(messages...)
		if !errors.Is(err, ErrProtocol) || !isPermanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestResumingDropsExactlyWhatIsStored cuts a stream after every entry, and begins again from there.
func TestResumingDropsExactlyWhatIsStored(t *testing.T) {
	t.Parallel()
	messages := []wire{relationOf(1, "items", "id")}
	for tx := range uint64(6) {
		messages = append(messages, beginOf(100+tx*10, uint32(tx)))
		for i := range tx {
			messages = append(messages, wire{'M'}.u8(1).u64(90).str("foreign").u32(0), insertOf(1, fmt.Sprint(tx, "-", i)))
		}
		messages = append(messages, commitOf(100+tx*10))
	}
	for maxRows := 1; maxRows < 5; maxRows++ {
		whole := newCollect(1<<20, maxRows, resume{})
		if err := whole.feed(messages...); err != nil {
			t.Fatal(err)
		}
		want := whole.finish(t)
		for n, last := range whole.entries {
			r, err := resumeAfter(last)
			if err != nil {
				t.Fatal(err)
			}
			r.mustSee = true
			rest := newCollect(1<<20, 3, r)
			if err := rest.feed(messages...); err != nil {
				t.Fatal(err)
			}
			got := newCollect(0, 0, resume{})
			got.entries = append(got.entries, whole.entries[:n+1]...)
			rest.finish(t)
			got.entries = append(got.entries, rest.entries...)
			expectLines(t, got.finish(t), want...)
		}
	}
}

func TestEntriesStayWithinTheirLimits(t *testing.T) {
	t.Parallel()
	const maxBytes, maxRows = 4 << 10, 20
	c := newCollect(maxBytes, maxRows, resume{})
	source := rand.New(rand.NewPCG(1, 2))
	messages := []wire{relationOf(1, "items", "id", "body", "more")}
	for tx := range uint64(200) {
		messages = append(messages, beginOf(100+tx*10, uint32(tx)))
		for range source.IntN(40) {
			messages = append(messages, insertOf(1, "k", strings.Repeat("x", source.IntN(500)), strings.Repeat("y", source.IntN(200)*source.IntN(60))))
		}
		messages = append(messages, commitOf(100+tx*10))
	}
	if err := c.feed(messages...); err != nil {
		t.Fatal(err)
	}
	c.finish(t)
	for i, data := range c.entries {
		b, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > maxBytes || b.Rows() > maxRows {
			t.Errorf("entry %d has %d bytes and %d rows", i, len(data), b.Rows())
		}
		for _, chunk := range b {
			for _, ch := range chunk.Changes {
				if v, ok := ch.Get("id"); !ok || string(v.Data) != "k" {
					t.Errorf("the key was withheld: %v", ch)
				}
			}
		}
	}
	if c.withheld == 0 {
		t.Error("nothing was withheld: the test is too tame")
	}
}

func TestAConfirmedLSNNeverGoesBack(t *testing.T) {
	t.Parallel()
	s := &stream{confirmed: 100}
	if err := s.send(99, false); !errors.Is(err, ErrStaleLSN) {
		t.Error(err)
	}
}

// TestFramesAreTheSameHoweverTheyAreCut feeds a stream of messages in pieces of random size.
func TestFramesAreTheSameHoweverTheyAreCut(t *testing.T) {
	t.Parallel()
	source := rand.New(rand.NewPCG(3, 4))
	var data []byte
	var want []string
	for i := range 300 {
		body := bytes.Repeat([]byte{byte(i)}, source.IntN(3)*source.IntN(2000))
		data = append(binary.BigEndian.AppendUint32(append(data, 'd'), uint32(len(body)+4)), body...)
		want = append(want, string(body))
	}
	for range 50 {
		var f framer
		var got []string
		for at := 0; at < len(data); {
			n := min(1+source.IntN(1+source.IntN(3000)), len(data)-at)
			err := f.feed(data[at:at+n], func(kind byte, body []byte, truncated bool) error {
				if kind != 'd' || truncated {
					t.Errorf("%q, truncated: %t", kind, truncated)
				}
				got = append(got, string(body))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			at += n
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatal("the frames differ")
		}
	}
}

// FuzzAssembler feeds bytes as pgoutput messages. Whatever they are, what comes out is an entry that Decode reads.
func FuzzAssembler(f *testing.F) {
	seed := func(messages ...wire) {
		var all []byte
		for _, m := range messages {
			all = append(binary.BigEndian.AppendUint16(all, uint16(len(m))), m...)
		}
		f.Add(all)
	}
	seed(beginOf(100, 7), relationOf(1, "items", "id", "body"), insertOf(1, "a", "~"), wire{'U'}.u32(1).tuple('K', "a", "?").tuple('N', "b", "x"),
		wire{'D'}.u32(1).tuple('K', "b", "~"), wire{'T'}.u32(1).u8(0).u32(1), append(wire{'M'}.u8(1).u64(9).str("vigil.x").u32(1), 'c'), commitOf(100))
	seed(relationOf(1, "items"), beginOf(100, 7), insertOf(1), commitOf(100))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newCollect(512, 3, resume{})
		for len(data) >= 2 {
			n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			if c.handle(data[2:2+n], false) != nil {
				return // the connection would be closed, and the entry thrown away
			}
			data = data[2+n:]
		}
		c.finish(t)
		for _, entry := range c.entries {
			b, err := Decode(entry)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.AppendBinary(nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzFrames feeds bytes as what a server sends after START_REPLICATION.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{'d', 0, 0, 0, 5, 'w'}, 3)
	f.Add(append([]byte{'d', 0, 0, 0, 22, 'k'}, make([]byte, 17)...), 7)
	f.Fuzz(func(_ *testing.T, data []byte, cut int) {
		var fr framer
		cut = max(0, min(cut, len(data)))
		handle := func(_ byte, body []byte, _ bool) error {
			if len(body) > 0 && body[0] == 'E' {
				return serverError(body)
			}
			return nil
		}
		if fr.feed(data[:cut], handle) == nil {
			_ = fr.feed(data[cut:], handle)
		}
	})
}

func BenchmarkAssembler(b *testing.B) {
	row := insertOf(1, "0b9c7b39-3c0d-4f3e-9c6c-1b3d3a1f0a11", strings.Repeat("x", 300), "~", "1")
	a := &assembler{maxBytes: DefaultMaxBytes, maxRows: DefaultMaxRows, messages: func(string) bool { return true }}
	var buf []byte
	a.full = func() error { buf = a.take(buf[:0]); return nil }
	a.reset(resume{}, nil)
	if err := errors.Join(a.handle(relationOf(1, "items", "id", "body", "note", "n"), false), a.handle(beginOf(1, 1), false)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if err := a.handle(row, false); err != nil {
			b.Fatal(err)
		}
		a.ordinal = 1
		a.enc.ordinal = 0
	}
}

func TestTimesSurviveTheirEpoch(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{pgEpoch, pgEpoch.Add(-time.Microsecond), time.Date(2026, 7, 1, 2, 3, 4, 567891000, time.UTC)} {
		if got := pgTime(pgMicros(at)); !got.Equal(at) {
			t.Errorf("%s became %s", at, got)
		}
	}
	if (Position{Commit: pglogrepl.LSN(2), Ordinal: 1}).Before(Position{Commit: 2, Ordinal: 1}) || !(Position{Commit: 1, Ordinal: 9}).Before(Position{Commit: 2}) {
		t.Error("positions are out of order")
	}
}

func TestReadsArePacedOnlyUnderLoad(t *testing.T) {
	t.Parallel()
	var set []int
	p := &pace{set: func(n int) bool { set = append(set, n); return true }}
	at := time.Now()
	for range 1000 { // a thousand small transactions a second: three reads each, then a pause
		for range 3 {
			at = at.Add(20 * time.Microsecond)
			p.note(100, at)
		}
		at = at.Add(time.Millisecond)
	}
	if len(set) != 0 {
		t.Fatalf("paced without load: %v", set)
	}
	for range paceScore + 5 {
		at = at.Add(20 * time.Microsecond)
		p.note(100, at)
	}
	if !p.busy {
		t.Fatal("not paced under load")
	}
	for range paceEmpty {
		at = at.Add(paceWait)
		p.note(0, at)
	}
	if p.busy || fmt.Sprint(set) != fmt.Sprint([]int{lowWater, 1}) {
		t.Errorf("paced after load: %v", set)
	}
	(&pace{}).note(1, at) // a connection that cannot do it
}
