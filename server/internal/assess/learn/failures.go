package learn

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
	"vigil/server/internal/triage"
)

// failuresShown is how many of a category, and how many in other languages, the page has.
const (
	failuresShown   = 4
	elsewhereShown  = 2
	longestFailure  = 240 // bytes; longer ones are left out
	failuresHeading = `# Known failures

Not clinically validated. These messages come out wrong. All are invented, held apart from training (of the half that thresholds were set on), and written to
be hard; how often each kind fails is printed by ` + "`go tool task detect:eval`" + `. A test holds this page to what the detector does
(` + "`go test ./server/internal/assess/learn -run TestThePageOfFailures -update`" + ` writes it anew).

A level is that of the Columbia scale, 0 to 6: what is not found is not there for anybody but the people in the session.
`
)

// kindsOfFailure are what the page has, in its order: a title, and the categories it is about.
var kindsOfFailure = []struct{ title, categories string }{
	{"Wishes to be dead, not found", "passive"},
	{"Thoughts of suicide, not found", "active method intent algospeak typos emoji"},
	{"Plans and farewells without a keyword, not found", "implicit"},
	{"Plans and attempts, not found", "plan behaviour"},
	{"Self-injury, not found", "nssi"},
	{"Danger to others, not found", "harm_others"},
	{"Abuse, not found", "abuse"},
	{"Acute distress, not found", "distress"},
	{"Denials, taken for what they deny", "negation"},
	{"What is over, taken for now", "recovered"},
	{"Somebody else, taken for the writer", "third_person"},
	{"Quotations, taken for the writer's words", "quote education"},
	{"Harmless words that sound like means and farewells", "benign_means ordinary"},
	{"Figures of speech and games, taken at their word", "idiom game tech harm_idiom"},
	{"Everyday pain, taken for a wish to die", "ordinary_distress topic"},
	{"Conflict, taken for abuse", "abuse_other"},
}

// Failures writes the page of what the detector is known to get wrong.
func Failures(d *assess.Detector, messages []corpus.Message) string {
	policy := triage.DefaultCrisisPolicy(uuid.UUID{1})
	var b strings.Builder
	b.WriteString(failuresHeading)
	for _, kind := range kindsOfFailure {
		var rows []string
		english, elsewhere := 0, 0
		for i := range messages {
			m := &messages[i]
			if !m.Tune || !strings.HasSuffix(m.ID, ".0") || len(m.Text) > longestFailure || !strings.Contains(" "+kind.categories+" ", " "+m.Category+" ") {
				continue
			}
			count, most := &english, failuresShown
			if m.Lang != "en" {
				count, most = &elsewhere, elsewhereShown
			}
			if *count == most {
				continue
			}
			a, _ := d.Assess(m.Text, triage.State{}, policy)
			if got, wrong := failed(m, &a); wrong {
				*count++
				rows = append(rows, fmt.Sprintf("| %s | %s | %s |\n", m.Lang, strings.ReplaceAll(m.Text, "|", "\\|"), got))
			}
		}
		if len(rows) > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n| | message | came out as |\n|---|---|---|\n%s", kind.title, strings.Join(rows, ""))
		}
	}
	return b.String()
}

// failed says what a message came out as, and whether that is wrong.
func failed(m *corpus.Message, a *triage.Assessment) (got string, wrong bool) {
	switch {
	case m.Risk == 1:
		return "level 0", a.Level == triage.LevelNone
	case m.Harm == 1:
		return "no danger to others", !a.HarmOthers
	case m.Abuse == 1:
		return "no abuse", !a.Abuse
	case m.Distress == 1:
		return "no acute distress", !a.Distress
	case m.Risk == 0 && a.Level > triage.LevelNone:
		return fmt.Sprintf("level %d", a.Level), true
	case m.Harm == 0 && a.HarmOthers:
		return "danger to others", true
	case m.Abuse == 0 && a.Abuse:
		return "abuse", true
	}
	return "", false
}
