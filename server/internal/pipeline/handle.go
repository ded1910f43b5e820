package pipeline

import (
	"context"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

const (
	maxRecordOutcomes = 1000            // in one transaction
	visibleWait       = 2 * time.Second // for a transaction of the log to be visible in the tables
	visiblePoll       = 2 * time.Millisecond
	retryFirst        = 20 * time.Millisecond
	retryLongest      = 5 * time.Second
)

// turn is one session's part of a batch.
type turn struct {
	before   triage.Progress
	messages []triage.Message
	target   int64 // the newest position of the batch
	advance  triage.Advance
	failed   error // temporary: the messages after advance.To, up to target, are caught up
}

// handle takes entries through the flow. An error (ctx has ended) means that they must come again.
func (p *Pipeline) handle(ctx context.Context, entries []Entry) error {
	w := p.read(ctx, entries)
	if err := p.settle(ctx, w); err != nil {
		return err
	}
	turns, err := p.admit(ctx, w)
	if err != nil {
		return err
	}
	if err := p.loadPolicies(ctx, turns); err != nil {
		return err
	}
	p.assess(ctx, turns)
	if err := p.record(ctx, turns); err != nil {
		return err
	}
	for session, position := range w.lost {
		p.park(ctx, session, position)
	}
	p.config.At(AtBeforeAck)
	return ctx.Err()
}

// settle applies what the entries change about how messages are opened and judged, before any of their messages is.
func (p *Pipeline) settle(ctx context.Context, w *work) error {
	if w.all {
		p.Reset()
	}
	p.mu.Lock()
	for _, session := range w.gone {
		p.sessions.drop(session)
	}
	p.mu.Unlock()
	forget := func() {
		for _, session := range w.forget {
			p.config.Opener.Forget(session)
		}
		for _, session := range w.gone {
			p.config.Opener.Forget(session)
		}
	}
	if len(w.xids) > 0 {
		forget()
		if err := p.awaitVisible(ctx, w.xids); err != nil {
			return err
		}
		forget() // what was read in between may not have seen the change
	}
	p.applyPolicies(w.policies)
	return nil
}

// awaitVisible waits until the tables show what the log has shown.
func (p *Pipeline) awaitVisible(ctx context.Context, xids []uint32) error {
	deadline := time.Now().Add(visibleWait)
	for {
		var visible bool
		err := p.persist(ctx, "visibility was not told", func() (err error) {
			visible, err = p.config.Lookup.Visible(ctx, xids)
			return err
		})
		if err != nil || visible {
			return err
		}
		if time.Now().After(deadline) { // a database that was restored never shows it
			p.config.Log.WarnContext(ctx, "transaction of the log did not become visible", logkey.Count, len(xids))
			return nil
		}
		if err := pause(ctx, visiblePoll); err != nil {
			return err
		}
	}
}

// admit decides for each session of w whether its messages follow on what is assessed.
func (p *Pipeline) admit(ctx context.Context, w *work) ([]*turn, error) {
	known, err := p.known(ctx, w)
	if err != nil {
		return nil, err
	}
	turns := make([]*turn, 0, len(w.order))
	for _, session := range w.order {
		messages := w.messages[session]
		target := newest(messages)
		p.mu.Lock()
		isParked := p.parking.raise(session, target)
		p.mu.Unlock()
		if isParked {
			continue
		}
		before, ok := known[session]
		if !ok { // deleted since; the tables will say so
			p.park(ctx, session, target)
			continue
		}
		if p.stale(before.State) {
			p.park(ctx, session, target)
			continue
		}
		t := p.follow(before, messages, target)
		switch {
		case len(t.messages) > 0:
			turns = append(turns, t)
		case t.failed != nil:
			p.park(ctx, session, target)
		}
	}
	return turns, nil
}

// known returns the progress of w's sessions that are not parked, from memory or from the tables.
func (p *Pipeline) known(ctx context.Context, w *work) (map[uuid.UUID]triage.Progress, error) {
	known := make(map[uuid.UUID]triage.Progress, len(w.order))
	var unknown []uuid.UUID
	p.mu.Lock()
	for _, session := range w.order {
		if _, isParked := p.parking.by[session]; isParked {
			continue
		}
		if before, ok := p.sessions.get(session); ok {
			known[session] = before
		} else {
			unknown = append(unknown, session)
		}
	}
	p.mu.Unlock()
	if len(unknown) == 0 {
		return known, nil
	}
	err := p.persist(ctx, "progress was not read", func() error {
		found, err := p.config.Progress.Progress(ctx, unknown)
		for _, before := range found {
			known[before.SessionID] = before
		}
		return err
	})
	return known, err
}

func newest(messages []triage.Message) int64 {
	var position int64
	for i := range messages {
		position = max(position, messages[i].Position)
	}
	return position
}

// follow takes the messages that follow on before, passes over those that are assessed, and fails at a gap.
func (p *Pipeline) follow(before triage.Progress, messages []triage.Message, target int64) *turn {
	t := &turn{before: before, target: target}
	at := before.Position
	for _, m := range messages {
		switch {
		case m.Position <= at:
			p.counts.repeated.Add(1)
		case m.PreviousAssistedPosition == at:
			t.messages = append(t.messages, m)
			at = m.Position
		default:
			p.counts.gaps.Add(1)
			t.failed = errGap
			return t
		}
	}
	return t
}

// assess works on many sessions at once, each in order.
func (p *Pipeline) assess(ctx context.Context, turns []*turn) {
	if len(turns) == 1 {
		p.examine(ctx, turns[0])
		return
	}
	var g errgroup.Group
	g.SetLimit(p.config.Parallel)
	for _, t := range turns {
		g.Go(func() error {
			p.examine(ctx, t)
			return nil
		})
	}
	_ = g.Wait() // examine keeps its errors in the turn
}

// record writes the turns, each transaction many of them, and makes their sessions' progress known.
func (p *Pipeline) record(ctx context.Context, turns []*turn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var part []*turn
	outcomes := 0
	for i, t := range turns {
		if len(t.advance.Outcomes) > 0 {
			part = append(part, t)
			outcomes += len(t.advance.Outcomes)
		}
		if len(part) > 0 && (outcomes >= maxRecordOutcomes || i == len(turns)-1) {
			if err := p.recordPart(ctx, part); err != nil {
				return err
			}
			part, outcomes = part[:0], 0
		}
	}
	for _, t := range turns {
		if t.failed != nil {
			p.park(ctx, t.before.SessionID, t.target)
		}
	}
	return nil
}

// recordPart writes turns in one transaction; if one of them cannot be written, each in its own.
func (p *Pipeline) recordPart(ctx context.Context, turns []*turn) error {
	advances := make([]triage.Advance, len(turns))
	for i, t := range turns {
		advances[i] = t.advance
	}
	recorded, err := p.write(ctx, advances)
	if err == nil {
		for i, t := range turns {
			p.recorded(ctx, t, recorded[i])
		}
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	for i, t := range turns {
		if len(turns) > 1 {
			recorded, err = p.write(ctx, advances[i:i+1])
		}
		switch {
		case err == nil:
			p.recorded(ctx, t, recorded[0])
		case ctx.Err() != nil:
			return err
		default:
			p.counts.failures.Add(1)
			p.config.Log.WarnContext(ctx, "session could not be recorded: it is caught up", logkey.Session, t.before.SessionID, logkey.Error, err)
			t.failed = err
		}
	}
	return nil
}

// write calls the recorder, again and again during an outage.
func (p *Pipeline) write(ctx context.Context, advances []triage.Advance) (recorded []triage.Recorded, err error) {
	p.config.At(AtBeforeRecord)
	var refused error
	err = p.persist(ctx, "record was not possible", func() (err error) {
		recorded, err = p.config.Recorder.Record(ctx, advances)
		if err != nil && !triage.IsUnavailable(err) {
			refused, err = err, nil
		}
		return err
	})
	if err == nil {
		err = refused
	}
	if err == nil {
		p.config.At(AtAfterRecord)
	}
	return recorded, err
}

// recorded makes known what was committed. A session that somebody else has moved is caught up.
func (p *Pipeline) recorded(ctx context.Context, t *turn, r triage.Recorded) {
	if !r.Moved {
		p.counts.overtaken.Add(1)
		p.mu.Lock()
		p.sessions.drop(t.before.SessionID)
		p.mu.Unlock()
		t.failed = errOvertaken
		return
	}
	p.announce(ctx, &t.advance, r)
	after := t.before
	after.Position, after.State, after.Topics = t.advance.To, t.advance.State, t.advance.Topics
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, isParked := p.parking.by[after.SessionID]; !isParked {
		p.sessions.put(after)
	}
}

// announce tells metrics, traces and the log of outcomes that are committed.
func (p *Pipeline) announce(ctx context.Context, a *triage.Advance, r triage.Recorded) {
	now := time.Now()
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		if o.Reason == "" {
			p.counts.assessed.Add(1)
		} else {
			p.counts.notAssessed.Add(1)
			p.config.Log.ErrorContext(ctx, "message was not assessed", logkey.Message, o.Message.ID, logkey.Session, o.Message.SessionID, logkey.Reason, string(o.Reason))
		}
		p.config.Trace(o.Message.ID, stageRecorded, now)
		p.config.Recorded(*o)
	}
	p.counts.alerts.Add(uint64(max(r.Alerts, 0)))
	if r.Unreached > 0 {
		p.counts.unreached.Add(uint64(r.Unreached))
		p.config.Log.ErrorContext(ctx, "alert reached nobody: no therapist, shift or supervisor", logkey.Session, a.SessionID, logkey.Count, r.Unreached)
	}
}

// park gives the session to the catch-up. When too many are parked, reconcile finds it later.
func (p *Pipeline) park(ctx context.Context, session uuid.UUID, target int64) {
	p.mu.Lock()
	p.sessions.drop(session)
	added := p.parking.add(session, target, time.Now())
	p.mu.Unlock()
	if !added {
		p.config.Log.WarnContext(ctx, "too many sessions are behind: this one waits for reconcile", logkey.Session, session)
		return
	}
	signal(p.wake)
}

// persist calls do until it succeeds or ctx ends. What it retries is an outage, which holds everything up alike.
func (p *Pipeline) persist(ctx context.Context, what string, do func() error) error {
	for attempt := 0; ; attempt++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.config.Log.WarnContext(ctx, "database is away: waiting", logkey.Reason, what, logkey.Attempt, attempt+1, logkey.Error, err)
		if err := pause(ctx, backoff(attempt, retryFirst, retryLongest)); err != nil {
			return err
		}
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is signalled already
	}
}

// backoff doubles from first to longest.
func backoff(attempt int, first, longest time.Duration) time.Duration {
	return min(first<<min(attempt, 16), longest)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
