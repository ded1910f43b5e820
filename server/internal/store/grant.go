package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/triage"
)

// CrisisGrantsDue returns at most `most` keys that paged clinicians' devices are to be given now, those of the newest alert first.
func (s *Store) CrisisGrantsDue(ctx context.Context, most int) ([]triage.DueGrant, error) {
	const query = `
		select alert_id, session_id, organization_id, epoch, device_id, user_id, enc_pub, sig_pub
		from private.crisis_grants_due($1)`
	found, err := collect(ctx, s, func(row pgx.CollectableRow) (g triage.DueGrant, err error) {
		err = row.Scan(&g.AlertID, &g.SessionID, &g.OrganizationID, &g.Epoch, &g.DeviceID, &g.UserID, &g.EncPub, &g.SigPub)
		return g, err
	}, query, most)
	if err != nil {
		return nil, fmt.Errorf("read whom an alert paged without the key: %w", err)
	}
	return found, nil
}

// GrantCrisisAccess gives the keys on account of an alert, and returns how many stand: what is not due any more, for the alert was
// resolved, the consent withdrawn or the device revoked meanwhile, is passed over.
func (s *Store) GrantCrisisAccess(ctx context.Context, alert uuid.UUID, grants []triage.Grant) (given int, err error) {
	rows, err := json.Marshal(grants)
	if err != nil {
		return 0, fmt.Errorf("encode %d keys on account of alert %s: %w", len(grants), alert, err)
	}
	if err = s.pool.QueryRow(ctx, `select private.grant_crisis_access($1, $2::jsonb)`, alert, string(rows)).Scan(&given); err != nil {
		return 0, fmt.Errorf("give %d keys on account of alert %s: %w", len(grants), alert, classify(err))
	}
	return given, nil
}

// Consents returns the session's consents, those that were withdrawn as well.
func (s *Store) Consents(ctx context.Context, session uuid.UUID) ([]Consent, error) {
	const query = `
		select id, session_id, device_id, scope, text_hash, signature, withdrawn_at is not null, coalesce(withdrawal_signature, '')
		from public.session_consents
		where session_id = $1
		order by given_at, id`
	found, err := collect(ctx, s, func(row pgx.CollectableRow) (c Consent, err error) {
		err = row.Scan(&c.ID, &c.SessionID, &c.DeviceID, &c.Scope, &c.TextHash, &c.Signature, &c.Withdrawn, &c.WithdrawalSignature)
		return c, err
	}, query, session)
	if err != nil {
		return nil, fmt.Errorf("read consents of session %s: %w", session, err)
	}
	return found, nil
}
