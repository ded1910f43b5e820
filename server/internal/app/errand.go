package app

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vigil/server/internal/bus"
	"vigil/server/internal/logkey"
	"vigil/server/internal/replication"
)

// looking does all that it finds, and what fails does not hold up the rest (drain). It may be called again at any time; what it has done
// it does not find again.
type looking func(ctx context.Context) error

// errand is work that stands in the tables until it is done: devices to admit, keys to give, scores to judge. The log says when
// to look, so that it is done at once; what the log never had is found by looking at each interval. It holds nothing up: a look
// that fails is made again, ever later, and the flow goes on; what comes meanwhile asks for a look as ever, a second after the failure
// at the latest.
type errand struct {
	name    string
	tables  []string // an entry of LOG that names one of them asks for a look
	every   time.Duration
	look    looking
	visible func(ctx context.Context, xids []uint32) (bool, error)
	log     *slog.Logger

	wake chan struct{} // capacity 1; full: it will look

	mu   sync.Mutex
	xids []uint32 // of the transactions that asked for the next look, at most awaited
}

const (
	errandRest    = 50 * time.Millisecond // between two looks: many transactions at once ask for one
	errandFirst   = 250 * time.Millisecond
	errandDeaf    = time.Second // after a failure, at most: whatever asks is not heard, so that a storm of rows makes no storm of failures
	errandLongest = time.Minute
	awaited       = 256             // transactions; of more, the earlier ones are visible before the later
	visibleWait   = 2 * time.Second // a database that was restored never shows what the log has shown
	visiblePoll   = 2 * time.Millisecond
)

// run looks at the start, when told, and at each interval, until ctx ends.
func (e *errand) run(ctx context.Context) error {
	for failed := 0; ; {
		e.await(ctx)
		err := e.look(ctx)
		wait, deaf := e.every, errandRest
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			wait, deaf = min(errandFirst<<min(failed, 16), errandLongest), errandDeaf
			failed++
			e.log.WarnContext(ctx, "errand could not be done and is tried again", logkey.Part, e.name, logkey.Attempt, failed, logkey.Error, err)
		default:
			failed = 0
		}
		if !pause(ctx, min(wait, deaf)) || !e.rest(ctx, wait) {
			return nil
		}
	}
}

// rest waits until the next look is due or asked for.
func (e *errand) rest(ctx context.Context, wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.wake:
		return true
	case <-ctx.Done():
		return false
	}
}

// await waits until the tables show what the log has shown: it runs ahead of them.
func (e *errand) await(ctx context.Context) {
	e.mu.Lock()
	xids := e.xids
	e.xids = nil
	e.mu.Unlock()
	for deadline := time.Now().Add(visibleWait); len(xids) > 0 && time.Now().Before(deadline); {
		visible, err := e.visible(ctx, xids)
		if err != nil || visible || !pause(ctx, visiblePoll) { // an error: the look has it as well
			return
		}
	}
}

// ask makes it look once those transactions are visible.
func (e *errand) ask(xids []uint32) {
	e.mu.Lock()
	e.xids = append(e.xids, xids...)
	if n := len(e.xids); n > awaited {
		e.xids = e.xids[n-awaited:]
	}
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// named says whether data, an entry of LOG, may have a row of one of the tables: its names stand there as they are.
func (e *errand) named(data []byte) bool {
	return slices.ContainsFunc(e.tables, func(table string) bool { return bytes.Contains(data, []byte(table)) })
}

// errands are woken together, by what one consumer of LOG reads.
type errands []*errand

// announce tells the errands of what stands in entries. It does not wait. An entry that cannot be read asks for a look: whoever else reads it says what is wrong with it.
func (all errands) announce(entries []bus.Entry) {
	for _, entry := range entries {
		if !slices.ContainsFunc(all, func(e *errand) bool { return e.named(entry.Data) }) {
			continue
		}
		batch, err := replication.Decode(entry.Data)
		for _, e := range all {
			if xids := e.asking(batch); err != nil || len(xids) > 0 {
				e.ask(xids)
			}
		}
	}
}

// asking gives the transactions of a batch that have a row of one of the errand's tables.
func (e *errand) asking(batch replication.Batch) (xids []uint32) {
	for i := range batch {
		if slices.ContainsFunc(batch[i].Changes, func(c replication.Change) bool {
			return c.Relation != nil && c.Relation.Schema == "public" && slices.Contains(e.tables, c.Relation.Name)
		}) {
			xids = append(xids, batch[i].XID)
		}
	}
	return xids
}

// newErrand makes one. It starts nothing.
func (f *flow) newErrand(name string, look looking, tables ...string) *errand {
	return &errand{
		name: name, tables: tables, every: f.config.ReconcileInterval, look: look, visible: f.store.Visible, log: f.log, wake: make(chan struct{}, 1),
	}
}

// newErrands makes what goes with the pipeline, under the same lease.
func (f *flow) newErrands() errands { return errands{f.newScorer(), f.newAdmitter(), f.newSharer()} }

// parts are the errands as parts of the flow.
func (all errands) parts() []part {
	parts := make([]part, len(all))
	for i, e := range all {
		parts[i] = part{e.name, e.run}
	}
	return parts
}
