package app

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/internal/triage"
)

// opener opens messages for the pipeline: keys from the ring, the epochs they need from the store.
type opener struct {
	ring  *envelope.Ring
	store *store.Store
}

// Open verifies and opens m. What the envelope refuses is permanent under the envelope's own reason, but for a key that
// is not here; a row that is not there yet is temporary.
func (o opener) Open(ctx context.Context, m triage.Message) ([]byte, error) {
	if m.Seq < 0 || m.Seq > math.MaxUint32 {
		return nil, classified(envelope.ErrFormat)
	}
	e, err := o.epoch(ctx, m)
	if err != nil {
		return nil, classified(err)
	}
	plaintext, err := e.Open(envelope.Message{
		ID: m.ID, Session: m.SessionID, Sender: m.SenderDeviceID, Epoch: e.Number, Seq: uint32(m.Seq), Body: m.Body,
	})
	return plaintext, classified(err)
}

// epoch is m's, opened.
func (o opener) epoch(ctx context.Context, m triage.Message) (*envelope.Epoch, error) {
	if m.Epoch < 0 {
		return nil, envelope.ErrFormat
	}
	return o.ring.Epoch(ctx, m.SessionID, uint32(m.Epoch), func(ctx context.Context) (envelope.EpochRow, *envelope.ConsentRow, error) {
		return o.read(ctx, m.SessionID, m.Epoch)
	})
}

// Forget makes the next message of a session read its epoch and consent again.
func (o opener) Forget(session uuid.UUID) { o.ring.Forget(session) }

// ForgetAll does so for every session.
func (o opener) ForgetAll() { o.ring.ForgetAll() }

func classified(err error) error {
	var f *envelope.Failure
	if errors.As(err, &f) && f.Permanent() {
		return triage.PermanentFor(triage.Reason(f.Reason()), err)
	}
	return err
}

func (o opener) read(ctx context.Context, session uuid.UUID, number int32) (envelope.EpochRow, *envelope.ConsentRow, error) {
	e, c, err := o.store.Epoch(ctx, session, number)
	if err != nil {
		return envelope.EpochRow{}, nil, fmt.Errorf("read epoch: %w", err)
	}
	row := envelope.EpochRow{
		Session: e.SessionID, Epoch: uint32(e.Epoch), By: e.DeviceID, Roster: e.Roster, RosterHash: e.RosterHash, //nolint:gosec // checked by the caller
		Commit: e.KeyCommit, Consent: e.ConsentID, Signature: e.Signature, Suite: e.Suite, Wraps: e.Wraps,
	}
	if c == nil {
		return row, nil, nil
	}
	consent := consentRow(c)
	return row, &consent, nil
}

// consentRow is a consent as the envelope reads it.
func consentRow(c *store.Consent) envelope.ConsentRow {
	return envelope.ConsentRow{
		ID: c.ID, Session: c.SessionID, Device: c.DeviceID, Scope: c.Scope, TextHash: c.TextHash, Signature: c.Signature,
		Withdrawn: c.Withdrawn, WithdrawalSignature: c.WithdrawalSignature,
	}
}
