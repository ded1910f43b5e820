package suggest

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"vigil/server/internal/triage"
)

//go:embed bank.json
var bankJSON []byte

// From where on a sentiment, which lies between -1 and 1, is low or high.
const (
	lowSentiment  = -0.15
	highSentiment = 0.25
)

// Bank is moves of therapists, written by the engineers of this repository after recognised practice.
type Bank struct {
	Version string `json:"version"`
	Moves   []Move `json:"moves"`
}

// Move is one text, when it fits, and why it is there.
type Move struct {
	ID   string `json:"id"`
	Kind string `json:"move"`
	When When   `json:"when"`
	Text string `json:"text"`
	Why  string `json:"why"`
}

// When holds the conditions of a move; all that are set must hold. Levels has none unset: a move is for the levels that its
// author had in mind.
type When struct {
	Levels     [2]triage.Level `json:"levels"` // from, to
	HarmOthers bool            `json:"harm_others"`
	Abuse      bool            `json:"abuse"`
	Distress   bool            `json:"distress"`
	Sentiment  string          `json:"sentiment"` // low, high
	Topics     []string        `json:"topics"`    // one of them
	After      int             `json:"after"`     // as many messages of a therapist before
}

// How much more a move fits for a condition of its own, so that a threat weighs more than a topic, and a move for a higher
// level more than one for many.
const (
	weightLevel    = 16 // times the lowest level that it is for
	weightHarm     = 40
	weightAbuse    = 8
	weightDistress = 4
	weightTopic    = 2
	weightMood     = 1
)

// kindClosing ends a talk: never at a therapist's first answer.
const kindClosing = "closing"

// band returns the least weight of what may take turns with a move of the greatest weight: with one for a level, those for the
// level below it; with one for abuse, or distress, those for the same; without such a sign, all.
func band(top int) int {
	switch {
	case top >= 2*weightLevel:
		return top - weightLevel
	case top >= weightLevel:
		return weightLevel
	case top >= weightAbuse:
		return weightAbuse
	case top >= weightDistress:
		return weightDistress
	}
	return 0
}

// errBank is wrapped by what is wrong with a bank.
var errBank = errors.New("bank of moves")

// ParseBank reads a bank: every move has an id, a kind, a text and a reason, none twice, and for each level there is one
// without further conditions.
func ParseBank(data []byte) (*Bank, error) {
	b := new(Bank)
	if err := json.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("%w: %w", errBank, err)
	}
	if b.Version == "" {
		return nil, fmt.Errorf("%w: no version", errBank)
	}
	ids, texts := make(map[string]bool), make(map[string]bool)
	for _, m := range b.Moves {
		w := m.When
		switch {
		case m.ID == "" || m.Kind == "" || m.Text == "" || m.Why == "":
			return nil, fmt.Errorf("%w: move %q lacks something", errBank, m.ID)
		case ids[m.ID] || texts[m.Text]:
			return nil, fmt.Errorf("%w: move %q is there twice", errBank, m.ID)
		case w.Levels[0] < 0 || w.Levels[1] > triage.LevelMax || w.Levels[0] > w.Levels[1]:
			return nil, fmt.Errorf("%w: move %q has levels %v", errBank, m.ID, w.Levels)
		case m.Kind == kindClosing && w.After < 1:
			return nil, fmt.Errorf("%w: move %q closes what has not begun", errBank, m.ID)
		case w.Sentiment != "" && w.Sentiment != "low" && w.Sentiment != "high":
			return nil, fmt.Errorf("%w: move %q has sentiment %q", errBank, m.ID, w.Sentiment)
		}
		ids[m.ID], texts[m.Text] = true, true
	}
	for level := triage.LevelNone; level <= triage.LevelMax; level++ {
		if _, ok := b.Choose(triage.Assessment{Level: level}, uuid.Nil, nil, 0); !ok {
			return nil, fmt.Errorf("%w: nothing for level %d", errBank, level)
		}
	}
	return b, nil
}

// weight says how well the move fits after that many answers of a therapist; -1: not at all.
func (w When) weight(a triage.Assessment, answers int) int {
	switch {
	case a.Level < w.Levels[0], a.Level > w.Levels[1], w.HarmOthers && !a.HarmOthers, w.Abuse && !a.Abuse, w.Distress && !a.Distress:
		return -1
	case w.Sentiment == "low" && a.Sentiment > lowSentiment, w.Sentiment == "high" && a.Sentiment < highSentiment:
		return -1
	case answers < w.After:
		return -1
	case len(w.Topics) > 0 && !slices.ContainsFunc(w.Topics, func(t string) bool { return slices.Contains(a.Topics, t) }):
		return -1
	}
	weight := weightLevel * int(w.Levels[0])
	for _, c := range []struct {
		holds bool
		is    int
	}{
		{w.HarmOthers, weightHarm}, {w.Abuse, weightAbuse}, {w.Distress && w.Levels[0] == triage.LevelNone, weightDistress},
		{len(w.Topics) > 0, weightTopic}, {w.Sentiment != "", weightMood},
	} {
		if c.holds {
			weight += c.is
		}
	}
	return weight
}

// Choose returns the move for a message: of those in the band of the best that fits, one that was not used in the session
// (used, the latest first), the best fitting of them, and among those one by the message's id. When all of the band were used,
// the one whose last use is longest ago: rather a text again than one that fits less. answers is how many messages a therapist
// wrote before. The same arguments give the same move. ok is false when nothing fits.
func (b *Bank) Choose(a triage.Assessment, message uuid.UUID, used []string, answers int) (chosen Move, ok bool) {
	type candidate struct {
		Move
		lastUse int // 0: not used, else greater the longer ago it is
		weight  int
		lot     uint64
	}
	var fitting []candidate
	top := 0
	for _, m := range b.Moves {
		weight := m.When.weight(a, answers)
		if weight < 0 {
			continue
		}
		top = max(top, weight)
		sum := sha256.Sum256(append(message[:], m.ID...))
		fitting = append(fitting, candidate{m, slices.Index(used, m.ID) + 1, weight, binary.BigEndian.Uint64(sum[:])})
	}
	if len(fitting) == 0 {
		return Move{}, false
	}
	fitting = slices.DeleteFunc(fitting, func(c candidate) bool { return c.weight < band(top) })
	best := slices.MinFunc(fitting, func(x, y candidate) int {
		if (x.lastUse == 0) != (y.lastUse == 0) {
			return cmp.Compare(min(x.lastUse, 1), min(y.lastUse, 1))
		}
		return cmp.Or(cmp.Compare(y.lastUse, x.lastUse), cmp.Compare(y.weight, x.weight), cmp.Compare(x.lot, y.lot))
	})
	return best.Move, true
}
