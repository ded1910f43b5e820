package assess

import (
	"embed"
	"strings"
)

//go:embed lexicon/*.txt
var lexiconFiles embed.FS

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
type class uint32

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
	classAsk
	classSubject // the writer, as who does something
	classCeased  // "the thoughts have stopped"
	classAux     // what must stand before it
	classThird   // verbs of somebody else
	classThing   // what is nobody
	classMyself
	classPromise
	classUnable
	classJoin    // what begins another thing said
	classWanting // of now, not of once
	classReport  // "not that I want to"
	classSettled // what may stand behind "have stopped"
	classOwning  // what stands before a noun
	classReason  // "no reason not to"
)

// rule is a set of phrases that mean the same. In a phrase "a|b" is either word; fillers may stand between words.
type rule struct {
	id         string
	item       item
	hard       bool // unmistakable: counts whatever the model says
	self       bool // names the writer itself ("myself"): another subject does not cancel it
	needsOther bool // only with somebody else as the subject
	needsDeath bool // only where somebody's death was spoken of before
	phrases    []string
}

// node is a place in the lexicon's trie. Each language has a root, by its index; so have the rules and the phrases that
// count in whatever language the rest is.
type node uint32

const (
	noNode     node = 0
	rulesRoot  node = 1
	anyRoot    node = 2
	firstRoot  node = 3 // the first language's
	maxTongues      = 24
)

// ending is what a phrase that ends at a node means.
type ending struct {
	concepts concepts
	kind     uint8  // number of the lowest concept
	rule     uint16 // 1 + its index
}

// lexicon is rules and words, compiled once and only read afterwards.
type lexicon struct {
	bare    bool // no word is known, nothing is respelt: for compiling the lexicon itself
	rules   []rule
	tongues []string // languages, by index; English is the first

	words  table // hash of a word → its number
	stems  table // hash of a stem → its number
	edges  table // node, word → node
	ends   []ending
	class  []class  // by word
	topic  []uint8  // by word: 1 + its index in TopicNames
	group  []uint8  // by word: 1 + the line of alike that it is in
	speak  []uint32 // by word: the languages that have it, a bit each
	begins []uint32 // by word: the roots whose phrases it begins, a bit each

	longestStem int
}

// table is a hash table of uint64 → uint32 with open addressing; 0 is no value. It is filled, then frozen. Most of what is asked for is
// not there: may, which stays in the cache, says so of most of that.
type table struct {
	filling map[uint64]uint32 // until it is frozen
	slots   []slot
	mask    uint64
	may     [1 << mayBits / 64]uint64 // a bit for each key
}

// slot keeps half of a key's mix, of which the other half gave its place: two keys are taken for each other once in 2^47.
type slot struct{ check, value uint32 }

const mayBits = 18

func mix(x uint64) uint64 {
	x *= 0x9E3779B97F4A7C15
	x ^= x >> 32
	x *= 0xD6E8FEB86659FD93
	return x ^ x>>29
}

func (t *table) get(key uint64) uint32 {
	if t.slots == nil {
		return t.filling[key]
	}
	at := mix(key)
	if t.may[at%(1<<mayBits)/64]>>(at%64)&1 == 0 {
		return 0
	}
	for i := at >> 16 & t.mask; ; i = (i + 1) & t.mask {
		if s := t.slots[i]; s.value == 0 || s.check == uint32(at>>32) {
			return s.value
		}
	}
}

func (t *table) put(key uint64, value uint32) {
	if t.filling == nil {
		t.filling = map[uint64]uint32{}
	}
	t.filling[key] = value
}

// freeze makes the table that is read from. The order of what shares a place does not matter.
func (t *table) freeze() {
	size := 2
	for size < 2*len(t.filling)+2 {
		size *= 2
	}
	t.slots, t.mask = make([]slot, size), uint64(size-1)
	for key, value := range t.filling {
		at := mix(key)
		t.may[at%(1<<mayBits)/64] |= 1 << (at % 64)
		i := at >> 16 & t.mask
		for t.slots[i].value != 0 {
			i = (i + 1) & t.mask
		}
		t.slots[i] = slot{uint32(at >> 32), value}
	}
	t.filling = nil
}

