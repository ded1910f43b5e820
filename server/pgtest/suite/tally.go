package main

import (
	"fmt"
	"slices"
	"strings"
)

// tally counts single tests, of whatever kind.
type tally struct {
	passed, failed, skipped int

	failures []string       // their names
	reasons  map[string]int // why tests were skipped, and how many
}

func (t *tally) total() int { return t.passed + t.failed + t.skipped }

func (t *tally) add(other *tally) {
	t.passed += other.passed
	t.failed += other.failed
	t.failures = append(t.failures, other.failures...)
	for reason, count := range other.reasons {
		for range count {
			t.skip(reason)
		}
	}
}

func (t *tally) fail(name string) {
	t.failed++
	t.failures = append(t.failures, name)
}

func (t *tally) skip(reason string) {
	t.skipped++
	if t.reasons == nil {
		t.reasons = make(map[string]int)
	}
	t.reasons[reason]++
}

// absent counts a part that cannot run here: as one skipped test, or as a failed one in CI, where everything must run.
func (s *suite) absent(name, reason string) {
	if s.ci {
		s.say("FAIL %s: %s (CI=true: this may not be skipped)", name, reason)
		s.tally.fail(name + ": " + reason)
		return
	}
	s.say("skip %s: %s", name, reason)
	s.tally.skip(name + ": " + reason)
}

// report prints the failures and the reasons of skips, and last the line that others count by.
func (s *suite) report() {
	s.say("")
	for _, reason := range sortedKeys(s.tally.reasons) {
		s.say("skipped %d: %s", s.tally.reasons[reason], reason)
	}
	const shown = 50
	for i, name := range s.tally.failures {
		if i == shown {
			s.say("… and %d more", len(s.tally.failures)-shown)
			break
		}
		s.say("failed: %s", name)
	}
	s.say("%s", s.tally.String())
}

func (t *tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
