package assess

import (
	_ "embed" // the model's file
	"encoding/binary"
	"math"
)

//go:embed model.bin
var builtinModel []byte

// Head is a question that the model answers with a probability.
type Head int

// The heads. HeadLevel1 to HeadLevel6 ask whether the level is that or higher.
const (
	HeadRisk Head = iota
	HeadLevel1
	HeadLevel2
	HeadLevel3
	HeadLevel4
	HeadLevel5
	HeadLevel6
	HeadHarm
	HeadAbuse
	HeadDistress
	Heads
)

// ModelError says what is wrong with a model's bytes.
type ModelError string

// Error names the fault.
func (e ModelError) Error() string { return "model: " + string(e) }

// Outputs is how many numbers both models give: the heads', and behind them the sentiments'.
const Outputs = int(Heads) + 4

// Model is the mean of two models over hashed features, with weights of one byte: a linear one, where the weights of a
// feature stand side by side, an output each; and a Net. Sums over a stretch of a message are divided by the root of how many
// features it has.
type Model struct {
	GramBits, IdeaBits uint8
	Grams, Ideas       []int8 // rows of Outputs
	Linear             [Outputs]Scales
	Head               [Heads]HeadParams
	Net                Net
	Tint               Tint
}

// Scales make numbers of an output's sums of bytes.
type Scales struct{ Gram, Idea, Bias float32 }

// HeadParams turns a head's logits into a probability: Whole, Best and Shift calibrate those of the whole message and of the
// stretch that has most.
type HeadParams struct {
	Whole, Best, Shift float32
	Said, Closer       float32 // probabilities from which it counts as said, and from which somebody should look closer
}

const (
	modelMagic   = "VGM3"
	gramDamp     = 24 // features that a short message is short of
	ideaDamp     = 8
	headerLength = len(modelMagic) + 4
)

// Damped returns what a feature counts among n: less the more there are, and never so much that one word decides.
func Damped(grams, ideas int) (gram, idea float32) {
	return float32(1 / math.Sqrt(float64(grams+gramDamp))), float32(1 / math.Sqrt(float64(ideas+ideaDamp)))
}

// floats are the numbers of a model's file that are no weights, in their order.
func (m *Model) floats() (all []*float32) {
	for i := range m.Linear {
		l := &m.Linear[i]
		all = append(all, &l.Gram, &l.Idea, &l.Bias)
	}
	for i := range m.Head {
		h := &m.Head[i]
		all = append(all, &h.Whole, &h.Best, &h.Shift, &h.Said, &h.Closer)
	}
	return append(all, m.Net.floats()...)
}

// AppendBinary appends m's file to b.
func (m *Model) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, modelMagic...)
	b = append(b, m.GramBits, m.IdeaBits, byte(Outputs), NetDims)
	for _, f := range m.floats() {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(*f))
	}
	for _, t := range m.weights() {
		b = appendInts(b, *t.table)
	}
	return m.Tint.append(b), nil
}

// weights are the tables of a model's file, in their order, with their lengths.
func (m *Model) weights() [4]struct {
	table *[]int8
	size  int
} {
	return [4]struct {
		table *[]int8
		size  int
	}{
		{&m.Grams, Outputs << m.GramBits}, {&m.Ideas, Outputs << m.IdeaBits},
		{&m.Net.Grams, NetDims << m.GramBits}, {&m.Net.Ideas, NetDims << m.IdeaBits},
	}
}

func appendInts(b []byte, ints []int8) []byte {
	for _, v := range ints {
		b = append(b, byte(v))
	}
	return b
}

// LoadModel reads a model's file. The error is a ModelError.
func LoadModel(data []byte) (*Model, error) {
	if len(data) < headerLength || string(data[:len(modelMagic)]) != modelMagic {
		return nil, ModelError("not a model of this version")
	}
	head := data[len(modelMagic):headerLength]
	m := &Model{GramBits: head[0], IdeaBits: head[1]}
	if head[2] != byte(Outputs) || head[3] != NetDims || m.GramBits > 20 || m.IdeaBits > 20 {
		return nil, ModelError("another shape")
	}
	data = data[headerLength:]
	floats := m.floats()
	if len(data) < 4*len(floats) {
		return nil, ModelError("cut short")
	}
	for _, f := range floats {
		*f = math.Float32frombits(binary.LittleEndian.Uint32(data))
		data = data[4:]
	}
	for _, t := range m.weights() {
		if len(data) < t.size {
			return nil, ModelError("cut short")
		}
		*t.table, data = ints(data[:t.size]), data[t.size:]
		if !withinWeights(*t.table) {
			return nil, ModelError("a weight is too large")
		}
	}
	if !m.Tint.read(data) {
		return nil, ModelError("cut short")
	}
	return m, nil
}

// withinWeights says whether all can be packed.
func withinWeights(table []int8) bool {
	for _, w := range table {
		if w > maxWeight || w < -maxWeight {
			return false
		}
	}
	return true
}

