package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vigil/server/internal/triage"
)

// A claim is a lease: whoever claims moves next_attempt_at into the future, so that no other sidecar takes the page while it
// is being sent, and any takes it when the claimer has died.
const claimPages = `
	with due as (
	  select p.alert_id, p.step
	  from public.alert_pages p
	  where p.status = 'pending'
	    and p.next_attempt_at <= clock_timestamp()
	    and p.created_at > clock_timestamp() - $3 * interval '1 microsecond'
	  order by p.next_attempt_at
	  limit $1
	  for update skip locked
	)
	update public.alert_pages p set
	  attempts = p.attempts + 1,
	  next_attempt_at = clock_timestamp() + $2 * interval '1 microsecond'
	from due
	join public.alerts a on a.id = due.alert_id
	where p.alert_id = due.alert_id
	  and p.step = due.step
	returning p.alert_id, p.step, p.organization_id, p.session_id, p.level, a.raised_at, p.attempts, a.status <> 'open',
	  (extract(epoch from clock_timestamp() - p.created_at) * 1000000)::bigint,
	  array(
    select r.user_id from public.alert_recipients r
    where r.alert_id = p.alert_id and r.ended_at is null
    order by array_position('{therapist,on_call,supervisor}', r.reason), r.user_id
    limit 100
  )`

// ClaimPages takes at most limit pages that are due and younger than giveUp, the longest due first, for lease: nobody else
// gets them before it ends. Each comes with the alert as it is now, and with the first hundred whom it reaches (notify takes no
// more), the closest to the client first.
func (s *Store) ClaimPages(ctx context.Context, limit int, lease, giveUp time.Duration) ([]triage.Page, error) {
	pages, err := collect(ctx, s, func(row pgx.CollectableRow) (p triage.Page, err error) {
		var age int64
		err = row.Scan(&p.AlertID, &p.Step, &p.OrganizationID, &p.SessionID, &p.Level, &p.RaisedAt, &p.Attempt, &p.Answered, &age, &p.Recipients)
		p.Age = time.Duration(age) * time.Microsecond
		return p, err
	}, claimPages, limit, lease.Microseconds(), giveUp.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("claim pages: %w", err)
	}
	return pages, nil
}

// SettlePage writes what became of an attempt. One that lost its lease to a later attempt writes nothing, unless the page was
// sent: that is a fact. A page that is settled or gone is no error.
func (s *Store) SettlePage(ctx context.Context, p triage.Page, r triage.PageResult) error {
	const settle = `
		update public.alert_pages set
		  status = $4,
		  last_error = nullif($5, ''),
		  next_attempt_at = clock_timestamp() + $6 * interval '1 microsecond',
		  sent_at = case when $4 = 'sent' then clock_timestamp() end
		where alert_id = $1
		  and step = $2
		  and status = 'pending'
		  and (attempts = $3 or $4 = 'sent')`
	if _, err := s.pool.Exec(ctx, settle, p.AlertID, p.Step, p.Attempt, string(r.Status), r.Code, r.Wait.Microseconds()); err != nil {
		return fmt.Errorf("settle page %d of alert %s: %w", p.Step, p.AlertID, classify(err))
	}
	return nil
}

// ExpirePages marks as failed what has waited for giveUp in vain, and returns how many those are.
func (s *Store) ExpirePages(ctx context.Context, giveUp time.Duration, code string) (int, error) {
	const expire = `
		update public.alert_pages set status = 'failed', last_error = $2
		where status = 'pending'
		  and created_at <= clock_timestamp() - $1 * interval '1 microsecond'
		  and next_attempt_at <= clock_timestamp()`
	tag, err := s.pool.Exec(ctx, expire, giveUp.Microseconds(), code)
	if err != nil {
		return 0, fmt.Errorf("give up old pages: %w", classify(err))
	}
	return int(tag.RowsAffected()), nil
}

// UnsentPages says how many pages wait, and for how long.
func (s *Store) UnsentPages(ctx context.Context) (triage.Unsent, error) {
	const query = `
		select count(*), coalesce(extract(epoch from clock_timestamp() - min(created_at)) * 1000000, 0)::bigint
		from public.alert_pages
		where status = 'pending'`
	var u triage.Unsent
	var oldest int64
	if err := s.pool.QueryRow(ctx, query).Scan(&u.Count, &oldest); err != nil {
		return triage.Unsent{}, fmt.Errorf("count unsent pages: %w", classify(err))
	}
	u.Oldest = time.Duration(oldest) * time.Microsecond
	return u, nil
}
