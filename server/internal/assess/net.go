package assess

import (
	"encoding/binary"
	"math"
)

const (
	// NetDims is how many numbers a feature's embedding has.
	NetDims = 16
	// NetHidden is how many units the hidden layer has.
	NetHidden = 24
)

// Net is the second half of a model: features are embedded and added up, and a hidden layer joins what the words and what
// their meanings say. All heads share both.
type Net struct {
	GramBits, IdeaBits   uint8
	Grams, Ideas         []int8 // rows of NetDims
	GramScale, IdeaScale float32
	Hidden               [NetHidden][2 * NetDims]float32
	HiddenBias           [NetHidden]float32
	Out                  [Heads][NetHidden]float32
	OutBias              [Heads]float32
}

// embedded are the embeddings of a stretch's features, added up: of the grams, then of the ideas.
type embedded [2 * NetDims]int32

func addRows(sum *[NetDims]int32, table []int8, bits uint8, ids []uint32) {
	shift := 32 - bits
	for _, id := range ids {
		row := (*[NetDims]int8)(table[int(id>>shift)*NetDims:])
		sum[0] += int32(row[0])
		sum[1] += int32(row[1])
		sum[2] += int32(row[2])
		sum[3] += int32(row[3])
		sum[4] += int32(row[4])
		sum[5] += int32(row[5])
		sum[6] += int32(row[6])
		sum[7] += int32(row[7])
		sum[8] += int32(row[8])
		sum[9] += int32(row[9])
		sum[10] += int32(row[10])
		sum[11] += int32(row[11])
		sum[12] += int32(row[12])
		sum[13] += int32(row[13])
		sum[14] += int32(row[14])
		sum[15] += int32(row[15])
	}
}

func (n *Net) add(sum *embedded, grams, ideas []uint32) {
	addRows((*[NetDims]int32)(sum[:NetDims]), n.Grams, n.GramBits, grams)
	addRows((*[NetDims]int32)(sum[NetDims:]), n.Ideas, n.IdeaBits, ideas)
}

// logits fills out with what the net says of a stretch; gram and idea are what its features count.
func (n *Net) logits(sum *embedded, gram, idea float32, out *[Heads]float32) {
	var in [2 * NetDims]float32
	gram, idea = float32(gram*n.GramScale), float32(idea*n.IdeaScale)
	for k := range NetDims {
		in[k] = float32(float32(sum[k]) * gram)
		in[NetDims+k] = float32(float32(sum[NetDims+k]) * idea)
	}
	*out = n.OutBias
	for j := range n.Hidden {
		x := n.HiddenBias[j]
		row := &n.Hidden[j]
		// Four sums, so that one addition need not wait for another.
		var sums [4]float32
		for k := 0; k < len(row); k += 4 {
			sums[0] += float32(row[k] * in[k])
			sums[1] += float32(row[k+1] * in[k+1]) //nolint:gosec // the length is a multiple of four
			sums[2] += float32(row[k+2] * in[k+2]) //nolint:gosec // the length is a multiple of four
			sums[3] += float32(row[k+3] * in[k+3]) //nolint:gosec // the length is a multiple of four
		}
		x += (sums[0] + sums[1]) + (sums[2] + sums[3])
		if x <= 0 {
			continue
		}
		for h := range out {
			out[h] += float32(n.Out[h][j] * x)
		}
	}
}

func (n *Net) floats() (all []*float32) {
	all = append(all, &n.GramScale, &n.IdeaScale)
	for j := range n.Hidden {
		for k := range n.Hidden[j] {
			all = append(all, &n.Hidden[j][k])
		}
		all = append(all, &n.HiddenBias[j])
	}
	for h := range n.Out {
		for j := range n.Out[h] {
			all = append(all, &n.Out[h][j])
		}
		all = append(all, &n.OutBias[h])
	}
	return all
}

func (n *Net) append(b []byte) []byte {
	b = append(b, n.GramBits, n.IdeaBits, NetDims, NetHidden)
	for _, f := range n.floats() {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(*f))
	}
	return appendInts(appendInts(b, n.Grams), n.Ideas)
}

// read takes a net from the beginning of data and returns the rest.
func (n *Net) read(data []byte) (rest []byte, ok bool) {
	if len(data) < 4 || data[0] > 20 || data[1] > 20 || data[2] != NetDims || data[3] != NetHidden {
		return nil, false
	}
	n.GramBits, n.IdeaBits = data[0], data[1]
	data = data[4:]
	floats, grams, ideas := n.floats(), NetDims<<n.GramBits, NetDims<<n.IdeaBits
	if len(data) < 4*len(floats)+grams+ideas {
		return nil, false
	}
	for _, f := range floats {
		*f = math.Float32frombits(binary.LittleEndian.Uint32(data))
		data = data[4:]
	}
	n.Grams, data = ints(data[:grams]), data[grams:]
	n.Ideas, data = ints(data[:ideas]), data[ideas:]
	return data, true
}
