package corpus

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestNothingHeldApartHasANearDuplicateThatIsTrainedOn(t *testing.T) {
	t.Parallel()
	seeds, _ := Seeds()
	held := parts()
	pairs := 0
	nearDuplicates(seeds, func(a, b *Seed) {
		pairs++
		if held[a.unit()] != held[b.unit()] {
			t.Errorf("%s:%d and %s:%d are nearly the same, and one is held apart", a.File, a.Line, b.File, b.Line)
		}
	})
	if pairs == 0 {
		t.Error("no two seeds are alike: the search is broken")
	}
	apart := map[string][2]bool{}
	for _, m := range Messages() {
		side := [2]bool{m.Held, m.Tune}
		if was, known := apart[normalForm(m.Text)]; known && was != side {
			t.Errorf("%s differs from a message on another side by marks only", m.ID)
		}
		if m.Tune && !m.Held {
			t.Errorf("%s is for tuning and is trained on", m.ID)
		}
		apart[normalForm(m.Text)] = side
	}
}

// TestTheSearchForNearDuplicatesMissesNone compares it with the plain way, on some of the seeds.
func TestTheSearchForNearDuplicatesMissesNone(t *testing.T) {
	t.Parallel()
	all, _ := Seeds()
	var seeds []Seed
	for i := range all {
		if all[i].Lang == "es" {
			seeds = append(seeds, all[i])
		}
	}
	found := map[[2]*Seed]bool{}
	nearDuplicates(seeds, func(a, b *Seed) { found[[2]*Seed{a, b}], found[[2]*Seed{b, a}] = true, true })
	triples := make([]map[uint64]bool, len(seeds))
	for i := range seeds {
		triples[i] = map[uint64]bool{}
		for _, t := range lettersOf(&seeds[i]) {
			triples[i][t] = true
		}
	}
	for i := range seeds {
		for j := range i {
			shared := 0
			for t := range triples[i] {
				if triples[j][t] {
					shared++
				}
			}
			like := float64(shared) > alike*float64(len(triples[i])+len(triples[j])-shared)
			a, b := &seeds[i], &seeds[j]
			if a.unit() != b.unit() && like != found[[2]*Seed{a, b}] {
				t.Errorf("%s:%d and %s:%d: nearly the same %t, found %t", a.File, a.Line, b.File, b.Line, like, !like)
			}
		}
	}
}

func TestAboutAFifthIsHeldApart(t *testing.T) {
	t.Parallel()
	for _, c := range CountBy(Messages(), func(m Message) string { return m.Lang }) {
		if share := float64(c.Held) / float64(c.Messages); share < .12 || share > .30 {
			t.Errorf("%s: %.0f %% are held apart", c.Name, 100*share)
		}
	}
	held := 0
	sessions := Conversations()
	for _, c := range sessions {
		if c.Held {
			held++
		}
	}
	if share := float64(held) / float64(len(sessions)); share < .12 || share > .30 {
		t.Errorf("%.0f %% of the conversations are held apart", 100*share)
	}
}

func TestAHeldConversationIsMadeOfHeldMessagesAndTheOthersOfTheRest(t *testing.T) {
	t.Parallel()
	apart := map[string]bool{}
	for _, m := range Messages() {
		apart[m.Text] = m.Held
	}
	pools, err := parseConversations(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Conversations() {
		for _, turn := range c.Turns {
			held, isMessage := apart[turn.Text]
			pooled := slices.Contains(pools.pools["openers"], turn.Text) || slices.Contains(pools.pools["smalltalk"], turn.Text)
			if !c.Written() && turn.Role == "user" && isMessage && !pooled && held != c.Held {
				t.Errorf("%s: a message is on the other side", c.ID)
			}
		}
	}
}

// commonWords is how long a sentence may be that anybody might have written: "I wish I was dead" stands in every set.
const commonWords = 8

func TestNoTextIsOfTheSharedData(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("../../../../../shared/data/*.jsonl")
	if err != nil || len(names) == 0 {
		t.Skip("the shared data is not beside this checkout")
	}
	letters := func(text string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return unicode.ToLower(r)
			}
			return -1
		}, text)
	}
	shared := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var row struct {
				Text  string
				Turns [][]string
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatalf("%s: not a row", name)
			}
			shared[letters(row.Text)] = filepath.Base(name)
			for _, turn := range row.Turns {
				shared[letters(turn[1])] = filepath.Base(name)
			}
		}
	}
	delete(shared, "")
	messages, common := Messages(), 0
	check := func(id, text string) {
		if name, there := shared[letters(text)]; there {
			common++
			if len(strings.Fields(text)) > commonWords {
				t.Errorf("%s is in %s", id, name)
			}
		}
	}
	for _, m := range messages {
		check(m.ID, m.Text)
	}
	for _, c := range Conversations() {
		for _, turn := range c.Turns {
			if c.Written() {
				check(c.ID, turn.Text)
			}
		}
	}
	if common*200 > len(messages) {
		t.Errorf("%d texts are in the shared data too: more than chance", common)
	}
}
