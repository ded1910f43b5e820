package cli_test

import (
	"context"
	"fmt"
	"testing"

	"vigil/server/pgtest"
)

// TestDoctorFindsFaultsOfTheServer seeds faults of roles and settings, which all databases of a server share: one after
// another, on a server of its own of each version.
func TestDoctorFindsFaultsOfTheServer(t *testing.T) {
	t.Parallel()
	for _, version := range []int{15, 17} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			cluster := pgtest.Start(t, pgtest.Options{Version: version, Settings: map[string]string{"max_replication_slots": "2", "max_slot_wal_keep_size": "64MB"}})
			d := setup(t, cluster)
			d.healthy()
			for _, f := range roleFaults(version) {
				t.Run(f.name, func(t *testing.T) { f.test(d.in(t)) })
			}
			t.Run("all slots are taken", func(t *testing.T) { slotsTaken.test(d.in(t)) })
			t.Run("the slot of something else", func(t *testing.T) { foreignSlots(d.in(t)) })
			t.Run("the slot runs out of WAL and is lost", func(t *testing.T) { lostSlot(d.in(t)) })
			t.Run("no limit to the WAL", func(t *testing.T) { noLimit.test(d.in(t)) })
			t.Run("wal_level is replica", func(t *testing.T) { walLevel.test(d.in(t)) })
			t.Run("Postgres is down", func(t *testing.T) { postgresDown(d.in(t)) })
		})
	}
}

type namedFault struct {
	name string
	fault
}

func roleFaults(version int) []namedFault {
	inherits := "alter role vigil inherit"
	if version >= 16 {
		inherits = "grant authenticated to vigil with inherit true"
	}
	return []namedFault{
		{"vigil bypasses RLS", fault{sql: "alter role vigil bypassrls", check: "role", says: "bypasses RLS", as: pgtest.RoleSuperuser}},
		{"vigil is a superuser", fault{sql: "alter role vigil superuser", check: "role", says: "is a superuser", as: pgtest.RoleSuperuser}},
		{"vigil may not become authenticated", fault{
			seed:  func(d *deployment) { d.sql(pgtest.RoleOwner, "revoke authenticated from vigil") }, // on 17 only who granted may
			check: "role", says: "every join would be refused",
		}},
		{"vigil inherits", fault{sql: inherits, check: "role", says: "without becoming it", as: pgtest.RoleSuperuser}},
		{"vigil is a member of more", fault{sql: "grant service_role to vigil", check: "role", says: "vigil is a member of service_role", as: pgtest.RoleSuperuser}},
		{"vigil may replicate", fault{sql: "alter role vigil replication", check: "role", status: "warn", says: "vigil may replicate", as: pgtest.RoleSuperuser}},
		{"the replicating role may not", fault{
			sql: "alter role vigil_replicator noreplication", check: "privilege", says: "vigil_replicator may not replicate", as: pgtest.RoleSuperuser,
		}},
		{"vigil may not log in", fault{
			sql: "alter role vigil nologin", check: "database", says: "28000", undo: func(d *deployment) { d.sql(pgtest.RoleSuperuser, "alter role vigil login") },
		}},
	}
}

var slotsTaken = fault{
	sql:   "select pg_create_physical_replication_slot('theirs_a')\nselect pg_create_physical_replication_slot('theirs_b')",
	check: "slots", says: "all 2 replication slots are taken", as: pgtest.RoleSuperuser,
	then: func(d *deployment) { d.sql(pgtest.RoleSuperuser, "select pg_drop_replication_slot('theirs_b')") },
}

var noLimit = fault{
	seed: func(d *deployment) {
		d.sql(pgtest.RoleSuperuser, "alter system set max_slot_wal_keep_size = -1\nselect pg_reload_conf()\n"+d.slotSQL("pgoutput"))
	},
	check: "wal budget", status: "warn", says: "no limit", as: pgtest.RoleSuperuser,
	then: func(d *deployment) { d.dropSlot() },
}

