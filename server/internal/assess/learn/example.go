package learn

import (
	"slices"
	"strings"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
)

const (
	heads   = int(assess.Heads)
	outputs = assess.Outputs // what a text is labelled for: the heads, and behind them the sentiments
)

// example is a labelled text as the models see it.
type example struct {
	segments []assess.Features // ids
	common   []uint32
	labels   [outputs]int8 // 1, 0, or unknown
	level    int8          // Columbia scale, or unknown
	weight   float32
	held     bool
	tune     bool   // of what is held: for calibration and thresholds; the rest is for judging
	source   string // of the shared data, or "corpus/" and a category
	text     string
	language string
}

// How much one text of a source weighs against another: against how many there are of it, and how far its labels can be
// trusted.
var sourceWeights = map[string]float32{
	"goemotions-train": 1, "davidson": .6, "counselchat-q": 2, "cssrs500-posts": 4, "llm-cssrs-dev": 12, "traps-dev": 4,
	"templ-": .5,
}

const (
	corpusWeight = 0.6 // more of it teaches the corpus itself, and unlearns what posts on forums are like
	calmWeight   = 2.5 // ordinary talk of the corpus, against all the rest
	pairWeight   = 2   // a side of a contrast pair
)

// onlyFelt are remarks of GoEmotions of which nobody says whether they are of risk.
const onlyFelt = "goemotions-felt"

func unlabelled() (labels [outputs]int8) {
	for h := range labels {
		labels[h] = unknown
	}
	return labels
}

// atLeast labels the levels up to sure as reached, those from not on as not reached, and those between as unknown.
func atLeast(labels *[outputs]int8, sure, not int8) {
	for k := int8(1); k <= 6; k++ {
		switch {
		case k <= sure:
			labels[int(assess.HeadLevel1)+int(k)-1] = 1
		case k >= not:
			labels[int(assess.HeadLevel1)+int(k)-1] = 0
		}
	}
}

// ofMessage labels a message of the corpus.
func ofMessage(m *corpus.Message) example {
	e := example{labels: unlabelled(), level: m.Level, weight: corpusWeight, held: m.Held, tune: m.Tune, source: "corpus/" + m.Category, text: m.Text, language: m.Lang}
	e.labels[assess.HeadRisk] = m.Risk
	e.labels[assess.HeadHarm], e.labels[assess.HeadAbuse], e.labels[assess.HeadDistress] = m.Harm, m.Abuse, m.Distress
	switch {
	case m.Category == "past":
		atLeast(&e.labels, 0, 2)
	case m.Risk == unknown:
		atLeast(&e.labels, 0, 3)
	default:
		atLeast(&e.labels, m.Level, m.Level+1)
	}
	if m.Risk == 0 {
		e.level = 0
	}
	if m.Category == "sentiment" {
		e.feel(m.Sentiment)
	}
	if m.Category == "ordinary" || m.Category == "benign_means" {
		e.weight *= calmWeight
	}
	if m.Pair != "" {
		e.weight *= pairWeight
	}
	return e
}

// feel labels which of the sentiments a text has.
func (e *example) feel(sentiment string) {
	for k, name := range assess.Sentiments() {
		e.labels[heads+k] = 0
		if name == sentiment {
			e.labels[heads+k] = 1
		}
	}
}

// sentiment is the index of the one that a text is labelled with, -1: none.
func (e *example) sentiment() int { return slices.Index(e.labels[heads:], 1) }

