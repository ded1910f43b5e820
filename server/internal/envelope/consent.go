package envelope

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// The consent scopes that exist.
const (
	ScopeAnalysis       = "analysis"
	ScopeCrisisAccess   = "crisis_access"
	ScopeExternalModels = "external_models"
)

// ConsentRow is a row of session_consents as it stands in SQL: text is base64url without padding.
type ConsentRow struct {
	ID        uuid.UUID
	Session   uuid.UUID
	Device    uuid.UUID // who signed: a client's device
	Scope     []string
	TextHash  string // SHA-256 of the text that the client was shown
	Signature string
	// Withdrawn is whether withdrawn_at is set. It is believed without a signature: withdrawing must never fail.
	Withdrawn           bool
	WithdrawalSignature string
}

// Covers reports whether the consent names the scope.
func (c ConsentRow) Covers(scope string) bool { return slices.Contains(c.Scope, scope) }

// signed is what a consent's signature covers; a withdrawal's is the same under another label.
func (c ConsentRow) signed(name string) (input, error) {
	hash, err := decodeSized("text_hash", c.TextHash, HashBytes)
	if err != nil {
		return nil, err
	}
	scope := slices.Sorted(slices.Values(c.Scope))
	if len(scope) == 0 {
		return nil, fmt.Errorf("consent without a scope: %w", ErrFormat)
	}
	in := label(name).id(c.ID).id(c.Session).id(c.Device).bytes(hash)
	for i, s := range scope {
		if s != ScopeAnalysis && s != ScopeCrisisAccess && s != ScopeExternalModels || i > 0 && s == scope[i-1] {
			return nil, fmt.Errorf("consent with an unknown or repeated scope: %w", ErrFormat)
		}
		in = in.label(s)
	}
	return in, nil
}

// SignConsent makes the row with which the device consents to text being used within scope.
func SignConsent(d *Device, id, session uuid.UUID, text string, scope ...string) (ConsentRow, error) {
	hash := sha256.Sum256([]byte(text))
	c := ConsentRow{ID: id, Session: session, Device: d.kid, Scope: scope, TextHash: EncodeText(hash[:])}
	in, err := c.signed("pe1/consent")
	if err != nil {
		return ConsentRow{}, err
	}
	signature, err := d.sign(in)
	if err != nil {
		return ConsentRow{}, fmt.Errorf("sign consent %s: %w", id, err)
	}
	c.Signature = EncodeText(signature)
	return c, nil
}

// SignWithdrawal returns the signature with which the consent's own device withdraws it.
func SignWithdrawal(d *Device, c ConsentRow) (string, error) {
	in, err := c.signed("pe1/consent-withdrawn")
	if err != nil {
		return "", err
	}
	signature, err := d.sign(in)
	if err != nil {
		return "", fmt.Errorf("sign withdrawal of consent %s: %w", c.ID, err)
	}
	return EncodeText(signature), nil
}

// Verify checks the consent's signature against the signer's row of the roster, which must have the client's role, and that
// it was not withdrawn; else ErrConsent. A withdrawal needs no valid signature to count.
func (c ConsentRow) Verify(roster Roster) error {
	signer, ok := roster.Member(c.Device)
	if !ok || signer.Role != RoleClient {
		return fmt.Errorf("consent %s is not by a client on the roster: %w", c.ID, ErrConsent)
	}
	in, err := c.signed("pe1/consent")
	if err != nil { // a malformed consent is none
		return fmt.Errorf("consent %s cannot be read: %w", c.ID, ErrConsent)
	}
	signature, err := decodeSized("signature", c.Signature, SignatureBytes)
	if err != nil || !verify(signer.SigPub, in, signature) {
		return fmt.Errorf("signature of consent %s does not verify: %w", c.ID, ErrConsent)
	}
	if c.Withdrawn || c.WithdrawalSignature != "" {
		return fmt.Errorf("consent %s was withdrawn: %w", c.ID, ErrConsent)
	}
	return nil
}
