package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
)

const (
	maxAnswerBytes = 16 << 20
	firstWait      = 100 * time.Millisecond
	longestWait    = 2 * time.Second
)

// rest calls PostgREST, as a person with their token or, without one, with the secret key as a project's server does.
type rest struct {
	base        *url.URL
	publishable string
	secret      string
	client      *http.Client
}

func newREST(supabase *url.URL, publishable, secret string) *rest {
	return &rest{base: supabase.JoinPath("rest/v1"), publishable: publishable, secret: secret, client: &http.Client{
		Timeout: requestTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // keys go nowhere else
	}}
}

// RequestError is a refusal of PostgREST or Auth. It holds codes, and no text but that of Vigil's own refusals.
type RequestError struct {
	Attempt string
	Status  int    // 0: no answer
	Code    string // SQLSTATE, PostgREST's or Auth's; "" for none
	Message string // only of codes that are Vigil's own
	details string
	unsent  bool // the server has certainly not begun with it
}

// Error says what was attempted, and the codes.
func (e *RequestError) Error() string {
	if e.Status == 0 {
		return e.Attempt + ": no answer"
	}
	text := fmt.Sprintf("%s: %d", e.Attempt, e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Message != "" {
		text += " (" + e.Message + ")"
	}
	return text
}

// temporary says whether the same request may succeed later.
func (e *RequestError) temporary() bool {
	return e.Status == 0 || e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError
}

// codeOf gives the code that an error carries, "" for none.
func codeOf(err error) string {
	var refused *RequestError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// Codes that are acted on; sql/README.md lists them.
const (
	codeStored      = "23505"
	codeConflict    = "PT409"
	codeBadStatus   = "VG002"
	codeRoster      = "VG004"
	codeNoAnalysis  = "VG007"
	codeEpochOver   = "VG010"
	codeNotAllowed  = "42501"
	codeBadAPIKey   = "PGRST301"
	statusActive    = `"active"`
	consentText     = "My messages may be analysed, so that a clinician is told of a crisis. (A replayed conversation with invented people.)"
	representation  = "return=representation"
	nothingReturned = "return=minimal"
)

// call is one request.
type call struct {
	attempt string
	method  string
	path    string // below /rest/v1
	query   url.Values
	token   string // empty: the secret key
	prefer  string
	body    any
	into    any  // nil: the answer is not read
	again   bool // doing it twice does no harm: it is tried again also when its answer was lost
}

// do makes the request, and tries again what is temporary until patience has passed or ctx ends.
func (r *rest) do(ctx context.Context, patience time.Duration, c call) error {
	deadline := time.Now().Add(patience)
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		err := r.once(ctx, c)
		var refused *RequestError
		if err == nil || !errors.As(err, &refused) || !refused.temporary() || !c.again && !refused.unsent || time.Now().After(deadline) {
			return err
		}
		if !sleep(ctx, jitter(wait)) {
			return err
		}
	}
}

func (r *rest) once(ctx context.Context, c call) error {
	var body io.Reader
	if c.body != nil {
		raw, err := json.Marshal(c.body)
		if err != nil {
			return fmt.Errorf("%s: %w", c.attempt, err)
		}
		body = bytes.NewReader(raw)
	}
	at := r.base.JoinPath(c.path)
	at.RawQuery = c.query.Encode()
	req, err := http.NewRequestWithContext(ctx, c.method, at.String(), body)
	if err != nil {
		return fmt.Errorf("%s: %w", c.attempt, err)
	}
	key, bearer := r.publishable, c.token
	if c.token == "" {
		key, bearer = r.secret, r.secret
	}
	req.Header.Set("Apikey", key)
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	if c.prefer != "" {
		req.Header.Set("Prefer", c.prefer)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return &RequestError{Attempt: c.attempt, unsent: refusedConnection(err)}
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return &RequestError{Attempt: c.attempt}
	}
	if res.StatusCode/100 != 2 {
		return refusal(c.attempt, res.StatusCode, answer)
	}
	if c.into == nil {
		return nil
	}
	if json.Unmarshal(answer, c.into) != nil { // its error may quote the answer
		return fmt.Errorf("%s: the answer has another shape", c.attempt)
	}
	return nil
}

// refusal reads the code of PostgREST's ("code", "message", "details") or Auth's ("error_code", "code" a number) answer.
func refusal(attempt string, status int, answer []byte) *RequestError {
	e := &RequestError{Attempt: attempt, Status: status, unsent: status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable}
	var body struct {
		Code      any    `json:"code"`
		ErrorCode string `json:"error_code"`
		Message   string `json:"message"`
		Details   string `json:"details"`
	}
	if json.Unmarshal(answer, &body) != nil {
		return e
	}
	if code, ok := body.Code.(string); ok {
		e.Code = code
	}
	if body.ErrorCode != "" {
		e.Code = body.ErrorCode
	}
	if strings.HasPrefix(e.Code, "VG") || strings.HasPrefix(e.Code, "PT") || e.Code == codeNotAllowed {
		e.Message, e.details = body.Message, body.Details
	}
	return e
}

func refusedConnection(err error) bool {
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED)
}

