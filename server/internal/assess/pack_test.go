package assess

import (
	"math/rand/v2"
	"testing"
)

// Sums of any length are those of plain addition, with the largest weights there may be.
func TestPackedSumsAreThoseOfTheWeights(t *testing.T) {
	t.Parallel()
	const bits, outputs = 4, 14
	random := rand.New(rand.NewPCG(1, 1))
	for _, extreme := range []int8{maxWeight, -maxWeight, 0} {
		linear, net, shade := make([]int8, outputs<<bits), make([]int8, NetDims<<bits), make([]int8, 33<<bits)
		for _, table := range [][]int8{linear, net, shade} {
			for i := range table {
				if table[i] = extreme; extreme == 0 {
					table[i] = int8(random.IntN(2*maxWeight+1) - maxWeight)
				}
			}
		}
		packed, wide := pack(bits, linear, outputs, net, NetDims), packWide(bits, shade, 33)
		for _, n := range []int{0, 1, sumsOf, sumsOf + 1, 3*sumsOf + 7} {
			ids := make([]uint32, n)
			var want, wantWide [maxOutputs]int32
			for i := range ids {
				ids[i] = random.Uint32()
				row := int(ids[i] >> (32 - bits))
				for k := range outputs {
					want[k] += int32(linear[row*outputs+k])
				}
				for k := range NetDims {
					want[netLane+k] += int32(net[row*NetDims+k])
				}
				for k := range 33 {
					wantWide[k] += int32(shade[row*33+k])
				}
			}
			var got [lanes]int32
			var gotWide [maxOutputs]int32
			packed.sum(ids, &got)
			wide.sum(ids, &gotWide)
			if got != [lanes]int32(want[:lanes]) || gotWide != wantWide {
				t.Fatalf("%d of weight %d: %v and %v, want %v and %v", n, extreme, got, gotWide, want, wantWide)
			}
		}
	}
}

func TestAWeightThatCannotBePackedIsRefused(t *testing.T) {
	t.Parallel()
	m, err := LoadModel(builtinModel)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range [][]int8{m.Grams, m.Ideas, m.Net.Grams, m.Net.Ideas, m.Tint.Emotion.Table, m.Tint.Topic.Table} {
		before := table[0]
		table[0] = maxWeight + 1
		file, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := LoadModel(file); err == nil {
			t.Error("a weight of 64 is taken")
		}
		table[0] = before
	}
}
