package triage

import "errors"

// Reason is a stable code for why a message was not assessed. It is stored, shown and counted; it never holds text.
type Reason string

// The reasons.
const (
	// ReasonUnsigned: the body has no valid signature of the device that sent it.
	ReasonUnsigned Reason = "unsigned"
	// ReasonMalformed: the body, or the document inside it, is not what ENVELOPE.md says.
	ReasonMalformed Reason = "malformed"
	// ReasonForged: the epoch, roster, commitment or wrap does not belong together.
	ReasonForged Reason = "forged"
	// ReasonNoConsent: no valid, unwithdrawn consent of a client's device covers the message.
	ReasonNoConsent Reason = "no_consent"
	// ReasonNoKey: the epoch was not wrapped for a key this sidecar has.
	ReasonNoKey Reason = "no_key"
	// ReasonUnopenable: it cannot be opened, for a cause that has no code of its own.
	ReasonUnopenable Reason = "unopenable"
	// ReasonDetector: the detector failed on it.
	ReasonDetector Reason = "detector_failed"
	// ReasonTimeout: a temporary cause lasted too long.
	ReasonTimeout Reason = "gave_up"
)

// permanent marks an error that no retry will mend.
type permanent struct {
	error
	reason Reason
}

// Unwrap gives errors.Is and errors.As the cause.
func (p *permanent) Unwrap() error { return p.error }

// Permanent marks err as one that no retry will mend. Permanent(nil) is nil. Mark an error where it arises, so that a
// retry loop needs no list of causes.
func Permanent(err error) error { return PermanentFor(ReasonUnopenable, err) }

// PermanentFor is Permanent with the code that is recorded with the message.
func PermanentFor(reason Reason, err error) error {
	if err == nil {
		return nil
	}
	return &permanent{error: err, reason: reason}
}

// IsPermanent says whether err, or anything it wraps, was marked by Permanent or PermanentFor.
func IsPermanent(err error) bool {
	var p *permanent
	return errors.As(err, &p)
}

// ReasonOf gives the code of a permanent error, and ReasonTimeout for any other.
func ReasonOf(err error) Reason {
	var p *permanent
	if errors.As(err, &p) {
		return p.reason
	}
	return ReasonTimeout
}
