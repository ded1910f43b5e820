package assess_test

import (
	"testing"

	"vigil/server/internal/assess"
	"vigil/server/internal/triage"
)

// hold runs messages through a session and returns each one's assessment.
func hold(d *assess.Detector, texts ...string) (all []triage.Assessment, state triage.State) {
	for _, text := range texts {
		var a triage.Assessment
		a, state = d.Assess(text, state, standard())
		all = append(all, a)
	}
	return all, state
}

func TestWishesAddUpThoughNoneAlonePages(t *testing.T) {
	t.Parallel()
	d := assess.New()
	wish := "I wish I was dead"
	all, _ := hold(d, wish, wish, wish, wish, wish, "the dog is fine")
	for i, a := range all {
		if a.Alert {
			t.Errorf("message %d paged at level %d", i+1, a.Level)
		}
	}
	if !all[4].Escalate {
		t.Error("five wishes to be dead are for nobody's review")
	}
}

func TestAGraveSessionStaysGraveUntilAPersonSaysOtherwise(t *testing.T) {
	t.Parallel()
	d := assess.New()
	calm := make([]string, 40)
	for i := range calm {
		calm[i] = "the weather is nice and the garden too"
	}
	_, state := hold(d, append([]string{"I am going to kill myself tonight"}, calm...)...)
	after, _ := d.Assess("I wish I was dead", state, standard())
	alone, _ := d.Assess("the weather is nice and the garden too", state, standard())
	if !after.Escalate {
		t.Error("a wish to be dead, forty calm messages after a plan, is for nobody's review")
	}
	if alone.Alert {
		t.Error("a calm message pages because of what is long known")
	}
}

func TestAnEarlyAlertNeedsNoLaterTurn(t *testing.T) {
	t.Parallel()
	d := assess.New()
	turns := []string{"hi", "it's been a hard week", "I want to kill myself", "I took all the pills", "sorry", "bye"}
	whole, _ := hold(d, turns...)
	for n := range turns {
		part, _ := hold(d, turns[:n+1]...)
		if part[n].Level != whole[n].Level || part[n].Alert != whole[n].Alert || part[n].Escalate != whole[n].Escalate {
			t.Errorf("turn %d differs when more follow", n+1)
		}
	}
	if !whole[3].Alert {
		t.Error("pills taken, and no alert at once")
	}
}
