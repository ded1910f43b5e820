package learn

import (
	"math/rand/v2"
	"slices"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
)

// tinted is a text with what colours it, as indices of outputs.
type tinted struct {
	ids    []uint32
	labels []int
	weight float32
	held   bool
	tune   bool // of what is held: for the offsets; the rest is for judging
}

// shade is a linear model of several outputs, trained by steps that shrink (AdaGrad).
type shade struct {
	bits             uint8
	outputs          int
	exclusive        bool // one output is right: softmax; else each is yes or no
	weights, squares []float32
	bias, biasSquare []float32
}

func newShade(bits uint8, outputs int, exclusive bool) *shade {
	return &shade{
		bits: bits, outputs: outputs, exclusive: exclusive, weights: make([]float32, outputs<<bits), squares: make([]float32, outputs<<bits),
		bias: make([]float32, outputs), biasSquare: make([]float32, outputs),
	}
}

// model gives the shade's present weights as they are, in one byte each.
func (s *shade) model() assess.Shade {
	m := assess.Shade{Bits: s.bits, Bias: slices.Clone(s.bias), Table: make([]int8, len(s.weights))}
	var sizes []float32
	for _, w := range s.weights {
		if w != 0 {
			sizes = append(sizes, max(w, -w))
		}
	}
	if len(sizes) == 0 {
		return m
	}
	m.Scale = quantile(sizes, 1-clip) / grain
	for i, w := range s.weights {
		m.Table[i] = quantised(w / m.Scale)
	}
	return m
}

func (s *shade) probabilities(ids []uint32, out []float32) float32 {
	copy(out, s.bias)
	damp := assess.ShadeDamped(len(ids))
	for _, id := range ids {
		row := s.weights[int(id>>(32-s.bits))*s.outputs:][:s.outputs]
		for k, w := range row {
			out[k] += float32(w * damp)
		}
	}
	if s.exclusive {
		assess.Softmax(out)
	} else {
		for k, x := range out {
			out[k] = assess.Expit(x)
		}
	}
	return damp
}

func (s *shade) learn(t *tinted, rate float32, out []float32) {
	damp := s.probabilities(t.ids, out)
	for _, label := range t.labels {
		out[label]--
	}
	for k := range out {
		out[k] *= t.weight
		s.biasSquare[k] += float32(out[k] * out[k])
		s.bias[k] -= float32(float32(rate*out[k]) / root(s.biasSquare[k]))
	}
	for _, id := range t.ids {
		at := int(id>>(32-s.bits)) * s.outputs
		for k, err := range out {
			if err < tiny && err > -tiny {
				continue
			}
			g := float32(err * damp)
			s.squares[at+k] += float32(g * g)
			s.weights[at+k] -= float32(float32(rate*g) / root(s.squares[at+k]))
		}
	}
}

func (s *shade) train(all []tinted, epochs int, rate float32, seed uint64) {
	var order []int
	for i := range all {
		if !all[i].held && len(all[i].labels) > 0 {
			order = append(order, i)
		}
	}
	random := rand.New(rand.NewPCG(seed, 2))
	out := make([]float32, s.outputs)
	for epoch := range epochs {
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			s.learn(&all[i], rate/float32(1+epoch), out)
		}
	}
}

// balance shifts the outputs so that each class is found as well as can be: by steps, on what was held apart for tuning.
func (s *shade) balance(all []tinted) {
	var rows []tinted
	for i := range all {
		if all[i].held && all[i].tune && len(all[i].labels) == 1 {
			rows = append(rows, all[i])
		}
	}
	logits := make([][]float32, len(rows))
	for i := range rows {
		logits[i] = make([]float32, s.outputs)
		s.exclusive = false
		out := logits[i]
		copy(out, s.bias)
		damp := assess.ShadeDamped(len(rows[i].ids))
		for _, id := range rows[i].ids {
			row := s.weights[int(id>>(32-s.bits))*s.outputs:][:s.outputs]
			for k, w := range row {
				out[k] += float32(w * damp)
			}
		}
	}
	s.exclusive = true
	shift := make([]float32, s.outputs)
	best := macroF1(rows, logits, shift)
	for range 3 {
		for k := range shift {
			for _, step := range []float32{-.4, -.2, -.1, .1, .2, .4} {
				shift[k] += step
				if f := macroF1(rows, logits, shift); f > best {
					best = f
				} else {
					shift[k] -= step
				}
			}
		}
	}
	for k := range s.bias {
		s.bias[k] += shift[k]
	}
}

