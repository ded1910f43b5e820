// Package replication reads one logical replication slot and hands complete transactions, in commit order, to a log.
//
// It guarantees:
//   - Once in effect. Every published change is stored exactly once and in commit order, through kill -9, restarts of
//     either side and lost confirmations: the log's last entry says where to go on, and what is at or before it is dropped.
//   - Nothing is confirmed to Postgres before the log holds it. A keepalive's WAL end is confirmed only when nothing is in
//     flight, and no confirmation goes backwards.
//   - Memory is flat: a transaction of any size leaves in chunks bounded in bytes and rows.
//   - What cannot heal by itself ends Run with an error that says what to do; what can is retried with backoff.
//
// It does not guarantee that the log and the database belong together: it proves what it can (system id, timeline, LSN,
// the identity of the last stored transaction) and refuses to go on when a proof fails (ErrSlotGone, ErrRestored,
// ErrSystemChanged); closing the gap is the caller's reconcile. It never reads tables.
//
// Flow, all on the goroutine of Run: socket → framer (messages) → assembler (pgoutput → entries) → Config.Append, and
// confirmations back; beside it a waker, the heartbeat, and a look at the slot now and then.
package replication

import (
	"time"

	"github.com/jackc/pglogrepl"
)

// Position is the place of one change in the log of all transactions: its transaction's commit record and its number
// within it. The zero Position is before everything.
type Position struct {
	Commit  pglogrepl.LSN // start of the commit record; unique per transaction on one timeline
	Ordinal uint32        // from 1; not dense: changes that are not carried are counted too
}

// Before reports whether p is earlier than q.
func (p Position) Before(q Position) bool {
	return p.Commit < q.Commit || p.Commit == q.Commit && p.Ordinal < q.Ordinal
}

// ValueKind says whether a Value has bytes.
type ValueKind uint8

// The kinds of Value.
const (
	Null ValueKind = iota
	// Unchanged means that the log does not carry the value: an unchanged TOAST column, a column outside the replica
	// identity in Old, or a value too large for one entry. It must be left out of what is sent on, never sent as null.
	Unchanged
	Text // Data is the type's text form
)

// Value is one column of a row.
type Value struct {
	Kind ValueKind
	Data []byte // of Text only; may be empty
}

// Column describes one published column.
type Column struct {
	Name    string
	TypeOID uint32
	Key     bool // part of the replica identity
}

// Relation is a table as it was when the change was made. A later definition of the same table is another Relation.
type Relation struct {
	OID     uint32
	Schema  string
	Name    string
	Columns []Column
}

// Op is what was done.
type Op uint8

// The operations.
const (
	Insert Op = iota + 1
	Update
	Delete
	Truncate // one Change per table truncated
	Message  // a logical message: a hint, never a fact, for any signed-in user may emit one
)

// String gives the operation in lower case.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Truncate:
		return "truncate"
	case Message:
		return "message"
	}
	return "unknown"
}

// Change is one row, truncated table or logical message.
type Change struct {
	Ordinal  uint32
	Op       Op
	Relation *Relation // nil for Message
	New      []Value   // Insert, Update: one per column of Relation
	Old      []Value   // Delete, and Update where the key changed or the identity is full: one per column
	Prefix   string    // Message only
	Content  []byte    // Message only
}

// Get gives the named column: of New, or of Old where there is no New. False if the relation has no such column.
func (c Change) Get(column string) (Value, bool) {
	row := c.New
	if row == nil {
		row = c.Old
	}
	if c.Relation == nil || len(row) == 0 {
		return Value{}, false
	}
	for i := range c.Relation.Columns {
		if c.Relation.Columns[i].Name == column {
			return row[i], true
		}
	}
	return Value{}, false
}

// Chunk is a transaction, or a bounded part of a large one. Parts of one transaction follow each other and share Commit,
// XID and CommittedAt; the transaction was already committed when the first part was made.
type Chunk struct {
	Commit      pglogrepl.LSN
	End         pglogrepl.LSN // just after the commit record; 0 unless Last
	XID         uint32
	CommittedAt time.Time // to the microsecond, the server's clock
	Last        bool      // nothing of this transaction follows; may then hold no change at all
	Changes     []Change
}

// Batch is what one entry of the log holds. Decode gives one, AppendBinary makes the entry.
type Batch []Chunk

// Position is the place of the last change contained; the zero Position for an empty batch.
func (b Batch) Position() Position {
	if len(b) == 0 {
		return Position{}
	}
	last := b[len(b)-1]
	p := Position{Commit: last.Commit}
	if n := len(last.Changes); n > 0 {
		p.Ordinal = last.Changes[n-1].Ordinal
	}
	return p
}

// Rows counts the changes of all chunks.
func (b Batch) Rows() int {
	n := 0
	for i := range b {
		n += len(b[i].Changes)
	}
	return n
}
