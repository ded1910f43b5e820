package pipeline

import (
	"context"
	"time"

	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

const (
	catchUpMessages = 64 // of one session at a time, so that no session holds up the others
	catchUpFirst    = 10 * time.Millisecond
	catchUpLongest  = 30 * time.Second
	unseenLongest   = time.Minute // for a position of the log to be visible in the tables
)

// dispatch hands parked sessions that are due to the workers.
func (p *Pipeline) dispatch(ctx context.Context, due chan<- *parked) error {
	for {
		p.mu.Lock()
		s, wait := p.parking.take(time.Now())
		p.mu.Unlock()
		if s != nil {
			select {
			case due <- s:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := p.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// sleep waits until woken, and no longer than wait unless that is 0.
func (p *Pipeline) sleep(ctx context.Context, wait time.Duration) error {
	var passed <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		passed = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.wake:
	case <-passed:
	}
	return nil
}

func (p *Pipeline) catchUps(ctx context.Context, due <-chan *parked) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-due:
			p.catchUp(ctx, s)
		}
	}
}

// catchUp does one piece of a parked session's backlog, and parks it again or lets it go.
func (p *Pipeline) catchUp(ctx context.Context, s *parked) {
	backlog, ok, err := p.config.Progress.Backlog(ctx, s.session, s.limit)
	switch {
	case err != nil:
		p.again(ctx, s, err)
		return
	case !ok: // the session is gone, and all its messages with it
		p.release(s, nil)
		return
	case len(backlog.Messages) == 0 && backlog.Last <= backlog.Position:
		p.rest(ctx, s, &backlog.Progress)
		return
	}
	s.unseen = time.Time{}
	t := &turn{before: backlog.Progress, messages: backlog.Messages}
	if err := p.loadPolicies(ctx, []*turn{t}); err != nil {
		p.again(ctx, s, err)
		return
	}
	if len(t.messages) > 0 && p.stale(t.before.State) {
		if err := p.rebuild(ctx, t); err != nil {
			p.again(ctx, s, err)
			return
		}
	}
	p.examineBacklog(ctx, s, t)
	if len(t.messages) == 0 { // what is left up to Last was erased
		t.advance.To = backlog.Last
	}
	if t.advance.To > t.advance.From {
		if err := p.recordBacklog(ctx, s, t); err != nil {
			p.again(ctx, s, err)
			return
		}
	}
	if t.failed != nil {
		p.again(ctx, s, t.failed)
		return
	}
	s.attempt, s.limit = 0, catchUpMessages
	p.backAt(s, time.Now())
}

// examineBacklog is examine for a session that may have failed before: a message that a temporary cause has held up for
// too long becomes an outcome.
func (p *Pipeline) examineBacklog(ctx context.Context, s *parked, t *turn) {
	t.advance = t.stand()
	for i := range t.messages {
		m := &t.messages[i]
		outcome, state, err := p.message(ctx, m, t.advance.State)
		if err != nil {
			if ctx.Err() != nil || triage.IsUnavailable(err) {
				t.failed = err
				return
			}
			if !p.givesUp(s, m.CreatedAt) {
				t.failed = err
				return
			}
			outcome.Reason = triage.ReasonOf(err)
		}
		if outcome.Reason == "" {
			s.since = time.Time{}
		}
		t.add(outcome, state)
	}
}

// givesUp counts a temporary failure of a message, and says whether it has lasted too long.
func (p *Pipeline) givesUp(s *parked, created time.Time) bool {
	p.counts.failures.Add(1)
	if s.since.IsZero() {
		s.since = time.Now()
	}
	return time.Since(heldUpSince(s.since, created)) >= p.config.GiveUpAfter
}

// heldUpSince is when a message began to wait: with the session's first failure, or when it came, if that was later.
func heldUpSince(failing, created time.Time) time.Time {
	if created.After(failing) && created.Before(time.Now()) {
		return created
	}
	return failing
}

// recordBacklog writes the turn. A row that the database refuses is found by writing one at a time, and recorded as such.
func (p *Pipeline) recordBacklog(ctx context.Context, s *parked, t *turn) error {
	p.config.At(AtBeforeRecord)
	recorded, err := p.config.Recorder.Record(ctx, []triage.Advance{t.advance})
	if err != nil && triage.IsPermanent(err) && len(t.advance.Outcomes) == 1 {
		o := &t.advance.Outcomes[0]
		o.Reason, o.Assessment = triage.ReasonOf(err), triage.Assessment{}
		t.advance.State, t.advance.Topics = t.before.State, t.before.Topics
		recorded, err = p.config.Recorder.Record(ctx, []triage.Advance{t.advance})
	}
	if err != nil {
		if triage.IsPermanent(err) {
			s.limit = 1
		}
		return err
	}
	p.config.At(AtAfterRecord)
	if !recorded[0].Moved {
		p.counts.overtaken.Add(1)
		return errOvertaken
	}
	p.announce(ctx, &t.advance, recorded[0])
	return nil
}

// again parks s until its next attempt: soon at first, then ever later, and at the latest when it would be given up.
func (p *Pipeline) again(ctx context.Context, s *parked, err error) {
	if ctx.Err() != nil {
		return // the process ends; the tables remember
	}
	wait := backoff(s.attempt, catchUpFirst, catchUpLongest)
	if s.attempt == 0 || wait == catchUpLongest {
		p.config.Log.WarnContext(ctx, "session is held up", logkey.Session, s.session, logkey.Attempt, s.attempt+1, logkey.Error, err)
	}
	s.attempt++
	next := time.Now().Add(wait)
	if giveUp := s.since.Add(p.config.GiveUpAfter); !s.since.IsZero() && giveUp.After(time.Now()) && giveUp.Before(next) {
		next = giveUp
	}
	p.backAt(s, next)
}

// rest is reached when the tables show nothing left: the session is live again, unless they do not show yet what the log
// has shown.
func (p *Pipeline) rest(ctx context.Context, s *parked, at *triage.Progress) {
	if p.release(s, at) {
		return
	}
	if s.unseen.IsZero() {
		s.unseen = time.Now()
	}
	if time.Since(s.unseen) < unseenLongest {
		wait := backoff(s.attempt, catchUpFirst, time.Second)
		s.attempt++
		p.backAt(s, time.Now().Add(wait))
		return
	}
	// The log has shown what the tables do not have: they were restored to an older state, and are the truth.
	p.config.Log.WarnContext(ctx, "position of the log did not become visible", logkey.Session, s.session, logkey.Position, at.Position)
	p.release(s, nil)
}

// release lets a session go that is assessed up to its target, or is gone (nil). It reports whether it did: a message
// that came in the meantime has raised the target.
func (p *Pipeline) release(s *parked, at *triage.Progress) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at != nil && at.Position < s.target {
		return false
	}
	p.parking.remove(s)
	if at != nil {
		p.sessions.put(*at)
	}
	return true
}

// backAt gives s back to the parking. It is another worker's from then on.
func (p *Pipeline) backAt(s *parked, due time.Time) {
	p.mu.Lock()
	s.due = due
	p.parking.back(s)
	p.mu.Unlock()
	signal(p.wake)
}
