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
	run  func(context.Context) error
}

// parts are in the order in which "all" runs them.
func (s *suite) parts() []part {
	return []part{
		{"install", "install what is missing", s.install},
		{"build", "build the console, if it has changed", s.buildConsole},
		{"vet", "go vet", s.vet},
		{"go", "the Go tests", s.goTests},
		{"sql", "pgTAP on Postgres 15 and 17", s.sqlTests},
		{"client", "the client's tests (vitest)", s.clientTests},
		{"console", "the console's tests (vitest)", s.consoleTests},
		{"functions", "the edge functions' tests (Deno)", s.functionTests},
		{"e2e", "the end-to-end tests (Node)", s.endToEnd},
		{"chromium", "install a browser if there is none", s.installChromium},
		{"browser", "the browser tests (Chromium)", s.browserTests},
	}
}

// lints are run by name only: "all" is about tests.
func (s *suite) lints() []part {
	return []part{
		{"lint-sql", "config.toml, db push, db lint", s.lintSQL},
		{"lint-ts", "tsc and eslint", s.lintTypeScript},
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
	s := &suite{root: root, ci: os.Getenv("CI") == "true", out: out}
	chosen, err := s.choose(args)
	if err != nil {
		fmt.Fprintln(out, err)
		return 2
	}
	began := time.Now()
	failed := false
	for _, p := range chosen {
		s.say("== %s: %s", p.name, p.help)
		partBegan := time.Now()
		err := p.run(ctx)
		if err != nil {
			failed = true
			s.say("FAIL %s: %v", p.name, err)
		}
		s.say("-- %s took %s", p.name, time.Since(partBegan).Round(time.Millisecond))
		// Without what install brings, the other parts would fail for that reason alone.
		if ctx.Err() != nil || errors.Is(err, errMissing) {
			break
		}
	}
	if failed || s.tally.total() > 0 {
		s.report()
	}
	s.say("took %s", time.Since(began).Round(time.Second))
	if failed || s.tally.failed > 0 || ctx.Err() != nil {
		return 1
	}
	return 0
}

// choose finds the parts by name; "all" is every part that is a test.
func (s *suite) choose(args []string) ([]part, error) {
	if len(args) == 0 || len(args) == 1 && args[0] == "all" {
		return s.parts(), nil
	}
	known := append(s.parts(), s.lints()...)
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
