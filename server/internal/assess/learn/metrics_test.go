package learn

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 && math.IsNaN(got) == math.IsNaN(want) || math.IsNaN(got) != math.IsNaN(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// The expected numbers were worked out by hand.
func TestMetricsAgreeWithHandWork(t *testing.T) {
	t.Parallel()
	scores := []float64{.9, .8, .7, .6, .5}
	positive := []bool{true, false, true, false, false}
	near(t, "AUPRC", AUPRC(scores, positive), (1+2.0/3)/2)
	near(t, "AUPRC of ties", AUPRC([]float64{1, 1, 1, 1}, []bool{true, false, false, false}), .25)
	near(t, "AUPRC without positives", AUPRC([]float64{1}, []bool{false}), math.NaN())
	near(t, "AUROC", AUROC(scores, positive), 5.0/6)
	near(t, "AUROC of ties", AUROC([]float64{1, 1}, []bool{true, false}), .5)
	near(t, "AUROC of one kind", AUROC([]float64{1, 2}, []bool{true, true}), math.NaN())
	near(t, "recall at no false positive", RecallAt(0, scores, positive), .5)
	near(t, "recall at one in three", RecallAt(1.0/3, scores, positive), 1)
	near(t, "recall of ties", RecallAt(.4, []float64{1, 1, 0}, []bool{true, false, false}), 0)
	near(t, "kappa of agreement", QuadraticKappa([]int{0, 1, 2}, []int{0, 1, 2}, 3), 1)
	near(t, "kappa of chance", QuadraticKappa([]int{0, 0, 1, 1}, []int{0, 1, 0, 1}, 2), 0)
	near(t, "kappa of opposites", QuadraticKappa([]int{0, 2}, []int{2, 0}, 3), -1)
	near(t, "macro F1", MacroF1([]string{"a", "a", "b"}, []string{"a", "b", "b"}), 2.0/3)
	near(t, "macro F1 counts no class that gold lacks", MacroF1([]string{"a", "a"}, []string{"a", "c"}), 2.0/3)
	near(t, "ECE", ECE([]float64{.05, .05, .95, .95}, []bool{false, false, true, false}), (.1+.9)/4)
	near(t, "percentile", Percentile([]float64{4, 1, 3, 2}, .99), 4)
	near(t, "median", Percentile([]float64{4, 1, 3, 2}, .5), 2)
}

func TestTheIntervalHoldsTheValueAndIsTheSameTwice(t *testing.T) {
	t.Parallel()
	var scores []float64
	var positive []bool
	for i := range 300 {
		scores, positive = append(scores, float64(i*7919%300)), append(positive, i%3 == 0 || i*7919%300 > 270)
	}
	value, interval := AUPRC(scores, positive), AUPRCInterval(scores, positive)
	if !(interval.Low < value && value < interval.High) {
		t.Errorf("%v lies outside %v", value, interval)
	}
	if again := AUPRCInterval(scores, positive); again != interval {
		t.Errorf("%v, then %v", interval, again)
	}
}
