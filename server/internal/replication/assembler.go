package replication

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pglogrepl"
)

// assembler turns pgoutput messages (protocol 1) into encoded entries, straight from the wire's bytes to the entry's:
// no value is allocated. It is fed by one goroutine.
//
//	idle → Begin → in transaction (Relation, Type, Origin, Insert, …) → Commit → idle
//
// Source: postgresql.org/docs/17/protocol-logicalrep-message-formats.html
type assembler struct {
	maxBytes int
	maxRows  int
	messages func(prefix string) bool
	full     func() error // takes the entry away: called before what does not fit is added

	enc       encoder
	rows      int // changes in the entry
	ended     int // transactions that end in the entry
	relations map[uint32]*Relation
	resume    resume

	in       bool          // between Begin and Commit
	commit   pglogrepl.LSN // of the transaction we are in
	previous pglogrepl.LSN // the Begin before
	xid      uint32
	micros   int64
	ordinal  uint32
	drop     uint32 // changes of this transaction up to this ordinal are stored already
	carried  bool   // something of it is, or was before, in an entry

	complete  pglogrepl.LSN // end of the last transaction that was read to its end
	received  uint64        // transactions read that carry something
	withheld  uint64        // values that did not fit
	heartbeat uint64        // heartbeats seen
}

// reset starts a connection: the server sends every relation again.
func (a *assembler) reset(r resume, buf []byte) {
	a.enc.reset(buf)
	a.rows, a.ended, a.relations, a.resume = 0, 0, map[uint32]*Relation{}, r
	a.in, a.previous, a.complete = false, 0, 0
}

// take gives the entry and goes on with an empty one in buf. A transaction we are in goes on in the next entry.
func (a *assembler) take(buf []byte) []byte {
	if a.enc.open {
		a.enc.cut()
	}
	data := a.enc.buf
	a.enc.reset(buf)
	a.rows, a.ended = 0, 0
	return data
}

// isEmpty says that the entry holds nothing.
func (a *assembler) isEmpty() bool { return len(a.enc.buf) <= 1 }

// handle reads one pgoutput message. truncated says that its end is missing (only for Message).
func (a *assembler) handle(m []byte, truncated bool) error {
	if len(m) == 0 {
		return protocolError("an empty message")
	}
	r := wireReader{data: m, at: 1}
	var err error
	switch m[0] {
	case 'I', 'U', 'D':
		err = a.row(m[0], &r)
	case 'B':
		err = a.begin(&r)
	case 'C':
		err = a.end(&r)
	case 'R':
		err = a.relation(&r)
	case 'T':
		err = a.truncate(&r)
	case 'M':
		return a.message(&r, truncated)
	case 'Y': // a type: we pass text on, whatever its name
		r.uint32()
		r.string()
		r.string()
	case 'O': // an origin: where the transaction came from makes no difference to us
		r.uint64()
		r.string()
	default:
		return protocolError(fmt.Sprintf("an unknown message %q", m[0]))
	}
	if err == nil && (r.bad || r.at != len(m)) {
		return protocolError(fmt.Sprintf("a malformed message %q", m[0]))
	}
	return err
}

func (a *assembler) begin(r *wireReader) error {
	commit, micros, xid := pglogrepl.LSN(r.uint64()), int64(r.uint64()), r.uint32()
	if r.bad || a.in || commit <= a.previous {
		return protocolError(fmt.Sprintf("a transaction that begins out of order at %s", commit))
	}
	drop, carried, err := a.resume.begin(commit, xid, micros)
	if err != nil {
		return err
	}
	a.in, a.commit, a.previous, a.xid, a.micros = true, commit, commit, xid, micros
	a.ordinal, a.drop, a.carried = 0, drop, carried
	return nil
}

