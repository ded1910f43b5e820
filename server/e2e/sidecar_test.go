package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vigil/server/pgtest"
)

// sidecar is `vigil serve` as a process of its own, which may be killed and started again on the same data.
type sidecar struct {
	env  []string
	out  *output
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	base string
}

// output keeps everything every run of the process wrote, for the canary's grep and for failures.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) tail() string {
	s := o.String()
	return s[max(0, len(s)-4000):]
}

// errors gives every line of level error with the two before it: what all the runs of a killed process complained of.
func (o *output) errors() string {
	const shown = 100
	lines := strings.Split(o.String(), "\n")
	var found []string
	for i, line := range lines {
		if strings.Contains(line, `"level":"ERROR"`) && len(found) < shown {
			found = append(found, strings.Join(lines[max(0, i-2):i+1], "\n"))
		}
	}
	return strings.Join(found, "\n…\n")
}

var built struct {
	once sync.Once
	path string
	err  error
}

// binary builds vigil once, with the fault points compiled in.
func binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		built.path = filepath.Join(buildDir, "vigil")
		cmd := exec.Command("go", "build", "-tags", "faults", "-ldflags=-s -w", "-o", built.path, "..")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build vigil: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// freeAddress returns an address of this machine that nothing listens on, and that stays free while the sidecar is away.
func freeAddress(t testing.TB) string {
	t.Helper()
	port, err := pgtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// begin starts the process; extra variables win over the stack's.
func (v *sidecar) begin(t testing.TB, extra ...string) {
	t.Helper()
	v.cmd = exec.Command(binary(t), "serve")
	v.cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, v.env...), extra...)
	v.cmd.Stdout, v.cmd.Stderr = v.out, v.out
	if err := v.cmd.Start(); err != nil {
		t.Fatalf("start vigil: %v", err)
	}
	done, cmd := make(chan struct{}), v.cmd
	v.done = done
	go func() { // ended by the process; every test ends that
		_ = cmd.Wait()
		close(done)
	}()
}

// kill ends the process as kill -9 does, and returns when it is gone.
func (v *sidecar) kill() {
	_ = v.cmd.Process.Signal(syscall.SIGKILL)
	<-v.done
}

// stop asks the process to end and returns its exit code.
func (v *sidecar) stop(t testing.TB) int {
	t.Helper()
	_ = v.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-v.done:
	case <-time.After(30 * time.Second):
		_ = v.cmd.Process.Signal(syscall.SIGQUIT) // shows where everyone stands
		<-v.done
		t.Errorf("vigil did not stop:\n%s", v.out.tail())
	}
	return v.cmd.ProcessState.ExitCode()
}

// wasKilled says whether the process that has ended was ended by SIGKILL.
func (v *sidecar) wasKilled() bool {
	status, ok := v.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

func (v *sidecar) running() bool {
	select {
	case <-v.done:
		return false
	default:
		return true
	}
}

var errEnded = errors.New("vigil ended")

// ready waits until the process answers /readyz with 200, or has ended.
func (v *sidecar) ready(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last := "no answer"
	for {
		select {
		case <-v.done:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("vigil is not ready (%s): %w\n%s", last, ctx.Err(), v.out.tail())
		case <-tick.C:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+"/readyz", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
		last = strings.TrimSpace(string(body))
	}
}

func (v *sidecar) mustBeReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := v.ready(ctx); err != nil {
		t.Fatalf("%v\n%s", err, v.out.tail())
	}
}

// saying holds that the process that has ended failed, and said word.
func (v *sidecar) saying(t testing.TB, word string) {
	t.Helper()
	if v.cmd.ProcessState.ExitCode() == 0 || !strings.Contains(v.out.String(), word) {
		t.Errorf("vigil ended with %d, without a word of %s:\n%s", v.cmd.ProcessState.ExitCode(), word, v.out.tail())
	}
}

// run runs another command of vigil with the sidecar's environment, and returns what it printed and its exit code.
func (v *sidecar) run(t testing.TB, words ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t), words...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, v.env...)
	raw, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run vigil %s: %v", strings.Join(words, " "), err)
	}
	return string(raw), cmd.ProcessState.ExitCode()
}
