package corpus

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// composed is how many conversations are put together from messages and pools.
const composed = 520

// arc is a course that a session may take: what the writer says in turn, as categories. Between them there is talk.
type arc struct {
	name, risk string
	steps      []string
}

const talk = "talk" // a line of small talk, from the pool

var arcs = []arc{
	{"calm", RiskNone, []string{talk, "ordinary", talk, "ordinary", "ordinary"}},
	{"sad", RiskNone, []string{"ordinary", "ordinary_distress", "ordinary_distress", talk, "ordinary_distress"}},
	{"panic", RiskNone, []string{talk, "ordinary_distress", "distress", "ordinary_distress", "ordinary"}},
	{"angry", RiskNone, []string{talk, "harm_idiom", "harm_idiom", "ordinary_distress", "ordinary"}},
	{"idioms", RiskNone, []string{"ordinary", "idiom", "tech", talk, "idiom", "game"}},
	{"worried", RiskNone, []string{talk, "third_person", "ordinary_distress", "third_person", "education"}},
	{"recovered", RiskNone, []string{"ordinary", "recovered", "negation", "ordinary", "recovered"}},
	{"asked", RiskNone, []string{talk, "ordinary_distress", "negation", "ordinary_distress", talk}},
	{"means", RiskNone, []string{"ordinary", "benign_means", talk, "benign_means", "ordinary_distress"}},
	{"quotes", RiskNone, []string{talk, "quote", "ordinary", "quote", "idiom"}},

	{"resigned", RiskLow, []string{"ordinary", "ordinary_distress", "passive", talk, "passive"}},
	{"slow", RiskLow, []string{talk, "ordinary_distress", "distress", "passive", "active"}},
	{"urges", RiskLow, []string{"ordinary_distress", talk, "nssi", "ordinary_distress", "nssi"}},
	{"early_calm", RiskLow, []string{"active", "ordinary_distress", talk, "ordinary", "ordinary"}},
	{"relapse", RiskLow, []string{"recovered", "ordinary", "ordinary_distress", "active", "passive"}},

	{"escalating", RiskHigh, []string{"ordinary_distress", "passive", "active", "method", "intent"}},
	{"joking", RiskHigh, []string{"idiom", talk, "idiom", "method", "intent"}},
	{"veiled", RiskHigh, []string{talk, "ordinary", "ordinary", talk, "implicit"}},
	{"denial", RiskHigh, []string{"negation", "ordinary_distress", "negation", "passive", "intent"}},

	{"sudden", RiskImminent, []string{talk, "ordinary", "ordinary", "plan"}},
	{"escalating", RiskImminent, []string{"passive", "active", "method", "intent", "plan"}},
	{"denial", RiskImminent, []string{"ordinary", "negation", "ordinary_distress", "implicit", "plan"}},
	{"in_progress", RiskImminent, []string{talk, "ordinary_distress", "passive", "behaviour"}},
	{"early_calm", RiskImminent, []string{"plan", "ordinary_distress", "ordinary", talk, "ordinary"}},
}

// noneIn is the share of arcs without risk among the composed conversations: one in two.
const noneIn = 2

// compose puts conversations together. A held one is made of held messages, the others of the rest.
func compose(pools map[string][]string, messages []Message) []Conversation {
	type key struct {
		category string
		held     bool
	}
	said := map[key][]Message{}
	for _, m := range messages {
		if m.Lang == "en" {
			k := key{m.Category, m.Held}
			said[k] = append(said[k], m)
		}
	}
	var none, risky []arc
	for _, a := range arcs {
		if a.risk == RiskNone {
			none = append(none, a)
		} else {
			risky = append(risky, a)
		}
	}
	var all []Conversation
	for i := range composed {
		rng := random("conversation", strconv.Itoa(i))
		from := risky
		if i%noneIn == 0 {
			from = none
		}
		a := from[i/noneIn%len(from)]
		held := rng.IntN(heldIn) == 0
		c := &composer{rng: rng, pools: pools, say: func(category string) (Message, bool) {
			choices := said[key{category, held}]
			if len(choices) == 0 {
				return Message{}, false
			}
			return choices[rng.IntN(len(choices))], true
		}}
		turns := c.turns(a)
		if len(turns) < fewestTurns {
			continue
		}
		all = append(all, Conversation{ID: fmt.Sprintf("composed/%03d", i), Risk: a.risk, Arc: a.name, Turns: turns, Held: held})
	}
	return all
}

type composer struct {
	rng   *rand.Rand
	pools map[string][]string
	say   func(category string) (Message, bool)
	out   []Turn
}

// chances of what stands between the steps of an arc.
const (
	chanceTalk   = 0.3
	chanceSilent = 0.15 // nobody answers, and the writer goes on
)

func (c *composer) turns(a arc) []Turn {
	c.agent("agent_openers")
	c.user(pick(c.rng, c.pools["openers"]), 0)
	for _, step := range a.steps {
		c.agent("agent_questions")
		if c.rng.Float64() < chanceTalk {
			c.talk()
			c.agent("agent_reflections")
		}
		if step == talk {
			c.talk()
			continue
		}
		if m, ok := c.say(step); ok {
			c.user(m.Text, m.Level)
		}
	}
	c.agent("agent_closers")
	return c.out
}

func (c *composer) talk() { c.user(pick(c.rng, c.pools["smalltalk"]), 0) }

func (c *composer) user(text string, level int8) {
	if text != "" {
		c.out = append(c.out, Turn{Role: "user", Text: text, Level: level})
	}
}

func (c *composer) agent(pool string) {
	if c.rng.Float64() < chanceSilent {
		return
	}
	if text := pick(c.rng, c.pools[pool]); text != "" {
		c.out = append(c.out, Turn{Role: "agent", Text: text})
	}
}
