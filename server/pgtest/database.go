package pgtest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Database is one test's own database.
type Database struct {
	Name    string
	cluster *Cluster
}

var databases atomic.Int64

// poolConns is small, for many tests share one cluster's 200 connections.
const poolConns = 8

// Database makes a database for one test: a clone of the template (Options.Bare and Migrated: an empty one), owned by "postgres". It is
// dropped with its replication slots when the test ends. Safe for concurrent use.
//
// Settings and privileges of the database itself (alter database … set, grant … on database) are not cloned by Postgres.
func (c *Cluster) Database(tb testing.TB) *Database {
	tb.Helper()
	if c.options.Bare || c.options.Migrated {
		return c.clone(tb, "template1")
	}
	return c.clone(tb, templateDatabase)
}

// Clone is Cluster.Database with what this database holds: for tests that all begin with the same rows. Nobody may be connected to
// this one meanwhile.
func (d *Database) Clone(tb testing.TB) *Database {
	tb.Helper()
	return d.cluster.clone(tb, d.Name)
}

func (c *Cluster) clone(tb testing.TB, template string) *Database {
	tb.Helper()
	d := &Database{Name: databaseName(tb.Name()), cluster: c}
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	sql := fmt.Sprintf("create database %s owner postgres template %s", quote(d.Name), quote(template))
	if err := c.exec(ctx, RoleSuperuser, "postgres", sql); err != nil {
		tb.Fatalf("create a database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := c.drop(ctx, d.Name); err != nil {
			tb.Logf("drop the database: %v", err)
		}
	})
	return d
}

// databaseName is unique in this process, and readable in Postgres' log.
func databaseName(test string) string {
	const longest = 40
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(test))
	return fmt.Sprintf("t%d_%s", databases.Add(1), clean[:min(len(clean), longest)])
}

func (c *Cluster) drop(ctx context.Context, name string) error {
	c.life.Lock()
	halted := c.process == nil
	c.life.Unlock()
	if halted {
		return nil // the whole cluster is removed
	}
	conn, err := pgx.Connect(ctx, c.SuperuserURL())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		// A slot that is in use cannot be dropped, and its process takes a moment to end.
		const slots = `
			select count(pg_terminate_backend(active_pid)), count(*) filter (where active_pid is null) < count(*)
			from pg_replication_slots where database = $1`
		var ended int
		var active *bool
		if err := conn.QueryRow(ctx, slots, name).Scan(&ended, &active); err != nil {
			return fmt.Errorf("end the slots' connections: %w", err)
		}
		if active == nil || !*active {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the slots' connections to end: %w", ctx.Err())
		case <-tick.C:
		}
	}
	const dropSlots = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1 and not active"
	if _, err := conn.Exec(ctx, dropSlots, name); err != nil {
		return fmt.Errorf("drop the slots: %w", err)
	}
	if _, err := conn.Exec(ctx, "drop database if exists "+quote(name)+" with (force)"); err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	return nil
}

// Cluster is the cluster that holds the database.
func (d *Database) Cluster() *Cluster { return d.cluster }

// URL is the connection string of a role: one of the Role constants.
func (d *Database) URL(role string) string { return d.cluster.URL(role, d.Name) }

// Pool opens a pool of connections as a role, closed when the test ends.
func (d *Database) Pool(tb testing.TB, role string) *pgxpool.Pool {
	tb.Helper()
	config, err := pgxpool.ParseConfig(d.URL(role))
	if err != nil {
		tb.Fatalf("read the connection string: %v", err)
	}
	config.MaxConns = poolConns
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	if err != nil {
		tb.Fatalf("open a pool as %s: %v", role, err)
	}
	tb.Cleanup(pool.Close)
	return pool
}
