package envelope

import (
	"fmt"

	"github.com/google/uuid"
)

// Grant lets a device beside an epoch's roster read it: a row of epoch_wraps with its row of epoch_readers. Text is base64url
// without padding. A wrong wrap harms nobody: the commitment of the epoch is checked by whoever opens it.
type Grant struct {
	Session uuid.UUID
	Epoch   uint32
	By      uuid.UUID // by_device_id: one's own device or recovery key, or the analysis key (RoleOnCall)
	Device  uuid.UUID // who may read
	Role    Role
	Alert   uuid.UUID // on whose account, for RoleOnCall; uuid.Nil for every other role
	Wrap    string
	// Signature is By's, over all of the above.
	Signature string
}

// signed is what a grant's signature covers.
func (g Grant) signed() (input, error) {
	if !g.Role.known() || g.Role == RoleAnalysis { // an analysis key stands on the roster or nowhere
		return nil, fmt.Errorf("grant to a reader of role %d: %w", g.Role, ErrFormat)
	}
	if (g.Role == RoleOnCall) != (g.Alert != uuid.Nil) {
		return nil, fmt.Errorf("grant under role %d that names an alert: %t: %w", g.Role, g.Alert != uuid.Nil, ErrFormat)
	}
	wrap, err := decodeSized("wrap", g.Wrap, WrapBytes)
	if err != nil {
		return nil, err
	}
	in := label("pe1/share").id(g.Session).number(g.Epoch).id(g.By).id(g.Device).octet(byte(g.Role))
	return in.id(g.Alert).hash(wrap), nil
}

// SignGrant wraps the epoch's key to the device that to is, under to.Role, signed by by. alert is on whose account, uuid.Nil
// unless that role is RoleOnCall (ErrFormat). ErrKey for a device that cannot sign.
func SignGrant(by *Device, e *Epoch, to Member, alert uuid.UUID) (Grant, error) {
	g := Grant{Session: e.Session, Epoch: e.Number, By: by.kid, Device: to.KID, Role: to.Role, Alert: alert}
	attempt := func(err error) (Grant, error) {
		return Grant{}, fmt.Errorf("let device %s read %s: %w", to.KID, e, err)
	}
	if by.sig == nil {
		return attempt(ErrKey)
	}
	wrap, err := e.Wrap(to)
	if err != nil {
		return attempt(err)
	}
	g.Wrap = EncodeText(wrap)
	in, err := g.signed()
	if err != nil {
		return attempt(err)
	}
	signature, err := by.sign(in)
	if err != nil {
		return attempt(err)
	}
	g.Signature = EncodeText(signature)
	return g, nil
}

// Verify checks that the device with the signing key bySigPub, which the caller knows to be g.By's, made the grant. Refusals:
// ErrFormat, ErrSignature. Whether that device may let anybody in under that role is the caller's to check.
func (g Grant) Verify(bySigPub []byte) error {
	in, err := g.signed()
	if err == nil {
		err = verifyText(bySigPub, in, g.Signature)
	}
	if err != nil {
		return fmt.Errorf("verify that device %s may read epoch %d of session %s: %w", g.Device, g.Epoch, g.Session, err)
	}
	return nil
}

// Grant lets a paged clinician's device read e, signed by the ring's key that stands on e's roster: the analysis device that
// the people of the session know. consents are the session's rows; one that a client's device on the roster signed, that
// covers crisis access and that nobody withdrew must be among them, or ErrConsent: the ring does not take the database's word
// for it. Other refusals: ErrFormat (no alert, a key off the curve), ErrKey (the key is not here any more).
func (r *Ring) Grant(e *Epoch, to Member, alert uuid.UUID, consents ...ConsentRow) (Grant, error) {
	if err := e.coversCrisis(consents); err != nil {
		return Grant{}, fmt.Errorf("let device %s read %s: %w", to.KID, e, err)
	}
	by := r.signer(e)
	if by == nil {
		return Grant{}, fmt.Errorf("let device %s read %s: %w", to.KID, e, ErrKey)
	}
	to.Role = RoleOnCall
	if err := r.pins.check(Roster{to}); err != nil {
		return Grant{}, fmt.Errorf("let device %s read %s: %w", to.KID, e, err)
	}
	g, err := SignGrant(by, e, to, alert)
	if err == nil {
		r.pins.add(Roster{to})
	}
	return g, err
}

// coversCrisis demands a consent of a client on the epoch's roster that lets a paged clinician read.
func (e *Epoch) coversCrisis(consents []ConsentRow) error {
	for _, c := range consents {
		if c.Session == e.Session && c.Covers(ScopeCrisisAccess) && c.Verify(e.Roster) == nil {
			return nil
		}
	}
	return fmt.Errorf("none of %d consents lets a paged clinician read: %w", len(consents), ErrConsent)
}

// signer is the ring's key that stands on the epoch's roster as an analysis device; nil if it is not here any more.
func (r *Ring) signer(e *Epoch) *Device {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range e.Roster {
		if d, ok := r.keys[m.KID]; ok && m.Role == RoleAnalysis {
			return d
		}
	}
	return nil
}
