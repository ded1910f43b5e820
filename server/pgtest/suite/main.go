// Command suite is what `go tool task test` and its parts run: it installs what is missing, runs every kind of test of this
// repository, and prints how many passed, failed and were skipped over all of them.
//
// It guarantees: its exit code is 0 only when every part ran and nothing failed; a part that could not run (no pgTAP, no
// Node) is counted as skipped with its reason, and as failed where CI=true; what it starts does not outlive it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"vigil/server/pgtest"
)

// suite is one run over the repository.
type suite struct {
	root  string
	ci    bool
	out   io.Writer
	tally tally
}

// part is one kind of work. Its error means that it could not run or end properly; failed tests are in the tally.
type part struct {
	name string
	help string
	run  func(*suite, context.Context) error
	lane lane
}

// lane says beside what a part runs.
type lane uint8

const (
	front     lane = iota
	beside         // beside those of the front, after the others that are beside it
	meanwhile      // while the first of the front does: it needs nothing of it
)

// parts are in the order in which "all" runs them. Of two lanes, the one that begins with "go" and
// the rest, neither is to wait long for the other: both keep a processor busy.
func parts() []part {
	return []part{
		{"install", "install what is missing", (*suite).install, front},
		{"build", "build the console, if it has changed", (*suite).buildConsole, front},
		{"vet", "go vet", (*suite).vet, meanwhile},
		{"chromium", "install a browser if there is none", (*suite).installChromium, front},
		{"go", "the Go tests", (*suite).goTests, beside},
		{"sql", "pgTAP on Postgres 15 and 17", (*suite).sqlTests, beside},
		{"client", "the client's tests (vitest)", (*suite).clientTests, beside},
		{"console", "the console's tests (vitest)", (*suite).consoleTests, beside},
		{"functions", "the edge functions' tests (Deno)", (*suite).functionTests, beside},
		{"e2e", "the end-to-end tests (Node)", (*suite).endToEnd, front},
		{"browser", "the browser tests (Chromium)", (*suite).browserTests, front},
	}
}

// tests are the parts that write much that nobody needs after them.
var tests = []string{"go", "sql", "client", "e2e", "browser"}

// lints are run by name only: "all" is about tests.
func lints() []part {
	return []part{
		{"lint-sql", "config.toml, db push, db lint", (*suite).lintSQL, front},
		{"lint-ts", "tsc and eslint", (*suite).lintTypeScript, front},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out io.Writer) int {
	root, err := pgtest.ModuleRoot()
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	s := &suite{root: root, ci: os.Getenv("CI") == "true", out: &whole{to: out}}
	chosen, err := choose(args)
	if err != nil {
		fmt.Fprintln(out, err)
		return 2
	}
	began := time.Now()
	forget, err := s.keepInMemory(chosen)
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	defer forget()
	failed := s.runParts(ctx, chosen)
	if failed || s.tally.total() > 0 {
		s.report()
	}
	s.say("took %s", time.Since(began).Round(time.Second))
	if failed || s.tally.failed > 0 || ctx.Err() != nil {
		return 1
	}
	return 0
}

// keepInMemory lets tests, where some were chosen, write to memory.
func (s *suite) keepInMemory(chosen []part) (forget func(), err error) {
	if !slices.ContainsFunc(chosen, func(p part) bool { return slices.Contains(tests, p.name) }) {
		return func() {}, nil
	}
	dir, forget, err := inMemory()
	if err != nil || dir == "" {
		return forget, err
	}
	s.say("what the tests write is kept in memory, below %s; set TMPDIR to have it on a disk", dir)
	return forget, os.Setenv("TMPDIR", dir)
}

// runParts runs the parts in their order, in two lanes from the first on that may run beside others.
func (s *suite) runParts(ctx context.Context, chosen []part) (failed bool) {
	second := &suite{root: s.root, ci: s.ci, out: s.out}
	var early, others sync.WaitGroup
	var begun, failedEarly, failedBeside bool
	early.Go(func() { failedEarly = s.runLane(ctx, chosen, meanwhile) }) // it counts no tests
	for _, p := range chosen {
		if p.lane == meanwhile {
			continue
		}
		if p.lane == beside {
			if !begun {
				begun = true
				others.Go(func() { failedBeside = second.runLane(ctx, chosen, beside) })
			}
			continue
		}
		err := s.runPart(ctx, p)
		early.Wait()
		failed = failed || err != nil
		// Without what install brings, the other parts would fail for that reason alone.
		if ctx.Err() != nil || errors.Is(err, errMissing) {
			break
		}
	}
	early.Wait()
	others.Wait()
	s.tally.add(&second.tally)
	return failed || failedEarly || failedBeside
}

func (s *suite) runLane(ctx context.Context, chosen []part, l lane) (failed bool) {
	for _, p := range chosen {
		if p.lane == l && ctx.Err() == nil {
			failed = s.runPart(ctx, p) != nil || failed
		}
	}
	return failed
}

func (s *suite) runPart(ctx context.Context, p part) error {
	s.say("== %s: %s", p.name, p.help)
	began := time.Now()
	err := p.run(s, ctx)
	if err != nil {
		s.say("FAIL %s: %v", p.name, err)
	}
	s.say("-- %s took %s", p.name, time.Since(began).Round(time.Millisecond))
	return err
}

// whole lets several write to one output, each Write whole.
type whole struct {
	mu sync.Mutex
	to io.Writer
}

func (w *whole) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// choose finds the parts by name; "all" is every part that is a test.
func choose(args []string) ([]part, error) {
	if len(args) == 0 || len(args) == 1 && args[0] == "all" {
		return parts(), nil
	}
	known := append(parts(), lints()...)
	var chosen []part
	for _, arg := range args {
		found := false
		for _, p := range known {
			if p.name == arg {
				chosen, found = append(chosen, p), true
			}
		}
		if !found {
			text := fmt.Sprintf("there is no part %q; choose all, or some of:", arg)
			for _, p := range known {
				text += fmt.Sprintf("\n  %-10s %s", p.name, p.help)
			}
			return nil, errors.New(text)
		}
	}
	return chosen, nil
}

func (s *suite) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
