package auth

import (
	"errors"
	"strings"
	"testing"
)

const goodClaims = `"aud":"authenticated","exp":2,"iat":1,"sub":"s","email":"","phone":"","role":"authenticated","aal":"aal1","session_id":"i","is_anonymous":false`

func TestAHooksAnswerIsJudgedAsAuthJudgesIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer  string
		status  int
		message string
	}{
		"good claims":              {`{"claims":{` + goodClaims + `,"memberships":[1]}}`, 0, ""},
		"without an issuer":        {`{"claims":{` + goodClaims + `}}`, 0, ""},
		"nothing":                  {`{}`, 500, "- (root): aud is required"},
		"null":                     {`null`, 500, "- (root): session_id is required"},
		"no JSON":                  {`x`, 500, "Error unmarshaling JSON output."},
		"a time that is a text":    {`{"claims":{` + strings.Replace(goodClaims, `"exp":2`, `"exp":"2"`, 1) + `}}`, 500, "- exp: Invalid type. Expected: integer, given: string"},
		"a time with a fraction":   {`{"claims":{` + strings.Replace(goodClaims, `"iat":1`, `"iat":1.5`, 1) + `}}`, 500, "- iat: Invalid type. Expected: integer, given: number"},
		"a subject that is null":   {`{"claims":{` + strings.Replace(goodClaims, `"sub":"s"`, `"sub":null`, 1) + `}}`, 500, "- sub: Invalid type. Expected: string, given: null"},
		"metadata that is a list":  {`{"claims":{` + goodClaims + `,"app_metadata":[]}}`, 500, "- app_metadata: Invalid type. Expected: object, given: array"},
		"a role that went missing": {`{"claims":{` + strings.Replace(goodClaims, `"role":"authenticated",`, ``, 1) + `}}`, 500, "- (root): role is required"},
		"an error of its own":      {`{"error":{"http_code":403,"message":"not today"}}`, 403, "not today"},
		"an error without a code":  {`{"error":{"message":"not today"}}`, 500, "not today"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claims, err := readHook([]byte(c.answer))
			if c.status == 0 {
				if err != nil || claims["sub"] != "s" {
					t.Fatalf("claims = %v, error %v", claims, err)
				}
				return
			}
			var refused *Error
			if !errors.As(err, &refused) || refused.Status != c.status || !strings.Contains(refused.Message, c.message) {
				t.Errorf("error = %+v, want %d %q", err, c.status, c.message)
			}
		})
	}
}

func TestAddressesAndPasswords(t *testing.T) {
	t.Parallel()
	if got, err := address("Ann.Example@Example.TEST"); err != nil || got != "ann.example@example.test" {
		t.Errorf("address = %q, %v", got, err)
	}
	for _, wrong := range []string{"", "ann", "Ann <ann@example.test>", "ann@", "@example.test", "a@b@c", " ann@example.test", strings.Repeat("a", 250) + "@example.test"} {
		if _, err := address(wrong); err == nil {
			t.Errorf("%q was taken for an address", wrong)
		}
	}
	for password, code := range map[string]string{"12345": "weak_password", strings.Repeat("x", 73): "validation_failed", "123456": ""} {
		var refused *Error
		errors.As(strong(password), &refused)
		if (refused == nil) != (code == "") || refused != nil && refused.Code != code {
			t.Errorf("a password of %d: %v, want %q", len(password), refused, code)
		}
	}
}