func (a *assembler) end(r *wireReader) error {
	r.byte()
	commit, end := pglogrepl.LSN(r.uint64()), pglogrepl.LSN(r.uint64())
	r.uint64()
	if r.bad || !a.in || commit != a.commit || end <= commit {
		return protocolError(fmt.Sprintf("a commit at %s that ends no transaction", commit))
	}
	if a.carried && a.drop != math.MaxUint32 {
		if !a.enc.open {
			if err := a.room(0, false); err != nil {
				return err
			}
			a.enc.begin(a.commit, a.xid, a.micros)
		}
		a.enc.commit(uint64(end - commit))
		a.ended++
		a.received++
	}
	a.in = false
	a.complete = end
	return nil
}

func (a *assembler) relation(r *wireReader) error {
	rel := &Relation{OID: r.uint32(), Schema: r.string(), Name: r.string()}
	r.byte()
	n := int(r.uint16())
	if rel.Schema == "" {
		rel.Schema = "pg_catalog"
	}
	if r.bad || n > maxColumns {
		return protocolError("a malformed relation")
	}
	rel.Columns = make([]Column, n)
	for i := range rel.Columns {
		rel.Columns[i] = Column{Key: r.byte()&1 != 0, Name: r.string(), TypeOID: r.uint32()}
		r.uint32()
	}
	old := a.relations[rel.OID]
	if old != nil && old.Schema == rel.Schema && old.Name == rel.Name && slices.Equal(old.Columns, rel.Columns) {
		return nil
	}
	a.relations[rel.OID] = rel
	return nil
}

// next counts a change and says whether it is to be carried.
func (a *assembler) next() (bool, error) {
	if !a.in {
		return false, protocolError("a change outside a transaction")
	}
	if a.ordinal == math.MaxUint32-1 {
		return false, protocolError("more than four billion changes in a transaction")
	}
	a.ordinal++
	return a.ordinal > a.drop, nil
}

// room makes sure that size more bytes fit, and opens the transaction's chunk if asked to.
func (a *assembler) room(size int, open bool) error {
	if !a.isEmpty() && (len(a.enc.buf)+size+chunkOverhead > a.maxBytes || a.rows >= a.maxRows) {
		if err := a.full(); err != nil {
			return err
		}
	}
	if open && !a.enc.open {
		a.enc.begin(a.commit, a.xid, a.micros)
		a.carried = true
	}
	return nil
}

// chunkOverhead bounds what a chunk and a change take beside their values.
const chunkOverhead = 64

// relationSize bounds what the definition of rel takes in an entry.
func (a *assembler) relationSize(rel *Relation) int {
	if slices.Contains(a.enc.relations, rel) {
		return 0
	}
	size := 32 + len(rel.Schema) + len(rel.Name)
	for i := range rel.Columns {
		size += 8 + len(rel.Columns[i].Name)
	}
	return size
}

func (a *assembler) row(kind byte, r *wireReader) error {
	rel := a.relations[r.uint32()]
	if r.bad || rel == nil {
		return protocolError("a row of an unknown relation")
	}
	carry, err := a.next()
	if err != nil {
		return err
	}
	if !carry {
		r.at = len(r.data)
		return nil
	}
	size := len(r.data) + a.relationSize(rel)
	if err := a.room(size, true); err != nil {
		return err
	}
	limit := math.MaxInt
	if size = len(r.data) + a.relationSize(rel); size+chunkOverhead > a.maxBytes {
		limit = fitting(r.data[r.at:], len(rel.Columns), a.maxBytes-chunkOverhead-a.relationSize(rel))
	}
	if !a.tuples(kind, r, rel, limit) {
		return protocolError(fmt.Sprintf("a malformed row of %s.%s", rel.Schema, rel.Name))
	}
	a.rows++
	return nil
}

