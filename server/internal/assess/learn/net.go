package learn

import (
	"math/rand/v2"

	"vigil/server/internal/assess"
)

const (
	netDims   = assess.NetDims
	netHidden = assess.NetHidden
)

// net is family B: features are embedded and added up, a hidden layer joins what the words and what the ideas say, and all
// heads share both. Steps shrink as in linear, and a text counts twice, as there.
type net struct {
	gramBits, ideaBits uint8
	grams, ideas       table // rows of netDims
	hidden             [netHidden][2 * netDims]float32
	hiddenSquares      [netHidden][2 * netDims]float32
	hiddenBias         [netHidden]float32
	hiddenBiasSquares  [netHidden]float32
	out                [netHidden]vector
	outSquares         [netHidden]vector
	bias, biasSquares  vector
	rate, decay        float32
}

func newNet(gramBits, ideaBits uint8, seed uint64) *net {
	n := &net{gramBits: gramBits, ideaBits: ideaBits, decay: 1e-5}
	random := rand.New(rand.NewPCG(seed, 3))
	fill := func(values []float32, size float32) {
		for i := range values {
			values[i] = float32(size * (2*random.Float32() - 1))
		}
	}
	for _, t := range []struct {
		table *table
		bits  uint8
	}{{&n.grams, gramBits}, {&n.ideas, ideaBits}} {
		*t.table = table{make([]float32, netDims<<t.bits), make([]float32, netDims<<t.bits)}
		fill(t.table.weights, .15)
	}
	for i := range n.hidden {
		fill(n.hidden[i][:], .3)
		n.hiddenBias[i] = .1
	}
	for j := range n.out {
		fill(n.out[j][:], .3)
	}
	return n
}

type netStretch struct {
	first, end     int
	gram, idea     float32
	in             [2 * netDims]float32
	hidden         [netHidden]float32
	logits, errors vector
	used           bool
}

type netScorer struct {
	grams, ideas [][netDims]float32
	stretches    []netStretch
}

func sumRows(t *table, bits uint8, ids []uint32) (out [netDims]float32) {
	for _, id := range ids {
		row := t.weights[int(id>>(32-bits))*netDims:][:netDims]
		for k, w := range row {
			out[k] += w
		}
	}
	return out
}

func (n *net) score(e *example, s *netScorer) {
	s.grams, s.ideas, s.stretches = s.grams[:0], s.ideas[:0], s.stretches[:0]
	common := sumRows(&n.ideas, n.ideaBits, e.common)
	for i := range e.segments {
		s.grams = append(s.grams, sumRows(&n.grams, n.gramBits, e.segments[i].Grams))
		s.ideas = append(s.ideas, sumRows(&n.ideas, n.ideaBits, e.segments[i].Ideas))
	}
	k := len(e.segments)
	n.add(e, s, 0, k, &common)
	if k < 2 {
		return
	}
	for i := range k {
		n.add(e, s, i, i+1, &common)
		if i > 0 && k > 2 {
			n.add(e, s, i-1, i+1, &common)
		}
	}
}

func (n *net) add(e *example, s *netScorer, first, end int, common *[netDims]float32) {
	s.stretches = append(s.stretches, netStretch{first: first, end: end})
	w := &s.stretches[len(s.stretches)-1]
	grams, ideas := 0, len(e.common)
	copy(w.in[netDims:], common[:])
	for i := first; i < end; i++ {
		grams += len(e.segments[i].Grams)
		ideas += len(e.segments[i].Ideas)
		for k := range netDims {
			w.in[k] += s.grams[i][k]
			w.in[netDims+k] += s.ideas[i][k]
		}
	}
	w.gram, w.idea = assess.Damped(grams, ideas)
	for k := range netDims {
		w.in[k] = float32(w.in[k] * w.gram)
		w.in[netDims+k] = float32(w.in[netDims+k] * w.idea)
	}
	for j := range w.hidden {
		sum := n.hiddenBias[j]
		for k, x := range w.in {
			sum += float32(n.hidden[j][k] * x)
		}
		w.hidden[j] = max(sum, 0)
	}
	w.logits = n.bias
	for j, x := range w.hidden {
		if x <= 0 {
			continue
		}
		for h := range w.logits {
			w.logits[h] += float32(n.out[j][h] * x)
		}
	}
}

