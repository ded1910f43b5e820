package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vigil/server/internal/cli"
)

// assessed runs `vigil assess` on input and returns what it says of each line.
func assessed(t *testing.T, input string, args ...string) (code int, out []map[string]any, stderr string) {
	t.Helper()
	var stdout, errs bytes.Buffer
	code = cli.Run(t.Context(), cli.Process{
		Args: append([]string{"assess"}, args...), Getenv: func(string) string { return "" }, Stdin: strings.NewReader(input), Stdout: &stdout, Stderr: &errs,
	})
	for line := range strings.Lines(stdout.String()) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("a line out is no JSON: %v", err)
		}
		out = append(out, one)
	}
	return code, out, errs.String()
}

func TestAssessScoresEachLineInItsOrder(t *testing.T) {
	t.Parallel()
	const input = `{"id":"a","text":"I want to kill myself"}

{"id":7,"text":"kill the process","other":true}
{"text":"hello"}`
	file := filepath.Join(t.TempDir(), "lines.jsonl")
	if err := os.WriteFile(file, []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]struct {
		input string
		args  []string
	}{"standard input": {input: input}, "a dash": {input, []string{"-"}}, "a file": {"", []string{file}}} {
		code, out, said := assessed(t, from.input, from.args...)
		if code != cli.ExitOK || said != "" || len(out) != 3 {
			t.Fatalf("%s: code %d, %d lines: %s", name, code, len(out), said)
		}
		if out[0]["id"] != "a" || out[1]["id"] != 7.0 || out[2]["id"] != 4.0 {
			t.Errorf("%s: ids %v, %v and %v", name, out[0]["id"], out[1]["id"], out[2]["id"])
		}
		if level, _ := out[0]["level"].(float64); level < 2 || out[0]["escalate"] != true || out[1]["level"] != 0.0 || out[1]["alert"] != false {
			t.Errorf("%s: %v\n%v", name, out[0], out[1])
		}
		for _, field := range []string{"risk", "level", "alert", "escalate", "harm_others", "abuse", "distress", "flags", "sentiment", "topics", "evidence", "model", "ruleset"} {
			if out[2][field] == nil {
				t.Errorf("%s: a line lacks %s", name, field)
			}
		}
		if out[0]["conv_risk"] != nil || out[0]["levels"] != nil {
			t.Errorf("%s: a text has what only sessions have", name)
		}
	}
}

func TestAssessReadsASessionTurnByTurn(t *testing.T) {
	t.Parallel()
	_, out, _ := assessed(t, `{"id":"s","turns":[["user","hi"],["agent","I took all the pills"],["user","I took all the pills"],["user","ok"]]}
{"id":"n","turns":[["agent","I took all the pills"]]}
{"id":"e","turns":[]}`)
	if len(out) != 3 {
		t.Fatalf("%d lines", len(out))
	}
	levels, _ := out[0]["levels"].([]any)
	alerts, _ := out[0]["alerts"].([]any)
	if len(levels) != 4 || levels[1] != 0.0 || levels[2] != 6.0 || out[0]["level"] != 6.0 || len(alerts) != 4 || alerts[2] != true || alerts[0] != false || out[0]["alert"] != true {
		t.Errorf("%v", out[0])
	}
	evidence, _ := out[0]["evidence"].([]any)
	if len(evidence) == 0 {
		t.Fatal("no evidence")
	}
	for _, e := range evidence {
		if one, _ := e.(map[string]any); one["turn"] == nil || one["rule"] == "" {
			t.Errorf("evidence %v", e)
		}
	}
	risk := func(i int) float64 { f, _ := out[i]["conv_risk"].(float64); return f }
	if !(risk(0) > risk(1)) || out[1]["alert"] != false || out[1]["levels"] == nil || out[2]["levels"] == nil {
		t.Errorf("a session in which only the agent speaks: %v\nnobody: %v", out[1], out[2])
	}
}

func TestAssessNamesBadLinesAndScoresTheOthers(t *testing.T) {
	t.Parallel()
	code, out, said := assessed(t, strings.Join([]string{
		`{"id":1,"text":"fine"}`, `canary {`, `["canary"]`, `{"id":"canary"}`, `{"text":"canary","turns":[]}`, `{"turns":[["user"]]}`, `{"text":5}`,
		`{"id":8,"text":"` + strings.Repeat("canary ", 5<<20) + `"}`, `{"id":9,"text":"fine"}`,
	}, "\n"))
	if code != cli.ExitFail || len(out) != 2 || out[0]["id"] != 1.0 || out[1]["id"] != 9.0 {
		t.Errorf("code %d, %d lines out", code, len(out))
	}
	for _, want := range []string{"line 2: not a JSON object", "line 3: not", "line 4: has neither", "line 5: has both", "line 6: has a turn", "line 7: not", "line 8: is longer"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if strings.Contains(said, "canary") {
		t.Error("a line was quoted")
	}
}

func TestAssessNeverPrintsText(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	cli.Run(t.Context(), cli.Process{
		Args: []string{"assess"}, Stdout: &stdout, Stderr: &stderr,
		Stdin: strings.NewReader(`{"text":"canary I want to kill myself canary, my boss canary"}` + "\n" + `{"turns":[["user","canary I want to die"],["canary","x"]]}`),
	})
	if got := stdout.String() + stderr.String(); strings.Contains(got, "canary") || strings.Contains(got, "kill myself") || strings.Contains(got, "boss") {
		t.Error("text was printed")
	}
}

// answering reads a line out before it gives the next line in.
type answering struct {
	t    *testing.T
	in   []string
	out  chan string
	left int
}

func (a *answering) Read(p []byte) (int, error) {
	if a.left < len(a.in) {
		select {
		case <-a.out:
		case <-a.t.Context().Done():
			return 0, errors.New("no answer came")
		}
	}
	if a.left == 0 {
		return 0, io.EOF
	}
	a.left--
	return copy(p, a.in[a.left]), nil
}

type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

func TestAssessAnswersALineBeforeTheNextIsRead(t *testing.T) {
	t.Parallel()
	out := make(chan string, 1)
	in := &answering{t: t, in: []string{`{"id":2,"text":"b"}` + "\n", `{"id":1,"text":"a"}` + "\n"}, out: out, left: 2}
	code := cli.Run(t.Context(), cli.Process{Args: []string{"assess"}, Stdin: in, Stdout: lineWriter(out), Stderr: io.Discard})
	if code != cli.ExitOK || in.left != 0 {
		t.Errorf("code %d, %d lines left", code, in.left)
	}
}

func TestAssessWithoutAFileSaysSo(t *testing.T) {
	t.Parallel()
	if code, _, said := assessed(t, "", filepath.Join(t.TempDir(), "none")); code != cli.ExitFail || !strings.Contains(said, "no such file") {
		t.Errorf("code %d: %s", code, said)
	}
	if code, _, said := assessed(t, "", "a", "b"); code != cli.ExitUsage || !strings.Contains(said, "usage: vigil assess [file]") {
		t.Errorf("code %d: %s", code, said)
	}
	if code, out, _ := assessed(t, ""); code != cli.ExitOK || len(out) != 0 {
		t.Errorf("nothing in: code %d, %d lines", code, len(out))
	}
}
