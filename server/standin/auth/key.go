package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Key is a project's signing key: ES256, as hosted Supabase makes one.
type Key struct {
	ID      string
	private *ecdsa.PrivateKey
}

// jwk is a key as JSON. Source: RFC 7517 and 7518, section 6.2.
type jwk struct {
	Type       string   `json:"kty"`
	Curve      string   `json:"crv"`
	Algorithm  string   `json:"alg"`
	ID         string   `json:"kid"`
	Use        string   `json:"use"`
	Operations []string `json:"key_ops"`
	Ext        bool     `json:"ext"`
	X          string   `json:"x"`
	Y          string   `json:"y"`
	D          string   `json:"d,omitempty"`
}

const coordinateBytes = 32 // of P-256

var encoding = base64.RawURLEncoding

// NewKey makes a key with a new id.
func NewKey() (Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("auth: make a signing key: %w", err)
	}
	return Key{ID: uuid.NewString(), private: private}, nil
}

func (k Key) public(operation string) (jwk, error) {
	raw, err := k.private.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return jwk{}, fmt.Errorf("auth: write a signing key: %w", err)
	}
	return jwk{
		Type: "EC", Curve: "P-256", Algorithm: "ES256", ID: k.ID, Use: "sig", Operations: []string{operation}, Ext: true,
		X: encoding.EncodeToString(raw[1 : 1+coordinateBytes]), Y: encoding.EncodeToString(raw[1+coordinateBytes:]),
	}, nil
}

// JWKS is the public half, as /auth/v1/.well-known/jwks.json gives it.
func (k Key) JWKS() ([]byte, error) {
	half, err := k.public("verify")
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"keys": []jwk{half}})
}

// MarshalJSON writes the private key as a JWK: whoever has it can sign in as anybody.
func (k Key) MarshalJSON() ([]byte, error) {
	if k.private == nil {
		return []byte("null"), nil
	}
	whole, err := k.public("sign")
	if err != nil {
		return nil, err
	}
	d, err := k.private.Bytes()
	if err != nil {
		return nil, fmt.Errorf("auth: write a signing key: %w", err)
	}
	whole.D = encoding.EncodeToString(d)
	return json.Marshal(whole)
}

// UnmarshalJSON reads a private JWK on P-256.
func (k *Key) UnmarshalJSON(data []byte) error {
	var whole jwk
	if err := json.Unmarshal(data, &whole); err != nil {
		return errors.New("auth: the signing key is no JWK")
	}
	d, err := encoding.DecodeString(whole.D)
	if err != nil || whole.Type != "EC" || whole.Curve != "P-256" || whole.ID == "" {
		return errors.New("auth: the signing key is no private P-256 JWK with an id")
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		return errors.New("auth: the signing key is not on P-256")
	}
	k.ID, k.private = whole.ID, private
	return nil
}

// IsZero is true of a key that was not made.
func (k Key) IsZero() bool { return k.private == nil }

// Sign makes a token.
func (k Key) Sign(claims jwt.Claims) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = k.ID
	signed, err := token.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("auth: sign a token: %w", err)
	}
	return signed, nil
}

// Keyfunc is jwt.Keyfunc for this key alone.
func (k Key) Keyfunc(token *jwt.Token) (any, error) {
	if token.Method.Alg() != jwt.SigningMethodES256.Alg() {
		return nil, fmt.Errorf("unrecognized JWT kid %v for algorithm %s", token.Header["kid"], token.Method.Alg())
	}
	if token.Header["kid"] != k.ID {
		return nil, fmt.Errorf("unrecognized JWT kid %v for algorithm %s", token.Header["kid"], token.Method.Alg())
	}
	return &k.private.PublicKey, nil
}
