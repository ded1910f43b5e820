package learn

import (
	"math/rand/v2"
	"strings"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
)

// Settings say how to train.
type Settings struct {
	GramBits, IdeaBits     uint8
	EmotionBits, TopicBits uint8
	Posts                  int // composed ones
	Epochs                 int
	Seed                   uint64
	Rate, Decay            float32
	IdeaDecay              float32
	Drop, IdeaDrop         float64 // shares of a text's grams and ideas that a pass does not see
}

// Standard are the settings of the model that ships.
var Standard = Settings{
	GramBits: 14, IdeaBits: 13, EmotionBits: 11, TopicBits: 13, Posts: 6000, Epochs: 5, Seed: 1, Rate: .12,
	Decay: 2e-6, Drop: .25,
}

// featurise fills in the features of each example.
func featurise(d *assess.Detector, all []example) {
	for i := range all {
		s := d.Sample(all[i].text)
		all[i].segments, all[i].common = s.Segments, s.Common
	}
}

// trainLinear trains family A on the examples that are not held apart.
func trainLinear(all []example, s Settings) *linear {
	l := newLinear(s.GramBits, s.IdeaBits)
	l.decay, l.ideaDecay = s.Decay, s.IdeaDecay
	var thin example
	var order []int
	for i := range all {
		if !all[i].held && len(all[i].segments) > 0 {
			order = append(order, i)
		}
	}
	random := rand.New(rand.NewPCG(s.Seed, 1))
	var memory scorer
	for epoch := range s.Epochs {
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		l.rate = s.Rate / float32(1+epoch)
		for _, i := range order {
			e := thinned(&all[i], &thin, s, random)
			l.learn(e, &memory)
		}
	}
	return l
}

// quantise makes a model of one byte a weight.
func (l *linear) quantise() *assess.Model {
	m := &assess.Model{
		GramBits: l.gramBits, IdeaBits: l.ideaBits,
		Grams: make([]int8, len(l.grams.weights)), Ideas: make([]int8, len(l.ideas.weights)),
	}
	for k := range m.Linear {
		m.Linear[k] = assess.Scales{Gram: quantiseOutput(m.Grams, l.grams.weights, k), Idea: quantiseOutput(m.Ideas, l.ideas.weights, k), Bias: l.bias[k]}
	}
	for h := range m.Head {
		m.Head[h] = assess.HeadParams{Whole: .5, Best: .5, Said: .5, Closer: .3}
	}
	return m
}

// clip is the share of the largest weights that is cut off, so that one outlier does not cost the others their grain.
const clip = .0005

func quantiseOutput(out []int8, weights []float32, k int) float32 {
	var sizes []float32
	for i := k; i < len(weights); i += outputs {
		if weights[i] != 0 {
			sizes = append(sizes, max(weights[i], -weights[i]))
		}
	}
	if len(sizes) == 0 {
		return 0
	}
	limit := quantile(sizes, 1-clip)
	scale := limit / grain
	for i := k; i < len(weights); i += outputs {
		out[i] = quantised(weights[i] / scale)
	}
	return scale
}

// thinned is e without a random share of its grams, so that no text is known by its own words alone.
func thinned(e, thin *example, s Settings, random *rand.Rand) *example {
	if s.Drop == 0 && s.IdeaDrop == 0 {
		return e
	}
	segments := thin.segments
	*thin = *e
	thin.segments = segments[:0]
	for i := range e.segments {
		var one assess.Features
		if i < cap(thin.segments) {
			one = thin.segments[:i+1][i]
		}
		one.Grams = thinnedIDs(one.Grams[:0], e.segments[i].Grams, s.Drop, random.Uint32())
		one.Ideas = thinnedIDs(one.Ideas[:0], e.segments[i].Ideas, s.IdeaDrop, random.Uint32())
		thin.segments = append(thin.segments, one)
	}
	return thin
}

func thinnedIDs(out, ids []uint32, drop float64, salt uint32) []uint32 {
	limit := uint32(drop * (1 << 32))
	for _, id := range ids {
		if (id^salt)*0x9E3779B1 >= limit {
			out = append(out, id)
		}
	}
	return out
}

// Train makes the model that ships of the shared data (nil: none) and the corpus. The same data and settings give the same
// model, to the byte, on every machine.
func Train(shared *Shared, messages []corpus.Message, s Settings) *Trained {
	all := append(gather(shared, messages), posts(messages, s)...)
	featurise(assess.NewWith(&assess.Model{}), all)
	t := &Trained{Model: trainLinear(all, s).quantise(), Settings: s, Texts: map[string]int{}}
	t.Model.Net = trainNet(all, s).quantise()
	t.Model.Tint = tints(assess.NewWith(t.Model), shared, messages, s)
	for i := range all {
		if !all[i].held {
			name, _, _ := strings.Cut(all[i].source, "/")
			t.Texts[name]++
		}
	}
	t.held = fit(t.Model, all)
	return t
}

// fixtureSettings make a model that is only good for comparing bytes.
var fixtureSettings = Settings{
	GramBits: 8, IdeaBits: 8, EmotionBits: 6, TopicBits: 6, Posts: 50, Epochs: 1, Seed: 1, Rate: .12, Decay: 2e-6, Drop: .25,
}

// fixtureEach is which share of the corpus the fixture is made of: one message in so many.
const fixtureEach = 10

// Fixture makes a small model of a part of the corpus: what CI makes again, and compares to the byte.
func Fixture(messages []corpus.Message) *Trained {
	var some []corpus.Message
	for i := 0; i < len(messages); i += fixtureEach {
		some = append(some, messages[i])
	}
	return Train(nil, some, fixtureSettings)
}

// fit calibrates m, and sets its thresholds, on what it was not trained on.
func fit(m *assess.Model, all []example) []observed {
	rows := observe(m, all)
	for h := range heads {
		calibrate(&m.Head[h], h, rows)
		threshold(&m.Head[h], h, rows)
	}
	balance(m, rows)
	return rows
}

// grain is the largest weight as it is written: less than a byte holds, for files that are small once compressed.
const grain = 47

// quantised rounds half away from zero.
func quantised(v float32) int8 {
	switch {
	case v >= grain:
		return grain
	case v <= -grain:
		return -grain
	case v < 0:
		return int8(v - .5)
	}
	return int8(v + .5)
}
