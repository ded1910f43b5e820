package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/triage"
)

// encodeState gives a detector's state as session_progress.state holds it: a JSON string of base64, null for none.
func encodeState(s triage.State) *string {
	if len(s.Data) == 0 {
		return nil
	}
	data, err := json.Marshal(s.Data)
	if err != nil { // a []byte always marshals
		return nil
	}
	text := string(data)
	return &text
}

// decodeState is the other way round. A state that cannot be read is none: the detector begins anew.
func decodeState(text *string, version int32) triage.State {
	if text == nil {
		return triage.State{}
	}
	var data []byte
	if json.Unmarshal([]byte(*text), &data) != nil || len(data) == 0 {
		return triage.State{}
	}
	return triage.State{Version: version, Data: data}
}

// encodeTopics gives a session's topics as session_progress.topics holds them, null for none.
func encodeTopics(topics triage.SessionTopics) *string {
	if len(topics) == 0 {
		return nil
	}
	data, err := json.Marshal(topics)
	if err != nil { // a weight that is not a number: what cannot be kept is forgotten
		return nil
	}
	text := string(data)
	return &text
}

// decodeTopics is the other way round. Topics that cannot be read are none.
func decodeTopics(text *string) triage.SessionTopics {
	var topics triage.SessionTopics
	if text == nil || json.Unmarshal([]byte(*text), &topics) != nil {
		return nil
	}
	return topics
}

// Progress returns the progress of those of the sessions that exist.
func (s *Store) Progress(ctx context.Context, sessions []uuid.UUID) ([]triage.Progress, error) {
	const query = `
		select session_id, organization_id, assessed_position, state::text, state_version, topics::text
		from public.session_progress
		where session_id = any ($1)`
	found, err := collect(ctx, s, func(row pgx.CollectableRow) (p triage.Progress, err error) {
		var state, topics *string
		var version int32
		if err = row.Scan(&p.SessionID, &p.OrganizationID, &p.Position, &state, &version, &topics); err == nil {
			p.State, p.Topics = decodeState(state, version), decodeTopics(topics)
		}
		return p, err
	}, query, sessions)
	if err != nil {
		return nil, fmt.Errorf("read progress of %d sessions: %w", len(sessions), err)
	}
	return found, nil
}

// Backlog returns what a session has yet to be assessed, at most limit messages, all from one snapshot. ok is false when
// there is no such session (any more).
func (s *Store) Backlog(ctx context.Context, session uuid.UUID, limit int) (b triage.Backlog, ok bool, err error) {
	const query = `
		select p.organization_id, p.assessed_position, p.state::text, p.state_version, p.topics::text, c.last_assisted_position,
		  m.id, m.sender_id, m.sender_device_id, m.epoch, m.seq, m.position, coalesce(m.previous_assisted_position, 0), m.body, m.created_at
		from public.session_progress p
		join public.session_counters c on c.session_id = p.session_id
		left join lateral (
		  select * from public.messages m
		  where m.session_id = p.session_id
		    and m.position > p.assessed_position
		    and m.assisted
		  order by m.position
		  limit $2
		) m on true
		where p.session_id = $1
		order by m.position`
	rows, err := s.pool.Query(ctx, query, session, limit)
	if err != nil {
		return b, false, fmt.Errorf("read backlog of session %s: %w", session, classify(err))
	}
	defer rows.Close()
	b.SessionID = session
	for rows.Next() {
		if err := scanBacklog(rows, &b); err != nil {
			return b, false, fmt.Errorf("read backlog of session %s: %w", session, classify(err))
		}
		ok = true
	}
	if err := rows.Err(); err != nil {
		return b, false, fmt.Errorf("read backlog of session %s: %w", session, classify(err))
	}
	return b, ok, nil
}

func scanBacklog(rows pgx.Rows, b *triage.Backlog) error {
	var state, topics, body *string
	var version int32
	var id, sender, device *uuid.UUID
	var epoch *int32
	var seq, position, previous *int64
	var created *time.Time
	err := rows.Scan(&b.OrganizationID, &b.Position, &state, &version, &topics, &b.Last,
		&id, &sender, &device, &epoch, &seq, &position, &previous, &body, &created)
	if err != nil {
		return err
	}
	b.State, b.Topics = decodeState(state, version), decodeTopics(topics)
	if id == nil { // nothing after Position: the left join's empty side
		return nil
	}
	b.Messages = append(b.Messages, triage.Message{
		ID: *id, SessionID: b.SessionID, OrganizationID: b.OrganizationID, SenderID: *sender, SenderDeviceID: *device,
		Epoch: *epoch, Seq: *seq, Position: *position, PreviousAssistedPosition: *previous, Body: *body, CreatedAt: *created,
	})
	return nil
}

// Earlier returns the assisted messages of a session whose positions are after one and up to another, in order, at most
// limit of them: those that are erased are not among them.
func (s *Store) Earlier(ctx context.Context, session uuid.UUID, after, upTo int64, limit int) ([]triage.Message, error) {
	const query = `
		select id, session_id, organization_id, sender_id, sender_device_id, epoch, seq, position,
		  coalesce(previous_assisted_position, 0), body, created_at
		from public.messages
		where session_id = $1 and position > $2 and position <= $3 and assisted
		order by position
		limit $4`
	found, err := collect(ctx, s, func(row pgx.CollectableRow) (m triage.Message, err error) {
		err = row.Scan(&m.ID, &m.SessionID, &m.OrganizationID, &m.SenderID, &m.SenderDeviceID, &m.Epoch, &m.Seq, &m.Position,
			&m.PreviousAssistedPosition, &m.Body, &m.CreatedAt)
		return m, err
	}, query, session, after, upTo, limit)
	if err != nil {
		return nil, fmt.Errorf("read messages of session %s after %d: %w", session, after, err)
	}
	return found, nil
}

// Behind returns at most limit sessions after the session named after (uuid.Nil: from the first) whose last assisted
// message is not assessed although the oldest such message was stored longer than grace ago, in the order of their ids.
func (s *Store) Behind(ctx context.Context, after uuid.UUID, grace time.Duration, limit int) ([]triage.Behind, error) {
	const query = `
		select c.session_id, p.assessed_position, c.last_assisted_position, oldest.created_at
		from public.session_counters c
		join public.session_progress p on p.session_id = c.session_id
		left join lateral (
		  select m.created_at from public.messages m
		  where m.session_id = c.session_id
		    and m.position > p.assessed_position
		    and m.assisted
		  order by m.position
		  limit 1
		) oldest on true
		where c.last_assisted_position > p.assessed_position
		  and c.session_id > $1
		  and coalesce(oldest.created_at <= clock_timestamp() - $2 * interval '1 microsecond', true)
		order by c.session_id
		limit $3`
	found, err := collect(ctx, s, func(row pgx.CollectableRow) (b triage.Behind, err error) {
		var since *time.Time
		if err = row.Scan(&b.SessionID, &b.Position, &b.Last, &since); err == nil && since != nil {
			b.Since = *since
		}
		return b, err
	}, query, after, grace.Microseconds(), limit)
	if err != nil {
		return nil, fmt.Errorf("look for sessions that are behind: %w", err)
	}
	return found, nil
}
