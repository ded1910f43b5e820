package corpus

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode"
)

const (
	heldIn = 5 // one unit in five is held apart
	// alike is the share of letter triples above which two seeds of a language count as one.
	alike = 0.6
)

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
		often := map[uint64]int{}
		for i, at := range of {
			triples[i] = lettersOf(&seeds[at])
			for _, t := range triples[i] {
				often[t]++
			}
		}
		having := map[uint64][]int{} // seeds so far, by each of their rarest triples
		for i := range of {
			tried := map[int]bool{i: true}
			for _, t := range rarest(triples[i], often) {
				for _, j := range having[t] {
					a, b := &seeds[of[i]], &seeds[of[j]]
					if !tried[j] && similar(triples[i], triples[j]) && a.unit() != b.unit() {
						each(a, b)
					}
					tried[j] = true
				}
				having[t] = append(having[t], i)
			}
		}
	}
}

// rarest returns so many of the triples that two similar sets share one of theirs.
func rarest(triples []uint64, often map[uint64]int) []uint64 {
	sorted := slices.SortedFunc(slices.Values(triples), func(a, b uint64) int {
		return cmp.Or(cmp.Compare(often[a], often[b]), cmp.Compare(a, b))
	})
	return sorted[:len(sorted)-int(math.Ceil(alike*float64(len(sorted))))+min(1, len(sorted))]
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

// similar says whether two sorted sets share more than alike of their union.
func similar(a, b []uint64) bool {
	if float64(min(len(a), len(b))) <= alike*float64(max(len(a), len(b))) {
		return false
	}
	shared := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			shared, i, j = shared+1, i+1, j+1
		case a[i] < b[j]:
			i++
		default:
			j++
		}
	}
	return float64(shared) > alike*float64(len(a)+len(b)-shared)
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
