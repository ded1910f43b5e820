package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"vigil/server/internal/app"
	"vigil/server/internal/config"
	"vigil/server/internal/replication"
)

// lowBudget is how many bytes of WAL may be left before a slot is lost until doctor fails: a busy hour of a small project.
const lowBudget = 256 << 20

// examineReplication looks through REPLICATION_URL: whether it is a direct connection that may replicate, and at the slot.
func (e *examination) examineReplication(ctx context.Context, r *report) {
	const check = "replication"
	const variable = "REPLICATION_URL"
	if !e.Has(config.RoleIngest) {
		r.skip(check, "not asked: VIGIL_ROLES says that this process does not ingest")
		if !e.ReplicationURL.IsZero() {
			r.warn(check, advice("Take %s away from this process.", variable), "%s may read all WAL, and is not needed here", variable)
		}
		return
	}
	dsn := e.dsn(e.ReplicationURL)
	probe := replication.Probe(ctx, dsn)
	var fault *replication.Fault
	if errors.As(probe, &fault) && !errors.Is(probe, replication.ErrWALLevel) && !errors.Is(probe, replication.ErrPrivilege) {
		r.fail("connection", advice("%s.", upper(fault.Advice)), "%s: %v", variable, fault.Kind)
		r.skip("publications", "not asked: no connection")
		return
	}
	names := make([]string, 0, 2)
	for _, p := range app.Publications() {
		names = append(names, p.Name)
	}
	got, err := replication.Inspect(ctx, dsn, e.Slot, names)
	if err != nil {
		cause, m := connectFault(err, variable)
		r.fail("connection", m, "%s: %s", variable, cause)
		r.skip("publications", "not asked: no connection")
		return
	}
	e.replication = place{got.Server.Database, got.Identity}
	before := r.failedAt()
	examineServer(ctx, r, dsn, got)
	if fault == nil && probe != nil && r.failedAt() == before {
		r.fail("connection", advice("Check that it is the direct connection, not a pooler, and that Postgres has connections and WAL senders left."), "%s: no replication connection could be opened", variable)
	}
	if r.failedAt() == before {
		r.ok(check, "%s may replicate; wal_level is logical; %d of %d slots are free", got.Server.User, got.Server.MaxSlots-got.Server.UsedSlots, got.Server.MaxSlots)
	}
	e.examineSlot(r, got)
	examinePublications(r, got)
}

func upper(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }

func examineServer(ctx context.Context, r *report, dsn string, got replication.Report) {
	s := got.Server
	if s.WALLevel != "logical" {
		r.fail("wal_level", mend{Fix: "On Supabase it is logical. Elsewhere, as a superuser, and then restart Postgres:", SQL: "alter system set wal_level = 'logical';"}, "wal_level is %s", s.WALLevel)
	}
	if !s.MayReplicate {
		r.fail("privilege", mend{
			Fix: "On hosted Postgres 15 use role postgres, on 17 a role made with replication. Elsewhere, as a superuser:",
			SQL: fmt.Sprintf("alter role %s with replication;", pgx.Identifier{s.User}.Sanitize()),
		}, "%s may not replicate", s.User)
	}
	if s.IsStandby {
		r.fail("standby", advice("Connect to the primary."), "REPLICATION_URL is a standby")
	}
	if got.Slot == nil && s.UsedSlots >= s.MaxSlots {
		m := mend{Fix: "Raise max_replication_slots, or drop a slot that nobody needs: select * from pg_replication_slots."}
		if idle := idleSlots(ctx, dsn); len(idle) > 0 {
			m.Fix = "Raise max_replication_slots, or drop a slot that nobody needs. Nobody reads these now: " + strings.Join(idle, ", ") + ". If the first is not needed:"
			m.SQL = "select pg_drop_replication_slot('" + strings.ReplaceAll(idle[0], "'", "''") + "');"
		}
		r.fail("slots", m, "all %d replication slots are taken", s.MaxSlots)
	}
	if s.UsedSenders >= s.MaxSenders && (got.Slot == nil || got.Slot.Holder.PID == 0) {
		r.fail("senders", advice("Raise max_wal_senders, or end one that nobody needs: select * from pg_stat_replication."), "all %d WAL senders are busy", s.MaxSenders)
	}
}

// idleSlots names the slots that nobody reads; none when they cannot be asked for.
func idleSlots(ctx context.Context, dsn string) []string {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	idle, err := texts(ctx, &patient{conn: conn}, "select slot_name from pg_replication_slots where not active order by 1")
	if err != nil {
		return nil
	}
	return idle
}

func (e *examination) examineSlot(r *report, got replication.Report) {
	const check = "slot"
	s := got.Slot
	switch {
	case s == nil:
		r.ok(check, "%s does not exist yet; vigil serve makes it", e.Slot)
		return
	case s.Plugin != "pgoutput" || s.Temporary || s.Database != got.Server.Database:
		of := "plugin " + orUnknown(s.Plugin)
		if s.Database != got.Server.Database {
			of = "database " + orUnknown(s.Database)
		}
		r.fail(check, advice("Set VIGIL_SLOT to a name of your own."), "%s belongs to something else (%s)", e.Slot, of)
		return
	case s.IsLost():
		r.fail(check, advice("Start vigil serve: it makes the slot anew and makes up for the gap from the tables. Then raise max_slot_wal_keep_size, or find why the sidecar was away."), "%s was invalidated: the WAL it needs is gone", e.Slot)
		return
	}
	reportBudget(r, e.Slot, *s, got.Server.MaxSlotWALKeepSize)
	if s.Holder.PID != 0 {
		r.ok(check, "%s is read by %s (process %d)", e.Slot, orUnknown(s.Holder.Application), s.Holder.PID)
		return
	}
	r.ok(check, "%s exists and nobody reads it now", e.Slot)
}

// reportBudget says how much WAL may still gather before Postgres drops the slot, or fills the disk.
func reportBudget(r *report, slot string, s replication.Slot, limit int64) {
	const check = "wal budget"
	switch {
	case limit < 0:
		r.warn(check, mend{Fix: "So that a sidecar that is away cannot fill the database's disk, as a superuser:", SQL: "alter system set max_slot_wal_keep_size = '4GB';\nselect pg_reload_conf();"},
			"there is no limit to the WAL kept for slots (%d MiB now)", s.RetainedWAL>>20)
	case s.SafeWALSize < min(lowBudget, limit/2):
		r.fail(check, advice("Start the sidecar, or find what holds it up: when the budget is used up, Postgres gives the slot up."), "%d MiB are kept for %s, and only %d MiB are left before it is lost", s.RetainedWAL>>20, slot, max(0, s.SafeWALSize)>>20)
	default:
		r.ok(check, "%d MiB kept of %d MiB", s.RetainedWAL>>20, limit>>20)
	}
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func examinePublications(r *report, got replication.Report) {
	const check = "publications"
	problems := replication.ComparePublications(app.Publications(), got.Publications)
	for _, p := range problems {
		m := runMigrations
		if p.SQL != "" {
			m = mend{Fix: "As postgres, who owns it:", SQL: p.SQL}
		}
		name := p.Publication
		if p.Table != "" {
			name += ", " + p.Table
		}
		r.fail(check, m, "%s: %s", name, p.What)
	}
	if len(problems) == 0 {
		r.ok(check, "both are as the migrations made them, column by column")
	}
}
