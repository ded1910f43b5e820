package escalation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"vigil/server/internal/escalation"
	"vigil/server/internal/store"
	"vigil/server/internal/store/storetest"
	"vigil/server/internal/telemetry"
	"vigil/server/internal/triage"
	"vigil/server/pgtest"
)

var postgres = pgtest.Shared(pgtest.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

const (
	secret   = "an-invented-secret-of-notify"
	patience = 30 * time.Second
	sent     = `{"deliveries":[{"channel":"webhook","status":"sent"}]}`
)

// bundle is a practice on a database of its own, a function notify that answers as it is told, and a pager that is not
// running yet.
type bundle struct {
	*testing.T
	*storetest.Practice
	store   *store.Store
	session *storetest.Session
	notify  *notify
	config  escalation.Config
	log     *output
	counts  *counts
}

func setup(t *testing.T) *bundle {
	t.Helper()
	p := storetest.New(t, postgres.Database(t))
	b := &bundle{T: t, Practice: p, store: store.New(p.Vigil), notify: newNotify(t), log: &output{}, counts: &counts{changed: make(chan struct{}), of: map[string]int{}}}
	b.session = p.Session(t)
	u, err := url.Parse(b.notify.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	b.config = escalation.Config{
		URL: u, Secret: secret, Book: b.store, Ledger: b.store, Log: telemetry.NewLogger(b.log, slog.LevelDebug, "json"),
		Poll: 20 * time.Millisecond, Sweep: 20 * time.Millisecond, Counted: b.counts.add,
	}
	return b
}

// alert records a message of a level as the pipeline does, and gives its alert.
func (b *bundle) alert(level triage.Level) (id uuid.UUID) {
	b.Helper()
	m := b.session.Send(b.T, "a word of the session")
	policy := triage.DefaultCrisisPolicy(m.OrganizationID)
	o := triage.Outcome{Message: m, Policy: policy, Assessment: policy.Decide(triage.Assessment{Level: level, Sentiment: -.5, ModelVersion: "m", RulesetVersion: "r"})}
	recorded, err := b.store.Record(b.Context(), []triage.Advance{{SessionID: m.SessionID, From: m.Position - 1, To: m.Position, Outcomes: []triage.Outcome{o}}})
	if err != nil || recorded[0].Alerts != 1 {
		b.Fatalf("record: %+v, %v", recorded, err)
	}
	if err := b.Superuser.QueryRow(b.Context(), "select id from public.alerts where message_id = $1", m.ID).Scan(&id); err != nil {
		b.Fatal(err)
	}
	return id
}

// run starts an Escalation; stop ends it, and is called at the end of the test at the latest.
func (b *bundle) run() (e *escalation.Escalation, stop func()) {
	b.Helper()
	e, err := escalation.New(b.config)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }() // stop waits for it
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Errorf("run: %v", err)
		}
	})
	b.Cleanup(stop)
	return e, stop
}

// row is what stands in alert_pages.
type row struct {
	status, code string
	attempts     int
	wait         time.Duration // until it is due
}

func (b *bundle) row(alert uuid.UUID) (r row) {
	b.Helper()
	var wait float64
	err := b.Superuser.QueryRow(b.Context(), `select status, coalesce(last_error, ''), attempts, extract(epoch from next_attempt_at - clock_timestamp())
		from public.alert_pages where alert_id = $1`, alert).Scan(&r.status, &r.code, &r.attempts, &wait)
	if err != nil {
		b.Fatal(err)
	}
	r.wait = time.Duration(wait * float64(time.Second))
	return r
}

// counts are the outcomes so far.
type counts struct {
	mu      sync.Mutex
	changed chan struct{}
	of      map[string]int
}

func (c *counts) add(outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[outcome]++
	close(c.changed)
	c.changed = make(chan struct{})
}

// await waits until an outcome was counted n times.
func (b *bundle) await(outcome string, n int) {
	b.Helper()
	deadline := time.After(patience)
	for {
		b.counts.mu.Lock()
		have, changed := b.counts.of[outcome], b.counts.changed
		b.counts.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			b.Fatalf("%s was counted %d times, not %d; log:\n%s", outcome, have, n, b.log)
		}
	}
}

