package triage

import "github.com/google/uuid"

// DueGrant is an epoch's key that a clinician's device is to be given, because an alert paged that clinician, the clients who take
// part agreed to it, and the device does not have it yet.
type DueGrant struct {
	AlertID, SessionID, OrganizationID uuid.UUID
	Epoch                              int32

	DeviceID, UserID uuid.UUID
	EncPub, SigPub   string // base64url
}

// Grant is that key, sealed to the device and signed by the analysis device that stands on the epoch's roster.
type Grant struct {
	SessionID  uuid.UUID `json:"session_id"`
	Epoch      int32     `json:"epoch"`
	DeviceID   uuid.UUID `json:"device_id"`
	ByDeviceID uuid.UUID `json:"by_device_id"`
	Wrap       string    `json:"wrap"`
	Signature  string    `json:"signature"`
}
