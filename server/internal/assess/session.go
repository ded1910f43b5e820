package assess

import (
	"encoding/binary"
	"math"

	"vigil/server/internal/triage"
)

// A session adds up what its messages say: a decayed sum of how far each lies above ordinary talk, never below zero. Over
// raised the session counts as elevated, until the sum falls under settled; a session that has been at level 4 stays so
// until a person says otherwise. Hard rules do not wait for the sum.
const (
	stateBytes = 1 + 1 + 4 + 4 // peak and flags, last, messages, pressure

	pressureDecay = 0.85
	raised        = 3.0
	settled       = 1.2
	mostPressure  = 12
	elevatedFlag  = 0x80
)

// history is what State.Data holds.
type history struct {
	peak, last uint8
	high       bool // elevated
	messages   uint32
	pressure   float32
}

func readHistory(s triage.State) history {
	if s.Version != StateVersion || len(s.Data) != stateBytes {
		return history{}
	}
	h := history{
		peak: s.Data[0] &^ elevatedFlag, last: s.Data[1], high: s.Data[0]&elevatedFlag != 0,
		messages: binary.BigEndian.Uint32(s.Data[2:]),
		pressure: math.Float32frombits(binary.BigEndian.Uint32(s.Data[6:])),
	}
	if h.peak > uint8(triage.LevelMax) || h.last > h.peak || !(h.pressure >= 0 && h.pressure <= mostPressure) {
		return history{}
	}
	return h
}

func (h history) state() triage.State {
	data := make([]byte, 0, stateBytes)
	peak := h.peak
	if h.high {
		peak |= elevatedFlag
	}
	data = append(data, peak, h.last)
	data = binary.BigEndian.AppendUint32(data, h.messages)
	data = binary.BigEndian.AppendUint32(data, math.Float32bits(h.pressure))
	return triage.State{Version: StateVersion, Data: data}
}

// weightOf is what a message adds: nothing when it is ordinary, more the surer and the graver it is.
func weightOf(level triage.Level, risk float32) float32 {
	w := float32(0)
	if risk > .2 {
		w = float32(2 * (risk - .2))
	}
	if level >= triage.LevelWishToBeDead {
		w += .3
	}
	if level >= triage.LevelActiveThoughts {
		w += .3
	}
	return w
}

func (h history) after(level triage.Level, risk float32) history {
	h.peak = max(h.peak, uint8(level))
	h.last = uint8(level)
	if h.messages < math.MaxUint32 {
		h.messages++
	}
	h.pressure = min(float32(h.pressure*pressureDecay)+weightOf(level, risk), mostPressure)
	h.high = h.peak >= uint8(triage.LevelIntent) || h.pressure >= raised || h.high && h.pressure >= settled
	return h
}

// elevated says whether a message is to be looked at because of what the session adds up to: the one that raises it, and
// each one after that is not plainly ordinary.
func (h history) elevated(before history, level triage.Level) bool {
	return h.high && (!before.high || level > triage.LevelNone)
}
