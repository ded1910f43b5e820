package learn

import (
	"fmt"
	"os"
	"strings"
)

// target is what a measure is wished to reach. It fails nobody: floors do.
type target struct {
	what, key string
	value     float64
	most      bool // at most, else at least
}

var targets = []target{
	{"self-harm on posts and traps that may be trained on, AUPRC", "self-harm/all permissive sources/auprc", .70, false},
	{"the same, found at 5 % false", "self-harm/all permissive sources/recall at 5% false", .90, false},
	{"self-harm on the corpus, AUPRC", "self-harm/corpus/auprc", .70, false},
	{"the same, found at 5 % false", "self-harm/corpus/recall at 5% false", .90, false},
	{"level ≥ 2 against ordinary talk, found at 1 % false", "level 2 and up against ordinary talk/llm_cssrs_code/recall at 1% false", .95, false},
	{"escalated at level ≥ 4, posts", "level/llm_cssrs_code/escalated at level 4 and up", .97, false},
	{"escalated at level ≥ 4, corpus", "level/corpus/escalated at level 4 and up", .97, false},
	{"ordinary talk escalated: DailyDialog++", "ordinary talk/dailydialog++/escalate", .05, true},
	{"ordinary talk escalated: ESConv", "ordinary talk/esconv-dev/escalate", .05, true},
	{"ordinary talk escalated: GoEmotions", "ordinary talk/goemotions-train/escalate", .05, true},
	{"ordinary talk alerting: DailyDialog++", "ordinary talk/dailydialog++/alert", .003, true},
	{"ordinary talk alerting: ESConv", "ordinary talk/esconv-dev/alert", .003, true},
	{"ordinary talk alerting: CounselChat", "ordinary talk/counselchat-q/alert", .003, true},
	{"ordinary talk alerting: GoEmotions", "ordinary talk/goemotions-train/alert", .003, true},
	{"flagged: negation", "category not at risk/negation/flagged", .10, true},
	{"flagged: recovered", "category not at risk/recovered/flagged", .10, true},
	{"flagged: third person", "category not at risk/third_person/flagged", .10, true},
	{"flagged: quotes", "category not at risk/quote/flagged", .10, true},
	{"flagged: idioms", "category not at risk/idiom/flagged", .10, true},
	{"flagged: games", "category not at risk/game/flagged", .10, true},
	{"found: passive wishes", "category at risk/passive/flagged", .90, false},
	{"found: plans without keywords", "category at risk/implicit/flagged", .90, false},
	{"found: algospeak", "category at risk/algospeak/flagged", .90, false},
	{"found: typos", "category at risk/typos/flagged", .90, false},
	{"found: emoji", "category at risk/emoji/flagged", .90, false},
	{"found: harm to others", "harm to others/corpus/found", .80, false},
	{"found: abuse", "abuse/corpus/found", .80, false},
	{"levels 0–6, quadratic kappa, posts", "level/llm_cssrs_code/quadratic kappa", .55, false},
	{"levels 0–6, quadratic kappa, corpus", "level/corpus/quadratic kappa", .55, false},
	{"sessions, any risk, AUROC: VERA-MH", "sessions/VERA-MH/AUROC any risk", .95, false},
	{"sessions, any risk, AUROC: corpus", "sessions/corpus/AUROC any risk", .95, false},
	{"sessions without risk that alert: VERA-MH", "sessions/VERA-MH/alert without risk", .10, true},
	{"sessions without risk that alert: corpus", "sessions/corpus/alert without risk", .10, true},
	{"sentiment, macro F1", "sentiment/goemotions/macro F1", .68, false},
	{"topics, right one among the first three: CounselChat", "topics/counselchat/top 3", .80, false},
	{"topics, right one among the first three: corpus", "topics/corpus/top 3", .80, false},
	{"70 words, µs, 99th percentile", "speed/70 words/µs p99", 60, true},
}

// targetsHeading begins the card's last part, which judging writes.
const targetsHeading = "\n## Against the targets\n"

// Targets is a table of what was wished for, what was reached, and whether that is enough.
func (e *Evaluation) Targets() string {
	values := map[string]Measure{}
	for _, m := range e.Measures {
		values[m.Key] = m
	}
	var b strings.Builder
	b.WriteString(targetsHeading + "\nOn what was not trained on; the corpus' messages were written to be hard. Written by `go tool task detect:eval -- -write-floors`.\n\n| | target | reached | of | |\n|---|--:|--:|--:|---|\n")
	for _, t := range targets {
		m, measured := values[t.key]
		if !measured {
			continue
		}
		sign, met := "≥", m.Value >= t.value
		if t.most {
			sign, met = "≤", m.Value <= t.value
		}
		verdict := "missed"
		if met {
			verdict = "met"
		}
		fmt.Fprintf(&b, "| %s | %s %.3g | %.3g | %d | %s |\n", t.what, sign, t.value, m.Value, m.Of, verdict)
	}
	return b.String()
}

// WriteTargets puts the table at the end of the card.
func (e *Evaluation) WriteTargets(card string) error {
	text, err := os.ReadFile(card)
	if err != nil {
		return fmt.Errorf("write targets: %w", err)
	}
	before, _, _ := strings.Cut(string(text), targetsHeading)
	if err := os.WriteFile(card, []byte(strings.TrimRight(before, "\n")+"\n"+e.Targets()), 0o644); err != nil { //nolint:gosec // a file of the repository, for everyone
		return fmt.Errorf("write targets: %w", err)
	}
	return nil
}
