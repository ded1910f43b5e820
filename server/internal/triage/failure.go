package triage

import "errors"

// Reason is a stable code for why a message was not assessed. It is stored, shown and counted; it never holds text.
type Reason string

// The reasons that have no package of their own; what the envelope refuses is recorded under envelope's own codes.
const (
	// ReasonUnopenable: it cannot be opened, for a cause that has no code of its own.
	ReasonUnopenable Reason = "unopenable"
	// ReasonContent: it opened, and what is inside is no text message.
	ReasonContent Reason = "content"
	// ReasonDetector: the detector failed on it.
	ReasonDetector Reason = "detector"
	// ReasonUnrecordable: it was assessed, and the database refuses the row.
	ReasonUnrecordable Reason = "unrecordable"
	// ReasonScore: a device's score of it is not signed by that device, or by none that may score it.
	ReasonScore Reason = "score"
	// ReasonUnscored: its sender's device has not scored it. A score that comes late supersedes this.
	ReasonUnscored Reason = "unscored"
	// ReasonGaveUp: a temporary cause lasted too long.
	ReasonGaveUp Reason = "gave_up"
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

// ReasonOf gives the code of a permanent error, and ReasonGaveUp for any other.
func ReasonOf(err error) Reason {
	var p *permanent
	if errors.As(err, &p) {
		return p.reason
	}
	return ReasonGaveUp
}

// unavailable marks an error that says nothing about a message or a session: the database is away.
type unavailable struct{ error }

// Unwrap gives errors.Is and errors.As the cause.
func (u *unavailable) Unwrap() error { return u.error }

// Unavailable marks err as one that holds for every session alike: wait, and try the same again. It never counts against
// a message. Unavailable(nil) is nil.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &unavailable{err}
}

// IsUnavailable says whether err, or anything it wraps, was marked by Unavailable.
func IsUnavailable(err error) bool {
	var u *unavailable
	return errors.As(err, &u)
}
