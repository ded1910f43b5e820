// Package cli holds vigil's commands: serve, keys, doctor, erase, replay, assess, trace and version.
//
// Guarantees: a command's result goes to standard output and what it has to say about itself to standard error; the exit
// code is 0 when all is well, 1 when something failed, 2 when the call itself was wrong; no secret is printed.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"
)

// Exit codes.
const (
	ExitOK    = 0
	ExitFail  = 1
	ExitUsage = 2
)

// Process is what a command may touch of the process it runs in.
type Process struct {
	Args           []string
	Getenv         func(string) string
	Stdin          io.Reader // nil is empty
	Stdout, Stderr io.Writer
	Now            func() time.Time // nil means time.Now
}

type command struct {
	name, args, help string
	run              func(ctx context.Context, p Process, fs *flag.FlagSet) int
}

func commands() []command {
	return []command{
		{"serve", "[--roles ingest,…]", "run the sidecar: ingest, detection, relay and API", serve},
		{"keys", "new|list|retire|…", "make, list, retire and compare the sidecar's analysis keys", keys},
		{"doctor", "[--json]", "find what is wrong with a deployment, and say how to mend it", doctor},
		{"erase", "session|person …", "destroy a session or a person's data, and print the receipt", erase},
		{"replay", "[flags]", "replay conversations against a running system, and count what became of them", replayConversations},
		{"assess", "[file]", "score JSON lines of a file or of standard input, a line out for each", assessLines},
		{"trace", "[--json] <message id>", "show when a message passed each stage (asks the running sidecar)", trace},
		{"version", "", "print the version", version},
	}
}

// Run runs the command that p.Args names and returns the process' exit code. It returns when the command has ended or,
// for serve, when ctx has and all parts have stopped.
func Run(ctx context.Context, p Process) int {
	name := "help"
	if len(p.Args) > 0 {
		name = strings.TrimLeft(p.Args[0], "-")
	}
	for _, c := range commands() {
		if c.name == name {
			p.Args = p.Args[1:]
			fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
			fs.SetOutput(p.Stderr)
			fs.Usage = func() { say(p.Stderr, "usage: vigil %s %s\n%s\n", c.name, c.args, c.help) }
			return c.run(ctx, p, fs)
		}
	}
	out, code := p.Stderr, ExitUsage
	if name == "help" || name == "h" {
		out, code = p.Stdout, ExitOK
	} else {
		say(out, "vigil: no such command: %s\n\n", p.Args[0])
	}
	say(out, "vigil keeps watch over therapy sessions beside a Supabase project.\n\nusage: vigil <command>\n\n")
	for _, c := range commands() {
		say(out, "  %-9s %-22s %s\n", c.name, c.args, c.help)
	}
	say(out, "\nConfiguration is read from the environment; .env.example lists every variable.\n")
	return code
}

// parse reads the command's flags from p and returns the words after them; done is true when there is nothing to run.
func parse(p Process, fs *flag.FlagSet, words int) (rest []string, code int, done bool) {
	switch err := fs.Parse(p.Args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, ExitOK, true
	case err != nil:
		return nil, ExitUsage, true
	}
	if fs.NArg() != words {
		fs.Usage()
		return nil, ExitUsage, true
	}
	return fs.Args(), ExitOK, false
}

// say writes to w; a closed terminal is nobody's error.
func say(w io.Writer, format string, a ...any) { _, _ = fmt.Fprintf(w, format, a...) }

func version(_ context.Context, p Process, fs *flag.FlagSet) int {
	if _, code, done := parse(p, fs, 0); done {
		return code
	}
	say(p.Stdout, "vigil %s\n", Version())
	return ExitOK
}

// Version returns the module's version and, for a build from a checkout, its revision.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(v, s.Value[:min(12, len(s.Value))]) {
			v += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
