package corpus_test

import (
	"maps"
	"reflect"
	"slices"
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