// jitter spreads a wait, so that many who wait do not come back at once.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2) //nolint:gosec // no secret hangs on it
}

// sleep waits; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// organization is the practice that people are made in.
type organization struct {
	ID          uuid.UUID `json:"id"`
	Name        string    `json:"name"`
	RequireAAL2 bool      `json:"require_aal2"`
}

// findOrganization reads the one that is named by id or name or, without a name, the only one. A practice is founded in SQL
// (private.found_organization) and in no other way: service_role may not.
func (r *rest) findOrganization(ctx context.Context, named string) (organization, error) {
	filter := url.Values{}
	if id, err := uuid.Parse(named); err == nil {
		filter.Set("id", "eq."+id.String())
	} else if named != "" {
		filter.Set("name", "eq."+named)
	}
	found, err := r.organizations(ctx, filter)
	if err != nil {
		return organization{}, r.explain(err)
	}
	if len(found) == 1 {
		return found[0], nil
	}
	all := found
	if named != "" {
		if all, err = r.organizations(ctx, url.Values{}); err != nil {
			return organization{}, r.explain(err)
		}
	}
	switch {
	case len(all) == 0:
		return organization{}, advise(errors.New("there is no organization yet"),
			"In the SQL editor: select private.found_organization('Your practice', 'you@example.com'); it makes the first one, of someone who has signed up.")
	case named != "":
		return organization{}, advise(fmt.Errorf("%d organizations have that id or name", len(found)), "Give the id of one: "+idsOf(all))
	}
	return organization{}, advise(fmt.Errorf("there are %d organizations", len(all)), "Say in which one with --organization: "+idsOf(all))
}

// organizations reads those that a filter lets through, the first hundred at most.
func (r *rest) organizations(ctx context.Context, filter url.Values) (found []organization, err error) {
	filter.Set("select", "id,name,require_aal2")
	filter.Set("order", "created_at")
	filter.Set("limit", "100")
	err = r.do(ctx, 0, call{attempt: "read organizations", method: http.MethodGet, path: "organizations", query: filter, into: &found, again: true})
	return found, err
}

func idsOf(all []organization) string {
	const shown = 10
	var b strings.Builder
	for i, o := range all {
		if i == shown {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s)", o.ID, o.Name)
	}
	return b.String()
}

// explain adds what to do to the faults that a wrong address or key makes.
func (r *rest) explain(err error) error {
	var refused *RequestError
	switch {
	case !errors.As(err, &refused):
		return err
	case refused.Status == 0:
		return advise(err, "Does SUPABASE_URL (or --supabase-url) name the project, and is it running?")
	case refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden || refused.Code == codeBadAPIKey:
		return advise(err, "Is SUPABASE_SECRET_KEY a secret key (sb_secret_… or service_role) of this project?")
	case refused.Status == http.StatusNotFound:
		return advise(err, "Does SUPABASE_URL name a project that has Vigil's migrations (`npx supabase db push`)?")
	}
	return err
}

// join makes somebody a member of the organisation; service_role may.
func (r *rest) join(ctx context.Context, organization, user uuid.UUID, role string) error {
	return r.do(ctx, requestTimeout, call{
		attempt: "make a membership", method: http.MethodPost, path: "memberships", prefer: nothingReturned + ",resolution=ignore-duplicates", again: true,
		body: map[string]any{"organization_id": organization, "user_id": user, "role": role},
	})
}

func (r *rest) endMembership(ctx context.Context, organization, user uuid.UUID) error {
	return r.do(ctx, requestTimeout, call{
		attempt: "end a membership", method: http.MethodPatch, path: "memberships", prefer: nothingReturned, again: true,
		query: url.Values{"organization_id": {"eq." + organization.String()}, "user_id": {"eq." + user.String()}, "ended_at": {"is.null"}},
		body:  map[string]any{"ended_at": time.Now().UTC()},
	})
}
