package assess_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"vigil/server/internal/assess"
	"vigil/server/internal/triage"
)

// expectation is a line of testdata/sentences.txt.
type expectation struct {
	text                  string
	least, most           triage.Level
	harm, abuse, distress bool
}

func sentences(t testing.TB) (all []expectation) {
	t.Helper()
	data, err := os.ReadFile("testdata/sentences.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndex(line, " | ")
		words := strings.Fields(line[max(at, 0)+2:])
		if at < 0 || len(words) == 0 {
			t.Fatalf("no expectation: %s", line)
		}
		e := expectation{text: line[:at]}
		least, most, _ := strings.Cut(words[0], "-")
		for at, n := range map[*triage.Level]string{&e.least: least, &e.most: most} {
			level, err := strconv.Atoi(n)
			if err != nil {
				t.Fatalf("no level: %s", line)
			}
			*at = triage.Level(level)
		}
		for _, word := range words[1:] {
			switch word {
			case "harm":
				e.harm = true
			case "abuse":
				e.abuse = true
			case "distress":
				e.distress = true
			default:
				t.Fatalf("unknown word %q: %s", word, line)
			}
		}
		all = append(all, e)
	}
	return all
}

func TestPlainSentencesComeOutAsAnyoneWouldExpect(t *testing.T) {
	t.Parallel()
	all := sentences(t)
	if len(all) < 200 {
		t.Fatalf("%d sentences, not 200", len(all))
	}
	detector := assess.New()
	for _, e := range all {
		a, _ := detector.Assess(e.text, triage.State{}, standard())
		if a.Level < e.least || a.Level > e.most {
			t.Errorf("level %d, want %d to %d: %s", a.Level, e.least, e.most, e.text)
		}
		if a.HarmOthers != e.harm || a.Abuse != e.abuse {
			t.Errorf("harm %v, abuse %v: %s", a.HarmOthers, a.Abuse, e.text)
		}
		if e.distress && !a.Distress {
			t.Errorf("no distress: %s", e.text)
		}
		if a.Level >= triage.LevelIntent && !a.Alert || a.Level > triage.LevelNone && len(a.Evidence) == 0 {
			t.Errorf("level %d, alert %v, %d of evidence: %s", a.Level, a.Alert, len(a.Evidence), e.text)
		}
	}
}

// TestAQuietRuleHoldsBackNoMoreThanItFound: what the model hears beside it has evidence of its own, and pages.
func TestAQuietRuleHoldsBackNoMoreThanItFound(t *testing.T) {
	t.Parallel()
	policy := standard()
	policy.QuietRules = []string{"wish.burden"}
	a, _ := assess.New().Assess("everyone would be better off without me, the pills are counted out on the table and tonight I will take them", triage.State{}, policy)
	if a.Level < triage.LevelIntent || !a.Alert {
		t.Errorf("level %d, alert %t, evidence %v", a.Level, a.Alert, a.Evidence)
	}
	if b, _ := assess.New().Assess("everyone would be better off without me", triage.State{}, policy); b.Alert {
		t.Errorf("what the rule found alone pages: %+v", b)
	}
}
