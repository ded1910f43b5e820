// Package triage holds the nouns of the sidecar (Message, Assessment, Alert, CrisisPolicy) and their rules:
// whether an assessment pages somebody, what a session is about, and whether an error is permanent.
//
// Guarantees: pure (no I/O, no clock, no goroutine); nothing in here holds plaintext, so every value may be logged by
// its ids; a rule gives the same answer for the same arguments. Not guaranteed: that values are valid. The database
// checks them.
package triage

import (
	"time"

	"github.com/google/uuid"
)

// Level is the severity of self-harm on the Columbia scale (C-SSRS screener): 0 none, 1 wish to be dead, 2 active
// thoughts, 3 method, 4 some intent, 5 plan and intent, 6 behaviour.
type Level int16

// The levels by name.
const (
	LevelNone Level = iota
	LevelWishToBeDead
	LevelActiveThoughts
	LevelMethod
	LevelIntent
	LevelPlanAndIntent
	LevelBehaviour

	// LevelMax is the highest level.
	LevelMax = LevelBehaviour
)

// Message is a row of messages that has assisted = true: sealed, as it was committed.
type Message struct {
	ID             uuid.UUID
	SessionID      uuid.UUID
	OrganizationID uuid.UUID
	SenderID       uuid.UUID
	SenderDeviceID uuid.UUID
	Epoch          int32 // key generation, from 1
	Seq            int64 // per sender device and epoch, from 0

	// Position is dense per session, from 1. PreviousAssistedPosition is the position of the assisted message before
	// this one, 0 if there is none.
	Position                 int64
	PreviousAssistedPosition int64

	// Body is the envelope in base64url without padding: ciphertext, never plaintext.
	Body      string
	CreatedAt time.Time
}

// State is what a detector remembers of a session between its messages. It is opaque to everyone else, is kept in
// session_progress, and holds numbers only, never text. The zero value is a session of which nothing is known.
type State struct {
	Version int32 // of Data's layout; 0 when Data is empty
	Data    []byte
}

// Source says who made an assessment or raised an alert; it is part of their unique keys.
type Source string

// The sources this sidecar writes.
const (
	// SourceSidecar is the embedded detector.
	SourceSidecar Source = "sidecar"
	// SourceSender is the detector on the device that sent a message of a strict session.
	SourceSender Source = "sender"
	// SourceClinician is the detector on a device of the session's therapist.
	SourceClinician Source = "clinician"
	// SourceNotAssessed marks an alert that says "nobody looked at this message".
	SourceNotAssessed Source = "not_assessed"
)

// Outcome is what became of one message: an assessment, or the reason why there is none.
type Outcome struct {
	Message    Message
	Assessment Assessment // as Decide left it; zero when Reason is set

	// Reason is why the message could not be assessed, as a code; "" when it was.
	Reason Reason

	// Policy was in force.
	Policy CrisisPolicy

	// Source says whose finding it is; "" is SourceSidecar.
	Source Source
}

// Assessor is o's source, never "".
func (o Outcome) Assessor() Source {
	if o.Source == "" {
		return SourceSidecar
	}
	return o.Source
}

// Alert returns the alert that o raises. A message that nobody could assess always raises one: never silence.
func (o Outcome) Alert() (Alert, bool) {
	alert := Alert{
		OrganizationID: o.Message.OrganizationID, SessionID: o.Message.SessionID, MessageID: o.Message.ID,
		Source: o.Assessor(), Assessor: o.Assessor(), Level: o.Assessment.Level, PolicyVersion: o.Policy.Version,
		RulesetVersion: o.Assessment.RulesetVersion, ModelVersion: o.Assessment.ModelVersion,
	}
	if o.Reason != "" {
		alert.Source = SourceNotAssessed
		return alert, true
	}
	return alert, o.Assessment.Alert
}

// Alert is an assessment severe enough that a clinician must act, as it is raised.
type Alert struct {
	OrganizationID, SessionID, MessageID uuid.UUID
	Source                               Source
	Assessor                             Source // of the assessment that it rests on
	Level                                Level
	PolicyVersion                        int32
	RulesetVersion, ModelVersion         string
}
