package corpus

import (
	"cmp"
	"math"
	"slices"
)

// alike is the share of letter triples above which two seeds of a language count as one.
const alike = 0.6

// similar says whether two sorted sets share more than alike of their union.
func similar[T cmp.Ordered](a, b []T) bool {
	if float64(min(len(a), len(b))) <= alike*float64(max(len(a), len(b))) {
		return false
	}
	spare := len(a) + len(b) - 2*leastShared(len(a), len(b)) // members that may be of one set only
	shared := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			shared, i, j = shared+1, i+1, j+1
			continue
		case a[i] < b[j]:
			i++
		default:
			j++
		}
		if spare--; spare < 0 {
			return false
		}
	}
	return float64(shared) > alike*float64(len(a)+len(b)-shared)
}

// leastShared is how many members two similar sets of these lengths share at the least, or one fewer: no rounding may make it more.
func leastShared(a, b int) int { return int(alike/(1+alike)*float64(a+b) - rounding) }

const rounding = 1e-6

// ranked replaces each member by its rank, the rarest first, and sorts the sets by it.
func ranked(sets [][]uint64) [][]int32 {
	often := map[uint64]int32{}
	for _, set := range sets {
		for _, m := range set {
			often[m]++
		}
	}
	members := make([]uint64, 0, len(often))
	for m := range often {
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b uint64) int { return cmp.Or(cmp.Compare(often[a], often[b]), cmp.Compare(a, b)) })
	rank := often
	for i, m := range members {
		rank[m] = int32(i) //nolint:gosec // few
	}
	all := make([][]int32, len(sets))
	for i, set := range sets {
		all[i] = make([]int32, len(set))
		for k, m := range set {
			all[i][k] = rank[m]
		}
		slices.Sort(all[i])
	}
	return all
}

// everySimilar calls each for every two of the sets that are similar, whose members are ranks. Two that share so much share one of
// their rarest: the smaller is found by a quarter of its members, the larger looks by two fifths of its own, and by where the shared
// one stands in both, most need not be compared. Source: Xiao et al., "Efficient Similarity Joins for Near Duplicate Detection", 2008.
func everySimilar(sets [][]int32, each func(i, j int)) {
	type place struct{ set, at int32 }
	order := make([]int, len(sets))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Or(cmp.Compare(len(sets[i]), len(sets[j])), cmp.Compare(i, j)) })
	having := map[int32][]place{} // smaller sets, by their rarest members
	tried := make([]int, len(sets))
	for n, i := range order {
		set := sets[i]
		for at, m := range set[:first(len(set), alike)] {
			found := having[m]
			for len(found) > 0 && float64(len(sets[found[0].set])) <= alike*float64(len(set)) {
				found = found[1:] // too small for this one and all after it
			}
			having[m] = found
			for _, p := range found {
				other := sets[p.set]
				if tried[p.set] == n+1 {
					continue
				}
				tried[p.set] = n + 1
				// The first member that both have: what is before it in either is not shared.
				if 1+min(len(set)-at-1, len(other)-int(p.at)-1) >= leastShared(len(set), len(other)) && similar(set, other) {
					each(i, int(p.set))
				}
			}
		}
		for at, m := range set[:first(len(set), 2*alike/(1+alike))] {
			having[m] = append(having[m], place{int32(i), int32(at)}) //nolint:gosec // few
		}
	}
}

// first is how many of a set's first members hold one that is shared, where a share of all of them is.
func first(length int, share float64) int {
	return min(length, length-int(math.Ceil(share*float64(length)-rounding))+1)
}
