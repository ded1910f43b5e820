package assess

// critical are the English words that people hide or mistype most, and that matter most.
var critical = [...]string{
	"suicide", "suicidal", "suicides", "myself", "kill", "killing", "killed", "die", "dying", "dead", "death", "hang", "hanging", "want", "wanna",
	"life", "live", "living", "alive", "unalive", "unaliving", "anymore", "cut", "cutting", "hurt", "overdose", "overdosed", "tonight",
	"goodbye", "pills", "knife", "rope", "harm", "self", "selfharm", "end", "ending", "murder", "rape", "raped", "shoot", "noose", "gonna", "going",
	"existing", "bleeding", "hopeless", "worthless", "attempt", "attempted", "thoughts", "thinking", "kms", "kys", "my", "to", "it", "i", "not", "be",
}

// letterSets has a bit for each letter of each critical word.
var letterSets = func() (sets [len(critical)]uint32) {
	for i, word := range critical {
		sets[i] = letterSet(word)
	}
	return sets
}()

func letterSet[T string | []byte](word T) (set uint32) {
	for i := range len(word) {
		set |= 1 << (word[i] & 31)
	}
	return set
}

// reads says whether sign may stand for letter.
func reads(sign, letter byte) bool {
	switch sign {
	case '*', '#', '_', '-', '.':
		return true
	case '0':
		return letter == 'o'
	case '1', '!', '|':
		return letter == 'i' || letter == 'l'
	case '3':
		return letter == 'e'
	case '4', '@':
		return letter == 'a'
	case '5', '$':
		return letter == 's'
	case '7':
		return letter == 't'
	}
	return plain[sign&127] == letter
}

// unleet returns the critical word that word is, with digits and signs in place of letters.
func unleet[T string | []byte](word T) (string, bool) {
	if len(word) < 3 {
		return "", false
	}
	letters := 0
	for i := range len(word) {
		if word[i] >= 'a' && word[i] <= 'z' || word[i] >= 'A' && word[i] <= 'Z' {
			letters++
		}
	}
	if letters == 0 {
		return "", false
	}
next:
	for _, want := range &critical {
		if len(want) != len(word) || len(want) < 3 {
			continue
		}
		for i := range len(want) {
			if !reads(word[i], want[i]) {
				continue next
			}
		}
		return want, true
	}
	return "", false
}

// maxDisguise bounds a word with signs in it, in bytes.
const maxDisguise = 14

// disguised reads a word with signs in place of letters ("k!ll", "$uicide") that goes on or begins at i, and returns how
// many bytes from i it takes. 0: there is none.
func (r *reader) disguised(char rune, i int, units int32) int {
	switch char {
	case '!', '$', '@', '*', '|', '#', '-', '_':
	default:
		return 0
	}
	start, start16 := i, units
	if r.open {
		if r.at.script&^(latin|digits) != 0 {
			return 0
		}
		start, start16 = int(r.at.start), r.at.start16
	} else if char != '$' && char != '@' {
		return 0
	}
	end := i
	for end < len(r.text) && end-start <= maxDisguise && isDisguise(r.text[end]) {
		end++
	}
	for end > i && plain[r.text[end-1]&127] == 0 {
		end--
	}
	if end <= i || end-start > maxDisguise || end-start < 3 || int(units)-int(start16) != i-start {
		return 0
	}
	word, ok := unleet(r.text[start:end])
	if !ok {
		return 0
	}
	if !r.open {
		r.begin(int32(start), start16)
	}
	r.open = false
	r.spell(&r.at, word)
	r.at.word = r.lexicon.lookup(r.at.hash)
	r.at.end, r.at.end16 = int32(end), start16+int32(end-start)
	r.push(r.at)
	return end - i
}

func isDisguise(c byte) bool {
	switch c {
	case '!', '$', '@', '*', '|', '#', '-', '_':
		return true
	}
	return c < 128 && plain[c] != 0
}

