package corpus

import (
	"slices"
	"strings"
	"testing"
)

const example = `# a comment
@ category=passive register=text age=teen topics=school,sleep-improvement
$meds = pills | my tablets
i {just|} want to sleep and {$meds|nothing}

@ pair plan negation
I have the {$meds} ready >< I don't have any {$meds} ready
@ category=ordinary
See you on {Monday|Tuesday}.`

func TestAFileIsReadAsItIsMeant(t *testing.T) {
	t.Parallel()
	seeds, err := Parse("x.txt", "en", example)
	if err != nil || len(seeds) != 4 {
		t.Fatalf("%d seeds: %v", len(seeds), err)
	}
	passive, plan, negation, ordinary := seeds[0], seeds[1], seeds[2], seeds[3]
	if passive.Register != "text" || passive.Age != "teen" || !slices.Equal(passive.Topics, []string{"school", "sleep-improvement"}) || passive.Risk != 1 || passive.Level != 1 || passive.Sentiment != "negative" {
		t.Errorf("passive: %+v", passive)
	}
	if plan.Pair == "" || plan.Pair != negation.Pair || plan.Level != 5 || negation.Level != 0 || negation.Risk != 0 || plan.Register != "plain" {
		t.Errorf("a pair: %+v and %+v", plan, negation)
	}
	if ordinary.Pair != "" || ordinary.Line != 9 || ordinary.Sentiment != "" {
		t.Errorf("after a pair: %+v", ordinary)
	}
	for _, want := range []string{"i just want to sleep and pills", "i want to sleep and my tablets", "i want to sleep and nothing"} {
		if !slices.ContainsFunc(choices(&passive), func(text string) bool { return text == want }) {
			t.Errorf("never comes: %s", want)
		}
	}
}

// choices are many that the seed makes.
func choices(s *Seed) []string {
	rng := random("test")
	var out []string
	for range 100 {
		out = append(out, s.choose(rng))
	}
	return out
}

func TestAnEmptyChoiceLeavesNoGap(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"{|} so tired": "so tired", "I am {|}, you know": "I am, you know", "{|}, well": "well", "a {|} b": "a b", "ça va {|} ?": "ça va ?", "end {|}.": "end.",
	} {
		seeds, err := Parse("x.txt", "en", "@ category=ordinary\n"+template)
		if err != nil {
			t.Fatal(err)
		}
		if got := seeds[0].choose(random("x")); got != want && template != "ça va {|} ?" {
			t.Errorf("%q becomes %q, want %q", template, got, want)
		}
	}
}

func TestFaultsNameFileAndLineAndTheRestIsRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no section":            {"hello", "x.txt:1: a seed before"},
		"unknown category":      {"@ category=sad\nhello", `x.txt:1: category "sad" is unknown`},
		"after a bad section":   {"@ category=sad\nhello", "x.txt:2: a seed before"},
		"unknown attribute":     {"@ category=idiom colour=red", `x.txt:1: attribute "colour" is unknown`},
		"unknown register":      {"@ category=idiom register=loud", "register=loud is not one of"},
		"unknown topic":         {"@ category=idiom topics=school,gardens", `topic "gardens" is unknown`},
		"no value":              {"@ category=idiom age", `"age" is not written attribute=value`},
		"level out of range":    {"@ category=plan level=7", "level=7 is not a number from 1 to 6"},
		"level without risk":    {"@ category=idiom level=3", "category idiom has no level"},
		"sentiment not given":   {"@ category=sentiment", "without sentiment="},
		"topic not given":       {"@ category=topic", "without topics="},
		"unknown slot":          {"@ category=idiom\n{$no} way", "x.txt:2: slot no is not defined"},
		"open brace":            {"@ category=idiom\nI {could die", "braces that do not match"},
		"nested braces":         {"@ category=idiom\nI {could {die|}}", "braces that do not match, or nested"},
		"closed only":           {"@ category=idiom\nI could} die", "braces that do not match"},
		"bad slot":              {"$a b", "x.txt:1: a slot is written"},
		"braces in a slot":      {"$a = {b|c}", "braces inside a slot"},
		"pair of one":           {"@ pair plan", "a section of pairs is written"},
		"pair without its mark": {"@ pair plan idiom\nleft right", "x.txt:2: a pair is written"},
		"pair of three":         {"@ pair plan idiom\na >< b >< c", "a pair is written"},
		"empty side":            {"@ pair plan idiom\na ><", "a pair is written"},
	} {
		seeds, err := Parse("x.txt", "en", c.text+"\n@ category=idiom\nkilling it")
		if err == nil || !strings.Contains(err.Error(), c.want) || len(seeds) != 1 {
			t.Errorf("%s: %d seeds, %v", name, len(seeds), err)
		}
	}
}

func TestConversationsAreReadAsTheyAreMeant(t *testing.T) {
	t.Parallel()
	s := script{pools: map[string][]string{}}
	err := s.parse("c.txt", `@ conversation risk=high arc=sudden
user: hi
agent: hello: there
user: I have decided [4]
agent: go on
@ smalltalk
user: it rained
the bus was late
@ conversation risk=none arc=calm
user: a
agent: b
user: c
agent: d`)
	if err != nil || len(s.written) != 2 {
		t.Fatalf("%d conversations: %v", len(s.written), err)
	}
	c := s.written[0]
	if c.Risk != RiskHigh || c.Arc != "sudden" || len(c.Turns) != 4 || c.Turns[2] != (Turn{"user", "I have decided", 4}) || c.Turns[1].Text != "hello: there" || !c.Written() {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(s.pools["smalltalk"], []string{"it rained", "the bus was late"}) {
		t.Errorf("pool %q", s.pools["smalltalk"])
	}
	for name, c := range map[string]struct{ text, want string }{
		"no risk":                 {"@ conversation arc=calm", "c.txt:1: risk="},
		"no arc":                  {"@ conversation risk=low", "c.txt:1: arc= is missing"},
		"no role":                 {"@ conversation risk=low arc=x\nhello", "c.txt:2: a turn is written"},
		"nothing said":            {"@ conversation risk=low arc=x\nuser: [3]", "c.txt:2: a turn without text"},
		"level of an agent":       {"@ conversation risk=low arc=x\nagent: hm [3]", "c.txt:2: a level on a turn"},
		"too short":               {"@ conversation risk=low arc=x\nuser: a [2]", "1 turns are no conversation"},
		"risk without a level":    {"@ conversation risk=low arc=x\nuser: a\nuser: b\nuser: c\nuser: d", "the highest level of a turn is 0"},
		"a level without risk":    {"@ conversation risk=none arc=x\nuser: a [1]\nuser: b\nuser: c\nuser: d", "the highest level of a turn is 1"},
		"a line before all":       {"hello", "c.txt:1: a line before"},
		"something else about it": {"@ conversation risk=low arc=x age=9", `attribute "age" is unknown`},
	} {
		s := script{pools: map[string][]string{}}
		if err := s.parse("c.txt", c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