const (
	hashSeed  = 14695981039346656037
	hashPrime = 1099511628211
)

// hashBytes is FNV-1a.
func hashBytes(word []byte) uint64 {
	h := uint64(hashSeed)
	for _, c := range word {
		h = (h ^ uint64(c)) * hashPrime
	}
	return h
}

func hashString(word string) uint64 {
	h := uint64(hashSeed)
	for i := range len(word) {
		h = (h ^ uint64(word[i])) * hashPrime
	}
	return h
}

func hashRune(char rune) uint64 { return hashString(string(char)) }

func (l *lexicon) lookup(hash uint64) uint32 { return l.words.get(hash) }

func (l *lexicon) classOf(word uint32) class {
	if int(word) >= len(l.class) {
		return 0
	}
	return l.class[word]
}

func (l *lexicon) topicOf(word uint32) uint8 { return l.topic[word] }

// minStem is the shortest stem, in bytes.
const minStem = 3

// stemOf returns the longest stem that word begins with.
func (l *lexicon) stemOf(word []byte) (stem uint32) {
	if l.longestStem == 0 {
		return 0
	}
	h := uint64(hashSeed)
	for i, c := range word {
		if i >= l.longestStem {
			break
		}
		h = (h ^ uint64(c)) * hashPrime
		if i+1 >= minStem {
			if s := l.stems.get(h); s != 0 {
				stem = s
			}
		}
	}
	return stem
}

func (l *lexicon) step(from node, word uint32) node {
	if word == 0 {
		return noNode
	}
	return node(l.edges.get(uint64(from)<<32 | uint64(word)))
}

// match returns the end of the longest phrase under root that begins with token i, and what it means; last < i: none.
// A filler may stand inside.
func (l *lexicon) match(tokens []token, i int, root node) (last int, means ending) {
	at, skipped := root, 0
	last = i - 1
	for j := i; j < len(tokens) && tokens[j].sentence == tokens[i].sentence; j++ {
		next := l.step(at, tokens[j].word)
		if next == noNode && tokens[j].stem != 0 {
			next = l.step(at, tokens[j].stem)
		}
		if next == noNode {
			if j == i || l.classOf(tokens[j].word)&classFiller == 0 || skipped == maxSkipped {
				break
			}
			skipped++
			continue
		}
		at = next
		if e := l.ends[at]; e.concepts != 0 {
			last, means = j, e
		}
	}
	return last, means
}

// builtin compiles the lexicon of lexicon/*.txt, words.go and rules.go.
func builtin() *lexicon {
	l := &lexicon{rules: rules, class: make([]class, 1), topic: make([]uint8, 1), group: make([]uint8, 1), speak: make([]uint32, 1), begins: make([]uint32, 1)}
	l.ends = make([]ending, firstRoot+maxTongues)
	for c, words := range classes {
		for _, w := range strings.Fields(words) {
			l.class[l.word(w)] |= c
			if c == classOther && len(w) > len("they") && !strings.HasSuffix(w, "s") {
				l.class[l.word(w+"s")] |= c // "my sister's suicidal"
			}
		}
	}
	for i, name := range topicList {
		for _, w := range strings.Fields(topicWords[name]) {
			l.topic[l.word(w)] = uint8(i + 1)
		}
	}
	l.readAlike()
	for i, r := range rules {
		for _, phrase := range r.phrases {
			l.addRule(strings.Fields(phrase), rulesRoot, uint16(i+1), 0)
		}
	}
	l.tongues = append(l.tongues, "en")
	files, err := lexiconFiles.ReadDir("lexicon")
	if err != nil {
		panic("assess: the embedded lexicon has no folder")
	}
	for _, file := range files {
		if name := strings.TrimSuffix(file.Name(), ".txt"); name != "en" && name != signs && len(l.tongues) < maxTongues-1 {
			l.tongues = append(l.tongues, name)
		}
	}
	l.tongues = append(l.tongues, signs)
	for i, tongue := range l.tongues {
		data, err := lexiconFiles.ReadFile("lexicon/" + tongue + ".txt")
		if err != nil {
			panic("assess: the embedded lexicon of " + tongue + " cannot be read")
		}
		l.read(i, string(data))
		for _, w := range strings.Fields(stops[tongue]) {
			l.speak[l.word(w)] |= 1 << i
		}
	}
	for i := range l.ends {
		l.ends[i].kind = uint8(l.ends[i].concepts.first())
	}
	for _, t := range [...]*table{&l.words, &l.stems, &l.edges} {
		t.freeze()
	}
	return l
}