func ints(data []byte) []int8 {
	out := make([]int8, len(data))
	for i, b := range data {
		out[i] = int8(b)
	}
	return out
}

// tables are a model's weights as they are added up.
type tables struct {
	grams, ideas     packed
	emotions, topics wide
}

func (m *Model) tables() tables {
	return tables{
		grams: pack(m.GramBits, m.Grams, Outputs, m.Net.Grams, NetDims),
		ideas: pack(m.IdeaBits, m.Ideas, Outputs, m.Net.Ideas, NetDims),

		emotions: packWide(m.Tint.Emotion.Bits, m.Tint.Emotion.Table, len(m.Tint.Emotion.Bias)),
		topics:   packWide(m.Tint.Topic.Bits, m.Tint.Topic.Table, len(m.Tint.Topic.Bias)),
	}
}

// sums are what a stretch's features add up to.
type sums struct {
	grams, ideas   [Outputs]int32
	net            projected
	nGrams, nIdeas int32
}

// sum adds up what grams and ideas weigh.
func (m *Model) sum(t *tables, grams, ideas []uint32) (s sums) {
	var g, i [lanes]int32
	t.grams.sum(grams, &g)
	t.ideas.sum(ideas, &i)
	s.grams, s.ideas = [Outputs]int32(g[:]), [Outputs]int32(i[:])
	m.Net.project(&s.net, (*[NetDims]int32)(g[netLane:]), (*[NetDims]int32)(i[netLane:]))
	s.nGrams, s.nIdeas = int32(len(grams)), int32(len(ideas))
	return s
}

func (s *sums) plus(o *sums) {
	for k := range s.grams {
		s.grams[k] += o.grams[k]
		s.ideas[k] += o.ideas[k]
	}
	for j := range s.net.grams {
		s.net.grams[j] += o.net.grams[j]
		s.net.ideas[j] += o.net.ideas[j]
	}
	s.nGrams += o.nGrams
	s.nIdeas += o.nIdeas
}

// logits of one stretch.
func (m *Model) logits(s *sums, out *[Outputs]float32) {
	gram, idea := Damped(int(s.nGrams), int(s.nIdeas))
	m.Net.logits(&s.net, gram, idea, out)
	for k := range out {
		l := &m.Linear[k]
		g := float32(float32(s.grams[k])*l.Gram) * gram
		i := float32(float32(s.ideas[k])*l.Idea) * idea
		out[k] = float32((out[k] + float32(float32(g+i)+l.Bias)) / 2)
	}
}

// Logits are an output's of the whole message and of the stretch that has most: a sentence, or two in a row.
type Logits struct{ Whole, Best [Outputs]float32 }

// logitsOf scores what s has read.
func (s *scratch) logitsOf(m *Model, t *tables) (out Logits) {
	s.sums = s.sums[:0]
	common := m.sum(t, nil, s.ideas[s.common:])
	whole := common
	for i := range s.segments {
		g := &s.segments[i]
		s.sums = append(s.sums, m.sum(t, s.grams[g.grams:g.gramsEnd], s.ideas[g.ideas:g.ideasEnd]))
		whole.plus(&s.sums[i])
	}
	m.logits(&whole, &out.Whole)
	out.Best = out.Whole
	if len(s.sums) < 2 {
		return out
	}
	for k := range out.Best {
		out.Best[k] = -1 << 10
	}
	for i := range s.sums {
		m.best(s.sums[i], &common, &out)
		if i > 0 && len(s.sums) > 2 {
			two := s.sums[i]
			two.plus(&s.sums[i-1])
			m.best(two, &common, &out)
		}
	}
	return out
}

func (m *Model) best(s sums, common *sums, out *Logits) {
	s.plus(common)
	var one [Outputs]float32
	m.logits(&s, &one)
	for k := range one {
		out.Best[k] = max(out.Best[k], one[k])
	}
}

// Probability calibrates the logits of a whole message and of its best stretch.
func (p *HeadParams) Probability(whole, best float32) float32 {
	return Expit(float32(float32(p.Whole*whole)+float32(p.Best*best)) + p.Shift)
}

// Expit is the logistic function, to the same bit on every machine (math.Exp is not).
func Expit(x float32) float32 {
	if x < 0 {
		return 1 - Expit(-x)
	}
	return float32(1 / (1 + exp(-min(float64(x), 30))))
}

// inverses are 1/k.
var inverses = [...]float64{1, 1, 1. / 2, 1. / 3, 1. / 4, 1. / 5, 1. / 6, 1. / 7, 1. / 8, 1. / 9}

// exp is e to the power x for x in [-30, 0]: the power of two by its exponent, the rest by its series.
func exp(x float64) float64 {
	n := math.Floor(float64(x*math.Log2E) + 0.5)
	r := x - float64(n*math.Ln2)
	sum := 1.0
	for k := len(inverses) - 1; k >= 1; k-- {
		sum = 1 + float64(float64(r*sum)*inverses[k])
	}
	return sum * math.Float64frombits(uint64(1023+int(n))<<52)
}
