package identity_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"vigil/server/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer = "https://project.example/auth/v1"
	secret = "a-legacy-secret-of-some-length-00"
)

// Keys are made once: RSA is slow.
var (
	ecKey, _      = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, _     = rsa.GenerateKey(rand.Reader, 2048)
	_, edKey, _   = ed25519.GenerateKey(rand.Reader)
	strangeKey, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func jwk(kid string, key crypto.Signer) map[string]string {
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			panic(err)
		}
		return map[string]string{"kty": "EC", "kid": kid, "alg": "ES256", "use": "sig", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "kid": kid, "alg": "RS256", "n": b64(public.N.Bytes()), "e": b64(big.NewInt(int64(public.E)).Bytes())}
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "kid": kid, "alg": "EdDSA", "crv": "Ed25519", "x": b64(public)}
	default:
		panic("unknown key")
	}
}

// project is a JWKS endpoint with a clock.
type project struct {
	mu      sync.Mutex
	keys    []map[string]string
	fails   bool
	fetches int
	now     time.Time
}

func (p *project) Do(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetches++
	if p.fails {
		return nil, errors.New("connection refused")
	}
	body, err := json.Marshal(map[string]any{"keys": p.keys})
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(body))), Request: r}, err
}

func (p *project) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *project) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func setup(t testing.TB, legacy string) (*identity.Verifier, *project) {
	t.Helper()
	p := &project{now: time.Now(), keys: []map[string]string{jwk("ec", ecKey), jwk("rsa", rsaKey), jwk("ed", edKey),
		{"kty": "oct", "kid": "shared", "alg": "HS256", "k": b64([]byte(secret))}, {"kty": "EC", "kid": "odd", "crv": "P-999"}}}
	v, err := identity.New(identity.Config{Issuer: issuer, JWKSURL: issuer + "/.well-known/jwks.json", Secret: legacy, Client: p, Now: p.clock})
	if err != nil {
		t.Fatal(err)
	}
	return v, p
}

var person, login = uuid.MustParse("0190a1b2-0000-7000-8000-000000000001"), uuid.MustParse("0190a1b2-0000-7000-8000-0000000000a1")

