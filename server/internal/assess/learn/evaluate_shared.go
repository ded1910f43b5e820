package learn

import (
	"slices"
)

func textOf(r Row) string { return r.Text }

func apart(r Row) bool { return HeldApart(r.Text) }

// unseen are rows that were neither trained nor tuned on.
func unseen(r Row) bool { return !r.Trainable() && Judged(r.Text) }

// sharedRisk judges the risk of self-harm by each source that has positives.
func (e *Evaluation) sharedRisk(data *Shared) {
	bySource := map[string][]sample{}
	var mix, templates []sample
	for _, r := range data.Risk {
		if r.Risk == unknown || !unseen(r) {
			continue
		}
		s := sample{r.Text, r.Risk == 1}
		bySource[r.Source] = append(bySource[r.Source], s)
		if r.Tier == TierA {
			mix = append(mix, s)
		}
	}
	for _, r := range data.Templates {
		if unseen(r) && r.Risk != unknown {
			templates = append(templates, sample{r.Text, r.Risk == 1})
		}
	}
	e.note = otherTier
	e.ranking("self-harm/suicidewatch-sample", askRisk, bySource["suicidewatch-sample"])
	e.answers("self-harm/suicidewatch-sample", askRisk, bySource["suicidewatch-sample"])
	e.note = heldApart
	e.ranking("self-harm/llm-cssrs-dev", askRisk, bySource["llm-cssrs-dev"])
	e.answers("self-harm/llm-cssrs-dev", askRisk, bySource["llm-cssrs-dev"])
	e.answers("self-harm/cssrs500-posts", askRisk, bySource["cssrs500-posts"])
	e.ranking("self-harm/all permissive sources", askRisk, mix)
	e.note = heldApart + "; others of the same templates were"
	e.ranking("self-harm/templates", askRisk, templates)
	e.answers("self-harm/templates", askRisk, templates)
	e.note = heldApart
}

// ordinaryTalk judges how often ordinary people would be flagged, by source, and how well grave messages stand out.
func (e *Evaluation) ordinaryTalk(data *Shared) {
	var talk []sample
	for _, source := range []string{"dailydialog++", "esconv-dev", "counselchat-q", "goemotions-train", "davidson"} {
		rows, keep := data.Ordinary, func(r Row) bool { return r.Source == source && unseen(r) }
		e.note = otherTier
		if source == "counselchat-q" || source == "goemotions-train" || source == "davidson" {
			rows, keep = data.Risk, func(r Row) bool { return r.Source == source && r.Risk == 0 && unseen(r) }
			e.note = heldApart
		}
		set := texts(rows, textOf, keep, false)
		e.rates("ordinary talk/"+source, Lower, set)
		if source != "goemotions-train" && source != "davidson" {
			talk = append(talk, set...)
		}
	}
	grave := func(least int8, keep func(Row) bool) []sample {
		return texts(data.Severity, textOf, func(r Row) bool { return r.Level >= least && keep(r) }, true)
	}
	e.note = halfTuned
	e.ranking("level 2 and up against ordinary talk/llm_cssrs_code", askRisk, slices.Concat(grave(2, apart), talk))
	e.note = partTrained
	e.ranking("level 2 and up against ordinary talk/llm_cssrs_code, all rows", askRisk, slices.Concat(grave(2, func(Row) bool { return true }), talk))
	e.note = heldApart
}

// sharedLevels judges the level by human readers' levels.
func (e *Evaluation) sharedLevels(data *Shared) {
	for _, part := range []struct {
		key, note string
		keep      func(Row) bool
	}{
		{"level/llm_cssrs_code", halfTuned, apart},
		{"level/llm_cssrs_code, all rows", partTrained, func(Row) bool { return true }},
	} {
		var gold []int
		var set []sample
		for _, r := range data.Severity {
			if part.keep(r) {
				gold, set = append(gold, int(r.Level)), append(set, sample{text: r.Text})
			}
		}
		e.note = part.note
		e.levelsOf(part.key, gold, set)
	}
	e.note = heldApart
}

// sharedTraps judges each category of the traps. There are too few of them to hold any apart.
func (e *Evaluation) sharedTraps(data *Shared) {
	by := map[string][]sample{}
	risky := map[string]bool{}
	var names []string
	for _, r := range data.Traps {
		if by[r.Category] == nil {
			names = append(names, r.Category)
		}
		by[r.Category] = append(by[r.Category], sample{text: r.Text, positive: true})
		risky[r.Category] = r.Risk == 1
	}
	e.note = partTrained
	for _, name := range names {
		switch set := by[name]; {
		case name == "harm_others":
			e.share("traps/"+name+"/found", Higher, set, func(s sample) (bool, bool) { return true, e.assess(s.text).HarmOthers })
		case name == "abuse_disclosure":
			e.share("traps/"+name+"/found", Higher, set, func(s sample) (bool, bool) { return true, e.assess(s.text).Abuse })
		case name == "ambiguous":
			e.rates("traps/"+name, "", set)
		case risky[name]:
			e.share("traps/"+name+"/found", Higher, set, func(s sample) (bool, bool) { return true, askRisk.said(e.assess(s.text)) })
		default:
			e.rates("traps/"+name, Lower, set)
		}
	}
	e.note = heldApart
}

// sharedColour judges sentiment by the texts on which annotators agreed, and topics.
func (e *Evaluation) sharedColour(data *Shared) {
	var gold, topics []string
	var said, asked []sample
	for _, r := range data.Emotions {
		if apart(r) && len(r.Sentiment) == 1 {
			gold, said = append(gold, r.Sentiment[0]), append(said, sample{text: r.Text})
		}
	}
	for _, r := range data.Topics {
		if apart(r) {
			topics, asked = append(topics, r.Topic), append(asked, sample{text: r.Text})
		}
	}
	e.note = "not trained on (held apart); the offsets of the sentiments, and how sharp topics are, were set on half"
	e.sentiment("sentiment/goemotions", gold, said)
	e.topics("topics/counselchat", topics, asked)
	e.note = heldApart
}
