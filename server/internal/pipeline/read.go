package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/logkey"
	"vigil/server/internal/replication"
	"vigil/server/internal/triage"
)

// work is what a batch of entries asks for.
type work struct {
	order    []uuid.UUID // sessions, by their first message
	messages map[uuid.UUID][]triage.Message
	lost     map[uuid.UUID]int64 // sessions with a message whose row the log does not carry whole → its position
	policies []policyChange
	forget   []uuid.UUID // sessions whose consents or epochs changed
	gone     []uuid.UUID // sessions that were deleted
	xids     []uint32    // of the transactions that forget comes from
	all      bool        // something was truncated, or an entry cannot be read: believe nothing remembered
}

type policyChange struct {
	policy triage.CrisisPolicy
	op     replication.Op
}

// read decodes entries. An entry or row that cannot be read loses nothing: reconcile finds its messages in the tables.
func (p *Pipeline) read(ctx context.Context, entries []Entry) *work {
	w := &work{messages: make(map[uuid.UUID][]triage.Message), lost: make(map[uuid.UUID]int64)}
	received := time.Now()
	for _, entry := range entries {
		p.counts.entries.Add(1)
		batch, err := replication.Decode(entry.Data)
		if err != nil {
			p.fault(ctx, w, entry.Seq, err)
			continue
		}
		for i := range batch {
			for j := range batch[i].Changes {
				if err := p.readChange(w, &batch[i], &batch[i].Changes[j], received); err != nil {
					p.fault(ctx, w, entry.Seq, err)
				}
			}
		}
	}
	return w
}

func (p *Pipeline) fault(ctx context.Context, w *work, seq uint64, err error) {
	p.counts.faults.Add(1)
	w.all = true
	p.config.Log.ErrorContext(ctx, "log could not be read: the tables are asked instead", logkey.Sequence, seq, logkey.Error, err)
}

func (p *Pipeline) readChange(w *work, chunk *replication.Chunk, c *replication.Change, received time.Time) error {
	if c.Relation == nil || c.Relation.Schema != "public" {
		return nil
	}
	switch c.Relation.Name {
	case "messages":
		if c.Op == replication.Insert {
			return p.readMessage(w, chunk, c, received)
		}
	case "crisis_policies":
		return readPolicy(w, c)
	case "session_consents":
		return readForget(w, chunk, c, "session_id", &w.forget)
	case "session_epochs":
		if c.Op != replication.Insert { // a new epoch is nobody's memory yet
			return readForget(w, chunk, c, "session_id", &w.forget)
		}
	case "sessions":
		if c.Op == replication.Delete || c.Op == replication.Truncate {
			return readForget(w, chunk, c, "id", &w.gone)
		}
	}
	return nil
}

func (p *Pipeline) readMessage(w *work, chunk *replication.Chunk, c *replication.Change, received time.Time) error {
	row := fields{change: c}
	m := triage.Message{
		ID: row.id("id"), SessionID: row.id("session_id"), OrganizationID: row.id("organization_id"), SenderID: row.id("sender_id"),
		SenderDeviceID: row.id("sender_device_id"), Epoch: int32(row.number("epoch", 32)), Seq: row.number("seq", 64), //nolint:gosec // 32 bits asked for
		Position: row.number("position", 64), PreviousAssistedPosition: row.number("previous_assisted_position", 64),
		CreatedAt: chunk.CommittedAt,
	}
	if row.err != nil {
		return row.err
	}
	if at, err := parseTime(row.text("created_at")); err == nil {
		m.CreatedAt = at
	}
	p.counts.messages.Add(1)
	p.config.Trace(m.ID, stageCommitted, chunk.CommittedAt)
	p.config.Trace(m.ID, stageReceived, received)
	p.config.Committed(m.ID, chunk.Commit)
	body, ok := c.Get("body")
	if !ok || body.Kind != replication.Text {
		w.lost[m.SessionID] = max(w.lost[m.SessionID], m.Position)
		return nil
	}
	m.Body = string(body.Data)
	if _, seen := w.messages[m.SessionID]; !seen {
		w.order = append(w.order, m.SessionID)
	}
	w.messages[m.SessionID] = append(w.messages[m.SessionID], m)
	return nil
}

func readPolicy(w *work, c *replication.Change) error {
	if c.Op == replication.Truncate {
		w.all = true
		return nil
	}
	row := fields{change: c}
	change := policyChange{op: c.Op, policy: triage.DefaultCrisisPolicy(row.id("organization_id"))}
	if c.Op != replication.Delete {
		change.policy.PageAtLevel = triage.Level(row.number("page_at_level", 16))     //nolint:gosec // 16 bits asked for
		change.policy.ReviewAtLevel = triage.Level(row.number("review_at_level", 16)) //nolint:gosec // likewise
		change.policy.Version = int32(row.number("version", 32))                      //nolint:gosec // 32 bits asked for
	}
	if row.err == nil {
		w.policies = append(w.policies, change)
	}
	return row.err
}

func readForget(w *work, chunk *replication.Chunk, c *replication.Change, column string, into *[]uuid.UUID) error {
	if c.Op == replication.Truncate {
		w.all = true
		return nil
	}
	row := fields{change: c}
	session := row.id(column)
	if row.err != nil {
		return row.err
	}
	*into = append(*into, session)
	if n := len(w.xids); n == 0 || w.xids[n-1] != chunk.XID {
		w.xids = append(w.xids, chunk.XID)
	}
	return nil
}

// fields reads columns of a change and keeps the first error. It names columns, never values.
type fields struct {
	change *replication.Change
	err    error
}

func (f *fields) text(column string) string {
	value, ok := f.change.Get(column)
	if !ok || value.Kind != replication.Text {
		return ""
	}
	return string(value.Data)
}

func (f *fields) fail(column string) {
	if f.err == nil {
		f.err = fmt.Errorf("read column %s of %s", column, f.change.Relation.Name)
	}
}

func (f *fields) id(column string) uuid.UUID {
	id, err := uuid.Parse(f.text(column))
	if err != nil {
		f.fail(column)
	}
	return id
}

// number reads an integer of that many bits; null is 0.
func (f *fields) number(column string, bits int) int64 {
	value, ok := f.change.Get(column)
	if ok && value.Kind == replication.Null {
		return 0
	}
	n, err := strconv.ParseInt(f.text(column), 10, bits)
	if err != nil {
		f.fail(column)
	}
	return n
}

// timeLayouts are how Postgres writes timestamptz (DateStyle ISO): with whole or half hours east.
var timeLayouts = [...]string{"2006-01-02 15:04:05.999999-07", "2006-01-02 15:04:05.999999-07:00"}

func parseTime(text string) (at time.Time, err error) {
	for _, layout := range timeLayouts {
		if at, err = time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return at, err
}
