package triage_test

import (
	"fmt"
	"slices"
	"testing"

	"vigil/server/internal/triage"
)

func TestSessionTopicsAreADecayedSum(t *testing.T) {
	t.Parallel()
	var s triage.SessionTopics
	for _, topics := range [][]string{{"work", "sleep"}, {"work"}, nil, {"money", "money"}} {
		s = s.After(topics)
	}
	want := map[string]float64{"work": .9*.9*.9 + .9*.9, "money": 1, "sleep": .9 * .9 * .9}
	for i, topic := range []string{"work", "money", "sleep"} {
		if s[i].Topic != topic || s[i].Weight < float32(want[topic]-1e-5) || s[i].Weight > float32(want[topic]+1e-5) {
			t.Errorf("number %d is %+v, want %s of %.3f", i, s[i], topic, want[topic])
		}
	}
	before := slices.Clone(s)
	s.After([]string{"sleep"})
	if !slices.Equal(s, before) {
		t.Error("After changed what it was called on")
	}
	for range 40 {
		s = s.After(nil)
	}
	if len(s) != 0 {
		t.Errorf("%v is left after forty messages about nothing", s)
	}
}

func TestSessionTopicsStayFew(t *testing.T) {
	t.Parallel()
	var s triage.SessionTopics
	for i := range 30 {
		s = s.After([]string{fmt.Sprintf("topic-%02d", i)})
	}
	if len(s) != 12 || s[0].Topic != "topic-29" || s[11].Topic != "topic-18" {
		t.Errorf("%d topics, the heaviest %s, the lightest %s", len(s), s[0].Topic, s[len(s)-1].Topic)
	}
}
