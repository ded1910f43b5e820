package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"vigil/server/pgtest"
)

// readyAfter is how long the sidecar may take to become ready.
const readyAfter = 60 * time.Second

// sidecar is `vigil serve` as a child. ended is closed when it is gone.
type sidecar struct {
	url, operator string
	logFile       string
	cmd           *exec.Cmd
	ended         chan struct{}
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
	c := &sidecar{url: "http://" + address, operator: "http://" + operator, logFile: filepath.Join(s.data, "sidecar.log"), ended: make(chan struct{})}
	log, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("open the sidecar's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	c.cmd = exec.CommandContext(context.WithoutCancel(ctx), s.program(), "serve")
	c.cmd.Dir = s.data
	c.cmd.Env = append(strangersEnvironment(), s.environment()...)
	c.cmd.Env = append(c.cmd.Env,
		"VIGIL_ADDR="+address, "VIGIL_OPERATOR_ADDR="+operator, "VIGIL_ALLOWED_ORIGINS=*", "VIGIL_LOG_FORMAT=text",
		"VIGIL_DATA_DIR="+filepath.Join(s.data, "bus"), "VIGIL_ANALYSIS_KEY_FILE="+filepath.Join(s.data, "analysis-key.json"))
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if s.options.verbose {
		c.cmd.Stdout, c.cmd.Stderr = s.screen.out, s.screen.out
	}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's Ctrl-C is ours to pass on
	endWithParent(c.cmd.SysProcAttr)
	if err := c.start(); err != nil {
		return "", fmt.Errorf("start the sidecar: %w", err)
	}
	s.sidecar = c
	return fmt.Sprintf("%s, log %s", c.url, c.logFile), c.awaitReady(ctx)
}

// strangersEnvironment is this shell's, without what would configure the sidecar for another project.
func strangersEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "NATS_URL" || strings.HasPrefix(name, "VIGIL_") || strings.HasPrefix(name, "SUPABASE_") || strings.HasPrefix(name, "DATABASE_")
	})
}

func (c *sidecar) start() error {
	started := make(chan error, 1)
	// stop waits for it, through ended. The kernel's "parent died" signal is tied to the starting thread.
	go func() {
		runtime.LockOSThread()
		defer close(c.ended)
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // the log says why it ended
		}
	}()
	return <-started
}

func (c *sidecar) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyAfter)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var why string
	for {
		select {
		case <-c.ended:
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

// stop asks the sidecar to drain, and kills it after the deadline.
func (c *sidecar) stop(ctx context.Context, deadline time.Duration) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the sidecar: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
	}
	err := c.cmd.Process.Kill()
	<-c.ended
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
