package replay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"vigil/server/internal/assess"
	"vigil/server/internal/replay"
	"vigil/server/internal/triage"
)

var update = flag.Bool("update", false, "record what the present detector does with the bundled conversations")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// detect runs the detector over a conversation as the pipeline does: every message, in order, with the session's state.
func detect(c replay.Conversation) (level int, alert bool) {
	detector := assess.New()
	var state triage.State
	policy := triage.DefaultCrisisPolicy(uuid.Nil)
	for _, turn := range c.Turns {
		var a triage.Assessment
		a, state = detector.Assess(turn.Text, state, policy)
		level, alert = max(level, int(a.Level)), alert || a.Alert
	}
	return level, alert
}

func TestTheBundledConversationsAreVaried(t *testing.T) {
	t.Parallel()
	all := replay.Bundled()
	if len(all) < 40 {
		t.Errorf("%d conversations, not 40", len(all))
	}
	ids, languages, levels, alerts := map[string]bool{}, map[string]int{}, map[int]int{}, 0
	for _, c := range all {
		if ids[c.ID] {
			t.Errorf("%s is there twice", c.ID)
		}
		ids[c.ID] = true
		if len(c.Turns) < 6 || len(c.Turns) > 16 {
			t.Errorf("%s has %d turns, not 6 to 16", c.ID, len(c.Turns))
		}
		if c.About == "" || c.Expect.Level == nil || c.Expect.Alert == nil || c.Detector.Level == nil || c.Detector.Alert == nil {
			t.Errorf("%s does not say what is expected and what was found", c.ID)
			continue
		}
		languages[c.Language]++
		levels[*c.Expect.Level]++
		if *c.Expect.Alert {
			alerts++
		}
	}
	for _, language := range []string{"en", "es", "de", "fr"} {
		if languages[language] < 2 {
			t.Errorf("%d conversations in %s", languages[language], language)
		}
	}
	for level := range 7 {
		if levels[level] == 0 {
			t.Errorf("no conversation reaches level %d", level)
		}
	}
	if alerts < 8 || alerts > len(all)/2 {
		t.Errorf("%d of %d conversations call for an alert", alerts, len(all))
	}
}

// What is recorded of the detector is what it does, so that a summary's "as recorded" judges the path and not the detector.
func TestWhatIsRecordedOfTheDetectorIsWhatItDoes(t *testing.T) {
	t.Parallel()
	if *update {
		record(t)
		return
	}
	agreed := 0
	for _, c := range replay.Bundled() {
		level, alert := detect(c)
		if c.Detector.Level == nil || c.Detector.Alert == nil || *c.Detector.Level != level || *c.Detector.Alert != alert {
			t.Errorf("%s: the detector finds level %d, alert %t; run this test with -update and look at the difference", c.ID, level, alert)
		}
		if c.Expect.Alert != nil && *c.Expect.Alert == alert {
			agreed++
		}
	}
	if agreed == len(replay.Bundled()) {
		t.Error("the detector agrees with a human everywhere: the conversations are too easy to show anything")
	}
}

