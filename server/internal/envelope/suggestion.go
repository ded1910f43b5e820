package envelope

import (
	"crypto/hpke"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"
)

// The parts of a sealed suggestion: an encapsulated key, then the text's ciphertext and tag.
const (
	// SuggestionOverhead is what a sealed suggestion has over its text.
	SuggestionOverhead = PointBytes + TagBytes
	// MaxSuggestionBytes bounds a sealed suggestion at both ends; it is 32,768 characters in SQL.
	MaxSuggestionBytes = 24 << 10
)

// Suggestion is a row of suggestion_seals as it stands in SQL: a draft's text, sealed to one device of a clinician. Text is
// base64url without padding.
type Suggestion struct {
	ID        uuid.UUID // suggestion_id
	Session   uuid.UUID
	Message   uuid.UUID // the client's message that it answers
	Device    uuid.UUID // who may open it
	Sealed    string
	Signature string
}

// info binds what is sealed to its place: the session, the message, the suggestion, the device.
func (s Suggestion) info() input {
	return label("pe1/suggestion").id(s.Session).id(s.Message).id(s.ID).id(s.Device)
}

// signed is what a suggestion's signature covers. HPKE's base mode does not say who sealed, so it is signed.
func (s Suggestion) signed(sealed []byte) input {
	hash := sha256.Sum256(sealed)
	return label("pe1/suggestion-sig").id(s.Session).id(s.Message).id(s.ID).id(s.Device).bytes(hash[:])
}

// SealSuggestion seals text to the device that to is, in the place that s names (its Device, Sealed and Signature are set
// here), signed by the analysis device by. ErrFormat for a text that is empty or too long, or a key off the curve; ErrKey for
// a device that cannot sign.
func SealSuggestion(by *Device, to Member, s Suggestion, text []byte) (Suggestion, error) {
	s.Device = to.KID
	attempt := func(err error) (Suggestion, error) {
		return Suggestion{}, fmt.Errorf("seal suggestion %s to device %s: %w", s.ID, s.Device, err)
	}
	if len(text) == 0 || len(text) > MaxSuggestionBytes-SuggestionOverhead {
		return attempt(fmt.Errorf("text of %d bytes: %w", len(text), ErrFormat))
	}
	if by.sig == nil {
		return attempt(ErrKey)
	}
	if err := checkPoint("enc_pub", to.EncPub); err != nil {
		return attempt(err)
	}
	public, err := hpke.DHKEM(p256).NewPublicKey(to.EncPub)
	if err != nil {
		return attempt(ErrFormat)
	}
	sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), s.info(), text)
	if err != nil {
		return attempt(err)
	}
	signature, err := by.sign(s.signed(sealed))
	if err != nil {
		return attempt(err)
	}
	s.Sealed, s.Signature = EncodeText(sealed), EncodeText(signature)
	return s, nil
}

// OpenSuggestion verifies that the analysis device with that signing key sealed s, and opens it as its device d. Refusals, in
// the order of the checks: ErrWrap (it is sealed to another device), ErrFormat, ErrSignature, ErrBody. For tests and replay:
// the sidecar itself opens none.
func OpenSuggestion(d *Device, sigPub []byte, s Suggestion) ([]byte, error) {
	text, err := s.open(d, sigPub)
	if err != nil {
		return nil, fmt.Errorf("open suggestion %s as %s: %w", s.ID, d, err)
	}
	return text, nil
}

func (s Suggestion) open(d *Device, sigPub []byte) ([]byte, error) {
	if s.Device != d.kid {
		return nil, ErrWrap
	}
	if len(s.Sealed) > (MaxSuggestionBytes*4+2)/3 {
		return nil, ErrFormat
	}
	sealed, err := DecodeText(s.Sealed)
	if err != nil {
		return nil, err
	}
	if len(sealed) < SuggestionOverhead {
		return nil, ErrFormat
	}
	signature, err := decodeSized("signature", s.Signature, SignatureBytes)
	if err != nil {
		return nil, err
	}
	if !verify(sigPub, s.signed(sealed), signature) {
		return nil, ErrSignature
	}
	text, err := hpke.Open(d.hpke, hpke.HKDFSHA256(), hpke.AES256GCM(), s.info(), sealed)
	if err != nil { // its text says nothing more
		return nil, ErrBody
	}
	return text, nil
}

// SealSuggestion seals text with the ring's key that stands on the roster of e, the epoch of the message that s answers: the
// analysis device that the people of the session know. ErrKey if that key is not here any more.
func (r *Ring) SealSuggestion(e *Epoch, to Member, s Suggestion, text []byte) (Suggestion, error) {
	by := r.signer(e)
	if by == nil {
		return Suggestion{}, fmt.Errorf("seal suggestion %s: %w", s.ID, ErrKey)
	}
	return SealSuggestion(by, to, s, text)
}
