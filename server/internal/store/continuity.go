package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Continuity is a row of sidecar_state: how far the sidecar has read, from which database, onto which stream. The bus holds
// the same; if the two disagree, continuity is not proven.
type Continuity struct {
	Slot        string
	SystemID    string
	Timeline    int32
	StreamNonce string
	LastLSN     string // as Postgres prints it
	Checkpoint  int64
	HeartbeatAt time.Time // zero: never
	UpdatedAt   time.Time // set by SaveContinuity
}

// Continuity returns the row of slot; ok is false when there is none.
func (s *Store) Continuity(ctx context.Context, slot string) (c Continuity, ok bool, err error) {
	const query = `
		select coalesce(system_id, ''), coalesce(timeline, 0), coalesce(stream_nonce, ''), coalesce(last_lsn, ''),
		  coalesce(checkpoint, 0), heartbeat_at, updated_at
		from public.sidecar_state
		where slot = $1`
	c.Slot = slot
	var heartbeat *time.Time
	err = s.pool.QueryRow(ctx, query, slot).Scan(&c.SystemID, &c.Timeline, &c.StreamNonce, &c.LastLSN, &c.Checkpoint, &heartbeat, &c.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("read state of slot %s: %w", slot, classify(err))
	}
	if heartbeat != nil {
		c.HeartbeatAt = *heartbeat
	}
	return c, true, nil
}

// SaveContinuity writes the row of c.Slot. The last writer wins: one process holds the slot.
func (s *Store) SaveContinuity(ctx context.Context, c Continuity) error {
	const query = `
		insert into public.sidecar_state (slot, system_id, timeline, stream_nonce, last_lsn, checkpoint, heartbeat_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $7, now())
		on conflict (slot) do update set
		  system_id = excluded.system_id,
		  timeline = excluded.timeline,
		  stream_nonce = excluded.stream_nonce,
		  last_lsn = excluded.last_lsn,
		  checkpoint = excluded.checkpoint,
		  heartbeat_at = coalesce(excluded.heartbeat_at, sidecar_state.heartbeat_at),
		  updated_at = now()`
	var heartbeat *time.Time
	if !c.HeartbeatAt.IsZero() {
		heartbeat = &c.HeartbeatAt
	}
	if _, err := s.pool.Exec(ctx, query, c.Slot, c.SystemID, c.Timeline, c.StreamNonce, c.LastLSN, c.Checkpoint, heartbeat); err != nil {
		return fmt.Errorf("write state of slot %s: %w", c.Slot, classify(err))
	}
	return nil
}

// ErrOvertaken is returned by RaiseContinuity when the row is not as this process left it.
var ErrOvertaken = errors.New("the checkpoint is not the one that was written last")

// RaiseContinuity is SaveContinuity for a checkpoint that must follow on the row's, of the same stream, by one, or be the
// row's own, which a caller who did not come to its other half writes again: else it changes nothing and is ErrOvertaken.
func (s *Store) RaiseContinuity(ctx context.Context, c Continuity) error {
	const query = `
		update public.sidecar_state
		set last_lsn = $4, checkpoint = $3, heartbeat_at = $5, updated_at = now()
		where slot = $1
		  and stream_nonce = $2
		  and checkpoint in ($3 - 1, $3)`
	tag, err := s.pool.Exec(ctx, query, c.Slot, c.StreamNonce, c.Checkpoint, c.LastLSN, c.HeartbeatAt)
	if err != nil {
		return fmt.Errorf("raise checkpoint of slot %s: %w", c.Slot, classify(err))
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("raise checkpoint of slot %s: %w", c.Slot, ErrOvertaken)
	}
	return nil
}

// Heartbeat emits a transactional logical message, so that an idle database's slot moves on. content is JSON of ids and times.
func (s *Store) Heartbeat(ctx context.Context, content string) error {
	if _, err := s.pool.Exec(ctx, `select pg_logical_emit_message(true, 'vigil.heartbeat', $1)`, content); err != nil {
		return fmt.Errorf("emit heartbeat: %w", classify(err))
	}
	return nil
}

// PolicyFingerprint changes whenever policies, functions, row security, grants or role memberships do.
func (s *Store) PolicyFingerprint(ctx context.Context) (fingerprint string, err error) {
	if err := s.pool.QueryRow(ctx, `select private.policy_fingerprint()`).Scan(&fingerprint); err != nil {
		return "", fmt.Errorf("read policy fingerprint: %w", classify(err))
	}
	return fingerprint, nil
}

// LiveLogins returns those of the logins that have not ended.
func (s *Store) LiveLogins(ctx context.Context, logins []string) ([]string, error) {
	live, err := collect(ctx, s, pgx.RowTo[string], `select login::text from private.live_logins($1::text[]::uuid[]) as login`, logins)
	if err != nil {
		return nil, fmt.Errorf("ask which of %d logins are live: %w", len(logins), err)
	}
	return live, nil
}
