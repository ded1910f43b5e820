package assess

// How far context reaches, in words.
const (
	negationReach = 4
	reportReach   = 7
	intentReach   = 4
	subjectReach  = 12
	quoteReach    = 8
)

// context is what surrounds a hit in its sentence.
type context struct {
	negated bool // denied: "I am not going to …"
	first   bool // the writer is the subject
	other   bool // somebody else is the subject
	quoted  bool // somebody else's words
	past    bool // long ago, and nothing says it is back
	intent  bool // "going to", "tonight"
	means   bool // a means is named
	media   bool // a song, a film or a book is spoken of before it
	asked   bool // in a question that is not about the writer
}

func (s *scratch) contextOf(h hit) context {
	t := s.tokens
	c := context{quoted: t[h.first].quoted && t[h.last].quoted}
	sentence := t[h.first].sentence
	for i, back := h.first-1, 1; i >= 0 && t[i].sentence == sentence && back <= subjectReach; i, back = i-1, back+1 {
		class := s.lexicon.classOf(t[i].word)
		if class&classNegator != 0 && s.denies(i, h.first) {
			if s.lexicon.classOf(t[i+1].word)&classReport != 0 { // "not because I want to", "doesn't mean that I want to"
				c.negated = c.negated || back <= reportReach
			} else {
				c.negated = c.negated || back <= negationReach && t[i].clause == t[h.first].clause
			}
		}
		if back <= intentReach && class&classIntent != 0 {
			c.intent = true
		}
		if !c.first && !c.other {
			c.first, c.other = class&classFirst != 0, class&classOther != 0
		}
	}
	for i := h.first; i >= 0 && t[i].sentence == sentence && h.first-i <= maxSentence; i-- {
		class := s.lexicon.classOf(t[i].word)
		s.widen(&c, class)
		c.media = c.media || class&classMedia != 0
	}
	for i := h.first + 1; i < len(t) && t[i].sentence == sentence && i-h.first <= maxSentence; i++ {
		s.widen(&c, s.lexicon.classOf(t[i].word))
	}
	if first := s.sentences[sentence].first; s.lexicon.classOf(t[first].word)&classAsk != 0 {
		c.asked = true
		for i := first; i < s.sentences[sentence].end && i < first+maxSentence; i++ {
			c.asked = c.asked && s.lexicon.classOf(t[i].word)&classFirst == 0
		}
	}
	c.negated = c.negated || s.ceased(h)
	if !c.other && s.ofAnother(h) {
		c.first, c.other = false, true
	}
	c.past = !t[h.first].present && s.longAgo(h)
	return c
}

// longAgo says whether a marker of the past belongs to h: in its sentence, with nothing else said between them, and not where the
// writer wants it now.
func (s *scratch) longAgo(h hit) bool {
	if !s.tokens[h.first].past {
		return false
	}
	for i := h.first - 1; i >= 0 && i >= h.first-negationReach && s.tokens[i].sentence == s.tokens[h.first].sentence; i-- {
		if s.lexicon.classOf(s.tokens[i].word)&classWanting != 0 {
			return false
		}
	}
	for k := s.hitAt(h.first - maxSentence); k < len(s.hits) && s.hits[k].first <= h.last+maxSentence; k++ {
		p := s.hits[k]
		if s.lexicon.rules[p.rule].item != itemPast || s.tokens[p.first].sentence != s.tokens[h.first].sentence {
			continue
		}
		from, to := p.last+1, h.first
		if p.first > h.last {
			from, to = h.last+1, p.first
		}
		joined := false
		for i := from; i < to && !joined; i++ {
			joined = s.lexicon.classOf(s.tokens[i].word)&classJoin != 0
		}
		if !joined {
			return true
		}
	}
	return false
}

