package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/replay"
)

// silent is a replay that says what it was told to, and waits.
type silent struct {
	said    replay.Progress
	summary replay.Summary
	err     error
	end     chan struct{}
}

func (s *silent) Sessions() []uuid.UUID { return nil }

func (s *silent) Run(ctx context.Context, progress func(replay.Progress)) (replay.Summary, error) {
	progress(s.said)
	select {
	case <-s.end:
	case <-ctx.Done():
	}
	return s.summary, s.err
}

// serve runs a demo page of its own, over a sidecar that is up and a Postgres that is away.
func serve(t *testing.T, plays func(float64, int) (player, error)) *demo {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &demo{
		url: "http://" + listener.Addr().String(), listener: listener, sidecar: &sidecar{state: stateUp, died: make(chan struct{})}, plays: plays,
		pages: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the page") }),
	}
	if d.counts, err = pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nothing"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { return d.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		defer d.counts.Close()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *demo) ask(t *testing.T, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
			continue
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(raw)
}

func TestOnlyThisMachinesOwnPageMayAsk(t *testing.T) {
	t.Parallel()
	d := serve(t, func(float64, int) (player, error) { return nil, errors.New("nobody should get here") })
	_, port, _ := net.SplitHostPort(d.listener.Addr().String())
	const asJSON = "application/json"
	for sentence, c := range map[string]struct {
		method, path string
		headers      []string
		want         int
	}{
		"the page itself":                 {"GET", "/", nil, 200},
		"the page, by a link from abroad": {"GET", "/", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		"its state":                       {"GET", "/api/state", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"as localhost":                    {"GET", "/api/state", []string{"Host", "localhost:" + port}, 200},
		"a name that points here":         {"GET", "/api/state", []string{"Host", "evil.example:" + port}, 421},
		"the page by a name":              {"GET", "/", []string{"Host", "evil.example"}, 421},
		"another port":                    {"GET", "/api/state", []string{"Host", "127.0.0.1:1"}, 421},
		"another page reads":              {"GET", "/api/state", []string{"Origin", "http://evil.example"}, 403},
		"another page listens":            {"GET", "/api/events", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"another port's page reads":       {"GET", "/api/state", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"a foreign form":                  {"POST", "/api/plug", []string{"Content-Type", "text/plain", "Origin", "http://evil.example"}, 403},
		"a form of no origin":             {"POST", "/api/plug", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		"a post of no type":               {"POST", "/api/plug", nil, 415},
		"null is an origin":               {"POST", "/api/plug", []string{"Content-Type", asJSON, "Origin", "null"}, 403},
		"what is asked with GET":          {"GET", "/api/plug", nil, 404},
		"no such call":                    {"POST", "/api/reset", []string{"Content-Type", asJSON}, 404},
		"a call of another shape":         {"POST", "/api/start", []string{"Content-Type", asJSON}, 500},
	} {
		if got, body := d.ask(t, c.method, c.path, "", c.headers...); got != c.want {
			t.Errorf("%s: %d, want %d: %s", sentence, got, c.want, body)
		}
	}
	for _, body := range []string{`{"speed":-1}`, `{"speed":1e9}`, `{"conversations":-1}`, `{"conversations":100000}`} {
		if got, said := d.ask(t, "POST", "/api/start", body, "Content-Type", asJSON); got != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", body, got, said)
		}
	}
	for _, body := range []string{"[", `{"speed":"fast"}`, strings.Repeat(" ", demoMaxBody+1)} {
		if got, said := d.ask(t, "POST", "/api/start", body, "Content-Type", asJSON); got != http.StatusBadRequest {
			t.Errorf("%.20q: %d %s", body, got, said)
		}
	}
}

func TestOneReplayAtATimeAndItsFaultIsShown(t *testing.T) {
	t.Parallel()
	play := &silent{
		said: replay.Progress{Counts: replay.Counts{Planned: 10, Written: 4}}, err: errors.New("the sidecar refused the socket"),
		summary: replay.Summary{Messages: replay.Counts{Planned: 10, Written: 5}}, end: make(chan struct{}),
	}
	var asked struct {
		speed         float64
		conversations int
	}
	d := serve(t, func(speed float64, conversations int) (player, error) {
		asked.speed, asked.conversations = speed, conversations
		return play, nil
	})
	if code, body := d.ask(t, "POST", "/api/start", `{"speed": 3, "conversations": 2}`, "Content-Type", "application/json"); code != http.StatusAccepted || asked.speed != 3 || asked.conversations != 2 {
		t.Fatalf("%d %s, asked for %+v", code, body, asked)
	}
	if code, body := d.ask(t, "POST", "/api/start", "{}", "Content-Type", "application/json"); code != http.StatusConflict || !strings.Contains(body, "already_running") {
		t.Errorf("a second one: %d %s", code, body)
	}
	ended := false
	for state := range states(t, d) {
		if r := state.Replay; r == nil || r.Total != 0 && r.Total != 10 {
			t.Fatalf("%+v", state)
		} else if !r.Running {
			if r.Error == nil || *r.Error != "the sidecar refused the socket" || r.Sent != 5 || state.Counters.Written != 5 {
				t.Errorf("%+v", r)
			}
			break
		}
		if !ended {
			ended = true
			close(play.end)
		}
	}
}

// states gives what the event stream tells, until the caller has enough.
func states(t *testing.T, d *demo) func(func(demoState) bool) {
	t.Helper()
	return func(yield func(demoState) bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/api/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			data, found := strings.CutPrefix(lines.Text(), "data: ")
			if !found {
				continue
			}
			var state demoState
			if err := json.Unmarshal([]byte(data), &state); err != nil {
				t.Fatal(err)
			}
			if !yield(state) {
				return
			}
		}
		t.Fatalf("the event stream ended: %v", lines.Err())
	}
}

func TestASidecarThatIsDownCanNeitherBeKilledNorPlayedTo(t *testing.T) {
	t.Parallel()
	d := serve(t, nil)
	d.sidecar.is(stateDown)
	for _, path := range []string{"/api/plug", "/api/start"} {
		if code, body := d.ask(t, "POST", path, "{}", "Content-Type", "application/json"); code != http.StatusConflict || !strings.Contains(body, "sidecar_down") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// TestStartThenPullThePlug is the demo itself, on the real stack: a replay through the page's API, kill -9 in the middle, and
// every message written, assessed and relayed once.
func TestStartThenPullThePlug(t *testing.T) {
	t.Parallel()
	dir := setup(t)
	out, ended, stop := start(t, "-dir="+dir)
	out.await(t, "Ctrl-C stops everything", ended)
	d := &demo{url: shownAt(t, out, "the demo")}
	variables := readVariables(t, filepath.Join(dir, "dev.env"))
	if variables["VIGIL_DEMO_URL"] != d.url || !strings.Contains(out.String(), "dev.env") {
		t.Errorf("the variables do not tell of the demo:\n%s", out)
	}
	if code, body := d.ask(t, "POST", "/api/start", `{"speed": 20, "conversations": 24}`, "Content-Type", "application/json"); code != http.StatusAccepted {
		t.Fatalf("%d %s", code, body)
	}
	var last demoState
	killed, sawDown := 0, false
	for last = range states(t, d) {
		if last.Replay == nil {
			t.Fatalf("%+v", last)
		}
		if at := []int{30, 90}; killed < len(at) && last.Replay.Sent >= at[killed] && last.Sidecar.State == stateUp {
			if code, body := d.ask(t, "POST", "/api/plug", "{}", "Content-Type", "application/json"); code != http.StatusAccepted {
				t.Fatalf("%d %s", code, body)
			}
			killed++
		}
		sawDown = sawDown || last.Sidecar.State == stateDown
		if c := last.Counters; c.Missing+c.Doubled > 0 {
			t.Fatalf("it counts %+v", c)
		}
		if !last.Replay.Running {
			break
		}
	}
	c := last.Counters
	if last.Replay.Error != nil {
		t.Fatalf("the replay failed: %s", *last.Replay.Error)
	}
	if killed != 2 || last.Sidecar.Kills != 2 || !sawDown {
		t.Errorf("%d kills of %d, seen down %t", last.Sidecar.Kills, killed, sawDown)
	}
	if c.Written == 0 || c.Written != last.Replay.Total || c.Assessed != c.Written || c.Relayed != c.Written || len(c.Alerts) == 0 || last.Latency.P50 <= 0 {
		t.Errorf("%+v, %+v, %+v", *last.Replay, c, last.Latency)
	}
	if len(last.People) != 5 || last.ConsoleURL == "" {
		t.Errorf("people %v, console %q", last.People, last.ConsoleURL)
	}
	replayFromAnotherTerminal(t, filepath.Join(dir, "vigil"), variables)
	if code := stop(); code != 0 {
		t.Errorf("Ctrl-C ended with %d:\n%s", code, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "dev.env")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the variables are still there: %v", err)
	}
}

// shownAt is the address that stands behind a name on the screen.
func shownAt(t *testing.T, out *terminal, name string) string {
	t.Helper()
	_, after, _ := strings.Cut(out.String(), fmt.Sprintf("\n  %-16s  ", name))
	address, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	address, _, _ = strings.Cut(address, "\n")
	if !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Fatalf("%s is not shown:\n%s", name, out)
	}
	return address
}

// readVariables reads the file as a shell does, and holds that nobody else may.
func readVariables(t *testing.T, file string) map[string]string {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	raw, err := exec.Command("sh", "-c", `set -a; . "$0"; set +a; env`, file).Output()
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{}
	for _, line := range strings.Split(string(raw), "\n") {
		name, value, _ := strings.Cut(line, "=")
		variables[name] = value
	}
	return variables
}

// replayFromAnotherTerminal runs what the screen says an operator can: doctor, and replay.
func replayFromAnotherTerminal(t *testing.T, program string, variables map[string]string) {
	t.Helper()
	for _, words := range [][]string{{"doctor"}, {"replay", "--conversations=1", "--speed=max"}} {
		cmd := exec.Command(program, words...)
		for name, value := range variables {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			t.Errorf("vigil %s: %v\n%s", words[0], err, out.String())
		}
	}
}

func TestADemoPortThatIsTakenIsNamedWhenItWasAskedFor(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	address, ok := taken.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("not a TCP address")
	}
	s := &stack{options: options{demoPort: address.Port}}
	if err := s.openDemo(); err == nil || !strings.Contains(err.Error(), "is taken by another program") {
		t.Errorf("%v", err)
	}
}
