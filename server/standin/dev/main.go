// Command dev is what `go tool task dev` runs: everything on one machine. A private Postgres with the platform's SQL, the
// migrations and a demo practice; the stand-in for Supabase; the sidecar, built from this tree.
//
//	Postgres -> platform, migrations, demo practice -> stand-in -> sidecar -> (a command; or the demo's page, until Ctrl-C)
//
// It guarantees: what it starts it stops, the sidecar first, then the stand-in, then Postgres; data are kept in .vigil
// between runs (-throwaway: removed); only migrations that are new are run; a port that is taken is no obstacle unless it
// was asked for by number; a fault is told in a sentence that says what to do. One run at a time on one folder.
//
// The demo's page starts a replay and kills the sidecar, which comes back; it is reached from this machine only, opens nothing
// by itself, and ends with the stack. Until then .vigil/dev.env holds the variables for `vigil doctor` and `vigil replay`.
//
// After "--" comes a command to run against the stack, with the sidecar's variables in its environment; the stack stops
// with it, and its exit code is passed on. The end-to-end tests are such a command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"vigil/server/pgtest"
)

// options are the command line.
type options struct {
	dir         string
	version     int
	standinPort int
	sidecarPort int
	demoPort    int
	throwaway   bool
	reset       bool
	verbose     bool
	noSidecar   bool
	in          string
	command     []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends us at once
	code := run(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 after Ctrl-C, 1 after a fault, 2 for a wrong command line, else the command's own.
func run(ctx context.Context, args []string, out io.Writer) int {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	root, err := pgtest.ModuleRoot()
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	if o.dir == "" {
		o.dir = filepath.Join(root, ".vigil")
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	if o.reset {
		err = reset(o, out)
	} else {
		err = (&stack{options: o, root: root, screen: screen{out: out}}).run(ctx)
	}
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		return exit.code
	case err != nil && ctx.Err() == nil:
		fmt.Fprintf(out, "\n%v\n", err)
		return 1
	}
	return 0
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("dev", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.dir, "dir", "", "where data are kept (.vigil at the top of the repository)")
	flags.IntVar(&o.version, "postgres", 0, "15 or 17 (15 if it is there, else 17)")
	flags.IntVar(&o.standinPort, "standin-port", 0, "the stand-in's port (54321 if it is free, else any)")
	flags.IntVar(&o.sidecarPort, "sidecar-port", 0, "the sidecar's port (8788 if it is free, else any)")
	flags.IntVar(&o.demoPort, "demo-port", 0, "the demo page's port (8787 if it is free, else any)")
	flags.BoolVar(&o.throwaway, "throwaway", false, "keep nothing, and use free ports")
	flags.BoolVar(&o.reset, "reset", false, "remove what is kept, and start nothing")
	flags.BoolVar(&o.verbose, "verbose", false, "show the sidecar's log here")
	flags.BoolVar(&o.noSidecar, "no-sidecar", false, "start all but the sidecar, and print the variables to start it with")
	flags.StringVar(&o.in, "in", "", "the folder, below the repository, that the command runs in")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.command = flags.Args()
	return o, nil
}