// hitAt returns the first hit that begins at token i or after it.
func (s *scratch) hitAt(i int) int {
	low, high := 0, len(s.hits)
	for low < high {
		if mid := (low + high) / 2; s.hits[mid].first < i {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// ofAnother says whether a verb of the third person stands right before h, with a person for its subject: "our priest is suicidal".
func (s *scratch) ofAnother(h hit) bool {
	i := h.first - 1
	for i > 0 && s.tokens[i].clause == s.tokens[h.first].clause && s.lexicon.classOf(s.tokens[i].word)&classFiller != 0 {
		i--
	}
	if i < 1 || s.tokens[i-1].clause != s.tokens[h.first].clause || s.lexicon.classOf(s.tokens[i].word)&classThird == 0 {
		return false
	}
	subject := s.lexicon.classOf(s.tokens[i-1].word)
	owned := i > 1 && s.tokens[i-2].clause == s.tokens[i].clause && s.lexicon.classOf(s.tokens[i-2].word)&classOwning != 0
	return subject&classOther != 0 || owned && subject&(classThing|classFirst|classNegator) == 0
}

// ceasedReach is how far behind a phrase "have stopped" may stand, in words.
const ceasedReach = 5

// ceased says whether it is said right behind h that it is over: "the suicidal thoughts have stopped", and not that they have not.
func (s *scratch) ceased(h hit) bool {
	aux := false
	for i := h.last + 1; i < len(s.tokens) && i <= h.last+ceasedReach && s.tokens[i].clause == s.tokens[h.last].clause; i++ {
		switch class := s.lexicon.classOf(s.tokens[i].word); {
		case class&classCeased != 0 && aux:
			next := i + 1 // "have gone on for weeks" is not over
			if next == len(s.tokens) || s.tokens[next].sentence != s.tokens[i].sentence {
				return true
			}
			class := s.lexicon.classOf(s.tokens[next].word)
			return class&classTurn == 0 && (s.tokens[next].clause != s.tokens[i].clause || class&classSettled != 0)
		case class&(classNegator|classFirst) != 0:
			return false
		case class&classAux != 0:
			aux = true
		}
	}
	return false
}

// widen takes what a word anywhere in the sentence adds.
func (s *scratch) widen(c *context, class class) {
	c.intent = c.intent || class&classSoon != 0
	c.means = c.means || class&classMeans != 0
}

// denies says whether the negator at i denies what begins at first: "don't" does, "why don't I", "can't stop",
// "not only" and "don't know if" do not.
func (s *scratch) denies(i, first int) bool {
	if i > 0 && s.tokens[i-1].sentence == s.tokens[i].sentence && s.lexicon.classOf(s.tokens[i-1].word)&classWhy != 0 {
		return false
	}
	if s.unpromised(i) || i > 0 && s.lexicon.classOf(s.tokens[i-1].word)&classReason != 0 {
		return false
	}
	for next := i + 1; next < first && next <= i+3; next++ {
		if s.lexicon.classOf(s.tokens[next].word)&classUndeny != 0 {
			return false
		}
	}
	return true
}

// unpromised says whether the negator at i stands in what somebody does not promise: "I can't promise that I won't".
func (s *scratch) unpromised(i int) bool {
	promised := false
	for back := i - 1; back >= 0 && back >= i-negationReach-2 && s.tokens[back].sentence == s.tokens[i].sentence; back-- {
		class := s.lexicon.classOf(s.tokens[back].word)
		if promised && class&(classNegator|classUnable) != 0 {
			return true
		}
		promised = promised || class&classPromise != 0
	}
	return false
}

// find fills s.hits with every phrase of the rules, and marks the sentences that speak of the past or the present.
func (s *scratch) find(l *lexicon) {
	s.hits = s.hits[:0]
	tokens := s.tokens
	for i := range tokens {
		if l.begins[tokens[i].word]&(1<<rulesRoot) == 0 {
			continue
		}
		at, skipped := l.step(rulesRoot, tokens[i].word), 0
		for j := i; ; {
			if rule := l.ends[at].rule; rule != 0 {
				s.hits = append(s.hits, hit{rule: rule - 1, first: i, last: j})
			}
			next := noNode
			for j++; j < len(tokens) && tokens[j].sentence == tokens[i].sentence; j++ {
				if next = l.step(at, tokens[j].word); next != noNode {
					break
				}
				if l.classOf(tokens[j].word)&classFiller == 0 || skipped == maxSkipped {
					break
				}
				skipped++
			}
			if next == noNode {
				break
			}
			at = next
		}
	}
	l.markTime(s.hits, tokens)
}

// markTime sets past and present on every token of a sentence that has a marker of it.
func (l *lexicon) markTime(hits []hit, tokens []token) {
	next := 0
	for start := 0; start < len(tokens); {
		end := start
		past, present := false, false
		for ; end < len(tokens) && tokens[end].sentence == tokens[start].sentence; end++ {
			present = present || l.classOf(tokens[end].word)&(classPresent|classSoon) != 0
		}
		for ; next < len(hits) && hits[next].first < end; next++ {
			past = past || l.rules[hits[next].rule].item == itemPast
		}
		for i := start; i < end && (past || present); i++ {
			tokens[i].past, tokens[i].present = past, present
		}
		start = end
	}
}
