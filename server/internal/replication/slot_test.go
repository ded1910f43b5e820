package replication_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"vigil/server/internal/replication"
	"vigil/server/pgtest"
)

func TestASlotDroppedWhileStreamingIsContinuityLost(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start(func(c *replication.Config) { c.MinBackoff, c.MaxBackoff = time.Second, time.Second })
		f.exec(`insert into items values (1)`)
		f.awaitCount(1)
		f.dropSlot()
		expectFault(t, r.end(), replication.ErrSlotGone, f.config.Slot, "make a new slot and reconcile")
		if s := r.State(); s.Connected || !errors.Is(s.LastError, replication.ErrSlotGone) {
			t.Errorf("%+v", s)
		}
		expectFault(t, f.begin().end(), replication.ErrSlotGone) // the log has an entry
		expectFault(t, f.begin(func(c *replication.Config) {
			c.SlotExpected = true
			c.Last = func(context.Context) (uint64, []byte, error) { return 0, nil, nil }
		}).end(), replication.ErrSlotGone)

		f.exec(`insert into items values (2)`) // into the gap: the caller's reconcile finds it
		var starts []replication.Start
		r = f.start(func(c *replication.Config) {
			c.Recreate = true
			c.Started = func(_ context.Context, s replication.Start) error {
				starts = append(starts, s)
				return nil
			}
		})
		f.exec(`insert into items values (3)`)
		f.expect("insert items (id=1 body=null note=null)", "insert items (id=3 body=null note=null)")
		r.stop()
		if len(starts) != 1 || !starts[0].Created || starts[0].From == 0 || starts[0].SystemID == "" {
			t.Errorf("%+v", starts)
		}
	})
}

// dropSlot drops the fixture's slot though somebody streams from it.
func (f *fixture) dropSlot() {
	f.Helper()
	f.ask(`select pg_terminate_backend(active_pid)::text from pg_replication_slots where slot_name = $1`, f.config.Slot)
	f.until("the slot is free", func() bool {
		return f.ask(`select active::text from pg_replication_slots where slot_name = $1`, f.config.Slot) == "false"
	})
	f.ask(`select pg_drop_replication_slot($1)::text`, f.config.Slot)
}

func TestASlotHeldByAnotherIsWaitedForAndTheHolderNamed(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		first := f.start(func(c *replication.Config) { c.ApplicationName = "the first" })
		f.until("held", func() bool { return first.State().Connected })
		second := f.begin(func(c *replication.Config) { c.MaxBackoff = 50 * time.Millisecond })
		f.until("the wait is told", func() bool { return errors.Is(second.State().LastError, replication.ErrSlotInUse) })
		var held *replication.SlotInUse
		if err := second.State().LastError; !errors.As(err, &held) {
			t.Fatal(err)
		}
		if held.Holder.PID == 0 || held.Holder.Application != "the first" || held.Holder.User != pgtest.RoleReplicator || held.Holder.Client != "127.0.0.1" {
			t.Errorf("%+v", held)
		}
		expectFault(t, held, replication.ErrSlotInUse, fmt.Sprintf("pid %d", held.Holder.PID), "the first", "127.0.0.1", "stop that process")
		impatient := f.begin(func(c *replication.Config) { c.SlotWait = 100 * time.Millisecond })
		expectFault(t, impatient.end(), replication.ErrSlotInUse, "wait 100ms", "the first")
		first.stop()
		f.until("taken over", func() bool { return second.State().Connected })
		f.exec(`insert into items values (1)`)
		f.awaitCount(1)
	})
}

func TestTakeoverEndsOnlyWalsendersOfOurOwnRole(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		first := f.start(func(c *replication.Config) { c.MinBackoff, c.MaxBackoff = 5*time.Second, 5*time.Second })
		f.until("held", func() bool { return first.State().Connected })
		takeover := func(c *replication.Config) { c.Takeover = true }
		second := f.start(takeover)
		f.until("taken over", func() bool { return second.State().Connected && !first.State().Connected })
		first.stop()
		second.stop()

		foreign := f.start(func(c *replication.Config) { c.URL = f.db.URL(pgtest.RoleSuperuser) })
		f.until("held by another role", func() bool { return foreign.State().Connected })
		refused := f.begin(takeover, func(c *replication.Config) { c.SlotWait = 200 * time.Millisecond })
		expectFault(t, refused.end(), replication.ErrSlotInUse, pgtest.RoleSuperuser)
		if s := foreign.State(); !s.Connected || s.Reconnects != 0 {
			t.Errorf("the other role's walsender was ended: %+v", s)
		}
	})
}

func TestASlotOfSomethingElseIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		other := f.cluster.Database(t)
		conn, err := pgx.Connect(t.Context(), other.URL(pgtest.RoleSuperuser))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), `select pg_create_logical_replication_slot($1, 'pgoutput')`, f.config.Slot); err != nil {
			t.Fatal(err)
		}
		expectFault(t, f.begin().end(), replication.ErrSlotForeign, other.Name, "drop it or set another VIGIL_SLOT")
		expectFault(t, f.begin(func(c *replication.Config) { c.Recreate = true }).end(), replication.ErrSlotForeign)
	})
}

// TestALostSlotAndAFullHouseSayWhatToDo needs a server with tight limits.
func TestALostSlotAndAFullHouseSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, version := range []int{15, 17} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			cluster := pgtest.Start(t, pgtest.Options{Version: version, Bare: true, Settings: map[string]string{
				"max_replication_slots": "1", "max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "48MB"}})
			f := setup(t, cluster)
			f.ask(`select pg_create_physical_replication_slot('other')::text`)
			expectFault(t, f.begin().end(), replication.ErrSlotsFull, "1 of 1", "max_replication_slots")
			f.ask(`select pg_drop_replication_slot('other')::text`)

			r := f.start()
			f.exec(`insert into items values (1)`)
			f.awaitCount(1)
			r.stop()
			report, err := replication.Inspect(t.Context(), f.db.URL(pgtest.RoleOwner), f.config.Slot, nil)
			if err != nil || report.Server.MaxSlotWALKeepSize != 1<<20 || report.Slot.SafeWALSize <= 0 {
				t.Fatalf("%+v, %v", report.Server, err)
			}
			f.until("the slot is lost", func() bool {
				f.exec(`insert into items select i, repeat('x', 1000) from generate_series((select max(id) + 1 from items), (select max(id) + 1000 from items)) i`)
				f.ask(`select pg_switch_wal()::text`)
				f.ask(`select pg_switch_wal()::text`)
				pool := f.db.Pool(t, pgtest.RoleSuperuser)
				defer pool.Close()
				if _, err := pool.Exec(t.Context(), `checkpoint`); err != nil {
					t.Fatal(err)
				}
				report, err = replication.Inspect(t.Context(), f.db.URL(pgtest.RoleOwner), f.config.Slot, nil)
				return err == nil && report.Slot != nil && report.Slot.IsLost()
			})
			expectFault(t, f.begin().end(), replication.ErrSlotLost, "max_slot_wal_keep_size", "make a new slot and reconcile")
			r = f.start(func(c *replication.Config) { c.Recreate = true })
			f.exec(`insert into items values (0)`)
			f.expect("insert items (id=1 body=null note=null)", "insert items (id=0 body=null note=null)")
			r.stop()
		})
	}
}

func TestAnotherSystemOrTimelineIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		expectFault(t, f.begin(func(c *replication.Config) { c.Expected.SystemID = "1" }).end(), replication.ErrSystemChanged, "system 1", "REPLICATION_URL")
		expectFault(t, f.begin(func(c *replication.Config) { c.Expected.Timeline = 7 }).end(), replication.ErrSystemChanged, "timeline 7 became 1")
		r := f.start()
		known := r.State().Identity
		f.until("the identity is known", func() bool { known = r.State().Identity; return known.SystemID != "" })
		r.stop()
		f.start(func(c *replication.Config) { c.Expected = known }).stop()
	})
}

func TestMakingASlotWaitsForOpenTransactions(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		tx, err := f.sql.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `insert into items values (1)`); err != nil {
			t.Fatal(err)
		}
		var created replication.Start
		r := f.begin(func(c *replication.Config) {
			c.ConnectTimeout = 200 * time.Millisecond
			c.Started = func(_ context.Context, s replication.Start) error { created = s; return nil }
		})
		f.until("the slot is waited for", func() bool {
			return f.ask(`select count(*)::text from pg_stat_activity where query like 'CREATE_REPLICATION_SLOT%' and wait_event_type = 'Lock' and datname = current_database()`) == "1"
		})
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.until("streaming", func() bool { return r.State().Connected })
		f.exec(`insert into items values (2)`)
		f.expect("insert items (id=2 body=null note=null)")
		if r.stop(); !created.Created {
			t.Errorf("%+v", created)
		}
	})
}
