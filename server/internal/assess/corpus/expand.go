package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"strings"
)

// copies is how many expansions the seed should have: few, since another seed teaches more than another copy.
func (s *Seed) copies() int {
	switch s.Category {
	case "sentiment", "topic", "ambiguous", "past":
		return 2
	}
	return 3
}

// random is a generator that depends on nothing but the words.
func random(words ...string) *rand.Rand {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])))
}

const triesPerCopy = 8

// expand returns up to n different texts: the first without noise, the others with some. More of them never change the
// ones before.
func (s *Seed) expand(n int) []string {
	rng := random("expand", s.hash())
	texts := make([]string, 0, n)
	seen := map[string]bool{}
	for try := 0; len(texts) < n && try < n*triesPerCopy; try++ {
		text := s.choose(rng)
		if try > 0 {
			text = noisy(rng, s.Lang, s.Category, text)
		}
		if text == "" || seen[text] {
			continue
		}
		seen[text] = true
		texts = append(texts, text)
	}
	return texts
}

// choose makes one choice at each place. What an empty choice leaves behind is tidied up.
func (s *Seed) choose(rng *rand.Rand) string {
	var b strings.Builder
	gap := false // the last choice was empty
	for _, choices := range s.pieces {
		word := choices[0]
		if len(choices) > 1 {
			word = choices[rng.IntN(len(choices))]
		}
		if word == "" {
			gap = true
			continue
		}
		if text := b.String(); gap && (text == "" || strings.HasSuffix(text, " ")) && strings.IndexAny(word[:1], " ,.;:!?)") == 0 {
			b.Reset()
			b.WriteString(strings.TrimRight(text, " "))
			if text == "" {
				word = strings.TrimLeft(word, " ,;:")
			}
		}
		b.WriteString(word)
		gap = false
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
