package assess_test

import (
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Guarantee 6. What assess may import is a list, so that a language model, the network, the clock or the disk cannot
// come in unnoticed.
func TestCrisisDetectionNeverWaitsForALanguageModel(t *testing.T) {
	t.Parallel()
	allowed := map[string]bool{
		"embed": true, "encoding/binary": true, "math": true, "strings": true, "slices": true, "sync": true, "unicode": true, "unicode/utf8": true,
		"vigil/server/internal/triage": true,
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if !allowed[path] {
				t.Errorf("%s imports %s: detection is pure and waits for nothing", file.Name(), path)
			}
		}
		checked++
	}
	if checked < 3 {
		t.Fatalf("only %d files checked", checked)
	}
}
