package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vigil/server/pgtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// terminal is what a person would see, and can be waited on.
type terminal struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (o *terminal) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return n, err
}

func (o *terminal) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until a text was shown.
func (o *terminal) await(t *testing.T, text string, ended <-chan struct{}) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for !strings.Contains(o.String(), text) {
		select {
		case <-o.changed:
		case <-ended:
			t.Fatalf("it ended before %q:\n%s", text, o)
		case <-deadline:
			t.Fatalf("%q was not shown:\n%s", text, o)
		}
	}
}

// setup returns a folder that Postgres' account can enter, for one test's stack.
func setup(t *testing.T) string {
	t.Helper()
	if pgtest.Default() == 0 {
		pgtest.Start(t, pgtest.Options{Bare: true}) // skips, or fails in CI, and says why
	}
	dir, err := os.MkdirTemp("/var/tmp", "vigil-dev-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start runs dev with those words; stop is Ctrl-C, and gives the exit code.
func start(t *testing.T, args ...string) (out *terminal, ended <-chan struct{}, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out = &terminal{changed: make(chan struct{}, 1)}
	var code int
	done := make(chan struct{})
	go func() { // stop waits for it
		defer close(done)
		code = run(ctx, args, out)
	}()
	stop = func() int {
		cancel()
		<-done
		return code
	}
	t.Cleanup(func() { stop() })
	return out, done, stop
}

// once runs dev to its end.
func once(args ...string) (int, string) {
	out := &terminal{changed: make(chan struct{}, 1)}
	code := run(context.Background(), args, out)
	return code, out.String()
}

func TestAFirstStartAppliesEverythingAndASecondOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	dir := setup(t)
	migrations, err := pgtest.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, applied := range []int{len(migrations), 0} {
		out, ended, stop := start(t, "-dir="+dir, "-no-sidecar")
		out.await(t, "Ctrl-C stops everything", ended)
		for _, want := range []string{
			fmt.Sprintf("%d new, %d in all", applied, len(migrations)), "clio@demo.test", "theo@demo.test", demoPassword, "sb_publishable_", "REPLICATION_URL=",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q was not shown:\n%s", want, out)
			}
		}
		if code := stop(); code != 0 {
			t.Errorf("Ctrl-C ended with %d:\n%s", code, out)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "postgres-*", "data", "postmaster.pid")); err != nil || len(left) > 0 {
			t.Errorf("Postgres still runs: %v, %v", left, err)
		}
	}
}

func TestWithoutDenoTheScreenSaysThatNobodyIsPaged(t *testing.T) {
	t.Parallel()
	p := &project{url: "http://127.0.0.1:1"}
	if f := (&stack{root: t.TempDir()}).functions(p, nil); f.Deno != "" {
		t.Errorf("there is a Deno: %s", f.Deno)
	}
	if where, remark := p.pages(); where != "nobody is paged here" || !strings.Contains(remark, "Deno is missing") {
		t.Errorf("it says %q %q", where, remark)
	}
	if where, _ := (&project{url: "http://127.0.0.1:1"}).pages(); where != "http://127.0.0.1:1/standin/pages" {
		t.Errorf("with Deno it says %q", where)
	}
}

func TestTheDemoPeopleCanSignIn(t *testing.T) {
	t.Parallel()
	dir := setup(t)
	out, ended, stop := start(t, "-dir="+dir, "-no-sidecar")
	defer stop()
	out.await(t, "Ctrl-C stops everything", ended)
	field := func(name string) string {
		_, after, _ := strings.Cut(out.String(), name+"=")
		value, _, _ := strings.Cut(after, "\n")
		return value
	}
	body := strings.NewReader(`{"email": "clio@demo.test", "password": "` + demoPassword + `"}`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, field("SUPABASE_URL")+"/auth/v1/token?grant_type=password", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("apikey", field("SUPABASE_PUBLISHABLE_KEY"))
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		t.Errorf("signing in answered %s", response.Status)
	}
}

