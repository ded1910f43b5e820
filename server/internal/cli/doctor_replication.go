package cli

import (
	"context"
	"errors"
	"strings"

	"vigil/server/internal/app"
	"vigil/server/internal/config"
	"vigil/server/internal/replication"
)

// lowBudget is how many bytes of WAL may be left before a slot is lost until doctor warns: a busy hour of a small project.
const lowBudget = 256 << 20

// examineReplication looks through REPLICATION_URL: whether it is a direct connection that may replicate, and at the slot.
func examineReplication(ctx context.Context, r *report, c config.Config) {
	const check = "replication"
	ctx, cancel := context.WithTimeout(ctx, 3*doctorTimeout)
	defer cancel()
	examineTLS(r, "REPLICATION_URL", c.ReplicationURL)
	names := make([]string, 0, 2)
	for _, p := range app.Publications() {
		names = append(names, p.Name)
	}
	got, err := replication.Inspect(ctx, c.ReplicationURL.Reveal(), c.Slot, names)
	var fault *replication.Fault
	switch {
	case errors.As(err, &fault):
		r.fail(check, fault.Advice, "REPLICATION_URL: %v", fault.Kind)
		r.skip("publications", "not asked: no connection")
		return
	case err != nil:
		r.fail(check, "Check host and port: it must be the direct connection (IPv6, or the IPv4 add-on).", "REPLICATION_URL: no answer from the server")
		return
	}
	if err := replication.Probe(ctx, c.ReplicationURL.Reveal()); errors.As(err, &fault) && !errors.Is(err, replication.ErrWALLevel) && !errors.Is(err, replication.ErrPrivilege) {
		r.fail("connection", fault.Advice, "REPLICATION_URL: %v", fault.Kind)
	} else if err != nil && fault == nil {
		r.fail("connection", "Check that it is the direct connection, not a pooler.", "REPLICATION_URL: no replication connection could be opened")
	}
	examineServer(r, got)
	examineSlot(r, c, got)
	examinePublications(r, got)
}

func examineServer(r *report, got replication.Report) {
	const check = "replication"
	s := got.Server
	ok := true
	if s.WALLevel != "logical" {
		ok = false
		r.fail("wal_level", "On Supabase it is logical; elsewhere: alter system set wal_level = logical; and restart Postgres.", "wal_level is %s", s.WALLevel)
	}
	if !s.MayReplicate {
		ok = false
		r.fail("privilege", "Hosted Postgres 15: use role postgres. 17: create role … login replication password '…';", "%s may not replicate", s.User)
	}
	if s.IsStandby {
		ok = false
		r.fail(check, "Connect to the primary.", "the server is a standby")
	}
	free := s.MaxSlots - s.UsedSlots
	if got.Slot == nil && free < 1 {
		ok = false
		r.fail("slots", "Drop a slot that nobody uses (select * from pg_replication_slots), or raise max_replication_slots.", "all %d replication slots are taken", s.MaxSlots)
	}
	if senders := s.MaxSenders - s.UsedSenders; senders < 1 && (got.Slot == nil || got.Slot.Holder.PID == 0) {
		ok = false
		r.fail("senders", "Raise max_wal_senders, or end a sender that nobody needs.", "all %d WAL senders are busy", s.MaxSenders)
	}
	if ok {
		r.ok(check, "%s may replicate; wal_level is logical; %d of %d slots are free", s.User, free, s.MaxSlots)
	}
}

func examineSlot(r *report, c config.Config, got replication.Report) {
	const check = "slot"
	s := got.Slot
	switch {
	case s == nil:
		r.ok(check, "%s does not exist yet; vigil serve makes it", c.Slot)
		return
	case s.IsLost():
		r.fail(check, "Start vigil serve: it makes the slot anew and makes up for the gap from the tables. Then raise max_slot_wal_keep_size, or find why the sidecar was away.", "%s was invalidated: the WAL it needed is gone", c.Slot)
		return
	case s.Plugin != "pgoutput" || s.Temporary || s.Database != got.Server.Database:
		r.fail(check, "Set VIGIL_SLOT to another name.", "%s belongs to something else (plugin %s, database %s)", c.Slot, s.Plugin, s.Database)
		return
	case s.SafeWALSize >= 0 && s.SafeWALSize < lowBudget:
		r.fail("wal budget", "Start the sidecar, or find what holds it up: when the budget is used up, Postgres drops the slot.", "%d MiB are kept for %s and only %d MiB are left before it is lost", s.RetainedWAL>>20, c.Slot, s.SafeWALSize>>20)
	case got.Server.MaxSlotWALKeepSize < 0:
		r.warn("wal budget", "alter system set max_slot_wal_keep_size = '4GB'; so that a sidecar that is away cannot fill the database's disk.", "there is no limit to the WAL kept for slots (%d MiB now)", s.RetainedWAL>>20)
	default:
		r.ok("wal budget", "%d MiB kept of %d MiB", s.RetainedWAL>>20, got.Server.MaxSlotWALKeepSize>>20)
	}
	if s.Holder.PID != 0 {
		r.ok(check, "%s is read by %s (process %d)", c.Slot, orUnknown(s.Holder.Application), s.Holder.PID)
		return
	}
	r.ok(check, "%s exists and nobody reads it now", c.Slot)
}

func orUnknown(s string) string {
	if s == "" {
		return "a client without a name"
	}
	return s
}

func examinePublications(r *report, got replication.Report) {
	const check = "publications"
	problems := replication.ComparePublications(app.Publications(), got.Publications)
	for _, p := range problems {
		fix := p.SQL
		if fix == "" {
			fix = fixMigrations
		}
		r.fail(check, fix, "%s", strings.TrimSpace(p.Publication+" "+p.Table+": "+p.What))
	}
	if len(problems) == 0 {
		r.ok(check, "both are as the migrations made them, column by column")
	}
}
