package learn

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Interval is the middle 95 % of what resampling gives.
type Interval struct{ Low, High float64 }

const (
	resamples     = 200
	resampleSeed  = 20_261_123
	calibrateBins = 10
)

// ranked is a labelled score. Sets of them are kept in descending order of the score.
type ranked struct {
	score    float64
	positive bool
}

func rank(scores []float64, positive []bool) []ranked {
	all := make([]ranked, len(scores))
	for i, s := range scores {
		all[i] = ranked{s, positive[i]}
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(b.score, a.score) })
	return all
}

// AUPRC returns the average precision. Equal scores count as one step, so that their order is of no account. NaN when
// there is no positive.
func AUPRC(scores []float64, positive []bool) float64 {
	return averagePrecision(rank(scores, positive), nil)
}

// averagePrecision weighs the i-th of all by weights[i]; nil weighs all alike.
func averagePrecision(all []ranked, weights []int) float64 {
	weigh := func(i int) float64 {
		if weights == nil {
			return 1
		}
		return float64(weights[i])
	}
	var found, wrong, total, area float64
	for i, r := range all {
		if r.positive {
			total += weigh(i)
		}
	}
	if total == 0 {
		return math.NaN()
	}
	for i := 0; i < len(all); {
		step := 0.0
		at := all[i].score
		for ; i < len(all) && all[i].score == at; i++ {
			if all[i].positive {
				step += weigh(i)
			} else {
				wrong += weigh(i)
			}
		}
		found += step
		if found+wrong > 0 {
			area += step / total * found / (found + wrong)
		}
	}
	return area
}

// AUPRCInterval resamples the set with a fixed seed.
func AUPRCInterval(scores []float64, positive []bool) Interval {
	all := rank(scores, positive)
	if len(all) == 0 {
		return Interval{math.NaN(), math.NaN()}
	}
	rng := rand.New(rand.NewPCG(resampleSeed, uint64(len(all))))
	weights := make([]int, len(all))
	var values []float64
	for range resamples {
		clear(weights)
		for range all {
			weights[rng.IntN(len(all))]++
		}
		if v := averagePrecision(all, weights); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return middle(values)
}

// middle returns the 2.5th and 97.5th percentile.
func middle(values []float64) Interval {
	if len(values) == 0 {
		return Interval{math.NaN(), math.NaN()}
	}
	slices.Sort(values)
	at := func(q float64) float64 { return values[int(math.Round(q*float64(len(values)-1)))] }
	return Interval{at(.025), at(.975)}
}

// RecallAt returns the greatest share of positives that a threshold finds which flags at most fpr of the negatives. NaN
// when either kind is missing.
func RecallAt(fpr float64, scores []float64, positive []bool) float64 {
	all := rank(scores, positive)
	positives := 0
	for _, r := range all {
		if r.positive {
			positives++
		}
	}
	negatives := len(all) - positives
	if positives == 0 || negatives == 0 {
		return math.NaN()
	}
	best, found, wrong := 0, 0, 0
	for i := 0; i < len(all); {
		for at := all[i].score; i < len(all) && all[i].score == at; i++ {
			if all[i].positive {
				found++
			} else {
				wrong++
			}
		}
		if float64(wrong) > fpr*float64(negatives) {
			break
		}
		best = found
	}
	return float64(best) / float64(positives)
}

// AUROC returns the chance that a positive scores higher than a negative, a tie counting half. NaN when either kind is
// missing.
func AUROC(scores []float64, positive []bool) float64 {
	all := rank(scores, positive)
	var above, pairs, negatives float64 // negatives that were seen so far, from the highest score down
	positives := 0.0
	for i := 0; i < len(all); {
		stepPositive, stepNegative := 0.0, 0.0
		for at := all[i].score; i < len(all) && all[i].score == at; i++ {
			if all[i].positive {
				stepPositive++
			} else {
				stepNegative++
			}
		}
		above += stepNegative * (positives + stepPositive/2)
		positives, negatives = positives+stepPositive, negatives+stepNegative
	}
	if pairs = positives * negatives; pairs == 0 {
		return math.NaN()
	}
	return above / pairs
}

// QuadraticKappa returns Cohen's kappa of two readers over the classes 0 to classes-1, a difference weighing by its
// square. NaN when one of them, or both, used only one class.
func QuadraticKappa(a, b []int, classes int) float64 {
	n := float64(len(a))
	seen := make([]float64, classes*classes)
	rows, columns := make([]float64, classes), make([]float64, classes)
	for i := range a {
		seen[a[i]*classes+b[i]]++
		rows[a[i]]++
		columns[b[i]]++
	}
	var observed, expected float64
	for i := range classes {
		for j := range classes {
			weight := float64((i - j) * (i - j))
			observed += weight * seen[i*classes+j]
			expected += weight * rows[i] * columns[j] / n
		}
	}
	if expected == 0 {
		return math.NaN()
	}
	return 1 - observed/expected
}

// MacroF1 returns the mean F1 of the classes that gold has.
func MacroF1(gold, guess []string) float64 {
	type counts struct{ right, guessed, gold float64 }
	by := map[string]*counts{}
	of := func(name string) *counts {
		if by[name] == nil {
			by[name] = &counts{}
		}
		return by[name]
	}
	for i := range gold {
		of(gold[i]).gold++
		of(guess[i]).guessed++
		if gold[i] == guess[i] {
			of(gold[i]).right++
		}
	}
	names := make([]string, 0, len(by))
	for name, c := range by {
		if c.gold > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names) // floats add up differently in another order
	sum := 0.0
	for _, name := range names {
		sum += 2 * by[name].right / (by[name].guessed + by[name].gold)
	}
	return sum / float64(len(names))
}

// ECE returns the expected calibration error: how far, on average, probabilities are from the share of positives among
// what has about the same probability.
func ECE(probabilities []float64, positive []bool) float64 {
	var sum [calibrateBins]float64
	var hits, n [calibrateBins]float64
	for i, p := range probabilities {
		bin := min(max(int(p*calibrateBins), 0), calibrateBins-1)
		sum[bin] += p
		n[bin]++
		if positive[i] {
			hits[bin]++
		}
	}
	wrong := 0.0
	for bin := range n {
		wrong += math.Abs(sum[bin] - hits[bin])
	}
	return wrong / float64(len(probabilities))
}

// Percentile returns the q-th part of values, which it sorts.
func Percentile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	return values[min(int(math.Ceil(q*float64(len(values)))), len(values))-1]
}
