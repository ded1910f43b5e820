package app

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

// unscoredAfter is how long a device may take to score what it sent before somebody is told. `vigil doctor` looks for twice that.
const unscoredAfter = 2 * time.Minute

// scoreMost is how many scores are asked for at once.
const scoreMost = 100

// newScorer makes what turns scores of strict messages, which devices signed, into assessments and alerts, by the policies that
// hold for what the sidecar reads itself. Of several of one side the first that verifies counts, however many were refused before
// it: whoever has a token can insert one, and only the device can sign it. One that its device did not sign, or may not have,
// becomes "not assessed" until then, with an alert, and an entry in the audit log: never silence. Nor is a message that its sender's
// device does not score at all: at each interval those are looked for.
func (f *flow) newScorer() *errand {
	judge, note := f.judgeScores(scoreMost), f.noteUnscored(scoreMost)
	var noted time.Time
	return f.newErrand("scorer", func(ctx context.Context) error {
		err := judge(ctx)
		if now := time.Now(); now.Sub(noted) >= f.config.ReconcileInterval { // not at each score
			noted = now
			err = errors.Join(err, note(ctx))
		}
		return err
	}, "message_scores")
}

// noteUnscored records the messages that nobody has scored in time as not assessed, with an alert, which is paged as often as any of
// that kind. A score that comes late is judged as any, and may alert again.
func (f *flow) noteUnscored(most int) looking {
	due := func(ctx context.Context, most int) ([]triage.Unscored, error) {
		return f.store.UnscoredMessages(ctx, unscoredAfter, most)
	}
	return func(ctx context.Context) error {
		return drain(ctx, most, due, func(u *triage.Unscored) uuid.UUID { return u.MessageID },
			func(ctx context.Context, page []triage.Unscored) []error {
				return underPolicies(ctx, f, page, func(u *triage.Unscored) uuid.UUID { return u.OrganizationID }, f.noteOne)
			})
	}
}

func (f *flow) noteOne(ctx context.Context, u *triage.Unscored, policy triage.CrisisPolicy) error {
	o := triage.Outcome{
		Message: triage.Message{ID: u.MessageID, SessionID: u.SessionID, OrganizationID: u.OrganizationID, Position: u.Position, Epoch: u.Epoch},
		Policy:  policy, Source: triage.SourceSender, Reason: triage.ReasonUnscored,
	}
	r, err := f.store.RecordScore(ctx, o, "")
	if err != nil {
		return err
	}
	f.scored(ctx, &o, r)
	return nil
}

// scoreID is a score's key.
type scoreID struct {
	message   uuid.UUID
	side      triage.Source
	signature string
}

// judgeScores looks once, `most` at a time. A score that cannot be judged or recorded now does not hold up those after it.
func (f *flow) judgeScores(most int) looking {
	return func(ctx context.Context) error {
		return drain(ctx, most, f.store.ScoresDue, func(s *triage.Score) scoreID { return scoreID{s.MessageID, s.Side, s.Signature} },
			func(ctx context.Context, page []triage.Score) []error {
				return underPolicies(ctx, f, page, func(s *triage.Score) uuid.UUID { return s.OrganizationID }, f.judgeScore)
			})
	}
}

