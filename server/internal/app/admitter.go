package app

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

// admitMost is how many signatures are asked for at once.
const admitMost = 100

// newAdmitter makes what verifies the signatures by which people's devices vouch for their new ones: SQL cannot. Every client
// verifies the same again, so that this keeps what a stolen token registers off rosters, and is believed by nobody.
func (f *flow) newAdmitter() *errand {
	return f.newErrand("admitter", f.admitDevices(admitMost), "device_signatures")
}

// admitDevices looks once, `most` at a time. A signature that fails for a cause of the database does not hold up those after it.
func (f *flow) admitDevices(most int) looking {
	return func(ctx context.Context) error {
		return drain(ctx, most, f.store.DevicesToAdmit, func(a *triage.Admission) uuid.UUID { return a.SignatureID },
			func(ctx context.Context, page []triage.Admission) (faults []error) {
				for i := range page {
					if err := f.admitDevice(ctx, &page[i]); err != nil {
						faults = append(faults, err)
					}
				}
				return faults
			})
	}
}

func (f *flow) admitDevice(ctx context.Context, a *triage.Admission) error {
	if refusal := refusalOf(a); refusal != "" {
		f.metrics.Admissions.WithLabelValues(string(refusal)).Inc()
		f.log.WarnContext(ctx, "device was not vouched for", logkey.Device, a.DeviceID, logkey.User, a.UserID, logkey.Reason, string(refusal))
		return f.store.RefuseDevice(ctx, a.SignatureID, refusal)
	}
	admitted, err := f.store.AdmitDevice(ctx, a.DeviceID, a.ByDeviceID)
	if err != nil {
		return err
	}
	if admitted {
		f.metrics.Admissions.WithLabelValues("admitted").Inc()
		f.log.InfoContext(ctx, "device admitted", logkey.Device, a.DeviceID, logkey.User, a.UserID)
	}
	return nil
}

// refusalOf says why a signature admits nothing; "" when it holds.
func refusalOf(a *triage.Admission) triage.AdmissionRefusal {
	terms := envelope.DeviceTerms{User: a.UserID, By: a.ByDeviceID, KID: a.DeviceID, Kind: envelope.DeviceKind(a.Kind)}
	var by []byte
	var faults [3]error
	terms.EncPub, faults[0] = envelope.DecodeText(a.EncPub)
	terms.SigPub, faults[1] = envelope.DecodeText(a.SigPub)
	by, faults[2] = envelope.DecodeText(a.BySigPub)
	if errors.Join(faults[:]...) != nil {
		return triage.AdmissionFormat
	}
	switch err := terms.Verify(by, a.Signature); {
	case err == nil:
		return ""
	case errors.Is(err, envelope.ErrSignature):
		return triage.AdmissionSignature
	}
	return triage.AdmissionFormat
}
