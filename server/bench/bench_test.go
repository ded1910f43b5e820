package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vigil/server/pgtest"
)

// TestMain lets the test binary be the processes that it measures.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == childWord {
		os.Exit(runChild(os.Args[2], os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// TestEveryRowRuns makes a tiny run of each row. Its numbers mean nothing; that there are some, and nothing failed, does.
func TestEveryRowRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped, for it builds and starts the sidecar")
	}
	pg, err := pgtest.Open(t.Context(), pgtest.Options{Bare: true})
	if errors.Is(err, pgtest.ErrNoPostgres) && os.Getenv("CI") != "true" {
		t.Skipf("skipped, for this test needs Postgres: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := pg.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "results.json")
	var out bytes.Buffer
	code := run(t.Context(), []string{"-messages", "200", "-rounds", "1", "-json", file}, os.Getenv, &out, io.Discard)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out.String())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report Report
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != len(rows()) {
		t.Errorf("%d of %d rows", len(report.Results), len(rows()))
	}
	for _, r := range report.Results {
		if r.Failed != "" || len(r.Series) == 0 || len(r.Checks) == 0 {
			t.Errorf("%s: %d series, %d targets, failed: %q", r.Row, len(r.Series), len(r.Checks), r.Failed)
		}
	}
}

func TestRowsAreChosenByName(t *testing.T) {
	if got, err := choose("start,ingest"); err != nil || len(got) != 2 || got[0].name != "ingest" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := choose("ingest,speed"); err == nil || !strings.Contains(err.Error(), "fanout") {
		t.Errorf("an unknown row: %v", err)
	}
}

func TestATargetIsMetOrSaysByHowMuchNot(t *testing.T) {
	r := &Result{}
	for _, v := range []float64{3, 1, 2} {
		r.add("a", "rate", "/s", v)
		r.add("b", "rate", "/s", 1)
	}
	if s := r.Series[0]; s.Min != 1 || s.Median != 2 || s.Max != 3 {
		t.Errorf("%+v", s)
	}
	r.check("of b's", ratios(r.values("a", "rate"), r.values("b", "rate")), "×", false, 4)
	r.check("of b's", ratios(r.values("a", "rate"), r.values("b", "rate")), "×", true, 4)
	if c := r.Checks[0]; c.Met || !strings.HasSuffix(c.String(), "MISSED by 50 %") {
		t.Error(c)
	}
	if c := r.Checks[1]; !c.Met || !strings.HasSuffix(c.String(), "met") {
		t.Error(c)
	}
	if got := figure(1234567); got != "1,234,567" {
		t.Error(got)
	}
	if p := (durations{4e6, 1e6, 3e6, 2e6}).percentile(0.5); p != 3 {
		t.Error(p)
	}
}
