package pipeline

import (
	"context"
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
	gone     []uuid.UUID // sessions that were deleted or erased
	xids     []uint32    // of the transactions that forget and new terms come from
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
		return readPolicy(w, chunk, c)
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
	case "erasures":
		if c.Op == replication.Insert || c.Op == replication.Update {
			return readErasure(w, chunk, c)
		}
	}
	return nil
}

// readErasure drops all that is remembered of an erased session: its keys, and what the detector knew of it. A person's erasure has
// one of each session.
func readErasure(w *work, chunk *replication.Chunk, c *replication.Change) error {
	if value, ok := c.Get("session_id"); !ok || value.Kind != replication.Text {
		return nil
	}
	return readForget(w, chunk, c, "session_id", &w.gone)
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

func readPolicy(w *work, chunk *replication.Chunk, c *replication.Change) error {
	if c.Op == replication.Truncate {
		w.all = true
		return nil
	}
	row := fields{change: c}
	change := policyChange{op: c.Op, policy: triage.CrisisPolicy{OrganizationID: row.id("organization_id")}}
	if c.Op != replication.Delete {
		row.policy(&change.policy)
	}
	if row.err != nil {
		return row.err
	}
	w.policies = append(w.policies, change)
	if change.policy.TermsVersion == change.policy.Version && c.Op != replication.Delete { // the terms will be read from the tables
		w.await(chunk.XID)
	}
	return nil
}

func (f *fields) policy(p *triage.CrisisPolicy) {
	p.PageAtLevel = triage.Level(f.number("page_at_level", 16))     //nolint:gosec // 16 bits asked for
	p.ReviewAtLevel = triage.Level(f.number("review_at_level", 16)) //nolint:gosec // likewise
	p.Version = int32(f.number("version", 32))                      //nolint:gosec // 32 bits asked for
	p.TermsVersion = int32(f.number("terms_version", 32))           //nolint:gosec // likewise
	f.bar("page", &p.Page)
	f.bar("review", &p.Review)
	p.QuietRules, p.ReviewRules = f.words("quiet_rules"), f.words("review_rules")
}

func (f *fields) bar(name string, b *triage.Bar) {
	b.Categories = triage.CategoriesOf(f.words(name + "_categories"))
	b.Least = triage.Scores{
		Risk: f.real(name + "_least_self_harm"), HarmOthers: f.real(name + "_least_harm_others"),
		Abuse: f.real(name + "_least_abuse"), Distress: f.real(name + "_least_distress"),
	}
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
	w.await(chunk.XID)
	return nil
}

// await makes w wait until the tables show a transaction.
func (w *work) await(xid uint32) {
	if n := len(w.xids); n == 0 || w.xids[n-1] != xid {
		w.xids = append(w.xids, xid)
	}
}
