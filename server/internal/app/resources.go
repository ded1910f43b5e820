package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"vigil/server/internal/bus"
	"vigil/server/internal/config"
	"vigil/server/internal/envelope"
	"vigil/server/internal/logkey"
	"vigil/server/internal/store"
	"vigil/server/internal/telemetry"
	"vigil/server/internal/triage"
)

// poolConns bounds the connections of the sidecar's role: a small hosted project has 60 in all.
const poolConns = 8

// asideConns bounds those for suggestions, and those for pages. Each has a pool of its own: detection never waits for one of
// theirs, and a page for none of a suggestion's.
const asideConns = 2

// resources outlive a restart of the flow: what is opened once and closed last.
type resources struct {
	config  config.Config
	log     *slog.Logger
	metrics *telemetry.Metrics
	health  *telemetry.Health
	tracer  *telemetry.Tracer

	pool  *pgxpool.Pool
	store *store.Store
	aside *pgxpool.Pool // for what may never delay detection
	pages *pgxpool.Pool
	bus   *bus.Bus
	ring  *envelope.Ring
}

// openPool makes a pool of role vigil. It dials when it is first used, so that the sidecar starts while Postgres is away.
func openPool(ctx context.Context, c config.Config, conns int32) (*pgxpool.Pool, error) {
	dsn, err := WithCA(c.DatabaseURL, c.CACertFile)
	if err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("DATABASE_URL: it cannot be read as a Postgres URL") // pgx's error may quote it
	}
	pc.MaxConns = conns
	pc.ConnConfig.RuntimeParams["application_name"] = "vigil"
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	return pool, nil
}

// OpenTables opens the tables as the sidecar sees them, for a command that runs beside it. The second value closes them.
func OpenTables(ctx context.Context, c config.Config) (*store.Store, func(), error) {
	pool, err := openPool(ctx, c, 1)
	if err != nil {
		return nil, nil, err
	}
	return store.New(pool), pool.Close, nil
}

// loadKeys reads the analysis keys, from the environment or the file, and makes the file at the very first start. A file
// that is missing although the project knows an analysis device is refused: a new key could open nothing old.
func (r *resources) loadKeys(ctx context.Context) ([]*envelope.Device, error) {
	c := r.config
	source, path := keySource(c)
	keys, err := source.Keys(ctx)
	if path == "" || !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if !c.NATSURL.IsZero() {
		return nil, errSharedKey // each would make one of its own, and none could open what is sealed to another's
	}
	known, err := r.store.AnalysisDevices(ctx)
	if err != nil {
		return nil, fmt.Errorf("there is no key file, and whether there was one could not be asked: %w", err)
	}
	if known > 0 {
		return nil, fmt.Errorf("the file of VIGIL_ANALYSIS_KEY_FILE is missing, but the project has %d analysis devices: restore it from the backup, or revoke them in devices to begin anew", known)
	}
	d, err := envelope.NewDevice(uuid.New())
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(c.AnalysisKeyFile), 0o700); err != nil {
		return nil, fmt.Errorf("make the key file's folder: %w", err)
	}
	if err := envelope.WriteKeyFile(c.AnalysisKeyFile, d); err != nil {
		return nil, err
	}
	r.log.InfoContext(ctx, "analysis key made; back its file up", logkey.Device, d.KID())
	return []*envelope.Device{d}, nil
}

// errAllRevoked: new epochs would have no key of ours to be wrapped for.
var errAllRevoked = errors.New("every analysis key here belongs to a revoked device: add a new key to the file of VIGIL_ANALYSIS_KEY_FILE, or remove the file to have one made")

// errSharedKey: nodes that open messages must have the same keys.
var errSharedKey = errors.New("with NATS_URL every node that detects or suggests needs the same analysis key: make it once with vigil keys new, and give it to all as VIGIL_ANALYSIS_KEY or as the file of VIGIL_ANALYSIS_KEY_FILE")

// registerKeys makes the keys' public halves known, as a participant that everyone sees. The key of a revoked device stays
// in use for what was sealed to it before.
func (r *resources) registerKeys(ctx context.Context) error {
	members := r.ring.Members()
	ids := make([]uuid.UUID, 0, len(members))
	for _, m := range members {
		ids = append(ids, m.KID)
	}
	revoked, err := r.store.RevokedDevices(ctx, ids)
	if err != nil {
		return err
	}
	if len(members) > 0 && len(revoked) == len(members) {
		return triage.Permanent(errAllRevoked)
	}
	return registerMembers(ctx, r.store, r.ring, func(uuid.UUID) bool { return false })
}

// openBus opens the bus as configured.
func openBus(ctx context.Context, c config.Config, log *slog.Logger) (*bus.Bus, error) {
	return bus.Open(ctx, bus.Config{
		Dir: c.DataDir, URL: c.NATSURL.Reveal(), Key: c.BusKey.Reveal(), Replicas: int(c.NATSReplicas),
		LogMaxBytes: c.BusMaxBytes, TopicsKeep: c.TopicsRetention, Log: log,
	})
}

// openResources opens everything in turn; what was opened is closed again when one fails.
func openResources(ctx context.Context, c config.Config, log *slog.Logger) (_ *resources, err error) {
	r := &resources{config: c, log: log, metrics: telemetry.NewMetrics(), health: new(telemetry.Health)}
	r.tracer = telemetry.NewTracer(r.metrics.Observe)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close(ctx))
		}
	}()
	if r.pool, err = openPool(ctx, c, poolConns); err != nil {
		return nil, err
	}
	if r.aside, err = openPool(ctx, c, asideConns); err != nil {
		return nil, err
	}
	if r.pages, err = openPool(ctx, c, asideConns); err != nil {
		return nil, err
	}
	r.store = store.New(r.pool)
	var keys []*envelope.Device
	if c.Has(config.RoleDetect) || c.Has(config.RoleSuggest) { // nobody else opens anything
		if keys, err = r.loadKeys(ctx); err != nil {
			return nil, fmt.Errorf("load analysis key: %w", err)
		}
	}
	r.ring = envelope.NewRing(envelope.RingConfig{}, keys...)
	for r.bus, err = openBus(ctx, c, log); err != nil; r.bus, err = openBus(ctx, c, log) {
		if c.NATSURL.IsZero() || !errors.Is(err, bus.ErrUnavailable) {
			return nil, fmt.Errorf("open bus: %w", err)
		}
		log.WarnContext(ctx, "bus is away", logkey.Error, err.Error())
		if !pause(ctx, retryPause) {
			return nil, ctx.Err()
		}
	}
	return r, nil
}

// close closes what is open, the bus first: it has what must reach the disk.
func (r *resources) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.DrainTimeout)
	defer cancel()
	var err error
	if r.bus != nil {
		err = r.bus.Close(ctx)
	}
	for _, pool := range []*pgxpool.Pool{r.pool, r.aside, r.pages} {
		if pool != nil {
			pool.Close()
		}
	}
	return err
}
