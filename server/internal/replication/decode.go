package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pglogrepl"
)

// ErrMalformed is wrapped by every error of Decode: the bytes are not an entry that this version writes.
var ErrMalformed = errors.New("malformed entry")

// Decode reads an entry. Values and contents point into data, which must not change while the batch is in use. Any
// bytes are safe to give: memory is bounded by a small multiple of len(data). Errors wrap ErrMalformed.
func Decode(data []byte) (Batch, error) {
	if len(data) > MaxEntryBytes {
		return nil, fmt.Errorf("decode entry of %d bytes: %w", len(data), ErrMalformed)
	}
	d := decoder{data: data}
	if d.byte() != formatVersion || d.bad {
		return nil, fmt.Errorf("decode entry: unknown version: %w", ErrMalformed)
	}
	var b Batch
	for d.at < len(d.data) && !d.bad {
		b = append(b, d.chunk())
	}
	if d.bad {
		return nil, fmt.Errorf("decode entry at byte %d: %w", d.at, ErrMalformed)
	}
	return b, nil
}

// decoder reads from data; after a fault bad is set, and whatever it returns means nothing.
type decoder struct {
	data      []byte
	at        int
	bad       bool
	relations []*Relation
	slab      []Value // the rows are cut from slabs, so that a row costs no allocation
}

const slabValues = 512

func (d *decoder) chunk() Chunk {
	var c Chunk
	c.Commit = pglogrepl.LSN(d.uvarint())
	c.XID = d.uint32()
	micros, n := binary.Varint(d.data[d.at:])
	if n <= 0 {
		d.bad = true
		return c
	}
	d.at += n
	c.CommittedAt = pgTime(micros)
	if pgMicros(c.CommittedAt) != micros {
		d.bad = true
		return c
	}
	ordinal := uint32(0)
	for !d.bad {
		switch tag := d.byte(); tag {
		case tagMore:
			return c
		case tagLast:
			length := d.uvarint()
			c.Last, c.End = true, c.Commit+pglogrepl.LSN(length)
			d.bad = d.bad || c.End < c.Commit || c.End == 0
			return c
		default:
			change := d.change(tag)
			delta := uint64(change.Ordinal) + uint64(ordinal)
			d.bad = d.bad || change.Ordinal == 0 || delta > math.MaxUint32
			ordinal = uint32(delta)
			change.Ordinal = ordinal
			c.Changes = append(c.Changes, change)
		}
	}
	return c
}

// change reads one change; its Ordinal is still relative to the one before.
func (d *decoder) change(tag byte) Change {
	c := Change{Op: Op(tag & tagOpMask), Ordinal: d.uint32()}
	if tag&^(tagOpMask|tagHasNew|tagHasOld) != 0 || c.Op < Insert || c.Op > Message {
		d.bad = true
		return c
	}
	if c.Op == Message {
		d.bad = d.bad || tag != byte(Message)
		c.Prefix = string(d.bytes(d.length()))
		c.Content = d.bytes(d.length())
		return c
	}
	c.Relation = d.relation()
	if d.bad {
		return c
	}
	if tag&tagHasNew != 0 {
		c.New = d.row(len(c.Relation.Columns))
	}
	if tag&tagHasOld != 0 {
		c.Old = d.row(len(c.Relation.Columns))
	}
	return c
}

func (d *decoder) relation() *Relation {
	index := d.uvarint()
	if d.bad || index < uint64(len(d.relations)) {
		if d.bad {
			return nil
		}
		return d.relations[index]
	}
	if index != uint64(len(d.relations)) {
		d.bad = true
		return nil
	}
	r := &Relation{OID: d.uint32(), Schema: string(d.bytes(d.length())), Name: string(d.bytes(d.length()))}
	n := d.length()
	if d.bad || n > maxColumns {
		d.bad = true
		return nil
	}
	r.Columns = make([]Column, 0, min(n, len(d.data)-d.at))
	for range n {
		c := Column{Name: string(d.bytes(d.length())), TypeOID: d.uint32()}
		key := d.byte()
		c.Key = key == 1
		if d.bad = d.bad || key > 1; d.bad {
			return nil
		}
		r.Columns = append(r.Columns, c)
	}
	d.relations = append(d.relations, r)
	return r
}

func (d *decoder) row(n int) []Value {
	if n > len(d.data)-d.at { // a value takes a byte at least
		d.bad = true
		return nil
	}
	if len(d.slab) < n || d.slab == nil {
		d.slab = make([]Value, max(n, min(slabValues, len(d.data)-d.at)))
	}
	row := d.slab[:n:n]
	d.slab = d.slab[n:]
	for i := range row {
		if d.at >= len(d.data) {
			d.bad = true
			return nil
		}
		head := uint64(d.data[d.at])
		if head < 0x80 {
			d.at++
		} else {
			head = d.uvarint()
		}
		switch head {
		case valueNull:
		case valueUnchanged:
			row[i].Kind = Unchanged
		default:
			if head-valueText > uint64(len(d.data)-d.at) {
				d.bad = true
				return nil
			}
			row[i] = Value{Kind: Text, Data: d.bytes(int(head - valueText))}
		}
	}
	return row
}

func (d *decoder) byte() byte {
	if d.at >= len(d.data) {
		d.bad = true
		return 0
	}
	d.at++
	return d.data[d.at-1]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data[d.at:])
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	d.bad = d.bad || v > math.MaxUint32
	return uint32(v)
}

// length reads a count that cannot exceed what is left.
func (d *decoder) length() int {
	v := d.uvarint()
	if d.bad || v > uint64(len(d.data)-d.at) {
		d.bad = true
		return 0
	}
	return int(v)
}

func (d *decoder) bytes(n int) []byte {
	if d.bad || n > len(d.data)-d.at {
		d.bad = true
		return nil
	}
	b := d.data[d.at : d.at+n : d.at+n]
	d.at += n
	return b
}
