package assess

import "unicode/utf8"

const (
	maxWordBytes = 48      // a longer word is cut
	maxSentence  = 64      // words to either side that context looks at
	maxSkipped   = 3       // fillers inside a phrase
	maxSpan      = 24      // words of the longest phrase with its fillers
	maxHalf      = 8 << 10 // bytes at either end of a long text that are read
	maxTokens    = 8192
	maxRun       = 2 // equal letters or pictures in a row that count
)

// token is one word: which it is, and where.
type token struct {
	word, stem       uint32 // 0: not in the lexicon
	start, end       int32  // bytes of the text
	start16, end16   int32  // UTF-16 code units
	from, to         int32  // of its folded form in scratch.folded
	hash             uint64 // of the folded form
	sentence, clause int32
	script           script
	quoted           bool // inside quotation marks, and somebody else's
	shouted          bool // two capitals or more
	past, present    bool // set by find
}

// sentence is a run of tokens.
type sentence struct {
	first, end int32
	question   bool
}

// reader splits text into tokens in one pass, undoing what hides a word: case, accents, special forms, invisible
// characters, look-alike letters, digits and signs for letters, repeats.
type reader struct {
	*scratch
	lexicon *lexicon
	text    string

	open             bool // a word is being read
	at               token
	capitals, run    int
	last             rune // of the word
	repeated         bool // the word has three equal letters in a row
	sentence, clause int32
	quote            int  // index of the first token inside the open quotation, -1: none
	full             bool // the last sign ended a sentence
}

// tokenize reads text into s.tokens and s.sentences. Of a text longer than 2·maxHalf it reads both ends.
func (s *scratch) tokenize(l *lexicon, text string) {
	s.tokens, s.sentences, s.folded = s.tokens[:0], s.sentences[:0], s.folded[:0]
	r := reader{scratch: s, lexicon: l, text: text, quote: -1}
	var units int32
	for i := 0; i < len(text); {
		if i == maxHalf && len(text) > 2*maxHalf || i > maxHalf && i < maxHalf+utf8.UTFMax && len(text)-i > maxHalf {
			r.endSentence(false)
			skip := len(text) - maxHalf
			for skip < len(text) && !utf8.RuneStart(text[skip]) {
				skip++
			}
			units += unitsOf(text[i:skip])
			i = skip
			continue
		}
		char, size := rune(text[i]), 1
		if char >= utf8.RuneSelf {
			char, size = utf8.DecodeRuneInString(text[i:])
		}
		width := int32(1)
		if char > 0xFFFF {
			width = 2
		}
		if len(s.tokens) < maxTokens {
			if n := r.read(char, i, size, units, width); n > size {
				units += unitsOf(text[i : i+n])
				i += n
				continue
			}
		}
		i, units = i+size, units+width
	}
	r.endSentence(false)
	if !l.bare {
		s.respell(l)
	}
}

// unitsOf counts UTF-16 code units.
func unitsOf(text string) (n int32) {
	for _, char := range text {
		n++
		if char > 0xFFFF {
			n++
		}
	}
	return n
}

// read takes the character at i and returns how many bytes it has dealt with.
func (r *reader) read(char rune, i, size int, units, width int32) int {
	switch {
	case char < utf8.RuneSelf && plain[char] != 0, char >= utf8.RuneSelf && isLetter(char):
		r.letter(char, int32(i), int32(i+size), units, units+width)
	case isInvisible(char):
	case isApostrophe(char) && r.open:
		if r.elided(i + size) {
			r.close()
		}
	case isPicture(char):
		r.close()
		if n := len(r.tokens); n >= maxRun && r.tokens[n-1].script == pictures && r.tokens[n-1].hash == r.tokens[n-2].hash &&
			r.tokens[n-1].hash == hashRune(char) {
			return size
		}
		r.begin(int32(i), units)
		r.put(char)
		r.at.script, r.at.end, r.at.end16 = pictures, int32(i+size), units+width
		r.close()
	default:
		if n := r.disguised(char, i, units); n > 0 {
			return n
		}
		r.close()
		r.mark(char, i, units)
	}
	return size
}

