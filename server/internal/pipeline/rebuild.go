package pipeline

import (
	"context"

	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

// stale says whether a session's state was written by a detector that remembers something else.
func (p *Pipeline) stale(s triage.State) bool {
	return p.config.StateVersion != 0 && len(s.Data) > 0 && s.Version != p.config.StateVersion
}

// rebuild gives t the state and the topics that the session's assessed messages lead to, under this detector: they are
// opened and assessed again, and nothing is recorded of them. A message that cannot be opened now is passed
// over, whatever the cause: the session's new messages do not wait for an old one.
func (p *Pipeline) rebuild(ctx context.Context, t *turn) error {
	policy := p.policy(t.before.OrganizationID)
	var state triage.State
	var topics triage.SessionTopics
	assessed := 0
	for after := int64(0); after < t.before.Position; {
		messages, err := p.config.Lookup.Earlier(ctx, t.before.SessionID, after, t.before.Position, catchUpMessages)
		if err != nil {
			return err
		}
		if len(messages) == 0 {
			break
		}
		for i := range messages {
			m := &messages[i]
			a, next, err := p.openAndAssess(ctx, m, state, policy, func(string) {})
			switch {
			case err == nil:
				state, topics = next, topics.After(a.Topics)
				assessed++
			case ctx.Err() != nil, triage.IsUnavailable(err):
				return err
			}
			after = m.Position
		}
	}
	p.config.Log.InfoContext(ctx, "session's state was built anew from its messages", logkey.Session, t.before.SessionID, logkey.Count, assessed)
	p.counts.rebuilt.Add(1)
	t.before.State, t.before.Topics = state, topics
	return nil
}
