package standin_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vigil/server/pgtest"
	"vigil/server/standin"
)

// told is a function that tells what it was given, and ends its process when it is asked to.
const told = `
const variables = ['SUPABASE_URL', 'SUPABASE_SECRET_KEYS', 'PAGER_WEBHOOK_SECRET', 'RESEND_API_KEY', 'EXTRA', 'DATABASE_URL']
Deno.serve(async (request: Request) => {
  const path = new URL(request.url).pathname
  if (path === '/told/end') Deno.exit(1)
  const env = Object.fromEntries(variables.map((name) => [name, Deno.env.get(name) ?? null]))
  return Response.json({ pid: Deno.pid, method: request.method, path, body: await request.text(), env }, { status: 207 })
})
`

// lines is a log that may be written by many at once.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func deno(t *testing.T) string {
	t.Helper()
	root, err := pgtest.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	path, err := standin.FindDeno(root)
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
	return path
}

// startFunctions serves a stand-in with functions, whose folders and code are given.
func startFunctions(t *testing.T, code map[string]string) (url string, s *standin.Server, log *lines, stop func()) {
	t.Helper()
	f := standin.Functions{Deno: deno(t), Dir: t.TempDir(), Env: func() []string { return []string{"EXTRA=more", "RESEND_API_KEY=another"} }}
	log = &lines{}
	f.Output = log
	for name, text := range code {
		f.Open = append(f.Open, name)
		if err := os.MkdirAll(filepath.Join(f.Dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(f.Dir, name, "index.ts"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	db := postgres.Database(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url = "http://" + listener.Addr().String()
	s, err = standin.New(standin.Config{URL: url, AuthDatabaseURL: db.URL(pgtest.RoleAuth), RestDatabaseURL: db.URL(pgtest.RoleAPI), Functions: f})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }() // stop waits for it
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(stop)
	return url, s, log, stop
}

func TestAFunctionRunsFromItsFirstCallAndEndsWithTheStandin(t *testing.T) {
	t.Parallel()
	url, s, log, stop := startFunctions(t, map[string]string{"told": told})
	if log.String() != "" {
		t.Errorf("it was started before it was called: %s", log)
	}
	call := func(path string) (int, map[string]any) {
		t.Helper()
		status, body, header := ask(t, http.MethodPost, url+"/functions/v1/told"+path, nil, "what was sent")
		if header.Get(standin.Header) != "1" {
			t.Errorf("%s: the answer does not say that this is a stand-in", path)
		}
		return status, body
	}
	status, first := call("/below?x=1")
	if status != http.StatusMultiStatus || first["method"] != "POST" || first["path"] != "/told/below" || first["body"] != "what was sent" {
		t.Fatalf("%d %v\n%s", status, first, log)
	}
	env, _ := first["env"].(map[string]any)
	if env["SUPABASE_URL"] != url || env["SUPABASE_SECRET_KEYS"] != fmt.Sprintf(`{"default":%q}`, s.SecretKey()) || env["EXTRA"] != "more" || env["RESEND_API_KEY"] != "another" || env["DATABASE_URL"] != nil {
		t.Errorf("its environment is %v", env)
	}
	if _, second := call(""); second["pid"] != first["pid"] {
		t.Errorf("another process answered: %v, %v", second["pid"], first["pid"])
	}
	if status, body := call("/end"); status != http.StatusBadGateway || body["code"] != "WORKER_ERROR" {
		t.Errorf("a function that ends: %d %v", status, body)
	}
	status, third := call("")
	if status != http.StatusMultiStatus || third["pid"] == first["pid"] {
		t.Errorf("it was not started again: %d %v", status, third)
	}
	stop()
	pid, _ := third["pid"].(float64)
	if _, err := os.Stat("/proc/" + strconv.Itoa(int(pid))); err == nil {
		t.Error("the function's process is still there")
	}
}

func TestAFunctionThatCannotStartSaysSo(t *testing.T) {
	t.Parallel()
	url, _, log, _ := startFunctions(t, map[string]string{"broken": "this is no TypeScript"})
	status, body, _ := ask(t, http.MethodPost, url+"/functions/v1/broken", nil, "")
	if status != http.StatusServiceUnavailable || body["code"] != "BOOT_ERROR" || log.String() == "" {
		t.Errorf("%d %v\n%s", status, body, log)
	}
	if status, _, _ := ask(t, http.MethodPost, url+"/functions/v1/other", nil, ""); status != http.StatusUnauthorized {
		t.Errorf("a function that is not named answers a stranger with %d", status)
	}
}

func TestAFunctionThatNeverListensEndsWithTheStandin(t *testing.T) {
	t.Parallel()
	url, _, log, stop := startFunctions(t, map[string]string{"mute": "console.log('mute runs')\nsetInterval(() => {}, 1000)"})
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	go func() { // waited for below
		defer close(asked)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/functions/v1/mute", nil)
		if err != nil {
			t.Error(err)
			return
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
			t.Errorf("it answers %d", res.StatusCode)
		}
	}()
	deadline := time.After(time.Minute)
	for !strings.Contains(log.String(), "mute runs") {
		select {
		case <-deadline:
			t.Fatalf("it was not started: %s", log)
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	<-asked
	stopped := make(chan struct{})
	go func() { // waited for below, or the test has failed
		stop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(20 * time.Second):
		panic("the stand-in waits for a function that never listens") // Fatal would wait for it, too
	}
}

func TestTheDevelopmentPagerTakesOnlyWhatIsSigned(t *testing.T) {
	t.Parallel()
	url, s, _, _ := startFunctions(t, map[string]string{"told": told})
	_, body, _ := ask(t, http.MethodPost, url+"/functions/v1/told", nil, "")
	env, _ := body["env"].(map[string]any)
	secret, _ := env["PAGER_WEBHOOK_SECRET"].(string)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 16 {
		t.Fatalf("the pager's secret: %v", err)
	}
	post := func(at time.Time, sent, signed string) int {
		t.Helper()
		timestamp := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte("a.1." + timestamp + "." + signed))
		status, _, _ := ask(t, http.MethodPost, url+"/standin/pager", map[string]string{
			"webhook-id": "a.1", "webhook-timestamp": timestamp, "webhook-signature": "v1,AAAA v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)),
		}, sent)
		return status
	}
	now := time.Now()
	got := []int{post(now, `{"a":1}`, `{"a":2}`), post(now.Add(-time.Hour), `{"a":1}`, `{"a":1}`), post(now, `{"a":1}`, `{"a":1}`), post(now, `{"a":1}`, `{"a":1}`)}
	if !slices.Equal(got, []int{401, 401, 204, 204}) {
		t.Errorf("forged, old, signed, signed again: %v", got)
	}
	if pages := s.Pages(); len(pages) != 1 || pages[0].ID != "a.1" || pages[0].Times != 2 || string(pages[0].Body) != `{"a":1}` {
		t.Errorf("the pager has %+v", pages)
	}
	if s.NotifySecret() != "" {
		t.Error("there is a secret for a function that is not here")
	}
}

func TestTheDevelopmentMailboxKnowsAKeyAgain(t *testing.T) {
	t.Parallel()
	var key string
	db := postgres.Database(t)
	url, s, stop := start(t, db, standin.Keys{}, "127.0.0.1:0")
	defer stop()
	post := func(token, idempotency, body string) (int, string) {
		t.Helper()
		status, answer, _ := ask(t, http.MethodPost, url+"/standin/email", map[string]string{"Authorization": "Bearer " + token, "Idempotency-Key": idempotency}, body)
		name, _ := answer["name"].(string)
		return status, name
	}
	const mail = `{"from":"a@b.invalid","to":["c@d.invalid"],"subject":"s","text":"t"}`
	if status, name := post("another", "k", mail); status != http.StatusUnauthorized || name != "missing_api_key" {
		t.Errorf("a wrong key: %d %s", status, name)
	}
	if key = s.EmailKey(); key == "" {
		t.Fatal("the mailbox has no key")
	}
	for i, test := range []struct {
		key, body, name string
		status          int
	}{
		{"k", mail, "", 200}, {"k", mail, "", 200}, {"k", strings.Replace(mail, `"t"`, `"u"`, 1), "invalid_idempotent_request", 409},
		{"l", `{"from":"a@b.invalid"}`, "missing_required_field", 422}, {"l", mail, "", 200},
	} {
		if status, name := post(key, test.key, test.body); status != test.status || name != test.name {
			t.Errorf("%d: %d %s, want %d %s", i, status, name, test.status, test.name)
		}
	}
	if mails := s.Emails(); len(mails) != 2 || mails[1].Times != 2 || mails[0].Key != "l" || mails[0].To[0] != "c@d.invalid" {
		t.Errorf("the mailbox has %+v", mails)
	}
}
