package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/triage"
)

const suggestionBasis = `
	select m.session_id, m.organization_id, m.sender_id, m.sender_device_id, m.epoch, m.seq, m.position, m.body, m.created_at,
	  o.suggestions, s.mode = 'strict', s.status = 'ended',
	  not exists (
	    select from public.session_participants p
	    where p.session_id = m.session_id and p.role = 'client' and p.ended_at is null
	      and not exists (
	        select from public.session_consents c
	        join public.devices d on d.id = c.device_id and d.revoked_at is null
	        where c.session_id = m.session_id and c.user_id = p.user_id and c.withdrawn_at is null and 'analysis' = any (c.scope)
	      )
	  ),
	  exists (
	    select from public.session_participants p
	    where p.session_id = m.session_id and p.user_id = m.sender_id and p.role = 'client'
	  ),
	  exists (
	    select from public.messages later
	    join public.session_participants p on p.session_id = later.session_id and p.user_id = later.sender_id and p.role = 'therapist'
	    where later.session_id = m.session_id and later.position > m.position
	  ),
	  coalesce((select x.status from public.suggestions x where x.id = $2 and x.message_id = m.id), ''),
	  exists (
	    select from public.suggestions x
	    where x.message_id = m.id and (x.requested_by is null or x.status in ('requested', 'offered'))
	  ),
	  a.status is not null, coalesce(a.status = 'not_assessed', false), coalesce(a.level, 0), coalesce(a.harm_others, false),
	  coalesce(a.abuse, false), coalesce(a.distress, false), coalesce(a.sentiment, 0), coalesce(a.topics, '{}'), coalesce(a.escalate, false),
	  cp.page_at_level, cp.review_at_level, cp.version,
	  coalesce((
	    select jsonb_agg(d.id order by d.id)
	    from public.session_participants p
	    join public.devices d
	      on d.user_id = p.user_id and d.kind = 'participant' and d.admitted_at is not null and d.revoked_at is null
	    where p.session_id = m.session_id and p.role = 'therapist' and p.ended_at is null
	  ), '[]'),
	  array(
	    select x.move from public.suggestions x
	    where x.session_id = m.session_id and x.move is not null
	    order by x.created_at desc, x.id
	    limit 200
	  ),
	  (
	    select count(*) from (
	      select from public.messages earlier
	      join public.session_participants p on p.session_id = earlier.session_id and p.user_id = earlier.sender_id and p.role = 'therapist'
	      where earlier.session_id = m.session_id and earlier.position < m.position
	      limit 100
	    ) answers
	  ),
	  coalesce((
	    select r.model from public.model_routes r
	    where r.organization_id = m.organization_id and r.task = 'suggest' and r.provider = 'openai' and r.enabled
	  ), '')
	from public.messages m
	join public.sessions s on s.id = m.session_id
	join public.organizations o on o.id = m.organization_id
	left join public.assessments a on a.message_id = m.id and a.source = 'sidecar' and a.superseded_at is null
	left join public.crisis_policies cp on cp.organization_id = m.organization_id
	where m.id = $1
	  and m.assisted`

