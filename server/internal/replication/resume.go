package replication

import (
	"fmt"
	"math"

	"github.com/jackc/pglogrepl"
)

// resume drops what the log holds already, and proves that the log and the stream share one history: a transaction that
// is sent again must be the one that was stored, and one that must be sent again must come.
type resume struct {
	last     Position
	complete bool // the last entry ends its transaction
	xid      uint32
	micros   int64
	mustSee  bool // the stream starts at or before last.Commit, so that transaction must come first
}

// resumeAfter reads the log's last entry. An empty one gives the zero resume.
func resumeAfter(data []byte) (resume, error) {
	if len(data) == 0 {
		return resume{}, nil
	}
	b, err := Decode(data)
	if err != nil {
		return resume{}, fmt.Errorf("read the last entry of the log: %w", err)
	}
	if len(b) == 0 {
		return resume{}, fmt.Errorf("read the last entry of the log: no transaction: %w", ErrMalformed)
	}
	last := &b[len(b)-1]
	return resume{last: b.Position(), complete: last.Last, xid: last.XID, micros: pgMicros(last.CommittedAt)}, nil
}

// begin says up to which ordinal the transaction's changes are stored already, and whether any is.
func (r *resume) begin(commit pglogrepl.LSN, xid uint32, micros int64) (drop uint32, carried bool, err error) {
	switch {
	case r.last == Position{} || commit > r.last.Commit:
		if r.mustSee {
			return 0, false, restoredError(fmt.Sprintf("transaction %d at %s, the last one stored, is not in the stream (it goes on with %d at %s)",
				r.xid, r.last.Commit, xid, commit))
		}
		return 0, false, nil
	case commit < r.last.Commit:
		return math.MaxUint32, true, nil
	case xid != r.xid || micros != r.micros:
		return 0, false, restoredError(fmt.Sprintf("the transaction at %s is %d, stored was %d", commit, xid, r.xid))
	}
	r.mustSee = false
	if r.complete {
		return math.MaxUint32, true, nil
	}
	return r.last.Ordinal, true, nil
}
