package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/bus"
	"vigil/server/internal/config"
	"vigil/server/internal/envelope"
	"vigil/server/internal/telemetry"
)

// examineFiles looks at what the sidecar keeps on this machine: its device key and the bus.
func examineFiles(ctx context.Context, r *report, c config.Config) {
	examineKey(ctx, r, c)
	examineBus(ctx, r, c)
}

func examineKey(ctx context.Context, r *report, c config.Config) {
	const check = "key"
	var source envelope.KeySource = envelope.FileSource{Path: c.AnalysisKeyFile}
	if !c.AnalysisKey.IsZero() {
		source = envelope.TextSource{Text: c.AnalysisKey.Reveal()}
	}
	keys, err := source.Keys(ctx)
	registered, known := registeredKeys(ctx, c)
	switch {
	case errors.Is(err, fs.ErrNotExist) && known && len(registered) == 0:
		r.ok(check, "there is none yet; vigil serve makes it at its first start")
		return
	case errors.Is(err, fs.ErrNotExist):
		r.fail(check, "Restore the file that VIGIL_ANALYSIS_KEY_FILE names from your backup. If it is lost: revoke its row in devices and start vigil serve, which makes another; sessions then make new epochs.", "the key file is missing, but the project has %d analysis devices", len(registered))
		return
	case errors.Is(err, envelope.ErrKeyFileMode):
		r.fail(check, "chmod 600 the file that VIGIL_ANALYSIS_KEY_FILE names.", "the key file may be read by others")
		return
	case err != nil:
		r.fail(check, "Restore the key from your backup.", "the key cannot be read: it is no key file of vigil's")
		return
	}
	if !known {
		r.skip(check, "it can be read; whether it is registered was not asked: no connection")
		return
	}
	for _, k := range keys {
		row, ok := registered[k.KID()]
		switch {
		case !ok && k == keys[0]:
			r.warn(check, "Start vigil serve once: it registers its key.", "the key is not registered yet: assisted sessions cannot begin")
			return
		case ok && (row.encPub != envelope.EncodeText(k.EncPub()) || row.sigPub != envelope.EncodeText(k.SigPub())):
			r.fail(check, "Restore the key file that belongs to this project.", "the project knows device %s by other keys", k.KID())
			return
		case ok && row.revoked:
			r.fail(check, "Take the key out of the file, or make another: vigil serve does when there is no file.", "device %s is revoked", k.KID())
			return
		}
	}
	r.ok(check, "%d keys, registered and not revoked", len(keys))
}

type deviceRow struct {
	encPub, sigPub string
	revoked        bool
}

// registeredKeys reads the analysis devices; known is false when the database could not be asked.
func registeredKeys(ctx context.Context, c config.Config) (rows map[uuid.UUID]deviceRow, known bool) {
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.DatabaseURL.Reveal())
	if err != nil {
		return nil, false
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	found, err := conn.Query(ctx, "select id, enc_pub, sig_pub, revoked_at is not null from public.devices where kind = 'analysis'")
	if err != nil {
		return nil, false
	}
	rows = make(map[uuid.UUID]deviceRow)
	var id uuid.UUID
	var d deviceRow
	_, err = pgx.ForEachRow(found, []any{&id, &d.encPub, &d.sigPub, &d.revoked}, func() error { rows[id] = d; return nil })
	return rows, err == nil
}

func examineBus(ctx context.Context, r *report, c config.Config) {
	const check = "bus"
	ctx, cancel := context.WithTimeout(ctx, 3*doctorTimeout)
	defer cancel()
	if c.NATSURL.IsZero() {
		if err := writable(c.DataDir); err != nil {
			r.fail(check, "Make the folder that VIGIL_DATA_DIR names, owned by the user that runs vigil, on a disk with room.", "VIGIL_DATA_DIR cannot be written to: %v", cause(err))
			return
		}
	}
	err := bus.Check(ctx, bus.Config{
		Dir: c.DataDir, URL: c.NATSURL.Reveal(), Key: c.BusKey.Reveal(), LogMaxBytes: c.BusMaxBytes, TopicsKeep: c.TopicsRetention,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	switch {
	case errors.Is(err, bus.ErrLocked):
		askSidecar(ctx, r, c)
	case errors.Is(err, bus.ErrFull):
		r.fail(check, "Make room below VIGIL_DATA_DIR, or raise VIGIL_BUS_MAX_BYTES. Nothing was dropped: Postgres keeps the WAL until there is room.", "the bus is full")
	case errors.Is(err, bus.ErrDamaged):
		r.fail(check, "Put the right key into VIGIL_BUS_KEY or VIGIL_DATA_DIR/bus.key. If it is lost, start vigil serve: it moves the store aside and makes up for it from the tables.", "the bus' files cannot be opened with this key, or are damaged")
	case err != nil:
		r.fail(check, "Check NATS_URL, and that JetStream is on there.", "the bus did not answer")
	default:
		r.ok(check, "opens, and has room")
	}
}

func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// cause is a file error without its path.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return errors.New(filepath.Base(err.Error()))
}

// askSidecar asks the running sidecar, which holds the bus, how its parts are.
func askSidecar(ctx context.Context, r *report, c config.Config) {
	const check = "sidecar"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.OperatorAddr+"/readyz", nil)
	if err != nil {
		r.skip(check, "VIGIL_OPERATOR_ADDR is no address")
		return
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.fail(check, "Look at its log; set VIGIL_OPERATOR_ADDR as the running sidecar has it.", "a sidecar holds the bus, but does not answer at VIGIL_OPERATOR_ADDR")
		return
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Ready bool             `json:"ready"`
		Parts []telemetry.Part `json:"parts"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		r.fail(check, "Set VIGIL_OPERATOR_ADDR as the running sidecar has it.", "something else answers at VIGIL_OPERATOR_ADDR")
		return
	}
	for _, p := range answer.Parts {
		if !p.OK {
			r.fail(check, "Look at its log.", "%s: %s", p.Name, p.Error)
		}
	}
	if answer.Ready {
		r.ok(check, "running and ready; it holds the bus")
	}
}