// SuggestionBasis reads what decides about a suggestion on the message, from one snapshot; request is uuid.Nil when nobody
// asked. ok is false when there is no such message that the sidecar may read, or not yet.
func (s *Store) SuggestionBasis(ctx context.Context, message, request uuid.UUID) (b triage.SuggestionBasis, ok bool, err error) {
	m, a := &b.Message, &b.Assessment
	m.ID = message
	var devices []byte
	var page, review *triage.Level
	var version *int32
	err = s.pool.QueryRow(ctx, suggestionBasis, message, request).Scan(
		&m.SessionID, &m.OrganizationID, &m.SenderID, &m.SenderDeviceID, &m.Epoch, &m.Seq, &m.Position, &m.Body, &m.CreatedAt,
		&b.Setting, &b.Strict, &b.Ended, &b.Consented, &b.FromClient, &b.Answered, &b.Request, &b.Known,
		&b.Assessed, &b.Unopened, &a.Level, &a.HarmOthers, &a.Abuse, &a.Distress, &a.Sentiment, &a.Topics, &a.Escalate,
		&page, &review, &version, &devices, &b.Used, &b.Answers, &b.Model,
	)
	if errors.Is(err, pgx.ErrNoRows) {
		return b, false, nil
	}
	if err == nil {
		err = json.Unmarshal(devices, &b.Devices)
	}
	if err != nil {
		return b, false, fmt.Errorf("read what decides about a suggestion on message %s: %w", message, classify(err))
	}
	b.Policy = triage.DefaultCrisisPolicy(m.OrganizationID)
	if version != nil {
		b.Policy.PageAtLevel, b.Policy.ReviewAtLevel, b.Policy.Version = *page, *review, *version
	}
	return b, true, nil
}

// SuggestionHistory reads the session's last messages up to a position that the sidecar may read, the latest first.
func (s *Store) SuggestionHistory(ctx context.Context, session uuid.UUID, position int64, limit int) ([]triage.Spoken, error) {
	const query = `
		select m.id, m.session_id, m.organization_id, m.sender_id, m.sender_device_id, m.epoch, m.seq, m.position, m.body, m.created_at,
		  exists (select from public.session_participants p where p.session_id = m.session_id and p.user_id = m.sender_id and p.role = 'client')
		from public.messages m
		where m.session_id = $1
		  and m.position <= $2
		  and m.assisted
		order by m.position desc
		limit $3`
	found, err := collect(ctx, s, func(row pgx.CollectableRow) (m triage.Spoken, err error) {
		err = row.Scan(&m.ID, &m.SessionID, &m.OrganizationID, &m.SenderID, &m.SenderDeviceID, &m.Epoch, &m.Seq, &m.Position, &m.Body, &m.CreatedAt, &m.FromClient)
		return m, err
	}, query, session, position, limit)
	if err != nil {
		return nil, fmt.Errorf("read the last messages of session %s: %w", session, err)
	}
	return found, nil
}

