package cli_test

import (
	"cmp"
	"fmt"
	"maps"
	"testing"

	"vigil/server/pgtest"
)

// fault is one thing that is wrong, what doctor must say of it, and how it is mended.
type fault struct {
	sql    string              // breaks it, as the superuser
	seed   func(d *deployment) // breaks what is not in the database
	check  string              // of the finding,
	says   string              // in its detail
	status string              // "" means fail
	undo   func(d *deployment) // where the finding has nothing to run; nil: what it gives is run, as the tables' owner
	as     string              // instead of the owner
	then   func(d *deployment) // beyond what is run
	also   map[string]string   // other findings of the same fault: check → words; they are mended by the same
}

// sets gives a variable another value.
func sets(name, value string) func(*deployment) {
	return func(d *deployment) { d.env[name] = value }
}

// test breaks, looks, mends and looks again: the finding must come and go, and nothing else may stay.
func (f fault) test(d *deployment) {
	d.Helper()
	env := maps.Clone(d.env)
	found := f.find(d)
	if f.undo != nil {
		d.env = env
		f.undo(d)
	} else {
		role := f.as
		if role == "" {
			role = pgtest.RoleOwner
		}
		ran := map[string]bool{}
		for _, x := range found.of(f.check, f.level()) {
			if !ran[x.SQL+x.Shell] {
				d.mend(role, x)
			}
			ran[x.SQL+x.Shell] = true
		}
		if f.then != nil {
			f.then(d)
		}
	}
	f.gone(d, d.healthy())
}

func (f fault) level() string { return cmp.Or(f.status, "fail") }

// find breaks and looks.
func (f fault) find(d *deployment) findings {
	d.Helper()
	if f.sql != "" {
		d.sql(pgtest.RoleSuperuser, f.sql)
	}
	if f.seed != nil {
		f.seed(d)
	}
	found := d.doctor()
	x := d.must(found, f.check, f.level(), f.says)
	for check, words := range f.also {
		d.must(found, check, "fail", words)
	}
	d.Logf("%s: %s → %s %s%s", x.Check, x.Detail, x.Fix, x.SQL, x.Shell)
	return found
}

func (f fault) gone(d *deployment, healthy findings) {
	d.Helper()
	for _, x := range healthy.of(f.check, f.level()) {
		d.Errorf("still there: %+v", x)
	}
}

func nothing(*deployment) {}

// TestDoctorFindsFaultsOfTheDatabase seeds one fault after another and mends each by the SQL that its finding gives.
func TestDoctorFindsFaultsOfTheDatabase(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	for name, f := range map[string]fault{
		"row security is off": {
			sql:   "alter table public.messages disable row level security\nalter table public.devices disable row level security",
			check: "rls", says: "public.devices, public.messages",
		},
		"a new table without row security": {
			sql:   `create table public."Notes of a session" (id int primary key)` + "\n" + `alter table public."Notes of a session" owner to postgres`,
			check: "rls", says: `public."Notes of a session"`,
		},
		"a stranger sees rows": {
			sql:   "grant select on public.organizations to anon\ncreate policy \"all may read\" on public.organizations for select to anon using (true)\ninsert into public.organizations (name) values ('canary practice')",
			check: "strangers", says: "anon has a grant on public.organizations", also: map[string]string{"outsider": "organizations"},
		},
		"a stranger sees rows, as the outsider mends it": {
			sql:   "grant select on public.organizations to anon\ncreate policy \"all may read\" on public.organizations for select to anon using (true)\ninsert into public.organizations (name) values ('canary practice')",
			check: "outsider", says: "sees rows of organizations",
			then: func(d *deployment) { d.sql(pgtest.RoleOwner, `drop policy "all may read" on public.organizations`) },
		},
		"a policy without a role": {
			sql:   "create policy \"open\" on public.messages for select using (true)",
			check: "strangers", says: "1 policy is for anon, or for everybody",
		},
		"a column granted to everybody": {
			sql:   "grant select (body) on public.messages to public",
			check: "strangers", says: "public.messages",
		},
		"a policy too wide for people who are signed in": {
			sql:   "create policy \"a slip\" on public.organizations for select to authenticated using (true)\ninsert into public.organizations (name) values ('canary practice')",
			check: "strangers", says: "a person unknown to all sessions sees rows of organizations",
			undo: func(d *deployment) { d.sql(pgtest.RoleOwner, `drop policy "a slip" on public.organizations`) },
		},
		"any session's channel is open": {
			sql:   "create policy \"a slip\" on relay.permissions for select to authenticated using (true)",
			check: "strangers", says: "may join the channel of any session",
			undo: func(d *deployment) { d.sql(pgtest.RoleOwner, `drop policy "a slip" on relay.permissions`) },
		},
		"the sidecar may not ask for grants": {
			sql:   "revoke select on relay.permissions from authenticated",
			check: "strangers", says: "could not ask what a signed-in person may do",
			undo: func(d *deployment) { d.sql(pgtest.RoleOwner, "grant select on relay.permissions to authenticated") },
		},
		"a publication is missing": {
			sql:   "drop publication vigil_messages",
			check: "publications", says: "vigil_messages: is missing",
		},
		"a publication lacks a column": {
			sql:   "alter publication vigil_rows drop table public.alert_events\nalter publication vigil_rows add table public.alert_events (id, alert_id, version)",
			check: "publications", says: "vigil_rows, public.alert_events: lacks column organization_id",
		},
		"a publication has a table too many": {
			sql:   "alter publication vigil_rows add table public.profiles",
			check: "publications", says: "public.profiles: does not belong in it",
		},
		"a publication has strict messages": {
			sql:   "alter publication vigil_messages set table public.messages",
			check: "publications", says: "row filter is",
		},
		"a publication lacks deletes": {
			sql:   "alter publication vigil_rows set (publish = 'insert, update')",
			check: "publications", says: `publishes "insert, update"`,
		},
		"a trigger is off": {
			sql:   "alter table public.messages disable trigger a_message_is_checked_before_it_is_stored",
			check: "triggers", says: "1 trigger off",
		},
		"a trigger is for replicas only": {
			sql:   "alter table public.audit_log enable replica trigger the_audit_log_stands",
			check: "triggers", says: "1 trigger off",
		},
		"a trigger is missing": {
			sql:   "drop trigger arrivals_are_recorded on public.messages",
			check: "triggers", says: "missing: arrivals_are_recorded on messages", undo: remigrate,
		},
		"the sidecar may write a message": {
			sql:   "grant insert on public.messages to vigil",
			check: "grants", says: "what it must never: insert on messages",
		},
		"everybody may delete from the audit log": {
			sql:   "grant delete on public.audit_log to public",
			check: "grants", says: "delete on audit_log", also: map[string]string{"strangers": "public.audit_log"},
		},
		"the sidecar may read names": {
			sql:   "grant select on public.profiles to vigil",
			check: "grants", says: "select on profiles",
		},
		"the sidecar may read a column too many": {
			sql:   "grant select (label) on public.devices to vigil",
			check: "grants", says: "select on devices",
		},
		"the sidecar lacks a grant": {
			sql:   "revoke insert on public.alerts from vigil\nrevoke select on public.devices from vigil\nrevoke execute on function private.policy_fingerprint() from vigil",
			check: "grants", says: "vigil lacks insert on alerts, select on devices, execute on function private.policy_fingerprint()",
		},
		"the sidecar may not use a schema": {
			sql:   "revoke usage on schema private from vigil, public",
			check: "schema", says: "vigil may not use schema private",
		},
		"the sidecar has no policy": {
			sql:   "drop policy \"vigil reads assisted messages\" on public.messages",
			check: "policies", says: "select on messages", undo: remigrate,
		},
		"a table is missing": {
			sql:   "drop table public.session_progress cascade",
			check: "schema", says: "public.session_progress", undo: remigrate,
		},
		"logins are not told of": {
			sql:    "drop trigger vigil_an_ended_login_is_recorded on auth.sessions",
			status: "warn", check: "sign-out", says: "every 5 s", undo: remigrate,
		},
		"bans are not told of": {
			sql:    "drop trigger vigil_a_barred_person_is_recorded on auth.users",
			status: "warn", check: "sign-out", says: "every 5 s", undo: remigrate,
		},
	} {
		t.Run(name, func(t *testing.T) { f.test(d.in(t)) })
	}
}

