package learn

import (
	"math"

	"vigil/server/internal/assess"
)

// linear is logistic regression with a step per weight that shrinks as the weight moves (AdaGrad). A text counts twice:
// as a whole, and by the stretch that has most of what is asked for, so that one sentence in a long text is found.
//
// Products are converted before they are added, here and below: Go may fuse them otherwise, and the bytes of a model
// would depend on the machine.
type linear struct {
	gramBits, ideaBits uint8
	grams, ideas       table
	bias, biasSquares  vector
	rate, decay        float32
	ideaDecay          float32
}

// table has a weight, and the sum of its squared gradients, for each bucket and head.
type table struct{ weights, squares []float32 }

func newTable(bits uint8) table {
	return table{weights: make([]float32, outputs<<bits), squares: make([]float32, outputs<<bits)}
}

func newLinear(gramBits, ideaBits uint8) *linear {
	return &linear{
		gramBits: gramBits, ideaBits: ideaBits, grams: newTable(gramBits), ideas: newTable(ideaBits), rate: .12, decay: 2e-6,
	}
}

type vector [outputs]float32

// stretch is a window of segments with its logits and what it is to be moved by.
type stretch struct {
	first, end     int // segments
	gram, idea     float32
	logits, errors vector
	used           bool
}

// scorer is the memory of one pass over one example.
type scorer struct {
	grams, ideas []vector // sums by segment
	stretches    []stretch
}

func (t *table) sum(bits uint8, ids []uint32, out *vector) {
	shift := 32 - bits
	for _, id := range ids {
		row := t.weights[int(id>>shift)*outputs:][:outputs]
		for h, w := range row {
			out[h] += w
		}
	}
}

// score fills s with the logits of every stretch of e: the first is the whole.
func (l *linear) score(e *example, s *scorer) {
	s.grams, s.ideas, s.stretches = s.grams[:0], s.ideas[:0], s.stretches[:0]
	var common vector
	l.ideas.sum(l.ideaBits, e.common, &common)
	for i := range e.segments {
		var g, d vector
		l.grams.sum(l.gramBits, e.segments[i].Grams, &g)
		l.ideas.sum(l.ideaBits, e.segments[i].Ideas, &d)
		s.grams, s.ideas = append(s.grams, g), append(s.ideas, d)
	}
	n := len(e.segments)
	l.add(e, s, 0, n, &common)
	if n < 2 {
		return
	}
	for i := range n {
		l.add(e, s, i, i+1, &common)
		if i > 0 && n > 2 {
			l.add(e, s, i-1, i+1, &common)
		}
	}
}

func (l *linear) add(e *example, s *scorer, first, end int, common *vector) {
	w := stretch{first: first, end: end}
	grams, ideas := 0, len(e.common)
	var g vector
	d := *common
	for i := first; i < end; i++ {
		grams += len(e.segments[i].Grams)
		ideas += len(e.segments[i].Ideas)
		for h := range g {
			g[h] += s.grams[i][h]
			d[h] += s.ideas[i][h]
		}
	}
	w.gram, w.idea = assess.Damped(grams, ideas)
	for h := range w.logits {
		w.logits[h] = float32(float32(g[h]*w.gram)+float32(d[h]*w.idea)) + l.bias[h]
	}
	s.stretches = append(s.stretches, w)
}

// bestOf returns the stretch with the highest logit for a head.
func (s *scorer) bestOf(h int) int {
	best := 0
	for i := 1; i < len(s.stretches); i++ {
		if best == 0 || s.stretches[i].logits[h] > s.stretches[best].logits[h] {
			best = i
		}
	}
	return best
}

// learn moves the weights by one example.
func (l *linear) learn(e *example, s *scorer) {
	l.score(e, s)
	for h, label := range e.labels {
		if label == unknown {
			continue
		}
		best := s.bestOf(h)
		share := e.weight
		if best != 0 && h < heads {
			share /= 2
			w := &s.stretches[best]
			w.errors[h] = share * (assess.Expit(w.logits[h]) - float32(label))
			w.used = true
		}
		w := &s.stretches[0]
		w.errors[h] = share * (assess.Expit(w.logits[h]) - float32(label))
		w.used = true
	}
	for i := range s.stretches {
		w := &s.stretches[i]
		if !w.used {
			continue
		}
		for k := w.first; k < w.end; k++ {
			l.move(&l.grams, l.gramBits, e.segments[k].Grams, &w.errors, w.gram, l.decay)
			l.move(&l.ideas, l.ideaBits, e.segments[k].Ideas, &w.errors, w.idea, l.ideaDecay)
		}
		l.move(&l.ideas, l.ideaBits, e.common, &w.errors, w.idea, l.ideaDecay)
		for h, err := range w.errors {
			if err != 0 {
				l.biasSquares[h] += float32(err * err)
				l.bias[h] -= float32(float32(l.rate*err) / root(l.biasSquares[h]))
			}
		}
	}
}

// tiny is an error that moves nothing worth the time.
const tiny = .004

func (l *linear) move(t *table, bits uint8, ids []uint32, errors *vector, value, decay float32) {
	var active [outputs]int
	var gradients vector
	n := 0
	for h, err := range errors {
		if err > tiny || err < -tiny {
			active[n], gradients[n] = h, float32(err*value)
			n++
		}
	}
	if n == 0 {
		return
	}
	shift := 32 - bits
	for _, id := range ids {
		at := int(id>>shift) * outputs
		weights, squares := t.weights[at:][:outputs], t.squares[at:][:outputs]
		for k := range n {
			h := active[k]
			g := gradients[k] + float32(decay*weights[h])
			squares[h] += float32(g * g)
			weights[h] -= float32(float32(l.rate*g) / root(squares[h]))
		}
	}
}

func root(x float32) float32 { return float32(math.Sqrt(float64(x))) + 1e-4 }