// awaitLog waits until a line was logged.
func (b *bundle) awaitLog(text string) {
	b.Helper()
	deadline := time.After(patience)
	for !strings.Contains(b.log.String(), text) {
		select {
		case <-deadline:
			b.Fatalf("%q was not logged:\n%s", text, b.log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// output is a log that may be read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// call is one request that notify was sent.
type call struct {
	id   string
	body map[string]any
	text string
}

// notify answers signed requests with what answer writes; nil: that all was sent.
type notify struct {
	server *httptest.Server

	mu     sync.Mutex
	answer http.HandlerFunc
	calls  []call
}

func newNotify(t *testing.T) *notify {
	t.Helper()
	signer, err := escalation.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	n := &notify{}
	n.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var c call
		own := http.Header{}
		var at int64
		if _, scanErr := fmt.Sscan(r.Header.Get(escalation.HeaderTimestamp), &at); err != nil || scanErr != nil || json.Unmarshal(text, &c.body) != nil {
			t.Errorf("what notify was sent cannot be read: %v, %v", err, scanErr)
		}
		c.id, c.text = r.Header.Get(escalation.HeaderID), string(text)
		signer.Sign(own, c.id, time.Unix(at, 0), text)
		if own.Get(escalation.HeaderSignature) != r.Header.Get(escalation.HeaderSignature) || r.Method != http.MethodPost {
			t.Error("a request is not signed")
		}
		n.mu.Lock()
		n.calls = append(n.calls, c)
		answer := n.answer
		n.mu.Unlock()
		if answer == nil {
			answer = answers(http.StatusOK, sent)
		}
		answer(w, r)
	}))
	t.Cleanup(n.server.Close)
	return n
}

func (n *notify) set(answer http.HandlerFunc) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = answer
}

func (n *notify) got() []call {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestAPageGoesOutOnceWithIdsOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, stop := b.run()
	id := b.alert(triage.LevelPlanAndIntent)
	b.await(escalation.OutcomeSent, 1)
	stop()
	calls := b.notify.got()
	if len(calls) != 1 || calls[0].id != id.String()+".1" {
		t.Fatalf("notify was called %+v", calls)
	}
	body := calls[0].body
	keys := slices.Sorted(func(yield func(string) bool) {
		for k := range body {
			if !yield(k) {
				return
			}
		}
	})
	if want := []string{"alert_id", "level", "organization_id", "raised_at", "recipients", "session_id", "step"}; !slices.Equal(keys, want) {
		t.Errorf("the body has %v, want %v", keys, want)
	}
	recipients := fmt.Sprint(body["recipients"])
	if body["level"] != 5.0 || body["step"] != 1.0 || body["session_id"] != b.session.ID.String() || !strings.Contains(recipients, b.Therapist.ID.String()) || !strings.Contains(recipients, b.Supervisor.ID.String()) {
		t.Errorf("body %v", body)
	}
	if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(body["raised_at"])); err != nil || time.Since(at) > time.Minute {
		t.Errorf("raised_at is %v", body["raised_at"])
	}
	if r := b.row(id); r.status != "sent" || r.attempts != 1 || r.code != "" {
		t.Errorf("the page is %+v", r)
	}
	if strings.Contains(b.log.String(), secret) || strings.Contains(b.log.String(), "a word of the session") {
		t.Error("the log holds what it must not")
	}
}

// TestAnAlertIsPagedAtOnce measures what Wake is for: the poll is far away.
func TestAnAlertIsPagedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.config.Poll = time.Hour
	var mu sync.Mutex
	var delays []time.Duration
	b.config.Called = func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		delays = append(delays, d)
	}
	e, _ := b.run()
	const n = 20
	for i := range n {
		b.alert(triage.LevelBehaviour)
		e.Wake()
		b.await(escalation.OutcomeSent, i+1)
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(delays)
	t.Logf("commit to call: p50 %s, most %s", delays[n/2], delays[n-1])
	if delays[n/2] > 300*time.Millisecond {
		t.Errorf("half of the pages took %s and more from commit to call", delays[n/2])
	}
}

func TestWhatBecomesOfAPageByTheAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer                http.HandlerFunc
		outcome, status, code string
		least, most           time.Duration // of the wait
		loud                  bool
	}{
		"notify is overloaded": {answers(503, `{"code":"channel_unavailable"}`), escalation.OutcomeRetried, "pending", "channel_unavailable", 0, time.Second, false},
		"a gateway answers":    {answers(502, `<html>a word of the session</html>`), escalation.OutcomeRetried, "pending", "http_502", 0, time.Second, false},
		"it asks to wait": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(429)
		}, escalation.OutcomeRetried, "pending", "http_429", 110 * time.Second, 120 * time.Second, false},
		"it asks to wait until a time": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(10*time.Minute).UTC().Format(http.TimeFormat))
			w.WriteHeader(503)
		}, escalation.OutcomeRetried, "pending", "http_503", 4 * time.Minute, 5 * time.Minute, false},
		"it asks to wait for ever": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "99999999")
			w.WriteHeader(503)
		}, escalation.OutcomeRetried, "pending", "http_503", 4 * time.Minute, 5 * time.Minute, false},
		"it breaks off":          {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, escalation.OutcomeRetried, "pending", "no_answer", 0, time.Second, false},
		"the secrets differ":     {answers(401, `{"code":"signature_wrong"}`), escalation.OutcomeRefused, "pending", "signature_wrong", 0, time.Second, true},
		"the pager refuses":      {answers(502, `{"code":"channel_refused"}`), escalation.OutcomeRefused, "pending", "channel_refused", 0, time.Second, true},
		"it lacks a variable":    {answers(503, `{"code":"not_configured"}`), escalation.OutcomeRefused, "pending", "not_configured", 0, time.Second, true},
		"it is not deployed":     {answers(404, `{"code":"NOT_FOUND"}`), escalation.OutcomeRefused, "pending", "http_404", 0, time.Second, true},
		"something else answers": {answers(200, `<html>welcome</html>`), escalation.OutcomeRefused, "pending", "not_notify", 0, time.Second, true},
		"something answers JSON": {answers(200, `{"ok":true}`), escalation.OutcomeRefused, "pending", "not_notify", 0, time.Second, true},
		"it leads elsewhere":     {http.RedirectHandler("/elsewhere", http.StatusPermanentRedirect).ServeHTTP, escalation.OutcomeRefused, "pending", "http_308", 0, time.Second, true},
		"the page is refused":    {answers(422, `{"code":"body_wrong"}`), escalation.OutcomeFailed, "failed", "body_wrong", 0, 0, true},
		"nobody can be reached":  {answers(422, `{"code":"nobody_reached"}`), escalation.OutcomeFailed, "failed", "nobody_reached", 0, 0, true},
		"the alert is gone":      {answers(410, `{"code":"page_gone"}`), escalation.OutcomeFailed, "failed", "page_gone", 0, 0, true},
		"a code that is no code": {answers(400, `{"code":"A word of the session!"}`), escalation.OutcomeFailed, "failed", "http_400", 0, 0, true},
		"it answers without an end": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20)+sent)
		}, escalation.OutcomeRefused, "pending", "not_notify", 0, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.notify.set(test.answer)
			b.config.Poll = time.Hour // one attempt
			id := b.alert(triage.LevelIntent)
			_, stop := b.run()
			b.await(test.outcome, 1)
			stop()
			r := b.row(id)
			if r.status != test.status || r.code != test.code || r.attempts != 1 {
				t.Errorf("the page is %+v, want %s, %s", r, test.status, test.code)
			}
			if test.status == "pending" && (r.wait < test.least-patience || r.wait > test.most) {
				t.Errorf("it waits for %s, want %s to %s", r.wait, test.least, test.most)
			}
			if loud := strings.Contains(b.log.String(), `"level":"ERROR"`); loud != test.loud {
				t.Errorf("logged as an error: %t, want %t:\n%s", loud, test.loud, b.log)
			}
			if strings.Contains(strings.ToLower(b.log.String()), "a word of the session") {
				t.Errorf("the log repeats what the other side said:\n%s", b.log)
			}
		})
	}
}

func TestNotifyIsRetriedUntilItIsBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.notify.set(answers(503, ""))
	id := b.alert(triage.LevelIntent)
	e, _ := b.run()
	b.await(escalation.OutcomeRetried, 2)
	if u := e.Unsent(); u.Count != 1 || u.Oldest <= 0 {
		t.Errorf("unsent: %+v", u)
	}
	b.notify.set(nil)
	b.await(escalation.OutcomeSent, 1)
	calls := b.notify.got()
	for _, c := range calls {
		if c.id != id.String()+".1" || c.text != calls[0].text {
			t.Errorf("a try differs from the first: %+v", c)
		}
	}
	deadline := time.After(patience)
	for e.Unsent() != (triage.Unsent{}) {
		select {
		case <-deadline:
			t.Fatalf("unsent: %+v", e.Unsent())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestAnAlertThatSomebodyHasIsNotPaged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.alert(triage.LevelIntent)
	if err := b.As(t.Context(), b.Therapist, []any{new(uuid.UUID)}, "select id from public.acknowledge_alert($1, 1)", id); err != nil {
		t.Fatal(err)
	}
	b.run()
	b.await(escalation.OutcomeAnswered, 1)
	if r := b.row(id); r.status != "failed" || r.code != "answered" {
		t.Errorf("the page is %+v", r)
	}
	if len(b.notify.got()) != 0 || strings.Contains(b.log.String(), `"level":"ERROR"`) {
		t.Errorf("notify was called, or somebody alarmed:\n%s", b.log)
	}
}

func TestPagesThatAreADayOldAreGivenUpLoudly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.config.GiveUpAfter = 200 * time.Millisecond
	b.notify.set(answers(503, ""))
	id := b.alert(triage.LevelIntent)
	b.run()
	b.await(escalation.OutcomeFailed, 1)
	if r := b.row(id); r.status != "failed" || r.code != "gave_up" {
		t.Errorf("the page is %+v", r)
	}
	if !strings.Contains(b.log.String(), "pages were given up: not everybody was paged") {
		t.Errorf("nobody was told:\n%s", b.log)
	}
}
