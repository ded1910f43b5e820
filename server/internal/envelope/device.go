package envelope

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
)

// Device is the private half of a device: a participant's, or the sidecar's analysis key. Made by NewDevice or ParseDevice;
// safe for concurrent use. It prints as its kid and never as a key.
type Device struct {
	kid  uuid.UUID
	enc  *ecdh.PrivateKey
	hpke hpke.PrivateKey
	sig  *ecdsa.PrivateKey // nil only for the analysis key of the first test vector
}

// NewDevice makes the two key pairs of a device whose row in devices will have the id kid.
func NewDevice(kid uuid.UUID) (*Device, error) {
	enc, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate encryption key of device %s: %w", kid, err)
	}
	sig, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate signing key of device %s: %w", kid, err)
	}
	return newDevice(kid, enc, sig)
}

func newDevice(kid uuid.UUID, enc *ecdh.PrivateKey, sig *ecdsa.PrivateKey) (*Device, error) {
	key, err := hpke.NewDHKEMPrivateKey(enc)
	if err != nil {
		return nil, fmt.Errorf("prepare encryption key of device %s: %w", kid, err)
	}
	return &Device{kid: kid, enc: enc, hpke: key, sig: sig}, nil
}

// KID is the device's id, which is its key id as well.
func (d *Device) KID() uuid.UUID { return d.kid }

// EncPub is the device's encryption key, 65 bytes.
func (d *Device) EncPub() []byte { return d.enc.PublicKey().Bytes() }

// SigPub is the device's signing key, 65 bytes; nil for a device that cannot sign (the first test vector's only).
func (d *Device) SigPub() []byte {
	if d.sig == nil {
		return nil
	}
	point, err := d.sig.PublicKey.Bytes()
	if err != nil { // only for a curve other than the NIST ones
		return nil
	}
	return point
}

// Member is the device as a roster lists it.
func (d *Device) Member(role Role) Member {
	return Member{KID: d.kid, Role: role, EncPub: d.EncPub(), SigPub: d.SigPub()}
}

// String gives the kid, so that a device printed by mistake shows no key.
func (d *Device) String() string { return "device " + d.kid.String() }

// GoString is String: %#v shows no key either.
func (d *Device) GoString() string { return d.String() }

// keyJSON is one key of a key file: private scalars as base64url, 32 bytes each.
type keyJSON struct {
	KID string `json:"kid"`
	Enc string `json:"enc"`
	Sig string `json:"sig"`
}

// Marshal writes the device with its PRIVATE keys, as a key file holds it: {"kid","enc","sig"}. It is no MarshalJSON, lest
// a device that stands in a larger struct is written by mistake.
func (d *Device) Marshal() ([]byte, error) {
	if d.sig == nil {
		return nil, fmt.Errorf("marshal device %s: %w", d.kid, ErrKey)
	}
	sig, err := d.sig.Bytes()
	if err != nil {
		return nil, fmt.Errorf("marshal device %s: %w", d.kid, err)
	}
	return json.Marshal(keyJSON{KID: d.kid.String(), Enc: EncodeText(d.enc.Bytes()), Sig: EncodeText(sig)})
}

// ParseDevice reads what Marshal wrote. What is wrong with it is ErrFormat; its text is never quoted.
func ParseDevice(data []byte) (*Device, error) {
	var k keyJSON
	if err := decodeJSON("key", data, &k); err != nil {
		return nil, err
	}
	return k.device()
}

func (k keyJSON) device() (*Device, error) {
	kid, err := parseUUID("kid", k.KID)
	if err != nil {
		return nil, err
	}
	encBytes, err := decodeSized("enc", k.Enc, KeyBytes)
	if err != nil {
		return nil, err
	}
	sigBytes, err := decodeSized("sig", k.Sig, KeyBytes)
	if err != nil {
		return nil, err
	}
	enc, err := ecdh.P256().NewPrivateKey(encBytes)
	if err != nil {
		return nil, fmt.Errorf("enc is no key of P-256: %w", ErrFormat)
	}
	sig, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sigBytes)
	if err != nil {
		return nil, fmt.Errorf("sig is no key of P-256: %w", ErrFormat)
	}
	return newDevice(kid, enc, sig)
}