// word returns w's number, a new one for a new word. w is one folded token.
func (l *lexicon) word(w string) uint32 { return l.wordOf(hashString(w)) }

func (l *lexicon) wordOf(hash uint64) uint32 {
	if n := l.words.get(hash); n != 0 {
		return n
	}
	n := l.newWord()
	l.words.put(hash, n)
	return n
}

func (l *lexicon) newWord() uint32 {
	l.class, l.topic, l.group = append(l.class, 0), append(l.topic, 0), append(l.group, 0)
	l.speak, l.begins = append(l.speak, 0), append(l.begins, 0)
	return uint32(len(l.class) - 1)
}

// read takes a language's file: "concept: word two_words stem*", a line each.
func (l *lexicon) read(tongue int, text string) {
	var s scratch
	bare := &lexicon{bare: true}
	for line := range strings.Lines(text) {
		name, words, ok := strings.Cut(strings.TrimSpace(line), ":")
		c := conceptNamed(name)
		if !ok || c == 0 {
			continue
		}
		for _, phrase := range strings.Fields(words) {
			stem := strings.HasSuffix(phrase, "*") && len(phrase) > minStem
			s.tokenize(bare, strings.ReplaceAll(strings.TrimSuffix(phrase, "*"), "_", " "))
			if len(s.tokens) == 0 {
				continue
			}
			l.addPhrase(&s, firstRoot+node(tongue), stem, tongue, c)
			if c&direct != 0 && (len(s.tokens) > 1 || len(phrase) >= minAlone) {
				l.addPhrase(&s, anyRoot, stem, tongue, c)
			}
		}
	}
}

// minAlone is how many bytes a direct phrase of one word has that counts in any language.
const minAlone = 8

func (l *lexicon) addPhrase(s *scratch, root node, stem bool, tongue int, c concepts) {
	at := root
	for i, t := range s.tokens {
		var w uint32
		if stem && i == len(s.tokens)-1 {
			w = l.stems.get(t.hash)
			if w == 0 {
				w = l.newWord()
				l.stems.put(t.hash, w)
				l.longestStem = max(l.longestStem, int(t.to-t.from))
			}
		} else {
			w = l.wordOf(t.hash)
			if len(s.tokens) == 1 {
				l.speak[w] |= 1 << tongue
			}
		}
		if i == 0 {
			l.begins[w] |= 1 << root
		}
		at = l.grow(at, w)
	}
	l.ends[at].concepts |= c
	if stem { // the stem alone is a word, too
		t := s.tokens[len(s.tokens)-1]
		if len(s.tokens) == 1 {
			w := l.wordOf(t.hash)
			l.begins[w] |= 1 << root
			l.ends[l.grow(root, w)].concepts |= c
		}
	}
}

func (l *lexicon) grow(at node, word uint32) node {
	if next := l.step(at, word); next != noNode {
		return next
	}
	l.ends = append(l.ends, ending{})
	next := node(len(l.ends) - 1)
	l.edges.put(uint64(at)<<32|uint64(word), uint32(next))
	return next
}

// addRule puts the phrases that words stand for under at. Where two rules share a phrase the one listed first has it.
func (l *lexicon) addRule(words []string, at node, rule uint16, depth int) {
	if len(words) == 0 {
		if l.ends[at].rule == 0 {
			l.ends[at].rule = rule
		}
		return
	}
	for _, w := range strings.Split(words[0], "|") {
		n := l.word(w)
		if depth == 0 {
			l.begins[n] |= 1 << rulesRoot
		}
		l.addRule(words[1:], l.grow(at, n), rule, depth+1)
	}
}
