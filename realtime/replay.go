package realtime

import (
	"context"
	"slices"
	"time"

	"vigil/realtime/phoenix"
)

// pageEntries is how many entries one read of the history asks for.
const pageEntries = 100

// lagPoll is the wait before a history that lags behind Publish is asked again; it doubles.
const lagPoll = 5 * time.Millisecond

// recovery says what a join got back of what its client has missed. Missed is null when nobody can know.
type recovery struct {
	Recovered bool    `json:"recovered"`
	From      *uint64 `json:"from"`
	To        uint64  `json:"to"`
	Missed    *uint64 `json:"missed"`
	Cursor    string  `json:"cursor"`

	due    bool // the client has not been told yet
	code   Code // why not everything
	queued int  // entries replayed
}

func (r *recovery) lost(code Code, missed *uint64) {
	r.Recovered, r.code, r.Missed = false, code, missed
}

// recoveryTexts says each outcome in words.
var recoveryTexts = map[Code]string{
	"":                  "Everything since the cursor was sent",
	CodeCursorMissing:   "No cursor was given: what was sent before is not repeated",
	CodeCursorInvalid:   "The cursor cannot be read: read again what you show",
	CodeCursorNotKept:   "Some of what came after the cursor is no longer kept: read again what you show",
	CodeLogEpochChanged: "The cursor is of another log: read again what you show",
	CodeReplayTruncated: "More was missed than one replay gives: read again what you show",
}