// remigrate does what runMigrations says: every file once more, as their owner.
func remigrate(d *deployment) {
	d.Helper()
	migrations, err := pgtest.Migrations()
	if err != nil {
		d.Fatal(err)
	}
	if err := d.cluster.Run(d.Context(), pgtest.RoleOwner, d.db.Name, migrations); err != nil {
		d.Fatal(err)
	}
}

func TestDoctorFindsMigrationsMissing(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	var made int
	if err := d.db.Pool(t, pgtest.RoleOwner).QueryRow(t.Context(), `
		select count(*) from pg_class where relnamespace in ('public'::regnamespace, 'relay'::regnamespace) and relkind in ('r', 'p')`).Scan(&made); err != nil {
		t.Fatal(err)
	}
	d.sql(pgtest.RoleSuperuser, "drop publication vigil_messages, vigil_rows\ndrop schema relay cascade\ndrop schema private cascade\ndrop schema public cascade\ncreate schema public authorization postgres\ngrant usage on schema public to anon, authenticated, service_role, vigil")
	f := d.doctor()
	x := d.must(f, "schema", "fail", fmt.Sprintf("%d tables are missing", made))
	if x.Shell != "npx supabase db push" {
		t.Errorf("%+v", x)
	}
	d.must(f, "publications", "fail", "vigil_messages: is missing")
	remigrate(d)
	k := d.writeKey()
	d.register(k)
	d.healthy()
}

// TestDoctorKnowsWhatTheMigrationsMake holds doctor's lists of triggers to sql/; grants, tables and policies are compared
// whole by doctor itself.
func TestDoctorKnowsWhatTheMigrationsMake(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	pool := d.db.Pool(t, pgtest.RoleOwner)
	var triggers, tables int
	err := pool.QueryRow(t.Context(), `
		select (select count(*) from pg_trigger t join pg_class c on c.oid = t.tgrelid where c.relnamespace = 'public'::regnamespace and not t.tgisinternal),
		  (select count(*) from pg_class where relnamespace in ('public'::regnamespace, 'relay'::regnamespace) and relkind in ('r', 'p'))`).Scan(&triggers, &tables)
	if err != nil {
		t.Fatal(err)
	}
	f := d.healthy()
	if x := d.must(f, "triggers", "ok", "in force"); x.Detail != fmt.Sprintf("all %d are in force", triggers) {
		t.Errorf("sql/ makes %d triggers; doctor: %s", triggers, x.Detail)
	}
	if x := d.must(f, "schema", "ok", "are there"); x.Detail != fmt.Sprintf("all %d tables are there", tables) {
		t.Errorf("sql/ makes %d tables; doctor: %s", tables, x.Detail)
	}
}
