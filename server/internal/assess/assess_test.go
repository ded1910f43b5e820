package assess_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/google/uuid"

	"vigil/server/internal/assess"
	"vigil/server/internal/triage"
)

// labelled is an invented message and what a reader would say of it.
type labelled struct {
	Text     string       `json:"text"`
	Level    triage.Level `json:"level"`
	Kind     string       `json:"kind"`
	Harm     bool         `json:"harm"`
	Abuse    bool         `json:"abuse"`
	Distress bool         `json:"distress"`
}

func load(t testing.TB) []labelled {
	t.Helper()
	file, err := os.Open("testdata/labelled.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var rows []labelled
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var row labelled
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatalf("row %d: %v", len(rows)+1, err)
		}
		rows = append(rows, row)
	}
	return rows
}

func standard() triage.CrisisPolicy { return triage.DefaultCrisisPolicy(uuid.UUID{1}) }

// share counts how many of the rows that are asked for were found.
type share struct{ found, of int }

func (s *share) add(asked, found bool) {
	if !asked {
		return
	}
	s.of++
	if found {
		s.found++
	}
}

func (s share) rate() float64 { return float64(s.found) / float64(max(s.of, 1)) }

func TestLabelledSetReachesItsFloors(t *testing.T) {
	t.Parallel()
	detector := assess.New()
	scores := map[string]*share{}
	score := func(name string, asked, found bool) {
		if scores[name] == nil {
			scores[name] = &share{}
		}
		scores[name].add(asked, found)
	}
	for _, row := range load(t) {
		a, _ := detector.Assess(row.Text, triage.State{}, standard())
		score("recall: any risk", row.Level >= 1, a.Level >= 1)
		score("recall: level 2 and up", row.Level >= 2, a.Level >= 2)
		score("recall: alert at level 4 and up", row.Level >= 4, a.Alert)
		score("recall: harm to others", row.Harm, a.HarmOthers)
		score("recall: abuse", row.Abuse, a.Abuse)
		score("recall: distress", row.Distress, a.Distress)
		score("precision: any risk", a.Level >= 1, row.Level >= 1)
		score("precision: alert", a.Alert, row.Level >= 4 || row.Harm)
		score("precision: harm to others", a.HarmOthers, row.Harm)
		score("precision: abuse", a.Abuse, row.Abuse)
		score("agreement within one level", true, a.Level-row.Level <= 1 && row.Level-a.Level <= 1)
		if a.Level != row.Level || a.HarmOthers != row.Harm || a.Abuse != row.Abuse || a.Distress != row.Distress && row.Kind != "wish" {
			t.Logf("%-12s %d→%d harm %v abuse %v distress %v: %s", row.Kind, row.Level, a.Level, a.HarmOthers, a.Abuse, a.Distress, row.Text)
		}
	}
	for name, floor := range map[string]float64{
		"recall: any risk": .95, "recall: level 2 and up": .95, "recall: alert at level 4 and up": .95,
		"recall: harm to others": .95, "recall: abuse": .95, "recall: distress": .95,
		"precision: any risk": .95, "precision: alert": .95, "precision: harm to others": .95, "precision: abuse": .95,
		"agreement within one level": .97,
	} {
		if got := scores[name].rate(); got < floor {
			t.Errorf("%s: %.3f of %d, the floor is %.2f", name, got, scores[name].of, floor)
		}
	}
}

func TestUnmistakableSentencesComeOutAsAnyoneWouldExpect(t *testing.T) {
	t.Parallel()
	detector := assess.New()
	for text, want := range map[string]struct{ least, most triage.Level }{
		"I want to kill myself":                          {2, 3},
		"I'm going to kill myself tonight":               {4, 6},
		"I wrote the suicide note and have the pills":    {4, 6},
		"I took all the pills":                           {6, 6},
		"I'm not suicidal anymore":                       {0, 1},
		"my brother killed himself":                      {0, 0},
		"kill the process":                               {0, 0},
		"voy a quitarme la vida":                         {4, 6},
		"I have a plan for the weekend":                  {0, 0},
		"I have a plan and I am going to kill myself":    {5, 6},
		"He said he wants to die. I want to die too.":    {1, 1},
		"I can't stop thinking about killing myself":     {2, 3},
		"why don't I just kill myself":                   {2, 3},
		`she sang "I want to die" all night`:             {0, 0},
		`I told her "I want to kill myself" and I meant`: {2, 3},
	} {
		a, _ := detector.Assess(text, triage.State{}, standard())
		if a.Level < want.least || a.Level > want.most {
			t.Errorf("level %d, want %d to %d: %s", a.Level, want.least, want.most, text)
		}
		if (a.Level >= 4) != a.Alert {
			t.Errorf("alert %v at level %d: %s", a.Alert, a.Level, text)
		}
	}
}

func TestEvidenceIsOffsetsInBytesAndUTF16AndNeverText(t *testing.T) {
	t.Parallel()
	text := "😀 né à Orly — I want to kill myself, 😢"
	a, _ := assess.New().Assess(text, triage.State{}, standard())
	if len(a.Evidence) == 0 {
		t.Fatal("no evidence")
	}
	units := utf16.Encode([]rune(text))
	for _, e := range a.Evidence {
		if e.Start < 0 || e.End > len(text) || e.Start >= e.End || e.UTF16End > len(units) {
			t.Fatalf("evidence %+v lies outside the text", e)
		}
		bytes, wide := text[e.Start:e.End], string(utf16.Decode(units[e.UTF16Start:e.UTF16End]))
		if bytes != wide || bytes != "kill myself" {
			t.Errorf("bytes %q, UTF-16 %q, want the same words", bytes, wide)
		}
		if strings.Contains(e.Rule, " ") || e.Rule == "" {
			t.Errorf("rule %q is no id", e.Rule)
		}
	}
}