// findBaseline fixes where the channel's log starts, before the join is answered: whatever is stored after the answer is
// delivered. Of a replay by time it is found when the grant is there.
func (c *channel) findBaseline(ctx context.Context) error {
	h := c.socket.server.config.History
	epoch := h.Epoch()
	asking, cancel := c.socket.server.within(ctx, c.answerBy())
	defer cancel()
	last, err := h.LastOf(asking, c.topic)
	if err != nil {
		return err
	}
	zero := uint64(0)
	r := &recovery{due: true, Recovered: true, Missed: &zero}
	start, started := last, true
	at := c.config.replay.after
	if remembered := c.socket.recall(c.wire); at == nil && remembered != nil {
		at = remembered
	}
	switch {
	case c.config.replay.invalid:
		r.lost(CodeCursorInvalid, nil)
	case at != nil && at.epoch != epoch:
		r.lost(CodeLogEpochChanged, nil)
	case at != nil && at.seq > last:
		r.lost(CodeCursorInvalid, nil)
	case at != nil:
		start, r.From = at.seq, &at.seq
	case !c.config.replay.since.IsZero():
		started = false
	default:
		r.lost(CodeCursorMissing, nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.follow = follow{last: start, target: max(c.target, min(last, c.socket.server.handled())), epoch: epoch, started: started, recover: r}
	c.socket.queue.begin(c, start)
	return nil
}

// catchUp sends what the history holds after c.last until it has reached all that was published, then lets Publish go on.
func (c *channel) catchUp(ctx context.Context) {
	h, poll := c.socket.server.config.History, lagPoll
	for {
		c.mu.Lock()
		if c.state != granted || c.suspended || !c.grant.BroadcastReceive || c.live {
			c.mu.Unlock()
			return
		}
		version, after, started := c.version.Load(), c.last, c.started
		if started && after >= c.target {
			c.goLive()
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		if !started {
			if err := c.startSince(ctx, version); err != nil {
				c.historyLost(ctx, err)
				return
			}
			continue
		}
		c.socket.server.at("replay")
		page, err := h.Read(ctx, c.topic, after, pageEntries)
		if err == nil && len(page) == 0 {
			poll, err = c.lag(ctx, poll)
		}
		if err != nil {
			c.historyLost(ctx, err)
			return
		}
		for _, e := range c.handledOf(page) {
			if !c.repeat(ctx, e, version) {
				return
			}
		}
	}
}

// handledOf gives those of a page that the channel's replay is to go through. Where there is none it has come to its end, for
// Publish brings the rest: it has not brought any of them yet, or the target would be there.
func (c *channel) handledOf(page []Entry) []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := slices.IndexFunc(page, func(e Entry) bool { return e.Seq > c.target })
	if end == 0 {
		c.target = min(c.target, c.last)
	}
	if end >= 0 {
		return page[:end]
	}
	return page
}

// lag waits for a history that does not yet have what was published, as a replica of it may not.
func (c *channel) lag(ctx context.Context, poll time.Duration) (time.Duration, error) {
	if poll > c.socket.server.timing.CatchUpWithin {
		return 0, fault{CodeHistoryUnavailable, ""}
	}
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 2 * poll, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (c *channel) historyLost(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	c.socket.server.log.WarnContext(ctx, "history could not be read", logTopic, c.topic, logError, err)
	c.end(phoenix.EventError, fault{CodeHistoryUnavailable, "The history could not be read, please try again"})
}

// repeat queues one entry of the history. False: the channel moved on.
func (c *channel) repeat(ctx context.Context, e Entry, version uint64) bool {
	c.mu.Lock()
	if c.version.Load() != version {
		c.mu.Unlock()
		return false
	}
	r := c.recover
	switch {
	case e.Seq <= c.last:
		c.mu.Unlock()
		return true
	case e.Epoch != c.epoch:
		c.mu.Unlock()
		c.end(phoenix.EventError, fault{CodeLogEpochChanged, "The log was made anew: join again"})
		return false
	case r.due && r.queued >= c.socket.server.limits.ReplayEntries:
		r.lost(CodeReplayTruncated, nil)
		c.last = c.target
		c.mu.Unlock()
		return true
	case e.Prev > c.last && r.due:
		r.lost(CodeCursorNotKept, nil)
	case e.Prev > c.last: // a hole in what was live until now: the next join says so, from the same cursor
		c.mu.Unlock()
		c.end(phoenix.EventError, fault{CodeCursorNotKept, "The log has a hole: join again"})
		return false
	}
	r.queued++
	c.mu.Unlock()
	frame := textFrame(c.socket.version, broadcastOf(e, true))
	if !c.socket.queue.pushWait(ctx, outgoing{data: frame, channel: c, version: version, seq: e.Seq}) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version.Load() != version {
		return false
	}
	c.last = e.Seq
	return true
}

// goLive tells the client what it got back and hands the topic to Publish. The caller holds mu.
func (c *channel) goLive() {
	c.live = true
	r := c.recover
	if !r.due {
		return
	}
	r.due = false
	r.To, r.Cursor = c.last, cursor{c.epoch, c.last}.String()
	status := "error"
	if r.Recovered || r.code == CodeCursorMissing {
		status = "ok"
	}
	m := c.system(systemMessage{Extension: "recovery", Status: status, Message: recoveryTexts[r.code], Code: r.code, recovery: r})
	frame := textFrame(c.socket.version, m)
	if !c.socket.queue.push(outgoing{data: frame, channel: c, version: c.version.Load(), recovery: true}) {
		c.socket.overflow()
	}
}

// publish queues a live entry, or notes that the history must be read up to it.
func (c *channel) publish(e *Entry, m *shared) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == closed:
	case !c.live:
		c.target = max(c.target, e.Seq)
	case e.Epoch == c.epoch && e.Seq <= c.last:
	case e.Epoch != c.epoch || e.Prev > c.last: // read the history, which says what lies between
		c.target, c.live, c.behind = max(c.target, e.Seq), false, true
		c.kick()
	default:
		out := outgoing{data: m.frame(c.socket.version), channel: c, version: c.version.Load(), seq: e.Seq, entry: m.entry}
		if !c.socket.queue.push(out) {
			c.socket.overflow()
			return
		}
		c.last = e.Seq
	}
}

// startSince finds the newest entries that a replay by time asks for, and what lies before them.
func (c *channel) startSince(ctx context.Context, version uint64) error {
	s := c.socket.server
	last, err := s.config.History.LastOf(ctx, c.topic) // first, so that what is stored from here on is read after it
	if err != nil {
		return err
	}
	bound := s.handled()
	last = min(last, bound)
	newest, total, err := s.newestSince(ctx, c.topic, c.config.replay, bound)
	if err != nil {
		return err
	}
	proven := true
	if len(newest) > 0 && total == len(newest) {
		if proven, err = s.nothingBefore(ctx, c.topic, newest[0], c.config.replay.since); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version.Load() != version {
		return nil
	}
	r := c.recover
	switch {
	case total > s.limits.ReplayEntries:
		r.lost(CodeReplayTruncated, nil)
	case total > len(newest):
		missed := uint64(total - len(newest))
		r.lost(CodeReplayTruncated, &missed)
	case !proven:
		r.lost(CodeCursorNotKept, nil)
	}
	if len(newest) > 0 {
		last = newest[0].Prev
		r.From = &last
		c.target = max(c.target, newest[len(newest)-1].Seq)
	}
	c.last, c.started = last, true
	c.socket.queue.begin(c, last)
	return nil
}

// handled is how far a replay may go: see Config.Handled.
func (s *Server) handled() uint64 {
	if s.config.Handled == nil {
		return maxSeq
	}
	return s.config.Handled()
}

// newestSince gives the newest r.limit entries since r.since and up to bound, oldest first, and how many there are; nil where there
// are more than one replay may count.
func (s *Server) newestSince(ctx context.Context, topic string, r replay, bound uint64) (newest []Entry, total int, err error) {
	page, err := s.config.History.Since(ctx, topic, r.since, pageEntries)
	for ; err == nil && len(page) > 0; page, err = s.config.History.Read(ctx, topic, newest[len(newest)-1].Seq, pageEntries) {
		end := slices.IndexFunc(page, func(e Entry) bool { return e.Seq > bound })
		if end >= 0 {
			page = page[:end] // others may have been given the same
		}
		total += len(page)
		newest = append(newest, page...)
		newest = append([]Entry(nil), newest[max(0, len(newest)-r.limit):]...)
		if total > s.limits.ReplayEntries {
			return nil, total, nil
		}
		if end >= 0 {
			break
		}
	}
	return newest, total, err
}

// nothingBefore says whether it is sure that no entry since a time was dropped before first.
func (s *Server) nothingBefore(ctx context.Context, topic string, first Entry, since time.Time) (bool, error) {
	if first.Prev == 0 || s.config.Retention > 0 && time.Since(since) < s.config.Retention {
		return true, nil
	}
	before, err := s.config.History.Read(ctx, topic, first.Prev-1, 1)
	return err == nil && len(before) > 0 && before[0].Seq == first.Prev, err
}
