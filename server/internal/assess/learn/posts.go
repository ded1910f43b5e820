package learn

import (
	"math/rand/v2"
	"strings"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
)

// composed is the source of posts.
const composed = "posts"

// posts are texts as long as those on forums, put together from English messages of the corpus that are trained on: everyday pain and
// talk, and in every other one of them somewhere a message of risk. Without them a model takes length for harmlessness.
func posts(messages []corpus.Message, s Settings) (all []example) {
	random := rand.New(rand.NewPCG(s.Seed, 5))
	var calm, risky []*corpus.Message
	for i := range messages {
		m := &messages[i]
		if m.Held || m.Lang != "en" || m.Pair != "" {
			continue
		}
		switch m.Category {
		case "ordinary_distress", "topic", "sentiment", "ordinary":
			calm = append(calm, m)
		}
		if m.Risk == 1 {
			risky = append(risky, m)
		}
	}
	if len(calm) == 0 || len(risky) == 0 {
		return nil
	}
	for i := range s.Posts {
		parts := make([]string, 2+random.IntN(5))
		for k := range parts {
			parts[k] = calm[random.IntN(len(calm))].Text
		}
		e := example{labels: unlabelled(), level: unknown, weight: 1, source: composed, language: "en"}
		e.labels[assess.HeadRisk] = int8(i % 2)
		if i%2 == 1 {
			m := risky[random.IntN(len(risky))]
			parts[random.IntN(len(parts))] = m.Text
			atLeast(&e.labels, m.Level, m.Level+1)
		} else {
			atLeast(&e.labels, 0, 1)
		}
		e.text = strings.Join(parts, " ")
		all = append(all, e)
	}
	return all
}
