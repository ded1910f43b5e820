package assess

// scope is what holds of a span where it stands.
type scope uint16

const (
	bySelf  scope = 1 << iota // the writer is the subject
	byOther                   // somebody else is
	negated
	negatedAfter // "… nahi", "…ない": the negation follows
	quoted
	inPast
	inRecent
	comingSoon
	asked
	supposed
	joking
	played // a game, or a computer
	repeated
)

const subjectScope = bySelf | byOther

// span is a phrase with a meaning.
type span struct {
	means       concepts
	kind        uint8 // number of its lowest concept, from 1
	first, last int32 // tokens
	sentence    int32
	scope       scope
}

// How far a negation reaches, in words, and how far one that follows.
const (
	reachAfterNeg  = 6
	reachBeforeNeg = 3
)

// mean fills s.spans with the longest phrases of the message's languages.
func (s *scratch) mean(l *lexicon) {
	s.spans = s.spans[:0]
	s.tongues = l.tongueOf(s.tokens)
	roots := [4]node{firstRoot + node(s.tongues.first), firstRoot + node(len(l.tongues)-1), anyRoot, noNode}
	if s.tongues.second >= 0 && s.tongues.second != s.tongues.first {
		roots[3] = firstRoot + node(s.tongues.second)
	}
	mask := uint32(0)
	for _, r := range roots {
		mask |= 1 << r
	}
	mask &^= 1 << noNode
	for i := 0; i < len(s.tokens); i++ {
		t := &s.tokens[i]
		begins := (l.begins[t.word] | l.begins[t.stem]) & mask
		if begins == 0 {
			continue
		}
		last, means := i-1, ending{}
		for _, root := range roots {
			if begins&(1<<root) == 0 {
				continue
			}
			if end, e := l.match(s.tokens, i, root); end > last {
				last, means = end, e
			}
		}
		if last < i {
			continue
		}
		s.spans = append(s.spans, span{
			means: means.concepts, kind: means.kind, first: int32(i), last: int32(last), sentence: t.sentence,
		})
		i = last
	}
	s.setScopes()
}

// setScopes goes through the spans sentence by sentence.
func (s *scratch) setScopes() {
	for from := 0; from < len(s.spans); {
		to := from
		var all concepts
		for ; to < len(s.spans) && s.spans[to].sentence == s.spans[from].sentence; to++ {
			all |= s.spans[to].means
		}
		s.setScope(s.spans[from:to], s.sentenceScope(from, all))
		from = to
	}
}

// sentenceScope is what holds of each span of a sentence.
func (s *scratch) sentenceScope(from int, all concepts) (common scope) {
	for _, pair := range [...]struct {
		concept concepts
		scope   scope
	}{
		{quote, quoted}, {past, inPast}, {recent, inRecent}, {soon, comingSoon}, {hypothetical, supposed}, {laugh | skull, joking},
		{game | tech, played}, {again | still, repeated},
	} {
		if all&pair.concept != 0 {
			common |= pair.scope
		}
	}
	at := s.spans[from].sentence
	if int(at) < len(s.sentences) {
		sentence := s.sentences[at]
		if sentence.question || s.spans[from].means&question != 0 && s.spans[from].first == sentence.first {
			common |= asked
		}
	}
	return common
}

func (s *scratch) setScope(spans []span, common scope) {
	subject := scope(0)
	negation, clause, lifted := int32(-1), int32(-1), false // the token of the negation in force; one was undone
	for k := range spans {
		p := &spans[k]
		t := &s.tokens[p.first]
		p.scope = common
		if t.quoted {
			p.scope |= quoted
		}
		if t.clause != clause {
			clause, negation, lifted = t.clause, -1, false
		}
		switch {
		case p.means&other != 0:
			subject = byOther
		case p.means&self != 0:
			// "my brother" is somebody else; "my" alone leaves the subject as it is only where one is known.
			if k+1 >= len(spans) || spans[k+1].means&other == 0 || spans[k+1].first != p.last+1 {
				subject = bySelf
			}
		}
		p.scope |= subject
		switch {
		case p.means&neg != 0:
			if lifted || negation >= 0 && p.first-negation <= reachAfterNeg {
				negation, lifted = -1, false // "can't promise I won't"
			} else {
				negation = p.last
			}
			s.negateBefore(spans[:k], p.first)
		case p.means&undeny != 0 && negation >= 0 && p.first-negation <= 2:
			negation, lifted = -1, true // "can't stop", "not only"
		case negation >= 0 && p.first-negation <= reachAfterNeg:
			p.scope |= negated
		}
	}
}

func (s *scratch) negateBefore(spans []span, at int32) {
	for k := len(spans) - 1; k >= 0 && at-spans[k].last <= reachBeforeNeg; k-- {
		if s.tokens[spans[k].first].clause != s.tokens[at].clause {
			return
		}
		spans[k].scope |= negatedAfter
	}
}
