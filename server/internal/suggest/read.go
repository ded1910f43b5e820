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

// handle takes what entries ask for into the queue. It never waits, so that LOG is never kept for this.
func (d *Drafter) handle(ctx context.Context, entries []Entry) error {
	for _, entry := range entries {
		if !bytes.Contains(entry.Data, []byte(tableSuggestions)) && !bytes.Contains(entry.Data, []byte(tableAssessments)) {
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
	if c.Op != replication.Insert || c.Relation == nil || c.Relation.Schema != "public" {
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
