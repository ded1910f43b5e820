package replication_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vigil/server/internal/replication"
	"vigil/server/pgtest"
)

// writer inserts rows until stopped. The table is the truth about which of them were committed.
type writer struct {
	stop chan struct{}
	wg   sync.WaitGroup
}

func (f *fixture) write(first int) *writer {
	w := &writer{stop: make(chan struct{})}
	ctx := context.WithoutCancel(f.Context())
	w.wg.Go(func() {
		for id := first; ; id += 10 {
			select {
			case <-w.stop:
				return
			default:
			}
			// One row, or ten: both kinds of transaction, with errors of a server that is away ignored.
			_, _ = f.sql.Exec(ctx, `insert into items select $1 + i, 'w' from generate_series(0, $2) i`, id, id/10%2*9)
		}
	})
	return w
}

func (w *writer) end() {
	close(w.stop)
	w.wg.Wait()
}

// expectTable waits for the log to hold what the table does, and compares: every row once, none else.
func (f *fixture) expectTable() {
	f.Helper()
	want := strings.Split(f.ask(`select string_agg(id::text, ',' order by id) from items`), ",")
	f.awaitCount(len(want))
	seen := map[string]int{}
	for _, c := range f.chunks() {
		for _, ch := range c.Changes {
			id, _ := ch.Get("id")
			seen[string(id.Data)]++
		}
	}
	for _, id := range want {
		if seen[id] != 1 {
			f.Errorf("row %s is %d times in the log", id, seen[id])
		}
		delete(seen, id)
	}
	if len(seen) > 0 {
		f.Errorf("the log holds %d rows that the table has not", len(seen))
	}
}

var points = []string{"received", "before_append", "after_append", "before_confirm", "after_confirm"}

// TestCrashAtEachPointLosesAndDoublesNothing ends the reader by a panic at each named point, again and again, while rows
// are written: the log keeps what was stored, and the confirmation is lost.
func TestCrashAtEachPointLosesAndDoublesNothing(t *testing.T) {
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			onBoth(t, func(t *testing.T, f *fixture) {
				small := func(c *replication.Config) { c.MaxRows = 4 } // chunks of a transaction are crashed between, too
				f.start(small).stop()
				w := f.write(1)
				for crash := range 8 {
					left := crash + 1
					r := f.begin(small, func(c *replication.Config) {
						c.At = func(p string) {
							if p != point {
								return
							}
							if left--; left == 0 {
								panic("killed at " + p)
							}
						}
					})
					if err := r.end(); err != nil || r.panic == nil {
						t.Fatalf("crash %d: %v %v", crash, err, r.panic)
					}
				}
				w.end()
				r := f.start(small)
				f.expectTable()
				r.stop()
			})
		})
	}
}

func TestACancelAtEachPointLosesAndDoublesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.start().stop()
		w := f.write(1)
		for _, point := range points {
			var r *run
			ready := make(chan struct{})
			r = f.begin(func(c *replication.Config) {
				c.MaxRows = 4
				c.At = func(p string) {
					if p == point {
						<-ready
						r.cancel()
					}
				}
			})
			close(ready)
			if err := r.end(); err != nil {
				t.Errorf("%s: %v", point, err)
			}
		}
		w.end()
		r := f.start()
		f.expectTable()
		r.stop()
	})
}

func TestAFailingLogLosesAndDoublesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start(func(c *replication.Config) { c.MaxRows = 4 })
		w := f.write(1)
		for range 5 {
			before := r.State().Reconnects
			f.log.failNext(errTest) // refused at once
			f.until("a reconnect", func() bool { return r.State().Reconnects > before })
			before = r.State().Reconnects
			f.log.hold()
			have := r.State().Entries
			f.until("appends in flight", func() bool { return r.State().Entries > have })
			f.log.release(errTest) // refused later
			f.until("another reconnect", func() bool { return r.State().Reconnects > before })
		}
		w.end()
		f.expectTable()
		if err := r.State().LastError; err == nil {
			t.Error("the failure is not in the state")
		}
	})
}

type refusal struct{ error }

func (refusal) Permanent() bool { return true }
func (r refusal) Unwrap() error { return r.error }

func TestALogThatSaysNeverEndsRun(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start()
		f.log.failNext(refusal{errTest})
		f.exec(`insert into items values (1)`)
		if err := r.end(); err == nil {
			t.Error("Run ended without an error")
		}
	})
}

