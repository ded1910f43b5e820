// Package assess turns the text of one message, in the context of its session, into a triage.Assessment: self-harm on
// the Columbia scale, harm to others, abuse, acute distress, sentiment and topics, each with evidence as offsets.
//
// Guarantees: pure (no I/O, no clock, no model of language, no network); the same text, state and policy give the same
// answer; any input, valid UTF-8 or not, takes time and memory linear in its length and never panics; safe for
// concurrent use; neither the answer nor anything kept between calls holds text, only offsets, numbers and rule ids.
//
// Not guaranteed: that it is right. This is a lexicon with rules for negation, other people, quotation, the past and
// idioms. It is not clinically validated. What it reaches on an invented, labelled set is held by floors in its test.
package assess

import (
	"encoding/binary"
	"math"
	"sync"

	"vigil/server/internal/triage"
)

// What made an assessment; stored with each one.
const (
	ModelVersion   = "none"
	RulesetVersion = "lexicon-1"
	// StateVersion is the layout of State.Data that this package writes. A state of another version counts as unknown.
	StateVersion int32 = 1
)

const (
	stateBytes       = 1 + 1 + 4 + 4 // peak, last, messages, pressure
	pressureDecay    = 0.8
	maxEvidence      = 16
	maxPooledTokens  = 4096
	maxTopics        = 3
	escalatePressure = 3 // a session whose wishes and thoughts add up, though no message alone does
)

// Detector finds what a message says. The zero value is not usable; call New.
type Detector struct {
	lexicon *lexicon
	pool    sync.Pool // of *scratch: word ids and offsets, no text
}

// New returns a detector with the built-in lexicon.
func New() *Detector {
	return &Detector{lexicon: builtin(), pool: sync.Pool{New: func() any { return new(scratch) }}}
}

// scratch is the memory of one call, reused by the next. It holds no text.
type scratch struct {
	tokens []token
	hits   []hit
}

// history is what State.Data holds.
type history struct {
	peak, last uint8
	messages   uint32
	pressure   float32 // decayed sum of levels
}

func readHistory(s triage.State) history {
	if s.Version != StateVersion || len(s.Data) != stateBytes {
		return history{}
	}
	h := history{
		peak: s.Data[0], last: s.Data[1],
		messages: binary.BigEndian.Uint32(s.Data[2:]),
		pressure: math.Float32frombits(binary.BigEndian.Uint32(s.Data[6:])),
	}
	if h.peak > uint8(triage.LevelMax) || !(h.pressure >= 0 && h.pressure < 1<<20) {
		return history{}
	}
	return h
}

func (h history) state() triage.State {
	data := make([]byte, 0, stateBytes)
	data = append(data, h.peak, h.last)
	data = binary.BigEndian.AppendUint32(data, h.messages)
	data = binary.BigEndian.AppendUint32(data, math.Float32bits(h.pressure))
	return triage.State{Version: StateVersion, Data: data}
}

func (h history) after(level triage.Level) history {
	h.peak = max(h.peak, uint8(level))
	h.last = uint8(level)
	if h.messages < math.MaxUint32 {
		h.messages++
	}
	h.pressure = h.pressure*pressureDecay + float32(level)
	return h
}

// Assess returns what text says under policy, and the session's state after it. state is the one that the message
// before it returned (the zero State for the first); it is not changed. Safe for concurrent use.
func (d *Detector) Assess(text string, state triage.State, policy triage.CrisisPolicy) (triage.Assessment, triage.State) {
	s, _ := d.pool.Get().(*scratch) // the pool holds nothing else
	s.tokens = d.lexicon.tokenize(s.tokens[:0], text)
	s.hits = d.lexicon.find(s.hits[:0], s.tokens)

	before := readHistory(state)
	found := summary{lexicon: d.lexicon, tokens: s.tokens, risky: before.peak >= uint8(triage.LevelActiveThoughts)}
	for i := range s.hits {
		found.add(i, s.hits)
	}
	a := found.assessment()
	a.Sentiment, a.Topics = d.lexicon.colour(s.tokens)
	if cap(s.tokens) <= maxPooledTokens {
		d.pool.Put(s)
	}

	a.ModelVersion, a.RulesetVersion = ModelVersion, RulesetVersion
	after := before.after(a.Level)
	a.Escalate = after.pressure >= escalatePressure && a.Level > triage.LevelNone
	return policy.Decide(addTerms(a, text, policy.Terms)), after.state()
}

// summary gathers what the hits of one message say together.
type summary struct {
	lexicon *lexicon
	tokens  []token
	risky   bool // the session has spoken of suicide before

	items    [itemCount]bool
	intent   bool
	evidence []triage.Evidence
}

// idiomatic says whether an idiom overlaps all[i]. Hits are in the order of their first word.
func (s *summary) idiomatic(i int, all []hit) bool {
	overlaps := func(other hit) bool {
		return s.lexicon.rules[other.rule].item == itemIdiom && other.first <= all[i].last && all[i].first <= other.last
	}
	for j := i - 1; j >= 0 && all[j].first >= all[i].first-maxSpan; j-- {
		if overlaps(all[j]) {
			return true
		}
	}
	for j := i + 1; j < len(all) && all[j].first <= all[i].last; j++ {
		if overlaps(all[j]) {
			return true
		}
	}
	return false
}

// add counts all[i] unless it is denied, another person's, quoted, or part of an idiom.
func (s *summary) add(i int, all []hit) {
	h := all[i]
	r := &s.lexicon.rules[h.rule]
	if r.item == itemIdiom || r.item == itemPast || s.idiomatic(i, all) {
		return
	}
	c := s.context(h)
	if c.negated || c.quoted || (c.other && !r.self) || (r.needsOther && !c.other) {
		return
	}
	item := r.item
	if c.past && item.suicidal() {
		item = itemWish // once, not now: somebody should still look at it
	}
	s.items[item] = true
	if item.suicidal() {
		s.intent = s.intent || c.intent && item >= itemThoughts
		if c.means && item == itemThoughts {
			s.items[itemMethod] = true
		}
	}
	if len(s.evidence) < maxEvidence {
		from, to := s.tokens[h.first], s.tokens[h.last]
		s.evidence = append(s.evidence, triage.Evidence{
			Rule: r.id, Start: int(from.start), End: int(to.end), UTF16Start: int(from.start16), UTF16End: int(to.end16),
		})
	}
}

// assessment puts the items together: a plan and intent weigh more than either.
func (s *summary) assessment() triage.Assessment {
	a := triage.Assessment{
		HarmOthers: s.items[itemHarm], Abuse: s.items[itemAbuse], Distress: s.items[itemDistress], Evidence: s.evidence,
	}
	for item := itemWish; item <= itemBehaviour; item++ {
		if s.items[item] {
			a.Level = triage.Level(item)
		}
	}
	speaks := a.Level >= triage.LevelActiveThoughts
	switch {
	case s.items[itemPreparation] && (speaks && s.intent || s.risky && s.items[itemWish]):
		a.Level = max(a.Level, triage.LevelPlanAndIntent)
	case s.items[itemPreparation] && (speaks || s.risky), s.intent:
		a.Level = max(a.Level, triage.LevelIntent)
	}
	return a
}
