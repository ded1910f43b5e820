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

// Model is the mean of two models over hashed features, with weights of one byte: a linear one, where the weights of a
// feature stand side by side, a head each; and a Net. Sums over a stretch of a message are divided by the root of how many
// features it has.
type Model struct {
	GramBits, IdeaBits uint8
	Grams, Ideas       []int8 // rows of Heads
	Head               [Heads]HeadParams
	Net                Net
	Tint               Tint
}

// HeadParams turns a head's sums into a probability: Scale makes weights of bytes, Whole, Best and Shift calibrate the
// logit of the whole message and of the stretch that has most.
type HeadParams struct {
	GramScale, IdeaScale, Bias float32
	Whole, Best, Shift         float32
	Said, Closer               float32 // probabilities from which it counts as said, and from which somebody should look closer
}

const (
	modelMagic   = "VGM2"
	gramDamp     = 24 // features that a short message is short of
	ideaDamp     = 8
	headFloats   = 8
	headerLength = len(modelMagic) + 4
)

// Damped returns what a feature counts among n: less the more there are, and never so much that one word decides.
func Damped(grams, ideas int) (gram, idea float32) {
	return float32(1 / math.Sqrt(float64(grams+gramDamp))), float32(1 / math.Sqrt(float64(ideas+ideaDamp)))
}

// AppendBinary appends m's file to b.
func (m *Model) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, modelMagic...)
	b = append(b, m.GramBits, m.IdeaBits, byte(Heads), 0)
	for i := range m.Head {
		h := &m.Head[i]
		for _, f := range [headFloats]float32{h.GramScale, h.IdeaScale, h.Bias, h.Whole, h.Best, h.Shift, h.Said, h.Closer} {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
		}
	}
	b = appendInts(appendInts(b, m.Grams), m.Ideas)
	return m.Tint.append(m.Net.append(b)), nil
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
	if head[2] != byte(Heads) || m.GramBits > 20 || m.IdeaBits > 20 {
		return nil, ModelError("another shape")
	}
	data = data[headerLength:]
	grams, ideas := int(Heads)<<m.GramBits, int(Heads)<<m.IdeaBits
	if len(data) < int(Heads)*headFloats*4+grams+ideas {
		return nil, ModelError("cut short")
	}
	for i := range m.Head {
		h := &m.Head[i]
		for _, f := range [headFloats]*float32{&h.GramScale, &h.IdeaScale, &h.Bias, &h.Whole, &h.Best, &h.Shift, &h.Said, &h.Closer} {
			*f = math.Float32frombits(binary.LittleEndian.Uint32(data))
			data = data[4:]
		}
	}
	m.Grams, data = ints(data[:grams]), data[grams:]
	m.Ideas, data = ints(data[:ideas]), data[ideas:]
	data, ok := m.Net.read(data)
	if !ok || !m.Tint.read(data) {
		return nil, ModelError("cut short")
	}
	return m, nil
}

func ints(data []byte) []int8 {
	out := make([]int8, len(data))
	for i, b := range data {
		out[i] = int8(b)
	}
	return out
}

// sums are the weights of a stretch's features, summed by head.
type sums struct {
	grams, ideas   [Heads]int32
	net            embedded
	nGrams, nIdeas int32
}

func (m *Model) addTo(s *[Heads]int32, table []int8, bits uint8, ids []uint32) {
	shift := 32 - bits
	for _, id := range ids {
		row := (*[Heads]int8)(table[int(id>>shift)*int(Heads):])
		s[0] += int32(row[0])
		s[1] += int32(row[1])
		s[2] += int32(row[2])
		s[3] += int32(row[3])
		s[4] += int32(row[4])
		s[5] += int32(row[5])
		s[6] += int32(row[6])
		s[7] += int32(row[7])
		s[8] += int32(row[8])
		s[9] += int32(row[9])
	}
}

func (s *sums) plus(o *sums) {
	for h := range s.grams {
		s.grams[h] += o.grams[h]
		s.ideas[h] += o.ideas[h]
	}
	for k := range s.net {
		s.net[k] += o.net[k]
	}
	s.nGrams += o.nGrams
	s.nIdeas += o.nIdeas
}

// logits of one stretch.
func (m *Model) logits(s *sums, out *[Heads]float32) {
	gram, idea := Damped(int(s.nGrams), int(s.nIdeas))
	m.Net.logits(&s.net, gram, idea, out)
	for h := range out {
		p := &m.Head[h]
		g := float32(float32(s.grams[h])*p.GramScale) * gram
		i := float32(float32(s.ideas[h])*p.IdeaScale) * idea
		out[h] = float32((out[h] + float32(float32(g+i)+p.Bias)) / 2)
	}
}

// Logits are a head's of the whole message and of the stretch that has most: a sentence, or two in a row.
type Logits struct{ Whole, Best [Heads]float32 }

// logitsOf scores what s has read.
func (s *scratch) logitsOf(m *Model) (out Logits) {
	s.sums = s.sums[:0]
	var whole sums
	for i := range s.segments {
		g := &s.segments[i]
		var one sums
		m.addTo(&one.grams, m.Grams, m.GramBits, s.grams[g.grams:g.gramsEnd])
		m.addTo(&one.ideas, m.Ideas, m.IdeaBits, s.ideas[g.ideas:g.ideasEnd])
		m.Net.add(&one.net, s.grams[g.grams:g.gramsEnd], s.ideas[g.ideas:g.ideasEnd])
		one.nGrams, one.nIdeas = g.gramsEnd-g.grams, g.ideasEnd-g.ideas
		whole.plus(&one)
		s.sums = append(s.sums, one)
	}
	var common sums
	m.addTo(&common.ideas, m.Ideas, m.IdeaBits, s.ideas[s.common:])
	m.Net.add(&common.net, nil, s.ideas[s.common:])
	common.nIdeas = int32(len(s.ideas)) - s.common
	whole.plus(&common)
	m.logits(&whole, &out.Whole)
	out.Best = out.Whole
	if len(s.sums) < 2 {
		return out
	}
	for h := range out.Best {
		out.Best[h] = -1 << 10
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
	var one [Heads]float32
	m.logits(&s, &one)
	for h := range one {
		out.Best[h] = max(out.Best[h], one[h])
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
