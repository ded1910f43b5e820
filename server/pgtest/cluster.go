package pgtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Cluster is one running (or, between Stop or Kill and Resume, halted) Postgres. Its port and password stay the same for
// its whole life. Safe for concurrent use.
//
//	Open -> running -- Stop, Kill --> halted
//	           ^                        |
//	           +-------- Resume --------+
type Cluster struct {
	options  Options
	binaries binaries
	account  account
	dir      string
	password string
	port     int
	release  func() // ends the claim on dir

	// life orders starts and stops. It is held across them, on purpose: a second stop must wait for the first.
	life    sync.Mutex
	process *process
}

// process is one postmaster. exited is closed when it is gone.
type process struct {
	pid    int
	exited chan struct{}
}

// The settings of every cluster. Settings in Options come after them and win.
const commonSettings = `
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
wal_level = logical
max_wal_senders = 60
max_replication_slots = 50
max_connections = 200
shared_buffers = 64MB
jit = off
log_line_prefix = '%m [%p] %q%u@%d '
log_timezone = 'UTC'
timezone = 'UTC'
password_encryption = 'scram-sha-256'
`

// Version is the major version: 15 or 17.
func (c *Cluster) Version() int { return c.binaries.major }

// Port is the TCP port on 127.0.0.1.
func (c *Cluster) Port() int { return c.port }

// DataDir is the folder of Postgres' own files. Only the account that Postgres runs as, and root, may read it.
func (c *Cluster) DataDir() string { return filepath.Join(c.dir, "data") }

// LogFile is where Postgres writes its log.
func (c *Cluster) LogFile() string { return filepath.Join(c.dir, "postgres.log") }

// Bin is the folder of this Postgres' programs.
func (c *Cluster) Bin() string { return c.binaries.bin }

// URL is the connection string of a role for one of the cluster's databases.
func (c *Cluster) URL(role, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(role, c.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// SuperuserURL is the superuser's connection string for the maintenance database "postgres".
func (c *Cluster) SuperuserURL() string { return c.URL(RoleSuperuser, "postgres") }

// Restart stops the cluster as an administrator would ("fast") and starts it again.
func (c *Cluster) Restart(ctx context.Context) error {
	if err := c.Stop(ctx); err != nil {
		return err
	}
	return c.Resume(ctx)
}

// Stop ends all connections, writes a checkpoint and ends Postgres. Nothing is done when it is halted already.
func (c *Cluster) Stop(ctx context.Context) error {
	c.life.Lock()
	defer c.life.Unlock()
	return c.halt(ctx)
}

func (c *Cluster) halt(ctx context.Context) error {
	p := c.process
	if p == nil {
		return nil
	}
	// A replication client that never answers would hold a fast stop up for ever, so an immediate one follows.
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := p.signal(signal); err != nil {
			return err
		}
		select {
		case <-p.exited:
			c.process = nil
			return nil
		case <-ctx.Done():
			return fmt.Errorf("wait for Postgres to stop: %w", ctx.Err())
		case <-time.After(stopTimeout / 3):
		}
	}
	return c.kill(ctx)
}

// Kill ends Postgres and all its backends at once with SIGKILL, as a crash would. Resume then recovers from the WAL.
func (c *Cluster) Kill(ctx context.Context) error {
	c.life.Lock()
	defer c.life.Unlock()
	if c.process == nil {
		return nil
	}
	return c.kill(ctx)
}

func (c *Cluster) kill(ctx context.Context) error {
	p := c.process
	// Stopped first, it can neither start a backend nor clean up after one while the backends are looked for.
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for _, child := range childrenOf(p.pid) {
		_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended by itself
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	select {
	case <-p.exited:
		c.process = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for Postgres to be killed: %w", ctx.Err())
	}
}

// Resume starts a halted cluster on its old port and returns when it accepts connections. Nothing is done when it runs.
func (c *Cluster) Resume(ctx context.Context) error {
	c.life.Lock()
	defer c.life.Unlock()
	if c.process != nil {
		return nil
	}
	return c.launch(ctx)
}

func (p *process) signal(s syscall.Signal) error {
	if err := syscall.Kill(p.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to Postgres: %w", s, err)
	}
	return nil
}

// begin is the first start: it chooses the port, and another one when somebody takes it in between.
func (c *Cluster) begin(ctx context.Context) error {
	const tries = 5
	var err error
	for range tries {
		if c.port, err = c.choosePort(); err != nil {
			return err
		}
		if err = c.writeSettings(); err != nil {
			return err
		}
		if err = c.launch(ctx); !errors.Is(err, ErrPortTaken) || c.options.Port != 0 {
			break
		}
	}
	return err
}

// ErrPortTaken is what Open's error wraps when something else listens on the wanted port.
var ErrPortTaken = errors.New("the port is taken")

func (c *Cluster) choosePort() (int, error) {
	if port := c.options.Port; port != 0 {
		if !isFree(port) {
			return 0, fmt.Errorf("start Postgres on 127.0.0.1:%d: %w by another program: stop that one, or choose another port", port, ErrPortTaken)
		}
		return port, nil
	}
	if port := c.lastPort(); c.options.Keep && port != 0 && isFree(port) {
		return port, nil
	}
	return FreePort()
}

// FreePort is a port of 127.0.0.1 that nothing listens on, for a server that is started, and perhaps started again, later:
// it lies below the range that outgoing connections take theirs from, so that none of them takes it meanwhile.
func FreePort() (int, error) {
	const lowest, highest, tries = 20000, 32000, 100
	for range tries {
		port := lowest + rand.IntN(highest-lowest) //nolint:gosec // no secret
		if _, given := givenPorts.LoadOrStore(port, true); !given && isFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("no free port was found on 127.0.0.1 between 20000 and 32000: stop some other programs")
}

// givenPorts are those that FreePort gave: what is to listen there may not do so yet.
var givenPorts sync.Map

func isFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func (c *Cluster) writeSettings() error {
	var b strings.Builder
	b.WriteString(commonSettings)
	fmt.Fprintf(&b, "port = %d\n", c.port)
	if !c.options.Keep && !c.options.Fsync {
		b.WriteString("fsync = off\n")
	}
	for name, value := range c.options.Settings {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	name := filepath.Join(c.DataDir(), "pgtest.conf")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		return plain("write the settings of Postgres", err)
	}
	if err := c.account.give(name); err != nil {
		return plain("give the settings of Postgres to its account", err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "port"), []byte(strconv.Itoa(c.port)+"\n"), 0o644); err != nil {
		return plain("write the port of Postgres", err)
	}
	return nil
}

// launch starts the postmaster and waits until it accepts connections. After a Kill the dead one's shared memory may be
// in use for a moment still: that, and only that, is tried again.
func (c *Cluster) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	const retryEvery = 50 * time.Millisecond
	for {
		from := c.logSize()
		p, err := c.spawn(ctx)
		if err != nil {
			return plain("start Postgres", err)
		}
		err = c.awaitReady(ctx, p, from)
		if err == nil {
			c.process = p
			return nil
		}
		// The folder is ours alone, so a Postgres that still runs there is one whose owner died: the kernel has told it to stop.
		if !errors.Is(err, errStillInUse) && !errors.Is(err, ErrInUse) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryEvery):
		}
	}
}

