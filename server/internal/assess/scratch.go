package assess

import "vigil/server/internal/triage"

// hit is a phrase of a rule that was found, by the index of its rule and of its first and last word.
type hit struct {
	rule        uint16
	first, last int
}

// scratch is the memory of one call, reused by the next. Its words are overwritten when the call ends.
type scratch struct {
	lexicon   *lexicon
	folded    []byte
	tokens    []token
	sentences []sentence
	hits      []hit
	tongues   tongues
	spans     []span

	grams, ideas []uint32
	words        []uint32 // the grams that are words
	stems        []uint32
	common       int32
	segments     []segment

	sums     []sums // by segment
	evidence [maxEvidence]triage.Evidence
}

// What is kept of a call's memory for the next.
const maxPooled = 4096

// read fills s from text.
func (s *scratch) read(l *lexicon, text string) {
	s.lexicon = l
	s.tokenize(l, text)
	s.find(l)
	s.mean(l)
	s.features(l)
}

// put gives s back, without the words that were in it.
func (d *Detector) put(s *scratch) {
	clear(s.folded)
	if cap(s.tokens) <= maxPooled {
		d.pool.Put(s)
	}
}