var walLevel = fault{
	seed: func(d *deployment) {
		d.sql(pgtest.RoleSuperuser, "alter system set wal_level = replica")
		d.restart()
	},
	check: "wal_level", says: "wal_level is replica", as: pgtest.RoleSuperuser,
	then: func(d *deployment) { d.restart() },
}

// restart returns when the stand-in has found the new server, too.
func (d *deployment) restart() {
	d.Helper()
	d.noError(d.cluster.Restart(context.WithoutCancel(d.Context())))
	d.reconnected()
}

func (d *deployment) reconnected() {
	d.Helper()
	d.await(d.env["SUPABASE_URL"] + "/rest/v1/organizations?limit=1&apikey=" + d.env["SUPABASE_SECRET_KEY"])
}

func (d *deployment) slotSQL(plugin string) string {
	return fmt.Sprintf("select pg_create_logical_replication_slot('%s', '%s')", d.env["VIGIL_SLOT"], plugin)
}

func (d *deployment) dropSlot() {
	d.Helper()
	d.sql(pgtest.RoleSuperuser, fmt.Sprintf("select pg_drop_replication_slot('%s')", d.env["VIGIL_SLOT"]))
}

// foreignSlots: the slot's name is taken by a physical one, and by another database's.
func foreignSlots(d *deployment) {
	d.sql(pgtest.RoleSuperuser, fmt.Sprintf("select pg_create_physical_replication_slot('%s')", d.env["VIGIL_SLOT"]))
	d.must(d.doctor(), "slot", "fail", "belongs to something else")
	d.dropSlot()
	other := *d
	other.db = d.cluster.Database(d.T)
	other.sql(pgtest.RoleSuperuser, other.slotSQL("pgoutput"))
	x := d.must(d.doctor(), "slot", "fail", "database "+other.db.Name)
	if x.Fix != "Set VIGIL_SLOT to a name of your own." {
		d.Errorf("%+v", x)
	}
	taken := d.env["VIGIL_SLOT"]
	d.env["VIGIL_SLOT"] = "vigil_too"
	d.healthy()
	d.env["VIGIL_SLOT"] = taken
	d.dropSlot()
}

// lostSlot: nobody reads the slot while WAL is written. Doctor warns in time, and says when it is too late.
func lostSlot(d *deployment) {
	d.sql(pgtest.RoleSuperuser, d.slotSQL("pgoutput"))
	d.must(d.healthy(), "wal budget", "ok", "of 64 MiB")
	write := func() {
		d.sql(pgtest.RoleSuperuser, "select pg_logical_emit_message(true, 'filler', 'x')\nselect pg_switch_wal()\ncheckpoint")
	}
	const most = 12 // segments of 16 MiB
	low := false
	for range most {
		write()
		f := d.program()
		if len(f.of("slot", "fail")) > 0 {
			break
		}
		low = low || len(f.of("wal budget", "fail")) > 0
	}
	if !low {
		d.Error("nothing was said before the slot was lost")
	}
	x := d.must(d.doctor(), "slot", "fail", "was invalidated")
	d.Logf("%+v", x)
	end := d.serve() // as the finding says
	d.healthy()
	end()
	d.dropSlot()
}

// postgresDown: what can be asked without it is.
func postgresDown(d *deployment) {
	d.noError(d.cluster.Stop(context.WithoutCancel(d.Context())))
	f := d.doctor()
	d.must(f, "database", "fail", "no answer from the server")
	d.must(f, "connection", "fail", "no answer from the server")
	d.must(f, "key", "skip", "it can be read")
	d.must(f, "bus", "ok", "there is room")
	d.must(f, "jwks", "ok", "1 signing key")
	d.Logf("\n%s", f.text)
	d.noError(d.cluster.Resume(context.WithoutCancel(d.Context())))
	d.reconnected()
	d.healthy()
}
