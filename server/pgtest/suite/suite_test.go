package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newSuite(ci bool) (*suite, *bytes.Buffer) {
	var out bytes.Buffer
	return &suite{ci: ci, out: &whole{to: &out}}, &out
}

func TestTAPIsCounted(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		in                       string
		passed, failed, skipped  int
		faults                   int
		failure, skip, wantFault string
	}{
		"all ok":              {in: "1..2\nok 1 - a client reads\nok 2\n", passed: 2},
		"one not ok":          {in: "1..2\nok 1 - a\nnot ok 2 - strangers see nothing\n# Failed test 2\n", passed: 1, failed: 1, failure: "2 strangers see nothing"},
		"a skip and a todo":   {in: "1..2\nok 1 # SKIP no superuser\nnot ok 2 - b # TODO later\n", skipped: 2, skip: "skip no superuser"},
		"the plan at the end": {in: "ok 1\n1..1\n", passed: 1},
		"skipped as a whole":  {in: "1..0 # SKIP only on 17\n", skipped: 1, skip: "all of it # SKIP only on 17"},
		"no plan":             {in: "ok 1 - a\n", passed: 1, faults: 1, wantFault: "no plan"},
		"cut short":           {in: "1..3\nok 1 - a\n", passed: 1, faults: 1, wantFault: "planned 3 tests and ran 1"},
		"bail out":            {in: "1..1\nok 1\nBail out! no database\n", passed: 1, faults: 1, wantFault: "no database"},
		"words like ok":       {in: "1..1\nokay then\nok 1 - ok\n", passed: 1},
		"nothing":             {in: "", faults: 1, wantFault: "no plan"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readTAP(strings.NewReader(test.in))
			if err != nil || got.passed != test.passed || len(got.failures) != test.failed || len(got.skipped) != test.skipped || len(got.faults) != test.faults {
				t.Fatalf("got %+v, %v", got, err)
			}
			for _, pair := range [][2]string{
				{strings.Join(got.failures, "\n"), test.failure}, {strings.Join(got.skipped, "\n"), test.skip}, {strings.Join(got.faults, "\n"), test.wantFault},
			} {
				if !strings.Contains(pair[0], pair[1]) {
					t.Errorf("%q is not in %q", pair[1], pair[0])
				}
			}
		})
	}
}

func TestGoEventsAreCountedByTheirInnermostTest(t *testing.T) {
	t.Parallel()
	s, out := newSuite(false)
	const events = `
{"Action":"run","Package":"vigil/a","Test":"TestParent"}
{"Action":"run","Package":"vigil/a","Test":"TestParent/one"}
{"Action":"run","Package":"vigil/a","Test":"TestParent/two"}
{"Action":"output","Package":"vigil/a","Test":"TestParent/two","Output":"    a_test.go:7: two is wrong\n"}
{"Action":"pass","Package":"vigil/a","Test":"TestParent/one"}
{"Action":"fail","Package":"vigil/a","Test":"TestParent/two"}
{"Action":"fail","Package":"vigil/a","Test":"TestParent"}
{"Action":"run","Package":"vigil/a","Test":"TestAlone"}
{"Action":"output","Package":"vigil/a","Test":"TestAlone","Output":"=== RUN   TestAlone\n"}
{"Action":"output","Package":"vigil/a","Test":"TestAlone","Output":"    a_test.go:9: skipped, for there is no Postgres\n"}
{"Action":"output","Package":"vigil/a","Test":"TestAlone","Output":"--- SKIP: TestAlone (0.00s)\n"}
{"Action":"skip","Package":"vigil/a","Test":"TestAlone"}
{"Action":"fail","Package":"vigil/a","Elapsed":1.5}
{"Action":"run","Package":"vigil/b","Test":"TestPanics"}
{"Action":"output","Package":"vigil/b","Test":"TestPanics","Output":"panic: it hung\n"}
{"Action":"fail","Package":"vigil/b","Elapsed":2}
{"Action":"pass","Package":"vigil/c","Test":"TestFine"}
{"Action":"pass","Package":"vigil/c","Elapsed":0.1}
{"Action":"skip","Package":"vigil/d","Elapsed":0}
`
	if err := newGoEvents(s).read(strings.NewReader(strings.TrimSpace(events))); err != nil {
		t.Fatal(err)
	}
	if got := s.tally.String(); got != "2 passed, 2 failed, 1 skipped" {
		t.Errorf("counted %s; failures: %q", got, s.tally.failures)
	}
	for _, want := range []string{"two is wrong", "panic: it hung", "ok   vigil/c 0.1s", "FAIL vigil/a 1.5s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not shown in:\n%s", want, out)
		}
	}
	for reason := range s.tally.reasons {
		if !strings.Contains(reason, "a TestAlone: skipped, for there is no Postgres") {
			t.Errorf("the reason is %q", reason)
		}
	}
}

