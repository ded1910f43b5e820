package pipeline

import (
	"context"
	"errors"
	"time"

	"vigil/server/internal/envelope"
	"vigil/server/internal/triage"
)

// Why a session stops being live. None of them is held against a message.
var (
	errGap       = errors.New("the message does not follow on what is assessed")
	errOvertaken = errors.New("somebody else has moved the session")
)

// Errors that replace others whose text might quote what was opened.
var (
	errContent  = errors.New("not the content of a text message")
	errPanicked = errors.New("panicked")
)

// examine opens and assesses the turn's messages in order, up to the first that fails for a temporary cause.
func (p *Pipeline) examine(ctx context.Context, t *turn) {
	t.advance = t.stand()
	for i := range t.messages {
		outcome, state, err := p.message(ctx, &t.messages[i], t.advance.State)
		if err != nil {
			t.failed = err
			return
		}
		t.add(outcome, state)
	}
}

// stand is an advance that has not moved.
func (t *turn) stand() triage.Advance {
	b := &t.before
	return triage.Advance{SessionID: b.SessionID, From: b.Position, To: b.Position, State: b.State, Topics: b.Topics}
}

// add moves the turn past an outcome.
func (t *turn) add(o triage.Outcome, state triage.State) {
	if o.Reason == "" {
		t.advance.Topics = t.advance.Topics.After(o.Assessment.Topics)
	}
	t.advance.Outcomes = append(t.advance.Outcomes, o)
	t.advance.To, t.advance.State = o.Message.Position, state
}

// message gives what becomes of one message. A permanent cause is an outcome; the error is temporary, or an outage.
func (p *Pipeline) message(ctx context.Context, m *triage.Message, state triage.State) (triage.Outcome, triage.State, error) {
	p.config.At(AtBeforeOpen)
	o := triage.Outcome{Message: *m, Policy: p.policy(m.OrganizationID)}
	o.Message.Body = "" // nobody needs it any more
	a, after, err := p.openAndAssess(ctx, m, state, o.Policy, func(stage string) { p.config.Trace(m.ID, stage, time.Now()) })
	switch {
	case err == nil:
		o.Assessment = o.Policy.Decide(a)
		p.config.At(AtAfterAssess)
		return o, after, nil
	case triage.IsPermanent(err):
		o.Reason = triage.ReasonOf(err)
		return o, state, nil
	}
	return o, state, err
}

// openAndAssess is where plaintext lives: it does not leave this call, whatever happens in it. A panic of the detector or
// the opener is a permanent failure; its value is dropped, for it may quote what was opened.
func (p *Pipeline) openAndAssess(
	ctx context.Context, m *triage.Message, state triage.State, policy triage.CrisisPolicy, reached func(stage string),
) (a triage.Assessment, after triage.State, err error) {
	defer func() {
		if recover() != nil {
			a, after, err = triage.Assessment{}, state, triage.PermanentFor(triage.ReasonDetector, errPanicked)
		}
	}()
	plaintext, err := p.config.Opener.Open(ctx, *m)
	defer clear(plaintext)
	if err != nil {
		return a, state, err
	}
	reached(stageOpened)
	c, err := envelope.ParseContent(plaintext)
	if err != nil || c.Kind != envelope.KindText {
		return a, state, triage.PermanentFor(triage.ReasonContent, errContent)
	}
	a, after = p.config.Assessor.Assess(c.Body, state, policy)
	reached(stageAssessed)
	return a, after, nil
}
