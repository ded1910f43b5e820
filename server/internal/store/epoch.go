package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Epoch is a row of session_epochs with the wraps of analysis devices, as they stand in SQL: text is base64url.
type Epoch struct {
	SessionID  uuid.UUID
	Epoch      int32
	DeviceID   uuid.UUID // who made it
	Roster     json.RawMessage
	RosterHash string
	KeyCommit  string
	ConsentID  uuid.UUID // uuid.Nil for none
	Signature  string
	Suite      int
	Wraps      map[uuid.UUID]string // of analysis devices only, by device: vigil may read no others
}

// Consent is a row of session_consents.
type Consent struct {
	ID, SessionID, DeviceID uuid.UUID
	Scope                   []string
	TextHash, Signature     string
	Withdrawn               bool
	WithdrawalSignature     string
}

// ErrNoEpoch is wrapped by Epoch's error when there is no such row. It is not permanent: the row may not be visible yet.
var ErrNoEpoch = errors.New("no such epoch")

// Epoch reads what it takes to open messages of an epoch, from one snapshot: its row, the wraps for analysis devices, and
// the consent that it names (nil for none).
func (s *Store) Epoch(ctx context.Context, session uuid.UUID, epoch int32) (Epoch, *Consent, error) {
	const query = `
		select e.device_id, e.roster, e.roster_hash, e.key_commit, e.consent_id, e.signature, e.suite,
		  coalesce((
		    select jsonb_object_agg(w.device_id, w.wrap) from public.epoch_wraps w
		    where w.session_id = e.session_id and w.epoch = e.epoch and w.role = 9
		  ), '{}'),
		  c.id, c.device_id, c.scope, c.text_hash, c.signature, c.withdrawn_at is not null, c.withdrawal_signature
		from public.session_epochs e
		left join public.session_consents c on c.session_id = e.session_id and c.id = e.consent_id
		where e.session_id = $1
		  and e.epoch = $2`
	e := Epoch{SessionID: session, Epoch: epoch}
	var named, consent, device *uuid.UUID
	var hash, signature, withdrawal *string
	var withdrawn bool
	var scope []string
	err := s.pool.QueryRow(ctx, query, session, epoch).Scan(
		&e.DeviceID, &e.Roster, &e.RosterHash, &e.KeyCommit, &named, &e.Signature, &e.Suite, &e.Wraps,
		&consent, &device, &scope, &hash, &signature, &withdrawn, &withdrawal,
	)
	if errors.Is(err, pgx.ErrNoRows) {
		return e, nil, fmt.Errorf("read epoch %d of session %s: %w", epoch, session, ErrNoEpoch)
	}
	if err != nil {
		return e, nil, fmt.Errorf("read epoch %d of session %s: %w", epoch, session, classify(err))
	}
	if named != nil {
		e.ConsentID = *named
	}
	if consent == nil {
		return e, nil, nil
	}
	c := &Consent{
		ID: *consent, SessionID: session, DeviceID: *device, Scope: scope, TextHash: *hash, Signature: *signature, Withdrawn: withdrawn,
	}
	if withdrawal != nil {
		c.WithdrawalSignature = *withdrawal
	}
	return e, c, nil
}

// RegisterAnalysisDevice makes the sidecar's key known, as base64url text of its two public keys. The same again is no
// error; other keys under a known id, or a revoked id, are.
func (s *Store) RegisterAnalysisDevice(ctx context.Context, id uuid.UUID, encPub, sigPub string) error {
	if _, err := s.pool.Exec(ctx, `select private.register_analysis_device($1, $2, $3)`, id, encPub, sigPub); err != nil {
		return fmt.Errorf("register analysis device %s: %w", id, classify(err))
	}
	return nil
}

// RegisterNextAnalysisDevice is RegisterAnalysisDevice with the signature of an earlier key, by, under the new one, in one
// transaction: nobody sees the one without the other. A signature of a key that is not earlier, or is revoked, is passed over.
func (s *Store) RegisterNextAnalysisDevice(ctx context.Context, id uuid.UUID, encPub, sigPub string, by uuid.UUID, signature string) error {
	if _, err := s.pool.Exec(ctx, `select private.register_analysis_device($1, $2, $3, $4, $5)`, id, encPub, sigPub, by, signature); err != nil {
		return fmt.Errorf("register analysis device %s after %s: %w", id, by, classify(err))
	}
	return nil
}

// RevokedDevices returns those of the devices that are revoked.
func (s *Store) RevokedDevices(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error) {
	revoked, err := collect(ctx, s, pgx.RowTo[uuid.UUID], `select id from public.devices where id = any($1) and revoked_at is not null`, ids)
	if err != nil {
		return nil, fmt.Errorf("ask which of %d devices are revoked: %w", len(ids), err)
	}
	return revoked, nil
}

// AnalysisDevices counts the analysis devices that are not revoked.
func (s *Store) AnalysisDevices(ctx context.Context) (n int, err error) {
	if err := s.pool.QueryRow(ctx, `select count(*) from public.devices where kind = 'analysis' and revoked_at is null`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count analysis devices: %w", classify(err))
	}
	return n, nil
}