func TestSessionStateRaisesWhatFollowsAndIsNotShared(t *testing.T) {
	t.Parallel()
	detector := assess.New()
	_, risky := detector.Assess("I keep thinking about killing myself", triage.State{}, standard())
	kept := append([]byte(nil), risky.Data...)
	alone, _ := detector.Assess("I know exactly how.", triage.State{}, standard())
	after, _ := detector.Assess("I know exactly how.", risky, standard())
	if alone.Alert || !after.Alert || after.Level < 4 {
		t.Errorf("alone: level %d alert %v; after thoughts of suicide: level %d alert %v", alone.Level, alone.Alert, after.Level, after.Alert)
	}
	if string(kept) != string(risky.Data) {
		t.Error("Assess changed the state it was given")
	}
	if risky.Version != assess.StateVersion {
		t.Errorf("state version %d, want %d", risky.Version, assess.StateVersion)
	}
	for name, state := range map[string]triage.State{
		"a later version": {Version: 99, Data: kept}, "too short": {Version: assess.StateVersion, Data: kept[:3]},
		"impossible": {Version: assess.StateVersion, Data: []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255}},
	} {
		got, _ := detector.Assess("I know exactly how.", state, standard())
		if !reflect.DeepEqual(got, alone) {
			t.Errorf("%s counted as more than unknown", name)
		}
	}
}

func TestAssessIsTheSameFromManyCallers(t *testing.T) {
	t.Parallel()
	detector, rows := assess.New(), load(t)
	want := make([]triage.Assessment, len(rows))
	for i, row := range rows {
		want[i], _ = detector.Assess(row.Text, triage.State{}, standard())
	}
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for i, row := range rows {
				if got, _ := detector.Assess(row.Text, triage.State{}, standard()); !reflect.DeepEqual(got, want[i]) {
					t.Errorf("row %d differs between callers", i)
				}
			}
		})
	}
	callers.Wait()
}

func TestSentimentAndTopicsFollowTheWords(t *testing.T) {
	t.Parallel()
	detector := assess.New()
	good, _ := detector.Assess("I feel happy and hopeful, work was great", triage.State{}, standard())
	bad, _ := detector.Assess("I feel sad and hopeless and not happy, my boss is awful", triage.State{}, standard())
	if good.Sentiment <= 0 || bad.Sentiment >= 0 {
		t.Errorf("sentiment %v and %v, want one above and one below zero", good.Sentiment, bad.Sentiment)
	}
	if len(good.Topics) != 1 || good.Topics[0] != "work" {
		t.Errorf("topics %v, want work", good.Topics)
	}
}

func FuzzAssessTakesAnyInput(f *testing.F) {
	for _, seed := range []string{"", "a", "I want to kill myself", "\xff\xfe", strings.Repeat("k", 1<<12), "😀", "\u202ekill\u200b myself", `"""`, "не хочу жить"} {
		f.Add(seed, []byte{2, 2, 0, 0, 0, 1, 64, 0, 0, 0})
	}
	detector := assess.New()
	f.Fuzz(func(t *testing.T, text string, state []byte) {
		a, after := detector.Assess(text, triage.State{Version: assess.StateVersion, Data: state}, standard())
		if a.Level < 0 || a.Level > triage.LevelMax || !(a.Sentiment >= -1 && a.Sentiment <= 1) {
			t.Fatalf("level %d, sentiment %v", a.Level, a.Sentiment)
		}
		units := int(0)
		for _, r := range text {
			units += max(utf16.RuneLen(r), 1)
		}
		for _, e := range a.Evidence {
			if e.Start < 0 || e.Start >= e.End || e.End > len(text) || e.UTF16Start < 0 || e.UTF16End > units || e.UTF16Start >= e.UTF16End {
				t.Fatalf("evidence %+v outside %d bytes, %d units", e, len(text), units)
			}
		}
		if len(after.Data) != 10 || math.IsNaN(float64(math.Float32frombits(binary.BigEndian.Uint32(after.Data[6:])))) {
			t.Fatalf("state of %d bytes", len(after.Data))
		}
	})
}

func TestAMegabyteEndsInBoundedTime(t *testing.T) {
	t.Parallel()
	detector := assess.New()
	for name, text := range map[string]string{
		"one phrase over and over": strings.Repeat("I want to kill myself ", 1<<20/22), "one word": strings.Repeat("a", 1<<20),
		"fillers": strings.Repeat("just ", 1<<20/5), "quotes": strings.Repeat(`he "`, 1<<18), "invalid": strings.Repeat("\xff", 1<<20),
		"emoji": strings.Repeat("😀", 1<<18),
	} {
		a, _ := detector.Assess(text, triage.State{}, standard())
		if name == "one phrase over and over" && a.Level < 2 {
			t.Errorf("%s: level %d", name, a.Level)
		}
	}
	end, _ := detector.Assess(strings.Repeat("a fine day. ", 1<<16)+"I want to kill myself", triage.State{}, standard())
	if end.Level < 2 {
		t.Errorf("level %d of a cry at the end of a long message", end.Level)
	}
}

func BenchmarkAssess70Words(b *testing.B) {
	detector := assess.New()
	text := strings.Repeat("my week was hard and work is a lot but I slept and walked the dog ", 5)
	b.ReportAllocs()
	for b.Loop() {
		detector.Assess(text, triage.State{}, standard())
	}
}
