package corpus

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSimilarSetsAreFoundAtAnyLength compares small sets, which meet the bound exactly, with the plain count.
func TestSimilarSetsAreFoundAtAnyLength(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same sets each time
	sets := [][]uint64{nil, {7}, {7}}
	for len(sets) < 1500 {
		set := make([]uint64, 0, 20)
		for range rng.IntN(20) {
			set = append(set, rng.Uint64N(22))
		}
		slices.Sort(set)
		sets = append(sets, slices.Compact(set))
	}
	found := map[[2]int]int{}
	everySimilar(ranked(sets), func(i, j int) { found[[2]int{max(i, j), min(i, j)}]++ })
	for i, a := range sets {
		for j, b := range sets[:i] {
			shared := 0
			for _, m := range a {
				if slices.Contains(b, m) {
					shared++
				}
			}
			want := 0
			if float64(shared) > alike*float64(len(a)+len(b)-shared) {
				want = 1
			}
			if got := found[[2]int{i, j}]; got != want {
				t.Fatalf("%v and %v were found %d times, not %d", a, b, got, want)
			}
		}
	}
	if len(found) < 1000 {
		t.Errorf("only %d pairs are similar", len(found))
	}
}
