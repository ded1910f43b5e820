package suggest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/logkey"
	"vigil/server/internal/replication"
	"vigil/server/internal/triage"
)

// The tables whose rows ask for a suggestion. An entry names every table that it has rows of.
const (
	tableSuggestions = "suggestions"
	tableAssessments = "assessments"
)

// forgetting are the tables whose rows end what was opened of a session, and the column that names it. The pipeline does the same in
// its own process, which may be another.
var forgetting = map[string]string{"session_consents": "session_id", "session_epochs": "session_id", "erasures": "session_id", "sessions": "id"}

// concerns says whether an entry may have a row that matters here.
func concerns(data []byte) bool {
	if bytes.Contains(data, []byte(tableSuggestions)) || bytes.Contains(data, []byte(tableAssessments)) {
		return true
	}
	for table := range forgetting {
		if bytes.Contains(data, []byte(table)) {
			return true
		}
	}
	return false
}

// handle takes what entries ask for into the queue. It never waits, so that LOG is never kept for this.
func (d *Drafter) handle(ctx context.Context, entries []Entry) error {
	for _, entry := range entries {
		if !concerns(entry.Data) {
			continue
		}
		batch, err := replication.Decode(entry.Data)
		if err != nil { // requests in it are found by the sweep
			d.config.Log.ErrorContext(ctx, "log could not be read for suggestions", logkey.Sequence, entry.Seq, logkey.Error, err)
			continue
		}
		for i := range batch {
			for j := range batch[i].Changes {
				d.handleChange(ctx, &batch[i], &batch[i].Changes[j])
			}
		}
	}
	return ctx.Err()
}

func (d *Drafter) handleChange(ctx context.Context, chunk *replication.Chunk, c *replication.Change) {
	if c.Relation == nil || c.Relation.Schema != "public" {
		return
	}
	d.forget(c)
	if c.Op != replication.Insert {
		return
	}
	switch c.Relation.Name {
	case tableSuggestions:
		if text(c, "status") != string(triage.SuggestionRequested) {
			return
		}
		t := triage.SuggestionTask{MessageID: id(c, "message_id"), Request: id(c, "id"), At: chunk.CommittedAt}
		if t.MessageID != uuid.Nil && t.Request != uuid.Nil {
			d.add(ctx, t)
		}
	case tableAssessments:
		message := id(c, "message_id")
		for _, t := range d.awaited(message) {
			d.add(ctx, t)
		}
		if text(c, "escalate") == "t" && text(c, "status") == "assessed" && message != uuid.Nil {
			d.add(ctx, triage.SuggestionTask{MessageID: message, At: chunk.CommittedAt})
		}
	}
}

// forget makes the next suggestion of a session read its epoch and consents again: one that was withdrawn, revoked or erased opens
// nothing any more. A new epoch or session is nobody's memory yet.
func (d *Drafter) forget(c *replication.Change) {
	column, ok := forgetting[c.Relation.Name]
	if !ok || c.Op == replication.Insert && (c.Relation.Name == "session_epochs" || c.Relation.Name == "sessions") {
		return
	}
	session := id(c, column)
	switch {
	case c.Op == replication.Truncate:
		d.config.ForgetAll()
	case session != uuid.Nil:
		d.config.Forget(session)
		d.mu.Lock()
		d.forgotten[session] = true
		d.mu.Unlock()
	}
}

// forgetAgain forgets what was forgotten since the last sweep: the log runs ahead of the tables, so what was read in between may not
// have seen the change.
func (d *Drafter) forgetAgain() {
	d.mu.Lock()
	forgotten := d.forgotten
	d.forgotten = make(map[uuid.UUID]bool)
	d.mu.Unlock()
	for session := range forgotten {
		d.config.Forget(session)
	}
}

// await keeps a request until its message is assessed. What does not fit is found by the sweep.
func (d *Drafter) await(t triage.SuggestionTask) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, known := range d.waiting[t.MessageID] {
		if known.Request == t.Request {
			return
		}
	}
	if len(d.waiting) < d.config.Queue {
		d.waiting[t.MessageID] = append(d.waiting[t.MessageID], t)
	}
}

// unawait forgets a request that waits no more.
func (d *Drafter) unawait(t triage.SuggestionTask) {
	d.unwait(t.MessageID, func(known triage.SuggestionTask) bool { return known.Request == t.Request })
}

// lapse forgets requests that waited for too long: the sweep ends them, or they were withdrawn and nobody comes back to them.
func (d *Drafter) lapse() {
	d.mu.Lock()
	messages := slices.Collect(maps.Keys(d.waiting))
	d.mu.Unlock()
	for _, message := range messages {
		d.unwait(message, func(known triage.SuggestionTask) bool { return time.Since(known.At) >= d.config.Patience })
	}
}

func (d *Drafter) unwait(message uuid.UUID, over func(triage.SuggestionTask) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if left := slices.DeleteFunc(d.waiting[message], over); len(left) > 0 {
		d.waiting[message] = left
	} else {
		delete(d.waiting, message)
	}
}

// awaited returns the requests that waited for a message.
func (d *Drafter) awaited(message uuid.UUID) []triage.SuggestionTask {
	d.mu.Lock()
	defer d.mu.Unlock()
	tasks := d.waiting[message]
	delete(d.waiting, message)
	return tasks
}

func text(c *replication.Change, column string) string {
	value, ok := c.Get(column)
	if !ok || value.Kind != replication.Text {
		return ""
	}
	return string(value.Data)
}

// id reads a uuid; uuid.Nil when the column holds none.
func id(c *replication.Change, column string) uuid.UUID {
	parsed, err := uuid.Parse(text(c, column))
	if err != nil {
		return uuid.Nil
	}
	return parsed
}
