// Package corpus is a labelled set of invented messages and conversations, for training the detector and for judging it.
//
// Guarantees: every text is invented for this project (CC0) or made from such a text by the generator in here; the same
// files give the same messages, to the byte and in the same order, on every machine; adding a seed changes no expansion
// of another; no two messages have the same text; what is held apart shares no seed, no pair and no near-duplicate with
// what may be trained on.
//
// Not guaranteed: that people in a crisis write like this. README.md says what the corpus cannot show. For development
// only: the sidecar does not carry it.
package corpus

import (
	"cmp"
	"embed"
	"fmt"
	"slices"
	"sync"
)

//go:embed seeds conversations
var files embed.FS

// Message is one labelled text.
type Message struct {
	ID   string // <language>/<category>/<hash of the seed>.<number of the expansion>: does not change when seeds are added
	Text string

	Lang, Category, Register, Age string
	Topics                        []string // as the seed names them; nil where nobody said
	Sentiment                     string   // positive, negative, neutral, ambiguous, or "" where nobody said

	Risk  int8 // 1: the writer is at risk of self-harm; 0: is not; -1: readers would differ
	Level int8 // Columbia scale, 0 to 6

	Harm, Abuse, Distress int8 // 1, 0, or -1: unknown

	Pair string // of a contrast pair: the same for both sides; else ""
	Held bool   // never trained on
	Tune bool   // held apart, but for calibration and thresholds: judge by those of Held that are not
}

// Seeds returns what the files hold, in the order of their paths and lines, with every fault that was found in them, each
// naming its file and line.
func Seeds() ([]Seed, error) { return parsed() }

var parsed = sync.OnceValues(func() ([]Seed, error) { return parseAll(files) })

// Messages returns the whole corpus, in the order of its seeds. The slice is the caller's, what it points to is not. It
// panics on a file that cannot be read, which the package's tests rule out.
func Messages() []Message { return slices.Clone(expanded()) }

var expanded = sync.OnceValue(func() []Message {
	seeds, err := Seeds()
	if err != nil {
		panic(fmt.Sprintf("corpus: %v", err))
	}
	return expandAll(seeds, parts())
})

// parts says what each unit of the seeds is for.
var parts = sync.OnceValue(func() map[string]part {
	seeds, _ := Seeds() // faults are for whoever asks for the seeds
	return holdApart(seeds)
})

// expandAll expands every seed. A text that an earlier seed has, but for letter case and punctuation, is left out.
func expandAll(seeds []Seed, parts map[string]part) []Message {
	var all []Message
	owner := map[string]string{} // normal form of a text → the unit it belongs to
	texts := map[string]bool{}
	for i := range seeds {
		s := &seeds[i]
		number := 0
		for _, text := range s.expand(s.copies()) {
			normal := normalForm(text)
			if of, taken := owner[normal]; texts[text] || taken && of != s.unit() {
				continue
			}
			owner[normal], texts[text] = s.unit(), true
			all = append(all, s.message(text, number, parts[s.unit()]))
			number++
		}
	}
	return all
}

func (s *Seed) message(text string, number int, p part) Message {
	return Message{
		ID: fmt.Sprintf("%s/%s/%s.%d", s.Lang, s.Category, s.hash()[:10], number), Text: text,
		Lang: s.Lang, Category: s.Category, Register: s.Register, Age: s.Age, Topics: s.Topics,
		Sentiment: s.Sentiment, Risk: s.Risk, Level: s.Level, Harm: s.Harm, Abuse: s.Abuse, Distress: s.Distress,
		Pair: s.Pair, Held: p != trained, Tune: p == tuned,
	}
}

// Count is one row of the card's table.
type Count struct {
	Name                  string
	Seeds, Messages, Held int
}

// CountBy counts messages by what key says of them, in the order of the names.
func CountBy(messages []Message, key func(Message) string) []Count {
	rows := map[string]*Count{}
	seen := map[string]bool{}
	for _, m := range messages {
		name := key(m)
		row := rows[name]
		if row == nil {
			row = &Count{Name: name}
			rows[name] = row
		}
		row.Messages++
		if m.Held {
			row.Held++
		}
		if seed := m.seed(); !seen[seed] {
			seen[seed] = true
			row.Seeds++
		}
	}
	counts := make([]Count, 0, len(rows))
	for _, row := range rows {
		counts = append(counts, *row)
	}
	slices.SortFunc(counts, func(a, b Count) int { return cmp.Compare(a.Name, b.Name) })
	return counts
}
