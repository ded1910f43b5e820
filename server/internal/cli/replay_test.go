package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vigil/server/internal/cli"
)

// replayed calls `vigil replay` with nothing but the given variables.
func replayed(t *testing.T, env map[string]string, words ...string) (code int, out, said string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Run(t.Context(), cli.Process{
		Args: append([]string{"replay"}, words...), Getenv: func(name string) string { return env[name] }, Stdout: &stdout, Stderr: &stderr,
	})
	return code, stdout.String(), stderr.String()
}

func TestReplayDescribesItselfAndTheFormat(t *testing.T) {
	t.Parallel()
	code, _, said := replayed(t, nil, "-h")
	for _, want := range []string{"-speed", "-concurrency", "-conversations", "-file", "-organization", "-json", "-keep", "SUPABASE_SECRET_KEY", "exit code", `"turns"`, "therapist", "max (or 0)"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in its help", want)
		}
	}
	if code != cli.ExitOK {
		t.Errorf("-h ends with %d", code)
	}
}

func TestReplayRefusesAWrongCallBeforeItDoesAnything(t *testing.T) {
	t.Parallel()
	const secret = "sb_secret_neverprinted"
	whole := map[string]string{
		"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x", "SUPABASE_SECRET_KEY": secret, "VIGIL_URL": "http://127.0.0.1:9",
	}
	without := func(name string) map[string]string {
		env := map[string]string{}
		for k, v := range whole {
			if k != name {
				env[k] = v
			}
		}
		return env
	}
	file := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(file, []byte(`{"id":"a","turns":[["nobody","x"]]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for sentence, c := range map[string]struct {
		env   map[string]string
		words []string
		want  string
	}{
		"no project":           {without("SUPABASE_URL"), nil, "SUPABASE_URL"},
		"no publishable key":   {without("SUPABASE_PUBLISHABLE_KEY"), nil, "SUPABASE_PUBLISHABLE_KEY"},
		"no secret key":        {without("SUPABASE_SECRET_KEY"), nil, "SUPABASE_SECRET_KEY"},
		"an address of no web": {whole, []string{"--vigil-url", "ws://x"}, "VIGIL_URL"},
		"a negative speed":     {whole, []string{"--speed", "-1"}, "max"},
		"a speed of no number": {whole, []string{"--speed", "NaN"}, "max"},
		"nobody at once":       {whole, []string{"--concurrency", "0"}, "--concurrency"},
		"a word too many":      {whole, []string{"now"}, "usage"},
		"a file of no kind":    {whole, []string{"--file", file}, "line 1"},
		"no file":              {whole, []string{"--file", file + "x"}, "--file"},
	} {
		code, out, said := replayed(t, c.env, c.words...)
		if code != cli.ExitUsage || !strings.Contains(said, c.want) || out != "" || strings.Contains(said, secret) {
			t.Errorf("%s: code %d\n%s%s", sentence, code, out, said)
		}
	}
}

func TestReplayThatFindsNobodySaysWhatToDoAndFails(t *testing.T) {
	t.Parallel()
	env := map[string]string{"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_PUBLISHABLE_KEY": "p", "SUPABASE_SECRET_KEY": "s"}
	code, out, said := replayed(t, env, "--speed=max", "--json")
	if code != cli.ExitFail || !strings.Contains(said, "→ Does SUPABASE_URL") || !strings.Contains(said, "preparing: 0 of 52") || !strings.Contains(out, `"written": 0`) {
		t.Errorf("code %d\n%s\n%s", code, out, said)
	}
}
