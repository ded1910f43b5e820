package assess

// Weights are added eight at a time: a word holds those of eight outputs, each raised by raise so that none is negative, and every
// other byte of it is added as a number of sixteen bits.
const (
	lanes      = 32 // weights of a feature: of the linear model's outputs, then of the net's embedding
	netLane    = 16 // the first of the net's
	raise      = 64
	maxWeight  = raise - 1
	sumsOf     = 512 // features that sixteen bits can hold: (raise+maxWeight)·sumsOf < 1<<16
	everyOther = 0x00FF00FF00FF00FF
)

// packed is a table of features by the top bits of their hash.
type packed struct {
	shift uint8
	rows  [][lanes / 8]uint64
}

// pack puts the rows of two tables side by side.
func pack(bits uint8, linear []int8, outputs int, net []int8, dims int) packed {
	p := packed{shift: 32 - bits}
	if len(linear) == 0 || len(net) == 0 {
		return p
	}
	p.rows = make([][lanes / 8]uint64, 1<<bits)
	for i := range p.rows {
		row := &p.rows[i]
		for k := range row {
			row[k] = raise * 0x0101010101010101
		}
		put := func(lane int, weight int8) { row[lane/8] += uint64(int64(weight)) << (lane % 8 * 8) }
		for k, w := range linear[i*outputs:][:outputs] {
			put(k, w)
		}
		for k, w := range net[i*dims:][:dims] {
			put(netLane+k, w)
		}
	}
	return p
}

// sum adds up the weights of ids.
func (p *packed) sum(ids []uint32, out *[lanes]int32) {
	for len(ids) > 0 {
		some := ids[:min(len(ids), sumsOf)]
		ids = ids[len(some):]
		var a0, a1, b0, b1, c0, c1, d0, d1 uint64
		for _, id := range some {
			row := &p.rows[id>>p.shift]
			a0 += row[0] & everyOther
			a1 += row[0] >> 8 & everyOther
			b0 += row[1] & everyOther
			b1 += row[1] >> 8 & everyOther
			c0 += row[2] & everyOther
			c1 += row[2] >> 8 & everyOther
			d0 += row[3] & everyOther
			d1 += row[3] >> 8 & everyOther
		}
		raised := int32(raise * len(some))
		for k, pair := range [...][2]uint64{{a0, a1}, {b0, b1}, {c0, c1}, {d0, d1}} {
			for j := 0; j < 8; j += 2 {
				out[8*k+j] += int32(uint16(pair[0]>>(8*j))) - raised   //nolint:gosec // sixteen bits are what is wanted
				out[8*k+j+1] += int32(uint16(pair[1]>>(8*j))) - raised //nolint:gosec // as above
			}
		}
	}
}

// wide is the table of a Shade, of as many words a row as it needs.
type wide struct {
	shift uint8
	words int
	rows  []uint64
}

func packWide(bits uint8, table []int8, outputs int) wide {
	w := wide{shift: 32 - bits, words: (outputs + 7) / 8}
	w.rows = make([]uint64, w.words<<bits)
	for i := range w.rows {
		w.rows[i] = raise * 0x0101010101010101
	}
	for i, weight := range table {
		row, k := i/outputs, i%outputs
		w.rows[row*w.words+k/8] += uint64(int64(weight)) << (k % 8 * 8)
	}
	return w
}

// sum sets out to what ids weigh.
func (w *wide) sum(ids []uint32, out *[maxOutputs]int32) {
	*out = [maxOutputs]int32{}
	for len(ids) > 0 {
		some := ids[:min(len(ids), sumsOf)]
		ids = ids[len(some):]
		var even, odd [maxOutputs / 8]uint64
		for _, id := range some {
			row := w.rows[int(id>>w.shift)*w.words:][:w.words]
			for k, x := range row {
				even[k] += x & everyOther
				odd[k] += x >> 8 & everyOther
			}
		}
		raised := int32(raise * len(some))
		for k := range w.words {
			for j := 0; j < 8; j += 2 {
				out[8*k+j] += int32(uint16(even[k]>>(8*j))) - raised  //nolint:gosec // sixteen bits are what is wanted
				out[8*k+j+1] += int32(uint16(odd[k]>>(8*j))) - raised //nolint:gosec // as above
			}
		}
	}
}
