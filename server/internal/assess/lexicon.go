package assess

import "strings"

// item is what a rule finds. The first six are the levels of the Columbia scale, by their number.
type item uint8

const (
	itemNone item = iota
	itemWish
	itemThoughts
	itemMethod
	itemIntent
	itemPlan
	itemBehaviour
	itemPreparation // a plan or a means at hand, which counts beside thoughts only
	itemHarm
	itemAbuse
	itemDistress
	itemIdiom // cancels what it overlaps
	itemPast  // "years ago"
	itemCount
)

func (i item) suicidal() bool { return i >= itemWish && i <= itemBehaviour }

// class is a set of roles that a single word plays.
type class uint16

const (
	classFirst class = 1 << iota
	classOther
	classNegator
	classUndeny
	classWhy
	classFiller
	classIntent
	classSoon
	classPresent
	classMeans
	classMedia
	classTurn
	classGood
	classBad
)

// rule is a set of phrases that mean the same. In a phrase "a|b" is either word; fillers may stand between words.
type rule struct {
	id         string
	item       item
	self       bool // names the writer itself ("myself"): another subject does not cancel it
	needsOther bool // only with somebody else as the subject
	phrases    []string
}

const root uint32 = 0

// lexicon is rules and words, compiled once and only read afterwards.
type lexicon struct {
	rules []rule
	words map[string]uint16
	class []class // by word
	topic []uint8 // by word
	edges map[uint64]uint32
	ends  map[uint32]uint16 // node → rule
}

func (l *lexicon) step(node uint32, word uint16) uint32 {
	if word == 0 {
		return root
	}
	return l.edges[uint64(node)<<16|uint64(word)]
}

// builtin compiles the lexicon of words.go and rules.go.
func builtin() *lexicon {
	l := &lexicon{
		rules: rules, words: map[string]uint16{}, class: make([]class, 1), topic: make([]uint8, 1),
		edges: map[uint64]uint32{}, ends: map[uint32]uint16{},
	}
	for class, words := range classes {
		for _, w := range strings.Fields(words) {
			l.class[l.word(w)] |= class
		}
	}
	for topic, words := range topicWords {
		for _, w := range strings.Fields(words) {
			l.topic[l.word(w)] = uint8(topic)
		}
	}
	nodes := root
	for i, r := range rules {
		for _, phrase := range r.phrases {
			nodes = l.add(strings.Fields(phrase), root, uint16(i), nodes)
		}
	}
	return l
}

// word returns w's number, a new one for a new word.
func (l *lexicon) word(w string) uint16 {
	if n, ok := l.words[w]; ok {
		return n
	}
	n := uint16(len(l.class))
	l.words[w] = n
	l.class, l.topic = append(l.class, 0), append(l.topic, 0)
	return n
}

// add puts the phrases that words stand for under node, and returns the highest node in use. Where two rules share a
// phrase the one listed first has it.
func (l *lexicon) add(words []string, node uint32, rule uint16, nodes uint32) uint32 {
	if len(words) == 0 {
		if _, taken := l.ends[node]; !taken {
			l.ends[node] = rule
		}
		return nodes
	}
	for _, w := range strings.Split(words[0], "|") {
		key := uint64(node)<<16 | uint64(l.word(w))
		next, ok := l.edges[key]
		if !ok {
			nodes++
			next = nodes
			l.edges[key] = next
		}
		nodes = l.add(words[1:], next, rule, nodes)
	}
	return nodes
}
