package assess

// segment is a stretch of a message that is scored by itself: a sentence, or a part of a long one. Its features are
// ranges of scratch.grams and scratch.ideas.
type segment struct {
	grams, gramsEnd int32
	ideas, ideasEnd int32
	first, end      int32 // tokens
}

const (
	longSegment = 32 // tokens
	maxGram     = 5  // characters
	minGram     = 3
)

// kinds keep the features of one sort apart from those of another.
const (
	kindWord uint64 = iota + 1
	kindPair
	kindTriple
	kindDenied
	kindChars
	kindIdea
	kindIdeaScope
	kindIdeaPair
	kindIdeaPairScope
	kindIdeaTriple
	kindIdeaQuad
	kindIdeaSkip
	kindRule
	kindLength
	kindScript
	kindTongue
	kindOpening
	kindClosing
	kindStem
)

func feature(kind, a, b uint64) uint32 {
	h := (a*0x9E3779B97F4A7C15 + b) * 0xD6E8FEB86659FD93
	h ^= h >> 29
	h = (h + kind*0xC2B2AE3D27D4EB4F) * 0x94D049BB133111EB
	return uint32(h >> 32)
}

// features fills s.grams, s.ideas and s.segments from the tokens, spans and hits. The last ideas, from s.common on, are
// those of the whole message.
func (s *scratch) features(l *lexicon) {
	s.grams, s.ideas, s.words, s.stems, s.segments = s.grams[:0], s.ideas[:0], s.words[:0], s.stems[:0], s.segments[:0]
	nextSpan, nextHit := 0, 0
	for i := range s.sentences {
		sentence := &s.sentences[i]
		for first := sentence.first; first < sentence.end; {
			end := s.segmentEnd(first, sentence.end)
			g := segment{grams: int32(len(s.grams)), ideas: int32(len(s.ideas)), first: first, end: end}
			s.gramsOf(first, end)
			from := nextSpan
			for nextSpan < len(s.spans) && s.spans[nextSpan].first < end {
				nextSpan++
			}
			s.ideasOf(s.spans[from:nextSpan])
			for ; nextHit < len(s.hits) && int32(s.hits[nextHit].first) < end; nextHit++ {
				s.ruleOf(s.hits[nextHit])
			}
			g.gramsEnd, g.ideasEnd = int32(len(s.grams)), int32(len(s.ideas))
			s.segments = append(s.segments, g)
			first = end
		}
	}
	s.common = int32(len(s.ideas))
	s.commonOf()
}

// segmentEnd cuts a long sentence at the end of a clause, or else anywhere.
func (s *scratch) segmentEnd(first, end int32) int32 {
	if end-first <= longSegment {
		return end
	}
	for i := first + longSegment/2; i < first+longSegment; i++ {
		if s.tokens[i].clause != s.tokens[i-1].clause {
			return i
		}
	}
	return first + longSegment
}

// gramsOf appends what the words and letters of tokens first to end say.
func (s *scratch) gramsOf(first, end int32) {
	seed := uint64(s.tongues.first)
	before, before2 := uint64(1), uint64(2)
	denied := int32(-1)
	spanAt := s.spanAt(first)
	for i := first; i < end; i++ {
		t := &s.tokens[i]
		if t.from == t.to {
			continue
		}
		hash, own := s.hashOf(t)
		h := hash + seed
		word, pair := feature(kindWord, h, 0), feature(kindPair, before, h)
		s.grams = append(s.grams, word, pair, feature(kindTriple, before2+before, h))
		s.words = append(s.words, word)
		s.stems = append(s.stems, feature(kindStem, s.stemHash(t), 0))
		for spanAt < len(s.spans) && s.spans[spanAt].last < i {
			spanAt++
		}
		if spanAt < len(s.spans) && s.spans[spanAt].first <= i && s.spans[spanAt].means&neg != 0 {
			denied = i
		} else if denied >= 0 && i-denied <= 4 && s.tokens[denied].clause == t.clause {
			s.grams = append(s.grams, feature(kindDenied, h, 0))
		}
		if own && t.to-t.from >= minGram && t.script&(pictures|han|kana) == 0 {
			s.charsOf(t, seed)
		}
		before2, before = before*31, h
	}
	s.grams = append(s.grams, feature(kindPair, before, 3))
}

