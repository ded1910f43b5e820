package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"vigil/server/pgtest"
	"vigil/server/standin"
)

// outside is what stands outside the project: a pager, and a mail provider, which may be down. Both keep what they are sent.
type outside struct {
	server *httptest.Server

	mu     sync.Mutex
	down   bool
	tries  int
	pages  map[string]int // by webhook-id
	emails map[string]int // by idempotency key
	to     map[string]int // by address
	bytes  []byte         // everything, with its headers
}

func newOutside(t testing.TB) *outside {
	t.Helper()
	o := &outside{pages: map[string]int{}, emails: map[string]int{}, to: map[string]int{}}
	o.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.tries++
		o.bytes = append(append(o.bytes, body...), r.URL.String()...)
		for name, values := range r.Header {
			o.bytes = append(o.bytes, name+": "+strings.Join(values, ",")+"\n"...)
		}
		var mail struct{ To []string }
		switch {
		case err != nil:
			w.WriteHeader(http.StatusBadRequest)
		case o.down:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/pager":
			o.pages[r.Header.Get("Webhook-Id")]++
		case json.Unmarshal(body, &mail) == nil && len(mail.To) == 1:
			o.emails[r.Header.Get("Idempotency-Key")]++
			o.to[mail.To[0]]++
			_, _ = io.WriteString(w, `{"id":"an id"}`)
		default:
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	}))
	t.Cleanup(o.server.Close)
	return o
}

func (o *outside) set(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
}

// told says how often a page reached the pager, and how often anything was tried at all.
func (o *outside) told(alert uuid.UUID) (times, tries int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pages[alert.String()+".1"], o.tries
}

// withNotify is the real edge function under a real Deno, told of what stands outside.
func (o *outside) withNotify(t testing.TB) standin.Functions {
	t.Helper()
	root, err := pgtest.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	deno, err := standin.FindDeno(root)
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
	return standin.Functions{Deno: deno, Dir: filepath.Join(root, "functions"), Open: []string{"notify"}, Output: &functionLog, Env: func() []string {
		return []string{"PAGER_WEBHOOK_URL=" + o.server.URL + "/pager", "NOTIFY_EMAIL_URL=" + o.server.URL + "/emails"}
	}}
}

// functionLog is what every notify of these tests logged.
var functionLog output