// underPolicies does each of a page under its organisation's policy, and gives the faults.
func underPolicies[T any](
	ctx context.Context, f *flow, page []T, organization func(*T) uuid.UUID, do func(context.Context, *T, triage.CrisisPolicy) error,
) (faults []error) {
	if len(page) == 0 {
		return nil
	}
	organizations := make([]uuid.UUID, len(page))
	for i := range page {
		organizations[i] = organization(&page[i])
	}
	found, err := f.store.Policies(ctx, organizations)
	if err != nil {
		return []error{err}
	}
	policies := make(map[uuid.UUID]triage.CrisisPolicy, len(found))
	for _, p := range found {
		policies[p.OrganizationID] = p
	}
	for i := range page {
		policy, ok := policies[organizations[i]]
		if !ok {
			policy = triage.DefaultCrisisPolicy(organizations[i])
		}
		if err := do(ctx, &page[i], policy); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

func (f *flow) judgeScore(ctx context.Context, s *triage.Score, policy triage.CrisisPolicy) error {
	o := triage.Outcome{
		Message: triage.Message{ID: s.MessageID, SessionID: s.SessionID, OrganizationID: s.OrganizationID, Position: s.Position, Epoch: s.Epoch},
		Policy:  policy, Source: s.Side,
	}
	switch err := f.verifyScore(ctx, s); {
	case err == nil:
		o.Assessment = policy.Decide(s.Assessment())
	case triage.IsPermanent(err):
		o.Reason = triage.ReasonScore
		f.log.WarnContext(ctx, "score was refused", logkey.Message, s.MessageID, logkey.Device, s.DeviceID, logkey.Reason, envelope.Reason(err))
	default:
		return err
	}
	r, err := f.store.RecordScore(ctx, o, s.Signature)
	if triage.IsPermanent(err) && o.Reason == "" { // a row that the database refuses is recorded as such
		o.Reason, o.Assessment = triage.ReasonUnrecordable, triage.Assessment{}
		r, err = f.store.RecordScore(ctx, o, s.Signature)
	}
	if err != nil {
		return err
	}
	f.scored(ctx, &o, r)
	return nil
}

// scored counts what is committed, and wakes whoever pages people.
func (f *flow) scored(ctx context.Context, o *triage.Outcome, r triage.Recorded) {
	if !r.Moved {
		return
	}
	outcome := "recorded"
	if o.Reason != "" {
		outcome = string(o.Reason)
		f.log.ErrorContext(ctx, "message was not assessed", logkey.Message, o.Message.ID, logkey.Session, o.Message.SessionID, logkey.Reason, outcome)
	}
	f.metrics.Scores.WithLabelValues(string(o.Source), outcome).Inc()
	if r.Alerts > 0 {
		f.metrics.Alerts.WithLabelValues(levelLabel(o)).Inc()
		f.escalation.Wake()
	}
	if r.Unreached > 0 {
		f.log.ErrorContext(ctx, "alert reached nobody: no therapist, shift or supervisor", logkey.Session, o.Message.SessionID, logkey.Count, r.Unreached)
	}
}

// errSide: the device may not score this message under that side.
var errSide = triage.PermanentFor(triage.ReasonScore, errors.New("the device may not score this message as that side"))

// verifyScore checks that the device that the score names signed it, that this device stands on the roster of the message's epoch,
// and in a role that fits. That the message is its own, or a client's, the database has checked: only it knows who sent what. A
// permanent error: it counts for nothing.
func (f *flow) verifyScore(ctx context.Context, s *triage.Score) error {
	roster, err := f.rosterOf(ctx, s.SessionID, s.Epoch)
	if err != nil {
		return err
	}
	if roster.Watched() {
		return errSide
	}
	member, ok := roster.Member(s.DeviceID)
	side := sides[s.Side]
	if !ok || side == 0 || !mayScore(member.Role, side) {
		return errSide
	}
	return classified(scoreOf(s, side).Verify(member.SigPub))
}

// rosterOf is the verified roster of an epoch that the sidecar is kept out of.
func (f *flow) rosterOf(ctx context.Context, session uuid.UUID, epoch int32) (envelope.Roster, error) {
	row, _, err := opener{f.ring, f.store}.read(ctx, session, epoch)
	if err != nil { // also when it was erased since, and the score with it
		return nil, err
	}
	roster, err := f.ring.Roster(row)
	return roster, classified(err)
}

// sides are the sources of scores, as the envelope signs them.
var sides = map[triage.Source]byte{triage.SourceSender: envelope.SideSender, triage.SourceClinician: envelope.SideClinician}

func mayScore(role envelope.Role, side byte) bool {
	return role == envelope.RoleTherapist || role == envelope.RoleClient && side == envelope.SideSender
}

// scoreOf is a score as the envelope signs it. What does not fit into it is refused as malformed.
func scoreOf(s *triage.Score, side byte) envelope.Score {
	signed := envelope.Score{
		Session: s.SessionID, Message: s.MessageID, Device: s.DeviceID, Epoch: uint32(s.Epoch), Side: side, After: s.After, //nolint:gosec // the epoch's row was found by it
		Level: byte(s.Level), Hard: byte(triage.CategoriesOf(s.Hard)), Model: s.ModelVersion, Ruleset: s.RulesetVersion, //nolint:gosec // 0 to 6, by the table's check
		Rules: s.Rules, Signature: s.Signature,
	}
	for bit, set := range [...]bool{s.HarmOthers, s.Abuse, s.Distress, s.Alert, s.Escalate} {
		if set {
			signed.Flags |= 1 << bit
		}
	}
	for i, item := range triage.ItemsOf(s.Items) {
		signed.Items[i] = byte(item) //nolint:gosec // one of three
	}
	for i := range min(len(s.Scores), len(signed.Scores)) {
		signed.Scores[i] = uint32(s.Scores[i]) //nolint:gosec // 0 to 1,000,000 by the table's check; anything else verifies nothing
	}
	return signed
}