// ofRow labels a row of risk_permissive or the templates. felt is what its text is labelled with beside, if it is among those of
// GoEmotions.
func ofRow(r *Row, felt *Row) example {
	e := example{labels: unlabelled(), level: unknown, weight: 1, source: r.Source, text: r.Text, language: "en"}
	e.held, e.tune = !r.Trainable(), !Judged(r.Text)
	if w, ok := sourceWeights[r.Source]; ok {
		e.weight = w
	} else if strings.HasPrefix(r.Source, "templ-") {
		e.weight = sourceWeights["templ-"]
	}
	e.labels[assess.HeadRisk] = r.Risk
	switch r.Risk {
	case 0:
		e.level = 0
		atLeast(&e.labels, 0, 1)
		e.labels[assess.HeadHarm], e.labels[assess.HeadAbuse], e.labels[assess.HeadDistress] = 0, 0, 0
	case 1:
		atLeast(&e.labels, 1, 7)
	}
	switch r.Source {
	case "goemotions-train":
		if felt != nil {
			e.feelAs(felt)
		}
	case "counselchat-q", "llm-cssrs-dev", "severity", "templ-distress", "suicidewatch-sample", "traps-dev":
		e.labels[assess.HeadAbuse], e.labels[assess.HeadDistress] = unknown, unknown
		if r.Source != "counselchat-q" && r.Source != "templ-distress" {
			e.labels[assess.HeadHarm] = unknown
		}
	case "templ-passive":
		atLeast(&e.labels, 1, 2)
	case "templ-active", "templ-nssi":
		atLeast(&e.labels, 2, 7)
	case "templ-plan":
		atLeast(&e.labels, 4, 7)
	case "templ-attempt":
		atLeast(&e.labels, 6, 7)
	}
	if r.Category != "" {
		e.trap(r)
	}
	if r.Level >= 0 && r.Category == "" {
		e.level = r.Level
		atLeast(&e.labels, r.Level, r.Level+1)
	}
	return e
}

// feelAs labels a remark as GoEmotions does: where it is one of fear or grief it may be of distress.
func (e *example) feelAs(felt *Row) {
	for _, emotion := range felt.Emotions {
		switch emotion {
		case "fear", "sadness", "grief", "nervousness", "remorse":
			e.labels[assess.HeadDistress] = unknown
		}
	}
	if len(felt.Sentiment) == 1 {
		e.feel(felt.Sentiment[0])
	}
}

// trap labels what a trap's category says of it beside risk.
func (e *example) trap(r *Row) {
	e.source = "traps-dev"
	e.weight = sourceWeights["traps-dev"]
	e.labels[assess.HeadHarm], e.labels[assess.HeadAbuse] = 0, 0
	switch r.Category {
	case "harm_others":
		e.labels[assess.HeadHarm] = 1
	case "abuse_disclosure":
		e.labels[assess.HeadAbuse] = 1
	}
	if r.Risk == 1 && r.Level > 0 {
		atLeast(&e.labels, r.Level, 7)
	}
}

// gather makes examples of all that there is to learn from and to measure by; shared may be nil.
func gather(shared *Shared, messages []corpus.Message) []example {
	var all []example
	for i := range messages {
		all = append(all, ofMessage(&messages[i]))
	}
	if shared == nil {
		return all
	}
	felt, severity, traps := map[string]*Row{}, map[string]int8{}, map[string]bool{}
	for i := range shared.Emotions {
		felt[shared.Emotions[i].Text] = &shared.Emotions[i]
	}
	for i := range shared.Severity {
		severity[shared.Severity[i].Text] = shared.Severity[i].Level
	}
	for i := range shared.Traps {
		traps[shared.Traps[i].Text] = true
		all = append(all, ofRow(&shared.Traps[i], nil))
	}
	for _, rows := range [][]Row{shared.Risk, shared.Templates, shared.Ordinary} {
		for i := range rows {
			r := rows[i]
			if traps[r.Text] {
				continue
			}
			if level, ok := severity[r.Text]; ok {
				r.Level = level
			}
			all = append(all, ofRow(&r, felt[r.Text]))
			delete(felt, r.Text)
		}
	}
	for i := range shared.Emotions {
		if r := &shared.Emotions[i]; felt[r.Text] == r {
			e := example{labels: unlabelled(), level: unknown, weight: 1, held: !r.Trainable(), tune: !Judged(r.Text), source: onlyFelt, text: r.Text, language: "en"}
			e.feelAs(r)
			all = append(all, e)
		}
	}
	return all
}
