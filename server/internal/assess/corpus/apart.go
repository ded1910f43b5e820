package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"unicode"
)

// heldIn: one unit in five is held apart.
const heldIn = 5

// holdApart says what each unit is for, by the hash of the unit. Seeds that are nearly the same go where the one
// of the lowest hash goes, and so do the sides of a pair: a seed that was trained on must not help to recognise one that was not.
func holdApart(seeds []Seed) map[string]part {
	parent := map[string]string{}
	find := func(u string) string {
		for parent[u] != u {
			u = parent[u]
		}
		return u
	}
	for i := range seeds {
		parent[seeds[i].unit()] = seeds[i].unit()
	}
	nearDuplicates(seeds, func(a, b *Seed) {
		x, y := find(a.unit()), find(b.unit())
		parent[max(x, y)] = min(x, y)
	})
	parts := map[string]part{}
	for u := range parent {
		sum := sha256.Sum256([]byte("held" + find(u)))
		switch {
		case binary.BigEndian.Uint64(sum[:8])%heldIn > 0:
			parts[u] = trained
		case sum[8]%2 == 0:
			parts[u] = tuned
		default:
			parts[u] = judged
		}
	}
	return parts
}

// part says what a unit is for.
type part int

const (
	trained part = iota
	tuned        // held apart from training, for calibration and thresholds
	judged       // held apart from both
)

// nearDuplicates calls each for every two seeds of one language and different units that are nearly the same.
func nearDuplicates(seeds []Seed, each func(a, b *Seed)) {
	byLang := map[string][]int{}
	for i := range seeds {
		byLang[seeds[i].Lang] = append(byLang[seeds[i].Lang], i)
	}
	for _, of := range byLang {
		triples := make([][]uint64, len(of))
		for i, at := range of {
			triples[i] = lettersOf(&seeds[at])
		}
		everySimilar(ranked(triples), func(i, j int) {
			if a, b := &seeds[of[i]], &seeds[of[j]]; a.unit() != b.unit() {
				each(a, b)
			}
		})
	}
}

// lettersOf returns the letter triples of all that the seed may say, sorted, each once.
func lettersOf(s *Seed) []uint64 {
	var all strings.Builder
	for _, choices := range s.pieces {
		all.WriteString(choices[0])
	}
	letters := []rune(normalForm(all.String()))
	triples := make([]uint64, 0, len(letters))
	for i := range letters {
		triple := uint64(0)
		for _, r := range letters[i:min(i+3, len(letters))] {
			triple = triple<<21 | uint64(r)
		}
		triples = append(triples, triple)
	}
	slices.Sort(triples)
	return slices.Compact(triples)
}

// normalForm keeps lower-case letters, digits and emoji: what is left when case, marks and spaces are of no account.
func normalForm(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsPunct(r) {
			return -1
		}
		return r
	}, strings.ToLower(withoutAccents(text)))
}

// seed is the seed's part of the message's id.
func (m Message) seed() string {
	id, _, _ := strings.Cut(m.ID, ".")
	return id
}
