package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// The kinds of a device that another device may confirm, as a cross-signature holds them. A person's are confirmed by that
// person's; an analysis key by the one before it, and its terms name no person.
const (
	KindParticipant byte = 1
	KindRecovery    byte = 4
	KindAnalysis    byte = 9
)

// DeviceKind gives the kind as devices.kind spells it; 0, which nobody may sign, for any other.
func DeviceKind(name string) byte {
	switch name {
	case "participant":
		return KindParticipant
	case "recovery":
		return KindRecovery
	case "analysis":
		return KindAnalysis
	}
	return 0
}

// DeviceTerms are what a cross-signature says: By, a device of the person User, confirms that KID with these keys is that
// person's as well; of an analysis key, that it is the same operator's. It is a row of device_signatures with the row of devices
// that it names.
type DeviceTerms struct {
	User   uuid.UUID // zero for an analysis key, and for no other
	By     uuid.UUID // by_device_id
	KID    uuid.UUID // device_id
	Kind   byte      // KindParticipant, KindRecovery or KindAnalysis
	EncPub []byte    // 65 bytes
	SigPub []byte    // 65 bytes
}

// signed is what a cross-signature covers.
func (t DeviceTerms) signed() (input, error) {
	switch t.Kind {
	case KindParticipant, KindRecovery, KindAnalysis:
	default:
		return nil, fmt.Errorf("a device of kind %d is not confirmed by another: %w", t.Kind, ErrFormat)
	}
	if (t.Kind == KindAnalysis) != (t.User == uuid.Nil) {
		return nil, fmt.Errorf("a device of kind %d is of a person, or of none: %w", t.Kind, ErrFormat)
	}
	if t.By == t.KID {
		return nil, fmt.Errorf("a device does not confirm itself: %w", ErrFormat)
	}
	if err := checkPoint("enc_pub", t.EncPub); err != nil {
		return nil, err
	}
	if err := checkPoint("sig_pub", t.SigPub); err != nil {
		return nil, err
	}
	return label("pe1/device").id(t.User).id(t.By).id(t.KID).octet(t.Kind).hash(t.EncPub).hash(t.SigPub), nil
}

// SignDevice confirms t as by, whose id must be t.By; base64url. ErrFormat for terms that nobody may sign, ErrKey for a device
// that cannot sign. The sidecar itself confirms its own next key (Ring.Vouch) and nobody's device.
func SignDevice(by *Device, t DeviceTerms) (string, error) {
	in, err := t.signed()
	switch {
	case err != nil:
	case by.kid != t.By:
		err = fmt.Errorf("the terms name device %s as the signer: %w", t.By, ErrFormat)
	case by.sig == nil:
		err = ErrKey
	default:
		var signature []byte
		if signature, err = by.sign(in); err == nil {
			return EncodeText(signature), nil
		}
	}
	return "", fmt.Errorf("confirm device %s as %s: %w", t.KID, by, err)
}

// Verify checks that the device with the signing key bySigPub, which the caller knows to be t.By's, confirmed t. Refusals:
// ErrFormat, ErrSignature. Whether By is admitted, unrevoked and the same person's is the caller's to check.
func (t DeviceTerms) Verify(bySigPub []byte, signature string) error {
	in, err := t.signed()
	if err == nil {
		err = verifyText(bySigPub, in, signature)
	}
	if err != nil {
		return fmt.Errorf("verify that device %s confirmed device %s: %w", t.By, t.KID, err)
	}
	return nil
}

// verifyText is verify for a signature as columns hold it: ErrFormat or ErrSignature.
func verifyText(point, data []byte, text string) error {
	signature, err := decodeSized("signature", text, SignatureBytes)
	if err != nil {
		return err
	}
	if !verify(point, data, signature) {
		return ErrSignature
	}
	return nil
}

// crockford is base32 without the letters that are mistaken for digits.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// codeCharacters is how long a device's code is: 60 bits. Forty could be ground by whoever holds a stolen token.
const codeCharacters = 12

// DeviceCode is what a person reads off a waiting device and types on one that they trust: XXXX-XXXX-XXXX. It selects the
// waiting device, and its keys with it.
func DeviceCode(user, kid uuid.UUID, encPub, sigPub []byte) string {
	sum := sha256.Sum256(label("pe1/device-code").id(user).id(kid).hash(encPub).hash(sigPub))
	code := crockford.EncodeToString(sum[:])[:codeCharacters]
	return code[:4] + "-" + code[4:8] + "-" + code[8:]
}

// The parts of a safety number: six groups of five digits, each made from five bytes.
const (
	safetyGroups     = 6
	safetyGroupBytes = 5
	safetyModulus    = 100_000
)

// SafetyNumber is what two people compare by another way than this one: thirty digits over the live devices of both, in any
// order; the same digits at both ends mean the same keys at both ends.
func SafetyNumber(devices ...Member) string {
	sorted := slices.Clone(devices)
	slices.SortFunc(sorted, func(a, b Member) int { return bytes.Compare(a.KID[:], b.KID[:]) })
	in := label("pe1/safety")
	for _, m := range sorted {
		in = in.id(m.KID).hash(m.EncPub).hash(m.SigPub)
	}
	sum := sha256.Sum256(in)
	groups := make([]string, safetyGroups)
	for i := range groups {
		wide := append(make([]byte, 8-safetyGroupBytes, 8), sum[i*safetyGroupBytes:][:safetyGroupBytes]...)
		groups[i] = fmt.Sprintf("%05d", binary.BigEndian.Uint64(wide)%safetyModulus)
	}
	return strings.Join(groups, " ")
}

// Fingerprint is the safety number of one device: what `vigil keys fingerprint` prints of an analysis key and what every
// participant is shown of it.
func Fingerprint(m Member) string { return SafetyNumber(m) }
