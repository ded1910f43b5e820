package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"vigil/server/pgtest"
)

// readyAfter is how long the sidecar may take to become ready.
const readyAfter = 60 * time.Second

// What a sidecar is at.
const (
	stateUp       = "up"
	stateDown     = "down"
	stateStarting = "starting"
)

// downFor is how long a sidecar whose plug was pulled stays away.
const downFor = 2 * time.Second

// sidecar is `vigil serve` as a child, which may be killed and started again on the same data and addresses.
//
//	starting ─▶ up ─▶ (kill) down ─▶ (revive) starting ─▶ up
//	     └───────┴─▶ died: it ended by itself
type sidecar struct {
	url, operator string
	logFile       string
	command       func() *exec.Cmd // a fresh one
	verbose       io.Writer        // nil: its log goes to logFile

	died chan struct{} // closed when it ended by itself, or did not come back
	dead sync.Once

	mu     sync.Mutex
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the present process is gone
	state  string
	since  time.Time
	kills  int
	killed bool // the present process is being ended by us
}

func (s *stack) program() string { return filepath.Join(s.data, "vigil") }

func (s *stack) build(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", s.program(), "./server")
	cmd.Dir = s.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the sidecar: %w:\n%s", err, out)
	}
	return "go build ./server", nil
}

// environment is what the sidecar, and a command after "--", are told.
func (s *stack) environment() []string {
	replicator := pgtest.RoleReplicator
	if s.cluster.Version() < 16 {
		replicator = pgtest.RoleOwner // as on a hosted project, where nobody else may replicate
	}
	env := []string{
		"DATABASE_URL=" + s.cluster.URL(pgtest.RoleSidecar, database),
		"REPLICATION_URL=" + s.cluster.URL(replicator, database),
		"SUPABASE_URL=" + s.supabase.url,
		"SUPABASE_PUBLISHABLE_KEY=" + s.supabase.server.PublishableKey(),
		"SUPABASE_SECRET_KEY=" + s.supabase.server.SecretKey(),
	}
	if secret := s.supabase.server.NotifySecret(); secret != "" {
		env = append(env, "VIGIL_NOTIFY_SECRET="+secret)
	}
	if s.sidecar != nil {
		env = append(env, "VIGIL_URL="+s.sidecar.url, "VIGIL_OPERATOR_URL="+s.sidecar.operator)
	}
	return env
}

// startSidecar starts the program and waits until it says that it is ready.
func (s *stack) startSidecar(ctx context.Context) (string, error) {
	address, err := freeAddress(s.options.sidecarPort, sidecarPort, s.options.throwaway)
	if err != nil {
		return "", err
	}
	operator, err := freeAddress(0, operatorPort, s.options.throwaway)
	if err != nil {
		return "", err
	}
	if s.shows() {
		if err := s.openDemo(); err != nil {
			return "", err
		}
	}
	c := &sidecar{url: "http://" + address, operator: "http://" + operator, logFile: filepath.Join(s.data, "sidecar.log"), died: make(chan struct{})}
	if s.options.verbose {
		c.verbose = s.screen.out
	}
	s.sidecar = c // environment names its addresses
	console := c.url + "/console"
	s.supabase.console.Store(&console)
	environment := slices.Concat(strangersEnvironment(), s.environment(), s.settings(address, operator))
	work := context.WithoutCancel(ctx)
	c.command = func() *exec.Cmd {
		cmd := exec.CommandContext(work, s.program(), "serve")
		cmd.Dir, cmd.Env = s.data, environment
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's Ctrl-C is ours to pass on
		endWithParent(cmd.SysProcAttr)
		return cmd
	}
	if err := os.Remove(c.logFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("begin a new log of the sidecar: %w", err)
	}
	if err := c.start(); err != nil {
		return "", fmt.Errorf("start the sidecar: %w", err)
	}
	if err := c.awaitReady(ctx); err != nil {
		return "", err
	}
	c.is(stateUp)
	return fmt.Sprintf("%s, log %s", c.url, c.logFile), nil
}

