package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"vigil/server/pgtest"
)

// How long a part may take to stop before it is cut off. The sidecar drains in flow order, so it gets the most.
const (
	sidecarStop  = 15 * time.Second
	postgresStop = 20 * time.Second
)

// database is the one that hosted projects use.
const database = "postgres"

// stack is one run.
type stack struct {
	options options
	root    string
	screen  screen

	data     string // keys, the bus, logs and the sidecar's program
	cluster  *pgtest.Cluster
	supabase *project
	sidecar  *sidecar
	demo     *demo // nil where a command runs, or no sidecar does
}

// exitError carries the exit code of the command that ran against the stack.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("the command ended with code %d", e.code) }

// run starts the parts in order, waits, and stops what was started in the opposite order.
func (s *stack) run(ctx context.Context) (err error) {
	remove, err := s.folder()
	if err != nil {
		return err
	}
	defer remove()
	defer func() { err = errors.Join(err, s.stop(context.WithoutCancel(ctx))) }()
	if err := s.start(ctx); err != nil {
		return err
	}
	if len(s.options.command) > 0 {
		return s.command(ctx)
	}
	if err := s.introduce(ctx); err != nil {
		return err
	}
	var sidecarEnded chan struct{} // never, where there is none
	var demoEnded chan error
	if s.sidecar != nil {
		sidecarEnded = s.sidecar.died
	}
	if s.demo != nil {
		demoEnded = s.demo.ended
	}
	select {
	case <-ctx.Done():
		return nil
	case <-sidecarEnded:
		return fmt.Errorf("the sidecar ended by itself; the end of its log (%s):\n%s", s.sidecar.logFile, s.sidecar.tail())
	case err := <-demoEnded:
		s.demo.ended <- err // as below
		return fmt.Errorf("the demo's page ended by itself: %w", err)
	case err := <-s.supabase.ended:
		s.supabase.ended <- err // stop reads it as well
		return fmt.Errorf("the stand-in ended by itself: %w", err)
	}
}

func (s *stack) start(ctx context.Context) error {
	type step struct {
		name string
		do   func(context.Context) (string, error)
	}
	steps := []step{
		{"Postgres", s.startPostgres},
		{"platform", s.applyPlatform},
		{"migrations", s.migrate},
		{"demo practice", s.seed},
		{"stand-in for Supabase", s.startStandin},
	}
	if !s.options.noSidecar {
		steps = append(steps, step{"building the sidecar", s.build}, step{"sidecar", s.startSidecar})
		if s.shows() {
			steps = append(steps, step{"demo", s.serveDemo})
		}
	}
	for _, step := range steps {
		if err := s.screen.step(ctx, step.name, step.do); err != nil {
			return err
		}
	}
	return nil
}

// shows says whether somebody looks: a command that runs against the stack needs no page.
func (s *stack) shows() bool { return len(s.options.command) == 0 }

// stop ends what runs: the demo, which writes; then the sidecar, for it needs the others to drain.
func (s *stack) stop(ctx context.Context) error {
	if s.cluster == nil {
		return nil
	}
	var err error
	s.screen.note("\nstopping")
	if s.demo != nil {
		err = errors.Join(err, s.removeVariables(), s.screen.step(ctx, "demo", func(context.Context) (string, error) { return "stopped", s.demo.stop() }))
	}
	if s.sidecar != nil {
		err = errors.Join(err, s.screen.step(ctx, "sidecar", func(ctx context.Context) (string, error) { return "stopped", s.sidecar.stop(ctx, sidecarStop) }))
	}
	if s.supabase != nil {
		err = errors.Join(err, s.screen.step(ctx, "stand-in", func(context.Context) (string, error) { return "stopped", s.supabase.stop() }))
	}
	return errors.Join(err, s.screen.step(ctx, "Postgres", func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, postgresStop)
		defer cancel()
		return "stopped", s.cluster.Close(ctx)
	}))
}

// folder makes the folder of this run and claims it. remove ends the claim, and a throwaway run's folder with it.
func (s *stack) folder() (remove func(), err error) {
	if s.options.throwaway {
		s.data, err = os.MkdirTemp("", "vigil-dev-")
		if err != nil {
			return nil, fmt.Errorf("make a folder (is the disk full?): %w", err)
		}
		return func() { _ = os.RemoveAll(s.data) }, nil
	}
	s.data = s.options.dir
	return claim(s.data)
}

// errRunning: another run holds the folder.
var errRunning = errors.New("another `go tool task dev` runs on this folder: stop that one first (Ctrl-C in its terminal)")

// claim makes a folder and locks it until release, or until our process ends.
func claim(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o711); err != nil { // Postgres' account passes through it; the secrets in it are 0600
		return nil, fmt.Errorf("make %s (is the disk full, or is it not ours?): %w", dir, err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, fmt.Errorf("open %s to Postgres: %w", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(errRunning, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// reset removes what a stack keeps.
func reset(o options, out io.Writer) error {
	release, err := claim(o.dir)
	if err != nil {
		return err
	}
	defer release()
	for _, dir := range []string{o.dir, elsewhere(o.dir)} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
	}
	fmt.Fprintln(out, "the development database, the bus and the keys are removed; `go tool task dev` makes new ones")
	return nil
}

// elsewhere is where Postgres' files are kept when we are root and its account cannot enter the folder of the rest.
func elsewhere(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return fmt.Sprintf("/var/tmp/vigil-dev-%d-%s", os.Geteuid(), hex.EncodeToString(sum[:4]))
}

func (s *stack) startPostgres(ctx context.Context) (string, error) {
	if s.options.throwaway {
		cluster, err := pgtest.Open(ctx, pgtest.Options{Version: s.options.version, Unprepared: true})
		s.cluster = cluster
		return s.describePostgres(), err
	}
	version := s.options.version
	if version == 0 {
		version = pgtest.Default()
	}
	o := pgtest.Options{Version: version, Keep: true, Dir: filepath.Join(s.data, fmt.Sprintf("postgres-%d", version))}
	cluster, err := pgtest.Open(ctx, o)
	if errors.Is(err, pgtest.ErrUnreachable) {
		o.Dir = filepath.Join(elsewhere(s.data), filepath.Base(o.Dir))
		if err := os.MkdirAll(elsewhere(s.data), 0o711); err != nil {
			return "", fmt.Errorf("make a folder for Postgres: %w", err)
		}
		cluster, err = pgtest.Open(ctx, o)
	}
	s.cluster = cluster
	return s.describePostgres(), err
}

func (s *stack) describePostgres() string {
	if s.cluster == nil {
		return ""
	}
	return fmt.Sprintf("version %d on 127.0.0.1:%d, log %s", s.cluster.Version(), s.cluster.Port(), s.cluster.LogFile())
}

// command runs the words after "--" against the stack.
func (s *stack) command(ctx context.Context) error {
	words := s.options.command
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = filepath.Join(s.root, filepath.FromSlash(s.options.in))
	cmd.Env = append(os.Environ(), s.environment()...)
	cmd.Env = append(cmd.Env, "OWNER_URL="+s.cluster.URL(pgtest.RoleOwner, database)) // the operator's, whom the tests play too
	cmd.Stdout, cmd.Stderr = s.screen.out, s.screen.out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = sidecarStop
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &exitError{max(exit.ExitCode(), 1)}
	}
	return err
}