func TestVitestIsCounted(t *testing.T) {
	t.Parallel()
	s, _ := newSuite(false)
	const report = `{"testResults":[
		{"name":"/x/a.test.ts","status":"failed","assertionResults":[{"status":"passed","fullName":"a"},{"status":"failed","fullName":"b"},{"status":"skipped","fullName":"c"}]},
		{"name":"/x/broken.test.ts","status":"failed","assertionResults":[]}]}`
	if err := s.countVitest("realtime/client", []byte(report)); err != nil {
		t.Fatal(err)
	}
	if got := s.tally.String(); got != "1 passed, 2 failed, 1 skipped" {
		t.Errorf("counted %s", got)
	}
	if err := s.countVitest("realtime/client", []byte("no report")); err == nil {
		t.Error("a broken report was read")
	}
}

func TestWhatIsAbsentIsSkippedHereAndFailedInCI(t *testing.T) {
	t.Parallel()
	for ci, want := range map[bool]string{false: "0 passed, 0 failed, 1 skipped", true: "0 passed, 1 failed, 0 skipped"} {
		s, out := newSuite(ci)
		s.absent("pgTAP", "psql is missing")
		s.report()
		if got := s.tally.String(); got != want || !strings.HasSuffix(out.String(), want+"\n") {
			t.Errorf("CI=%t: %s, and printed %q", ci, got, out)
		}
		if !strings.Contains(out.String(), "psql is missing") {
			t.Errorf("the reason was not printed: %q", out)
		}
	}
}

func TestAnOldNodeIsRefused(t *testing.T) {
	t.Parallel()
	want := errors.New("node is wanted")
	for version, ok := range map[string]bool{"v20.19.0": true, "v22.1.0": true, "v24.0.0": true, "v20.18.9": false, "v18.20.0": false, "nonsense": false} {
		if err := checkNode(version, want); (err == nil) != ok {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestAnUnknownPartIsRefusedWithTheList(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if code := run(context.Background(), []string{"nonsense"}, &out); code != 2 || !strings.Contains(out.String(), "lint-sql") {
		t.Errorf("code %d, %q", code, &out)
	}
}

func TestTheConsoleIsBuiltAnewWhenWhatItIsMadeOfChanged(t *testing.T) {
	t.Parallel()
	s, _ := newSuite(false)
	s.root = t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(s.root, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	inputs := []string{"src", "index.html"}
	seen := map[string]string{}
	step := func(name string, isNew bool) {
		t.Helper()
		sum, err := s.digest(inputs)
		if err != nil {
			t.Fatal(err)
		}
		if before, known := seen[sum]; known == isNew {
			t.Errorf("%s: the digest is that of %q: %v", name, before, known)
		}
		seen[sum] = name
	}
	step("nothing", true)
	write("src/main.ts", "a")
	step("a file", true)
	write("src/main.ts", "b")
	step("other content", true)
	write("src/ui/main.ts", "b")
	step("another file of that content", true)
	write("elsewhere.ts", "b")
	step("a file that is no input", false)
	write("index.html", "<p>")
	step("the page", true)
}

// TestPartsBesideOthersAreCounted has the part beside wait for the one after it: they run at once, or not at all.
func TestPartsBesideOthersAreCounted(t *testing.T) {
	t.Parallel()
	s, out := newSuite(false)
	met := make(chan struct{})
	failed := s.runParts(t.Context(), []part{
		{"first", "", func(s *suite, _ context.Context) error { s.tally.passed++; return nil }, front},
		{"beside", "", func(s *suite, ctx context.Context) error {
			select {
			case <-met:
			case <-ctx.Done():
			}
			s.tally.fail("of beside")
			return errors.New("it broke")
		}, beside},
		{"last", "", func(s *suite, _ context.Context) error { close(met); s.tally.passed++; return nil }, front},
	})
	if !failed || s.tally.passed != 2 || s.tally.failed != 1 {
		t.Errorf("failed %t, %s", failed, s.tally.String())
	}
	for _, want := range []string{"== beside", "FAIL beside: it broke", "-- last took"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said:\n%s", want, out)
		}
	}
}

func TestEveryCheckRunsAndShowsWhatItPrints(t *testing.T) {
	t.Parallel()
	s, out := newSuite(false)
	s.root = t.TempDir()
	err := s.runChecks(t.Context(), []check{
		{"first", ".", []string{"sh", "-c", "echo one; echo wrong >&2; exit 3"}},
		{"second", ".", []string{"sh", "-c", "echo two"}},
		{"third", ".", []string{"sh", "-c", "echo three; exit 1"}},
	})
	if err == nil || !strings.Contains(err.Error(), "first in .: exit status 3") || !strings.Contains(err.Error(), "third in .: exit status 1") || strings.Contains(err.Error(), "second") {
		t.Errorf("the error is %v", err)
	}
	for _, whole := range []string{"$ first   (in .)\none\nwrong\n", "$ second   (in .)\ntwo\n", "$ third   (in .)\nthree\n"} {
		if !strings.Contains(out.String(), whole) {
			t.Errorf("%q is not in %q", whole, out)
		}
	}
}
