// Package identity says whom an access token of Supabase Auth speaks for, and whether an API key is this project's.
//
// It guarantees: a Subject comes only from a token whose signature was checked with a key of the project's JWKS (ES256,
// RS256, EdDSA), or with the legacy secret where one is configured (HS256, and never with a key from the JWKS); that is
// not expired; whose iss is the project's, aud is authenticated, role is authenticated; and that names sub, session_id and
// aal. A key that is not known is fetched once in a while, not once a token; a fetch that does not succeed keeps the keys.
//
// It does not guarantee that the login still exists (a token outlives its sign-out: grant queries check the session's
// row), and it never reads a membership role from a token.
package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Kind says what sort of caller a Subject is.
type Kind string

// The kinds of subject. Verify gives KindUser; the others are for API keys and the project's own services.
const (
	KindUser    Kind = "user"
	KindAPIKey  Kind = "api_key"
	KindService Kind = "service"
)

// audience is the aud and the role of everyone who is signed in: the Postgres role, not a membership's.
const audience = "authenticated"

// The levels of assurance that Supabase Auth writes into aal.
const (
	AAL1 = "aal1"
	AAL2 = "aal2"
)

// maxTokenBytes is longer than any token that fits into a request's header.
const maxTokenBytes = 16 << 10

// Subject is who a token speaks for. LoginID is the token's session_id. Claims is the token's payload as one JSON object
// without repeated keys, which is what Postgres is given as request.jwt.claims.
type Subject struct {
	ID        uuid.UUID
	LoginID   uuid.UUID
	AAL       string
	Kind      Kind
	ExpiresAt time.Time
	Claims    json.RawMessage
}

// Config is what a Verifier is made of. Issuer and JWKSURL are required.
type Config struct {
	Issuer  string // the tokens' iss, such as https://abc.supabase.co/auth/v1
	JWKSURL string
	Secret  string // legacy HS256; empty: HS256 is refused

	Client         Doer             // nil: one with a timeout of 10 s
	Refresh        time.Duration    // between fetches of the keys in Run; zero: 10 min, as long as the JWKS is cached at the edge
	UnknownKeyWait time.Duration    // at least this long between fetches because of a key that is not known; zero: 10 s
	Now            func() time.Time // nil: time.Now
}

// Verifier checks tokens. All methods may be called at once.
type Verifier struct {
	config Config
	keys   *keySet
	parser *jwt.Parser
}

// New makes a Verifier. It fetches nothing: the first token or Run does.
func New(c Config) (*Verifier, error) {
	if c.Issuer == "" || c.JWKSURL == "" {
		return nil, errors.New("make a verifier: issuer and JWKS URL are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	v := &Verifier{config: c, keys: newKeySet(c)}
	names := []string{"ES256", "RS256", "EdDSA"}
	if c.Secret != "" {
		names = append(names, "HS256")
	}
	v.parser = jwt.NewParser(jwt.WithValidMethods(names), jwt.WithExpirationRequired(), jwt.WithIssuer(c.Issuer),
		jwt.WithAudience(audience), jwt.WithTimeFunc(c.Now), jwt.WithJSONNumber(), jwt.WithStrictDecoding())
	return v, nil
}

// Run fetches the keys now and then until ctx ends.
func (v *Verifier) Run(ctx context.Context) error { return v.keys.run(ctx) }

// Verify checks a token. Test the error with errors.Is: ErrExpired, ErrMalformed, ErrSignature, ErrClaims, or
// ErrUnavailable, which is temporary.
func (v *Verifier) Verify(ctx context.Context, token string) (Subject, error) {
	if len(token) > maxTokenBytes {
		return Subject{}, refuse(ErrMalformed, "The token provided is not a valid JWT", nil)
	}
	claims := jwt.MapClaims{}
	_, err := v.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) { return v.key(ctx, t) })
	if err != nil {
		return Subject{}, v.fault(err, claims)
	}
	return subjectOf(claims)
}

// key finds the key that must have signed a token. HS256 meets only the configured secret, everything else only the JWKS.
func (v *Verifier) key(ctx context.Context, t *jwt.Token) (any, error) {
	if t.Method.Alg() == "HS256" {
		if v.config.Secret == "" {
			return nil, refuse(ErrSignature, "Failed to validate JWT signature", nil)
		}
		return []byte(v.config.Secret), nil
	}
	return v.keys.find(ctx, t)
}

// fault turns the parser's error into one of ours.
func (v *Verifier) fault(err error, claims jwt.MapClaims) error {
	var ours *Error
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return refuse(ErrSignature, "Failed to validate JWT signature", err)
	case errors.Is(err, jwt.ErrTokenExpired):
		seconds := 0
		if at, err := claims.GetExpirationTime(); err == nil && at != nil {
			seconds = int(v.config.Now().Sub(at.Time).Seconds())
		}
		return refuse(ErrExpired, "Token has expired "+strconv.Itoa(seconds)+" seconds ago", nil)
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return refuse(ErrClaims, "Fields `role` and `exp` are required in JWT", nil)
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		return refuse(ErrClaims, "The token is not for this project", nil)
	default:
		return refuse(ErrMalformed, "The token provided is not a valid JWT", nil)
	}
}

// subjectOf reads what a checked token must say.
func subjectOf(claims jwt.MapClaims) (Subject, error) {
	text := func(name string) string { s, _ := claims[name].(string); return s }
	if text("role") != audience {
		return Subject{}, refuse(ErrClaims, "The role must be authenticated", nil)
	}
	id, errID := parseUUID(text("sub"))
	login, errLogin := parseUUID(text("session_id"))
	if errID != nil || errLogin != nil {
		return Subject{}, refuse(ErrClaims, "Fields `sub` and `session_id` are required in JWT", nil)
	}
	aal := text("aal")
	if aal != AAL1 && aal != AAL2 {
		return Subject{}, refuse(ErrClaims, "Field `aal` is required in JWT", nil)
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return Subject{}, refuse(ErrClaims, "Fields `role` and `exp` are required in JWT", nil)
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		return Subject{}, refuse(ErrMalformed, "The token provided is not a valid JWT", nil)
	}
	return Subject{ID: id, LoginID: login, AAL: aal, Kind: KindUser, ExpiresAt: expires.Time, Claims: raw}, nil
}

// parseUUID accepts the one spelling that Auth writes: two spellings would be two people in a cache.
func parseUUID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || id == uuid.Nil || id.String() != s {
		return uuid.Nil, fmt.Errorf("no canonical uuid")
	}
	return id, nil
}
