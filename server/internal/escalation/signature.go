package escalation

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The headers of Standard Webhooks.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// ShortestSecret is how many bytes a secret has at least: notify refuses shorter ones.
const ShortestSecret = 16

const (
	secretPrefix     = "whsec_"
	signatureVersion = "v1,"
)

var (
	errNoSecret    = errors.New("no secret is set")
	errShortSecret = errors.New("a secret must have 16 characters at least")
	errNoBase64    = errors.New("what follows whsec_ in a secret must be base64")
)

// Signer signs requests as Standard Webhooks has it (standardwebhooks.com): "v1," and the base64 of HMAC-SHA256 over
// "id.timestamp.body". Safe for concurrent use.
type Signer struct{ keys [][]byte }

// NewSigner reads the secrets of a variable: one or, while it is rotated, several with white space or commas between them.
// What follows "whsec_" is base64; any other secret is its own bytes. Its error does not repeat a secret.
func NewSigner(secrets string) (*Signer, error) {
	s := &Signer{}
	for _, secret := range strings.FieldsFunc(secrets, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		key := []byte(secret)
		if text, ok := strings.CutPrefix(secret, secretPrefix); ok {
			var err error
			if key, err = base64.StdEncoding.DecodeString(text); err != nil {
				return nil, errNoBase64
			}
		}
		if len(key) < ShortestSecret {
			return nil, errShortSecret
		}
		s.keys = append(s.keys, key)
	}
	if len(s.keys) == 0 {
		return nil, errNoSecret
	}
	return s, nil
}

// Sign sets the three headers of a request that is sent at now: one signature for each secret.
func (s *Signer) Sign(h http.Header, id string, now time.Time, body []byte) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	signatures := make([]string, len(s.keys))
	for i, key := range s.keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		signatures[i] = signatureVersion + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, timestamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
}
