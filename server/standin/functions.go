package standin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Functions says which edge functions to run: <Dir>/<name>/index.ts, in a Deno process of its own that is started when the
// function is first called, and again when it has died. The zero Functions runs none.
type Functions struct {
	// Deno is the program; FindDeno knows where npm puts it.
	Deno string
	// Dir is the folder of the functions' folders.
	Dir string
	// Open names the functions that are called without a token, as verify_jwt = false has it. Others are not served.
	Open []string
	// Env gives variables (NAME=value) beyond Supabase's own and the development pager's, and wins over them. It is asked at
	// each start. Nil: none.
	Env func() []string
	// Output is where the functions' log goes. Nil: nowhere. Writes to it may come at once.
	Output io.Writer
}

// FindDeno gives the Deno that `npm ci` in server/e2e below root brought.
func FindDeno(root string) (string, error) {
	path := filepath.Join(root, "server", "e2e", "node_modules", ".bin", "deno")
	if _, err := os.Stat(path); err != nil {
		return "", errors.New("standin: Deno is missing: run `npm ci` and `node node_modules/deno/install.cjs` in server/e2e")
	}
	return path, nil
}

const functionsPath = "/functions/v1/"

// runner starts and stops the functions' processes.
type runner struct {
	config Functions
	env    []string // what hosted Supabase, and this stand-in, give every function

	mu      sync.Mutex
	closed  bool
	running map[string]*process
}

// process is one function. started is closed when it runs, ready when it listens at address, and ended when it is gone.
type process struct {
	cmd                   *exec.Cmd
	started, ready, ended chan struct{}
	address               *url.URL
}

// serves says whether a path is one of a function that runs here.
func (r *runner) serves(path string) bool {
	_, ok := r.named(path)
	return ok
}

func (r *runner) named(path string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(path, functionsPath)
	asked, _, _ := strings.Cut(rest, "/")
	at := slices.Index(r.config.Open, asked)
	if !ok || at < 0 || r.config.Deno == "" {
		return "", false
	}
	return r.config.Open[at], true // never a caller's words
}

// ServeHTTP hands a request to its function, with the path that hosted Supabase gives it: /<name>/….
func (r *runner) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name, _ := r.named(req.URL.Path)
	p, err := r.get(req.Context(), name)
	if err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"code": "BOOT_ERROR", "message": "Function failed to start (please check logs)"})
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(out *httputil.ProxyRequest) {
			out.SetURL(p.address)
			out.Out.URL.Path = "/" + strings.TrimPrefix(out.In.URL.Path, functionsPath)
			out.Out.URL.RawPath = ""
			out.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, req *http.Request, _ error) {
			if req.Context().Err() == nil { // it is gone, or as good as gone: the next call starts another
				_ = p.cmd.Process.Kill()
				<-p.ended
			}
			writeJSON(w, http.StatusBadGateway, map[string]string{"code": "WORKER_ERROR", "message": "Function exited due to an error (please check logs)"})
		},
	}
	proxy.ServeHTTP(w, req)
}

var errFunction = errors.New("standin: the function ended before it listened")

// get returns a function's process once it listens, and starts it where there is none.
func (r *runner) get(ctx context.Context, name string) (*process, error) {
	r.mu.Lock()
	p := r.running[name]
	if p == nil || over(p.ended) {
		if r.closed {
			r.mu.Unlock()
			return nil, http.ErrServerClosed
		}
		p = &process{started: make(chan struct{}), ready: make(chan struct{}), ended: make(chan struct{})}
		p.cmd = r.command(name)
		r.running[name] = p
		go p.run(r.config.Output) // close waits for it, through ended
	}
	r.mu.Unlock()
	select {
	case <-p.ready:
		return p, nil
	case <-p.ended:
		return nil, errFunction
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func over(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func (r *runner) command(name string) *exec.Cmd {
	cmd := exec.Command(r.config.Deno, "run", "--no-prompt", "--no-lock", "--allow-env", "--allow-net", filepath.Join(r.config.Dir, name, "index.ts"))
	cmd.Dir = r.config.Dir
	cmd.Env = slices.Concat([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "NO_COLOR=1", "DENO_NO_UPDATE_CHECK=1", "DENO_SERVE_ADDRESS=tcp:127.0.0.1:0"}, r.env)
	if r.config.Env != nil {
		cmd.Env = append(cmd.Env, r.config.Env()...)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is ours to pass on
	endWithParent(cmd.SysProcAttr)
	return cmd
}

// listening is what Deno.serve says on standard error.
var listening = regexp.MustCompile(`Listening on (http://[^/\s]+)`)

// run runs the process to its end. The kernel's "parent died" signal is tied to the thread that starts it.
func (p *process) run(output io.Writer) {
	runtime.LockOSThread()
	defer close(p.ended)
	if output == nil {
		output = io.Discard
	}
	p.cmd.Stdout = output
	log, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(output, "start a function:", err)
		return
	}
	close(p.started)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		fmt.Fprintln(output, lines.Text())
		if m := listening.FindStringSubmatch(lines.Text()); m != nil && p.address == nil {
			if u, err := url.Parse(m[1]); err == nil {
				p.address = u
				close(p.ready)
			}
		}
	}
	_, _ = io.Copy(output, log) // a line too long for the scanner: the rest must not block the process
	_ = p.cmd.Wait()            // the log says why it ended
}

// close ends every process and waits for it. None is started after it.
func (r *runner) close() {
	r.mu.Lock()
	r.closed = true
	running := r.running
	r.running = nil
	r.mu.Unlock()
	for _, p := range running {
		select {
		case <-p.started: // one that never listens is not waited for
			_ = p.cmd.Process.Kill() // it keeps nothing
		case <-p.ended:
		}
		<-p.ended
	}
}

// newRunner gives the functions what hosted Supabase gives them, and the development pager and mailbox.
func newRunner(c Config) *runner {
	named := func(key string) string {
		data, err := json.Marshal(map[string]string{"default": key})
		if err != nil { // two strings always marshal
			return ""
		}
		return string(data)
	}
	return &runner{config: c.Functions, running: make(map[string]*process), env: []string{
		"SUPABASE_URL=" + c.URL,
		"SUPABASE_PUBLISHABLE_KEYS=" + named(c.Keys.Publishable),
		"SUPABASE_SECRET_KEYS=" + named(c.Keys.Secret),
		"NOTIFY_SECRET=" + derived(c.Keys.Secret, "notify"),
		"PAGER_WEBHOOK_URL=" + c.URL + pagerPath,
		"PAGER_WEBHOOK_SECRET=" + derived(c.Keys.Secret, "pager"),
		"RESEND_API_KEY=" + derived(c.Keys.Secret, "email"),
		"NOTIFY_FROM=Vigil <vigil@standin.invalid>",
		"NOTIFY_EMAIL_URL=" + c.URL + emailPath,
		"CONSOLE_URL=http://127.0.0.1:8788/console",
	}}
}
