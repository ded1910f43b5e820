package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"vigil/server/internal/triage"
)

// ScoresDue returns at most `most` scores that have no assessment yet, the oldest first.
func (s *Store) ScoresDue(ctx context.Context, most int) ([]triage.Score, error) {
	const query = `
		select message_id, session_id, organization_id, device_id, side, position, epoch, after_position, level, harm_others, abuse,
		  distress, alert, escalate, hard, items, rules, scores, model_version, ruleset_version, signature
		from private.scores_due($1)`
	found, err := collect(ctx, s, func(row pgx.CollectableRow) (c triage.Score, err error) {
		err = row.Scan(&c.MessageID, &c.SessionID, &c.OrganizationID, &c.DeviceID, &c.Side, &c.Position, &c.Epoch, &c.After, &c.Level,
			&c.HarmOthers, &c.Abuse, &c.Distress, &c.Alert, &c.Escalate, &c.Hard, &c.Items, &c.Rules, &c.Scores, &c.ModelVersion,
			&c.RulesetVersion, &c.Signature)
		return c, err
	}, query, most)
	if err != nil {
		return nil, fmt.Errorf("read scores that nobody has judged: %w", err)
	}
	return found, nil
}

// UnscoredMessages returns at most `most` messages of clients in strict sessions, older than that and of the last day, that their
// senders' devices have not scored and nobody has noted as such, the oldest first.
func (s *Store) UnscoredMessages(ctx context.Context, older time.Duration, most int) ([]triage.Unscored, error) {
	const query = `
		select message_id, session_id, organization_id, device_id, position, epoch
		from private.unscored_messages($1 * interval '1 microsecond', $2)`
	found, err := collect(ctx, s, func(row pgx.CollectableRow) (u triage.Unscored, err error) {
		err = row.Scan(&u.MessageID, &u.SessionID, &u.OrganizationID, &u.DeviceID, &u.Position, &u.Epoch)
		return u, err
	}, query, older.Microseconds(), most)
	if err != nil {
		return nil, fmt.Errorf("read messages that nobody has scored: %w", err)
	}
	return found, nil
}

// insertScoreAlert raises one alert of a message, and a second only where that would page for more than the first did, by whatever
// private.deserves_page looks at: what a sender's device says must not keep quiet what a clinician's finds.
const insertScoreAlert = `
	insert into public.alerts (
	  id, organization_id, session_id, message_id, assessment_id, level, source, policy_version, ruleset_version, model_version
	)
	select $1, a.organization_id, a.session_id, a.message_id, a.id, $4, $5, $6, $7, $8
	from public.assessments a
	where a.message_id = $2
	  and a.source = $3
	  and a.superseded_at is null
	  and not exists (
	    select from public.alerts e
	    join public.assessments f on f.id = e.assessment_id
	    where e.message_id = a.message_id
	      and (
	        $4::smallint is null
	        or e.level >= $4 and f.harm_others >= a.harm_others and f.abuse >= a.abuse and f.distress >= a.distress
	      )
	  )
	on conflict do nothing
	returning id`

// Of a score: whether this is the judgement of it, and that it was refused.
const (
	settleScore = `select private.settle_score($1, $2, $3, $4)`
	refuseScore = `select private.refuse_score($1, $2, $3)`
)

// RecordScore writes what became of a score, in one transaction: the assessment under its source, the alert, whom it reaches and
// that it was raised, unless the message has one already that pages for as much; and of one that was refused an entry in the audit
// log. signature names the score; "" for triage.ReasonUnscored, which there is none of.
//
// Of several scores of one side the first that counts is recorded, whatever was refused before it, and supersedes that. What is
// judged or recorded already is no error, and writes nothing; nor does triage.ReasonUnscored once there is a score. Moved says
// whether an assessment was written now. A message that is erased is a foreign-key failure, or writes nothing.
func (s *Store) RecordScore(ctx context.Context, o triage.Outcome, signature string) (r triage.Recorded, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if signature != "" {
			var first bool
			err := tx.QueryRow(ctx, settleScore, o.Message.ID, string(o.Source), signature, o.Reason == "").Scan(&first)
			if err != nil || !first {
				return err
			}
		}
		if err := assessScore(ctx, tx, &o, &r); err != nil {
			return err
		}
		if alert, raised := o.Alert(); r.Moved && raised {
			if err := raiseForScore(ctx, tx, newAlert(newID(), &alert), alert.Assessor, &r); err != nil {
				return err
			}
		}
		if o.Reason != triage.ReasonScore {
			return nil
		}
		_, err := tx.Exec(ctx, refuseScore, o.Message.ID, string(o.Source), signature)
		return err
	})
	if err != nil {
		return triage.Recorded{}, fmt.Errorf("record the score of message %s by the %s: %w", o.Message.ID, o.Assessor(), classify(err))
	}
	return r, nil
}

func assessScore(ctx context.Context, tx pgx.Tx, o *triage.Outcome, r *triage.Recorded) error {
	w := writing{}
	if err := w.assess([]assessmentRow{newAssessment(newID(), o)}); err != nil {
		return err
	}
	w.batch.QueuedQueries[0].Exec(func(tag pgconn.CommandTag) error {
		r.Moved = tag.RowsAffected() > 0
		return nil
	})
	return tx.SendBatch(ctx, &w.batch).Close()
}

func raiseForScore(ctx context.Context, tx pgx.Tx, a alertRow, assessor triage.Source, r *triage.Recorded) error {
	var id uuid.UUID
	err := tx.QueryRow(ctx, insertScoreAlert, a.ID, a.MessageID, assessor, a.Level, a.Source, a.PolicyVersion, a.RulesetVersion, a.ModelVersion).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	r.Alerts = 1
	tag, err := tx.Exec(ctx, insertRecipients, []uuid.UUID{id})
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		r.Unreached = 1
	}
	_, err = tx.Exec(ctx, insertRaised, []uuid.UUID{id})
	return err
}
