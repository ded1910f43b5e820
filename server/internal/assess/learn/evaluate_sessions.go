package learn

import (
	"slices"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
	"vigil/server/internal/triage"
)

// judged is what a detector made of a session, and what is known of it.
type judged struct {
	risk     string // as corpus.Conversation has it
	score    float64
	alertAt  int // the writer's turn that raised the first alert, from 0; -1: none
	escalate bool
	graveAt  int // the writer's first turn of level 4 or more, from 0; -1: none, or nobody said
}

// hold runs the writer's turns through the detector, each with the state that the one before left.
func (e *Evaluation) hold(risk string, turns []corpus.Turn) judged {
	j := judged{risk: risk, alertAt: -1, graveAt: -1}
	var state triage.State
	var all []triage.Assessment
	at := 0
	for _, t := range turns {
		if t.Role != "user" {
			continue
		}
		var a triage.Assessment
		a, state = e.detector.Assess(t.Text, state, e.policy)
		all = append(all, a)
		j.escalate = j.escalate || a.Escalate
		if a.Alert && j.alertAt < 0 {
			j.alertAt = at
		}
		if t.Level >= int8(triage.LevelIntent) && j.graveAt < 0 {
			j.graveAt = at
		}
		at++
	}
	j.score = float64(assess.SessionRisk(all))
	return j
}

// fewestOfAnArc keeps the table short: most hand-written courses are the only ones of their kind.
const fewestOfAnArc = 3

// conversations judges whole sessions of the corpus.
func (e *Evaluation) conversations(sessions []corpus.Conversation) {
	var all, written []judged
	byArc := map[string][]judged{}
	for _, s := range sessions {
		if !s.Held {
			continue
		}
		j := e.hold(s.Risk, s.Turns)
		all = append(all, j)
		if s.Written() {
			written = append(written, j)
		}
		if s.Risk == corpus.RiskNone {
			byArc[s.Arc] = append(byArc[s.Arc], j)
		}
	}
	e.note = halfTuned + ", and the session score with it in view"
	e.sessions("sessions/corpus", all)
	e.sessions("sessions/corpus, hand-written", written)
	arcs := make([]string, 0, len(byArc))
	for arc := range byArc {
		arcs = append(arcs, arc)
	}
	slices.Sort(arcs)
	for _, arc := range arcs {
		if len(byArc[arc]) < fewestOfAnArc {
			continue
		}
		e.ratio("sessions without risk by arc/"+arc+"/alert", "", byArc[arc], func(j judged) (bool, bool) { return true, j.alertAt >= 0 })
	}
	e.note = heldApart
}

// sharedSessions judges simulated clients, and real support chats of which only the crowd's topic is known.
func (e *Evaluation) sharedSessions(data *Shared) {
	var simulated, chats []judged
	for _, s := range data.Sessions {
		turns := make([]corpus.Turn, len(s.Turns))
		for i, t := range s.Turns {
			turns[i] = corpus.Turn{Role: t.Role, Text: t.Text}
		}
		j := e.hold(s.Risk, turns)
		if s.Risk == "" {
			chats = append(chats, j)
		} else {
			simulated = append(simulated, j)
		}
	}
	e.note = "not trained on; the session rule and score were set with it in view"
	e.sessions("sessions/VERA-MH", simulated)
	e.note = notSeen
	e.ratio("sessions/FailedESConv/alert", Lower, chats, func(j judged) (bool, bool) { return true, j.alertAt >= 0 })
	e.ratio("sessions/FailedESConv/escalate", Lower, chats, func(j judged) (bool, bool) { return true, j.escalate })
	e.note = heldApart
}

func (e *Evaluation) sessions(key string, all []judged) {
	var scores []float64
	var risky, high []bool
	for _, j := range all {
		scores = append(scores, j.score)
		risky = append(risky, j.risk != corpus.RiskNone)
		high = append(high, j.risk == corpus.RiskHigh || j.risk == corpus.RiskImminent)
	}
	e.add(Measure{Key: key + "/AUROC any risk", Value: AUROC(scores, risky), Of: len(all), Better: Higher})
	e.add(Measure{Key: key + "/AUROC high or imminent", Value: AUROC(scores, high), Of: len(all), Better: Higher})
	none := func(j judged) bool { return j.risk == corpus.RiskNone }
	grave := func(j judged) bool { return j.risk == corpus.RiskHigh || j.risk == corpus.RiskImminent }
	e.ratio(key+"/alert without risk", Lower, all, func(j judged) (bool, bool) { return none(j), j.alertAt >= 0 })
	e.ratio(key+"/escalate without risk", Lower, all, func(j judged) (bool, bool) { return none(j), j.escalate })
	e.ratio(key+"/alert at low risk", "", all, func(j judged) (bool, bool) { return j.risk == corpus.RiskLow, j.alertAt >= 0 })
	e.ratio(key+"/escalate at low risk", Higher, all, func(j judged) (bool, bool) { return j.risk == corpus.RiskLow, j.escalate })
	e.ratio(key+"/alert at high or imminent", Higher, all, func(j judged) (bool, bool) { return grave(j), j.alertAt >= 0 })
	told := func(j judged) bool { return j.graveAt >= 0 }
	e.ratio(key+"/alert by the first grave turn", Higher, all, func(j judged) (bool, bool) {
		return told(j), j.alertAt >= 0 && j.alertAt <= j.graveAt
	})
	e.ratio(key+"/alert before the first grave turn", "", all, func(j judged) (bool, bool) {
		return told(j), j.alertAt >= 0 && j.alertAt < j.graveAt
	})
	lead, of := 0, 0
	for _, j := range all {
		if told(j) && j.alertAt >= 0 {
			lead, of = lead+j.graveAt-j.alertAt, of+1
		}
	}
	e.add(Measure{Key: key + "/turns of lead, mean", Value: float64(lead) / float64(max(of, 1)), Of: of})
}

func (e *Evaluation) ratio(key, better string, all []judged, ask func(judged) (counts, is bool)) {
	n, of := 0, 0
	for _, j := range all {
		if counts, is := ask(j); counts {
			of++
			if is {
				n++
			}
		}
	}
	if of > 0 {
		e.add(Measure{Key: key, Value: float64(n) / float64(of), Of: of, Better: better})
	}
}
