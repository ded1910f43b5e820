package assess

// How far context reaches, in words.
const (
	negationReach = 4
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
}

func (s *summary) context(h hit) context {
	t := s.tokens
	c := context{quoted: t[h.first].quoted && t[h.last].quoted}
	sentence := t[h.first].sentence
	for i, back := h.first-1, 1; i >= 0 && t[i].sentence == sentence && back <= subjectReach; i, back = i-1, back+1 {
		class := s.lexicon.class[t[i].word]
		if back <= negationReach && t[i].clause == t[h.first].clause && class&classNegator != 0 && s.denies(i, h.first) {
			c.negated = true
		}
		if back <= intentReach && class&classIntent != 0 {
			c.intent = true
		}
		if !c.first && !c.other {
			c.first, c.other = class&classFirst != 0, class&classOther != 0
		}
	}
	for i := h.first; i >= 0 && t[i].sentence == sentence && h.first-i <= maxSentence; i-- {
		s.widen(&c, s.lexicon.class[t[i].word])
	}
	for i := h.first + 1; i < len(t) && t[i].sentence == sentence && i-h.first <= maxSentence; i++ {
		s.widen(&c, s.lexicon.class[t[i].word])
	}
	c.past = t[h.first].past && !t[h.first].present
	return c
}

// widen takes what a word anywhere in the sentence adds.
func (s *summary) widen(c *context, class class) {
	c.intent = c.intent || class&classSoon != 0
	c.means = c.means || class&classMeans != 0
}

// denies says whether the negator at i denies what begins at first: "don't" does, "why don't I", "can't stop",
// "not only" and "don't know if" do not.
func (s *summary) denies(i, first int) bool {
	if i > 0 && s.tokens[i-1].sentence == s.tokens[i].sentence && s.lexicon.class[s.tokens[i-1].word]&classWhy != 0 {
		return false
	}
	for next := i + 1; next < first && next <= i+3; next++ {
		if s.lexicon.class[s.tokens[next].word]&classUndeny != 0 {
			return false
		}
	}
	return true
}

// find returns every phrase of the lexicon in tokens, and marks the sentences that speak of the past or the present.
func (l *lexicon) find(hits []hit, tokens []token) []hit {
	for i := range tokens {
		node := l.step(root, tokens[i].word)
		if node == root {
			continue
		}
		skipped := 0
		for j := i; ; {
			if rule, ok := l.ends[node]; ok {
				hits = append(hits, hit{rule: rule, first: i, last: j})
			}
			next := root
			for j++; j < len(tokens) && tokens[j].sentence == tokens[i].sentence; j++ {
				if next = l.step(node, tokens[j].word); next != root {
					break
				}
				if l.class[tokens[j].word]&classFiller == 0 || skipped == maxSkipped {
					break
				}
				skipped++
			}
			if next == root {
				break
			}
			node = next
		}
	}
	l.markTime(hits, tokens)
	return hits
}

// markTime sets past and present on every token of a sentence that has a marker of it.
func (l *lexicon) markTime(hits []hit, tokens []token) {
	next := 0
	for start := 0; start < len(tokens); {
		end := start
		past, present := false, false
		for ; end < len(tokens) && tokens[end].sentence == tokens[start].sentence; end++ {
			present = present || l.class[tokens[end].word]&(classPresent|classSoon) != 0
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

// colour returns sentiment in [-1, 1] (0: nothing to go by) and at most maxTopics topics, the most spoken of first.
func (l *lexicon) colour(tokens []token) (float32, []string) {
	var good, bad float32
	var counts [topicCount]int
	for i, t := range tokens {
		class := l.class[t.word]
		if topic := l.topic[t.word]; topic != 0 {
			counts[topic]++
		}
		if class&(classGood|classBad) == 0 {
			continue
		}
		positive := class&classGood != 0
		for back := i - 1; back >= 0 && back >= i-3 && tokens[back].clause == t.clause; back-- {
			if l.class[tokens[back].word]&classNegator != 0 {
				positive = !positive
				break
			}
		}
		if positive {
			good++
		} else {
			bad++
		}
	}
	var topics []string
	for len(topics) < maxTopics {
		best := 0
		for topic, n := range counts {
			if n > counts[best] {
				best = topic
			}
		}
		if counts[best] == 0 {
			break
		}
		topics, counts[best] = append(topics, topicNames[best]), 0
	}
	if good+bad == 0 {
		return 0, topics
	}
	return (good - bad) / (good + bad + 1), topics
}
