package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/replay"
)

// replaying is `vigil replay` as a process of its own.
type replaying struct {
	cmd    *exec.Cmd
	out    bytes.Buffer
	log    output
	done   chan error
	killed bool
}

// replay starts `vigil replay` with the stack's addresses and keys; extra variables win.
func (s *stack) replay(t testing.TB, extra []string, words ...string) *replaying {
	t.Helper()
	r := &replaying{done: make(chan error, 1)}
	r.cmd = exec.Command(binary(t), append([]string{"replay", "--json"}, words...)...)
	r.cmd.Env = slices.Concat([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "VIGIL_URL=" + s.vigilURL}, s.sidecar.env, extra)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.log
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("start vigil replay: %v", err)
	}
	go func() { r.done <- r.cmd.Wait() }() // end waits for it
	t.Cleanup(func() {
		if !r.killed {
			_ = r.cmd.Process.Kill()
			<-r.done
		}
	})
	return r
}

// end waits for the process' end, and returns what it says and its exit code.
func (r *replaying) end(t testing.TB) (summary replay.Summary, code int) {
	t.Helper()
	select {
	case err := <-r.done:
		r.killed = true
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
	case <-time.After(4 * patience):
		t.Fatalf("vigil replay does not end:\n%s", r.log.tail())
	}
	if r.out.Len() > 0 {
		if err := json.Unmarshal(r.out.Bytes(), &summary); err != nil {
			t.Fatalf("what it printed is no summary: %v\n%s", err, r.out.String())
		}
	}
	return summary, r.cmd.ProcessState.ExitCode()
}

// writtenTo waits until n messages are stored in the organisation.
func (s *stack) writtenTo(t testing.TB, organization uuid.UUID, n int, r *replaying) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) {
		var stored int
		err := s.admin.QueryRow(ctx, "select count(*) from public.messages where organization_id = $1", organization).Scan(&stored)
		return stored >= n, err
	}); err != nil {
		t.Fatalf("%d messages were not written: %v\n%s", n, err, r.log.tail())
	}
}

// tallied holds a summary against the tables.
func (s *stack) tallied(t testing.TB, organization uuid.UUID, got replay.Summary) {
	t.Helper()
	var messages, assessed, alerts, open int
	if err := s.admin.QueryRow(t.Context(), `
		select
			(select count(*) from public.messages where organization_id = $1),
			(select count(distinct message_id) from public.assessments where organization_id = $1 and status = 'assessed'),
			(select count(*) from public.alerts where organization_id = $1),
			(select count(*) from public.sessions where organization_id = $1 and status <> 'ended')`, organization).
		Scan(&messages, &assessed, &alerts, &open); err != nil {
		t.Fatal(err)
	}
	raised := 0
	for _, n := range got.Alerts {
		raised += n
	}
	m := got.Messages
	if messages == 0 || m.Written != messages || m.Assessed != assessed || assessed != messages || m.Relayed != messages || raised != alerts || open != 0 {
		t.Errorf("the tables have %d messages, %d assessed, %d alerts, %d sessions that are not ended; replay says %+v, alerts %v", messages, assessed, alerts, open, m, got.Alerts)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)

	t.Run("counts everything once, at full speed", func(t *testing.T) {
		org, _ := s.organization(t)
		got, code := s.replay(t, nil, "--speed=max", "--concurrency=4", "--organization="+org.String()).end(t)
		all := replay.Bundled()
		if code != 0 || got.Conversations != len(all) || got.Ended != len(all) || !got.OK() {
			t.Fatalf("exit code %d, %+v", code, got)
		}
		s.tallied(t, org, got)
		if got.Detector.Known != len(all) || got.Detector.Agreed != len(all) || got.Detector.Exactly != len(all) {
			t.Errorf("the sidecar does not find what the detector alone does: %+v", got.Detector)
		}
		if got.Human.Agreed == 0 || got.Human.Agreed == got.Human.Known || len(got.Human.Missed)+len(got.Human.Raised) != got.Human.Known-got.Human.Agreed {
			t.Errorf("against a human reader: %+v", got.Human)
		}
		if got.Assessment.Count != got.Messages.Written || got.Assessment.P50 <= 0 || got.Assessment.Max < got.Assessment.P99 || got.Alert.Count == 0 {
			t.Errorf("latencies %+v, %+v", got.Assessment, got.Alert)
		}
		t.Logf("%d messages in %.1f s; insert to assessment %+v; to alert %+v", got.Messages.Written, got.Seconds, got.Assessment, got.Alert)
	})
	t.Run("enrols a second factor where staff need one", func(t *testing.T) {
		org, _ := s.organization(t)
		s.sql(t, "update public.organizations set require_aal2 = true where id = $1", org)
		r := s.replay(t, nil, "--speed=max", "--conversations=2", "--concurrency=1", "--organization="+org.String())
		got, code := r.end(t)
		if code != 0 {
			t.Fatalf("exit code %d: %+v\n%s", code, got, r.log.tail())
		}
		s.tallied(t, org, got)
		var proven int
		const query = `select count(*) from auth.mfa_factors f join public.memberships m on m.user_id = f.user_id
			where m.organization_id = $1 and m.role = 'therapist' and f.status = 'verified'`
		if err := s.admin.QueryRow(t.Context(), query, org).Scan(&proven); err != nil || proven != 1 {
			t.Errorf("%d therapists have a second factor: %v", proven, err)
		}
	})
	t.Run("reads a file, ends what it opened, and leaves nobody with a right", func(t *testing.T) { s.replayFile(t) })
	t.Run("ends cleanly when it is interrupted", func(t *testing.T) { s.replayInterrupted(t) })
	t.Run("says what to do next", func(t *testing.T) { s.replayAdvice(t) })
}

