// Package pgtest runs a private Postgres: a throwaway one for tests, and the kept one of the development stack.
//
// It guarantees: a cluster listens on 127.0.0.1 only, on a port of its own and with a password of its own; Postgres never
// runs as root (as root it is started as an unprivileged user through the process credential); a cluster that was not
// asked to be kept leaves no process and no file behind (when the test binary is killed, Linux' kernel stops the process and
// the next run removes the files); a database is a clone of a template that holds the platform's SQL and every migration, made once per version
// and content and then copied.
//
// It does not guarantee that data outlive a power cut (fsync is off unless asked for), and is not for production: no
// package that the sidecar's binary contains may import it.
package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// How long one step may take before it is given up. They are generous: a laptop may be busy with eight other things.
const (
	startTimeout    = 60 * time.Second
	stopTimeout     = 30 * time.Second
	templateTimeout = 3 * time.Minute
)

// The roles that a Database has connection strings for.
const (
	RoleSuperuser  = "supabase_admin"      // superuser, as on a hosted project; applies the platform's SQL
	RoleOwner      = "postgres"            // not a superuser; owns the database and runs the migrations
	RoleAPI        = "authenticator"       // what PostgREST connects as
	RoleAuth       = "supabase_auth_admin" // what Auth connects as; owns schema auth
	RoleSidecar    = "vigil"               // the sidecar's own role
	RoleReplicator = "vigil_replicator"    // may replicate
)

// Options says which Postgres is wanted. The zero value is a throwaway cluster of version 15 (else 17) with everything
// the project stores.
type Options struct {
	// Version is 15 or 17. 0 means 15, or 17 where there is no 15.
	Version int
	// Settings are added to postgresql.conf ("wal_level": "replica"). ALTER SYSTEM overrides them.
	Settings map[string]string
	// Dir holds the cluster. "" means a new temporary folder, removed at Close.
	Dir string
	// Port is the TCP port on 127.0.0.1. 0 means a free one; a kept cluster gets its last one again when that is free.
	Port int
	// Fresh runs initdb anew. Without it all clusters of a version are copies of one, and so share a system identifier.
	Fresh bool
	// Keep leaves the data of Dir in place at Close, and Open starts what is there already. It needs Dir, and sets fsync on.
	Keep bool
	// Bare leaves out the platform's SQL and the migrations: only the roles above exist.
	Bare bool
	// Migrated has the database "postgres" hold the platform's SQL and the migrations, as a project's does, instead of a template.
	Migrated bool
	// Unprepared leaves out even the roles: initdb's empty cluster, which its owner migrates (Apply). Keep implies it.
	Unprepared bool
	// Fsync sets fsync on. A killed process loses nothing without it; a killed machine does.
	Fsync bool
}

func (o Options) empty() bool { return o.Keep || o.Unprepared }

// ErrNoPostgres is what Open's error wraps when this machine has no Postgres of the wanted version. The text says what
// to install.
var ErrNoPostgres = errors.New("no Postgres was found")

// Open starts a cluster and returns when it accepts connections. The caller ends it with Close; a cancelled ctx ends the
// start only. Errors are sentences that say what to do.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	if o.Keep && o.Dir == "" {
		return nil, errors.New("open Postgres: a cluster that is kept needs a folder (Options.Dir)")
	}
	account, err := unprivileged()
	if err != nil {
		return nil, err
	}
	binaries, err := find(o.Version, account)
	if err != nil {
		return nil, err
	}
	c := &Cluster{options: o, binaries: binaries, account: account}
	if err := c.makeDir(); err != nil {
		return nil, err
	}
	err = c.fill(ctx)
	if err == nil {
		err = c.begin(ctx)
	}
	if err == nil && o.Fresh && !o.empty() {
		err = c.populateFresh(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

// Start is Open for a test: the cluster stops when the test ends. Without Postgres the test is skipped with a sentence,
// and fails where CI=true.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	c, err := Open(tb.Context(), o)
	failOrSkip(tb, err)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if tb.Failed() {
			tb.Logf("the end of Postgres' log:\n%s", c.LogTail())
		}
		if err := c.Close(ctx); err != nil {
			tb.Errorf("stop Postgres: %v", err)
		}
	})
	return c
}

