package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"vigil/server/internal/triage"
)

// errNotCommitted: the transaction had failed before its commit, and nothing said so.
var errNotCommitted = errors.New("the commit was a rollback")

// rollbackTimeout bounds the clean-up after an error; without it a lost connection would hold the caller.
const rollbackTimeout = 5 * time.Second

const moveProgress = `
	update public.session_progress p set
	  assessed_position = a.to_position,
	  state = a.state::jsonb,
	  state_version = a.state_version,
	  topics = a.topics::jsonb,
	  updated_at = now()
	from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::int[], $6::text[])
	  as a (session_id, from_position, to_position, state, state_version, topics)
	where p.session_id = a.session_id
	  and p.assessed_position = a.from_position
	returning p.session_id`

const insertAssessments = `
	insert into public.assessments (
	  id, organization_id, session_id, message_id, position, source, status, reason, level, harm_others, abuse, distress, sentiment,
	  topics, evidence, alert, escalate, model_version, ruleset_version, policy_version,
	  items, risk_score, harm_others_score, abuse_score, distress_score, hard, emotions, language
	)
	select id, organization_id, session_id, message_id, position, source, status, reason, level, harm_others, abuse, distress, sentiment,
	  coalesce(topics, '{}'), coalesce(evidence, '[]'), alert, escalate, model_version, ruleset_version, policy_version,
	  items, risk_score, harm_others_score, abuse_score, distress_score, coalesce(hard, '{}'), coalesce(emotions, '{}'), language
	from jsonb_to_recordset($1::jsonb) as a (
	  id uuid, organization_id uuid, session_id uuid, message_id uuid, position bigint, source text, status text, reason text, level smallint,
	  harm_others boolean, abuse boolean, distress boolean, sentiment real, topics text[], evidence jsonb, alert boolean,
	  escalate boolean, model_version text, ruleset_version text, policy_version int, items text[], risk_score real,
	  harm_others_score real, abuse_score real, distress_score real, hard text[], emotions text[], language text
	)
	on conflict do nothing`

const insertAlerts = `
	insert into public.alerts (
	  id, organization_id, session_id, message_id, assessment_id, level, source, policy_version, ruleset_version, model_version
	)
	select x.id, a.organization_id, a.session_id, a.message_id, a.id, x.level, x.source, x.policy_version, x.ruleset_version, x.model_version
	from jsonb_to_recordset($1::jsonb) as x (
	  id uuid, message_id uuid, level smallint, source text, policy_version int, ruleset_version text, model_version text
	)
	join public.assessments a on a.message_id = x.message_id and a.source = 'sidecar' and a.superseded_at is null
	order by x.id
	on conflict do nothing
	returning id, session_id`

// Whom an alert reaches, the closest to the client first: the session's therapists, who is on call now, and the
// organisation's supervisors; each only while the membership lasts, and each once.
const insertRecipients = `
	insert into public.alert_recipients (alert_id, user_id, organization_id, session_id, reason)
	select distinct on (a.id, r.user_id) a.id, r.user_id, a.organization_id, a.session_id, r.reason
	from public.alerts a
	cross join lateral (
	  select p.user_id, 'therapist' as reason, 1 as rank
	  from public.session_participants p
	  where p.session_id = a.session_id and p.role = 'therapist' and p.ended_at is null
	  union all
	  select o.user_id, 'on_call', 2
	  from public.oncall_shifts o
	  where o.organization_id = a.organization_id and o.starts_at <= now() and o.ends_at > now() and o.flagged_at is null
	  union all
	  select v.user_id, 'supervisor', 3
	  from public.memberships v
	  where v.organization_id = a.organization_id and v.role = 'supervisor' and v.ended_at is null
	) r
	join public.memberships m on m.organization_id = a.organization_id and m.user_id = r.user_id
	where a.id = any ($1)
	  and m.ended_at is null
	  and m.role in ('therapist', 'supervisor')
	order by a.id, r.user_id, r.rank
	on conflict do nothing
	returning alert_id`

const insertRaised = `
	insert into public.alert_events (alert_id, organization_id, session_id, kind, version)
	select a.id, a.organization_id, a.session_id, 'raised', 1
	from public.alerts a
	where a.id = any ($1)
	order by a.organization_id, a.id`

// alertRow is one element of insertAlerts' argument.
type alertRow struct {
	ID             uuid.UUID     `json:"id"`
	MessageID      uuid.UUID     `json:"message_id"`
	Level          *triage.Level `json:"level"`
	Source         triage.Source `json:"source"`
	PolicyVersion  int32         `json:"policy_version"`
	RulesetVersion *string       `json:"ruleset_version"`
	ModelVersion   *string       `json:"model_version"`
}

func newAlert(id uuid.UUID, a *triage.Alert) alertRow {
	row := alertRow{ID: id, MessageID: a.MessageID, Source: a.Source, PolicyVersion: a.PolicyVersion}
	if a.Source != triage.SourceNotAssessed {
		row.Level, row.RulesetVersion, row.ModelVersion = &a.Level, &a.RulesetVersion, &a.ModelVersion
	}
	return row
}