func (s *stack) replayFile(t *testing.T) {
	org, _ := s.organization(t)
	file := filepath.Join(t.TempDir(), "mine.jsonl")
	const line = `{"id":"elsewhere-1","risk":"Imminent","turns":[["user","` + crisisText + `"],["agent","I am here."]]}` + "\n"
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	got, code := s.replay(t, nil, "--file="+file, "--conversations=3", "--concurrency=2", "--speed=1000", "--organization="+org.String()).end(t)
	if code != 0 || got.Messages.Written != 6 || got.Human.Agreed != 3 || got.Detector.Known != 0 {
		t.Errorf("exit code %d, %+v", code, got)
	}
	s.tallied(t, org, got)
	var live, logins int
	const query = `
		select (select count(*) from public.memberships where organization_id = $1 and ended_at is null and role <> 'admin'),
		       (select count(*) from auth.sessions l join public.memberships m using (user_id) where m.organization_id = $1 and m.role <> 'admin')`
	if err := s.admin.QueryRow(t.Context(), query, org).Scan(&live, &logins); err != nil || live != 0 || logins != 0 {
		t.Errorf("%d memberships and %d logins are left: %v", live, logins, err)
	}
}

func (s *stack) replayInterrupted(t *testing.T) {
	org, _ := s.organization(t)
	r := s.replay(t, nil, "--speed=4", "--concurrency=2", "--organization="+org.String())
	s.writtenTo(t, org, 4, r)
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	got, code := r.end(t)
	if code != 1 || !got.Interrupted || got.OK() || !got.Messages.Sound() || got.Messages.Written >= got.Messages.Planned {
		t.Errorf("exit code %d, %+v\n%s", code, got, r.log.tail())
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %s to end", took)
	}
	s.tallied(t, org, got)
}

func (s *stack) replayAdvice(t *testing.T) {
	s.organization(t)
	const wrong = "sb_secret_wrongwrongwrong"
	for sentence, c := range map[string]struct {
		extra, words []string
		code         int
		want         string
	}{
		"a wrong key":            {[]string{"SUPABASE_SECRET_KEY=" + wrong}, nil, 1, "SUPABASE_SECRET_KEY"},
		"no project there":       {nil, []string{"--supabase-url=http://127.0.0.1:9"}, 1, "SUPABASE_URL"},
		"no sidecar there":       {nil, []string{"--vigil-url=http://127.0.0.1:9", "--organization=Test practice"}, 1, ""},
		"another server":         {nil, []string{"--vigil-url=" + s.supabaseURL}, 1, ""},
		"several organisations":  {nil, nil, 1, "--organization"},
		"none of that name":      {nil, []string{"--organization=Nowhere"}, 1, "id of one"},
		"no key at all":          {[]string{"SUPABASE_SECRET_KEY="}, nil, 2, "SUPABASE_SECRET_KEY"},
		"a file that is not one": {nil, []string{"--file=" + t.TempDir()}, 2, "--file"},
	} {
		r := s.replay(t, c.extra, append([]string{"--conversations=1", "--speed=max"}, c.words...)...)
		_, code := r.end(t)
		said := r.log.String()
		if code != c.code || !strings.Contains(said, c.want) || c.code == 1 && !strings.Contains(said, "→") || strings.Contains(said, wrong) || strings.Contains(said, s.secretKey) {
			t.Errorf("%s: exit code %d\n%s", sentence, code, said)
		}
	}
}

// TestReplaySurvivesAKilledSidecar is what the demo shows: kill -9 in the middle, and nothing is missing or counted twice.
// It then shows that the count can fail: of a sidecar that does not come back, everything since is missing.
func TestReplaySurvivesAKilledSidecar(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	r := s.replay(t, nil, "--speed=25", "--concurrency=6", "--conversations=30", "--organization="+org.String())
	for _, n := range []int{20, 80} {
		s.writtenTo(t, org, n, r)
		s.sidecar.kill()
		s.writtenTo(t, org, n+3, r) // people write on while it is away, until their conversation waits to be heard
		s.sidecar.begin(t)
		s.sidecar.mustBeReady(t)
	}
	got, code := r.end(t)
	if code != 0 || !got.OK() {
		t.Fatalf("exit code %d, %+v\n%s", code, got, r.log.tail())
	}
	s.tallied(t, org, got)
	if got.Reconnects == 0 || got.Recovered == 0 || got.NotRecovered != 0 {
		t.Errorf("%d connections were lost, %d topics recovered, %d did not", got.Reconnects, got.Recovered, got.NotRecovered)
	}
	t.Logf("%d messages, %d connections lost, %d topics recovered; insert to assessment %+v", got.Messages.Written, got.Reconnects, got.Recovered, got.Assessment)

	other, _ := s.organization(t)
	r = s.replay(t, nil, "--speed=25", "--concurrency=2", "--conversations=2", "--patience=3s", "--organization="+other.String())
	s.writtenTo(t, other, 3, r)
	s.sidecar.kill()
	if got, code = r.end(t); code != 1 || got.OK() || got.Messages.Missing == 0 || got.Messages.Relayed == got.Messages.Written {
		t.Errorf("exit code %d though the sidecar is gone: %+v\n%s", code, got, r.log.tail())
	}
}
