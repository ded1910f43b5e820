package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vigil/server/internal/bus"
	"vigil/server/internal/replication"
	"vigil/server/internal/store"
)

// Causes of continuity not being proven. They are a metric's label.
const (
	causeBusLost          = "bus_lost"
	causeBusRestored      = "bus_restored"
	causeDatabaseRestored = "database_restored"
	causeDatabaseChanged  = "database_changed"
	causeSlotGone         = "slot_gone"
	causeSlotLost         = "slot_lost"
)

// continuityKey is the record's key on the bus.
const continuityKey = "continuity"

// checkpoint is what the bus holds of continuity; sidecar_state holds the same (decision 0004).
type checkpoint struct {
	SystemID string `json:"system_id"`
	Timeline int32  `json:"timeline"`
	Slot     string `json:"slot"`
	Nonce    string `json:"nonce"`
	LSN      string `json:"lsn"`
	Number   int64  `json:"number"`
}

// verdict is what comparing both sides says. Cause is empty when continuity is proven, or there was nothing before.
type verdict struct {
	cause    string
	recreate bool  // the slot, too, must be made anew: its position means nothing
	known    bool  // there was a slot before
	number   int64 // of the last checkpoint that both sides have
	identity replication.Identity
}

// judge compares what the database and the bus hold. nonce is that of the LOG that is open now.
func judge(row store.Continuity, inDatabase bool, rec checkpoint, onBus bool, nonce string) verdict {
	v := verdict{known: inDatabase || onBus, number: max(row.Checkpoint, rec.Number)}
	if inDatabase {
		v.identity = replication.Identity{SystemID: row.SystemID, Timeline: row.Timeline}
	}
	switch {
	case !inDatabase && !onBus:
	case inDatabase && !onBus:
		v.cause = causeBusLost
	case !inDatabase:
		v.cause, v.recreate = causeDatabaseRestored, true
	case rec.Nonce != nonce:
		v.cause = causeBusLost // the record is there and LOG is another: it was made anew
	case row.Checkpoint < rec.Number:
		v.cause, v.recreate = causeDatabaseRestored, true
	case row.StreamNonce != nonce, row.Checkpoint > rec.Number+1: // one ahead: a crash between the two writes
		v.cause = causeBusRestored
	}
	if v.cause == "" { // one ahead is written again: a second crash there must not look like an older bus
		v.number = max(rec.Number, row.Checkpoint-1)
	}
	return v
}

// continuityLost is returned when the flow must begin anew because continuity is not proven.
type continuityLost struct {
	cause    string
	recreate bool
	err      error
}

func (e *continuityLost) Error() string { return "continuity is not proven: " + e.cause }
func (e *continuityLost) Unwrap() error { return e.err }

// Permanent tells the reader that trying again does not help.
func (e *continuityLost) Permanent() bool { return true }

// lostBy gives the cause when a reader's error says that the slot no longer continues LOG; nil for other errors.
func lostBy(err error) *continuityLost {
	var lost *continuityLost
	switch {
	case errors.As(err, &lost):
		return lost
	case errors.Is(err, replication.ErrSlotGone):
		return &continuityLost{causeSlotGone, true, err}
	case errors.Is(err, replication.ErrSlotLost):
		return &continuityLost{causeSlotLost, true, err}
	case errors.Is(err, replication.ErrRestored):
		return &continuityLost{causeDatabaseRestored, true, err}
	case errors.Is(err, replication.ErrSystemChanged):
		return &continuityLost{causeDatabaseChanged, true, err}
	}
	return nil
}

// continuity keeps the two sides in step. The reader's stream and its heartbeat both use it, one at a time.
type continuity struct {
	slot     string
	store    *store.Store
	bus      *bus.Bus
	position func() string // the LSN confirmed last

	turn     chan struct{} // holds one token: whoever has it may write, and reads what is below
	number   int64
	revision uint64 // of the bus' record, as this process read or wrote it last
	identity replication.Identity
}

