package triage

import (
	"time"

	"github.com/google/uuid"
)

// Suggesting is organizations.suggestions: whether, and when, drafts are made for clinicians.
type Suggesting string

// The settings.
const (
	SuggestingOff      Suggesting = "off"
	SuggestingOnDemand Suggesting = "on_demand" // when a clinician asks
	SuggestingElevated Suggesting = "elevated"  // also unasked, for what belongs on a review list
)

// SuggestionStatus is what stands in suggestions.status. What a clinician decides is the database's to write.
type SuggestionStatus string

// The statuses that the sidecar reads and writes.
const (
	SuggestionRequested SuggestionStatus = "requested"
	SuggestionOffered   SuggestionStatus = "offered"
	SuggestionNotMade   SuggestionStatus = "not_made"
	SuggestionWithdrawn SuggestionStatus = "withdrawn"
)

// SuggestionReason is why there is no suggestion.
type SuggestionReason string

// The reasons.
const (
	SuggestionStrict      SuggestionReason = "strict"
	SuggestionNoConsent   SuggestionReason = "no_consent"
	SuggestionNoDevice    SuggestionReason = "no_device"
	SuggestionNotOpened   SuggestionReason = "not_opened" // the message was not assessed, so nothing is known of it
	SuggestionBusy        SuggestionReason = "busy"
	SuggestionNothingFits SuggestionReason = "nothing_fits"
)

// SuggestionSource says who wrote a draft.
type SuggestionSource string

// The sources.
const (
	SuggestionBank  SuggestionSource = "bank"
	SuggestionModel SuggestionSource = "model"
)

// Suggestion is a draft as it is recorded: what it is and to whom it is sealed, never its text.
type Suggestion struct {
	ID        uuid.UUID // a request's, or a new one for what nobody asked for
	MessageID uuid.UUID // the client's message that it answers
	Status    SuggestionStatus
	Reason    SuggestionReason // for SuggestionNotMade only
	Source    SuggestionSource // for SuggestionOffered only, like the rest

	Move, BankVersion string // the therapist's move, and the bank it is from
	Model             string // that wrote it; "" for the bank's
	Seals             []Seal
}

// Seal is a draft's text, sealed to one device and signed: base64url.
type Seal struct {
	DeviceID  uuid.UUID `json:"device_id"`
	Sealed    string    `json:"sealed"`
	Signature string    `json:"signature"`
}

// SuggestionTask asks for one suggestion. Request is uuid.Nil when nobody asked.
type SuggestionTask struct {
	MessageID, Request uuid.UUID
	At                 time.Time // when it was asked for, or the message assessed
}

// SuggestionBasis is all that decides about a suggestion, as one snapshot of the database shows it.
type SuggestionBasis struct {
	Message    Message // the client's message, sealed
	Setting    Suggesting
	Strict     bool
	Ended      bool
	Consented  bool // every client who takes part has a live consent to analysis
	FromClient bool
	Answered   bool // a therapist has written since

	Request SuggestionStatus // of the request that was asked after; "" when there is none of that id
	Known   bool             // there is an unasked one, or an open one, for the message

	Assessed   bool // the message was assessed, or could not be
	Unopened   bool // it could not be
	Assessment Assessment
	Policy     CrisisPolicy

	Devices []uuid.UUID // unrevoked ones of therapists who take part; their keys are the roster's to say
	Used    []string    // moves of the session's earlier suggestions, the latest first
	Answers int         // messages by a therapist before this one, as far as they matter
	Model   string      // of the organisation's enabled route; "" for none
}

// Spoken is a message of a session, sealed, and by whom.
type Spoken struct {
	Message
	FromClient bool
}
