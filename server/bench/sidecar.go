package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vigil/server/pgtest"
)

// sidecar is `vigil serve` as a process of its own.
type sidecar struct {
	*process
	b       *bench
	env     []string
	address string // of the channel
	metrics string // where its metrics are
	key     string // publishable
}

// sidecar prepares one for the practice; it is not started yet. Rate limits are lifted: all of the clients have one address.
func (p *practice) sidecar() (*sidecar, error) {
	dir, err := os.MkdirTemp(p.b.dir, "sidecar-")
	if err != nil {
		return nil, err
	}
	ports := make([]string, 2)
	for i := range ports {
		port, err := pgtest.FreePort()
		if err != nil {
			return nil, err
		}
		ports[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	replicator := pgtest.RoleReplicator
	if p.pg.Version() < 16 {
		replicator = pgtest.RoleOwner
	}
	return &sidecar{b: p.b, address: ports[0], metrics: "http://" + ports[1] + "/metrics", key: p.keys.Publishable, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"DATABASE_URL=" + p.pg.URL(pgtest.RoleSidecar, p.database),
		"REPLICATION_URL=" + p.pg.URL(replicator, p.database),
		"SUPABASE_URL=" + p.url, "SUPABASE_PUBLISHABLE_KEY=" + p.keys.Publishable, "SUPABASE_SECRET_KEY=" + p.keys.Secret,
		"VIGIL_SLOT=vigil_" + p.database, "VIGIL_ADDR=" + ports[0], "VIGIL_OPERATOR_ADDR=" + ports[1],
		"VIGIL_DATA_DIR=" + filepath.Join(dir, "data"), "VIGIL_ANALYSIS_KEY_FILE=" + p.keyFile, "VIGIL_RATE_PER_SECOND=1000000",
		"VIGIL_CHANNEL_SOCKETS_PER_ADDRESS=1000000", "VIGIL_CHANNEL_SOCKETS_PER_USER=1000000", "VIGIL_CHANNEL_ADDRESS_JOINS_PER_SECOND=1000000",
	}}, nil
}

// begin starts the process and waits until it is ready. took is how long that was.
func (s *sidecar) begin(ctx context.Context) (took time.Duration, err error) {
	cmd := exec.Command(s.b.vigil, "serve") //nolint:noctx // ended by stop, or with us
	cmd.Env = s.env
	if s.b.profile != "" {
		cmd.Env = append(cmd.Env, profileVariable+"="+s.b.profileFile("serve"))
	}
	began := time.Now()
	if s.process, err = begin(cmd); err != nil {
		return 0, err
	}
	err = until(ctx, time.Minute, 2*time.Millisecond, func() (bool, error) {
		if err := s.alive(); err != nil {
			return false, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/readyz", nil)
		if err != nil {
			return false, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, nil //nolint:nilerr // not listening yet
		}
		return res.StatusCode == http.StatusOK, res.Body.Close()
	})
	if err != nil {
		return 0, errors.Join(fmt.Errorf("vigil is not ready: %w\n%s", err, s.log), s.stop())
	}
	return time.Since(began), nil
}

// read gives the sidecar's metrics by their names with labels, as they are written.
func (s *sidecar) read(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.metrics, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	found := map[string]float64{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); ok && err == nil {
			found[name] = value
		}
	}
	return found, lines.Err()
}

// addStages notes how long after their commit messages reached each stage, on the mean, since the sidecar began.
func (s *sidecar) addStages(ctx context.Context, r *Result, what string) error {
	found, err := s.read(ctx)
	if err != nil {
		return err
	}
	for _, stage := range []string{"received", "opened", "assessed", "recorded", "relayed"} {
		label := `{stage="` + stage + `"}`
		if n := found["vigil_message_stage_seconds_count"+label]; n > 0 {
			r.add("vigil serve, every message", what+": commit → "+stage+", mean", "ms", 1e3*found["vigil_message_stage_seconds_sum"+label]/n)
		}
	}
	r.add("vigil serve, every message", what+": temporary failures", "", found["vigil_pipeline_failures_total"])
	return nil
}

// usage is what a process used over a stretch of time.
type usage struct {
	cpu  time.Duration
	most int64 // highest RSS seen
}

// during measures a process while work runs.
func during(ctx context.Context, p *process, work func() error) (usage, error) {
	before, err := p.cpu()
	if err != nil {
		return usage{}, err
	}
	if err := work(); err != nil {
		return usage{}, errors.Join(err, p.alive())
	}
	after, err := p.cpu()
	if err != nil {
		return usage{}, err
	}
	_, most, err := p.memory()
	return usage{after - before, most}, errors.Join(err, ctx.Err())
}

// profileVariable names the file that a profiled sidecar writes to.
const profileVariable = "VIGIL_BENCH_PROFILE"

// profiled is added to the sidecar's package main where profiles are asked for: it profiles from the start to SIGTERM.
const profiled = `package main

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"
)

func init() {
	file, err := os.Create(os.Getenv("` + profileVariable + `"))
	if err != nil {
		return
	}
	_ = pprof.StartCPUProfile(file)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		for every := time.Tick(10 * time.Second); ; {
			select {
			case <-every: // the end may come before a profile is written
				if heap, err := os.Create(file.Name() + ".new"); err == nil {
					_ = pprof.WriteHeapProfile(heap)
					_ = heap.Close()
					_ = os.Rename(heap.Name(), file.Name()+".heap")
				}
			case <-stop:
				pprof.StopCPUProfile()
				_ = file.Close()
				return
			}
		}
	}()
}
`

func (b *bench) profileFile(process string) string {
	return filepath.Join(b.profile, fmt.Sprintf("%s-%s-%s.pprof", b.progress.row, process, time.Now().Format("150405.000")))
}

// build builds the sidecar of this checkout.
func (b *bench) build(ctx context.Context) error {
	args := []string{"build", "-o", b.vigil}
	if b.profile != "" {
		source, overlay := filepath.Join(b.dir, "profiled.go"), filepath.Join(b.dir, "overlay.json")
		replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(b.root, "server", "profiled.go"): source}})
		if err != nil {
			return err
		}
		if err := errors.Join(os.MkdirAll(b.profile, 0o700), os.WriteFile(source, []byte(profiled), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./server")...)
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build vigil: %w\n%s", err, out)
	}
	return nil
}
