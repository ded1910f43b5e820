package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// faultPoints are the places where a build with the tag faults can be made to kill itself, as part.point. killAt fails
// when one of them is not reached, so the list cannot rot; 26 kills reach them all.
var faultPoints = []string{
	"replication.received", "replication.before_append", "replication.after_append", "replication.before_confirm", "replication.after_confirm",
	"pipeline.before_open", "pipeline.after_assess", "pipeline.before_record", "pipeline.after_record", "pipeline.before_ack",
	"relay.before_topic_append", "relay.after_topic_append", "relay.before_publish",
}

// kills is how many kills the test makes: 100 in CI, 1,000 by `go tool task soak`.
func kills(t testing.TB) int {
	t.Helper()
	text := os.Getenv("VIGIL_KILLS")
	if text == "" {
		return 100
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("VIGIL_KILLS: %v", err)
	}
	return n
}

// TestNothingIsMissedThroughKillAtAnyInstant is guarantees 1 and 3 under kill -9: at random instants, and at each named
// point, while clients write and clinicians watch.
func TestNothingIsMissedThroughKillAtAnyInstant(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	l := newLoad(t, s, 3)
	l.pause = slowPause
	stopWriting := l.begin(t)
	s.sidecar.kill()
	random := rand.New(rand.NewPCG(1, uint64(kills(t)))) //nolint:gosec // the same instants each time
	start := time.Now()
	for i := range kills(t) {
		if i%2 == 0 {
			killAt(t, s, faultPoints[i/2%len(faultPoints)], 1+random.IntN(5))
		} else {
			killAfter(t, s, random.IntN(4) > 0, time.Duration(random.IntN(300))*time.Millisecond)
		}
	}
	t.Logf("%d kills in %s", kills(t), time.Since(start).Round(time.Second))
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	stopWriting()
	l.verify(t, true)
	if code := s.sidecar.stop(t); code != 0 {
		t.Errorf("vigil ended with %d:\n%s", code, s.sidecar.out.tail())
	}
}

// killAt starts the sidecar and has it kill itself the nth time that it passes the point.
func killAt(t testing.TB, s *stack, point string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.sidecar.begin(t, fmt.Sprintf("VIGIL_FAULT=%s:%d", point, n))
	select {
	case <-s.sidecar.done:
		if !s.sidecar.wasKilled() {
			t.Fatalf("vigil ended by itself, not at %s\n%s", point, s.sidecar.out.tail())
		}
	case <-ctx.Done():
		s.sidecar.kill()
		t.Fatalf("%s was not reached in time\n%s", point, s.sidecar.out.tail())
	}
}

// killAfter starts the sidecar and kills it after a while: once it is ready, or while it starts.
func killAfter(t testing.TB, s *stack, ready bool, while time.Duration) {
	t.Helper()
	s.sidecar.begin(t)
	if ready {
		s.sidecar.mustBeReady(t)
	}
	after := time.NewTimer(while)
	defer after.Stop()
	select {
	case <-after.C:
	case <-s.sidecar.done:
		t.Errorf("vigil ended by itself:\n%s", s.sidecar.out.tail())
	}
	s.sidecar.kill()
}
