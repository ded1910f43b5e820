package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestALostBusIsNoticed is guarantees 1 and 3: the bus is gone, is of another key, is older than the database, or is gone
// together with the slot, all while messages arrive. It is counted under its cause, clients are told that the log was not
// recovered, and everything is assessed.
func TestALostBusIsNoticed(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	l := newLoad(t, s, 2)
	stopWriting := l.begin(t)
	older := filepath.Join(t.TempDir(), "older")
	remove := func() {
		if err := os.RemoveAll(s.dataDir); err != nil {
			t.Fatal(err)
		}
	}
	for i, loss := range []struct {
		what, cause string
		lose        func()
		env         []string
	}{
		{"its folder is deleted", "bus_lost", remove, nil},
		{"its key is another", "bus_lost", func() {}, []string{"VIGIL_BUS_KEY=another-key-of-thirty-two-characters"}},
		{"it is an older copy", "bus_restored", func() {
			remove()
			if err := os.CopyFS(s.dataDir, os.DirFS(older)); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"it is deleted and the slot is dropped", "bus_lost", func() { remove(); s.dropSlot(t) }, nil},
	} {
		l.progresses(t, 40)
		s.sidecar.kill()
		loss.lose()
		s.sidecar.begin(t, loss.env...)
		s.sidecar.mustBeReady(t)
		s.awaitMetric(t, notProven(loss.cause), func(n float64) bool { return n >= 1 && n <= 2 })
		l.allLost(t, i+1)
		if loss.env != nil {
			s.awaitMetric(t, "vigil_bus_lost_stores", func(n float64) bool { return n == 1 })
		}
		l.progresses(t, 40)
		if i == 0 { // a copy of a bus that the database soon is far ahead of
			if code := s.sidecar.stop(t); code != 0 {
				t.Fatalf("vigil ended with %d", code)
			}
			if err := os.CopyFS(older, os.DirFS(s.dataDir)); err != nil {
				t.Fatal(err)
			}
			s.sidecar.begin(t)
			s.sidecar.mustBeReady(t)
		}
		if t.Failed() {
			t.Fatalf("that was when %s", loss.what)
		}
	}
	stopWriting()
	l.verify(t, false)
}

// TestAFullBusConfirmsNothingAndLosesNothing is guarantee 7: when LOG is at its limit nothing more is confirmed to Postgres
// and readiness says so; once the limit is raised everything is there.
func TestAFullBusConfirmsNothingAndLosesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	l := newLoad(t, s, 3)
	stopWriting := l.begin(t)
	l.progresses(t, 60)
	s.sidecar.kill()
	s.sidecar.begin(t, "VIGIL_BUS_MAX_BYTES=131072")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) {
		status, body, err := get(ctx, s.operatorURL+"/readyz")
		return err == nil && status == 503 && strings.Contains(body, "full"), nil //nolint:nilerr // it is starting
	}); err != nil {
		t.Fatalf("readiness does not say that the bus is full: %v\n%s", err, s.sidecar.out.tail())
	}
	confirmed := s.confirmed(t)
	before, err := s.stored(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := poll(ctx, func() (bool, error) { n, err := s.stored(ctx); return n >= before+100, err }); err != nil {
		t.Fatalf("clients must not notice: %v", err)
	}
	if now := s.confirmed(t); now != confirmed {
		t.Errorf("%s was confirmed, now %s, although LOG took nothing", confirmed, now)
	}
	if err := poll(ctx, func() (bool, error) { return strings.Contains(s.sidecar.out.String(), `"attempt":4`), nil }); err != nil {
		t.Errorf("LOG is asked again and again without a pause")
	}
	if !s.sidecar.running() {
		t.Fatalf("vigil ended:\n%s", s.sidecar.out.tail())
	}
	if code := s.sidecar.stop(t); code != 0 {
		t.Errorf("vigil ended with %d:\n%s", code, s.sidecar.out.tail())
	}
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	l.progresses(t, 60)
	stopWriting()
	l.verify(t, true)
}

// confirmed is what the sidecar has confirmed to Postgres.
func (s *stack) confirmed(t testing.TB) (lsn string) {
	t.Helper()
	s.super(t, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = 'vigil'").Scan(&lsn)
	})
	return lsn
}

// stored counts the messages.
func (s *stack) stored(ctx context.Context) (n int, err error) {
	err = s.admin.QueryRow(ctx, "select count(*) from public.messages").Scan(&n)
	return n, err
}
