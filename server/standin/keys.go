package standin

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"vigil/server/standin/auth"
)

// Keys are a project's: two API keys, and the key that signs people's tokens. An API key is no token: it says which
// Postgres role a caller without a token has.
type Keys struct {
	Publishable string   `json:"publishable_key"`
	Secret      string   `json:"secret_key"`
	Signing     auth.Key `json:"signing_key"`
}

const (
	publishablePrefix = "sb_publishable_"
	secretPrefix      = "sb_secret_"
	randomBytes       = 24
)

// NewKeys makes a project's keys.
func NewKeys() (Keys, error) {
	signing, err := auth.NewKey()
	if err != nil {
		return Keys{}, err
	}
	random := make([]byte, 2*randomBytes)
	if _, err := rand.Read(random); err != nil {
		return Keys{}, fmt.Errorf("standin: make keys: %w", err)
	}
	return Keys{
		Publishable: publishablePrefix + base64.RawURLEncoding.EncodeToString(random[:randomBytes]),
		Secret:      secretPrefix + base64.RawURLEncoding.EncodeToString(random[randomBytes:]),
		Signing:     signing,
	}, nil
}

// LoadKeys reads the keys in a file, which it makes, for its owner's eyes only, if it is not there: tokens and keys stay
// good when the stand-in is started again.
func LoadKeys(path string) (Keys, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKeys(path)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("standin: read keys: %w", err)
	}
	var k Keys
	if err := json.Unmarshal(data, &k); err != nil {
		return Keys{}, fmt.Errorf("standin: the keys in %s cannot be read: delete the file to have new ones", filepath.Base(path))
	}
	if k.Signing.IsZero() || !strings.HasPrefix(k.Publishable, publishablePrefix) || !strings.HasPrefix(k.Secret, secretPrefix) {
		return Keys{}, fmt.Errorf("standin: %s does not hold all keys: delete the file to have new ones", filepath.Base(path))
	}
	return k, nil
}

func makeKeys(path string) (Keys, error) {
	k, err := NewKeys()
	if err != nil {
		return Keys{}, err
	}
	data, err := json.MarshalIndent(k, "", "  ") //nolint:gosec // the file is where the secret is kept, for its owner only
	if err != nil {
		return Keys{}, fmt.Errorf("standin: write keys: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return Keys{}, fmt.Errorf("standin: write keys: %w", err)
	}
	return k, nil
}

// keyring is the gateway's part: it knows the API keys, and exchanges one for a token of its role, as hosted Supabase's
// gateway does.
type keyring struct {
	keys Keys
	now  func() time.Time
}

// roleTokenLifetime is how long an exchanged token is good: one request.
const roleTokenLifetime = 2 * time.Minute

// admit checks a request's API key, and gives the request the key's role unless it bears a token of its own. It answers
// a request that it refuses.
func (k keyring) admit(w http.ResponseWriter, r *http.Request) bool {
	key := r.Header.Get("Apikey")
	if key == "" {
		key = r.URL.Query().Get("apikey")
	}
	role := k.role(key)
	switch {
	case key == "":
		refuse(w, "No API key found in request", "No `apikey` request header or url param was found.")
		return false
	case role == "":
		refuse(w, "Invalid API key", "Double check your Supabase `anon` or `service_role` API key.")
		return false
	case role == "service_role" && strings.HasPrefix(r.UserAgent(), "Mozilla/"):
		refuse(w, "Forbidden use of secret API key in browser",
			"Secret API keys can only be used in a protected environment and should never be used in a browser. "+
				"Delete this secret API key immediately if you suspect it has been exposed.")
		return false
	}
	if token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found && token != key {
		return true
	}
	now := k.now()
	token, err := k.keys.Signing.Sign(jwt.MapClaims{
		"iss": "supabase", "ref": "standin", "role": role, "iat": now.Unix(), "exp": now.Add(roleTokenLifetime).Unix(),
	})
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"message": "Internal error"})
		return false
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return true
}

// role is the Postgres role of an API key; nothing for a key that is not the project's.
func (k keyring) role(key string) string {
	switch {
	case subtle.ConstantTimeCompare([]byte(key), []byte(k.keys.Publishable)) == 1:
		return "anon"
	case subtle.ConstantTimeCompare([]byte(key), []byte(k.keys.Secret)) == 1:
		return "service_role"
	}
	return ""
}

func refuse(w http.ResponseWriter, message, hint string) {
	writeJSON(w, http.StatusUnauthorized, map[string]string{"message": message, "hint": hint})
}
