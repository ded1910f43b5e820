package escalation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/triage"
)

// Codes that are ours; the others are notify's own, or http_ and the status.
const (
	codeGaveUp    = "gave_up"
	codeNoAnswer  = "no_answer"
	codeNotNotify = "not_notify" // something answered 2xx, and not as notify does
)

// How long a page waits between tries: from the first doubled up to the longest, each by a random part less.
const (
	firstWait         = time.Second
	longestWait       = time.Minute     // a pager that is back is used within it
	longestRetryAfter = 5 * time.Minute // whoever asks for more may be one mailbox of many
)

// mostAnswer bounds what is read of an answer.
const mostAnswer = 64 << 10

// body is what notify is sent.
type body struct {
	AlertID        uuid.UUID     `json:"alert_id"`
	Step           int16         `json:"step"`
	OrganizationID uuid.UUID     `json:"organization_id"`
	SessionID      uuid.UUID     `json:"session_id"`
	Level          *triage.Level `json:"level"`
	RaisedAt       time.Time     `json:"raised_at"`
	Recipients     []uuid.UUID   `json:"recipients"`
}

// verdict is what one attempt came to. wait is what notify asked for, 0 for nothing.
type verdict struct {
	outcome, code string
	wait          time.Duration
}

// newClient makes a client that follows no redirect: a signed page goes where it was addressed, or nowhere.
func newClient(workers int) *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: workers, IdleConnTimeout: time.Minute}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// request makes the signed request of a page; the id is the same however often it is sent.
func (e *Escalation) request(ctx context.Context, p triage.Page) (*http.Request, error) {
	recipients := p.Recipients
	if recipients == nil {
		recipients = []uuid.UUID{}
	}
	data, err := json.Marshal(body{p.AlertID, p.Step, p.OrganizationID, p.SessionID, p.Level, p.RaisedAt.UTC(), recipients})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.config.URL.String(), bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "vigil")
	e.signer.Sign(r.Header, fmt.Sprintf("%s.%d", p.AlertID, p.Step), time.Now(), data)
	return r, nil
}

// ask sends one page and judges the answer. Nothing of what the other side says is kept but its code.
func (e *Escalation) ask(ctx context.Context, p triage.Page) verdict {
	ctx, cancel := context.WithTimeout(ctx, e.config.Timeout)
	defer cancel()
	r, err := e.request(ctx, p)
	if err != nil {
		return verdict{outcome: OutcomeFailed, code: "unsendable"}
	}
	res, err := e.client.Do(r)
	if err != nil {
		return verdict{outcome: OutcomeRetried, code: codeNoAnswer}
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return verdict{outcome: OutcomeRetried, code: codeNoAnswer}
	}
	return judge(res.StatusCode, res.Header.Get("Retry-After"), answer)
}

// codePattern is what alert_pages takes as a code.
var codePattern = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

// setUp are notify's codes for what a person must mend, there or at the pager: functions/README.md.
var setUp = map[string]bool{"channel_refused": true, "table_refused": true, "not_configured": true}

func judge(status int, retryAfter string, answer []byte) verdict {
	var said struct {
		Code       string             `json:"code"`
		Deliveries *[]json.RawMessage `json:"deliveries"`
	}
	isJSON := json.Unmarshal(answer, &said) == nil
	v := verdict{code: said.Code, wait: parseRetryAfter(retryAfter, time.Now())}
	if !codePattern.MatchString(v.code) {
		v.code = "http_" + strconv.Itoa(status)
	}
	switch {
	case status >= 200 && status < 300 && isJSON && said.Deliveries != nil:
		return verdict{outcome: OutcomeSent}
	case status >= 200 && status < 300:
		v.outcome, v.code = OutcomeRefused, codeNotNotify
	case setUp[v.code] && status >= 500:
		v.outcome = OutcomeRefused
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		v.outcome = OutcomeRetried
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status < 400:
		// The secret, the gateway, the address: nothing is wrong with the page, and it must not be lost while a person mends it.
		v.outcome = OutcomeRefused
	default:
		v.outcome = OutcomeFailed
	}
	return v
}

// parseRetryAfter reads seconds or a date; 0 for anything else.
func parseRetryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), longestRetryAfter)
}

// result is what is written down after the attempt.
func (v verdict) result(attempt int32) triage.PageResult {
	switch v.outcome {
	case OutcomeSent:
		return triage.PageResult{Status: triage.PageSent}
	case OutcomeRetried, OutcomeRefused:
		return triage.PageResult{Status: triage.PagePending, Code: v.code, Wait: max(backoff(attempt), v.wait)}
	}
	return triage.PageResult{Status: triage.PageFailed, Code: v.code}
}

// backoff is how long to wait after the attempt: doubled each time, up to the longest, and by up to half of it less at random,
// so that pages that failed together do not come back together.
func backoff(attempt int32) time.Duration {
	const mostDoublings = 16
	wait := min(firstWait<<min(max(attempt-1, 0), mostDoublings), longestWait)
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // jitter is no secret
}