func (s *netScorer) bestOf(h int) int {
	best := 0
	for i := 1; i < len(s.stretches); i++ {
		if best == 0 || s.stretches[i].logits[h] > s.stretches[best].logits[h] {
			best = i
		}
	}
	return best
}

func (n *net) learn(e *example, s *netScorer) {
	n.score(e, s)
	for h, label := range e.labels {
		if label == unknown {
			continue
		}
		share := e.weight
		if best := s.bestOf(h); best != 0 && h < heads {
			share /= 2
			w := &s.stretches[best]
			w.errors[h], w.used = share*(assess.Expit(w.logits[h])-float32(label)), true
		}
		w := &s.stretches[0]
		w.errors[h], w.used = share*(assess.Expit(w.logits[h])-float32(label)), true
	}
	for i := range s.stretches {
		if s.stretches[i].used {
			n.back(e, &s.stretches[i])
		}
	}
}

func step(w, squares *float32, g, rate float32) {
	*squares += float32(g * g)
	*w -= float32(float32(rate*g) / root(*squares))
}

// back moves what one stretch was scored by.
func (n *net) back(e *example, w *netStretch) {
	var dHidden [netHidden]float32
	moved := false
	for h, err := range w.errors {
		if err < tiny && err > -tiny {
			continue
		}
		moved = true
		for j, x := range w.hidden {
			dHidden[j] += float32(err * n.out[j][h])
			if x > 0 {
				step(&n.out[j][h], &n.outSquares[j][h], float32(err*x), n.rate)
			}
		}
		step(&n.bias[h], &n.biasSquares[h], err, n.rate)
	}
	if !moved {
		return
	}
	var dIn [2 * netDims]float32
	for j, d := range dHidden {
		if w.hidden[j] <= 0 {
			continue
		}
		for k, x := range w.in {
			dIn[k] += float32(d * n.hidden[j][k])
			step(&n.hidden[j][k], &n.hiddenSquares[j][k], float32(d*x), n.rate)
		}
		step(&n.hiddenBias[j], &n.hiddenBiasSquares[j], d, n.rate)
	}
	var gram, idea [netDims]float32
	for k := range netDims {
		gram[k], idea[k] = float32(dIn[k]*w.gram), float32(dIn[netDims+k]*w.idea)
	}
	for i := w.first; i < w.end; i++ {
		n.move(&n.grams, n.gramBits, e.segments[i].Grams, &gram)
		n.move(&n.ideas, n.ideaBits, e.segments[i].Ideas, &idea)
	}
	n.move(&n.ideas, n.ideaBits, e.common, &idea)
}

func (n *net) move(t *table, bits uint8, ids []uint32, gradient *[netDims]float32) {
	for _, id := range ids {
		at := int(id>>(32-bits)) * netDims
		weights, squares := t.weights[at:][:netDims], t.squares[at:][:netDims]
		for k, g := range gradient {
			g += float32(n.decay * weights[k])
			squares[k] += float32(g * g)
			weights[k] -= float32(float32(n.rate*g) / root(squares[k]))
		}
	}
}

// trainNet trains family B.
func trainNet(all []example, s Settings) *net {
	n := newNet(s.GramBits, s.IdeaBits, s.Seed)
	var order []int
	for i := range all {
		if !all[i].held && len(all[i].segments) > 0 {
			order = append(order, i)
		}
	}
	random := rand.New(rand.NewPCG(s.Seed, 4))
	var memory netScorer
	var thin example
	for epoch := range s.Epochs {
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		n.rate = .06 / float32(1+epoch)
		for _, i := range order {
			n.learn(thinned(&all[i], &thin, s, random), &memory)
		}
	}
	return n
}

// quantise gives the net with embeddings of one byte a number.
func (n *net) quantise() assess.Net {
	m := assess.Net{Hidden: n.hidden, HiddenBias: n.hiddenBias, OutBias: n.bias}
	for j := range n.out {
		m.Out[j] = n.out[j]
	}
	m.Grams, m.GramScale = quantiseAll(n.grams.weights)
	m.Ideas, m.IdeaScale = quantiseAll(n.ideas.weights)
	return m
}

func quantiseAll(weights []float32) (out []int8, scale float32) {
	sizes := make([]float32, len(weights))
	for i, w := range weights {
		sizes[i] = max(w, -w)
	}
	scale = quantile(sizes, 1-clip) / grain
	out = make([]int8, len(weights))
	for i, w := range weights {
		out[i] = quantised(w / scale)
	}
	return out, scale
}
