package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"vigil/server/pgtest"
)

func (s *suite) clientTests(ctx context.Context) error { return s.vitest(ctx, "realtime/client") }

// endToEnd runs server/e2e's Node tests: against the project that SUPABASE_URL names, else a stand-in that they start. Its Go
// tests, which kill the sidecar, are among the Go tests.
func (s *suite) endToEnd(ctx context.Context) error { return s.vitest(ctx, "server/e2e") }

// hasTests looks for *.test.ts in a package's folder, but not in node_modules.
func (s *suite) hasTests(folder string) bool {
	for _, pattern := range []string{"*.test.ts", "*/*.test.ts", "*/*/*.test.ts", "*/*.test.tsx"} {
		names, err := filepath.Glob(filepath.Join(s.root, filepath.FromSlash(folder), pattern))
		if err != nil {
			return false
		}
		for _, name := range names {
			if !strings.Contains(name, "node_modules") {
				return true
			}
		}
	}
	return false
}

// vitest runs a package's tests, and counts them.
func (s *suite) vitest(ctx context.Context, folder string, more ...string) error {
	if !s.hasTests(folder) {
		return s.none(folder)
	}
	runner := filepath.Join(s.root, filepath.FromSlash(folder), "node_modules", "vitest", "vitest.mjs")
	if _, err := os.Stat(runner); err != nil || !has("node") {
		s.absent(folder, "vitest is missing: install Node 20.19 or later and run `npm ci` in "+folder)
		return nil
	}
	temp, err := os.MkdirTemp("", "vigil-suite-")
	if err != nil {
		return fmt.Errorf("make a folder for vitest's report: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	report := filepath.Join(temp, "report.json")
	args := append([]string{runner, "run", "--reporter=default", "--reporter=json", "--outputFile.json=" + report}, more...)
	runErr := s.call(ctx, folder, "node", args...)
	data, err := os.ReadFile(report)
	if err != nil {
		return errors.Join(runErr, fmt.Errorf("vitest in %s left no report: %w", folder, err))
	}
	failed := s.tally.failed
	if err := s.countVitest(folder, data); err != nil {
		return err
	}
	var exit *exec.ExitError
	if errors.As(runErr, &exit) && s.tally.failed > failed {
		return nil // failed tests are in the tally
	}
	return runErr
}

// countVitest reads what vitest's "json" reporter writes (the format is Jest's).
func (s *suite) countVitest(folder string, data []byte) error {
	var report struct {
		TestResults []struct {
			Name             string
			Status           string
			AssertionResults []struct{ Status, FullName string }
		}
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return fmt.Errorf("read vitest's report: %w", err)
	}
	for _, file := range report.TestResults {
		failed := false
		for _, test := range file.AssertionResults {
			name := folder + " " + test.FullName
			switch test.Status {
			case "passed":
				s.tally.passed++
			case "failed":
				failed = true
				s.tally.fail(name)
			default:
				s.tally.skip(name + ": " + test.Status)
			}
		}
		if file.Status == "failed" && !failed {
			s.tally.fail(folder + " " + filepath.Base(file.Name) + " (the file as a whole)")
		}
	}
	return nil
}

const noDeno = "Deno is missing: run `npm ci` and `node node_modules/deno/install.cjs` in server/e2e"

// deno is npm's Deno, if it is there.
func (s *suite) deno() (program string, ok bool) {
	path := []string{"server", "e2e", "node_modules", ".bin", "deno"}
	return filepath.Join(append([]string{s.root}, path...)...), s.exists(path...)
}

// functionTests runs every *_test.ts below functions/ with Deno, which reports in TAP.
func (s *suite) functionTests(ctx context.Context) error {
	const folder = "functions"
	names, err := filepath.Glob(filepath.Join(s.root, folder, "*", "*_test.ts"))
	if err != nil || len(names) == 0 {
		return errors.Join(err, s.none(folder))
	}
	deno, ok := s.deno()
	if !ok {
		s.absent(folder, noDeno)
		return nil
	}
	var result tapResult
	cmd := s.command(ctx, folder, deno, "test", "--reporter=tap", "--no-prompt", "--allow-env", "--allow-net=127.0.0.1")
	runErr := s.lines(cmd, func(r io.Reader) error {
		var err error
		result, err = readTAP(r)
		return err
	})
	if !s.countTAP(folder, result) {
		return nil // it is in the tally
	}
	s.say("ok   functions %d tests", result.ran)
	return runErr
}

// closing ends a cluster that a part started.
func closing(ctx context.Context, c *pgtest.Cluster) {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), endAfter)
	defer cancel()
	_ = c.Close(stop) // the kernel ends with us what does not end now
}
