package e2e_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

// backup stops Postgres for a moment and copies its files.
func (s *stack) backup(t testing.TB) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "backup")
	if err := s.cluster.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	copyFiles(t, s.cluster.DataDir(), dir)
	s.resume(t)
	return dir
}

// restore puts the copy back in the place of the files of a Postgres that is stopped, and starts it.
func (s *stack) restore(t testing.TB, dir string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "rm", "-rf", s.cluster.DataDir()).CombinedOutput(); err != nil {
		t.Fatalf("remove the files of Postgres: %v\n%s", err, out)
	}
	copyFiles(t, dir, s.cluster.DataDir())
	s.resume(t)
}

// resume starts Postgres again. What the tests' own pool held is broken since.
func (s *stack) resume(t testing.TB) {
	t.Helper()
	if err := s.cluster.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.admin.Reset()
}

// copyFiles keeps owners, which Postgres insists on.
func copyFiles(t testing.TB, from, to string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy the files of Postgres: %v\n%s", err, out)
	}
}

func (s *stack) walEnd(t testing.TB) (lsn string) {
	t.Helper()
	s.super(t, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "select pg_current_wal_lsn()::text").Scan(&lsn)
	})
	return lsn
}

// passes writes WAL until it ends behind lsn: what is written after that has LSNs that the old history had, too.
func (s *stack) passes(t testing.TB, lsn string) {
	t.Helper()
	s.super(t, func(ctx context.Context, conn *pgx.Conn) error {
		return poll(ctx, func() (passed bool, err error) {
			if _, err := conn.Exec(ctx, "select pg_logical_emit_message(false, 'ballast', repeat('x', 100000))"); err != nil {
				return false, err
			}
			err = conn.QueryRow(ctx, "select pg_current_wal_lsn() > $1::text::pg_lsn", lsn).Scan(&passed)
			return passed, err
		})
	})
}

// TestARestoredDatabaseIsNoticed is guarantees 1 to 3: the database goes back to an older state, while the sidecar is down
// or under its feet. Nothing that is written after that is dropped as already seen, and nobody is shown what it does not
// have any more.
func TestARestoredDatabaseIsNoticed(t *testing.T) {
	t.Parallel()
	for name, isRunning := range map[string]bool{"while the sidecar is down": false, "while the sidecar runs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			restoreUnder(t, isRunning)
		})
	}
}

func restoreUnder(t *testing.T, isRunning bool) {
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	l := newLoad(t, s, 2)
	stopWriting := l.begin(t)
	l.progresses(t, 40)
	copied := s.backup(t)
	l.progresses(t, 100)
	stopWriting()
	s.settled(t.Context(), t)
	s.awaitMetric(t, "vigil_bus_sequencer_lag", func(n float64) bool { return n == 0 })
	if !isRunning {
		s.sidecar.kill()
	}
	end := s.walEnd(t)
	if err := s.cluster.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.anew()
	s.restore(t, copied)
	if n := l.forget(t.Context(), t); n < 50 {
		t.Fatalf("the restore lost %d messages only: the test proves nothing", n)
	}
	stopWriting = l.beginWriting(t)
	if !isRunning {
		s.passes(t, end)
		s.sidecar.begin(t)
	}
	s.sidecar.mustBeReady(t)
	s.onlyCause(t, "database_restored")
	l.allLost(t, 1)
	late := s.watch(l.sessions[0].client, l.watchers[0].topic) // has shown nothing yet, and asks for what there is
	late.begin(t)
	l.progresses(t, 40)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := late.await(ctx, func(w *watcher) bool { return w.cursor != "" && len(w.entries) > 0 }); err != nil {
		t.Errorf("nobody can join after the restore: %v\n%s", err, s.sidecar.out.tail())
	}
	stopWriting()
	l.verify(t, false)
	table := l.stored(ctx, t, l.sessions[0].id)
	late.mu.Lock()
	defer late.mu.Unlock()
	late.noOther(t, "message", "id", table)
}