// TestPostgresKilledUnderLoadLosesAndDoublesNothing kills the server with SIGKILL while rows are written and read.
func TestPostgresKilledUnderLoadLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, version := range []int{15, 17} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			cluster := pgtest.Start(t, pgtest.Options{Version: version, Bare: true})
			f := setup(t, cluster)
			r := f.start(func(c *replication.Config) { c.MaxRows = 50 })
			w := f.write(1)
			for i := range 4 {
				have := len(f.changes())
				f.awaitCount(have + 200)
				act := cluster.Kill
				if i%2 == 1 {
					act = cluster.Stop // a fast shutdown waits until the reader has confirmed
				}
				if err := act(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := cluster.Resume(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			have := len(f.changes())
			f.awaitCount(have + 200)
			w.end()
			f.expectTable()
			if r.State().Reconnects == 0 || r.State().LastError == nil {
				t.Error("the state says nothing of it")
			}
			r.stop()
		})
	}
}

// TestARestoredDatabaseIsNoticed puts back the files of an hour ago, as a snapshot of a disk does: same system, same
// timeline, an older end of WAL. It then lets the WAL grow past what the log holds: other transactions stand there now.
func TestARestoredDatabaseIsNoticed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cluster := pgtest.Start(t, pgtest.Options{Version: 15, Bare: true})
	f := setup(t, cluster)
	r := f.start()
	f.exec(`insert into items values (1)`)
	f.awaitCount(1)
	r.stop()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	copyFiles := func(from, to string) {
		t.Helper()
		if out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	saved := cluster.DataDir() + ".saved"
	must(cluster.Stop(ctx))
	copyFiles(cluster.DataDir(), saved)
	must(cluster.Resume(ctx))
	r = f.start()
	for id := range 20 {
		f.sql.Reset()
		f.exec(`insert into items values ($1, repeat('x', 1000))`, id+10)
	}
	f.awaitCount(21)
	r.stop()
	must(cluster.Stop(ctx))
	if out, err := exec.CommandContext(ctx, "rm", "-rf", cluster.DataDir()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	copyFiles(saved, cluster.DataDir())
	must(cluster.Resume(ctx))
	f.sql.Reset()
	expectFault(t, f.begin().end(), replication.ErrRestored, "its WAL ends at", "reconcile")

	for id := range 100 {
		f.exec(`insert into items values ($1, repeat('y', 2000))`, id+1000)
	}
	expectFault(t, f.begin().end(), replication.ErrRestored, "reconcile")

	// The caller decided: a new slot, and what comes after it arrives, though the log's last entry stands elsewhere.
	had := len(f.log.entries)
	r = f.start(func(c *replication.Config) { c.Recreate = true })
	f.exec(`insert into items values (5000)`)
	f.log.awaitEntries(f.T, had+1)
	r.stop()
	f.exec(`insert into items values (5001)`)
	r = f.start()
	f.log.awaitEntries(f.T, had+2)
	r.stop()
}

func (l *memoryLog) awaitEntries(t *testing.T, n int) {
	t.Helper()
	limit := time.After(patience)
	for {
		l.mu.Lock()
		have, changed := len(l.entries), l.changed
		l.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%d entries, wanted %d", have, n)
		}
	}
}

// TestATransactionThatIsNotTheOneStoredIsNoticed changes the log's last entry instead of the database.
func TestATransactionThatIsNotTheOneStoredIsNoticed(t *testing.T) {
	for name, change := range map[string]func(*replication.Chunk){
		"another transaction at the LSN": func(c *replication.Chunk) { c.XID++ },
		"another time at the LSN":        func(c *replication.Chunk) { c.CommittedAt = c.CommittedAt.Add(time.Second) },
		"no transaction at the LSN":      func(c *replication.Chunk) { c.Commit, c.End = c.Commit+1, c.End+1 },
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, f *fixture) {
				f.start().stop()
				f.exec(`insert into items values (1)`)
				r := f.begin(func(c *replication.Config) { c.At = panicAt("before_confirm") })
				f.awaitCount(1)
				if r.end(); r.panic == nil {
					t.Fatal("no crash")
				}
				batches, err := f.log.batches()
				if err != nil {
					t.Fatal(err)
				}
				last := batches[len(batches)-1]
				change(&last[len(last)-1])
				data, err := last.AppendBinary(nil)
				if err != nil {
					t.Fatal(err)
				}
				f.log.entries[len(batches)-1] = data
				f.exec(`insert into items values (2)`)
				expectFault(t, f.begin().end(), replication.ErrRestored, "last one stored|stored was")
			})
		})
	}
}

// panicAt crashes at a point once something was appended: an idle confirmation does not count.
func panicAt(point string) func(string) {
	appended := false
	return func(p string) {
		appended = appended || p == "after_append"
		if appended && p == point {
			panic("killed at " + p)
		}
	}
}

// expectFault checks that err is of the kind and says each of the words; a|b is either.
func expectFault(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if !errorsIs(err, kind) {
		t.Fatalf("got %v, wanted %v", err, kind)
	}
	for _, word := range words {
		if !slices.ContainsFunc(strings.Split(word, "|"), func(w string) bool { return strings.Contains(err.Error(), w) }) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	if strings.Contains(err.Error(), "password=") {
		t.Errorf("%q may name a password", err)
	}
}
