package assess_test

import (
	"testing"

	"vigil/server/internal/assess"
	"vigil/server/internal/triage"
)

func TestSentimentsHaveAWord(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]triage.Assessment{
		"positive": {Sentiment: .3, Emotions: []string{"surprise"}}, "negative": {Sentiment: -.9},
		"ambiguous": {Sentiment: .1, Emotions: []string{"confusion"}}, "neutral": {Sentiment: -.1, Emotions: []string{"joy", "surprise"}},
	} {
		if got := assess.SentimentLabel(a); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := assess.SentimentLabel(triage.Assessment{}); got != "neutral" {
		t.Errorf("nothing is %s", got)
	}
}

func TestASessionsRiskNeverFallsAndStaysBelowOne(t *testing.T) {
	t.Parallel()
	said := func(risk float32, level triage.Level) triage.Assessment {
		return triage.Assessment{Level: level, Scores: triage.Scores{Risk: risk}}
	}
	all := []triage.Assessment{said(.1, 0), said(.9, 2), said(.05, 0), said(.6, 1), said(1, 6), said(0, 0), said(1, 6)}
	last := float32(0)
	for n := range len(all) + 1 {
		got := assess.SessionRisk(all[:n])
		if got < last || got > 1 {
			t.Errorf("after %d messages %v, before it %v", n, got, last)
		}
		last = got
	}
	if last != 1 {
		t.Errorf("two of the gravest are %v", last)
	}
	if one, two := assess.SessionRisk(all[1:2]), assess.SessionRisk([]triage.Assessment{all[1], all[1]}); !(two > one) {
		t.Errorf("said twice it is %v, once %v", two, one)
	}
}
