package triage

import (
	"time"

	"github.com/google/uuid"
)

// Progress is a session's row of session_progress: up to which position its assisted messages are assessed, and the
// detector's state and the session's topics there.
type Progress struct {
	SessionID      uuid.UUID
	OrganizationID uuid.UUID
	Position       int64 // 0: none yet
	State          State
	Topics         SessionTopics
}

// Advance moves one session from one position to a later one, with what became of the messages between. It takes effect
// as a whole, and only if the session still stands at From: that is what makes an assessment exactly one.
type Advance struct {
	SessionID uuid.UUID
	From, To  int64
	State     State
	Topics    SessionTopics
	// Outcomes are in the order of their positions. None: the messages between were erased, and are passed over.
	Outcomes []Outcome
}

// Recorded is what became of one Advance.
type Recorded struct {
	// Moved: the session stood at From. If not, somebody else has moved it, and nothing of this Advance was written.
	Moved bool
	// Alerts that were raised, and how many of them reach nobody, because the organisation has nobody to be told.
	Alerts, Unreached int
}

// Backlog is what a session has yet to be assessed, as one snapshot of the database shows it.
type Backlog struct {
	Progress
	// Last is the position of the session's last assisted message. Every message up to it that is not erased is visible in
	// the same snapshot.
	Last int64
	// Messages are the first ones after Progress.Position, in order; none means that all up to Last were erased.
	Messages []Message
}

// Behind is a session whose last assisted message is not assessed.
type Behind struct {
	SessionID uuid.UUID
	Position  int64 // assessed
	Last      int64
	Since     time.Time // when the oldest message that is not assessed was stored; zero when all of them were erased
}
