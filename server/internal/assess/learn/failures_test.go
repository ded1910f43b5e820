package learn

import (
	"flag"
	"os"
	"testing"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
)

var update = flag.Bool("update", false, "write the page of known failures")

func TestThePageOfFailuresIsWhatTheDetectorGetsWrong(t *testing.T) {
	t.Parallel()
	const page = "../FAILURES.md"
	want := Failures(assess.New(), corpus.Messages())
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil { //nolint:gosec // a file of the repository, for everyone
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != want {
		t.Errorf("the page says something else (%v): run the test with -update", err)
	}
}