func (r *reader) begin(start, start16 int32) {
	r.open, r.capitals, r.run, r.last, r.repeated = true, 0, 0, 0, false
	n := int32(len(r.folded))
	r.at = token{start: start, start16: start16, from: n, to: n}
}

func (r *reader) letter(char rune, start, end, start16, end16 int32) {
	var folded rune
	if char < utf8.RuneSelf {
		folded = rune(plain[char])
		if char >= 'A' && char <= 'Z' {
			r.capitals++
		}
	} else if folded = fold(char); folded == 0 {
		r.at.end, r.at.end16 = end, end16 // an accent belongs to the letter before it; without one nothing is open
		return
	}
	alone := folded >= utf8.RuneSelf && unspaced(folded)
	if alone {
		r.close()
	}
	if !r.open {
		r.begin(start, start16)
	}
	r.at.end, r.at.end16 = end, end16
	r.put(folded)
	if char == 'ß' {
		r.put('s')
	}
	if alone {
		r.close()
	}
}

// put appends a letter to the word, but for the third of a run.
func (r *reader) put(char rune) {
	if char == r.last {
		r.run++
	} else {
		r.last, r.run = char, 1
	}
	if r.run > maxRun && (char > '9' || char < '0') {
		r.repeated = true
		return
	}
	if r.at.to-r.at.from > maxWordBytes-utf8.UTFMax {
		return
	}
	if char < utf8.RuneSelf {
		r.folded = append(r.folded, byte(char))
		if char <= '9' {
			r.at.script |= digits
		} else {
			r.at.script |= latin
		}
	} else {
		r.folded = utf8.AppendRune(r.folded, char)
		r.at.script |= scriptOf(char)
	}
	r.at.to = int32(len(r.folded))
}

// elided says whether the word before an apostrophe is an article or the like that French and Italian cut short, so that
// the next word stands for itself.
func (r *reader) elided(next int) bool {
	if next >= len(r.text) || r.text[next] < 'A' && r.text[next] != ' ' {
		return false
	}
	switch string(r.folded[r.at.from:r.at.to]) {
	case "l", "d", "j", "n", "m", "t", "s", "c", "qu", "jusqu", "lorsqu", "puisqu", "un", "dell", "nell", "sull", "all", "dall", "quest", "nient":
		return true
	}
	return false
}

// close ends the word being read, if there is one.
func (r *reader) close() {
	if !r.open {
		return
	}
	r.open = false
	t := &r.at
	if t.to == t.from {
		return
	}
	if t.script&latin != 0 && t.script&(cyrillic|greek) != 0 {
		r.unmask(t)
	}
	word := r.folded[t.from:t.to]
	t.hash = hashBytes(word)
	t.word = r.lexicon.lookup(t.hash)
	if r.repeated && t.word == 0 {
		r.shorten(t)
	}
	t.shouted = r.capitals > 1
	if t.script == latin|digits && !r.lexicon.bare {
		if w, ok := unleet(r.folded[t.from:t.to]); ok {
			r.spell(t, w)
			t.word = r.lexicon.lookup(t.hash)
		}
	}
	if t.script&pictures == 0 {
		t.stem = r.lexicon.stemOf(r.folded[t.from:t.to])
	}
	r.push(*t)
}

func (r *reader) push(t token) {
	t.sentence = r.sentence
	if r.lexicon.classOf(t.word)&classTurn != 0 {
		r.clause++
	}
	t.clause, r.full = r.clause, false
	r.tokens = append(r.tokens, t)
}

// spell gives t another word's letters.
func (s *scratch) spell(t *token, word string) {
	t.from = int32(len(s.folded))
	s.folded = append(s.folded, word...)
	t.to = int32(len(s.folded))
	t.hash = hashString(word)
	t.script = latin
}

