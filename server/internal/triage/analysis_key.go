package triage

import (
	"time"

	"github.com/google/uuid"
)

// AnalysisKey is a key of the sidecar's as the project knows it: a row of devices of that kind. Times are zero until they come.
type AnalysisKey struct {
	ID             uuid.UUID
	EncPub, SigPub string // base64url
	CreatedAt      time.Time
	RetiredAt      time.Time // new epochs leave it out
	RevokedAt      time.Time // destroyed, or revoked by an operator
	Needed         bool      // new epochs may have it, or something may still have to be read with it
}

// Live says whether new epochs may have the key. They have the newest that is live.
func (k AnalysisKey) Live() bool { return k.RetiredAt.IsZero() && k.RevokedAt.IsZero() }