// ExternalConsents returns, for each client who takes part in the session, the live consents that name external models; a
// client without one has an empty entry. Their signatures are the caller's to verify. It is empty when something else forbids
// that what was said leaves for that model, as the same snapshot shows it: suggestions are off, the session is strict or is
// not to be analysed any more, or no enabled route names the model.
func (s *Store) ExternalConsents(ctx context.Context, session uuid.UUID, model string) (map[uuid.UUID][]Consent, error) {
	const query = `
		select p.user_id, c.id, c.device_id, c.scope, c.text_hash, c.signature
		from public.sessions s
		join public.organizations o on o.id = s.organization_id and o.suggestions <> 'off'
		join public.model_routes r on r.organization_id = s.organization_id and r.task = 'suggest' and r.provider = 'openai'
		  and r.enabled and r.model = $2
		join public.session_participants p on p.session_id = s.id and p.role = 'client' and p.ended_at is null
		left join (
		  public.session_consents c
		  join public.devices d on d.id = c.device_id and d.revoked_at is null
		) on c.session_id = p.session_id and c.user_id = p.user_id and c.withdrawn_at is null
		  and c.withdrawal_signature is null and 'external_models' = any (c.scope)
		where s.id = $1
		  and s.mode <> 'strict'
		  and not exists (
		    select from public.session_participants q
		    where q.session_id = s.id and q.role = 'client' and q.ended_at is null
		      and not exists (
		        select from public.session_consents a
		        join public.devices d on d.id = a.device_id and d.revoked_at is null
		        where a.session_id = s.id and a.user_id = q.user_id and a.withdrawn_at is null
		          and a.withdrawal_signature is null and 'analysis' = any (a.scope)
		      )
		  )`
	rows, err := s.pool.Query(ctx, query, session, model)
	if err != nil {
		return nil, fmt.Errorf("read consents to external models of session %s: %w", session, classify(err))
	}
	found := make(map[uuid.UUID][]Consent)
	var client uuid.UUID
	var id, device *uuid.UUID
	var scope []string
	var hash, signature *string
	_, err = pgx.ForEachRow(rows, []any{&client, &id, &device, &scope, &hash, &signature}, func() error {
		if id == nil {
			found[client] = nil
			return nil
		}
		found[client] = append(found[client], Consent{ID: *id, SessionID: session, DeviceID: *device, Scope: scope, TextHash: *hash, Signature: *signature})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read consents to external models of session %s: %w", session, classify(err))
	}
	return found, nil
}

// RecordSuggestion writes a suggestion, if the organisation and the session still allow it in that very transaction, and
// returns the status that stands afterwards: another than s.Status when somebody was first or something forbids it, "" when
// there is none. Recording one again changes nothing.
func (s *Store) RecordSuggestion(ctx context.Context, g triage.Suggestion) (triage.SuggestionStatus, error) {
	text := func(value string) *string {
		if value == "" {
			return nil
		}
		return &value
	}
	suggestion, err := json.Marshal(map[string]any{
		"id": g.ID, "message_id": g.MessageID, "status": g.Status, "reason": text(string(g.Reason)), "source": text(string(g.Source)),
		"move": text(g.Move), "bank_version": text(g.BankVersion), "model": text(g.Model),
	})
	if err != nil {
		return "", fmt.Errorf("encode suggestion %s: %w", g.ID, err)
	}
	seals := g.Seals
	if seals == nil {
		seals = []triage.Seal{}
	}
	sealed, err := json.Marshal(seals)
	if err != nil {
		return "", fmt.Errorf("encode seals of suggestion %s: %w", g.ID, err)
	}
	var stands *string
	if err := s.pool.QueryRow(ctx, `select private.record_suggestion($1, $2)`, string(suggestion), string(sealed)).Scan(&stands); err != nil {
		return "", fmt.Errorf("record suggestion %s: %w", g.ID, classify(err))
	}
	if stands == nil {
		return "", nil
	}
	return triage.SuggestionStatus(*stands), nil
}

// SuggestionRequests returns requests that nobody has answered, the oldest first.
func (s *Store) SuggestionRequests(ctx context.Context, limit int) ([]triage.SuggestionTask, error) {
	const query = `
		select message_id, id, created_at
		from public.suggestions
		where status = 'requested'
		order by created_at, id
		limit $1`
	found, err := collect(ctx, s, pgx.RowToStructByPos[triage.SuggestionTask], query, limit)
	if err != nil {
		return nil, fmt.Errorf("read requests for suggestions: %w", err)
	}
	return found, nil
}

// UnsuggestedMessages returns messages of organisations that want suggestions unasked, assessed since then as ones for
// somebody's review, without any suggestion; the latest first.
func (s *Store) UnsuggestedMessages(ctx context.Context, since time.Duration, limit int) ([]triage.SuggestionTask, error) {
	const query = `
		select a.message_id, '00000000-0000-0000-0000-000000000000'::uuid, a.created_at
		from public.session_progress p
		join public.organizations o on o.id = p.organization_id and o.suggestions = 'elevated'
		join public.assessments a on a.session_id = p.session_id and a.position > p.assessed_position - 50
		where p.updated_at > clock_timestamp() - $1 * interval '1 microsecond'
		  and a.created_at > clock_timestamp() - $1 * interval '1 microsecond'
		  and a.source = 'sidecar'
		  and a.status = 'assessed'
		  and a.escalate
		  and a.superseded_at is null
		  and not exists (select from public.suggestions x where x.message_id = a.message_id)
		order by a.created_at desc
		limit $2`
	found, err := collect(ctx, s, pgx.RowToStructByPos[triage.SuggestionTask], query, since.Microseconds(), limit)
	if err != nil {
		return nil, fmt.Errorf("read messages without a suggestion: %w", err)
	}
	return found, nil
}