// unmask turns look-alike letters of a mixed word into the Latin ones.
func (r *reader) unmask(t *token) {
	var word [maxWordBytes]byte
	out := word[:0]
	for _, char := range string(r.folded[t.from:t.to]) { // converted without a copy
		out = utf8.AppendRune(out, twin(char))
		if len(out) > maxWordBytes-utf8.UTFMax {
			break
		}
	}
	t.from = int32(len(r.folded))
	r.folded = append(r.folded, out...)
	t.to = int32(len(r.folded))
	t.script = latin
}

// shorten undoes a repeat: two letters where the lexicon has one.
func (r *reader) shorten(t *token) {
	from := len(r.folded)
	for i := t.from; i < t.to; i++ {
		if c := r.folded[i]; i == t.from || c != r.folded[i-1] || c >= utf8.RuneSelf {
			r.folded = append(r.folded, c)
		}
	}
	t.from, t.to = int32(from), int32(len(r.folded))
	t.hash = hashBytes(r.folded[from:])
	t.word = r.lexicon.lookup(t.hash)
}

// mark reads a character between words.
func (r *reader) mark(char rune, i int, units int32) {
	switch char {
	case '.':
		if i+1 >= len(r.text) || r.text[i+1] <= ' ' || r.text[i+1] == '.' || r.text[i+1] == '"' || r.text[i+1] >= utf8.RuneSelf {
			r.endSentence(false)
		} else if n := len(r.tokens); n > 0 && r.tokens[n-1].to-r.tokens[n-1].from > 1 {
			r.endSentence(false)
		}
	case '!', '\n', '…', '。', '！', '।':
		r.endSentence(false)
	case '?', '？', '؟':
		r.endSentence(true)
	case ',', ';', '(', ')', '—', '–', '，', '、', '،', '；':
		r.clause++
	case ':', '=', '：':
		r.clause++
		r.face(i, units)
	case '"', '“', '”', '«', '»', '„', '「', '」', '『', '』':
		if i > 0 && char == '"' && r.text[i-1] >= '0' && r.text[i-1] <= '9' {
			return // inches
		}
		r.quotation()
	}
}

// face reads a face made of signs, as ":(" is.
func (r *reader) face(i int, units int32) {
	next := i + 1
	for next < len(r.text) && next < i+3 && (r.text[next] == '-' || r.text[next] == '\'') {
		next++
	}
	if next >= len(r.text) {
		return
	}
	switch c := r.text[next]; c {
	case '(', ')', '/', '|', '[', ']':
		r.begin(int32(i), units)
		r.folded = append(r.folded, ':', c)
		r.at.to, r.at.end, r.at.end16 = int32(len(r.folded)), int32(next+1), units+int32(next+1-i)
		r.at.script = pictures
		r.close()
	}
}

func (r *reader) endSentence(question bool) {
	r.close()
	n := int32(len(r.tokens))
	first := int32(0)
	if k := len(r.sentences); k > 0 {
		first = r.sentences[k-1].end
		if first == n { // "?!", "..."
			r.sentences[k-1].question = r.sentences[k-1].question || question && !r.full
			return
		}
	}
	r.clause++
	if first == n {
		return
	}
	r.sentences = append(r.sentences, sentence{first: first, end: n, question: question})
	r.sentence++
	r.full = true
}

// quotation opens or closes one. Only a closed quotation that follows somebody else, or a song or a film, is theirs: an
// open one, or the writer's own, is read as if it were not quoted.
func (r *reader) quotation() {
	if r.quote < 0 {
		r.quote = len(r.tokens)
		return
	}
	first := r.quote
	r.quote = -1
	var before class
	for i := first - 1; i >= 0 && i >= first-quoteReach && r.tokens[i].sentence == r.tokens[first-1].sentence; i-- {
		before |= r.lexicon.classOf(r.tokens[i].word)
	}
	if before&classSubject != 0 || before&(classOther|classMedia) == 0 {
		return
	}
	for j := first; j < len(r.tokens); j++ {
		r.tokens[j].quoted = true
	}
}