func (c *Cluster) spawn(ctx context.Context) (*process, error) {
	log, err := os.OpenFile(c.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := c.account.command(context.WithoutCancel(ctx), c.binaries.program("postgres"), "-D", c.DataDir())
	cmd.Stdout, cmd.Stderr = log, log
	endWithParent(cmd, c.options.Keep)
	p := &process{exited: make(chan struct{})}
	started := make(chan error, 1)
	// Whoever halts the cluster waits for this goroutine, through exited. The kernel's "parent died" signal is tied to the
	// starting thread, so that thread must live as long as the child.
	go func() {
		runtime.LockOSThread()
		defer close(p.exited)
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		_ = cmd.Wait() // the log says why it ended
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// awaitReady reads what pg_ctl reads: the first line of postmaster.pid is the process, the eighth its state.
func (c *Cluster) awaitReady(ctx context.Context, p *process, logFrom int64) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.exited:
			return c.explain(logFrom)
		case <-ctx.Done():
			err := fmt.Errorf("wait for Postgres to accept connections: %w; the end of its log:\n%s", ctx.Err(), c.LogTail())
			return errors.Join(err, p.signal(syscall.SIGKILL))
		case <-tick.C:
		}
		data, err := os.ReadFile(filepath.Join(c.DataDir(), "postmaster.pid"))
		if err != nil {
			continue
		}
		lines := strings.Split(string(data), "\n")
		if len(lines) > 7 && lines[0] == strconv.Itoa(p.pid) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
	}
}

// childrenOf lists the processes whose parent is pid.
func childrenOf(pid int) []int {
	var children []int
	if stats, err := filepath.Glob("/proc/[0-9]*/stat"); err == nil && len(stats) > 0 {
		for _, name := range stats {
			data, err := os.ReadFile(name)
			if err != nil {
				continue
			}
			// 123 (a name) S 1 ...: the name may hold spaces and brackets, but the last bracket ends it.
			_, rest, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
			if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
				if child, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
					children = append(children, child)
				}
			}
		}
		return children
	}
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(fields[0]); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}
