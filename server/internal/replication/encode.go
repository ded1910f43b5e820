package replication

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
)

// The entry format, version 1 (all integers are varints, text is length + bytes):
//
//	entry    = version chunk*
//	chunk    = commit xid committed_at change* ( 0 | 6 end-commit )      0: more follows in a later entry, 6: last
//	change   = tag ordinal-delta body                                    tag = op | 8 if New | 16 if Old
//	body     = relation [new] [old]  |  prefix content                   (Message)
//	relation = index into those seen in this entry, or their count and then: oid schema name n (name type key)*
//	row      = value*, one per column;  value = 0 null | 1 unchanged | n+2 and n bytes
//
// An entry stands alone: it repeats the definition of every relation it uses, once.
const (
	formatVersion = 1

	tagMore   = 0
	tagLast   = 6
	tagOpMask = 7
	tagHasNew = 8
	tagHasOld = 16

	valueNull      = 0
	valueUnchanged = 1
	valueText      = 2 // plus the length

	maxColumns = 1664 // Postgres' own limit on a target list
	// MaxEntryBytes is the largest entry that Decode accepts.
	MaxEntryBytes = 64 << 20
)

// encoder appends one entry to buf. The zero encoder is ready after reset.
type encoder struct {
	buf       []byte
	relations []*Relation
	ordinal   uint32 // of the last change of the open chunk
	open      bool   // a chunk is open
}

func (e *encoder) reset(buf []byte) {
	clear(e.relations)
	*e = encoder{buf: append(buf, formatVersion), relations: e.relations[:0]}
}

func (e *encoder) begin(commit pglogrepl.LSN, xid uint32, micros int64) {
	e.buf = binary.AppendUvarint(e.buf, uint64(commit))
	e.buf = binary.AppendUvarint(e.buf, uint64(xid))
	e.buf = binary.AppendVarint(e.buf, micros)
	e.ordinal, e.open = 0, true
}

// cut ends the open chunk; the transaction goes on in a later one.
func (e *encoder) cut() {
	e.buf = append(e.buf, tagMore)
	e.open = false
}

// commit ends the open chunk and its transaction.
func (e *encoder) commit(length uint64) {
	e.buf = append(e.buf, tagLast)
	e.buf = binary.AppendUvarint(e.buf, length)
	e.open = false
}

// change starts a change; the rows or the message must follow.
func (e *encoder) change(ordinal uint32, tag byte) {
	e.buf = append(e.buf, tag)
	e.buf = binary.AppendUvarint(e.buf, uint64(ordinal-e.ordinal))
	e.ordinal = ordinal
}

func (e *encoder) relation(r *Relation) {
	for i, known := range e.relations {
		if known == r {
			e.buf = binary.AppendUvarint(e.buf, uint64(i))
			return
		}
	}
	e.buf = binary.AppendUvarint(e.buf, uint64(len(e.relations)))
	e.relations = append(e.relations, r)
	e.buf = binary.AppendUvarint(e.buf, uint64(r.OID))
	e.text(r.Schema)
	e.text(r.Name)
	e.buf = binary.AppendUvarint(e.buf, uint64(len(r.Columns)))
	for i := range r.Columns {
		c := &r.Columns[i]
		e.text(c.Name)
		e.buf = binary.AppendUvarint(e.buf, uint64(c.TypeOID))
		key := byte(0)
		if c.Key {
			key = 1
		}
		e.buf = append(e.buf, key)
	}
}

func (e *encoder) text(s string) {
	e.buf = binary.AppendUvarint(e.buf, uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) value(data []byte) {
	n := len(data) + valueText
	if n < 0x80 {
		e.buf = append(e.buf, byte(n))
	} else {
		e.buf = binary.AppendUvarint(e.buf, uint64(n))
	}
	e.buf = append(e.buf, data...)
}

func (e *encoder) row(row []Value) {
	for i := range row {
		switch row[i].Kind {
		case Null:
			e.buf = append(e.buf, valueNull)
		case Unchanged:
			e.buf = append(e.buf, valueUnchanged)
		default:
			e.value(row[i].Data)
		}
	}
}

// AppendBinary appends the entry that holds b to dst. It refuses a batch that Decode could not give back: rows that do
// not fit their relation, ordinals that do not rise, an End before Commit or without Last.
func (b Batch) AppendBinary(dst []byte) ([]byte, error) {
	e := encoder{}
	e.reset(dst)
	for i := range b {
		c := &b[i]
		if c.End != 0 && (!c.Last || c.End < c.Commit) || c.Last && c.End == 0 {
			return dst, fmt.Errorf("encode transaction %d at %s: end %s does not fit", c.XID, c.Commit, c.End)
		}
		e.begin(c.Commit, c.XID, pgMicros(c.CommittedAt))
		for j := range c.Changes {
			if err := c.Changes[j].fits(e.ordinal); err != nil {
				return dst, fmt.Errorf("encode transaction %d at %s: %w", c.XID, c.Commit, err)
			}
			e.appendChange(&c.Changes[j])
		}
		if c.Last {
			e.commit(uint64(c.End - c.Commit))
		} else {
			e.cut()
		}
	}
	return e.buf, nil
}

func (e *encoder) appendChange(c *Change) {
	tag := byte(c.Op)
	if c.New != nil {
		tag |= tagHasNew
	}
	if c.Old != nil {
		tag |= tagHasOld
	}
	e.change(c.Ordinal, tag)
	if c.Op == Message {
		e.text(c.Prefix)
		e.buf = binary.AppendUvarint(e.buf, uint64(len(c.Content)))
		e.buf = append(e.buf, c.Content...)
		return
	}
	e.relation(c.Relation)
	e.row(c.New)
	e.row(c.Old)
}

// fits reports what keeps c from following a change with the given ordinal.
func (c *Change) fits(after uint32) error {
	if c.Ordinal <= after {
		return fmt.Errorf("ordinal %d does not follow %d", c.Ordinal, after)
	}
	if c.Op == Message {
		if c.Relation != nil || c.New != nil || c.Old != nil {
			return fmt.Errorf("change %d: a message has no row", c.Ordinal)
		}
		return nil
	}
	if c.Op < Insert || c.Op > Message || c.Relation == nil || len(c.Relation.Columns) > maxColumns {
		return fmt.Errorf("change %d: %s without a valid relation", c.Ordinal, c.Op)
	}
	for _, row := range [][]Value{c.New, c.Old} {
		if row != nil && len(row) != len(c.Relation.Columns) {
			return fmt.Errorf("change %d: %d values for %d columns", c.Ordinal, len(row), len(c.Relation.Columns))
		}
	}
	return nil
}

// pgEpoch is what Postgres counts microseconds from.
var pgEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func pgMicros(t time.Time) int64 {
	return (t.Unix()-pgEpoch.Unix())*1e6 + int64(t.Nanosecond())/1e3
}

func pgTime(micros int64) time.Time {
	return time.UnixMicro(micros).Add(time.Duration(pgEpoch.Unix()) * time.Second).UTC()
}
