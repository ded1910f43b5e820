package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"vigil/server/pgtest"
	"vigil/server/standin"
)

// buildDir holds the binary that all tests run.
var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "vigil-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for the binary:", err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// stack is one test's own Postgres, stand-in and sidecar.
type stack struct {
	cluster                   *pgtest.Cluster
	database                  string
	supabaseURL, vigilURL     string
	operatorURL, dataDir      string
	publishableKey, secretKey string
	keys                      standin.Keys
	notifySecret              string        // "" where no notify runs
	admin                     *pgxpool.Pool // postgres: owns the tables, is no superuser
	people                    *pgxpool.Pool // authenticator, as PostgREST connects
	sidecar                   *sidecar
}

type options struct {
	version   int
	settings  map[string]string
	functions standin.Functions
}

const databaseName = "postgres"

// setup starts Postgres with every migration and the stand-in, and prepares a sidecar that is not started yet.
func setup(t testing.TB, o options) *stack {
	t.Helper()
	settings := map[string]string{"max_slot_wal_keep_size": "1GB"}
	for k, v := range o.settings {
		settings[k] = v
	}
	s := &stack{database: databaseName}
	s.cluster = pgtest.Start(t, pgtest.Options{Version: o.version, Migrated: true, Settings: settings})
	s.admin, s.people = s.pool(t, pgtest.RoleOwner), s.pool(t, pgtest.RoleAPI)
	s.startStandin(t, o.functions)
	s.prepareSidecar(t)
	return s
}

func (s *stack) pool(t testing.TB, role string) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(t.Context(), s.cluster.URL(role, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func (s *stack) startStandin(t testing.TB, functions standin.Functions) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.supabaseURL = "http://" + l.Addr().String()
	if s.keys, err = standin.NewKeys(); err != nil {
		t.Fatal(err)
	}
	server, err := standin.New(standin.Config{
		URL: s.supabaseURL, Keys: s.keys, AuthDatabaseURL: s.cluster.URL(pgtest.RoleAuth, databaseName), RestDatabaseURL: s.cluster.URL(pgtest.RoleAPI, databaseName),
		Hook: "private.custom_access_token_hook", Autoconfirm: true, HashCost: 4, Functions: functions, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.publishableKey, s.secretKey, s.notifySecret = server.PublishableKey(), server.SecretKey(), server.NotifySecret()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var g errgroup.Group
	g.Go(func() error { return server.Serve(ctx, l) })
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("stand-in: %v", err)
		}
	})
}

// replicator is the role that replicates: on 15 hosted Supabase has no other than postgres.
func (s *stack) replicator() string {
	if s.cluster.Version() < 16 {
		return pgtest.RoleOwner
	}
	return pgtest.RoleReplicator
}

func (s *stack) prepareSidecar(t testing.TB) {
	t.Helper()
	s.dataDir = filepath.Join(t.TempDir(), "data")
	address, operator := freeAddress(t), freeAddress(t)
	s.vigilURL, s.operatorURL = "http://"+address, "http://"+operator
	s.sidecar = &sidecar{out: new(output), base: s.vigilURL, env: []string{
		"DATABASE_URL=" + s.cluster.URL(pgtest.RoleSidecar, databaseName),
		"REPLICATION_URL=" + s.cluster.URL(s.replicator(), databaseName),
		"SUPABASE_URL=" + s.supabaseURL,
		"SUPABASE_PUBLISHABLE_KEY=" + s.publishableKey,
		"SUPABASE_SECRET_KEY=" + s.secretKey,
		"VIGIL_ADDR=" + address,
		"VIGIL_OPERATOR_ADDR=" + operator,
		"VIGIL_DATA_DIR=" + s.dataDir,
		"VIGIL_ANALYSIS_KEY_FILE=" + filepath.Join(filepath.Dir(s.dataDir), "analysis-key.json"),
		"VIGIL_ALLOWED_ORIGINS=*",
		"VIGIL_HEARTBEAT_INTERVAL=500ms",
		"VIGIL_RECONCILE_INTERVAL=2s",
		"VIGIL_RATE_PER_SECOND=10000",
		"VIGIL_LOG_LEVEL=debug",
	}}
	if s.notifySecret != "" {
		s.sidecar.env = append(s.sidecar.env, "VIGIL_NOTIFY_SECRET="+s.notifySecret)
	}
	t.Cleanup(func() {
		if s.sidecar.cmd != nil && s.sidecar.running() {
			s.sidecar.kill()
		}
		if t.Failed() {
			t.Logf("the sidecar's errors:\n%s\nits last lines:\n%s", s.sidecar.out.errors(), s.sidecar.out.tail())
		}
	})
}

// isState says whether Postgres answered with the SQLSTATE.
func isState(err error, state string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == state
}

// isTransient says whether the database is away for a moment: shut down, starting up, or the connection broke.
func isTransient(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code[:2] == "57" || pg.Code[:2] == "08" || pg.Code == "XX000"
	}
	return err != nil && !errors.Is(err, context.Canceled)
}

// ignoreTransient is for polls that outlive a restart of Postgres.
func ignoreTransient(err error) error {
	if isTransient(err) {
		return nil
	}
	return err
}
