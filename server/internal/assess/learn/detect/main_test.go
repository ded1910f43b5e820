package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestACallWithoutACommandSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"dance"}} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), "usage: detect train|eval") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestEvalJudgesByTheCorpusWhereThereIsNoSharedData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "measures.json")
	var stdout, stderr bytes.Buffer
	if err := evaluate([]string{"-floors", "../floors.json", "-data", filepath.Join(dir, "none"), "-json", name}, &stdout, &stderr); err != nil {
		t.Errorf("a committed floor is crossed: %v", err)
	}
	if !strings.Contains(stderr.String(), "by the corpus alone") || !strings.Contains(stdout.String(), "Category not at risk") || strings.Contains(stdout.String(), "dailydialog") {
		t.Errorf("%s\n%s", stderr.String(), stdout.String())
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var written struct {
		Measures []struct {
			Key    string
			Value  float64
			Shared bool
		}
	}
	if err := json.Unmarshal(text, &written); err != nil || len(written.Measures) < 100 || written.Measures[0].Shared || written.Measures[0].Key != "self-harm/corpus/auprc" {
		t.Errorf("%v: %d measures", err, len(written.Measures))
	}
}

func TestEvalRefusesAnotherFileThanTheKnownOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "risk_permissive.jsonl"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := evaluate([]string{"-floors", "../floors.json", "-data", dir}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "is another one") {
		t.Errorf("%v", err)
	}
}