// record writes the detector's outcome behind each line of the file, and leaves the rest as it is.
func record(t *testing.T) {
	t.Helper()
	var out bytes.Buffer
	for i, line := range strings.Split(strings.TrimSpace(read(t)), "\n") {
		level, alert := detect(replay.Bundled()[i])
		found, err := json.Marshal(replay.Outcome{Level: &level, Alert: &alert})
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ = strings.Cut(strings.TrimSuffix(line, "}"), `, "detector": `)
		out.WriteString(line + `, "detector": ` + string(found) + "}\n")
	}
	if err := os.WriteFile("conversations.jsonl", out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("conversations.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestParse(t *testing.T) {
	t.Parallel()
	yes, no, three := true, false, 3
	for sentence, c := range map[string]struct {
		line string
		want replay.Conversation
	}{
		"a line as bundled": {
			`{"id":"a","language":"en","about":"x","turns":[["client","Hello."],["therapist","Hi.",2.5]],"expect":{"level":3,"alert":true}}`,
			replay.Conversation{ID: "a", Language: "en", About: "x", Expect: replay.Outcome{Level: &three, Alert: &yes}, Turns: []replay.Turn{
				{Role: replay.RoleClient, Text: "Hello.", Pause: 1740 * time.Millisecond}, {Role: replay.RoleTherapist, Text: "Hi.", Pause: 2500 * time.Millisecond},
			}},
		},
		"other names for the two, and a word for the risk": {
			`{"id":"b","source":"elsewhere","persona":{},"risk":"Imminent","turns":[["user","A"],["agent","B"],["user"," "]]}`,
			replay.Conversation{ID: "b", Expect: replay.Outcome{Alert: &yes}, Turns: []replay.Turn{
				{Role: replay.RoleClient, Text: "A", Pause: 1540 * time.Millisecond}, {Role: replay.RoleTherapist, Text: "B", Pause: 1540 * time.Millisecond},
			}},
		},
		"turns as objects, and no risk": {
			`{"id":"c","risk":"None","turns":[{"role":"Client","text":"A","pause":0}]}`,
			replay.Conversation{ID: "c", Expect: replay.Outcome{Alert: &no}, Turns: []replay.Turn{{Role: replay.RoleClient, Text: "A"}}},
		},
		"a risk that says neither": {
			`{"id":"d","risk":"Low","turns":[["client","A",0]]}`,
			replay.Conversation{ID: "d", Turns: []replay.Turn{{Role: replay.RoleClient, Text: "A"}}},
		},
	} {
		list, err := replay.Parse(strings.NewReader("\n" + c.line + "\n\n"))
		if err != nil || len(list) != 1 {
			t.Errorf("%s: %d, %v", sentence, len(list), err)
			continue
		}
		got, _ := json.Marshal(list[0])
		want, _ := json.Marshal(c.want)
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", sentence, got, want)
		}
	}
}

func TestParseRefusesAndQuotesNothing(t *testing.T) {
	t.Parallel()
	const secret = "SECRETWORD"
	for sentence, c := range map[string]struct{ file, want string }{
		"nothing":                {"\n\n", "empty"},
		"no JSON":                {"hello " + secret, "line 1"},
		"no id":                  {`{"turns":[["client","` + secret + `"]]}`, "no id"},
		"no turns":               {`{"id":"a","turns":[]}`, "0 turns"},
		"a stranger speaks":      {`{"id":"a","turns":[["` + secret + `","x"]]}`, "turn 1: who speaks"},
		"a turn without text":    {`{"id":"a","turns":[["client"]]}`, "turn 1: not"},
		"a level of no scale":    {`{"id":"a","turns":[["client","x"]],"expect":{"level":9}}`, "0 to 6"},
		"a pause of a day":       {`{"id":"a","turns":[["client","x",86400]]}`, "0 to 3600"},
		"a pause back":           {`{"id":"a","turns":[["client","x",-1]]}`, "0 to 3600"},
		"a book":                 {`{"id":"a","turns":[["client","` + strings.Repeat(secret, 1000) + `"]]}`, "longer than"},
		"the second line is bad": {`{"id":"a","turns":[["client","x"]]}` + "\n{", "line 2"},
	} {
		_, err := replay.Parse(strings.NewReader(c.file))
		if !errors.Is(err, replay.ErrFormat) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{`{"id":"a","turns":[["client","x",1]]}`, `{"id":"a","turns":[{"role":"user","text":"x"}],"risk":"High"}`, "{"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, file string) {
		list, err := replay.Parse(strings.NewReader(file))
		if (err == nil) == (len(list) == 0) {
			t.Errorf("%d conversations and %v", len(list), err)
		}
		for _, c := range list {
			if c.ID == "" || len(c.Turns) == 0 {
				t.Errorf("an empty conversation: %+v", c)
			}
		}
	})
}
