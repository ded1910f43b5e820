package e2e_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"vigil/server/pgtest"
)

// super runs statements as the superuser, on a connection of their own.
func (s *stack) super(t testing.TB, work func(ctx context.Context, conn *pgx.Conn) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.cluster.URL(pgtest.RoleSuperuser, databaseName))
	if err != nil {
		t.Fatalf("connect as superuser: %v", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := work(ctx, conn); err != nil {
		t.Fatalf("as superuser: %v", err)
	}
}

// dropSlot drops the sidecar's slot, from under it if it must.
func (s *stack) dropSlot(t testing.TB) {
	t.Helper()
	s.super(t, func(ctx context.Context, conn *pgx.Conn) error {
		return poll(ctx, func() (bool, error) {
			_, err := conn.Exec(ctx, `
				select pg_terminate_backend(active_pid, 1000) from pg_replication_slots where slot_name = 'vigil' and active_pid is not null`)
			if err != nil {
				return false, err
			}
			_, err = conn.Exec(ctx, `select pg_drop_replication_slot('vigil')`)
			if isState(err, "55006") { // the sidecar was quicker
				return false, nil
			}
			return err == nil, err
		})
	})
}

// TestASlotDroppedWhileMessagesArriveIsNoticed is guarantees 1 and 3: it is counted, a new log epoch begins, clients are
// told that the log was not recovered, and what came in between is assessed from the tables.
func TestASlotDroppedWhileMessagesArriveIsNoticed(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	l := newLoad(t, s, 3)
	stopWriting := l.begin(t)
	for i := range 3 {
		l.progresses(t, 60)
		s.dropSlot(t)
		s.awaitMetric(t, notProven("slot_gone"), func(n float64) bool { return n >= float64(i+1) })
	}
	l.progresses(t, 60)
	l.allLost(t, 1)
	stopWriting()
	l.verify(t, false)
	if !s.sidecar.running() {
		t.Error("vigil ended")
	}
}

// TestASlotInvalidatedWhileTheSidecarIsDownIsNoticed: Postgres removed WAL that the slot needed, for max_slot_wal_keep_size
// is what protects it (guarantee 7).
func TestASlotInvalidatedWhileTheSidecarIsDownIsNoticed(t *testing.T) {
	t.Parallel()
	s := setup(t, options{settings: map[string]string{"max_slot_wal_keep_size": "16MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	l := newLoad(t, s, 3)
	stopWriting := l.begin(t)
	l.progresses(t, 60)
	s.sidecar.kill()
	s.invalidateSlot(t)
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	s.onlyCause(t, "slot_lost")
	l.allLost(t, 1)
	l.progresses(t, 60)
	stopWriting()
	l.verify(t, false)
}

// invalidateSlot writes WAL until Postgres gives the slot up.
func (s *stack) invalidateSlot(t testing.TB) {
	t.Helper()
	s.super(t, func(ctx context.Context, conn *pgx.Conn) error {
		return poll(ctx, func() (bool, error) {
			for range 4 {
				if _, err := conn.Exec(ctx, `select pg_logical_emit_message(false, 'ballast', repeat('x', 1000000)) from generate_series(1, 16)`); err != nil {
					return false, err
				}
				if _, err := conn.Exec(ctx, `select pg_switch_wal()`); err != nil {
					return false, err
				}
			}
			if _, err := conn.Exec(ctx, `checkpoint`); err != nil {
				return false, err
			}
			var status string
			err := conn.QueryRow(ctx, `select wal_status from pg_replication_slots where slot_name = 'vigil'`).Scan(&status)
			return status == "lost", err
		})
	})
}

// TestRetainedWALIsShown is guarantee 7: what Postgres keeps for the slot, and what it may still write, is on /metrics
// while the sidecar cannot read on, and doctor warns.
func TestRetainedWALIsShown(t *testing.T) {
	t.Parallel()
	s := setup(t, options{settings: map[string]string{"max_slot_wal_keep_size": "64MB"}})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	s.sidecar.kill()
	s.super(t, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `select pg_logical_emit_message(false, 'ballast', repeat('x', 1000000)) from generate_series(1, 52)`)
		return err
	})
	out, code := s.sidecar.run(t, "doctor", "--json")
	if code == 0 || !strings.Contains(out, "wal budget") {
		t.Errorf("doctor ended with %d and said nothing of the WAL budget:\n%s", code, out)
	}
	s.sidecar.begin(t)
	s.awaitMetric(t, "vigil_wal_retained_bytes", func(n float64) bool { return n >= 50e6 })
	s.awaitMetric(t, "vigil_wal_budget_bytes", func(n float64) bool { return n > 0 && n < 64<<20 })
}
