package realtime

import (
	"testing"
	"time"
)

// TestTurnsThatAreGivenUpAreTheNextOnes: a storm whose clients went away while they waited keeps nobody else out.
func TestTurnsThatAreGivenUpAreTheNextOnes(t *testing.T) {
	t.Parallel()
	const perSecond, most = 100, 5 * time.Second
	of, now := newTurns(perSecond), time.Unix(1_800_000_000, 0)
	for i := range perSecond {
		if wait, ok := of.take(now, most); wait != 0 || !ok {
			t.Fatalf("turn %d of those at once: wait %s, %t", i, wait, ok)
		}
	}
	waiting := 0
	for {
		wait, ok := of.take(now, most)
		if !ok {
			break
		}
		if waiting++; wait != time.Duration(waiting)*of.every {
			t.Fatalf("turn %d waits %s", waiting, wait)
		}
	}
	if waiting != perSecond*5 {
		t.Fatalf("%d wait", waiting)
	}
	for range 1000 { // who is refused takes nothing
		if _, ok := of.take(now, most); ok {
			t.Fatal("a turn beyond the longest wait")
		}
	}
	for range waiting {
		of.giveBack()
	}
	if wait, ok := of.take(now, most); wait != of.every || !ok {
		t.Errorf("after all have gone away: wait %s, %t", wait, ok)
	}
	later := now.Add(time.Hour)
	for i := range perSecond {
		if wait, _ := of.take(later, most); wait != 0 {
			t.Fatalf("turn %d of those at once, later: wait %s", i, wait)
		}
	}
	if wait, _ := of.take(later, most); wait != of.every {
		t.Errorf("the rest of an hour was saved up: wait %s", wait)
	}
}
