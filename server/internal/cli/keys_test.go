package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vigil/server/internal/cli"
	"vigil/server/internal/envelope"
)

// TestAnAnalysisKeyIsMadeOnceAndNeverShown: what is printed is the key's public id; a file that is there is left alone.
func TestAnAnalysisKeyIsMadeOnceAndNeverShown(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "key.json")
	code, out, said := run(t, nil, "keys", "new", path)
	if code != cli.ExitOK {
		t.Fatalf("%d: %s", code, said)
	}
	made, err := envelope.FileSource{Path: path}.Keys(t.Context())
	if err != nil || len(made) != 1 || strings.TrimSpace(out) != made[0].KID().String() {
		t.Fatalf("%v, %d keys, %q", err, len(made), out)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, said := run(t, map[string]string{"VIGIL_ANALYSIS_KEY_FILE": path}, "keys", "new"); code != cli.ExitFail || !strings.Contains(said, "left as it is") {
		t.Errorf("%d: %s", code, said)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Error("the key was replaced")
	}
	for _, words := range [][]string{{"keys"}, {"keys", "old"}, {"keys", "new", "a", "b"}} {
		if code, _, _ := run(t, nil, words...); code != cli.ExitUsage {
			t.Errorf("%v: %d", words, code)
		}
	}
}
