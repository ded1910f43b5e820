package envelope

import "errors"

// Failure is a reason for which an envelope, an epoch or a consent is refused. The sentinels below are its only values:
// compare with errors.Is, or ask Reason for the code that is stored and shown.
type Failure struct {
	reason    string
	text      string
	temporary bool
}

// Error says what is wrong, without any byte of the refused thing.
func (f *Failure) Error() string { return f.text }

// Reason returns the stable code of the failure, such as "signature": what assessments.reason holds.
func (f *Failure) Reason() string { return f.reason }

// Permanent reports whether the same rows will always be refused. Only ErrKey is temporary: another key file may be loaded.
func (f *Failure) Permanent() bool { return !f.temporary }

// The refusals. All are permanent, for the rows they judge never change, except ErrKey. ErrConsent is permanent because a
// withdrawal is final; a caller who read the consent before its transaction was visible must check that first.
var (
	// ErrFormat: bytes or text that are not pe1 (length, base64url, JSON, a point off the curve, an unknown role).
	ErrFormat = &Failure{reason: "format", text: "malformed"}
	// ErrSuite: a suite other than 2, or a body of another version.
	ErrSuite = &Failure{reason: "suite", text: "unsupported suite"}
	// ErrRoster: the roster is not the one that was hashed, or it lacks the device in question in a fitting role.
	ErrRoster = &Failure{reason: "roster", text: "roster disagrees"}
	// ErrSignature: a signature over an epoch or a message that does not verify.
	ErrSignature = &Failure{reason: "signature", text: "signature does not verify"}
	// ErrPin: a device has other keys than when it was first seen.
	ErrPin = &Failure{reason: "pin", text: "keys of a device have changed"}
	// ErrConsent: the roster holds an analysis key, and no valid, unwithdrawn consent of a client on it says so.
	ErrConsent = &Failure{reason: "consent", text: "no valid consent"}
	// ErrWrap: the wrapped key is absent, or does not unwrap for this device, session, epoch and roster.
	ErrWrap = &Failure{reason: "wrap", text: "epoch key does not unwrap"}
	// ErrCommitment: the unwrapped key is not the one that the epoch's maker committed to.
	ErrCommitment = &Failure{reason: "commitment", text: "commitment disagrees"}
	// ErrEpoch: the message belongs to another session or epoch than the one it was opened with.
	ErrEpoch = &Failure{reason: "epoch", text: "message of another epoch"}
	// ErrBody: the signature verifies and the ciphertext does not open: its sender sealed it wrongly.
	ErrBody = &Failure{reason: "body", text: "ciphertext does not open"}
	// ErrKey: no private key here for any analysis device of the roster. Temporary.
	ErrKey = &Failure{reason: "key", text: "no key for this roster", temporary: true}
)

// Reason returns the code of the Failure that err wraps, or "" if it wraps none.
func Reason(err error) string {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.reason
	}
	return ""
}
