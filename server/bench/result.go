package main

import (
	"fmt"
	"slices"
	"time"
)

// Result is what one row came to.
type Result struct {
	Row     string   `json:"row"`
	What    string   `json:"what"`
	Seconds float64  `json:"seconds"`
	Series  []Series `json:"series"`
	Checks  []Check  `json:"checks"`
	Notes   []string `json:"notes,omitempty"`
	Failed  string   `json:"failed,omitempty"`
}

// Series is one number as every round gave it.
type Series struct {
	Who    string    `json:"who"`
	What   string    `json:"what"`
	Unit   string    `json:"unit"`
	Values []float64 `json:"values"`
	Min    float64   `json:"min"`
	Median float64   `json:"median"`
	Max    float64   `json:"max"`
}

// Check holds a number against its target. A ratio is taken within each round, and the median of the rounds counts.
type Check struct {
	What   string  `json:"what"`
	Got    float64 `json:"got"`
	Target float64 `json:"target"`
	AtMost bool    `json:"at_most"` // else at least
	Unit   string  `json:"unit"`
	Met    bool    `json:"met"`
}

// add notes a value of a series, which it makes at the first.
func (r *Result) add(who, what, unit string, value float64) {
	for i := range r.Series {
		if s := &r.Series[i]; s.Who == who && s.What == what {
			s.Values = append(s.Values, value)
			s.Min, s.Median, s.Max = slices.Min(s.Values), median(s.Values), slices.Max(s.Values)
			return
		}
	}
	r.Series = append(r.Series, Series{Who: who, What: what, Unit: unit, Values: []float64{value}, Min: value, Median: value, Max: value})
}

// values gives a series as the rounds gave it; nil if there is none.
func (r *Result) values(who, what string) []float64 {
	for i := range r.Series {
		if r.Series[i].Who == who && r.Series[i].What == what {
			return r.Series[i].Values
		}
	}
	return nil
}

// check holds the median of a series against a target.
func (r *Result) check(what string, values []float64, unit string, atMost bool, target float64) {
	if len(values) == 0 {
		return
	}
	got := median(values)
	r.Checks = append(r.Checks, Check{What: what, Got: got, Target: target, AtMost: atMost, Unit: unit, Met: (got <= target) == atMost || got == target})
}

// ratios divides round by round.
func ratios(of, by []float64) []float64 {
	out := make([]float64, 0, len(of))
	for i := range min(len(of), len(by)) {
		if by[i] > 0 {
			out = append(out, of[i]/by[i])
		}
	}
	return out
}

func (r *Result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// durations is a sample of latencies.
type durations []time.Duration

// percentile gives the value that p (0 to 1) of the sample do not exceed, in milliseconds; 0 for none.
func (d durations) percentile(p float64) float64 {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	i := min(int(p*float64(len(sorted))), len(sorted)-1)
	return float64(sorted[i].Nanoseconds()) / 1e6
}

// addLatency notes p50, p95 and p99.
func (r *Result) addLatency(who, what string, d durations) {
	r.add(who, what+", p50", "ms", d.percentile(0.50))
	r.add(who, what+", p95", "ms", d.percentile(0.95))
	r.add(who, what+", p99", "ms", d.percentile(0.99))
}
