package envelope

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"

	"github.com/google/uuid"
)

// Sizes in bytes of pe1's parts.
const (
	KeyBytes       = 32 // an epoch key, a message key, a private scalar
	HashBytes      = sha256.Size
	PointBytes     = 65 // an uncompressed P-256 point
	SignatureBytes = 64 // raw r‖s
	NonceBytes     = 12
	TagBytes       = 16
	WrapBytes      = PointBytes + KeyBytes + TagBytes
)

// strict is base64url without padding that refuses trailing bits.
var strict = base64.RawURLEncoding.Strict()

// EncodeText writes bytes as the base64url text, without padding, that stands in columns.
func EncodeText(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// DecodeText reads base64url text without padding; anything else, line breaks included, is ErrFormat.
func DecodeText(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") { // the standard decoder skips these
		return nil, fmt.Errorf("base64url text: %w", ErrFormat)
	}
	data, err := strict.DecodeString(text)
	if err != nil { // its text quotes the input's offset, which says nothing here
		return nil, fmt.Errorf("base64url text: %w", ErrFormat)
	}
	return data, nil
}

// decodeSized is DecodeText for a field of known length.
func decodeSized(field, text string, size int) ([]byte, error) {
	data, err := DecodeText(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if len(data) != size {
		return nil, fmt.Errorf("%s of %d bytes instead of %d: %w", field, len(data), size, ErrFormat)
	}
	return data, nil
}

// parseUUID takes the 36-character form only; uuid.Parse knows three more.
func parseUUID(field, text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return uuid.Nil, fmt.Errorf("%s is no uuid: %w", field, ErrFormat)
	}
	return id, nil
}

// input builds the byte strings that are hashed, signed and given to HPKE.
type input []byte

// label starts an input: s followed by one zero byte.
func label(s string) input { return append([]byte(s), 0) }

func (b input) label(s string) input  { return append(append(b, s...), 0) }
func (b input) id(id uuid.UUID) input { return append(b, id[:]...) }
func (b input) octet(n byte) input    { return append(b, n) }
func (b input) number(n uint32) input { return binary.BigEndian.AppendUint32(b, n) }
func (b input) long(n uint64) input   { return binary.BigEndian.AppendUint64(b, n) }
func (b input) hash(data []byte) input {
	sum := sha256.Sum256(data)
	return append(b, sum[:]...)
}
func (b input) bytes(data []byte) input { return append(b, data...) }

// sign returns the raw r‖s signature of d's signing key.
func (d *Device) sign(data []byte) ([]byte, error) {
	digest := sha256.Sum256(data)
	r, s, err := ecdsa.Sign(rand.Reader, d.sig, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	out := make([]byte, SignatureBytes)
	r.FillBytes(out[:SignatureBytes/2])
	s.FillBytes(out[SignatureBytes/2:])
	return out, nil
}

// verify reports whether signature (raw r‖s) is point's over data. A point that is none verifies nothing.
func verify(point, data, signature []byte) bool {
	if len(signature) != SignatureBytes {
		return false
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return false
	}
	return verifyKey(key, data, signature)
}

func verifyKey(key *ecdsa.PublicKey, data, signature []byte) bool {
	digest := sha256.Sum256(data)
	r := new(big.Int).SetBytes(signature[:SignatureBytes/2])
	s := new(big.Int).SetBytes(signature[SignatureBytes/2:])
	return ecdsa.Verify(key, digest[:], r, s)
}

// checkPoint refuses what is not an uncompressed point of P-256.
func checkPoint(field string, point []byte) error {
	if len(point) != PointBytes {
		return fmt.Errorf("%s of %d bytes instead of %d: %w", field, len(point), PointBytes, ErrFormat)
	}
	if _, err := ecdh.P256().NewPublicKey(point); err != nil {
		return fmt.Errorf("%s is no point of P-256: %w", field, ErrFormat)
	}
	return nil
}

// Wipe overwrites data with zeros: best effort, for Go may have copied it before.
func Wipe(data []byte) { clear(data) }
