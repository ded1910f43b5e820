package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"vigil/server/internal/pipeline"
	"vigil/server/internal/triage"
)

// Guarantee 1, at each named point: the process stops there, again and again, and what it had not passed on comes again.
func TestNothingIsMissedThroughCrashAtBeforeOpen(t *testing.T) { crashAt(t, pipeline.AtBeforeOpen) }

func TestNothingIsMissedThroughCrashAtAfterAssess(t *testing.T) { crashAt(t, pipeline.AtAfterAssess) }

func TestNothingIsMissedThroughCrashAtBeforeRecord(t *testing.T) {
	crashAt(t, pipeline.AtBeforeRecord)
}

func TestNothingIsMissedThroughCrashAtAfterRecord(t *testing.T) { crashAt(t, pipeline.AtAfterRecord) }

func TestNothingIsMissedThroughCrashAtBeforeAck(t *testing.T) { crashAt(t, pipeline.AtBeforeAck) }

func crashAt(t *testing.T, point string) {
	t.Parallel()
	b := setup(t)
	b.log = newLog(2)
	sessions := []interface {
		Send(testing.TB, string) triage.Message
	}{b.Session(t), b.Session(t), b.Session(t)}
	for round := range 6 {
		for i, s := range sessions {
			text := fmt.Sprintf("an ordinary day %d", round)
			if (round+i)%3 == 0 {
				text = "I am going to kill myself tonight"
			}
			b.log.append(b.shown(t, s.Send(t, text))...)
		}
	}
	crashes := 0
	for nth := 1; nth <= 5; nth++ {
		if b.crash(t, point, 1+nth%2) {
			crashes++
		}
	}
	if crashes < 3 {
		t.Fatalf("only %d crashes", crashes)
	}
	_, stop := run(t, b.patient())
	b.awaitAssessed(t)
	stop()
	b.demandExactlyOnce(t)
	if n := b.count(t, `public.alerts where level >= 4`); n != 6 {
		t.Errorf("%d alerts, want 6", n)
	}
}

// crash runs a pipeline that stops when it comes to the point for the nth time; from then on its context is dead, as a
// killed process' connections are. It reports whether it came there before everything was assessed.
func (b *bundle) crash(t *testing.T, point string, nth int) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := b.patient()
	var seen atomic.Int64
	c.At = func(at string) {
		if at == point && seen.Add(1) == int64(nth) {
			cancel()
		}
	}
	p := pipeline.New(c)
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }() // waited for below
	done := false
	await(t, "a crash", func() bool {
		done = done || b.count(t, behind) == 0
		return ctx.Err() != nil || done
	})
	crashed := ctx.Err() != nil
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	return crashed
}

func TestNothingIsMissedWhenDeliveriesAreRepeatedReorderedAndLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	random := rand.New(rand.NewPCG(7, 11))
	var shown [][]byte
	for range 5 {
		s := b.Session(t)
		for i := range 12 {
			shown = append(shown, b.shown(t, s.Send(t, fmt.Sprintf("message %d", i)))...)
		}
	}
	delivered := append(append([][]byte(nil), shown...), shown[:20]...)
	random.Shuffle(len(delivered), func(i, j int) { delivered[i], delivered[j] = delivered[j], delivered[i] })
	b.log.append(delivered[:len(delivered)*3/4]...)
	p, stop := run(t, b.patient())
	await(t, "all deliveries are handled", func() bool { return p.Stats().Entries == 60 && p.Stats().Parked == 0 })
	stop()
	first := p.Stats()
	p, stop = run(t, b.config()) // what was lost at the end of a session, only reconcile can find
	b.awaitAssessed(t)
	stop()
	b.demandExactlyOnce(t)
	if n := first.Assessed + p.Stats().Assessed; first.Gaps == 0 || n != 60 {
		t.Errorf("stats %+v, %+v, want gaps, and 60 assessed together", first, p.Stats())
	}
}

func TestTwoPipelinesOfOneDatabaseLeaveOneAssessmentEach(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := *b
	other.log = newLog(3)
	one, stopOne := run(t, b.config())
	two, stopTwo := run(t, other.config())
	for range 4 {
		s := b.Session(t)
		for i := range 10 {
			entry := b.shown(t, s.Send(t, fmt.Sprintf("I want to die, message %d", i)))
			b.log.append(entry...)
			other.log.append(entry...)
		}
	}
	b.awaitAssessed(t)
	stopOne()
	stopTwo()
	b.demandExactlyOnce(t)
	// A commit whose answer a stopping pipeline did not read is counted by neither.
	if n := one.Stats().Assessed + two.Stats().Assessed; n > 40 || n < 30 {
		t.Errorf("%d and %d assessed, want 40 together", one.Stats().Assessed, two.Stats().Assessed)
	}
}

