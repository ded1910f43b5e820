package corpus_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vigil/server/internal/assess/corpus"
)

func TestEverySeedIsWellFormed(t *testing.T) {
	t.Parallel()
	seeds, err := corpus.Seeds()
	if err != nil {
		t.Errorf("%d seeds, and:\n%v", len(seeds), err)
	}
}

func TestNoTwoMessagesAreTheSame(t *testing.T) {
	t.Parallel()
	ids, texts := map[string]bool{}, map[string]string{}
	for _, m := range corpus.Messages() {
		if ids[m.ID] || texts[m.Text] != "" {
			t.Errorf("%s is there twice, also as %s: %s", m.ID, texts[m.Text], m.Text)
		}
		ids[m.ID], texts[m.Text] = true, m.ID
	}
}

func TestEveryMessageIsWholeAndWithinBounds(t *testing.T) {
	t.Parallel()
	known := corpus.Categories()
	for _, m := range corpus.Messages() {
		if m.Text == "" || m.ID == "" || m.Register == "" || m.Age == "" || !slices.Contains(known, m.Category) {
			t.Errorf("%+v is not whole", m)
		}
		if m.Level < 0 || m.Level > 6 || m.Risk == 1 && m.Level == 0 || m.Risk == 0 && m.Level > 0 {
			t.Errorf("%s: risk %d at level %d", m.ID, m.Risk, m.Level)
		}
	}
}

func TestPairsHaveTwoSidesThatStayTogether(t *testing.T) {
	t.Parallel()
	sides := map[string]map[string]bool{}
	held := map[string]bool{}
	for _, m := range corpus.Messages() {
		if m.Pair == "" {
			continue
		}
		if sides[m.Pair] == nil {
			sides[m.Pair], held[m.Pair] = map[string]bool{}, m.Held
		}
		sides[m.Pair][m.Category] = true
		if held[m.Pair] != m.Held {
			t.Errorf("%s: one side of the pair is held apart, the other is not", m.ID)
		}
	}
	for id, categories := range sides {
		if len(categories) != 2 {
			t.Errorf("pair %s has only %v", id, slices.Collect(maps.Keys(categories)))
		}
	}
}

func TestMessagesAreTheCallersToSort(t *testing.T) {
	t.Parallel()
	first := corpus.Messages()
	slices.Reverse(first)
	if again := corpus.Messages(); reflect.DeepEqual(first, again) {
		t.Error("one caller's order is another's")
	}
}

var update = flag.Bool("update", false, "write the card's tables")

const (
	countsBegin = "<!-- counts -->\n"
	countsEnd   = "<!-- /counts -->"
)

// tables are the card's counts.
func tables() string {
	var b strings.Builder
	messages := corpus.Messages()
	for _, by := range []struct {
		title string
		key   func(corpus.Message) string
	}{
		{"category", func(m corpus.Message) string { return m.Category }}, {"language", func(m corpus.Message) string { return m.Lang }},
		{"register", func(m corpus.Message) string { return m.Register }}, {"age", func(m corpus.Message) string { return m.Age }},
		{"in all", func(corpus.Message) string { return "messages" }},
	} {
		fmt.Fprintf(&b, "| %s | seeds | messages | held apart |\n|---|--:|--:|--:|\n", by.title)
		for _, c := range corpus.CountBy(messages, by.key) {
			fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", c.Name, c.Seeds, c.Messages, c.Held)
		}
		b.WriteString("\n")
	}
	pairs := map[string]bool{}
	for _, m := range messages {
		if m.Pair != "" {
			pairs[m.Pair] = true
		}
	}
	fmt.Fprintf(&b, "%d contrast pairs are among them.\n\n", len(pairs))
	b.WriteString("| conversations | hand-written | composed | held apart |\n|---|--:|--:|--:|\n")
	for _, risk := range []string{corpus.RiskNone, corpus.RiskLow, corpus.RiskHigh, corpus.RiskImminent} {
		written, composed, held := 0, 0, 0
		for _, c := range corpus.Conversations() {
			switch {
			case c.Risk != risk:
				continue
			case c.Written():
				written++
			default:
				composed++
			}
			if c.Held {
				held++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", risk, written, composed, held)
	}
	return b.String()
}

func TestTheCardCountsWhatIsThere(t *testing.T) {
	t.Parallel()
	card, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(card), countsBegin)
	said, after, ends := strings.Cut(rest, countsEnd)
	if !begins || !ends {
		t.Fatal("the card has no place for the counts")
	}
	if want := tables(); *update {
		if err := os.WriteFile("README.md", []byte(before+countsBegin+want+countsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if said != want {
		t.Error("the card counts something else: run the test with -update")
	}
}

func TestTheCorpusIsAsLargeAndVariedAsItMustBe(t *testing.T) {
	t.Parallel()
	messages := corpus.Messages()
	if len(messages) < 12_000 {
		t.Errorf("%d messages", len(messages))
	}
	if n := len(corpus.Conversations()); n < 600 {
		t.Errorf("%d conversations", n)
	}
	// Those that every language has; the others depend on what a language has words for.
	everywhere := []string{"passive", "active", "nssi", "method", "plan", "implicit", "behaviour", "negation", "recovered", "third_person", "quote", "education", "idiom", "ordinary", "ordinary_distress", "distress", "harm_others", "harm_idiom", "abuse", "abuse_other", "benign_means"}
	seen := map[string]int{}
	for _, m := range messages {
		seen[m.Category]++
		seen[m.Lang+"/"+m.Category]++
		seen[m.Lang]++
		seen["register "+m.Register]++
		seen["age "+m.Age]++
		if m.Pair != "" {
			seen["pairs in "+m.Lang]++
		}
	}
	if n := len(corpus.Languages()); n < 15 {
		t.Errorf("%d languages", n)
	}
	for _, lang := range corpus.Languages() {
		if seen[lang] < 500 || seen["pairs in "+lang] == 0 {
			t.Errorf("%s: %d messages, %d in pairs", lang, seen[lang], seen["pairs in "+lang])
		}
		for _, category := range everywhere {
			if seen[lang+"/"+category] == 0 {
				t.Errorf("%s has nothing of %s", lang, category)
			}
		}
	}
	for _, category := range corpus.Categories() {
		if n := seen[category]; n < 100 || n*8 > len(messages) {
			t.Errorf("%s: %d of %d messages", category, n, len(messages))
		}
	}
	for _, name := range []string{"register plain", "register text", "register slang", "register formal", "register clinical", "register emoji", "age child", "age teen", "age adult", "age older"} {
		if seen[name] < 100 {
			t.Errorf("%s: %d messages", name, seen[name])
		}
	}
}

// TestTheSameFilesGiveTheSameBytes runs the generator again, in another process, which has other hash seeds for its maps.
func TestTheSameFilesGiveTheSameBytes(t *testing.T) {
	t.Parallel()
	digest := func() string {
		sum := sha256.New()
		for _, m := range corpus.Messages() {
			fmt.Fprintf(sum, "%+v\n", m)
		}
		for _, c := range corpus.Conversations() {
			fmt.Fprintf(sum, "%+v\n", c)
		}
		return hex.EncodeToString(sum.Sum(nil))
	}
	const again = "VIGIL_CORPUS_DIGEST"
	if os.Getenv(again) != "" {
		fmt.Printf("digest %s\n", digest())
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestTheSameFilesGiveTheSameBytes$")
	cmd.Env = append(os.Environ(), again+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run again: %v", err)
	}
	if want := "digest " + digest() + "\n"; !strings.Contains(string(out), want) {
		t.Errorf("another process gives other bytes: %s", out)
	}
}
