package corpus

import (
	"reflect"
	"strings"
	"testing"
)

func expansions(t *testing.T, text string) map[string]string {
	t.Helper()
	seeds, err := Parse("x.txt", "en", text)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range expandAll(seeds, holdApart(seeds)) {
		out[m.ID] = m.Text
	}
	return out
}

func TestAddingASeedChangesNoOthersExpansions(t *testing.T) {
	t.Parallel()
	before := expansions(t, example)
	after := expansions(t, "@ category=idiom\nthis queue will be the death of me\n"+example+"\nthe kettle is on, {finally|again}")
	for id, text := range before {
		if after[id] != text {
			t.Errorf("%s was %q, and is %q", id, text, after[id])
		}
	}
	if len(after) <= len(before) {
		t.Errorf("%d messages, then %d", len(before), len(after))
	}
}

func TestMoreExpansionsLeaveTheFirstAlone(t *testing.T) {
	t.Parallel()
	seeds, err := Parse("x.txt", "en", example)
	if err != nil {
		t.Fatal(err)
	}
	few, many := seeds[0].expand(3), seeds[0].expand(9)
	if len(many) != 9 || !reflect.DeepEqual(few, many[:3]) {
		t.Errorf("%q\n%q", few, many)
	}
}

func TestATextBelongsToOneSeedOnly(t *testing.T) {
	t.Parallel()
	got := expansions(t, "@ category=idiom\nI could die!\n@ category=passive\ni could die")
	for id := range got {
		if !strings.HasPrefix(id, "en/idiom/") && normalForm(got[id]) == "icoulddie" {
			t.Errorf("%s: %q is the first seed's", id, got[id])
		}
	}
}

// TestNoiseSaysNothingAboutTheLabel: the same dice make the same noise, whatever the category.
func TestNoiseSaysNothingAboutTheLabel(t *testing.T) {
	t.Parallel()
	const text = "I don't know where the bridge is, honestly."
	for i := range 500 {
		key := strings.Repeat("x", i)
		want := noisy(random(key), "en", "ordinary", text)
		for _, category := range Categories() {
			if category == "sentiment" || category == "emoji" { // no tail: it would change the label, or be all there is
				continue
			}
			if got := noisy(random(key), "en", category, text); got != want {
				t.Fatalf("%s: %q, ordinary: %q", category, got, want)
			}
		}
	}
}

func TestNoiseIsOfEveryKindAndKeepsTheLettersOfOtherScripts(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	const text = "I really don't know, doctor."
	for i := range 2000 {
		got := noisy(random(strings.Repeat("y", i)), "en", "idiom", text)
		for kind, is := range map[string]bool{
			"lower case": got == strings.ToLower(text), "capitals": got == strings.ToUpper(text), "no apostrophe": strings.Contains(got, "dont"), "leet": strings.Contains(got, "d0ct0r"),
			"spaced": strings.Contains(got, "r e a l l y"), "an emoji": strings.Contains(got, "😅"), "thanks": strings.Contains(got, "thanks"), "a greeting": strings.HasPrefix(got, "hey"), "as it was": got == text,
		} {
			seen[kind] = seen[kind] || is
		}
	}
	for _, kind := range []string{"lower case", "capitals", "no apostrophe", "leet", "spaced", "an emoji", "thanks", "a greeting", "as it was"} {
		if !seen[kind] {
			t.Errorf("never: %s", kind)
		}
	}
	for _, word := range []string{"मरना", "死にたい", "죽고싶어", "活着"} {
		if got := misspell(word, 1); got != word {
			t.Errorf("%s became %s", word, got)
		}
		if got := withoutAccents(word); got != word {
			t.Errorf("%s lost a mark: %s", word, got)
		}
	}
	if got := withoutAccents("São łódź größe"); got != "Sao lodz grosse" {
		t.Errorf("without accents: %q", got)
	}
}
