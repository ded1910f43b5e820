package learn

import (
	"math"
	"slices"

	"github.com/google/uuid"

	"vigil/server/internal/assess/corpus"
	"vigil/server/internal/triage"
)

// detector is what is judged.
type detector interface {
	Assess(text string, state triage.State, policy triage.CrisisPolicy) (triage.Assessment, triage.State)
}

// Measure is one number that was reached.
type Measure struct {
	Key       string  `json:"key"` // <what>/<where>/<how>; the floor's name
	Value     float64 `json:"value"`
	Low       float64 `json:"low,omitempty"` // of the bootstrap interval; both 0 when there is none
	High      float64 `json:"high,omitempty"`
	Of        int     `json:"of"`                  // texts, sessions or templates
	Positives int     `json:"positives,omitempty"` // among them
	Better    string  `json:"better,omitempty"`    // higher or lower; "" is for reading only and has no floor
	Shared    bool    `json:"shared,omitempty"`    // needs the shared data
	Note      string  `json:"note,omitempty"`      // what of it was trained on
}

// Which way a measure is better.
const (
	Higher = "higher"
	Lower  = "lower"
)

// What the notes say of training and tuning.
const (
	heldApart   = "not trained on (held apart); some was read while rules were written"
	halfTuned   = "not trained on (held apart); thresholds were set on half"
	otherTier   = "not trained on (its licence); thresholds were set on the other half"
	notSeen     = "neither trained nor tuned on (its licence)"
	partTrained = "four fifths were trained on"
)

// Evaluation judges one detector.
type Evaluation struct {
	Measures []Measure

	detector detector
	messages []corpus.Message // not trained on
	policy   triage.CrisisPolicy
	seen     map[string]triage.Assessment

	withShared bool
	shared     bool   // what add notes of the measures that follow
	note       string //
}

// Evaluate judges d by the part of messages and sessions that is held apart and, where data is not nil, by the shared data. The
// order of the measures is fixed, and so are their values but for those of speed.
func Evaluate(d detector, messages []corpus.Message, sessions []corpus.Conversation, data *Shared) *Evaluation {
	e := &Evaluation{detector: d, policy: triage.DefaultCrisisPolicy(uuid.UUID{1}), seen: map[string]triage.Assessment{}, note: heldApart}
	for _, m := range messages {
		if m.Held && !m.Tune {
			e.messages = append(e.messages, m)
		}
	}
	e.selfHarm()
	e.categories()
	e.levels()
	e.heads()
	e.colour()
	e.conversations(sessions)
	e.swaps()
	if data != nil {
		e.withShared, e.shared = true, true
		e.sharedRisk(data)
		e.ordinaryTalk(data)
		e.sharedLevels(data)
		e.sharedTraps(data)
		e.sharedColour(data)
		e.sharedSessions(data)
		e.shared = false
	}
	return e
}

// assess reads text as the first message of a session.
func (e *Evaluation) assess(text string) triage.Assessment {
	a, known := e.seen[text]
	if !known {
		a, _ = e.detector.Assess(text, triage.State{}, e.policy)
		a.Evidence = nil
		e.seen[text] = a
	}
	return a
}

// fewestForAFloor: with fewer, one text more or less would cross it.
const fewestForAFloor = 20

func (e *Evaluation) add(m Measure) {
	if math.IsNaN(m.Value) || m.Of == 0 {
		return
	}
	if m.Of < fewestForAFloor || m.Positives > 0 && m.Positives < fewestForAFloor {
		m.Better = ""
	}
	m.Shared, m.Note = e.shared, e.note
	e.Measures = append(e.Measures, m)
}

// sample is one text of a set with the answer that a yes-or-no question has.
type sample struct {
	text     string
	positive bool
}

func texts[T any](rows []T, text func(T) string, keep func(T) bool, positive bool) []sample {
	var out []sample
	for _, r := range rows {
		if keep(r) {
			out = append(out, sample{text(r), positive})
		}
	}
	return out
}

func positives(set []sample) int {
	n := 0
	for _, s := range set {
		if s.positive {
			n++
		}
	}
	return n
}

// probability of a head, and whether the head said yes.
type question struct {
	score func(triage.Assessment) float32
	said  func(triage.Assessment) bool
}

var (
	askRisk = question{
		func(a triage.Assessment) float32 { return a.Scores.Risk },
		func(a triage.Assessment) bool { return a.Level > triage.LevelNone },
	}
	askHarm     = question{func(a triage.Assessment) float32 { return a.Scores.HarmOthers }, func(a triage.Assessment) bool { return a.HarmOthers }}
	askAbuse    = question{func(a triage.Assessment) float32 { return a.Scores.Abuse }, func(a triage.Assessment) bool { return a.Abuse }}
	askDistress = question{func(a triage.Assessment) float32 { return a.Scores.Distress }, func(a triage.Assessment) bool { return a.Distress }}
)

// ranking adds how well a head tells the positives of a set from its negatives, whatever the threshold.
func (e *Evaluation) ranking(key string, q question, set []sample) {
	scores, labels := make([]float64, len(set)), make([]bool, len(set))
	for i, s := range set {
		scores[i], labels[i] = float64(q.score(e.assess(s.text))), s.positive
	}
	n, of := positives(set), len(set)
	if n == 0 || n == of {
		return
	}
	interval := AUPRCInterval(scores, labels)
	e.add(Measure{Key: key + "/auprc", Value: AUPRC(scores, labels), Low: interval.Low, High: interval.High, Of: of, Positives: n, Better: Higher})
	e.add(Measure{Key: key + "/recall at 1% false", Value: RecallAt(.01, scores, labels), Of: of, Positives: n, Better: Higher})
	e.add(Measure{Key: key + "/recall at 5% false", Value: RecallAt(.05, scores, labels), Of: of, Positives: n, Better: Higher})
	e.add(Measure{Key: key + "/calibration error", Value: ECE(scores, labels), Of: of, Positives: n})
}

// answers adds what a head says of a set at the threshold that ships.
func (e *Evaluation) answers(key string, q question, set []sample) {
	e.share(key+"/found", Higher, set, func(s sample) (bool, bool) { return s.positive, q.said(e.assess(s.text)) })
	e.share(key+"/falsely flagged", Lower, set, func(s sample) (bool, bool) { return !s.positive, q.said(e.assess(s.text)) })
}

// rates adds how much of a set is flagged, alerted and escalated.
func (e *Evaluation) rates(key, better string, set []sample) {
	e.share(key+"/flagged", better, set, func(s sample) (bool, bool) { return true, askRisk.said(e.assess(s.text)) })
	e.share(key+"/alert", better, set, func(s sample) (bool, bool) { return true, e.assess(s.text).Alert })
	e.share(key+"/escalate", better, set, func(s sample) (bool, bool) { return true, e.assess(s.text).Escalate })
}

// share adds how many of those that count are so.
func (e *Evaluation) share(key, better string, set []sample, ask func(sample) (counts, is bool)) {
	n, of := 0, 0
	for _, s := range set {
		if counts, is := ask(s); counts {
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

// groups splits messages by a key, in the order of the keys.
func groups(messages []corpus.Message, key func(corpus.Message) string) ([]string, map[string][]corpus.Message) {
	by := map[string][]corpus.Message{}
	for _, m := range messages {
		by[key(m)] = append(by[key(m)], m)
	}
	names := make([]string, 0, len(by))
	for name := range by {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, by
}
