package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/triage"
)

// AnalysisKeys returns all keys of the sidecar that the project knows, the newest first. keep is how long after a session's end
// it may still have to be read.
func (s *Store) AnalysisKeys(ctx context.Context, keep time.Duration) ([]triage.AnalysisKey, error) {
	const query = `
		select k.id, k.enc_pub, k.sig_pub, k.created_at, k.retired_at, k.revoked_at, k.needed
		from private.analysis_keys($1 * interval '1 microsecond') k`
	keys, err := collect(ctx, s, func(row pgx.CollectableRow) (k triage.AnalysisKey, err error) {
		var retired, revoked *time.Time
		err = row.Scan(&k.ID, &k.EncPub, &k.SigPub, &k.CreatedAt, &retired, &revoked, &k.Needed)
		if retired != nil {
			k.RetiredAt = *retired
		}
		if revoked != nil {
			k.RevokedAt = *revoked
		}
		return k, err
	}, query, keep.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("read analysis keys: %w", err)
	}
	return keys, nil
}

// RetireAnalysisKey keeps the key out of new epochs; sessions that use it go on until RetireEpochs comes by. Again is no error. The
// only one that new epochs can have is refused (triage.IsPermanent), and so is one that the project does not know.
func (s *Store) RetireAnalysisKey(ctx context.Context, id uuid.UUID) error {
	if _, err := s.pool.Exec(ctx, `select private.retire_analysis_device($1)`, id); err != nil {
		return fmt.Errorf("retire analysis key %s: %w", id, classify(err))
	}
	return nil
}

// retirePage is how many sessions are locked at once: a few milliseconds of them.
const retirePage = 50

// RetireEpochs makes every session that uses a retired key make its next epoch before its next message, page by page, so that no
// conversation waits for those of others. busy is how many were in use at that moment and are left to the next call.
func (s *Store) RetireEpochs(ctx context.Context) (busy int, err error) {
	for after := new(uuid.UUID); after != nil; {
		var passed int
		if err := s.pool.QueryRow(ctx, `select last, busy from private.retire_epochs_of_retired_keys($1, $2)`, *after, retirePage).Scan(&after, &passed); err != nil {
			return 0, fmt.Errorf("retire epochs of retired analysis keys: %w", classify(err))
		}
		busy += passed
	}
	return busy, nil
}

// AnalysisKeyAwaited says whether a message that is sealed to the key has still to be assessed.
func (s *Store) AnalysisKeyAwaited(ctx context.Context, id uuid.UUID) (awaited bool, err error) {
	const query = `
		select exists (
		  select
		  from public.epoch_wraps w
		  join public.session_progress p on p.session_id = w.session_id
		  join public.session_counters c on c.session_id = w.session_id and c.last_assisted_position > p.assessed_position
		  join public.messages m on m.session_id = w.session_id and m.epoch = w.epoch and m.assisted and m.position > p.assessed_position
		  where w.device_id = $1 and w.role = 9
		)`
	if err := s.pool.QueryRow(ctx, query, id).Scan(&awaited); err != nil {
		return false, fmt.Errorf("look for what waits for analysis key %s: %w", id, classify(err))
	}
	return awaited, nil
}

// DestroyAnalysisKey notes that a retired key which nothing needs is gone for good, and says whether it is, now or before:
// then its file may go, too. False: it is not retired, or something may still have to be read with it.
func (s *Store) DestroyAnalysisKey(ctx context.Context, id uuid.UUID, keep time.Duration) (gone bool, err error) {
	const query = `select private.destroy_analysis_device($1, $2 * interval '1 microsecond')`
	if err := s.pool.QueryRow(ctx, query, id, keep.Microseconds()).Scan(&gone); err != nil {
		return false, fmt.Errorf("destroy analysis key %s: %w", id, classify(err))
	}
	return gone, nil
}
