package auth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"vigil/server/standin/auth"
)

func newKey(t *testing.T) auth.Key {
	t.Helper()
	k, err := auth.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func jwks(t *testing.T, k auth.Key) []byte {
	t.Helper()
	set, err := k.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestAKeyThatWasWrittenAndReadSignsTheSameTokens(t *testing.T) {
	t.Parallel()
	made := newKey(t)
	data, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	var read auth.Key
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if string(jwks(t, read)) != string(jwks(t, made)) {
		t.Errorf("the public halves differ:\n%s\n%s", jwks(t, read), jwks(t, made))
	}
	token, err := read.Sign(jwt.MapClaims{"sub": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwt.Parse(token, made.Keyfunc); err != nil {
		t.Errorf("the first key does not know what the second signed: %v", err)
	}
}

func TestTheJWKSHoldsNoPrivateHalf(t *testing.T) {
	t.Parallel()
	if set := string(jwks(t, newKey(t))); strings.Contains(set, `"d"`) || !strings.Contains(set, `"alg":"ES256"`) {
		t.Errorf("JWKS = %s", set)
	}
}

func TestOnlyTheKeysOwnTokensAreKnown(t *testing.T) {
	t.Parallel()
	mine, other := newKey(t), newKey(t)
	foreign, err := other.Sign(jwt.MapClaims{"sub": "x"})
	if err != nil {
		t.Fatal(err)
	}
	symmetric, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "x"}).SignedString(jwks(t, mine))
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "x"}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"another key's": foreign, "HS256 with the JWKS as secret": symmetric, "unsigned": unsigned} {
		if _, err := jwt.Parse(token, mine.Keyfunc); err == nil {
			t.Errorf("a token that is %s was taken", name)
		}
	}
}

func TestWhatIsNoPrivateKeyIsRefused(t *testing.T) {
	t.Parallel()
	whole, err := json.Marshal(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(whole, &fields); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(map[string]any){
		"no private half":   func(f map[string]any) { delete(f, "d") },
		"no id":             func(f map[string]any) { delete(f, "kid") },
		"another curve":     func(f map[string]any) { f["crv"] = "P-384" },
		"another kind":      func(f map[string]any) { f["kty"] = "RSA" },
		"a zero":            func(f map[string]any) { f["d"] = strings.Repeat("A", 43) },
		"a short one":       func(f map[string]any) { f["d"] = "AAAA" },
		"what is no base64": func(f map[string]any) { f["d"] = "!" },
	} {
		changed := map[string]any{}
		for k, v := range fields {
			changed[k] = v
		}
		change(changed)
		data, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		var k auth.Key
		if err := json.Unmarshal(data, &k); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}
