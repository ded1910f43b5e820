package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"vigil/server/internal/replay"
)

func TestWithoutATerminalALineIsPrintedNowAndThen(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(0, 0)
	s := newReplayScreen(Process{Stderr: &out, Getenv: func(string) string { return "" }, Now: func() time.Time { return now }})
	p := replay.Progress{Phase: replay.PhaseRunning, Total: 2, Counts: replay.Counts{Planned: 10, Written: 4, Assessed: 3, NotAssessed: 1, Missing: 1}, Alerts: map[string]int{"4": 1, "none": 1}}
	for range 3 {
		s.progress(p)
		now = now.Add(plainInterval / 2)
	}
	p.Phase = replay.PhaseDone
	s.progress(p)
	s.end()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || strings.Contains(out.String(), "\x1b") ||
		lines[0] != "running: 0 of 2 conversations, written 4 of 10, assessed 4, relayed 0, missing 1, doubled 0, alerts 2" {
		t.Errorf("%q", lines)
	}
}

func TestTheBarObeysNoColor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		noColor string
		red     bool
	}{{"", true}, {"1", false}} {
		var out bytes.Buffer
		s := newReplayScreen(Process{Stderr: &out, Getenv: func(string) string { return c.noColor }})
		s.tty = true
		for _, n := range []int{1, 5} {
			s.progress(replay.Progress{Phase: replay.PhaseRunning, Counts: replay.Counts{Planned: 10, Written: n + 1, Assessed: n, Missing: 1}})
		}
		s.end()
		if got := strings.Contains(out.String(), "\x1b[31m"); got != c.red || !strings.Contains(out.String(), "on its way 1") {
			t.Errorf("NO_COLOR=%q: %q", c.noColor, out.String())
		}
	}
}

func TestTheSummarySaysFirstWhetherAnythingIsMissing(t *testing.T) {
	t.Parallel()
	good := replay.Summary{
		Conversations: 2, Ended: 2, Seconds: 4, Messages: replay.Counts{Planned: 8, Written: 8, Assessed: 8, Relayed: 8}, Alerts: map[string]int{"4": 1},
		Human: replay.Judgement{Known: 2, Agreed: 1, Missed: []string{"a-quiet-one", "another", "a-quiet-one"}, Levels: 2, Exactly: 1},
	}
	bad, cut, failed := good, good, good
	bad.Messages.Missing = 1
	cut.Interrupted = true
	failed.Failed, failed.Reasons = 1, []string{"one: send a message: 403 42501"}
	for _, c := range []struct {
		s    replay.Summary
		want []string
	}{
		{good, []string{"Nothing is missing, and nothing is doubled.\n", "2 of 2 in 4.0 s", "8 of 8 (2.0 a second)", "4: 1", "1 of 2 conversations alerted as expected", "no alert: a-quiet-one (2 times), another\n"}},
		{bad, []string{"NOT ALL IS WELL", "missing                1"}},
		{cut, []string{"It was interrupted"}},
		{failed, []string{"Not every conversation", "1 of 2", "one: send a message: 403"}},
	} {
		var out bytes.Buffer
		printReplay(&out, c.s)
		first, _, _ := strings.Cut(out.String(), "\n")
		for i, want := range c.want {
			if i == 0 && !strings.HasPrefix(first+"\n", want) || !strings.Contains(out.String(), want) {
				t.Errorf("%q is not in\n%s", want, out.String())
			}
		}
	}
}
