package learn

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
)

// tinted is a text with what colours it, as indices of outputs.
type tinted struct {
	ids    []uint32
	labels []int
	held   bool
	tune   bool // of what is held: to set one number by; the rest is for judging
}

// shade is a linear model of several outputs, each yes or no.
type shade struct {
	bits             uint8
	outputs          int
	weights, squares []float32
	bias, biasSquare []float32
}

func newShade(bits uint8, outputs int) *shade {
	return &shade{
		bits: bits, outputs: outputs, weights: make([]float32, outputs<<bits), squares: make([]float32, outputs<<bits),
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

func (s *shade) logits(ids []uint32, out []float32) float32 {
	copy(out, s.bias)
	damp := assess.ShadeDamped(len(ids))
	for _, id := range ids {
		row := s.weights[int(id>>(32-s.bits))*s.outputs:][:s.outputs]
		for k, w := range row {
			out[k] += float32(w * damp)
		}
	}
	return damp
}

func (s *shade) learn(t *tinted, rate float32, out []float32) {
	damp := s.logits(t.ids, out)
	for k, x := range out {
		out[k] = assess.Expit(x)
	}
	for _, label := range t.labels {
		out[label]--
	}
	for k := range out {
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

// balance shifts what m says of sentiments so that each is found as well as can be: by steps, on what was held apart for tuning.
func balance(m *assess.Model, held []observed) {
	var rows []observed
	for i := range held {
		if held[i].sentiment() >= 0 && mayFit(held[i].source) {
			rows = append(rows, held[i])
		}
	}
	if len(rows) == 0 {
		return
	}
	shift := make([]float32, outputs-heads)
	best := sentimentF1(rows, shift)
	for range 3 {
		for k := range shift {
			for _, step := range []float32{-.4, -.2, -.1, .1, .2, .4} {
				shift[k] += step
				if f := sentimentF1(rows, shift); f > best {
					best = f
				} else {
					shift[k] -= step
				}
			}
		}
	}
	for k, by := range shift {
		m.Linear[heads+k].Bias += by
		m.Net.OutBias[heads+k] += by
	}
}

func sentimentF1(rows []observed, shift []float32) float64 {
	hits, said, is := make([]float64, len(shift)), make([]float64, len(shift)), make([]float64, len(shift))
	for i := range rows {
		best := 0
		for k := range shift {
			if rows[i].logits.Whole[heads+k]+shift[k] > rows[i].logits.Whole[heads+best]+shift[best] {
				best = k
			}
		}
		label := rows[i].sentiment()
		said[best]++
		is[label]++
		if best == label {
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
	var emotions, topics []tinted
	for i := range messages {
		if m := &messages[i]; m.Category == "topic" {
			topics = append(topics, tinted{d.Sample(m.Text).Stems, indices(assess.TopicNames(), m.Topics[:1]), m.Held, m.Tune})
		}
	}
	if shared != nil {
		for i := range shared.Emotions {
			r := &shared.Emotions[i]
			emotions = append(emotions, tinted{d.Sample(r.Text).Words, indices(assess.Emotions(), r.Emotions), !r.Trainable(), !Judged(r.Text)})
		}
		for i := range shared.Topics {
			r := &shared.Topics[i]
			topics = append(topics, tinted{d.Sample(r.Text).Stems, indices(assess.TopicNames(), []string{r.Topic}), !r.Trainable(), !Judged(r.Text)})
		}
	}
	emotion := newShade(s.EmotionBits, len(assess.Emotions()))
	emotion.train(emotions, 4, .2, s.Seed)
	topic := newShade(s.TopicBits, len(assess.TopicNames()))
	topic.centre(topics)
	topic.sharpen(topics)
	return assess.Tint{Emotion: emotion.model(), Topic: topic.model()}
}

// centre makes the weights of each output those of the middle of its texts: a stem counts the more, the fewer texts have it (tf-idf),
// and one that a single text has for nothing. Better than steps where a topic has a dozen texts.
func (s *shade) centre(all []tinted) {
	frequency := make([]float64, 1<<s.bits)
	texts := 0.0
	for i := range all {
		if !all[i].held && len(all[i].labels) > 0 {
			texts++
			for bucket := range s.counts(all[i].ids) {
				frequency[bucket]++
			}
		}
	}
	rare := make([]float64, 1<<s.bits)
	for bucket, n := range frequency {
		if n > 1 {
			rare[bucket] = logarithm(1 + texts/n)
		}
	}
	of, sizes := make([]float64, s.outputs), make([][]float64, s.outputs)
	for k := range sizes {
		sizes[k] = make([]float64, 1<<s.bits)
	}
	for i := range all {
		t := &all[i]
		if t.held || len(t.labels) == 0 {
			continue
		}
		counts := s.counts(t.ids)
		length := 0.0
		for _, bucket := range slices.Sorted(maps.Keys(counts)) {
			counts[bucket] = (1 + logarithm(counts[bucket])) * rare[bucket]
			length += float64(counts[bucket] * counts[bucket])
		}
		if length == 0 {
			continue
		}
		of[t.labels[0]]++
		for bucket, x := range counts {
			sizes[t.labels[0]][bucket] += x / math.Sqrt(length)
		}
	}
	for k := range sizes {
		length := 0.0
		for _, x := range sizes[k] {
			length += float64(x * x)
		}
		if length == 0 {
			continue
		}
		most := (1 + float64(.05*logarithm(of[k]+1))) / math.Sqrt(length)
		for bucket, x := range sizes[k] {
			s.weights[bucket*s.outputs+k] = float32(float64(x*rare[bucket]) * most)
		}
	}
}

// logarithm is that of x, cut where machines may differ.
func logarithm(x float64) float64 { return math.Round(math.Log(x)*(1<<30)) / (1 << 30) }

// sharpen multiplies the weights so that the outputs, as shares of one, are as right as can be for what was held apart to tune by.
func (s *shade) sharpen(all []tinted) {
	best, by := math.Inf(1), float32(1)
	for _, factor := range []float32{4, 6, 8, 11, 16, 22, 32} {
		loss := 0.0
		out := make([]float32, s.outputs)
		for i := range all {
			t := &all[i]
			if !t.held || !t.tune || len(t.labels) == 0 {
				continue
			}
			s.logits(t.ids, out)
			for k := range out {
				out[k] *= factor
			}
			assess.Softmax(out)
			loss -= logarithm(max(float64(out[t.labels[0]]), 1e-6))
		}
		if loss > 0 && loss < best {
			best, by = loss, factor
		}
	}
	for i := range s.weights {
		s.weights[i] *= by
	}
}

// counts are how often each bucket is among ids.
func (s *shade) counts(ids []uint32) map[uint32]float64 {
	counts := map[uint32]float64{}
	for _, id := range ids {
		counts[id>>(32-s.bits)]++
	}
	return counts
}