func TestGapIsCaughtUpFromTheTables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	first, lost, third := s.Send(t, "one"), s.Send(t, "I am going to kill myself"), s.Send(t, "three")
	b.log.append(b.shown(t, first)...)
	p, stop := run(t, b.patient())
	b.log.append(b.shown(t, third)...)
	b.awaitAssessed(t)
	fourth := s.Send(t, "four")
	b.log.append(b.shown(t, fourth)...)
	b.awaitAssessed(t)
	stop()
	b.demandExactlyOnce(t)
	if n := b.count(t, `public.alerts where message_id = $1`, lost.ID); n != 1 {
		t.Errorf("%d alerts of the message that the log never had", n)
	}
	if s := p.Stats(); s.Gaps != 1 || s.Reconciled != 0 {
		t.Errorf("stats %+v, want one gap, and the fourth message from the log again", s)
	}
}

func TestReconcileFindsWhatTheLogNeverHad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		s := b.Session(t)
		s.Send(t, "one")
		s.Send(t, "I have a gun to my head")
	}
	p, stop := run(t, b.config())
	b.awaitAssessed(t)
	late := b.Session(t)
	late.Send(t, "after the start")
	b.awaitAssessed(t)
	awaitCounted(t, p, 7)
	stop()
	b.demandExactlyOnce(t)
	if s := p.Stats(); s.Reconciled < 4 || s.Assessed != 7 || s.Alerts != 3 {
		t.Errorf("stats %+v", s)
	}
}

func TestMoreSessionsBehindThanFitAreFoundByAndBy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 7 {
		b.Session(t).Send(t, "one")
	}
	c := b.config()
	c.MaxParked, c.MaxSessions = 2, 2
	p, stop := run(t, c)
	b.awaitAssessed(t)
	if s := p.Stats(); s.Parked > 2 || s.Sessions > 2 {
		t.Errorf("stats %+v, want at most two of each in memory", s)
	}
	stop()
	b.demandExactlyOnce(t)
}

func TestErasedMessageIsPassedOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, other := b.Session(t), b.Session(t)
	one, two, three, four := s.Send(t, "one"), s.Send(t, "two"), s.Send(t, "three"), s.Send(t, "four")
	s.Erase(t, one, three, four) // the log still shows them
	b.log.append(b.shown(t, one, two, three, four, other.Send(t, "I took all the pills"))...)
	p, stop := run(t, b.patient())
	b.awaitAssessed(t)
	five := s.Send(t, "five")
	b.log.append(b.shown(t, five)...)
	b.awaitAssessed(t)
	stop()
	b.demandExactlyOnce(t)
	if n := b.count(t, `public.assessments where message_id = any ($1)`, []any{two.ID, five.ID}); n != 2 {
		t.Errorf("%d of the two that are left were assessed", n)
	}
	if s := p.Stats(); s.NotAssessed != 0 {
		t.Errorf("stats %+v: an erased message needs no alert", s)
	}
}

func TestUnreadableEntryIsFoundInTheTables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	s.Send(t, "I want to kill myself")
	b.log.append([]byte("no entry at all"))
	c := b.config()
	p, stop := run(t, c)
	b.awaitAssessed(t)
	await(t, "the fault is counted", func() bool { return p.Stats().Faults == 1 })
	stop()
	b.demandExactlyOnce(t)
	if !strings.Contains(b.lines.String(), "log could not be read") {
		t.Error("nothing was said of it")
	}
}

func TestStateOfASessionSurvivesARestart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	b.log.append(b.shown(t, s.Send(t, "I keep thinking about killing myself"))...)
	_, stop := run(t, b.patient())
	b.awaitAssessed(t)
	stop()
	second := s.Send(t, "I don't want to live. I have the pills here.")
	b.log.append(b.shown(t, second)...)
	_, stop = run(t, b.patient())
	b.awaitAssessed(t)
	stop()
	if n := b.count(t, `public.alerts where message_id = $1`, second.ID); n != 1 {
		t.Errorf("%d alerts, want one: it follows on what was said before the restart", n)
	}
}
