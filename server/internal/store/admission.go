package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/triage"
)

// DevicesToAdmit returns at most `most` signatures that vouch for a device that waits and that nobody has verified yet, the
// oldest first.
func (s *Store) DevicesToAdmit(ctx context.Context, most int) ([]triage.Admission, error) {
	const query = `
		select signature_id, device_id, user_id, kind, enc_pub, sig_pub, by_device_id, by_sig_pub, signature
		from private.devices_to_admit($1)`
	found, err := collect(ctx, s, func(row pgx.CollectableRow) (a triage.Admission, err error) {
		err = row.Scan(&a.SignatureID, &a.DeviceID, &a.UserID, &a.Kind, &a.EncPub, &a.SigPub, &a.ByDeviceID, &a.BySigPub, &a.Signature)
		return a, err
	}, query, most)
	if err != nil {
		return nil, fmt.Errorf("read devices that wait: %w", err)
	}
	return found, nil
}

// AdmitDevice lets a device take part, for which the device `by` has vouched; false when there is nothing to do (any more): it
// was admitted or revoked meanwhile, or the other was.
func (s *Store) AdmitDevice(ctx context.Context, device, by uuid.UUID) (admitted bool, err error) {
	if err = s.pool.QueryRow(ctx, `select private.admit_device($1, $2)`, device, by).Scan(&admitted); err != nil {
		return false, fmt.Errorf("admit device %s: %w", device, classify(err))
	}
	return admitted, nil
}

// RefuseDevice says of a signature that it vouches for nothing. The same again is no error.
func (s *Store) RefuseDevice(ctx context.Context, signature uuid.UUID, reason triage.AdmissionRefusal) error {
	if _, err := s.pool.Exec(ctx, `select private.refuse_device($1, $2)`, signature, string(reason)); err != nil {
		return fmt.Errorf("refuse signature %s: %w", signature, classify(err))
	}
	return nil
}
