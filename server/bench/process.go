package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that was started here and is measured from outside.
type process struct {
	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when it has ended
}

// tail keeps the end of what a program printed, for when it fails.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*tailBytes {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailBytes:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf[max(0, len(t.buf)-tailBytes):]))
}

// begin starts a program. The kernel ends it with us (Linux), so that a killed run leaves nothing.
func begin(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, log: new(tail), done: make(chan struct{})}
	cmd.Stderr = p.log
	if cmd.Stdout == nil {
		cmd.Stdout = p.log
	}
	started := make(chan error, 1)
	go keep(p, started) // ends with the program, which every caller ends
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Args[0], err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

const stopWithin = 30 * time.Second

// stop asks the program to end, and ends it.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(stopWithin):
		p.kill()
		return fmt.Errorf("%s did not stop within %s:\n%s", p.cmd.Args[0], stopWithin, p.log)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

var errEnded = errors.New("the program ended")

func (p *process) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("%w: %s\n%s", errEnded, p.cmd.Args[0], p.log)
	default:
		return nil
	}
}

// cpu is the time the process has used, of all its threads, to the nanosecond.
// Source: clock_getcpuclockid(3): the clock of a process is ~pid shifted left by three, plus CPUCLOCK_SCHED.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.pid()) }

func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &ts); err != nil {
		return 0, fmt.Errorf("read CPU of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// memory reads VmRSS and its highest value, in bytes.
func (p *process) memory() (now, most int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return 0, 0, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		name, rest, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kb << 10
		case "VmHWM":
			most = kb << 10
		}
	}
	return now, most, nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// until asks every so often until it is told yes.
func until(ctx context.Context, within, every time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		done, err := ask()
		if err != nil || done {
			return err
		}
		if err := pause(ctx, every); err != nil {
			return fmt.Errorf("within %s: %w", within, err)
		}
	}
}