// spanAt returns the first span that ends at token i or after it.
func (s *scratch) spanAt(i int32) int {
	low, high := 0, len(s.spans)
	for low < high {
		if mid := (low + high) / 2; s.spans[mid].last < i {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// charsOf appends the runs of minGram to maxGram letters of a word, its ends counted as letters.
func (s *scratch) charsOf(t *token, seed uint64) {
	var marks [maxWordBytes + 3]uint8 // where letters begin
	word := s.folded[t.from:t.to]
	n := 1 // marks[0] is the beginning of the word, before its first letter
	for i, c := range word {
		if c&0xC0 != 0x80 {
			marks[n] = uint8(i)
			n++
		}
	}
	marks[n] = uint8(len(word)) // the end of the word, as one more letter
	letters := n + 1
	for from := 0; from+minGram <= letters; from++ {
		h := hashSeed + seed
		for k := from; k < letters && k < from+maxGram; k++ {
			switch k {
			case 0:
				h = (h ^ '<') * hashPrime
			case n:
				h = (h ^ '>') * hashPrime
			default:
				stop := int(marks[k+1])
				for j := int(marks[k]); j < stop; j++ {
					h = (h ^ uint64(word[j])) * hashPrime
				}
			}
			if k-from+1 >= minGram {
				s.grams = append(s.grams, feature(kindChars, h, 0))
			}
		}
	}
}

// ideasOf appends what the meanings of one stretch say, by themselves, in their scope, and in their order.
func (s *scratch) ideasOf(spans []span) {
	var b1, b2, b3 uint64 = 91, 92, 93 // the ideas before, as numbers
	var scoped uint64 = 94
	for k := range spans {
		p := &spans[k]
		kind := uint64(p.kind)
		reduced := uint64(p.scope & (bySelf | byOther | negated))
		for m := p.means; m != 0; m &= m - 1 {
			c := kind
			if m != p.means {
				c = m.first()
			}
			s.ideas = append(s.ideas, feature(kindIdea, c, 0), feature(kindIdeaScope, c, reduced))
			for f := p.scope &^ subjectScope; f != 0; f &= f - 1 {
				s.ideas = append(s.ideas, feature(kindIdeaScope, c, uint64(f&-f)<<16|uint64(p.scope&subjectScope)))
			}
		}
		withScope := kind<<16 | reduced
		s.ideas = append(s.ideas,
			feature(kindIdeaPair, b1, kind), feature(kindIdeaPairScope, scoped, withScope),
			feature(kindIdeaTriple, b2<<8|b1, kind), feature(kindIdeaQuad, b3<<16|b2<<8|b1, kind),
			feature(kindIdeaSkip, b2, withScope), feature(kindIdeaSkip, b3, withScope))
		b3, b2, b1, scoped = b2, b1, kind, withScope
	}
	if len(spans) > 0 {
		s.ideas = append(s.ideas, feature(kindIdeaPair, b1, 95))
	}
}

func (s *scratch) ruleOf(h hit) {
	c := s.contextOf(h)
	bits := uint64(0)
	for i, set := range [...]bool{c.negated, c.other, c.quoted, c.past} {
		if set {
			bits |= 1 << i
		}
	}
	s.ideas = append(s.ideas, feature(kindRule, uint64(h.rule), 99), feature(kindRule, uint64(h.rule), bits))
}

// commonOf appends what holds of the whole message.
func (s *scratch) commonOf() {
	length := uint64(0)
	for n := len(s.tokens); n > 0; n >>= 1 {
		length++
	}
	sure := uint64(0)
	if s.tongues.sure {
		sure = 1
	}
	sentences := uint64(min(len(s.sentences), 6))
	s.ideas = append(s.ideas, feature(kindLength, length, 0), feature(kindLength, length, 1+sentences),
		feature(kindTongue, uint64(s.tongues.first), sure))
	questions := uint64(0)
	for i := range s.sentences {
		if s.sentences[i].question {
			questions = min(questions+1, 3)
		}
	}
	s.ideas = append(s.ideas, feature(kindClosing, questions, 0))
	for _, p := range [...]struct {
		concepts concepts
		name     uint64
	}{{idiom, 1}, {game, 2}, {tech, 3}, {quote, 4}, {laugh, 5}, {skull, 6}, {ask, 7}, {negDirect, 8}, {good, 9}, {thanks, 10}, {past, 11}} {
		n := uint64(0)
		for i := range s.spans {
			if s.spans[i].means&p.concepts != 0 {
				n = min(n+1, 3)
			}
		}
		s.ideas = append(s.ideas, feature(kindOpening, p.name, n))
	}
}

// Sample is what the models see of a text: hashed features, in no language. It holds no text.
type Sample struct {
	Segments []Features
	Common   []uint32 // ideas of the whole message
	Words    []uint32 // words of the whole message
	Stems    []uint32 // the first letters of each
	Language string
}

// Features are those of a stretch of a message.
type Features struct{ Grams, Ideas []uint32 }

// Sample returns the features of text, for package learn. Safe for concurrent use.
func (d *Detector) Sample(text string) Sample {
	s, _ := d.pool.Get().(*scratch) // the pool holds nothing else
	defer d.put(s)
	s.read(d.lexicon, text)
	out := Sample{Stems: append([]uint32(nil), s.stems...), Words: append([]uint32(nil), s.words...), Common: append([]uint32(nil), s.ideas[s.common:]...), Language: d.lexicon.tongues[s.tongues.first]}
	for _, g := range s.segments {
		out.Segments = append(out.Segments, Features{
			Grams: append([]uint32(nil), s.grams[g.grams:g.gramsEnd]...), Ideas: append([]uint32(nil), s.ideas[g.ideas:g.ideasEnd]...),
		})
	}
	return out
}

// stemLetters is how many letters of a word a topic looks at.
const stemLetters = 5

func (s *scratch) stemHash(t *token) uint64 {
	h, n := uint64(hashSeed), 0
	for _, c := range s.folded[t.from:t.to] {
		if c&0xC0 != 0x80 {
			if n == stemLetters {
				break
			}
			n++
		}
		h = (h ^ uint64(c)) * hashPrime
	}
	return h
}