func claims(now time.Time, change jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"iss": issuer, "aud": "authenticated", "role": "authenticated", "sub": person.String(), "session_id": login.String(),
		"aal": "aal2", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "app_metadata": map[string]any{"n": 9007199254740993}}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func sign(t testing.TB, method jwt.SigningMethod, kid string, key any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestVerifyAcceptsEveryAlgorithm(t *testing.T) {
	t.Parallel()
	v, p := setup(t, secret)
	for name, token := range map[string]string{
		"ES256": sign(t, jwt.SigningMethodES256, "ec", ecKey, claims(p.now, nil)),
		"RS256": sign(t, jwt.SigningMethodRS256, "rsa", rsaKey, claims(p.now, nil)),
		"EdDSA": sign(t, jwt.SigningMethodEdDSA, "ed", edKey, claims(p.now, nil)),
		"HS256": sign(t, jwt.SigningMethodHS256, "", []byte(secret), claims(p.now, nil)),
	} {
		s, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.ID != person || s.LoginID != login || s.AAL != identity.AAL2 || s.Kind != identity.KindUser ||
			s.ExpiresAt.Unix() != p.now.Add(time.Hour).Unix() || !strings.Contains(string(s.Claims), "9007199254740993") {
			t.Errorf("%s: got %+v %s", name, s, s.Claims)
		}
	}
	if p.fetches != 1 {
		t.Errorf("fetched %d times", p.fetches)
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	v, p := setup(t, "")
	ec := func(change jwt.MapClaims) string {
		return sign(t, jwt.SigningMethodES256, "ec", ecKey, claims(p.now, change))
	}
	public, err := ecKey.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	good := ec(nil)
	for name, c := range map[string]struct {
		token string
		want  error
		code  string
	}{
		"nothing":               {"", identity.ErrMalformed, "MalformedJWT"},
		"an API key":            {"sb_secret_x", identity.ErrMalformed, "MalformedJWT"},
		"too long":              {strings.Repeat("a", 1<<20), identity.ErrMalformed, "MalformedJWT"},
		"half a token":          {good[:len(good)/2], identity.ErrMalformed, "MalformedJWT"},
		"another signature":     {good[:len(good)-8] + "AAAAAAAA", identity.ErrSignature, "JwtSignatureError"},
		"a stranger's key":      {sign(t, jwt.SigningMethodES256, "ec", strangeKey, claims(p.now, nil)), identity.ErrSignature, "JwtSignatureError"},
		"an unknown kid":        {sign(t, jwt.SigningMethodES256, "new", ecKey, claims(p.now, nil)), identity.ErrSignature, "JwtSignatureError"},
		"no kid":                {sign(t, jwt.SigningMethodES256, "", ecKey, claims(p.now, nil)), identity.ErrSignature, "JwtSignatureError"},
		"another key's kid":     {sign(t, jwt.SigningMethodES256, "rsa", ecKey, claims(p.now, nil)), identity.ErrSignature, "JwtSignatureError"},
		"no algorithm":          {sign(t, jwt.SigningMethodNone, "ec", jwt.UnsafeAllowNoneSignatureType, claims(p.now, nil)), identity.ErrSignature, "JwtSignatureError"},
		"HS256 unconfigured":    {sign(t, jwt.SigningMethodHS256, "", []byte(secret), claims(p.now, nil)), identity.ErrSignature, "JwtSignatureError"},
		"HS256 by the JWKS":     {sign(t, jwt.SigningMethodHS256, "shared", []byte(secret), claims(p.now, nil)), identity.ErrSignature, "JwtSignatureError"},
		"HS256 by a public key": {sign(t, jwt.SigningMethodHS256, "ec", public, claims(p.now, nil)), identity.ErrSignature, "JwtSignatureError"},
		"HS512":                 {sign(t, jwt.SigningMethodHS512, "ec", []byte(secret), claims(p.now, nil)), identity.ErrSignature, "JwtSignatureError"},
		"expired":               {ec(jwt.MapClaims{"exp": p.now.Add(-3 * time.Second).Unix()}), identity.ErrExpired, "InvalidJWTToken"},
		"no exp":                {ec(jwt.MapClaims{"exp": nil}), identity.ErrClaims, "InvalidJWTToken"},
		"not yet":               {ec(jwt.MapClaims{"nbf": p.now.Add(time.Hour).Unix()}), identity.ErrClaims, "InvalidJWTToken"},
		"another issuer":        {ec(jwt.MapClaims{"iss": "https://other.example/auth/v1"}), identity.ErrClaims, "InvalidJWTToken"},
		"no issuer":             {ec(jwt.MapClaims{"iss": nil}), identity.ErrClaims, "InvalidJWTToken"},
		"another audience":      {ec(jwt.MapClaims{"aud": "anon"}), identity.ErrClaims, "InvalidJWTToken"},
		"anon":                  {ec(jwt.MapClaims{"role": "anon"}), identity.ErrClaims, "InvalidJWTToken"},
		"service_role":          {ec(jwt.MapClaims{"role": "service_role"}), identity.ErrClaims, "InvalidJWTToken"},
		"no role":               {ec(jwt.MapClaims{"role": nil}), identity.ErrClaims, "InvalidJWTToken"},
		"no sub":                {ec(jwt.MapClaims{"sub": nil}), identity.ErrClaims, "InvalidJWTToken"},
		"a sub in capitals":     {ec(jwt.MapClaims{"sub": strings.ToUpper(person.String())}), identity.ErrClaims, "InvalidJWTToken"},
		"the sub of nobody":     {ec(jwt.MapClaims{"sub": uuid.Nil.String()}), identity.ErrClaims, "InvalidJWTToken"},
		"no session":            {ec(jwt.MapClaims{"session_id": nil}), identity.ErrClaims, "InvalidJWTToken"},
		"no aal":                {ec(jwt.MapClaims{"aal": nil}), identity.ErrClaims, "InvalidJWTToken"},
		"aal3":                  {ec(jwt.MapClaims{"aal": "aal3"}), identity.ErrClaims, "InvalidJWTToken"},
	} {
		s, err := v.Verify(t.Context(), c.token)
		if !errors.Is(err, c.want) || s.Kind != "" {
			t.Errorf("%s: got %+v, %v, want %v", name, s, err, c.want)
			continue
		}
		var e *identity.Error
		if !errors.As(err, &e) || e.Temporary() {
			t.Errorf("%s: %v is temporary or of another type", name, err)
			continue
		}
		if code, text := e.Refusal(); code != c.code || text == "" {
			t.Errorf("%s: refusal %q %q", name, code, text)
		}
		if c.token != "" && strings.Contains(err.Error(), c.token) {
			t.Errorf("%s: the error holds the token", name)
		}
	}
	_, err = v.Verify(t.Context(), ec(jwt.MapClaims{"exp": p.now.Add(-3 * time.Second).Unix()}))
	var e *identity.Error
	if errors.As(err, &e); e == nil {
		t.Fatalf("got %v", err)
	} else if _, text := e.Refusal(); !strings.HasPrefix(text, "Token has expired ") || !strings.HasSuffix(text, " seconds ago") {
		t.Errorf("got %q", text)
	}
}

func TestRepeatedClaimsReachPostgresOnce(t *testing.T) {
	t.Parallel()
	v, p := setup(t, secret)
	body, err := json.Marshal(claims(p.now, nil))
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.TrimSuffix(string(body), "}") + `,"sub":"` + login.String() + `"}`
	head := b64([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64([]byte(forged))
	signature, err := jwt.SigningMethodHS256.Sign(head, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	s, err := v.Verify(t.Context(), head+"."+b64(signature))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(s.Claims), `"sub"`) != 1 || !strings.Contains(string(s.Claims), s.ID.String()) {
		t.Errorf("got %s for %s", s.Claims, s.ID)
	}
}

func TestUnknownKeyIsFetchedAgainButNotForEachToken(t *testing.T) {
	t.Parallel()
	v, p := setup(t, "")
	old := sign(t, jwt.SigningMethodES256, "ec", ecKey, claims(p.now, nil))
	fresh := sign(t, jwt.SigningMethodES256, "new", strangeKey, claims(p.now, nil))
	verify := func(token string, want error, fetches int) {
		t.Helper()
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if p.fetches != fetches {
			t.Errorf("fetched %d times, want %d", p.fetches, fetches)
		}
	}
	verify(old, nil, 1)
	for range 5 {
		verify(fresh, identity.ErrSignature, 1)
	}
	p.change(func() { p.now = p.now.Add(11 * time.Second); p.keys = append(p.keys, jwk("new", strangeKey)) })
	verify(fresh, nil, 2)
	p.change(func() { p.now = p.now.Add(11 * time.Second); p.fails = true })
	verify(fresh, nil, 2) // known keys need no fetch
	verify(old, nil, 2)
	verify(sign(t, jwt.SigningMethodES256, "newer", strangeKey, claims(p.now, nil)), identity.ErrUnavailable, 3)
	verify(old, nil, 3) // and outlive a fetch that failed
	p.change(func() {
		p.now = p.now.Add(11 * time.Second)
		p.fails = false
		p.keys = []map[string]string{jwk("new", strangeKey)}
	})
	verify(sign(t, jwt.SigningMethodES256, "newer", strangeKey, claims(p.now, nil)), identity.ErrSignature, 4)
	verify(old, identity.ErrSignature, 4) // a key that was withdrawn
}

func TestKeysThatCannotBeFetchedAreATemporaryError(t *testing.T) {
	t.Parallel()
	v, p := setup(t, "")
	p.fails = true
	token := sign(t, jwt.SigningMethodES256, "ec", ecKey, claims(p.now, nil))
	_, err := v.Verify(t.Context(), token)
	var e *identity.Error
	if !errors.As(err, &e) || !e.Temporary() || !errors.Is(err, identity.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	p.change(func() { p.fails = false; p.now = p.now.Add(11 * time.Second) })
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
}

func TestManyTokensWaitForOneFetch(t *testing.T) {
	t.Parallel()
	v, p := setup(t, "")
	token := sign(t, jwt.SigningMethodES256, "ec", ecKey, claims(p.now, nil))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if p.fetches != 1 {
		t.Errorf("fetched %d times", p.fetches)
	}
}

func TestRunFetchesAndEnds(t *testing.T) {
	t.Parallel()
	fetched := make(chan struct{}, 100)
	v, err := identity.New(identity.Config{Issuer: issuer, JWKSURL: issuer, Refresh: time.Millisecond, Client: doer(func(*http.Request) (*http.Response, error) {
		fetched <- struct{}{}
		return nil, errors.New("away")
	})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- v.Run(ctx) }() // awaited below
	<-fetched
	<-fetched
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	anon := func(role string, key string, exp time.Duration) string {
		return sign(t, jwt.SigningMethodHS256, "", []byte(key), jwt.MapClaims{"role": role, "iss": "supabase", "exp": time.Now().Add(exp).Unix()})
	}
	keys, err := identity.NewAPIKeys(secret, "sb_publishable_a", "", "sb_secret_b", "legacy.anon.key")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{
		"": false, "sb_publishable_a": true, "sb_secret_b": true, "legacy.anon.key": true, "sb_publishable_": false, "sb_publishable_ab": false,
		anon("anon", secret, time.Hour): true, anon("service_role", secret, time.Hour): true, anon("authenticated", secret, time.Hour): false,
		anon("anon", "another", time.Hour): false, anon("anon", secret, -time.Hour): false, strings.Repeat("x", 1<<20): false,
	} {
		if got := keys.Valid(key); got != want {
			t.Errorf("%.40q: got %v", key, got)
		}
	}
	if _, err := identity.NewAPIKeys("", ""); err == nil {
		t.Error("no keys were accepted")
	}
	plain, err := identity.NewAPIKeys("", "sb_publishable_a")
	if err != nil {
		t.Fatal(err)
	}
	if plain.Valid(anon("anon", "", time.Hour)) {
		t.Error("a key signed with nothing was accepted")
	}
}

func FuzzVerify(f *testing.F) {
	v, p := setup(f, "")
	good := sign(f, jwt.SigningMethodES256, "ec", ecKey, claims(p.now, nil))
	f.Add(good)
	f.Add(sign(f, jwt.SigningMethodHS256, "shared", []byte(secret), claims(p.now, nil)))
	f.Add("..")
	f.Add(`eyJhbGciOiJub25lIn0.e30.`)
	f.Fuzz(func(t *testing.T, token string) {
		s, err := v.Verify(t.Context(), token)
		var e *identity.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("error %v is of another type", err)
		}
		// whoever gets in must have what the one good token has: nobody else has the key
		if err == nil && (s.ID != person || s.LoginID != login || !strings.HasPrefix(token, good[:strings.LastIndexByte(good, '.')])) {
			t.Fatalf("accepted %q", token)
		}
	})
}
