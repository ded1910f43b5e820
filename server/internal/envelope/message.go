package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"

	"github.com/google/uuid"
)

var p256 = ecdh.P256()

// The parts of a body: version ‖ signature ‖ nonce ‖ ciphertext ‖ tag.
const (
	bodyVersion = 0x01
	bodySealed  = 1 + SignatureBytes // where the nonce begins

	// BodyOverhead is what a body has over its plaintext.
	BodyOverhead = bodySealed + NonceBytes + TagBytes
	// MaxBodyBytes bounds a body before it is opened and after it is sealed, at both ends; it is 65,536 characters in SQL.
	MaxBodyBytes = 48 << 10
)

// Message is a row of messages as it stands in SQL, with what pe1 binds.
type Message struct {
	ID      uuid.UUID
	Session uuid.UUID
	Sender  uuid.UUID // sender_device_id
	Epoch   uint32
	Seq     uint32
	Body    string // base64url without padding
}

// aad binds a body to the row it stands in.
func (m Message) aad() input {
	return label("pe1/aad").id(m.Session).id(m.ID).id(m.Sender).number(m.Epoch).number(m.Seq)
}

// signed is what a message's signature covers; sealed is nonce ‖ ciphertext ‖ tag.
func signed(aad input, sealed []byte) input { return label("pe1/sig").bytes(aad).bytes(sealed) }

// parseBody splits a body into its signature and nonce ‖ ciphertext ‖ tag.
func parseBody(text string) (signature, sealed []byte, err error) {
	if len(text) > (MaxBodyBytes*4+2)/3 {
		return nil, nil, fmt.Errorf("body of %d characters: %w", len(text), ErrFormat)
	}
	body, err := DecodeText(text)
	if err != nil {
		return nil, nil, fmt.Errorf("body: %w", err)
	}
	if len(body) < BodyOverhead {
		return nil, nil, fmt.Errorf("body of %d bytes: %w", len(body), ErrFormat)
	}
	if body[0] != bodyVersion {
		return nil, nil, fmt.Errorf("body of version %d: %w", body[0], ErrSuite)
	}
	return body[1:bodySealed], body[bodySealed:], nil
}

// sender is a member of the roster, made ready to verify and open its messages.
type sender struct {
	sig  *ecdsa.PublicKey
	aead cipher.AEAD
}

func (e *Epoch) sender(kid uuid.UUID) (*sender, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wiped {
		return nil, ErrKey
	}
	if s, ok := e.senders[kid]; ok {
		return s, nil
	}
	m, ok := e.Roster.Member(kid)
	if !ok || !m.Role.participant() { // the analysis device never speaks
		return nil, fmt.Errorf("sender %s is no participant's device on the roster: %w", kid, ErrRoster)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), m.SigPub)
	if err != nil {
		return nil, fmt.Errorf("signing key of sender %s: %w", kid, ErrFormat)
	}
	aead, err := e.aead(kid)
	if err != nil {
		return nil, err
	}
	s := &sender{sig: key, aead: aead}
	e.senders[kid] = s
	return s, nil
}

// Open verifies and opens a message of this epoch. Refusals: ErrEpoch (another epoch's or session's row), ErrRoster (the
// sender may not speak here), ErrFormat, ErrSuite, ErrSignature, ErrBody, and ErrKey once the epoch's key was dropped. The plaintext is the caller's to Wipe.
func (e *Epoch) Open(m Message) ([]byte, error) {
	plaintext, err := e.open(m)
	if err != nil {
		return nil, fmt.Errorf("open message %s: %w", m.ID, err)
	}
	return plaintext, nil
}

func (e *Epoch) open(m Message) ([]byte, error) {
	if m.Session != e.Session || m.Epoch != e.Number {
		return nil, ErrEpoch
	}
	s, err := e.sender(m.Sender)
	if err != nil {
		return nil, err
	}
	signature, sealed, err := parseBody(m.Body)
	if err != nil {
		return nil, err
	}
	aad := m.aad()
	if !verifyKey(s.sig, signed(aad, sealed), signature) {
		return nil, ErrSignature
	}
	plaintext, err := s.aead.Open(nil, nil, sealed, aad)
	if err != nil { // its text says nothing more
		return nil, ErrBody
	}
	return plaintext, nil
}

// Seal seals plaintext as the device's message of that id and seq, which counts per sender device and epoch from 0. The
// device must be a participant's on the roster (ErrRoster). A plaintext over MaxBodyBytes − BodyOverhead is ErrFormat.
// For tests, load generators and replay: the sidecar itself never sends.
func (e *Epoch) Seal(d *Device, id uuid.UUID, seq uint32, plaintext []byte) (Message, error) {
	m := Message{ID: id, Session: e.Session, Sender: d.kid, Epoch: e.Number, Seq: seq}
	if len(plaintext) > MaxBodyBytes-BodyOverhead {
		return m, fmt.Errorf("seal message %s of %d bytes: %w", id, len(plaintext), ErrFormat)
	}
	s, err := e.sender(d.kid)
	if err != nil {
		return m, fmt.Errorf("seal message %s: %w", id, err)
	}
	aad := m.aad()
	sealed := s.aead.Seal(nil, nil, plaintext, aad)
	signature, err := d.sign(signed(aad, sealed))
	if err != nil {
		return m, fmt.Errorf("seal message %s: %w", id, err)
	}
	body := append(make([]byte, 0, BodyOverhead+len(plaintext)), bodyVersion)
	m.Body = EncodeText(append(append(body, signature...), sealed...))
	return m, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make message cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make message cipher: %w", err)
	}
	return aead, nil
}
