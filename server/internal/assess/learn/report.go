package learn

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
)

// Floors are what measures must reach, by their keys: the least of those where more is better, the most of the others.
// Those in Shared need the shared data.
type Floors struct {
	Corpus map[string]float64 `json:"corpus"`
	Shared map[string]float64 `json:"shared"`
}

// of returns m's floor.
func (f Floors) of(m Measure) (floor float64, held bool) {
	if m.Shared {
		floor, held = f.Shared[m.Key]
	} else {
		floor, held = f.Corpus[m.Key]
	}
	return floor, held
}

// ErrBelowFloor says that a committed floor was crossed, or not measured.
var ErrBelowFloor = errors.New("a floor was crossed")

// ReadFloors reads a file of floors.
func ReadFloors(name string) (Floors, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return Floors{}, fmt.Errorf("read floors: %w", err)
	}
	var f Floors
	if err := json.Unmarshal(text, &f); err != nil {
		return Floors{}, fmt.Errorf("read floors %s: %w", name, err)
	}
	return f, nil
}

const (
	slack      = 0.01 // how far below what was reached a floor is set, at the least
	floorDigit = 1000 // floors are rounded to a thousandth
)

// WriteFloors writes floors slightly below what e reached, and none that is looser than in old, unless loosen: where the corpus grew, or
// one measure was given for another. Those on shared data stay as in old when e has none of it.
func (e *Evaluation) WriteFloors(name string, old Floors, loosen bool) error {
	f := Floors{Corpus: map[string]float64{}, Shared: map[string]float64{}}
	if !e.withShared {
		f.Shared = old.Shared
	}
	for _, m := range e.Measures {
		if m.Better == "" {
			continue
		}
		floor := m.floor()
		if before, held := old.of(m); held && !loosen {
			if m.Better == Lower {
				floor = min(floor, before)
			} else {
				floor = max(floor, before)
			}
		}
		if m.Shared {
			f.Shared[m.Key] = floor
		} else {
			f.Corpus[m.Key] = floor
		}
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("write floors: %w", err)
	}
	if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil { //nolint:gosec // a committed file that anyone may read
		return fmt.Errorf("write floors: %w", err)
	}
	return nil
}

// floor is slightly worse than what was reached: by a hundredth, or by one text where there are few.
func (m Measure) floor() float64 {
	by := max(slack, 1/float64(max(m.Of, 1)))
	if m.Better == Lower {
		by = max(slack/10, min(m.Value/10, by), 1/float64(max(m.Of, 1)))
		return math.Ceil((m.Value+by)*floorDigit) / floorDigit
	}
	return max(math.Floor((m.Value-by)*floorDigit)/floorDigit, -1)
}

// crosses says whether m is worse than floor.
func (m Measure) crosses(floor float64) bool {
	if m.Better == Lower {
		return m.Value > floor
	}
	return m.Value < floor
}

// Judge returns ErrBelowFloor with a line for each floor that was crossed, or that nothing measured. Floors on shared
// data are not judged where e has none of it.
func (e *Evaluation) Judge(floors Floors) error {
	measured := map[string]bool{}
	var faults []error
	for _, m := range e.Measures {
		measured[m.Key] = true
		if floor, held := floors.of(m); held && m.crosses(floor) {
			faults = append(faults, fmt.Errorf("%w: %s is %.4f, the floor is %.3f", ErrBelowFloor, m.Key, m.Value, floor))
		}
	}
	wanted := slices.Sorted(maps.Keys(floors.Corpus))
	if e.withShared {
		wanted = append(wanted, slices.Sorted(maps.Keys(floors.Shared))...)
	}
	for _, key := range wanted {
		if !measured[key] {
			faults = append(faults, fmt.Errorf("%w: %s was not measured", ErrBelowFloor, key))
		}
	}
	return errors.Join(faults...)
}

// Print writes a table: a line for each thing that is judged and where, with what was reached there.
func (e *Evaluation) Print(w io.Writer, floors Floors) error {
	var b strings.Builder
	last, lastPlace, note := "", "", ""
	for _, m := range e.Measures {
		parts := strings.SplitN(m.Key, "/", 3)
		for len(parts) < 3 {
			parts = append(parts, "")
		}
		group, place, how := parts[0], parts[1], parts[2]
		if note != "" && (group != last || place != lastPlace) {
			fmt.Fprintf(&b, " — %s", note)
		}
		if group != last {
			fmt.Fprintf(&b, "\n\n%s", strings.ToUpper(group[:1])+group[1:])
		}
		if group != last || place != lastPlace {
			fmt.Fprintf(&b, "\n  %-30s %s", place, m.size())
		}
		last, lastPlace, note = group, place, m.Note
		fmt.Fprintf(&b, " · %s %s", how, m.reached(floors))
	}
	if note != "" {
		fmt.Fprintf(&b, " — %s", note)
	}
	b.WriteString("\n\nNot clinically validated.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// size is how many there were, as of the first measure of a line.
func (m Measure) size() string {
	if m.Positives > 0 {
		return fmt.Sprintf("%6d (%d+)", m.Of, m.Positives)
	}
	return fmt.Sprintf("%6d", m.Of)
}

func (m Measure) reached(floors Floors) string {
	text := fmt.Sprintf("%.3f", m.Value)
	if m.Low != 0 || m.High != 0 {
		text += fmt.Sprintf(" [%.3f %.3f]", m.Low, m.High)
	}
	if f, held := floors.of(m); held && m.crosses(f) {
		text += fmt.Sprintf(" CROSSED %.3f", f)
	}
	return text
}

// JSON writes the measures.
func (e *Evaluation) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(map[string]any{"measures": e.Measures, "notice": "Not clinically validated."}); err != nil {
		return fmt.Errorf("write measures: %w", err)
	}
	return nil
}