func failOrSkip(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrNoPostgres) && os.Getenv("CI") != "true":
		tb.Skipf("skipped, for this test needs Postgres: %v", err)
	default:
		tb.Fatalf("start Postgres: %v", err)
	}
}

// SharedCluster is one cluster for all tests of a package. It starts when the first test asks for it, so a run that
// needs no Postgres does not wait for one. Safe for concurrent use.
//
//	var postgres = pgtest.Shared(pgtest.Options{})
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) } // or: os.Exit(postgres.Around(m).Run())
//
//	func TestX(t *testing.T) { db := postgres.Database(t) }
type SharedCluster struct {
	options Options

	once    sync.Once
	cluster *Cluster
	err     error
}

// Shared returns a cluster that is not started yet. Its package's TestMain must stop it through Around.
func Shared(o Options) *SharedCluster { return &SharedCluster{options: o} }

// Cluster starts the cluster at its first call. Do not stop it: other tests use it.
func (s *SharedCluster) Cluster(tb testing.TB) *Cluster {
	tb.Helper()
	s.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), templateTimeout+startTimeout)
		defer cancel()
		s.cluster, s.err = Open(ctx, s.options)
	})
	failOrSkip(tb, s.err)
	return s.cluster
}

// Database is Cluster(tb).Database(tb).
func (s *SharedCluster) Database(tb testing.TB) *Database {
	tb.Helper()
	return s.Cluster(tb).Database(tb)
}

// Runner is what testing.M and goleak have in common.
type Runner interface{ Run() int }

// Around returns a runner that runs m and then stops the cluster, if any test started it.
func (s *SharedCluster) Around(m Runner) Runner { return around{m, s} }

type around struct {
	m Runner
	s *SharedCluster
}

func (a around) Run() int {
	code := a.m.Run()
	if a.s.cluster == nil {
		return code
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := a.s.cluster.Close(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "stop the package's Postgres: %v\n", err)
		return max(code, 1)
	}
	return code
}

// clusterPrefix begins the name of every throwaway cluster's folder.
const clusterPrefix = "vigil-pg-"

var sweepOnce sync.Once

// makeDir makes the cluster's folder, traversable for the account that Postgres runs as, and reads or makes the password.
func (c *Cluster) makeDir() error {
	if c.options.Dir == "" {
		sweepOnce.Do(sweepClusters)
		dir, err := os.MkdirTemp(tempRoot(), clusterPrefix)
		if err != nil {
			return plain("make a folder for Postgres", err)
		}
		c.dir = dir
	} else {
		dir, err := filepath.Abs(c.options.Dir)
		if err != nil {
			return fmt.Errorf("find the folder of Postgres: %w", err)
		}
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return plain("make a folder for Postgres", err)
		}
		c.dir = dir
	}
	if err := os.Chmod(c.dir, 0o711); err != nil {
		return plain("open the folder of Postgres to its account", err)
	}
	err := c.account.canReach(c.dir, c.binaries)
	if err != nil {
		return err
	}
	if c.release, err = claim(c.dir); err != nil {
		return err
	}
	return c.readPassword()
}

// readPassword reads the password that initdb was given; a kept cluster has it in its folder, a new one gets it from fill.
func (c *Cluster) readPassword() error {
	data, err := os.ReadFile(c.passwordFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return plain("read the password of Postgres", err)
	}
	c.password = strings.TrimSpace(string(data))
	return nil
}

func newPassword() (string, error) {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fmt.Errorf("draw a password: %w", err)
	}
	return hex.EncodeToString(random[:]), nil
}

// Close stops the cluster for good and removes it, unless it is to be kept.
func (c *Cluster) Close(ctx context.Context) error {
	if err := c.Stop(ctx); err != nil {
		return err
	}
	c.release()
	switch {
	case c.options.Keep:
		return nil
	case c.options.Dir == "":
		return os.RemoveAll(c.dir)
	}
	var err error
	for _, name := range []string{c.DataDir(), c.DataDir() + ".work", c.passwordFile(), filepath.Join(c.dir, "port"), filepath.Join(c.dir, "lock")} {
		err = errors.Join(err, os.RemoveAll(name))
	}
	return err
}

func (c *Cluster) passwordFile() string { return filepath.Join(c.dir, "password") }

// lastPort is the port a kept cluster had the last time, or 0.
func (c *Cluster) lastPort() int {
	data, err := os.ReadFile(filepath.Join(c.dir, "port"))
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return port
}
