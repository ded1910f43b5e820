package replication_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"vigil/server/internal/replication"
	"vigil/server/pgtest"
)

// BenchmarkDrain empties a slot that others have filled: with pg_recvlogical to nothing, the floor, and with a Reader into a
// log that stores at once, one after the other, as often as -count says. Compare within one run only.
func BenchmarkDrain(b *testing.B) {
	cluster := pgtest.Start(b, pgtest.Options{Version: 15, Bare: true})
	for _, size := range []struct{ perTransaction, rows int }{{1000, 300_000}, {1, 60_000}} {
		db := cluster.Database(b)
		conn, err := pgx.Connect(b.Context(), db.URL(pgtest.RoleSuperuser))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(b.Context())
		exec := func(sql string, args ...any) {
			b.Helper()
			if _, err := conn.Exec(b.Context(), sql, args...); err != nil {
				b.Fatalf("%s: %v", sql, err)
			}
		}
		exec(fixtureSQL)
		full := fmt.Sprintf("full_%d", size.perTransaction)
		exec(`select pg_create_logical_replication_slot($1, 'pgoutput')`, full)
		exec(`set synchronous_commit = off`)
		exec(fmt.Sprintf(`do $$ begin for i in 1..%d loop
			insert into items select i * 10000 + j, repeat('x', 300) from generate_series(1, %d) j; commit; end loop; end $$`,
			size.rows/size.perTransaction, size.perTransaction))
		exec(`select pg_logical_emit_message(true, 'end', '')`)
		var end string
		if err := conn.QueryRow(b.Context(), `select pg_current_wal_insert_lsn()::text`).Scan(&end); err != nil {
			b.Fatal(err)
		}
		for name, drain := range map[string]func(b *testing.B, slot string) time.Duration{
			"pg_recvlogical": func(b *testing.B, slot string) time.Duration {
				b.Helper()
				tool := runTool(b, filepath.Join(cluster.Bin(), "pg_recvlogical"), "-d", db.URL(pgtest.RoleSuperuser), "--slot", slot, "--start", "--no-loop",
					"-f", "/dev/null", "-o", "proto_version=1", "-o", "publication_names=items_pub", "--endpos", end)
				return tool.UserTime() + tool.SystemTime()
			},
			"reader": func(b *testing.B, slot string) time.Duration {
				b.Helper()
				return drainReader(b, db.URL(pgtest.RoleSuperuser), slot, size.rows)
			},
		} {
			b.Run(fmt.Sprintf("%d-row/%s", size.perTransaction, name), func(b *testing.B) {
				var cpu time.Duration
				n := 0
				for b.Loop() {
					b.StopTimer()
					slot := fmt.Sprintf("copy_%d", time.Now().UnixNano())
					exec(`select pg_copy_logical_replication_slot($1, $2)`, full, slot)
					b.StartTimer()
					cpu += drain(b, slot)
					b.StopTimer()
					for _, err := conn.Exec(b.Context(), `select pg_drop_replication_slot($1)`, slot); err != nil; {
						_, err = conn.Exec(b.Context(), `select pg_drop_replication_slot($1)`, slot)
					}
					n++
					b.StartTimer()
				}
				b.ReportMetric(float64(n*size.rows)/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64(cpu.Nanoseconds())/float64(n*size.rows), "cpu-ns/row")
			})
		}
	}
}

func runTool(b *testing.B, name string, args ...string) interface {
	UserTime() time.Duration
	SystemTime() time.Duration
} {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return cmd.ProcessState
}

// disk is what an append takes, as on a log that syncs each entry.
const disk = 300 * time.Microsecond

type now struct{ done chan struct{} }

func (n now) Done() <-chan struct{} { return n.done }
func (now) Err() error              { return nil }

func drainReader(b *testing.B, url, slot string, rows int) time.Duration {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var reader *replication.Reader
	entries := 0
	reader, err := replication.New(replication.Config{URL: url, Slot: slot, Publications: []replication.Publication{{Name: "items_pub"}}, InspectInterval: -1, StatusInterval: 10 * time.Millisecond,
		Last: func(context.Context) (uint64, []byte, error) { return 0, nil, nil },
		Append: func(context.Context, []byte) (replication.Stored, error) {
			entries++
			if reader.State().Rows >= uint64(rows) {
				cancel()
			}
			stored := now{make(chan struct{})}
			time.AfterFunc(disk, func() { close(stored.done) })
			return stored, nil
		},
		At: func(point string) {
			if point == "after_confirm" && reader.State().Rows >= uint64(rows) {
				cancel()
			}
		}})
	if err != nil {
		b.Fatal(err)
	}
	before := cpuTime()
	if err := reader.Run(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(rows)/float64(entries), "rows/entry")
	return cpuTime() - before
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
