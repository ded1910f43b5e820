package relay

// Op is what was done to a row.
type Op uint8

// The operations.
const (
	Insert Op = iota + 1
	Update
	Delete
	Truncate
	Message // a logical message: Prefix is set, and nothing of a table
)

// Kind says what is known of a value.
type Kind uint8

// The kinds of Value.
const (
	Null Kind = iota
	// Unchanged is not in the log: an unchanged TOAST column, or a column outside the replica identity. It is left out.
	Unchanged
	Text // Data is the type's text form
)

// Value is one column of a row.
type Value struct {
	Kind Kind
	Data []byte
}

// Column describes one column.
type Column struct {
	Name    string
	TypeOID uint32
	Key     bool // part of the replica identity
}

// Row is one change as LOG has it. Columns names the values of New and Old, which may be nil.
type Row struct {
	Op      Op
	Schema  string
	Table   string
	Columns []Column
	New     []Value // Insert, Update
	Old     []Value // Delete, and Update where the key changed
	Prefix  string  // Message
	Commit  uint64  // LSN of the commit
	Ordinal uint32  // place in the transaction
	XID     uint32
}

// text gives a column's value, of New or of Old where there is no New. False when it is null or not known.
func (r *Row) text(column string) (string, bool) {
	return r.textOf(values(r), column)
}

func (r *Row) textOf(values []Value, column string) (string, bool) {
	for i := range r.Columns {
		if r.Columns[i].Name == column {
			if i < len(values) && values[i].Kind == Text && len(values[i].Data) > 0 {
				return string(values[i].Data), true
			}
			return "", false
		}
	}
	return "", false
}
