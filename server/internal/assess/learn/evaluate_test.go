package learn

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
	"vigil/server/internal/triage"
)

// oracle is a detector that knows the corpus' labels, or says the opposite of them.
type oracle struct {
	labels map[string]corpus.Message
	wrong  bool
}

func (o oracle) Assess(text string, state triage.State, policy triage.CrisisPolicy) (triage.Assessment, triage.State) {
	m := o.labels[text]
	yes := func(label int8) bool { return (label == 1) != o.wrong }
	a := triage.Assessment{HarmOthers: yes(m.Harm), Abuse: yes(m.Abuse), Distress: yes(m.Distress), Topics: m.Topics}
	for score, said := range map[*float32]bool{
		&a.Scores.HarmOthers: a.HarmOthers, &a.Scores.Abuse: a.Abuse, &a.Scores.Distress: a.Distress, &a.Scores.Risk: yes(m.Risk),
	} {
		if said {
			*score = 1
		}
	}
	switch {
	case !o.wrong:
		a.Level = triage.Level(m.Level)
	case m.Risk == 0:
		a.Level = triage.LevelMax
	}
	switch m.Sentiment {
	case "positive":
		a.Sentiment = 1
	case "negative":
		a.Sentiment = -1
	case "ambiguous":
		a.Emotions = []string{"surprise"}
	}
	return policy.Decide(a), state
}

func evaluated(t *testing.T, wrong bool) *Evaluation {
	t.Helper()
	messages := corpus.Messages()
	o := oracle{labels: map[string]corpus.Message{}, wrong: wrong}
	for _, m := range messages {
		o.labels[m.Text] = m
	}
	return Evaluate(o, messages, corpus.Conversations(), nil)
}

func TestWhoKnowsTheLabelsReachesEverythingAndWhoInvertsThemNothing(t *testing.T) {
	t.Parallel()
	wise, foolish := evaluated(t, false), evaluated(t, true)
	worst := map[string]float64{}
	for _, m := range foolish.Measures {
		worst[m.Key] = m.Value
	}
	for _, m := range wise.Measures {
		group, _, _ := strings.Cut(m.Key, "/")
		skipped := slices.ContainsFunc([]string{"swaps", "sessions", "category", "sentiment", "topics"}, func(p string) bool { return strings.HasPrefix(group, p) })
		if skipped || m.Better == "" {
			continue
		}
		want := 1.0
		if m.Better == Lower {
			want = 0
		}
		if m.Value != want {
			t.Errorf("%s: who knows the labels reaches %v, want %v", m.Key, m.Value, want)
		}
		paged := strings.HasSuffix(m.Key, "at level 4 and up") // harm, inverted, pages as well
		if m.Value == worst[m.Key] && !paged {
			t.Errorf("%s: who inverts the labels reaches %v too", m.Key, m.Value)
		}
	}
	if len(wise.Measures) < 100 {
		t.Errorf("only %d measures", len(wise.Measures))
	}
}

func TestAnEvaluationIsTheSameTwice(t *testing.T) {
	t.Parallel()
	if a, b := evaluated(t, false), evaluated(t, false); !reflect.DeepEqual(a.Measures, b.Measures) {
		t.Error("two runs differ")
	}
}

func TestFloorsAreWrittenBelowWhatWasReachedAndHold(t *testing.T) {
	t.Parallel()
	e := &Evaluation{withShared: true, Measures: []Measure{
		{Key: "a/b/found", Value: .934, Of: 1000, Better: Higher}, {Key: "a/b/flagged", Value: .002, Of: 10_000, Better: Lower},
		{Key: "a/few/found", Value: .8, Of: 25, Better: Higher}, {Key: "a/s/found", Value: .5, Of: 100, Better: Higher, Shared: true},
		{Key: "speed", Value: 50, Of: 10},
	}}
	name := filepath.Join(t.TempDir(), "floors.json")
	if err := e.WriteFloors(name, Floors{}, false); err != nil {
		t.Fatal(err)
	}
	floors, err := ReadFloors(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Floors{map[string]float64{"a/b/found": .924, "a/b/flagged": .003, "a/few/found": .76}, map[string]float64{"a/s/found": .49}}); !reflect.DeepEqual(floors, want) {
		t.Errorf("floors %v, want %v", floors, want)
	}
	if err := e.Judge(floors); err != nil {
		t.Errorf("what was reached crosses its own floors: %v", err)
	}
	e.Measures[0].Value, e.Measures[1].Value = .92, .004
	err = e.Judge(floors)
	if !errors.Is(err, ErrBelowFloor) || !strings.Contains(err.Error(), "a/b/found is 0.9200") || !strings.Contains(err.Error(), "a/b/flagged is 0.0040") {
		t.Errorf("crossed floors: %v", err)
	}
	var table bytes.Buffer
	if err := e.Print(&table, floors); err != nil || strings.Count(table.String(), "CROSSED") != 2 || !strings.Contains(table.String(), "Not clinically validated") {
		t.Errorf("%v\n%s", err, table.String())
	}
}