func newContinuity(slot string, s *store.Store, b *bus.Bus, position func() string) *continuity {
	c := &continuity{slot: slot, store: s, bus: b, position: position, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// take waits for the turn; the caller gives it back by the function returned.
func (c *continuity) take(ctx context.Context) (giveBack func(), err error) {
	select {
	case <-c.turn:
		return func() { c.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// read compares both sides as they are now.
func (c *continuity) read(ctx context.Context) (verdict, error) {
	if err := c.bus.Log().Reload(ctx); err != nil {
		return verdict{}, err
	}
	row, inDatabase, err := c.store.Continuity(ctx, c.slot)
	if err != nil {
		return verdict{}, err
	}
	raw, revision, err := c.bus.Records().Get(ctx, continuityKey)
	if err != nil {
		return verdict{}, fmt.Errorf("read continuity from the bus: %w", err)
	}
	var rec checkpoint
	if revision > 0 {
		if err := json.Unmarshal(raw, &rec); err != nil {
			return verdict{}, fmt.Errorf("read continuity from the bus: %w", err)
		}
	}
	c.revision = revision
	return judge(row, inDatabase, rec, revision > 0, c.bus.Log().Nonce()), nil
}

// write raises the checkpoint on both sides, the database first; unless first, only where it stands as it was left. The
// caller has the turn.
func (c *continuity) write(ctx context.Context, first bool) error {
	next := checkpoint{
		SystemID: c.identity.SystemID, Timeline: c.identity.Timeline, Slot: c.slot, Nonce: c.bus.Log().Nonce(), LSN: c.position(), Number: c.number + 1,
	}
	row := store.Continuity{
		Slot: next.Slot, SystemID: next.SystemID, Timeline: next.Timeline, StreamNonce: next.Nonce, LastLSN: next.LSN, Checkpoint: next.Number, HeartbeatAt: time.Now(),
	}
	save := c.store.RaiseContinuity
	if first {
		save = c.store.SaveContinuity
	}
	if err := save(ctx, row); err != nil {
		return err
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("write continuity: %w", err)
	}
	if err := c.put(ctx, raw, next); err != nil {
		return fmt.Errorf("write continuity to the bus: %w", err)
	}
	c.number = next.Number
	return nil
}

// put writes the bus' record where it is as it was left: a node whose lease went to another must not write over it.
func (c *continuity) put(ctx context.Context, raw []byte, next checkpoint) error {
	revision, err := c.bus.Records().PutIf(ctx, continuityKey, c.revision, raw)
	if errors.Is(err, bus.ErrTaken) { // or it was stored, and the answer lost
		var now []byte
		var rec checkpoint
		if now, revision, err = c.bus.Records().Get(ctx, continuityKey); err == nil && (json.Unmarshal(now, &rec) != nil || rec.Number != next.Number || rec.Nonce != next.Nonce) {
			err = bus.ErrTaken
		}
	}
	if err == nil {
		c.revision = revision
	}
	return err
}

// started is the reader's hook at each connection. Where continuity was proven before it is proven again, for the database
// may have been restored while the connection was away; else this is the first checkpoint of a new history.
func (c *continuity) started(ctx context.Context, s replication.Start, proven bool) error {
	giveBack, err := c.take(ctx)
	if err != nil {
		return err
	}
	defer giveBack()
	v, err := c.read(ctx)
	if err != nil {
		return err
	}
	if proven && v.cause != "" {
		return &continuityLost{cause: v.cause, recreate: v.recreate}
	}
	c.number, c.identity = v.number, s.Identity
	return c.write(ctx, true)
}

// beat is the reader's heartbeat: it moves an idle slot and raises the checkpoint. It may reach a database that was restored
// since the stream broke: the checkpoint there is another, and stays, so that started finds it.
func (c *continuity) beat(ctx context.Context) error {
	giveBack, err := c.take(ctx)
	if err != nil {
		return err
	}
	defer giveBack()
	content, err := json.Marshal(map[string]any{"slot": c.slot, "checkpoint": c.number + 1})
	if err != nil {
		return fmt.Errorf("write heartbeat: %w", err)
	}
	return errors.Join(c.store.Heartbeat(ctx, string(content)), c.write(ctx, false))
}