// Record writes all advances in one transaction: progress, assessments, alerts, whom they reach, and that they were raised.
// An advance whose session does not stand at From writes nothing and is reported (Moved false); so is one of a session
// that is gone. What is there already is no error. No session may occur twice. The result has the order of advances.
//
// A message that is not visible here yet, or erased, is a foreign-key failure of the whole call: neither permanent nor an
// outage. The caller then records each session by itself, and reads the one that fails again (Backlog).
func (s *Store) Record(ctx context.Context, advances []triage.Advance) ([]triage.Recorded, error) {
	if len(advances) == 0 {
		return nil, nil
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("record %d sessions: %w", len(advances), classify(err))
	}
	defer conn.Release()
	recorded, err := record(ctx, conn.Conn(), advances)
	if err != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_, _ = conn.Exec(end, "rollback") // a connection that cannot is closed by the pool
		return nil, fmt.Errorf("record %d sessions: %w", len(advances), classify(err))
	}
	return recorded, nil
}

// record takes two round trips: begin and move; then what is to be written for the sessions that moved, and commit. The
// commit is not reached when a statement before it fails.
func record(ctx context.Context, conn *pgx.Conn, advances []triage.Advance) ([]triage.Recorded, error) {
	recorded := make([]triage.Recorded, len(advances))
	if err := move(ctx, conn, advances, recorded); err != nil {
		return nil, fmt.Errorf("move progress: %w", err)
	}
	var assessments []assessmentRow
	var alerts []alertRow
	for i := range advances {
		if !recorded[i].Moved {
			continue
		}
		for j := range advances[i].Outcomes {
			o := &advances[i].Outcomes[j]
			assessments = append(assessments, newAssessment(newID(), o))
			if alert, raised := o.Alert(); raised {
				alerts = append(alerts, newAlert(newID(), &alert))
			}
		}
	}
	w := writing{}
	if err := w.assess(assessments); err != nil {
		return nil, err
	}
	if err := w.raise(alerts); err != nil {
		return nil, err
	}
	w.batch.Queue("commit").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return errNotCommitted
		}
		return nil
	})
	if err := conn.SendBatch(ctx, &w.batch).Close(); err != nil {
		return nil, fmt.Errorf("write %d assessments and %d alerts: %w", len(assessments), len(alerts), err)
	}
	w.count(advances, recorded)
	return recorded, nil
}

// newID is time-ordered, so that an index grows at its end.
func newID() uuid.UUID {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.New()
	}
	return id
}

// move begins the transaction and moves the sessions that stand where the advance says.
func move(ctx context.Context, conn *pgx.Conn, advances []triage.Advance, recorded []triage.Recorded) error {
	sessions, versions := make([]uuid.UUID, len(advances)), make([]int32, len(advances))
	from, to := make([]int64, len(advances)), make([]int64, len(advances))
	states, topics := make([]*string, len(advances)), make([]*string, len(advances))
	index := make(map[uuid.UUID]int, len(advances))
	for i := range advances {
		a := &advances[i]
		sessions[i], from[i], to[i], states[i], versions[i] = a.SessionID, a.From, a.To, encodeState(a.State), a.State.Version
		topics[i] = encodeTopics(a.Topics)
		index[a.SessionID] = i
	}
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue(moveProgress, sessions, from, to, states, versions, topics).Query(func(rows pgx.Rows) error {
		moved, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		for _, session := range moved {
			recorded[index[session]].Moved = true
		}
		return err
	})
	return conn.SendBatch(ctx, batch).Close()
}

// writing is the second round trip.
type writing struct {
	batch   pgx.Batch
	session map[uuid.UUID]uuid.UUID // of each alert that was raised
	reached map[uuid.UUID]bool      // alerts that reach somebody
}

func (w *writing) assess(assessments []assessmentRow) error {
	if len(assessments) == 0 {
		return nil
	}
	rows, err := json.Marshal(assessments)
	if err != nil {
		return triage.PermanentFor(triage.ReasonUnrecordable, fmt.Errorf("encode assessments: %w", err))
	}
	w.batch.Queue(insertAssessments, string(rows))
	return nil
}

func (w *writing) raise(alerts []alertRow) error {
	if len(alerts) == 0 {
		return nil
	}
	rows, err := json.Marshal(alerts)
	if err != nil {
		return triage.PermanentFor(triage.ReasonUnrecordable, fmt.Errorf("encode alerts: %w", err))
	}
	ids := make([]uuid.UUID, len(alerts))
	for i := range alerts {
		ids[i] = alerts[i].ID
	}
	w.session, w.reached = make(map[uuid.UUID]uuid.UUID, len(alerts)), make(map[uuid.UUID]bool, len(alerts))
	w.batch.Queue(insertAlerts, string(rows)).Query(func(rows pgx.Rows) error {
		var id, session uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&id, &session}, func() error { w.session[id] = session; return nil })
		return err
	})
	w.batch.Queue(insertRecipients, ids).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { w.reached[id] = true; return nil })
		return err
	})
	w.batch.Queue(insertRaised, ids)
	return nil
}

// count tells each session its alerts.
func (w *writing) count(advances []triage.Advance, recorded []triage.Recorded) {
	if len(w.session) == 0 {
		return
	}
	index := make(map[uuid.UUID]int, len(advances))
	for i := range advances {
		index[advances[i].SessionID] = i
	}
	for id, session := range w.session {
		r := &recorded[index[session]]
		r.Alerts++
		if !w.reached[id] {
			r.Unreached++
		}
	}
}