// alertOf waits for the alert of a message.
func (s *stack) alertOf(t testing.TB, message uuid.UUID) (id uuid.UUID) {
	t.Helper()
	if o := s.outcomeOf(t, message); o.alerts != 1 || o.level < 4 {
		t.Fatalf("the message raised no grave alert: %+v", o)
	}
	if err := s.admin.QueryRow(t.Context(), "select id from public.alerts where message_id = $1", message).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// paged waits until a page is sent, and gives how many attempts it took and of which its deliveries are.
func (s *stack) paged(t testing.TB, alert uuid.UUID) (attempts int, deliveries string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	status, code := "", ""
	if err := poll(ctx, func() (bool, error) {
		err := s.admin.QueryRow(ctx, `
			select p.status, p.attempts, coalesce(p.last_error, ''),
			  coalesce((select string_agg(d.channel || ' ' || d.status, ', ' order by d.channel desc, d.status) from public.alert_page_deliveries d where d.alert_id = p.alert_id), '')
			from public.alert_pages p where p.alert_id = $1`, alert).Scan(&status, &attempts, &code, &deliveries)
		return status == "sent", ignoreTransient(err)
	}); err != nil {
		t.Fatalf("the page is %s (%s) after %d attempts: %v\n%s\nnotify: %s", status, code, attempts, err, s.sidecar.out.tail(), functionLog.tail())
	}
	return attempts, deliveries
}

// TestAnAlertPagesOnceAndWithoutAWordOfIt goes the whole way: a sealed message, the sidecar, the edge function, a pager and two
// mailboxes. Then the outside is down for a while.
func TestAnAlertPagesOnceAndWithoutAWordOfIt(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	s := setup(t, options{functions: o.withNotify(t)})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	y := s.therapy(t, org)
	supervisor := s.signUp(t, org, "supervisor")
	canary := "quartz-canary-" + uuid.NewString()

	alert := s.alertOf(t, y.send(t, canary+" "+crisisText))
	attempts, deliveries := s.paged(t, alert)
	if times, _ := o.told(alert); times != 1 || deliveries != "webhook sent, email sent, email sent" {
		t.Errorf("the pager was told %d times in %d attempts; deliveries: %s", times, attempts, deliveries)
	}
	o.mu.Lock()
	if o.to[y.therapist.email] != 1 || o.to[supervisor.email] != 1 || len(o.to) != 2 {
		t.Errorf("%d mailboxes were written to", len(o.to))
	}
	o.mu.Unlock()
	s.awaitMetric(t, `vigil_pages_total{outcome="sent"}`, func(v float64) bool { return v == 1 })
	if out, _ := s.sidecar.run(t, "doctor"); !strings.Contains(out, "ok    notify") {
		t.Errorf("doctor says:\n%s", out)
	}

	o.set(true)
	second := s.alertOf(t, y.send(t, canary+" "+crisisText))
	s.awaitMetric(t, `vigil_pages_total{outcome="retried"}`, func(v float64) bool { return v >= 2 })
	s.awaitMetric(t, "vigil_pages_oldest_unsent_seconds", func(v float64) bool { return v > 0 })
	o.set(false)
	s.paged(t, second)
	if times, _ := o.told(second); times != 1 {
		t.Errorf("the pager that came back was told %d times", times)
	}
	o.mu.Lock()
	for key, times := range o.emails {
		if times != 1 {
			t.Errorf("an e-mail was sent %d times: %s", times, key)
		}
	}
	secrets := []secret{newSecret("the canary", canary), newSecret("the client's address", y.client.email)}
	absent(t, "what the pager and the mailboxes were sent", o.bytes, secrets)
	o.mu.Unlock()
	if code := s.sidecar.stop(t); code != 0 {
		t.Errorf("vigil ended with %d", code)
	}
	people := slices.Concat(secrets, []secret{
		newSecret("the therapist's address", y.therapist.email), newSecret("the secret of notify", s.notifySecret), newSecret("the secret key", s.secretKey),
	})
	absent(t, "the sidecar's log", []byte(s.sidecar.out.String()), people)
	absent(t, "notify's log", []byte(functionLog.String()), people)
}

// TestAPageIsNotLostThroughKill kills the sidecar, as kill -9 does, once it has claimed a page, and once more when notify has
// sent one and it has not been recorded. Both pages go out, and reach the pager once.
func TestAPageIsNotLostThroughKill(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	s := setup(t, options{functions: o.withNotify(t)})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	y := s.therapy(t, org)
	s.sidecar.kill()

	alerts := make([]uuid.UUID, 0, 2)
	for _, point := range []string{"escalation.after_claim", "escalation.before_settle"} {
		s.sidecar.begin(t, "VIGIL_FAULT="+point+":1")
		message := y.send(t, crisisText)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		select {
		case <-s.sidecar.done:
		case <-ctx.Done():
			t.Fatalf("%s was not reached\n%s", point, s.sidecar.out.tail())
		}
		cancel()
		if !s.sidecar.wasKilled() {
			t.Fatalf("vigil ended by itself\n%s", s.sidecar.out.tail())
		}
		alerts = append(alerts, s.alertOf(t, message))
	}
	if times, tries := o.told(alerts[0]); times != 0 {
		t.Errorf("the page that was only claimed was sent %d times in %d tries", times, tries)
	}
	if times, _ := o.told(alerts[1]); times != 1 {
		t.Errorf("the page that was not recorded was sent %d times", times)
	}
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	for i, alert := range alerts {
		attempts, deliveries := s.paged(t, alert)
		if times, _ := o.told(alert); times != 1 || attempts != 2 || deliveries != "webhook sent, email sent" {
			t.Errorf("page %d reached the pager %d times in %d attempts; deliveries: %s", i, times, attempts, deliveries)
		}
	}
	if code := s.sidecar.stop(t); code != 0 {
		t.Errorf("vigil ended with %d", code)
	}
}