// settings is what only the sidecar itself is told.
func (s *stack) settings(address, operator string) []string {
	settings := []string{
		"VIGIL_ADDR=" + address, "VIGIL_OPERATOR_ADDR=" + operator, "VIGIL_ALLOWED_ORIGINS=*", "VIGIL_LOG_FORMAT=text", "VIGIL_CONSOLE=true",
		"VIGIL_DATA_DIR=" + filepath.Join(s.data, "bus"), "VIGIL_ANALYSIS_KEY_FILE=" + filepath.Join(s.data, "analysis-key.json"),
	}
	if s.demo != nil {
		settings = append(settings, "VIGIL_DEMO_URL="+s.demo.url)
	}
	return settings
}

// strangersEnvironment is this shell's, without what would configure the sidecar for another project.
func strangersEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "NATS_URL" || strings.HasPrefix(name, "VIGIL_") || strings.HasPrefix(name, "SUPABASE_") || strings.HasPrefix(name, "DATABASE_")
	})
}

func (c *sidecar) start() error {
	cmd, ended := c.command(), make(chan struct{})
	log, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the sidecar's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd.Stdout, cmd.Stderr = log, log
	if c.verbose != nil {
		cmd.Stdout, cmd.Stderr = c.verbose, c.verbose
	}
	c.mu.Lock()
	c.cmd, c.ended, c.killed, c.state, c.since = cmd, ended, false, stateStarting, time.Now()
	c.mu.Unlock()
	started := make(chan error, 1)
	// stop waits for it, through ended. The kernel's "parent died" signal is tied to the starting thread.
	go func() {
		runtime.LockOSThread()
		defer c.gone(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the log says why it ended
		}
	}()
	return <-started
}

// gone notes that a process has ended, and whether by itself.
func (c *sidecar) gone(ended chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(ended)
	if !c.killed {
		c.dies()
	}
}

func (c *sidecar) dies() { c.dead.Do(func() { close(c.died) }) }

func (c *sidecar) is(state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.since = state, time.Now()
}

func (c *sidecar) status() (state string, since time.Time, kills int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.since, c.kills
}

// kill ends the process as kill -9 does, and returns when it is gone. errSidecarDown if it is not up.
func (c *sidecar) kill() error {
	c.mu.Lock()
	if c.state != stateUp {
		c.mu.Unlock()
		return errSidecarDown
	}
	c.state, c.since, c.killed = stateDown, time.Now(), true
	c.kills++
	cmd, ended := c.cmd, c.ended
	c.mu.Unlock()
	err := cmd.Process.Kill()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the sidecar: %w", err)
	}
	<-ended
	return nil
}

// revive starts a killed sidecar again after a while, unless ctx ends first. One that does not come back counts as died.
func (c *sidecar) revive(ctx context.Context) {
	wait := time.NewTimer(downFor)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return
	case <-wait.C:
	}
	err := c.start()
	if err == nil {
		err = c.awaitReady(ctx)
	}
	if ctx.Err() != nil {
		return // stop ends it
	}
	if err != nil {
		c.dies()
		return
	}
	c.is(stateUp)
}

func (c *sidecar) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyAfter)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	var why string
	for {
		select {
		case <-ended:
			return fmt.Errorf("the sidecar ended at once; the end of its log (%s):\n%s", c.logFile, c.tail())
		case <-ctx.Done():
			return fmt.Errorf("the sidecar did not become ready within %s (%s); the end of its log (%s):\n%s", readyAfter, why, c.logFile, c.tail())
		case <-tick.C:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("ask the sidecar: %w", err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			why = "it does not listen yet"
			continue
		}
		_ = response.Body.Close() // nothing is read from it
		if response.StatusCode == http.StatusOK {
			return nil
		}
		why = "it answers " + response.Status
	}
}

// stop asks the sidecar to drain, and kills it after the deadline. One that is down stays so.
func (c *sidecar) stop(ctx context.Context, deadline time.Duration) error {
	c.mu.Lock()
	cmd, ended := c.cmd, c.ended
	c.killed = true
	c.mu.Unlock()
	if cmd == nil {
		return nil // it was never started
	}
	select {
	case <-ended:
		return nil
	default:
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the sidecar: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	err := cmd.Process.Kill()
	<-ended
	return errors.Join(fmt.Errorf("the sidecar did not stop within %s and was killed", deadline), err)
}

// tail is the end of the sidecar's log.
func (c *sidecar) tail() string {
	data, err := os.ReadFile(c.logFile)
	if err != nil {
		return ""
	}
	const most = 3 << 10
	return strings.TrimSpace(string(data[max(0, len(data)-most):]))
}
