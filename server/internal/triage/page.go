package triage

import (
	"time"

	"github.com/google/uuid"
)

// Page is a call to somebody outside the app that an alert waits, at one step of its escalation. It holds ids, a level and
// times only.
type Page struct {
	AlertID, OrganizationID, SessionID uuid.UUID
	Step                               int16 // from 1

	Level      *Level // nil: the message could not be assessed
	RaisedAt   time.Time
	Recipients []uuid.UUID // whom the alert reaches now

	// Attempt is which try this is, from 1; it is the claim's fence. Age is how long ago the page was committed, by the
	// database's clock. Answered: somebody has acknowledged or resolved the alert meanwhile.
	Attempt  int32
	Age      time.Duration
	Answered bool
}

// PageStatus is what stands in alert_pages.
type PageStatus string

// The statuses of a page.
const (
	PagePending PageStatus = "pending"
	PageSent    PageStatus = "sent"
	PageFailed  PageStatus = "failed" // nobody will try again by himself
)

// PageResult is what became of one attempt.
type PageResult struct {
	Status PageStatus
	Code   string        // why it is not sent: lower-case letters, digits and _, 64 at most; "" for PageSent
	Wait   time.Duration // until a pending page is tried again
}

// Unsent are the pages that have yet to be sent.
type Unsent struct {
	Count  int
	Oldest time.Duration // how long the oldest has waited; 0 when there is none
}