func TestAFloorThatNothingMeasuresFailsUnlessItsDataIsAbsent(t *testing.T) {
	t.Parallel()
	all, corpusOnly := &Evaluation{withShared: true}, &Evaluation{}
	onShared := Floors{Shared: map[string]float64{"gone/by/found": .5}}
	if err := all.Judge(onShared); !errors.Is(err, ErrBelowFloor) {
		t.Errorf("with all data: %v", err)
	}
	if err := corpusOnly.Judge(onShared); err != nil {
		t.Errorf("without shared data: %v", err)
	}
	if err := corpusOnly.Judge(Floors{Corpus: onShared.Shared}); !errors.Is(err, ErrBelowFloor) {
		t.Errorf("a floor on the corpus: %v", err)
	}
	name := filepath.Join(t.TempDir(), "floors.json")
	if err := corpusOnly.WriteFloors(name, onShared, false); err != nil {
		t.Fatal(err)
	}
	if kept, err := ReadFloors(name); err != nil || !reflect.DeepEqual(kept.Shared, onShared.Shared) {
		t.Errorf("%v: floors %v, want %v", err, kept, onShared)
	}
}

func TestTheWriterAloneIsAssessedAndLeadIsCounted(t *testing.T) {
	t.Parallel()
	e := &Evaluation{detector: detectorFunc(func(text string) triage.Assessment {
		if text == "grave" || text == "early" {
			return triage.Assessment{Level: 4, Alert: true}
		}
		return triage.Assessment{}
	})}
	turn := func(role, text string, level int8) corpus.Turn {
		return corpus.Turn{Role: role, Text: text, Level: level}
	}
	e.sessions("s", []judged{
		e.hold("high", []corpus.Turn{turn("agent", "grave", 0), turn("user", "early", 0), turn("user", "so", 0), turn("user", "grave", 4)}),
		e.hold("none", []corpus.Turn{turn("agent", "grave", 0), turn("user", "fine", 0)}),
		e.hold("imminent", []corpus.Turn{turn("user", "quiet", 5), turn("user", "grave", 5)}),
	})
	got := map[string]float64{}
	for _, m := range e.Measures {
		got[m.Key] = m.Value
	}
	for key, want := range map[string]float64{
		"s/AUROC any risk": 1, "s/alert without risk": 0, "s/alert at high or imminent": 1, "s/alert by the first grave turn": .5,
		"s/alert before the first grave turn": .5, "s/turns of lead, mean": .5,
	} {
		if got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
	}
}

type detectorFunc func(string) triage.Assessment

func (f detectorFunc) Assess(text string, state triage.State, _ triage.CrisisPolicy) (triage.Assessment, triage.State) {
	return f(text), state
}

func TestTheCardSaysWhichTargetsAreMissed(t *testing.T) {
	t.Parallel()
	e := &Evaluation{Measures: []Measure{
		{Key: "self-harm/corpus/auprc", Value: .71, Of: 10}, {Key: "found", Value: 1}, {Key: "category not at risk/game/flagged", Value: .2, Of: 5},
	}}
	card := filepath.Join(t.TempDir(), "card.md")
	if err := os.WriteFile(card, []byte("# Card\n"+targetsHeading+"an older one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.WriteTargets(card); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(card)
	if err != nil || !strings.HasPrefix(string(text), "# Card\n") || strings.Contains(string(text), "older") ||
		!strings.Contains(string(text), "| ≥ 0.7 | 0.71 | 10 | met |") || !strings.Contains(string(text), "| ≤ 0.1 | 0.2 | 5 | missed |") {
		t.Errorf("%v\n%s", err, text)
	}
	committed, err := os.ReadFile("../MODEL.md")
	if err != nil || !strings.Contains(string(committed), targetsHeading) {
		t.Errorf("the committed card has no targets (%v): run `go tool task detect:eval -- -write-floors`", err)
	}
}

// stated is how far a score may move when only who it is changes. Names, faiths, orientations, origins and kinship move nothing; a
// gender of two words ("trans woman") does, a little.
const stated = .3

func TestWhoItIsMovesNoScoreFurtherThanStated(t *testing.T) {
	t.Parallel()
	e := &Evaluation{detector: assess.New(), policy: triage.DefaultCrisisPolicy(uuid.UUID{1}), seen: map[string]triage.Assessment{}}
	e.swaps()
	for _, m := range e.Measures {
		most := 0.0
		if strings.HasPrefix(m.Key, "swaps/genders/largest") {
			most = stated
		}
		if m.Value > most {
			t.Errorf("%s: %v, more than %v", m.Key, m.Value, most)
		}
	}
}