// tuples appends the change. The wire gives the old row first, the entry the new one: an update with an old row is
// walked twice.
func (a *assembler) tuples(kind byte, r *wireReader, rel *Relation, limit int) bool {
	part := r.byte()
	switch kind {
	case 'I':
		a.enc.change(a.ordinal, byte(Insert)|tagHasNew)
		a.enc.relation(rel)
		return part == 'N' && a.tuple(r, rel, false, limit)
	case 'D':
		a.enc.change(a.ordinal, byte(Delete)|tagHasOld)
		a.enc.relation(rel)
		return (part == 'K' || part == 'O') && a.tuple(r, rel, part == 'K', limit)
	}
	if part == 'N' {
		a.enc.change(a.ordinal, byte(Update)|tagHasNew)
		a.enc.relation(rel)
		return a.tuple(r, rel, false, limit)
	}
	old := *r
	r.skipTuple()
	if part != 'K' && part != 'O' || r.byte() != 'N' {
		return false
	}
	a.enc.change(a.ordinal, byte(Update)|tagHasNew|tagHasOld)
	a.enc.relation(rel)
	return a.tuple(r, rel, false, limit) && a.tuple(&old, rel, part == 'K', limit)
}

// tuple copies one row. In a key-only row the other columns are not null but not carried. Values over limit bytes are
// withheld.
func (a *assembler) tuple(r *wireReader, rel *Relation, keyOnly bool, limit int) bool {
	if int(r.uint16()) != len(rel.Columns) || r.bad {
		return false
	}
	data, at := r.data, r.at
	for i := range rel.Columns {
		if at >= len(data) {
			return false
		}
		kind := data[at]
		at++
		switch kind {
		case 't':
			if len(data)-at < 4 {
				return false
			}
			n := int(binary.BigEndian.Uint32(data[at:]))
			at += 4
			if n > len(data)-at {
				return false
			}
			if n > limit {
				a.withheld++
				a.enc.buf = append(a.enc.buf, valueUnchanged)
			} else {
				a.enc.value(data[at : at+n])
			}
			at += n
		case 'n':
			if keyOnly && !rel.Columns[i].Key {
				a.enc.buf = append(a.enc.buf, valueUnchanged)
			} else {
				a.enc.buf = append(a.enc.buf, valueNull)
			}
		case 'u':
			a.enc.buf = append(a.enc.buf, valueUnchanged)
		default:
			return false
		}
	}
	r.at = at
	return true
}

func (a *assembler) truncate(r *wireReader) error {
	n := int(r.uint32())
	r.byte()
	if r.bad || n > (len(r.data)-r.at)/4 {
		return protocolError("a malformed truncate")
	}
	for range n {
		rel := a.relations[r.uint32()]
		if rel == nil {
			return protocolError("a truncate of an unknown relation")
		}
		carry, err := a.next()
		if err != nil {
			return err
		}
		if !carry {
			continue
		}
		if err := a.room(a.relationSize(rel), true); err != nil {
			return err
		}
		a.enc.change(a.ordinal, byte(Truncate))
		a.enc.relation(rel)
		a.rows++
	}
	return nil
}

// message carries a hint. Outside a transaction it has no place in the order of commits and is left out; content that is
// too long is left out as well, for any signed-in user may send it.
func (a *assembler) message(r *wireReader, truncated bool) error {
	flags := r.byte()
	r.uint64()
	prefix := r.string()
	n := int(r.uint32())
	if r.bad || !truncated && n != len(r.data)-r.at {
		return protocolError("a malformed logical message")
	}
	if prefix == HeartbeatPrefix {
		a.heartbeat++
	}
	if flags&1 == 0 {
		return nil
	}
	carry, err := a.next()
	if err != nil || !carry || prefix == HeartbeatPrefix || !a.messages(prefix) {
		return err
	}
	content := r.data[r.at:]
	if truncated || n > maxMessageBytes {
		content = nil
		a.withheld++
	}
	if err := a.room(len(prefix)+len(content), true); err != nil {
		return err
	}
	a.enc.change(a.ordinal, byte(Message))
	a.enc.text(prefix)
	a.enc.buf = binary.AppendUvarint(a.enc.buf, uint64(len(content)))
	a.enc.buf = append(a.enc.buf, content...)
	a.rows++
	return nil
}
