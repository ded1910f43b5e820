package identity

import "errors"

// What a token can be refused for; test with errors.Is.
var (
	ErrExpired     = errors.New("token has expired")
	ErrMalformed   = errors.New("no token")
	ErrSignature   = errors.New("signature is of no key of this project")
	ErrClaims      = errors.New("claims are not those of this project")
	ErrUnavailable = errors.New("keys of the project could not be fetched")
)

// Error is a refusal. It holds nothing of the token.
type Error struct {
	kind  error
	text  string // for the client
	cause error
}

func refuse(kind error, text string, cause error) *Error { return &Error{kind, text, cause} }

// Error says what was refused.
func (e *Error) Error() string {
	if e.cause != nil && errors.Is(e.kind, ErrUnavailable) {
		return "verify token: " + e.kind.Error() + ": " + e.cause.Error()
	}
	return "verify token: " + e.kind.Error()
}

// Unwrap gives the sentinel.
func (e *Error) Unwrap() error { return e.kind }

// Temporary says that the same token may be accepted later.
func (e *Error) Temporary() bool { return errors.Is(e.kind, ErrUnavailable) }

// Refusal gives the code of realtime/ERRORS.md and the words for the client.
func (e *Error) Refusal() (code, text string) {
	switch {
	case errors.Is(e.kind, ErrMalformed):
		return "MalformedJWT", e.text
	case errors.Is(e.kind, ErrSignature):
		return "JwtSignatureError", e.text
	default:
		return "InvalidJWTToken", e.text
	}
}
