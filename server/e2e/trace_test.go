package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/gateway"
	"vigil/server/internal/telemetry"
)

// TestTraceOfAMessage: the running sidecar tells when a message that somebody watched passed each stage, and nothing of
// what it says.
func TestTraceOfAMessage(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	organization, _ := s.organization(t)
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	y := s.therapy(t, organization)
	w := s.watch(y.therapist, "session:"+y.id.String())
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error { return w.run(ctx) })
	defer func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	}()
	y.send(t, "The first one is seen when the channel has been joined.")
	awaitEvents(t, w, 1)
	const plaintext = "Canary: I walked along the river yesterday."
	id := y.send(t, plaintext)
	awaitEvents(t, w, 2)

	a := awaitTrace(t, s, id)
	if a.Message != id || a.LSN == "" {
		t.Errorf("%+v", a)
	}
	for i, stage := range a.Stages {
		if stage.SinceCommit < 0 || stage.SinceCommit > time.Minute.Seconds()*1000 {
			t.Errorf("%s after %f ms", stage.Stage, stage.SinceCommit)
		}
		// The frame does not wait for the assessment.
		if before := a.Stages[max(0, i-1)]; stage.Stage != telemetry.StageRelayed && stage.At.Before(before.At) {
			t.Errorf("%s is before %s", stage.Stage, before.Stage)
		}
	}
	// Nor for the pipeline, which reads LOG on its own.
	if relayed, committed := a.Stages[5], a.Stages[0]; relayed.At.Before(committed.At) {
		t.Errorf("relayed %s, committed %s", relayed.At, committed.At)
	}

	code, out, stderr := s.vigil(t, "trace", id.String())
	if code != 0 || stderr != "" || strings.Count(out, " ms") != len(telemetry.Stages) || !strings.Contains(out, "commit  "+a.LSN) {
		t.Errorf("code %d: %s%s", code, out, stderr)
	}
	if strings.Contains(out+s.sidecar.out.String(), "Canary") {
		t.Error("the plaintext was printed")
	}
	code, out, stderr = s.vigil(t, "trace", uuid.NewString())
	if code != 1 || out != "" || !strings.HasPrefix(stderr, "not kept") {
		t.Errorf("an unknown message: code %d: %s%s", code, out, stderr)
	}
}

// awaitEvents waits until the watcher has seen so many messages.
func awaitEvents(t *testing.T, w *watcher, messages int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		w.mu.Lock()
		seen, changed := 0, w.changed
		for _, e := range w.entries {
			if e.Event == "message" {
				seen++
			}
		}
		w.mu.Unlock()
		if seen >= messages {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%d of %d messages were seen", seen, messages)
		}
	}
}

// awaitTrace asks until the message has passed every stage: the frame may be there before the assessment is recorded.
func awaitTrace(t *testing.T, s *stack, id uuid.UUID) gateway.TraceAnswer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var a gateway.TraceAnswer
		code, out, _ := s.vigil(t, "trace", "--json", id.String())
		if code == 0 {
			if err := json.Unmarshal([]byte(out), &a); err != nil {
				t.Fatal(err)
			}
			var stages []string
			for _, stage := range a.Stages {
				stages = append(stages, stage.Stage)
			}
			if slices.Equal(stages, telemetry.Stages[:]) {
				return a
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not every stage was passed: %s", out)
		}
	}
}

// vigil runs one command of the binary beside the sidecar, in its environment.
func (s *stack) vigil(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, s.sidecar.env...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run() // the exit code says it
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}
