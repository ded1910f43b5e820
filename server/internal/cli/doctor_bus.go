package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"vigil/server/internal/bus"
	"vigil/server/internal/config"
	"vigil/server/internal/telemetry"
)

// examineBus looks at the bus: opened here when no sidecar runs, asked of the sidecar when one does.
func (e *examination) examineBus(ctx context.Context, r *report) {
	const check = "bus"
	if !e.NATSURL.IsZero() {
		e.examineCluster(ctx, r)
		return
	}
	if err := writable(e.DataDir); err != nil {
		r.fail(check, advice("Make the folder that VIGIL_DATA_DIR names, owned by the user that runs vigil, on a disk with room."), "VIGIL_DATA_DIR cannot be written to: %s", cause(err))
		return
	}
	if ownedByAnother(e.DataDir) {
		r.skip(check, "not opened: VIGIL_DATA_DIR is another user's. Run vigil doctor as the user that runs vigil")
		e.askSidecar(ctx, r, false)
		return
	}
	switch err := bus.Check(ctx, busConfig(e.Config)); {
	case errors.Is(err, bus.ErrLocked):
		r.ok(check, "open: a sidecar runs on it")
		e.askSidecar(ctx, r, true)
		return
	case errors.Is(err, bus.ErrFull):
		r.fail(check, advice("Make room below VIGIL_DATA_DIR, or raise VIGIL_BUS_MAX_BYTES. Nothing was dropped: Postgres keeps the WAL until there is room."), "the bus is full")
	case err != nil && ctx.Err() != nil:
		r.warn(check, advice("Run vigil doctor again while the machine is less busy, or start vigil serve, which takes its time."), "it is too large to be read in %s", doctorTimeout)
	case errors.Is(err, bus.ErrDamaged):
		r.fail(check, advice("Put the right key into VIGIL_BUS_KEY, or into bus.key below VIGIL_DATA_DIR. If it is lost, start vigil serve: it moves the store aside and makes up for it from the tables."), "its files cannot be opened with this key, or are damaged")
	case err != nil:
		r.fail(check, advice("Start vigil serve and look at its log."), "it could not be opened")
	default:
		r.ok(check, "nothing is in its way, and there is room")
	}
	e.examinePorts(ctx, r)
}

func busConfig(c config.Config) bus.Config {
	return bus.Config{
		Dir: c.DataDir, URL: c.NATSURL.Reveal(), Replicas: int(c.NATSReplicas), Key: c.BusKey.Reveal(), LogMaxBytes: c.BusMaxBytes, TopicsKeep: c.TopicsRetention,
		Log: slog.New(slog.DiscardHandler),
	}
}

// examineCluster looks at a NATS cluster. What its servers do with their disks they do not tell a client.
func (e *examination) examineCluster(ctx context.Context, r *report) {
	const check = "bus"
	if err := bus.Check(ctx, busConfig(e.Config)); err != nil {
		m := advice("Check NATS_URL and its credentials, and that JetStream is on there.")
		if errors.Is(err, bus.ErrFull) {
			m = advice("Raise VIGIL_BUS_MAX_BYTES, or make room on the cluster. Nothing was dropped: Postgres keeps the WAL until there is room.")
		}
		r.fail(check, m, "the cluster of NATS_URL does not take entries")
	} else {
		r.ok(check, "the cluster answers and has room")
	}
	r.warn("bus sync", advice("In each server's configuration: jetstream { sync_interval: always }. Without it, a power cut takes back what was acknowledged, and the sidecar begins a new log epoch."),
		"a cluster does not say whether it writes to disk before it acknowledges")
	if e.BusKey.IsZero() {
		r.warn("bus key", advice("Give every process the same VIGIL_BUS_KEY, of 32 random characters or more, and use TLS in NATS_URL."),
			"what clients send each other passes between processes unsealed")
	}
	e.askSidecar(ctx, r, false)
}

// writable says whether the folder, or the nearest one above it, takes a file. It leaves nothing behind: a folder made here
// could belong to the wrong user.
func writable(dir string) error {
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return errors.New("it is no folder")
		}
		f, err := os.CreateTemp(dir, ".vigil-doctor-*")
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}
}

// examinePorts finds the sidecar's addresses taken, while it does not run.
func (e *examination) examinePorts(ctx context.Context, r *report) {
	const check = "ports"
	before := r.failedAt()
	for _, v := range []struct{ name, addr string }{{"VIGIL_ADDR", e.Addr}, {"VIGIL_OPERATOR_ADDR", e.OperatorAddr}} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", v.addr)
		if err != nil {
			r.fail(check, advice("Stop what listens there, or set %s to an address of this machine that is free.", v.name), "%s cannot be listened on: %s", v.name, listenCause(err))
			continue
		}
		_ = l.Close() // nothing was accepted
	}
	if r.failedAt() == before {
		r.ok(check, "free; no sidecar runs on this bus")
	}
}

func listenCause(err error) string {
	var op *net.OpError
	var call *os.SyscallError
	switch {
	case errors.As(err, &call):
		return call.Err.Error()
	case errors.As(err, &op) && op.Err != nil:
		return op.Err.Error()
	}
	return "the address is wrong"
}

// askSidecar asks the running sidecar how its parts are. Whether one must be there is known only from the bus' lock.
func (e *examination) askSidecar(ctx context.Context, r *report, must bool) {
	const check = "sidecar"
	answer, err := askReady(ctx, e.OperatorAddr)
	switch {
	case errors.Is(err, errNoAnswer) && !must:
		r.skip(check, "none answers at VIGIL_OPERATOR_ADDR")
		return
	case errors.Is(err, errNoAnswer):
		r.fail(check, advice("Set VIGIL_OPERATOR_ADDR as the running sidecar has it; if it has it so, look at its log."), "one runs, but does not answer at VIGIL_OPERATOR_ADDR")
		return
	case err != nil:
		r.fail(check, advice("Set VIGIL_OPERATOR_ADDR as the running sidecar has it."), "something else answers at VIGIL_OPERATOR_ADDR")
		return
	}
	for _, p := range answer.Parts {
		if !p.OK {
			r.fail(check, advice("Mend what is found above; if nothing is, look at the sidecar's log."), "%s is not well: %s", p.Name, p.Error)
		}
	}
	if *answer.Ready {
		r.ok(check, "runs, and is ready")
	}
}

type ready struct {
	Ready *bool            `json:"ready"`
	Parts []telemetry.Part `json:"parts"`
}

var errStranger = errors.New("another program answers")

func askReady(ctx context.Context, addr string) (ready, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(addr)+"/readyz", nil)
	if err != nil {
		return ready{}, errNoAnswer
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ready{}, errNoAnswer
	}
	defer func() { _ = res.Body.Close() }()
	var a ready
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil || a.Ready == nil {
		return ready{}, errStranger
	}
	return a, nil
}

// dialable is where to reach what listens on addr: an address without a host listens on all of this machine's.
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}