func TestTheSidecarStartsLastAndStopsFirst(t *testing.T) {
	t.Parallel()
	dir := setup(t)
	out, ended, stop := start(t, "-dir="+dir)
	out.await(t, "Ctrl-C stops everything", ended)
	_, after, _ := strings.Cut(out.String(), "  sidecar           ")
	url, _, _ := strings.Cut(after, " ")
	response, err := http.Get(url + "/readyz")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("/readyz answered %s", response.Status)
	}
	if code := stop(); code != 0 {
		t.Errorf("Ctrl-C ended with %d:\n%s", code, out)
	}
	_, stopping, _ := strings.Cut(out.String(), "stopping")
	order := []int{strings.Index(stopping, "sidecar"), strings.Index(stopping, "stand-in"), strings.Index(stopping, "Postgres")}
	if order[0] < 0 || order[0] > order[1] || order[1] > order[2] {
		t.Errorf("it stopped in another order:%s", stopping)
	}
	if response, err := http.Get(url + "/readyz"); err == nil {
		_ = response.Body.Close()
		t.Error("the sidecar still answers")
	}
}

func TestACommandRunsAgainstAThrowawayStackAndItsCodeIsPassedOn(t *testing.T) {
	t.Parallel()
	setup(t)
	code, out := once("-throwaway", "-no-sidecar", "-in=server", "--", "sh", "-c", `echo "at $SUPABASE_URL in $(basename "$PWD") as $DATABASE_URL"; exit 7`)
	if code != 7 {
		t.Errorf("the code is %d, want 7", code)
	}
	for _, want := range []string{"at http://127.0.0.1:", " in server as postgres://vigil:", "stopped"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

func TestAPortThatIsTakenIsNamedWhenItWasAskedFor(t *testing.T) {
	t.Parallel()
	dir := setup(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	address, ok := taken.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("not a TCP address")
	}
	code, out := once("-dir="+dir, "-no-sidecar", fmt.Sprintf("-standin-port=%d", address.Port))
	if want := fmt.Sprintf("127.0.0.1:%d is taken by another program", address.Port); code != 1 || !strings.Contains(out, want) {
		t.Errorf("code %d:\n%s", code, out)
	}
	other, err := listen(0, address.Port, false)
	if err != nil {
		t.Fatalf("a preferred port that is taken is an obstacle: %v", err)
	}
	_ = other.Close()
}

func TestASecondRunOnTheSameFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	release, err := claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	code, out := once("-dir="+dir, "-no-sidecar")
	if code != 1 || !strings.Contains(out, "stop that one first") {
		t.Errorf("code %d: %s", code, out)
	}
	if code, out = once("-dir="+dir, "-reset"); code != 1 || !strings.Contains(out, "stop that one first") {
		t.Errorf("reset under a running stack: code %d: %s", code, out)
	}
	release()
	if code, out = once("-dir="+dir, "-reset"); code != 0 {
		t.Errorf("reset: code %d: %s", code, out)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reset left %s: %v", dir, err)
	}
}

func TestAMigrationThatChangedAfterItWasAppliedIsRefused(t *testing.T) {
	t.Parallel()
	dir := setup(t)
	if code, out := once("-dir="+dir, "-no-sidecar", "--", "true"); code != 0 {
		t.Fatalf("the first start: code %d:\n%s", code, out)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "postgres-*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("Postgres' folder: %v, %v", kept, err)
	}
	c, err := pgtest.Open(t.Context(), pgtest.Options{Dir: kept[0], Keep: true, Version: pgtest.Default()})
	if err != nil {
		t.Fatal(err)
	}
	const older = `update supabase_migrations.schema_migrations set statements = '{select}' where version = (select min(version) from supabase_migrations.schema_migrations)`
	err = c.Run(t.Context(), pgtest.RoleOwner, database, []pgtest.Script{{Name: "a test", SQL: older}})
	if err := errors.Join(err, c.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if code, out := once("-dir="+dir, "-no-sidecar"); code != 1 || !strings.Contains(out, "was changed after") || !strings.Contains(out, "db:reset") {
		t.Errorf("code %d:\n%s", code, out)
	}
}
