package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"vigil/server/internal/escalation"
)

// Codes that notify answers with: functions/notify/handler.ts.
const (
	notifyUnsigned      = "signature_missing"
	notifyWrong         = "signature_wrong"
	notifyLate          = "timestamp_refused"
	notifyNotConfigured = "not_configured"
	notifyNoPage        = "body_wrong"
)

const maxNotifyBytes = 64 << 10

// probeBody is no page: notify looks at it after the signature, and refuses it, so that nobody is paged by a probe.
var probeBody = []byte("{}")

// examineNotify looks at the edge function that pages people: it must refuse what is not signed, and know our signature.
func (e *examination) examineNotify(ctx context.Context, r *report) {
	const check = "notify"
	if e.NotifyURL == nil {
		r.warn(check, advice("Deploy the edge function (functions/README.md) and set VIGIL_NOTIFY_SECRET to what it holds as NOTIFY_SECRET."), "nobody is paged: VIGIL_NOTIFY_SECRET is not set, and alerts show in the app only")
		return
	}
	signer, err := escalation.NewSigner(e.NotifySecret.Reveal())
	if err != nil {
		r.fail(check, advice("Make another, such as the output of: openssl rand -hex 32. Set it here and as the function's NOTIFY_SECRET."), "VIGIL_NOTIFY_SECRET: %v", err)
		return
	}
	stranger, ok := e.probeNotify(ctx, nil)
	if !ok {
		r.fail(check, advice("Check VIGIL_NOTIFY_URL (SUPABASE_URL/functions/v1/notify when unset), and that this machine reaches it."), "no answer from the edge function")
		return
	}
	if m, detail := judgeStranger(stranger); detail != "" {
		r.fail(check, m, "%s (it answered %d)", detail, stranger.status)
		return
	}
	own, ok := e.probeNotify(ctx, signer)
	if !ok {
		r.fail(check, again, "it answered a stranger, and then did not answer us")
		return
	}
	if m, detail := judgeOwn(own); detail != "" {
		r.fail(check, m, "%s", detail)
		return
	}
	r.ok(check, "answers, refuses what is not signed, and knows our secret")
}

// notifyAnswer is what a probe came back with.
type notifyAnswer struct {
	status int
	Code   string `json:"code"`
	Faults []any  `json:"faults"` // sentences about variables, or objects about a body's fields
}

// probeNotify posts what is no page, signed or not; ok is false when nothing answered.
func (e *examination) probeNotify(ctx context.Context, signer *escalation.Signer) (a notifyAnswer, ok bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.NotifyURL.String(), bytes.NewReader(probeBody))
	if err != nil {
		return a, false
	}
	req.Header.Set("Content-Type", "application/json")
	if signer != nil {
		signer.Sign(req.Header, "doctor.0", e.now(), probeBody)
	}
	res, err := (&http.Client{Transport: http.DefaultTransport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		return a, false
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxNotifyBytes))
	if err != nil || json.Unmarshal(body, &a) != nil {
		a = notifyAnswer{} // something that is not notify answered; the status says the rest
	}
	a.status = res.StatusCode
	return a, err == nil
}

const deployNotify = "npx supabase functions deploy notify"

// judgeStranger says what is wrong with the answer to a request that nobody signed; "" for nothing.
func judgeStranger(a notifyAnswer) (m mend, detail string) {
	switch {
	case a.status == http.StatusUnauthorized && a.Code == notifyUnsigned:
		return mend{}, ""
	case a.status == http.StatusUnauthorized:
		return mend{Fix: "Deploy it with supabase/config.toml, where verify_jwt is false: it checks our signature itself.", Shell: deployNotify}, "the gateway asks for a token before the edge function is reached"
	case a.status == http.StatusNotFound:
		return mend{Fix: "Deploy it, or let VIGIL_NOTIFY_URL name where it is.", Shell: deployNotify}, "there is no edge function"
	case a.Code == notifyNotConfigured:
		return advice("Give the function the same secret: npx supabase secrets set NOTIFY_SECRET=…"), "NOTIFY_SECRET is not set there, or has fewer than 16 characters"
	case a.status < http.StatusMultipleChoices:
		return advice("Let VIGIL_NOTIFY_URL name the function of this repository; whoever finds the other can page your clinicians."), "what is not signed is taken"
	}
	return advice("Look at the function's log (Dashboard, Edge Functions)."), "the edge function does not work"
}

// judgeOwn says what is wrong with the answer to a request of ours that is no page; "" for nothing.
func judgeOwn(a notifyAnswer) (m mend, detail string) {
	switch {
	case a.status == http.StatusUnprocessableEntity && a.Code == notifyNoPage:
		return mend{}, ""
	case a.Code == notifyWrong:
		return advice("Set VIGIL_NOTIFY_SECRET to what the function holds: npx supabase secrets set NOTIFY_SECRET=…"), "NOTIFY_SECRET is another than VIGIL_NOTIFY_SECRET: every page is refused"
	case a.Code == notifyLate:
		return advice("Set this machine's clock by NTP."), "this machine's clock is too far from the edge function's: every page is refused"
	case a.Code == notifyNotConfigured:
		return advice("functions/README.md says what each holds: npx supabase secrets set …"), "the function lacks variables, so nobody can be paged: " + strings.Join(variablesOf(a.Faults), ", ")
	}
	return advice("Look at the function's log (Dashboard, Edge Functions)."), "the edge function does not take what we sign"
}

var variableName = regexp.MustCompile(`\b[A-Z][A-Z_]{3,40}\b`)

// variablesOf finds the names of variables in faults; nothing else of another's words is shown.
func variablesOf(faults []any) []string {
	var names []string
	for _, fault := range faults {
		sentence, _ := fault.(string)
		name, _, _ := strings.Cut(sentence, ":")
		names = append(names, variableName.FindAllString(name, -1)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
