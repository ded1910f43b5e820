package assess

import (
	"unicode"
	"unicode/utf8"
)

const (
	maxWordBytes = 48 // a longer word is in no lexicon
	maxSentence  = 64 // words to either side that context looks at
	maxSkipped   = 3  // fillers inside a phrase
	maxSpan      = 24 // words of the longest phrase with its fillers
)

// token is one word: which it is, and where. It holds no text.
type token struct {
	word             uint16 // 0: not in the lexicon
	start, end       int32  // bytes
	start16, end16   int32  // UTF-16 code units
	sentence, clause int32
	quoted           bool // inside quotation marks, and somebody else's
	past, present    bool // set by find
}

// hit is a phrase found, by the index of its rule and of its first and last word.
type hit struct {
	rule        uint16
	first, last int
}

// reader splits text into tokens in one pass.
type reader struct {
	lexicon          *lexicon
	tokens           []token
	word             [maxWordBytes]byte // the word being read, lower case
	size             int                // of word; more than maxWordBytes: too long
	open             bool               // a word is being read
	at               token
	sentence, clause int32
	quote            int // index of the first token inside the open quotation, -1: none
}

// tokenize appends text's words to tokens.
func (l *lexicon) tokenize(tokens []token, text string) []token {
	r := reader{lexicon: l, tokens: tokens, quote: -1}
	var units int32
	for i := 0; i < len(text); {
		char, size := rune(text[i]), 1
		if char >= utf8.RuneSelf {
			char, size = utf8.DecodeRuneInString(text[i:])
		}
		width := int32(1)
		if char > 0xFFFF {
			width = 2
		}
		r.read(char, int32(i), int32(i+size), units, units+width)
		i, units = i+size, units+width
	}
	r.close()
	return r.tokens
}

func (r *reader) read(char rune, start, end, start16, end16 int32) {
	switch {
	case isLetter(char):
		if !r.open {
			r.open, r.size = true, 0
			r.at = token{start: start, start16: start16}
		}
		r.at.end, r.at.end16 = end, end16
		r.put(unicode.ToLower(char))
	case isInvisible(char), isApostrophe(char) && r.open:
		// Within a word they are as if they were not there: don't = dont.
	default:
		r.close()
		r.mark(char)
	}
}

func isLetter(char rune) bool {
	if char < utf8.RuneSelf {
		return char >= 'a' && char <= 'z' || char >= 'A' && char <= 'Z' || char >= '0' && char <= '9'
	}
	return unicode.IsLetter(char) || unicode.IsDigit(char) || unicode.IsMark(char)
}

func isApostrophe(char rune) bool {
	return char == '\'' || char == '’' || char == '`' || char == 'ʼ'
}

// isInvisible: soft hyphen, zero-width and bidirectional controls, which hide a word from a reader of bytes only.
func isInvisible(char rune) bool {
	return char == 0xAD || char >= 0x200B && char <= 0x200F || char >= 0x202A && char <= 0x202E ||
		char >= 0x2060 && char <= 0x2069 || char == 0xFEFF
}

func (r *reader) put(char rune) {
	if r.size > maxWordBytes-utf8.UTFMax {
		r.size = maxWordBytes + 1
		return
	}
	r.size += utf8.EncodeRune(r.word[r.size:], char)
}

// close ends the word being read, if there is one.
func (r *reader) close() {
	if !r.open {
		return
	}
	r.open = false
	t := r.at
	t.sentence = r.sentence
	if r.size <= maxWordBytes {
		t.word = r.lexicon.words[string(r.word[:r.size])] // no allocation: the compiler knows this form
	}
	if r.lexicon.class[t.word]&classTurn != 0 {
		r.clause++
	}
	t.clause = r.clause
	r.tokens = append(r.tokens, t)
}

// mark reads a character between words.
func (r *reader) mark(char rune) {
	switch char {
	case '.', '!', '?', '\n', '…', '。', '！', '？', '।', '؟':
		r.sentence++
		r.clause++
	case ',', ';', ':', '(', ')', '—', '，', '、':
		r.clause++
	case '"', '“', '”', '«', '»', '„':
		r.quotation()
	}
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
		before |= r.lexicon.class[r.tokens[i].word]
	}
	if before&classFirst != 0 || before&(classOther|classMedia) == 0 {
		return
	}
	for j := first; j < len(r.tokens); j++ {
		r.tokens[j].quoted = true
	}
}
