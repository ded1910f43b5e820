package app

import (
	"context"
	"errors"

	"vigil/server/internal/envelope"
	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

// admitMost is how many signatures one look takes.
const admitMost = 100

// newAdmitter makes what verifies the signatures by which people's devices vouch for their new ones: SQL cannot. Every client
// verifies the same again, so that this keeps what a stolen token registers off rosters, and is believed by nobody.
func (f *flow) newAdmitter() *errand {
	return f.newErrand("admitter", f.admitDevices, "device_signatures")
}

// admitDevices looks once. A signature that fails for a cause of the database does not hold up those after it.
func (f *flow) admitDevices(ctx context.Context) (more bool, err error) {
	due, err := f.store.DevicesToAdmit(ctx, admitMost)
	if err != nil {
		return false, err
	}
	var faults []error
	for i := range due {
		if err := f.admitDevice(ctx, &due[i]); err != nil {
			faults = append(faults, err)
		}
	}
	return len(due) == admitMost, errors.Join(faults...)
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