// respell joins letters written apart ("k i l l", "s.u.i") and mends critical words with one slip of the finger.
func (s *scratch) respell(l *lexicon) {
	defer s.compact()
	for i := 0; i < len(s.tokens); i++ {
		t := &s.tokens[i]
		if t.to-t.from == 1 && t.script == latin {
			s.join(l, i)
			t = &s.tokens[i]
		}
		if t.word != 0 || t.script != latin {
			continue
		}
		if word, ok := slip(s.folded[t.from:t.to]); ok {
			s.spell(t, word)
			t.word = l.lookup(t.hash)
		}
	}
}

// compact takes out the tokens that join has emptied.
func (s *scratch) compact() {
	n := int32(0)
	for k := range s.sentences {
		first, end := s.sentences[k].first, s.sentences[k].end
		s.sentences[k].first = n
		for i := first; i < end; i++ {
			if s.tokens[i].from < s.tokens[i].to {
				s.tokens[n] = s.tokens[i]
				n++
			}
		}
		s.sentences[k].end = n
	}
	s.tokens = s.tokens[:n]
}

// minSpelt is how many letters written apart make a word.
const minSpelt = 4

// join reads the letters written apart from token i on as critical words. The tokens that become one word all carry it
// or nothing: the first has the word and the span, the others are emptied.
func (s *scratch) join(l *lexicon, i int) {
	var letters [maxWordBytes]byte
	n := 0
	for j := i; j < len(s.tokens) && n < len(letters); j++ {
		if t := &s.tokens[j]; t.to-t.from != 1 || t.script != latin {
			break
		}
		letters[n] = s.folded[s.tokens[i+n].from]
		n++
	}
	if n < minSpelt && (n != 3 || string(letters[:n]) != "kms" && string(letters[:n]) != "die") {
		return
	}
	for at := 0; at < n; {
		best := ""
		for _, word := range &critical {
			if len(word) > len(best) && len(word) <= n-at && string(letters[at:at+len(word)]) == word {
				best = word
			}
		}
		if len(best) > 1 {
			first, last := &s.tokens[i+at], s.tokens[i+at+len(best)-1]
			s.spell(first, best)
			first.word = l.lookup(first.hash)
			first.end, first.end16 = last.end, last.end16
			for k := 1; k < len(best); k++ {
				rest := &s.tokens[i+at+k]
				rest.word, rest.hash, rest.to, rest.script = 0, 0, rest.from, 0
			}
		}
		at += max(len(best), 1)
	}
}

// slip returns the critical word that word becomes with one slip undone: two letters swapped, one missing or doubled, or,
// in a long word, any one letter wrong. The first letter is taken to be right.
func slip(word []byte) (string, bool) {
	n := len(word)
	if n < 3 || n > 11 {
		return "", false
	}
	set := letterSet(word)
	for i, want := range &critical {
		d := n - len(want)
		if len(want) < 3 || d > 1 || d < -1 || word[0] != want[0] || farApart(set, letterSets[i]) {
			continue
		}
		if slipped(word, want, d) {
			return want, true
		}
	}
	return "", false
}

func slipped(word []byte, want string, d int) bool {
	k := 0
	for k < len(word) && k < len(want) && word[k] == want[k] {
		k++
	}
	switch d {
	case 0: // swapped, or one wrong
		if k+1 < len(want) && word[k] == want[k+1] && word[k+1] == want[k] && string(word[k+2:]) == want[k+2:] {
			return true
		}
		return len(want) >= 6 && k < len(want) && string(word[k+1:]) == want[k+1:]
	case -1: // one missing
		return len(want) >= 4 && k < len(want) && string(word[k:]) == want[k+1:] && (len(want) >= 6 || want == "kill" || want == "pills" || want == "knife")
	default: // one too many
		return string(word[k+1:]) == want[k:] && (len(want) >= 6 || k > 0 && word[k] == word[k-1])
	}
}

// farApart says whether more than two letters are in one set only.
func farApart(a, b uint32) bool {
	d := a ^ b
	d &= d - 1
	return d&(d-1) != 0
}
