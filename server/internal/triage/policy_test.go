package triage_test

import (
	"math"
	"slices"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/triage"
)

// rests is evidence of rules.
func rests(rules ...string) (evidence []triage.Evidence) {
	for _, r := range rules {
		evidence = append(evidence, triage.Evidence{Rule: r, End: 1, UTF16End: 1})
	}
	return evidence
}

func TestPolicySaysWhichCategoriesPageAndAreReviewed(t *testing.T) {
	t.Parallel()
	standard := triage.DefaultCrisisPolicy(uuid.New())
	abuse, quietly, probably := standard, standard, standard
	abuse.Page.Categories |= triage.Abuse
	quietly.Page.Categories, quietly.Review.Categories = 0, triage.SelfHarm
	probably.Page.Least = triage.Scores{Risk: .8, HarmOthers: .9}
	probably.Review.Least = triage.Scores{Risk: .2, Distress: .5}
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		policy        triage.CrisisPolicy
		found         triage.Assessment
		pages, review bool
	}{
		"abuse pages where it is on":                 {abuse, triage.Assessment{Abuse: true}, true, true},
		"distress does not, where it is off":         {abuse, triage.Assessment{Distress: true}, false, true},
		"self-harm off pages nobody":                 {quietly, triage.Assessment{Level: 5}, false, true},
		"not even by a hard rule":                    {quietly, triage.Assessment{Level: 6, Hard: triage.SelfHarm}, false, true},
		"what is off for review is not reviewed":     {quietly, triage.Assessment{Distress: true, Abuse: true, HarmOthers: true}, false, false},
		"less probable than asked: reviewed":         {probably, triage.Assessment{Level: 5, Scores: triage.Scores{Risk: .79}}, false, true},
		"as probable as asked: paged":                {probably, triage.Assessment{Level: 5, Scores: triage.Scores{Risk: .8}}, true, true},
		"a hard rule asks for no probability":        {probably, triage.Assessment{Level: 5, Hard: triage.SelfHarm}, true, true},
		"a hard rule of another category does":       {probably, triage.Assessment{Level: 5, Hard: triage.Abuse}, false, false},
		"harm, less probable than asked":             {probably, triage.Assessment{HarmOthers: true, Scores: triage.Scores{HarmOthers: .5}}, false, true},
		"distress, less probable than asked":         {probably, triage.Assessment{Distress: true, Scores: triage.Scores{Distress: .4}}, false, false},
		"a probability that is no number holds none": {probably, triage.Assessment{Level: 4, Scores: triage.Scores{Risk: nan}}, true, true},
		"a probability alone pages nobody":           {standard, triage.Assessment{Scores: triage.Scores{Risk: 1, HarmOthers: 1}}, false, false},
		"the zero policy tells nobody":               {triage.CrisisPolicy{}, triage.Assessment{Level: 6, HarmOthers: true}, false, false},
	} {
		if pages, reviews := c.policy.Pages(c.found), c.policy.Reviews(c.found); pages != c.pages || reviews != c.review {
			t.Errorf("%s: pages %v, reviews %v", name, pages, reviews)
		}
	}
}

func TestQuietRulesAlonePageNobody(t *testing.T) {
	t.Parallel()
	p := triage.DefaultCrisisPolicy(uuid.New())
	p.QuietRules, p.ReviewRules = []string{"intent.song", "harm.game"}, []string{"topic.visa", "idiom.end"}
	for name, c := range map[string]struct {
		found         triage.Assessment
		pages, review bool
	}{
		"a quiet rule alone":               {triage.Assessment{Level: 4, Evidence: rests("intent.song")}, false, true},
		"two of them":                      {triage.Assessment{Level: 4, HarmOthers: true, Evidence: rests("intent.song", "harm.game")}, false, true},
		"a key phrase beside it":           {triage.Assessment{Level: 4, Evidence: rests("topic.work", "intent.song")}, false, true},
		"another rule beside it":           {triage.Assessment{Level: 4, Evidence: rests("intent.song", "plan.note")}, true, true},
		"no evidence at all":               {triage.Assessment{Level: 4}, true, true},
		"only a key phrase":                {triage.Assessment{Level: 4, Evidence: rests("topic.work")}, true, true},
		"forced by a hard rule":            {triage.Assessment{Level: 4, Hard: triage.SelfHarm, Evidence: rests("intent.song")}, true, true},
		"a hard rule for what does not":    {triage.Assessment{Level: 4, Abuse: true, Hard: triage.Abuse, Evidence: rests("intent.song")}, false, true},
		"a rule for review, nothing found": {triage.Assessment{Evidence: rests("topic.visa")}, false, true},
		"another rule, nothing found":      {triage.Assessment{Evidence: rests("topic.work")}, false, false},
	} {
		if pages, reviews := p.Pages(c.found), p.Reviews(c.found); pages != c.pages || reviews != c.review {
			t.Errorf("%s: pages %v, reviews %v", name, pages, reviews)
		}
	}
	p.PageAtLevel = triage.LevelActiveThoughts
	if p.Pages(triage.Assessment{Level: 3, Hard: triage.SelfHarm, Evidence: rests("intent.song")}) {
		t.Error("a hard rule below intent made a quiet rule loud")
	}
	if !p.Pages(triage.Assessment{Level: 3, Hard: triage.SelfHarm, Evidence: rests("direct.thoughts")}) {
		t.Error("a rule that is not quiet was")
	}
}

func TestCategoriesAreNamedAsTheDatabaseNamesThem(t *testing.T) {
	t.Parallel()
	for c := range triage.AllCategories + 1 {
		if got := triage.CategoriesOf(c.Names()); got != c {
			t.Errorf("%v reads as %d, want %d", c.Names(), got, c)
		}
	}
	if got := triage.CategoriesOf([]string{"abuse", "something newer", "self_harm"}); got != triage.SelfHarm|triage.Abuse {
		t.Errorf("categories %v", got.Names())
	}
	if names := triage.AllCategories.Names(); !slices.Equal(names, []string{"self_harm", "harm_others", "abuse", "distress"}) {
		t.Errorf("names %v", names)
	}
}
