package replication

import (
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
)

// State is what a Reader knows of itself, for metrics, readiness and doctor. Counters never fall.
type State struct {
	Connected bool      // the stream runs
	Since     time.Time // of Connected or of not being so
	Identity  Identity
	Slot      Slot // as last looked at; Name is empty before

	Received  pglogrepl.LSN // the last change that arrived
	Confirmed pglogrepl.LSN // what the server was told is stored
	WALEnd    pglogrepl.LSN // the server's own position, as far as it told
	Lag       int64         // bytes between WALEnd and Confirmed

	Transactions uint64 // whole transactions read that carried something
	Entries      uint64 // appended
	Rows         uint64 // appended
	Bytes        uint64 // appended
	Withheld     uint64 // values too large for an entry
	Heartbeats   uint64 // that came back on the stream
	Reconnects   uint64

	LastError      error // of the stream; kept after it healed
	LastErrorAt    time.Time
	HeartbeatError error // of the last heartbeat; nil when it went well
}

// stateKeeper guards a State.
type stateKeeper struct {
	mu   sync.Mutex
	s    State
	base counters // of connections that ended
	last counters // of this connection, as last reported
}

type counters struct{ transactions, withheld, heartbeats uint64 }

func (k *stateKeeper) get() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.s
}

func (k *stateKeeper) connected(start Start, slot Slot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s.Connected, k.s.Since, k.s.Identity, k.s.Slot = true, time.Now(), start.Identity, slot
	k.s.Confirmed = start.From
}

func (k *stateKeeper) ended(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.s.Connected {
		k.s.Connected, k.s.Since = false, time.Now()
	}
	k.base = counters{k.base.transactions + k.last.transactions, k.base.withheld + k.last.withheld, k.base.heartbeats + k.last.heartbeats}
	k.last = counters{}
	if err != nil {
		k.s.LastError, k.s.LastErrorAt = err, time.Now()
	}
}

func (k *stateKeeper) reconnecting() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s.Reconnects++
}

func (k *stateKeeper) inspected(slot Slot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s.Slot = slot
}

func (k *stateKeeper) beat(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s.HeartbeatError = err
}

func (k *stateKeeper) appended(rows, bytes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s.Entries++
	k.s.Rows += uint64(rows)
	k.s.Bytes += uint64(bytes)
}

func (k *stateKeeper) progress(received, confirmed, walEnd pglogrepl.LSN, a *assembler) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = counters{a.received, a.withheld, a.heartbeat}
	k.s.Received, k.s.Confirmed, k.s.WALEnd = max(k.s.Received, received), confirmed, max(walEnd, confirmed)
	k.s.Lag = int64(k.s.WALEnd - k.s.Confirmed) //nolint:gosec // WALEnd is not below Confirmed
	k.s.Transactions = k.base.transactions + a.received
	k.s.Withheld = k.base.withheld + a.withheld
	k.s.Heartbeats = k.base.heartbeats + a.heartbeat
}
