package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

func (s *suite) vet(ctx context.Context) error { return s.call(ctx, ".", "go", "vet", "./...") }

// packageTimeout is for one package: twice what the longest, server/e2e, takes on two processors beside the other parts, and short
// enough that a test which hangs is named before CI ends the run, after 25 minutes.
const packageTimeout = "12m"

func (s *suite) goTests(ctx context.Context) error {
	// The part vet has looked at more than `go test` would once more.
	cmd := s.command(ctx, ".", "go", "test", "-json", "-vet=off", "-timeout", packageTimeout, "./...")
	g := newGoEvents(s)
	err := s.lines(cmd, g.read)
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil && s.tally.failed > 0 {
		return nil // failed tests are in the tally
	}
	return err
}

// goEvent is one line of `go test -json`. Source: `go doc test2json`.
type goEvent struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

// goEvents follows the events of all packages: output is kept until a test's end is known, and shown if it failed.
type goEvents struct {
	s       *suite
	output  map[string][]string
	parents map[string]bool // tests that have subtests: these count, not the parent
	blamed  map[string]bool // tests that failed for a subtest of theirs
	failed  map[string]int  // failed tests by package
}

func newGoEvents(s *suite) *goEvents {
	return &goEvents{
		s: s, output: make(map[string][]string), parents: make(map[string]bool), blamed: make(map[string]bool), failed: make(map[string]int),
	}
}

func (g *goEvents) read(r io.Reader) error {
	const longestLine = 4 << 20
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), longestLine)
	for scanner.Scan() {
		var e goEvent
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
			g.s.say("%s", scanner.Text())
			continue
		}
		g.event(e)
	}
	return scanner.Err()
}

func (g *goEvents) event(e goEvent) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "run":
		if parent, _, ok := cutLast(e.Test, "/"); ok {
			g.parents[e.Package+" "+parent] = true
		}
	case "output":
		g.output[key] = append(g.output[key], e.Output)
	case "build-output":
		fmt.Fprint(g.s.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			g.endOfPackage(e)
		} else {
			g.endOfTest(key, e)
		}
		delete(g.output, key)
	}
}

func (g *goEvents) endOfTest(key string, e goEvent) {
	output := g.output[key]
	if e.Action == "fail" {
		for _, line := range output {
			fmt.Fprint(g.s.out, line)
		}
		g.failed[e.Package]++
	}
	if parent, _, ok := cutLast(e.Test, "/"); ok && e.Action == "fail" {
		g.blamed[e.Package+" "+parent] = true
	}
	if g.parents[key] && e.Action != "fail" || g.blamed[key] {
		return
	}
	name := strings.TrimPrefix(e.Package, "vigil/") + " " + e.Test
	switch e.Action {
	case "pass":
		g.s.tally.passed++
	case "fail":
		g.s.tally.fail(name)
	case "skip":
		g.s.tally.skip(name + ": " + skipReason(output))
	}
}

// endOfPackage prints one line a package. One that failed without a failed test did not build, panicked or timed out.
func (g *goEvents) endOfPackage(e goEvent) {
	if e.Action == "skip" {
		return // it has no tests
	}
	if e.Action == "fail" && g.failed[e.Package] == 0 {
		for _, line := range g.output[e.Package+" "] {
			fmt.Fprint(g.s.out, line)
		}
		g.unfinished(e.Package)
		g.s.tally.fail(strings.TrimPrefix(e.Package, "vigil/") + " (the package as a whole)")
	}
	g.s.say("%s %s %.1fs", map[string]string{"pass": "ok  ", "fail": "FAIL"}[e.Action], e.Package, e.Elapsed)
}

// unfinished shows what the tests printed that were running when their package ended.
func (g *goEvents) unfinished(pkg string) {
	for key, lines := range g.output {
		if strings.HasPrefix(key, pkg+" ") && key != pkg+" " {
			for _, line := range lines {
				fmt.Fprint(g.s.out, line)
			}
			delete(g.output, key)
		}
	}
}

// skipReason is what the test said: the line before "--- SKIP".
func skipReason(output []string) string {
	reason := "no reason given"
	for _, line := range output {
		text := strings.TrimSpace(line)
		if strings.HasPrefix(text, "--- SKIP") || strings.HasPrefix(text, "=== ") || text == "" {
			continue
		}
		if _, after, ok := strings.Cut(text, ".go:"); ok {
			if _, after, ok = strings.Cut(after, ": "); ok {
				text = after
			}
		}
		reason = text
	}
	return reason
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
