package learn

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sharedDir is DefaultDir as seen from this package.
const sharedDir = "../../../../" + DefaultDir

func shared(t testing.TB) *Shared {
	t.Helper()
	s, err := Open(sharedDir)
	if errors.Is(err, ErrAbsent) {
		t.Skip("the shared data is not beside this checkout")
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSharedDataIsReadWhole(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for name, n := range map[string][2]int{
		"risk": {len(s.Risk), 50748}, "templates": {len(s.Templates), 6021}, "traps": {len(s.Traps), 103}, "severity": {len(s.Severity), 351},
		"emotions": {len(s.Emotions), 48548}, "topics": {len(s.Topics), 579}, "ordinary": {len(s.Ordinary), 33562}, "sessions": {len(s.Sessions), 133},
	} {
		if n[0] != n[1] {
			t.Errorf("%s: %d rows, want %d", name, n[0], n[1])
		}
	}
	atRisk := 0
	for _, r := range s.Risk {
		if r.Risk == 1 {
			atRisk++
		}
		if r.Text == "" || r.Tier == "" || r.Source == "" || r.Trainable() && r.Tier != TierA {
			t.Fatalf("a row of %s lacks something", r.Source)
		}
	}
	if atRisk != 1035 {
		t.Errorf("%d rows at risk, want 1035", atRisk)
	}
	if r := s.Severity[0]; r.Level < 0 || r.Risk != unknown {
		t.Errorf("severity: level %d, risk %d", r.Level, r.Risk)
	}
	if len(s.Emotions[0].Emotions) == 0 || len(s.Emotions[0].Sentiment) == 0 || s.Topics[0].Topic == "" || len(s.Sessions[0].Turns) == 0 {
		t.Error("emotions, topics or turns are empty")
	}
}

func TestAnAbsentFolderIsToldApartFromAWrongFile(t *testing.T) {
	t.Parallel()
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrAbsent) {
		t.Errorf("no folder: %v", err)
	}
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "risk_permissive.jsonl") {
		t.Errorf("a folder without files: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "risk_permissive.jsonl"), []byte(`{"text":"canary"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir)
	if err == nil || !strings.Contains(err.Error(), "risk_permissive.jsonl is another one") || strings.Contains(err.Error(), "canary") {
		t.Errorf("another file: %v", err)
	}
}

func TestABadRowIsNamedAndNotQuoted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"text":"canary","label":"canary"}`, `{"text":"canary`, `"canary"`} {
		_, err := readRows("traps.jsonl", []byte(`{"text":"fine","label":0}`+"\n"+text), TierA)
		if err == nil || !strings.Contains(err.Error(), "traps.jsonl, row 2") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v", err)
		}
	}
}

func TestAFifthIsHeldApartWhateverTheCase(t *testing.T) {
	t.Parallel()
	held := 0
	for i := range 10_000 {
		text := strings.Repeat("word ", i%7) + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		if HeldApart(text) {
			held++
		}
		if HeldApart(text) != HeldApart(" "+strings.ToUpper(text)+"!") {
			t.Fatal("the same words in capitals have another answer")
		}
	}
	if held < 1_500 || held > 2_500 {
		t.Errorf("%d of 10,000 are held apart, want about 2,000", held)
	}
}