func macroF1(rows []tinted, logits [][]float32, shift []float32) float64 {
	hits, said, is := make([]float64, len(shift)), make([]float64, len(shift)), make([]float64, len(shift))
	for i := range rows {
		best := 0
		for k := range shift {
			if logits[i][k]+shift[k] > logits[i][best]+shift[best] {
				best = k
			}
		}
		said[best]++
		is[rows[i].labels[0]]++
		if best == rows[i].labels[0] {
			hits[best]++
		}
	}
	sum := 0.0
	for k := range shift {
		if said[k]+is[k] > 0 {
			sum += float64(2 * hits[k] / (said[k] + is[k]))
		}
	}
	return sum / float64(len(shift))
}

// indices are those of names in list; what is not in it is left out.
func indices(list, names []string) (at []int) {
	for _, name := range names {
		if i := slices.Index(list, name); i >= 0 {
			at = append(at, i)
		}
	}
	return at
}

// tints trains what colours a message.
func tints(d *assess.Detector, shared *Shared, messages []corpus.Message, s Settings) assess.Tint {
	var sentiments, emotions, topics []tinted
	for i := range messages {
		m := &messages[i]
		if m.Sentiment == "" && len(m.Topics) == 0 {
			continue
		}
		sample := d.Sample(m.Text)
		if m.Sentiment != "" && m.Category == "sentiment" {
			sentiments = append(sentiments, tinted{gramsOf(sample), indices(assess.Sentiments(), []string{m.Sentiment}), .5, m.Held, m.Tune})
		}
		if len(m.Topics) > 0 {
			topics = append(topics, tinted{sample.Words, indices(assess.TopicNames(), m.Topics[:1]), .7, m.Held, m.Tune})
		}
	}
	if shared != nil {
		for i := range shared.Emotions {
			r := &shared.Emotions[i]
			sample := d.Sample(r.Text)
			if len(r.Sentiment) == 1 {
				sentiments = append(sentiments, tinted{gramsOf(sample), indices(assess.Sentiments(), r.Sentiment), 1, !r.Trainable(), !Judged(r.Text)})
			}
			emotions = append(emotions, tinted{sample.Words, indices(assess.Emotions(), r.Emotions), 1, !r.Trainable(), !Judged(r.Text)})
		}
		for i := range shared.Topics {
			r := &shared.Topics[i]
			topics = append(topics, tinted{d.Sample(r.Text).Words, indices(assess.TopicNames(), []string{r.Topic}), 1, !r.Trainable(), !Judged(r.Text)})
		}
	}
	sentiment := newShade(s.SentimentBits, len(assess.Sentiments()), true)
	sentiment.train(sentiments, 3, .2, s.Seed)
	sentiment.balance(sentiments)
	emotion := newShade(s.EmotionBits, len(assess.Emotions()), false)
	emotion.train(emotions, 4, .2, s.Seed)
	topic := newShade(s.TopicBits, len(assess.TopicNames()), true)
	topic.train(topics, 12, .3, s.Seed)
	return assess.Tint{Sentiment: sentiment.model(), Emotion: emotion.model(), Topic: topic.model()}
}

func gramsOf(s assess.Sample) (ids []uint32) {
	for i := range s.Segments {
		ids = append(ids, s.Segments[i].Grams...)
	}
	for i := range s.Segments {
		ids = append(ids, s.Segments[i].Ideas...)
	}
	return ids
}
