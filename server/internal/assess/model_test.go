package assess_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"vigil/server/internal/assess"
	"vigil/server/internal/triage"
)

func TestAModelIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("model.bin")
	if err != nil {
		t.Fatal(err)
	}
	m, err := assess.LoadModel(file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.AppendBinary(nil)
	if err != nil || !bytes.Equal(file, again) {
		t.Errorf("%d bytes became %d, %v", len(file), len(again), err)
	}
	if len(file) > 1500<<10 {
		t.Errorf("the model has %d bytes", len(file))
	}
	var fault assess.ModelError
	for _, n := range []int{0, 3, 8, 100, len(file) / 2, len(file) - 1} {
		if _, err := assess.LoadModel(file[:n]); !errors.As(err, &fault) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	other := bytes.Clone(file)
	other[0]++
	if _, err := assess.LoadModel(other); !errors.As(err, &fault) {
		t.Errorf("another file: %v", err)
	}
}

func TestExpitIsTheLogisticFunction(t *testing.T) {
	t.Parallel()
	for x := -40.0; x <= 40; x += .0625 {
		want := 1 / (1 + math.Exp(-x))
		if got := float64(assess.Expit(float32(x))); math.Abs(got-want) > 1e-6 {
			t.Fatalf("of %v: %v, want %v", x, got, want)
		}
	}
}

func TestScoresAreProbabilities(t *testing.T) {
	t.Parallel()
	d := assess.New()
	for _, e := range sentences(t) {
		s := d.Score(e.text)
		all := append([]float32{s.Risk, s.HarmOthers, s.Abuse, s.Distress}, s.Level[:]...)
		all = append(all, s.Emotions[:]...)
		sums := [2]float32{}
		for _, p := range s.Sentiment {
			sums[0] += p
		}
		for _, p := range s.Topics {
			sums[1] += p
		}
		for _, p := range all {
			if !(p >= 0 && p <= 1) {
				t.Fatalf("%v: %s", p, e.text)
			}
		}
		for _, sum := range sums {
			if sum < .999 || sum > 1.001 {
				t.Errorf("probabilities add up to %v: %s", sum, e.text)
			}
		}
	}
	if s := d.Score(""); s.Risk != 0 || s.HarmOthers != 0 {
		t.Error("an empty text has a risk")
	}
}

// seventy is ordinary talk of seventy words.
var seventy = strings.Repeat("my week was hard and work is a lot but I slept and walked the dog ", 5)

func TestAssessAllocatesOnlyWhatItReturns(t *testing.T) {
	d := assess.New()
	policy := standard()
	for name, c := range map[string]struct {
		text string
		most float64 // the state; and evidence, topics, emotions where there are any
	}{
		"nothing found": {"so it is what it was", 2},
		"ordinary talk": {seventy, 4},
		"a finding":     {"I want to kill myself", 4},
	} {
		_, state := d.Assess(c.text, triage.State{}, policy)
		if got := testing.AllocsPerRun(100, func() { d.Assess(c.text, state, policy) }); got > c.most {
			t.Errorf("%s: %v allocations, want %v", name, got, c.most)
		}
	}
}
