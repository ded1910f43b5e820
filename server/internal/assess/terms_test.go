package assess_test

import (
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/google/uuid"

	"vigil/server/internal/assess"
	"vigil/server/internal/triage"
)

// topicsOf returns the topics of text, and what the evidence of own topics points at, as words.
func topicsOf(t *testing.T, terms *assess.Terms, text string) (topics, phrases []string) {
	t.Helper()
	policy := triage.DefaultCrisisPolicy(uuid.UUID{1})
	policy.Terms = terms
	a, _ := assess.New().Assess(text, triage.State{}, policy)
	units := utf16.Encode([]rune(text))
	for _, e := range a.Evidence {
		if !e.IsTopic() {
			continue
		}
		words, wide := text[e.Start:e.End], string(utf16.Decode(units[e.UTF16Start:e.UTF16End]))
		if words != wide {
			t.Errorf("bytes say %q, UTF-16 says %q", words, wide)
		}
		phrases = append(phrases, strings.TrimPrefix(e.Rule, triage.TopicRule)+"="+words)
	}
	return a.Topics, phrases
}

func TestOwnTermsAreFoundAtTheEdgesOfWordsInAnyCase(t *testing.T) {
	t.Parallel()
	terms := assess.CompileTerms([]triage.TopicTerm{
		{Topic: "night-shift", Term: "Night  shift"}, {Topic: "night-shift", Term: "nights"},
		{Topic: "visa", Term: "Kita", Language: "de"}, {Topic: "exams", Term: "高考"}, {Topic: "exams", Term: "abitur"},
		{Topic: "", Term: "nothing"}, {Topic: "empty", Term: "  "}, {Topic: "long", Term: strings.Repeat("x", 81)},
	})
	if terms.Len() != 3 {
		t.Errorf("%d topics, want 3", terms.Len())
	}
	for text, want := range map[string]string{
		"😀 My NIGHT \n shift again":        "night-shift=NIGHT \n shift",
		"overnight shifts":                 "",
		"nightshift":                       "",
		"two nights, a night shift":        "night-shift=nights night-shift=night shift",
		"他明年高考了":                           "exams=高考",
		"Das Abitur.":                      "exams=Abitur",
		"Abiturient":                       "",
		strings.Repeat("night ", 50) + "s": "",
	} {
		if _, got := topicsOf(t, terms, text); strings.Join(got, " ") != want {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
	}
}

func TestOwnTopicsComeFirstAndAreFew(t *testing.T) {
	t.Parallel()
	terms := assess.CompileTerms([]triage.TopicTerm{
		{Topic: "a", Term: "alpha"}, {Topic: "b", Term: "beta"}, {Topic: "c", Term: "gamma"}, {Topic: "d", Term: "delta"}, {Topic: "work", Term: "rota"},
	})
	topics, phrases := topicsOf(t, terms, "alpha beta gamma delta "+strings.Repeat("alpha ", 40))
	if strings.Join(topics, " ") != "a b c" || len(phrases) != 8 {
		t.Errorf("topics %v with %d phrases, want three and eight", topics, len(phrases))
	}
	topics, _ = topicsOf(t, terms, "my boss and the rota at work")
	if strings.Join(topics, " ") != "work" {
		t.Errorf("topics %v, want the built-in one once", topics)
	}
}

func TestTermsDoNotChangeWhatIsFoundOtherwiseAndServeMany(t *testing.T) {
	t.Parallel()
	detector, text := assess.New(), "I want to kill myself after the night shift"
	bare := triage.DefaultCrisisPolicy(uuid.UUID{1})
	own := bare
	own.Terms = assess.CompileTerms([]triage.TopicTerm{{Topic: "nights", Term: "night shift"}})
	var none *assess.Terms
	nobody := bare
	nobody.Terms = none
	want, _ := detector.Assess(text, triage.State{}, bare)
	if got, _ := detector.Assess(text, triage.State{}, nobody); len(got.Topics) != len(want.Topics) {
		t.Errorf("no terms found %v", got.Topics)
	}
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			got, _ := detector.Assess(text, triage.State{}, own)
			if got.Level != want.Level || got.Alert != want.Alert || got.Scores != want.Scores || len(got.Evidence) != len(want.Evidence)+1 || got.Topics[0] != "nights" {
				t.Errorf("level %d, topics %v, %d of evidence", got.Level, got.Topics, len(got.Evidence))
			}
		})
	}
	callers.Wait()
}

func FuzzOwnTermsTakeAnyText(f *testing.F) {
	f.Add("night shift", "\xff night  shift\xfe")
	f.Add("a a", "a a a a")
	f.Add("高考", "\u202e高考\u200b")
	detector := assess.New()
	f.Fuzz(func(t *testing.T, term, text string) {
		policy := triage.DefaultCrisisPolicy(uuid.UUID{1})
		policy.Terms = assess.CompileTerms([]triage.TopicTerm{{Topic: "t", Term: term}, {Topic: "u", Term: "a"}})
		a, _ := detector.Assess(text, triage.State{}, policy)
		for _, e := range a.Evidence {
			if e.Start < 0 || e.End > len(text) || e.Start >= e.End || e.UTF16Start < 0 || e.UTF16Start >= e.UTF16End {
				t.Fatalf("evidence %+v lies outside the text", e)
			}
		}
	})
}
