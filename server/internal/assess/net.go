package assess

const (
	// NetDims is how many numbers a feature's embedding has.
	NetDims = 16
	// NetHidden is how many units the hidden layer has.
	NetHidden = 24
)

// Net is the second half of a model: features are embedded and added up, and a hidden layer joins what the words and what
// their meanings say. All outputs share both.
type Net struct {
	Grams, Ideas         []int8 // rows of NetDims
	GramScale, IdeaScale float32
	Hidden               [NetHidden][2 * NetDims]float32
	HiddenBias           [NetHidden]float32
	Out                  [NetHidden][Outputs]float32
	OutBias              [Outputs]float32
}

// projected are the embeddings of a stretch's features, added up and seen by the hidden layer: of the grams, and of the ideas.
// What two stretches are projected to adds up to what both are.
type projected struct{ grams, ideas [NetHidden]float32 }

func (n *Net) project(p *projected, grams, ideas *[NetDims]int32) {
	var in [2 * NetDims]float32
	for k := range NetDims {
		in[k] = float32(float32(grams[k]) * n.GramScale)
		in[NetDims+k] = float32(float32(ideas[k]) * n.IdeaScale)
	}
	for j := range n.Hidden {
		row := &n.Hidden[j]
		// Two sums each, so that one addition need not wait for another.
		var g, g2, i, i2 float32
		for k := 0; k < NetDims; k += 2 {
			g += float32(row[k] * in[k])
			g2 += float32(row[k+1] * in[k+1])
			i += float32(row[NetDims+k] * in[NetDims+k])
			i2 += float32(row[NetDims+k+1] * in[NetDims+k+1]) //nolint:gosec // there is an even number
		}
		p.grams[j], p.ideas[j] = g+g2, i+i2
	}
}

// logits fills out with what the net says of a stretch; gram and idea are what its features count.
func (n *Net) logits(p *projected, gram, idea float32, out *[Outputs]float32) {
	*out = n.OutBias
	for j := range p.grams {
		x := n.HiddenBias[j] + (float32(p.grams[j]*gram) + float32(p.ideas[j]*idea))
		if x <= 0 {
			continue
		}
		row := &n.Out[j]
		for k := range out {
			out[k] += float32(row[k] * x)
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
	for j := range n.Out {
		for k := range n.Out[j] {
			all = append(all, &n.Out[j][k])
		}
	}
	for k := range n.OutBias {
		all = append(all, &n.OutBias[k])
	}
	return all
}
