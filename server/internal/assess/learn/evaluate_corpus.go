package learn

import (
	"slices"
	"strconv"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
	"vigil/server/internal/triage"
)

// everyday are the categories that people's ordinary talk in a therapy chat is made of.
var everyday = []string{"ordinary", "ordinary_distress", "sentiment", "topic"}

func labelled(messages []corpus.Message, label func(corpus.Message) int8) []sample {
	var set []sample
	for _, m := range messages {
		if v := label(m); v != corpus.Unknown {
			set = append(set, sample{m.Text, v == 1})
		}
	}
	return set
}

func riskOf(m corpus.Message) int8 { return m.Risk }

// selfHarm judges the risk of self-harm on the corpus: whole, by language, by register and by age.
func (e *Evaluation) selfHarm() {
	e.ranking("self-harm/corpus", askRisk, labelled(e.messages, riskOf))
	e.answers("self-harm/corpus", askRisk, labelled(e.messages, riskOf))
	var serious []sample
	for _, m := range e.messages {
		switch {
		case m.Risk == 1 && m.Level >= 2:
			serious = append(serious, sample{m.Text, true})
		case slices.Contains(everyday, m.Category):
			serious = append(serious, sample{m.Text, false})
		}
	}
	e.ranking("level 2 and up against everyday talk/corpus", askRisk, serious)
	for _, by := range []struct {
		name string
		key  func(corpus.Message) string
	}{
		{"language", func(m corpus.Message) string { return m.Lang }},
		{"register", func(m corpus.Message) string { return m.Register }},
		{"age", func(m corpus.Message) string { return m.Age }},
	} {
		names, messages := groups(e.messages, by.key)
		for _, name := range names {
			e.answers("self-harm by "+by.name+"/"+name, askRisk, labelled(messages[name], riskOf))
		}
	}
}

// categories judges what is said of each kind of message: those at risk should be found, the others let be.
func (e *Evaluation) categories() {
	names, by := groups(e.messages, func(m corpus.Message) string { return m.Category })
	var risky, harmless, unclear []string
	for _, name := range names {
		switch by[name][0].Risk {
		case 1:
			risky = append(risky, name)
		case 0:
			harmless = append(harmless, name)
		default:
			unclear = append(unclear, name)
		}
	}
	rates := func(group, better string, names []string) {
		for _, name := range names {
			first := by[name][0]
			set := texts(by[name], func(m corpus.Message) string { return m.Text }, func(corpus.Message) bool { return true }, true)
			if first.Risk == 0 && (first.Harm == 1 || first.Abuse == 1 || first.Distress == 1) { // an alert may be right
				e.share(group+"/"+name+"/flagged", better, set, func(s sample) (bool, bool) { return true, askRisk.said(e.assess(s.text)) })
				continue
			}
			e.rates(group+"/"+name, better, set)
		}
	}
	rates("category at risk", Higher, risky)
	rates("category not at risk", Lower, harmless)
	rates("category that readers differ on", "", unclear)
}

const levelCount = int(triage.LevelMax) + 1

// levels judges the level itself, and whether the grave ones reach somebody.
func (e *Evaluation) levels() {
	var gold []int
	var set []sample
	for _, m := range e.messages {
		if m.Risk != corpus.Unknown {
			gold, set = append(gold, int(m.Level)), append(set, sample{text: m.Text})
		}
	}
	e.levelsOf("level/corpus", gold, set)
}

// levelsOf adds agreement on the level, and the recall of each.
func (e *Evaluation) levelsOf(key string, gold []int, set []sample) {
	if len(set) == 0 {
		return
	}
	guess := make([]int, len(set))
	for i, s := range set {
		guess[i] = int(e.assess(s.text).Level)
	}
	e.add(Measure{Key: key + "/quadratic kappa", Value: QuadraticKappa(gold, guess, levelCount), Of: len(set), Better: Higher})
	at := func(least int, reached func(int) bool) (value float64, of int) {
		n := 0
		for i := range set {
			if gold[i] >= least {
				of++
				if reached(i) {
					n++
				}
			}
		}
		return float64(n) / float64(max(of, 1)), of
	}
	for least := 1; least < levelCount; least++ {
		value, of := at(least, func(i int) bool { return guess[i] >= least })
		e.add(Measure{Key: key + "/recall of level " + strconv.Itoa(least) + " and up", Value: value, Of: of, Better: Higher})
	}
	value, of := at(int(triage.LevelIntent), func(i int) bool { return e.assess(set[i].text).Escalate })
	e.add(Measure{Key: key + "/escalated at level 4 and up", Value: value, Of: of, Better: Higher})
	value, of = at(int(triage.LevelIntent), func(i int) bool { return e.assess(set[i].text).Alert })
	e.add(Measure{Key: key + "/alert at level 4 and up", Value: value, Of: of, Better: Higher})
}

// heads judges harm to others, abuse and distress.
func (e *Evaluation) heads() {
	for _, head := range []struct {
		name  string
		ask   question
		label func(corpus.Message) int8
	}{
		{"harm to others", askHarm, func(m corpus.Message) int8 { return m.Harm }},
		{"abuse", askAbuse, func(m corpus.Message) int8 { return m.Abuse }},
		{"distress", askDistress, func(m corpus.Message) int8 { return m.Distress }},
	} {
		set := labelled(e.messages, head.label)
		e.ranking(head.name+"/corpus", head.ask, set)
		e.answers(head.name+"/corpus", head.ask, set)
		names, by := groups(e.messages, func(m corpus.Message) string { return m.Lang })
		for _, lang := range names {
			e.answers(head.name+" by language/"+lang, head.ask, labelled(by[lang], head.label))
		}
		names, by = groups(e.messages, func(m corpus.Message) string { return m.Category })
		for _, category := range names {
			if category == "harm_idiom" || category == "abuse_other" || slices.Contains(everyday, category) {
				e.answers(head.name+" by category/"+category, head.ask, labelled(by[category], head.label))
			}
		}
	}
}

// colour judges sentiment and topics on the corpus.
func (e *Evaluation) colour() {
	var gold []string
	var said, asked []sample
	var topics []string
	for _, m := range e.messages {
		if m.Category == "sentiment" {
			gold, said = append(gold, m.Sentiment), append(said, sample{text: m.Text})
		}
		if m.Category == "topic" {
			topics, asked = append(topics, m.Topics[0]), append(asked, sample{text: m.Text})
		}
	}
	e.sentiment("sentiment/corpus", gold, said)
	e.topics("topics/corpus", topics, asked)
}

func (e *Evaluation) sentiment(key string, gold []string, set []sample) {
	if len(set) == 0 {
		return
	}
	guess := make([]string, len(set))
	for i, s := range set {
		guess[i] = assess.SentimentLabel(e.assess(s.text))
	}
	e.add(Measure{Key: key + "/macro F1", Value: MacroF1(gold, guess), Of: len(set), Better: Higher})
}

// topics judges the first topic, and whether the right one is among the first three.
func (e *Evaluation) topics(key string, gold []string, set []sample) {
	if len(set) == 0 {
		return
	}
	guess := make([]string, len(set))
	among := 0
	for i, s := range set {
		found := e.assess(s.text).Topics
		if len(found) > 0 {
			guess[i] = found[0]
		}
		if slices.Contains(found[:min(len(found), 3)], gold[i]) {
			among++
		}
	}
	e.add(Measure{Key: key + "/top 3", Value: float64(among) / float64(len(set)), Of: len(set), Better: Higher})
	e.add(Measure{Key: key + "/macro F1", Value: MacroF1(gold, guess), Of: len(set), Better: Higher})
}
