// Package assess turns the text of one message, in the context of its session, into a triage.Assessment: self-harm on
// the Columbia scale, harm to others, abuse, acute distress, sentiment, emotions and topics, with evidence as offsets.
//
// A message is read in five steps: token.go undoes what hides its words; lexicon.go and scope.go find what they mean, in
// any of the languages of lexicon/, and who says it of whom, when, and whether it is denied or quoted; features.go makes
// numbers of that and of the words and letters; model.go weighs the numbers; decide.go joins what the model says with the
// rules for the unmistakable, and session.go with what the session said before.
//
// Guarantees: pure (no I/O, no clock, no language model, no network); the same text, state and policy give the same
// answer, to the bit, on every machine; any input, valid UTF-8 or not, takes bounded time (of a text over 16 KiB the first
// and the last 8 KiB are read) and never panics; safe for concurrent use; neither the answer nor anything kept between
// calls holds text, only offsets, numbers and rule ids.
//
// Not guaranteed: that it is right. It is not clinically validated. MODEL.md says what it was trained on, what it reaches
// and where it fails.
package assess

import (
	"sync"

	"vigil/server/internal/triage"
)

// What made an assessment; stored with each one.
const (
	ModelVersion   = "bag-2"
	RulesetVersion = "lexicon-3"
	// StateVersion is the layout of State.Data that this package writes. A state of another version counts as unknown.
	StateVersion int32 = 2
)

const maxEvidence = 16

// Detector finds what a message says. The zero value is not usable; call New.
type Detector struct {
	lexicon *lexicon
	model   *Model
	tables  tables
	pool    sync.Pool // of *scratch
}

// New returns a detector with the built-in lexicon and model.
func New() *Detector {
	m, err := LoadModel(builtinModel)
	if err != nil {
		panic("assess: the embedded " + err.Error())
	}
	return NewWith(m)
}

// NewWith returns a detector with another model than the built-in one.
func NewWith(m *Model) *Detector {
	return &Detector{lexicon: compiled(), model: m, tables: m.tables(), pool: sync.Pool{New: func() any { return new(scratch) }}}
}

// compiled is the lexicon, which every detector shares.
var compiled = sync.OnceValue(builtin)

// Scores are what the model says of a text, as calibrated probabilities.
type Scores struct {
	Risk                        float32
	Level                       [triage.LevelMax + 1]float32 // that it is that level or higher; [0] is 1
	HarmOthers, Abuse, Distress float32
	Shades
	Language string // ISO 639-1
}

// Score returns what the model alone says of text: no rule, no threshold, no session. Safe for concurrent use.
func (d *Detector) Score(text string) Scores {
	s, _ := d.pool.Get().(*scratch) // the pool holds nothing else
	defer d.put(s)
	s.read(d.lexicon, text)
	p := d.probabilities(s)
	out := Scores{
		Risk: p.heads[HeadRisk], HarmOthers: p.heads[HeadHarm], Abuse: p.heads[HeadAbuse], Distress: p.heads[HeadDistress],
		Language: d.lexicon.tongues[s.tongues.first], Shades: p.shades,
	}
	out.Level[0] = 1
	for k := HeadLevel1; k <= HeadLevel6; k++ {
		out.Level[k-HeadLevel1+1] = p.heads[k]
	}
	return out
}

// LogitsOf returns the raw scores of text, for package learn. Safe for concurrent use.
func (d *Detector) LogitsOf(text string) Logits {
	s, _ := d.pool.Get().(*scratch) // the pool holds nothing else
	defer d.put(s)
	s.read(d.lexicon, text)
	return s.logitsOf(d.model, &d.tables)
}

// probabilities are what the model says of a message.
type probabilities struct {
	heads  [Heads]float32
	shades Shades
}

func (d *Detector) probabilities(s *scratch) (p probabilities) {
	if len(s.tokens) == 0 {
		return p
	}
	logits := s.logitsOf(d.model, &d.tables)
	for h := range p.heads {
		p.heads[h] = d.model.Head[h].Probability(logits.Whole[h], logits.Best[h])
	}
	p.shades.Sentiment = [4]float32(logits.Whole[Heads:])
	Softmax(p.shades.Sentiment[:])
	d.model.Tint.shades(s, &d.tables, &p.shades)
	return p
}

// Assess returns what text says under policy, and the session's state after it. state is the one that the message
// before it returned (the zero State for the first); it is not changed. Safe for concurrent use.
func (d *Detector) Assess(text string, state triage.State, policy triage.CrisisPolicy) (triage.Assessment, triage.State) {
	s, _ := d.pool.Get().(*scratch) // the pool holds nothing else
	defer d.put(s)
	s.read(d.lexicon, text)
	before := readHistory(state)
	p := d.probabilities(s)
	f := finding{scratch: s, model: d.model, p: p.heads, shades: &p.shades, risky: before.peak >= uint8(triage.LevelActiveThoughts)}
	a := f.assessment()
	after := before.after(a.Level, f.p[HeadRisk])
	a.Escalate = f.p[HeadRisk] >= d.model.Head[HeadRisk].Closer || f.p[HeadLevel4] >= d.model.Head[HeadLevel4].Closer || after.elevated(before, a.Level)
	a.ModelVersion, a.RulesetVersion = ModelVersion, RulesetVersion
	return policy.Decide(addTerms(a, text, policy.Terms)), after.state()
}
