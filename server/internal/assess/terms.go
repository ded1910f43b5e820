package assess

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"vigil/server/internal/triage"
)

const (
	maxOwnTopics   = 3  // of an organisation, in one message
	maxOwnEvidence = 8  // key phrases of them
	maxTermRunes   = 80 // longer ones are not compiled; the database refuses them too
)

// Terms finds an organisation's own words for topics: in any case, at the edges of words, or anywhere where the script
// writes no spaces. Immutable; safe for concurrent use; nil finds nothing.
type Terms struct {
	topics []string
	ends   map[int32][]termEnd // node → the terms that end there
	edges  map[termEdge]int32  // node and letter → node
	fails  []int32             // node → the longest other node that ends as it does
	dict   []int32             // node → the nearest one on its chain of fails at which a term ends; 0: none
}

type termEdge struct {
	node   int32
	letter rune
}

type termEnd struct {
	topic     int16
	letters   int16
	language  string
	edgeAhead bool // begins with a letter of a script that writes spaces, so a word must begin there
	edgeAfter bool // likewise its end
}

// CompileTerms makes terms ready to be found. What is empty, without a topic, or too long is left out.
func CompileTerms(terms []triage.TopicTerm) *Terms {
	t := &Terms{ends: make(map[int32][]termEnd), edges: make(map[termEdge]int32), fails: []int32{0}, dict: []int32{0}}
	numbers := make(map[string]int16)
	for _, term := range terms {
		letters := []rune(foldTerm(term.Term))
		if len(letters) == 0 || len(letters) > maxTermRunes || term.Topic == "" {
			continue
		}
		topic, ok := numbers[term.Topic]
		if !ok {
			topic = int16(len(t.topics)) //nolint:gosec // the database holds an organisation to a few hundred
			numbers[term.Topic], t.topics = topic, append(t.topics, term.Topic)
		}
		node := t.insert(letters)
		t.ends[node] = append(t.ends[node], termEnd{
			topic: topic, letters: int16(len(letters)), language: term.Language, //nolint:gosec // at most maxTermRunes
			edgeAhead: spaced(letters[0]), edgeAfter: spaced(letters[len(letters)-1]),
		})
	}
	t.link()
	return t
}

// Len is how many topics there are.
func (t *Terms) Len() int { return len(t.topics) }

func (t *Terms) insert(letters []rune) int32 {
	node := int32(0)
	for _, letter := range letters {
		next, ok := t.edges[termEdge{node, letter}]
		if !ok {
			next = int32(len(t.fails)) //nolint:gosec // a few hundred terms of maxTermRunes
			t.edges[termEdge{node, letter}] = next
			t.fails, t.dict = append(t.fails, 0), append(t.dict, 0)
		}
		node = next
	}
	return node
}

// link sets the fails of every node. A node is made after its parent, but the node it fails to may be made later: hence
// by depth.
func (t *Terms) link() {
	children := make([][]termEdge, len(t.fails))
	for from := range t.edges {
		children[from.node] = append(children[from.node], from)
	}
	queue := []int32{0}
	for len(queue) > 0 {
		parent := queue[0]
		queue = queue[1:]
		for _, from := range children[parent] {
			node := t.edges[from]
			if parent != 0 {
				t.fails[node] = t.step(t.fails[parent], from.letter)
			}
			fail := t.fails[node]
			if len(t.ends[fail]) > 0 {
				t.dict[node] = fail
			} else {
				t.dict[node] = t.dict[fail]
			}
			queue = append(queue, node)
		}
	}
}

func (t *Terms) step(node int32, letter rune) int32 {
	for {
		if next, ok := t.edges[termEdge{node, letter}]; ok {
			return next
		}
		if node == 0 {
			return 0
		}
		node = t.fails[node]
	}
}

// foldTerm gives a term as the scan sees a text: one space between words, no case.
func foldTerm(term string) string {
	words := strings.Fields(strings.ToValidUTF8(term, ""))
	for i, w := range words {
		words[i] = strings.Map(foldLetter, w)
	}
	return strings.Join(words, " ")
}

func foldLetter(r rune) rune {
	switch r {
	case '’', 'ʼ':
		return '\''
	}
	return unicode.ToLower(r)
}

// spaced says whether r is a letter or digit of a script that writes spaces between words.
func spaced(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)) &&
		!unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// place is where a letter of the scan begins.
type termPlace struct {
	start, start16 int
	before         rune // the letter before it, 0 at the beginning
}

// find calls found for each term in text, in the order of their ends, until it returns false.
func (t *Terms) find(text, language string, found func(topic string, e triage.Evidence) bool) {
	var recent [maxTermRunes + 1]termPlace // the last letters, by their number
	node, count, at16 := int32(0), 0, 0
	var before rune
	for at, r := range text {
		wide := 1
		if r > 0xFFFF {
			wide = 2
		}
		letter := foldLetter(r)
		if unicode.IsSpace(r) {
			letter = ' '
		}
		if letter == ' ' && before == ' ' {
			at16 += wide
			continue
		}
		recent[count%len(recent)] = termPlace{start: at, start16: at16, before: before}
		count++
		at16 += wide
		before = letter
		node = t.step(node, letter)
		size := max(utf8.RuneLen(r), 1)
		if r == utf8.RuneError {
			_, size = utf8.DecodeRuneInString(text[at:])
		}
		end := at + size
		for n := node; n != 0; n = t.dict[n] {
			for _, e := range t.ends[n] {
				from := recent[(count-int(e.letters))%len(recent)]
				if !e.fits(from, text[end:], language) {
					continue
				}
				if !found(t.topics[e.topic], triage.Evidence{Start: from.start, End: end, UTF16Start: from.start16, UTF16End: at16}) {
					return
				}
			}
		}
	}
}

// fits says whether a term that was met stands at the edges of words, in a text of its language.
func (e *termEnd) fits(from termPlace, rest, language string) bool {
	if e.language != "" && language != "" && e.language != language {
		return false
	}
	if e.edgeAhead && spaced(from.before) {
		return false
	}
	next, size := utf8.DecodeRuneInString(rest)
	return !e.edgeAfter || size == 0 || !spaced(next)
}

// addTerms adds to a what the organisation's own terms find in text: its topics before the built-in ones, and their key
// phrases as evidence.
func addTerms(a triage.Assessment, text string, terms triage.Terms) triage.Assessment {
	t, ok := terms.(*Terms)
	if !ok || t == nil || len(t.topics) == 0 {
		return a
	}
	var own []string
	evidence, added := a.Evidence[:len(a.Evidence):len(a.Evidence)], 0
	t.find(text, a.Language, func(topic string, e triage.Evidence) bool {
		if !listed(own, topic) {
			if len(own) == maxOwnTopics {
				return true
			}
			own = append(own, topic)
		}
		e.Rule = triage.TopicRule + topic
		evidence, added = append(evidence, e), added+1
		return added < maxOwnEvidence
	})
	if len(own) == 0 {
		return a
	}
	a.Evidence = evidence
	for _, topic := range a.Topics {
		if !listed(own, topic) {
			own = append(own, topic)
		}
	}
	a.Topics = own
	return a
}

func listed(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
