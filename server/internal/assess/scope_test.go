package assess

import (
	"strings"
	"testing"
)

// scopeIn returns the scope in which a concept stands in text, the last time.
func scopeIn(text string, c concepts) (found scope, ok bool) {
	var s scratch
	s.read(compiled(), text)
	for _, p := range s.spans {
		if p.means&c != 0 {
			found, ok = p.scope, true
		}
	}
	return found, ok
}

func TestScopeSaysWhoAndWhenAndWhetherItIsDenied(t *testing.T) {
	t.Parallel()
	for text, c := range map[string]struct {
		concept   concepts
		has, lack scope
	}{
		"I would never use a rope":               {means, bySelf | negated, byOther},
		"I can't stop thinking about the bridge": {means, bySelf, negated},
		"I can't promise I won't use the rope":   {means, bySelf, negated},
		"my brother bought a rope":               {means, byOther, bySelf | negated},
		"last year I bought a rope":              {means, inPast, negated},
		"I bought a rope tonight":                {means, comingSoon, inPast},
		"why do people buy rope?":                {means, asked, negated},
		"in the film there is a rope":            {means, quoted, 0},
		"the knife spawned in the boss fight":    {means, played, 0},
		"I am not happy, I have a rope":          {means, bySelf, negated},
		"जहर नहीं":                               {means, negatedAfter, 0},
	} {
		got, ok := scopeIn(text, c.concept)
		if !ok {
			t.Errorf("nothing found: %s", text)
			continue
		}
		if got&c.has != c.has || got&c.lack != 0 {
			t.Errorf("scope %b, want %b and none of %b: %s", got, c.has, c.lack, text)
		}
	}
}

func TestLanguagesAreToldApart(t *testing.T) {
	t.Parallel()
	l := compiled()
	for text, want := range map[string]string{
		"I went to the shop and it was closed": "en",
		"estoy muy cansado de todo esto":       "es",
		"ich bin heute sehr müde und traurig":  "de",
		"je suis très fatigué de tout ça":      "fr",
		"eu não sei o que fazer com isso":      "pt",
		"non so cosa fare, sono molto stanco":  "it",
		"ik ben zo moe van alles":              "nl",
		"nie wiem co mam robić":                "pl",
		"sunt foarte obosit de toate":          "ro",
		"bugün çok yorgunum ama iyiyim":        "tr",
		"aku capek banget dengan semua ini":    "id",
		"я очень устал от всего":               "ru",
		"я дуже втомився від усього":           "uk",
		"أنا متعب جدا":                         "ar",
		"मैं बहुत थक गया हूँ":                  "hi",
		"今天我很累":                                "zh",
		"今日はとても疲れた":                            "ja",
		"오늘 너무 피곤해":                            "ko",
		"ok":                                   "en",
	} {
		var s scratch
		s.read(l, text)
		if got := l.tongues[s.tongues.first]; got != want {
			t.Errorf("%s, want %s: %s", got, want, text)
		}
	}
}

func TestEveryLexiconHasWhatTheCodeKnows(t *testing.T) {
	t.Parallel()
	files, err := lexiconFiles.ReadDir("lexicon")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) > maxTongues {
		t.Fatalf("%d lexicons, room for %d", len(files), maxTongues)
	}
	for _, file := range files {
		data, err := lexiconFiles.ReadFile("lexicon/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for number, line := range strings.Split(string(data), "\n") {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			name, _, ok := strings.Cut(line, ":")
			if !ok || conceptNamed(name) == 0 {
				t.Errorf("%s, line %d: no concept", file.Name(), number+1)
			}
		}
	}
}
