package triage

import "github.com/google/uuid"

// Admission is a device that waits, and the signature by which another device of the same person vouches for it. Keys and
// signature are base64url.
type Admission struct {
	SignatureID      uuid.UUID
	DeviceID, UserID uuid.UUID
	Kind             string // devices.kind
	EncPub, SigPub   string

	ByDeviceID uuid.UUID // admitted and unrevoked at that moment
	BySigPub   string
	Signature  string
}

// AdmissionRefusal is why a signature admits nothing: device_signatures.refusal.
type AdmissionRefusal string

// The refusals.
const (
	AdmissionFormat    AdmissionRefusal = "format"    // keys, kind or signature cannot be read
	AdmissionSignature AdmissionRefusal = "signature" // it is not over this device, or not by that one
)
