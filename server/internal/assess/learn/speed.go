package learn

import (
	"runtime"
	"strings"
	"time"

	"vigil/server/internal/assess/corpus"
	"vigil/server/internal/triage"
)

// What speed measures with.
const (
	speedWords = 70
	speedTexts = 2_000
	speedRuns  = 5 // the fastest counts: the others measure what else the machine did
)

// Speed adds how long a message of 70 words takes, and what it allocates. The texts are messages of the corpus, of one
// language each, put behind each other.
func (e *Evaluation) Speed(messages []corpus.Message) {
	long := longTexts(messages)
	if len(long) == 0 {
		return
	}
	fastest := make([]float64, len(long))
	for run := range speedRuns {
		for i, text := range long {
			began := time.Now()
			e.detector.Assess(text, triage.State{}, e.policy)
			took := float64(time.Since(began).Nanoseconds()) / float64(time.Microsecond)
			if run == 0 || took < fastest[i] {
				fastest[i] = took
			}
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, text := range long {
		e.detector.Assess(text, triage.State{}, e.policy)
	}
	runtime.ReadMemStats(&after)
	e.note = "depends on the machine"
	mean := 0.0
	for _, f := range fastest {
		mean += f / float64(len(fastest))
	}
	e.add(Measure{Key: "speed/70 words/µs mean", Value: mean, Of: len(long)})
	e.add(Measure{Key: "speed/70 words/µs p99", Value: Percentile(fastest, .99), Of: len(long)})
	e.add(Measure{Key: "speed/70 words/allocations, with the result", Value: float64(after.Mallocs-before.Mallocs) / float64(len(long)), Of: len(long)})
	e.note = heldApart
}

// longTexts returns messages of speedWords words each, of one language each.
func longTexts(messages []corpus.Message) []string {
	var out []string
	words := map[string][]string{}
	for i := 0; i < len(messages) && len(out) < speedTexts; i++ {
		m := &messages[i*7919%len(messages)]
		if m.Lang == "zh" || m.Lang == "ja" { // they have no spaces: a word is some two characters
			var runes []rune
			for _, r := range m.Text {
				if runes = append(runes, r); len(runes) == 2 {
					words[m.Lang], runes = append(words[m.Lang], string(runes)), nil
				}
			}
		} else {
			words[m.Lang] = append(words[m.Lang], strings.Fields(m.Text)...)
		}
		if of := words[m.Lang]; len(of) >= speedWords {
			space := " "
			if m.Lang == "zh" || m.Lang == "ja" {
				space = ""
			}
			out = append(out, strings.Join(of[:speedWords], space))
			words[m.Lang] = nil
		}
	}
	return out
}
