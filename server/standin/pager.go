package standin

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Where the development pager and mailbox are. They take what notify sends and show it; nothing leaves this machine.
const (
	pagerPath  = "/standin/pager"  // POST: a webhook, signed as Standard Webhooks has it
	pagesPath  = "/standin/pages"  // GET: what came, the newest first
	emailPath  = "/standin/email"  // POST: an e-mail, as Resend takes it
	emailsPath = "/standin/emails" // GET: what came, the newest first
)

// maxSink bounds what is kept of each kind; the oldest go first.
const maxSink = 500

// maxSinkBody bounds what one request may bring.
const maxSinkBody = 64 << 10

// Page is a webhook that reached the development pager.
type Page struct {
	ID    string          `json:"id"`    // the webhook-id
	Times int             `json:"times"` // how often it came: a page may be sent again under its id
	Body  json.RawMessage `json:"body"`
	At    time.Time       `json:"at"` // of the first
}

// Email is what reached the development mailbox.
type Email struct {
	ID      string    `json:"id"`
	Key     string    `json:"idempotency_key"`
	Times   int       `json:"times"`
	From    string    `json:"from"`
	To      []string  `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	At      time.Time `json:"at"`

	body []byte
}

// sink is the development pager and mailbox.
type sink struct {
	pagerSecret, emailKey string
	now                   func() time.Time

	mu     sync.Mutex
	pages  []Page
	emails []Email
}

// derived is a secret made of the project's: the same at each start, and another for each use.
func derived(secret, use string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("standin " + use))
	return webhookSecret + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

const webhookSecret = "whsec_" // the prefix that Standard Webhooks gives secrets

// NotifySecret is what the sidecar signs with (VIGIL_NOTIFY_SECRET) when it calls notify; empty when no notify runs here.
func (s *Server) NotifySecret() string {
	if !s.functions.serves(functionsPath + "notify") {
		return ""
	}
	return derived(s.config.Keys.Secret, "notify")
}

// EmailKey is the key that the development mailbox takes, as RESEND_API_KEY.
func (s *Server) EmailKey() string { return s.sink.emailKey }

// Pages returns what the development pager took, the newest first.
func (s *Server) Pages() []Page { return s.sink.newestPages() }

// Emails returns what the development mailbox took, the newest first.
func (s *Server) Emails() []Email { return s.sink.newestEmails() }

func (s *sink) newestPages() []Page {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := append([]Page{}, s.pages...)
	slices.Reverse(found)
	return found
}

func (s *sink) newestEmails() []Email {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := append([]Email{}, s.emails...)
	slices.Reverse(found)
	return found
}

// ServeHTTP answers the four paths.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == pagesPath && r.Method == http.MethodGet:
		writeJSON(w, http.StatusOK, s.newestPages())
	case r.URL.Path == emailsPath && r.Method == http.MethodGet:
		writeJSON(w, http.StatusOK, s.newestEmails())
	case r.URL.Path == pagerPath && r.Method == http.MethodPost:
		s.takePage(w, r)
	case r.URL.Path == emailPath && r.Method == http.MethodPost:
		s.takeEmail(w, r)
	default:
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"message": "Method not allowed"})
	}
}

func (s *sink) takePage(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSinkBody))
	if err != nil || !s.signed(r.Header, body) || !json.Valid(body) {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"message": "The webhook is not signed with PAGER_WEBHOOK_SECRET"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.Header.Get("Webhook-Id")
	if at := slices.IndexFunc(s.pages, func(p Page) bool { return p.ID == id }); at >= 0 {
		s.pages[at].Times++
	} else {
		s.pages = kept(append(s.pages, Page{ID: id, Times: 1, Body: body, At: s.now()}))
	}
	w.WriteHeader(http.StatusNoContent)
}

// signed verifies a webhook by itself, apart from the sidecar's and the function's code, so that it can judge both.
func (s *sink) signed(h http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.pagerSecret, webhookSecret))
	at, timeErr := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	const tolerance = 5 * 60
	if err != nil || timeErr != nil || h.Get("Webhook-Id") == "" || math.Abs(float64(s.now().Unix()-at)) > tolerance {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(h.Get("Webhook-Id") + "." + h.Get("Webhook-Timestamp") + "."))
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return slices.ContainsFunc(strings.Fields(h.Get("Webhook-Signature")), func(got string) bool { return hmac.Equal([]byte(got), []byte(want)) })
}

// takeEmail answers as Resend does: a key that it knows gives the first answer again, and 409 with another body.
func (s *sink) takeEmail(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSinkBody))
	var sent struct {
		From, Subject, Text string
		To                  []string
	}
	refuse := func(status int, name, message string) {
		writeJSON(w, status, map[string]any{"statusCode": status, "name": name, "message": message})
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case subtle.ConstantTimeCompare([]byte(token), []byte(s.emailKey)) != 1:
		refuse(http.StatusUnauthorized, "missing_api_key", "Missing API key in the authorization header")
		return
	case r.UserAgent() == "":
		refuse(http.StatusForbidden, "1010", "A User-Agent is required")
		return
	case err != nil || json.Unmarshal(body, &sent) != nil || sent.From == "" || len(sent.To) == 0 || sent.Subject == "":
		refuse(http.StatusUnprocessableEntity, "missing_required_field", "The request body is missing one or more required fields")
		return
	}
	e := Email{
		ID: uuid.NewString(), Key: r.Header.Get("Idempotency-Key"), Times: 1, At: s.now(), body: body,
		From: sent.From, To: sent.To, Subject: sent.Subject, Text: sent.Text,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.IndexFunc(s.emails, func(o Email) bool { return e.Key != "" && o.Key == e.Key }); at >= 0 {
		if !bytes.Equal(s.emails[at].body, body) {
			refuse(http.StatusConflict, "invalid_idempotent_request", "Same idempotency key used with a different request payload")
			return
		}
		s.emails[at].Times++
		e.ID = s.emails[at].ID
	} else {
		s.emails = kept(append(s.emails, e))
	}
	writeJSON(w, http.StatusOK, map[string]string{"id": e.ID})
}

func kept[T any](all []T) []T { return slices.Clone(all[max(0, len(all)-maxSink):]) }
