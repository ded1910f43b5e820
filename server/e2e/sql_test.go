package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"vigil/server/pgtest"
)

// What is tested here needs several connections, or the same migrations twice: the rest of sql/ is tested in SQL (sql/tests).

func TestSQL(t *testing.T) {
	t.Parallel()
	for _, version := range []int{15, 17} {
		t.Run(fmt.Sprintf("on %d", version), func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t, pgtest.Options{Version: version})
			sqlPeopled(t, c)
			tests := map[string]func(*testing.T, *pgtest.Cluster){
				"the migrations run twice with the same end":         sqlMigrationsTwice,
				"the seed runs twice":                                sqlSeedTwice,
				"positions are dense under concurrent senders":       sqlDensePositions,
				"no message passes a revocation":                     sqlRevocations,
				"no epoch passes a device's revocation":              sqlDeviceRevocations,
				"no crisis access passes what ends it":               sqlCrisisRaces,
				"no shared history passes a device's revocation":     sqlShareRaces,
				"of two devices at once one is the first":            sqlFirstDevices,
				"of two devices revoked at once one stays":           sqlLastDevices,
				"no suggestion passes what no longer allows it":      sqlSuggestions,
				"a deleted row says on which topics it was":          sqlDeletes,
				"scores, keys and erasures pass nothing by":          sqlSealing,
				"erasing waits in no circle, and leaves nothing":     sqlErasing,
				"several people are erased at once, in no circle":    sqlErasingPeople,
				"retiring a key holds up no conversation":            sqlKeyRetirement,
				"settling an erasure waits in no circle":             sqlSettling,
				"changes of one organisation never wait in a circle": sqlNoDeadlock,
				"schema changes are announced where they may be":     sqlSchemaChanges,
				"the client's typed tables are the database's":       sqlTypedTables,
			}
			for name, test := range tests {
				t.Run(name, func(t *testing.T) { test(t, c) })
			}
		})
	}
}

// peopled is, for each cluster of TestSQL, the database that those of its tests are clones of.
var peopled sync.Map

// sqlPeople is a database with the people of sql/tests/fixtures, which are made once for each cluster.
func sqlPeople(t *testing.T, c *pgtest.Cluster) (*pgtest.Database, *pgxpool.Pool) {
	t.Helper()
	first, ok := peopled.Load(c)
	if !ok {
		t.Fatal("the cluster has no people: see sqlPeopled")
	}
	d := first.(*pgtest.Database).Clone(t)
	return d, d.Pool(t, pgtest.RoleSuperuser)
}

// sqlPeopled makes what sqlPeople clones until the test ends.
func sqlPeopled(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	d := c.Database(t)
	var scripts []pgtest.Script
	for _, name := range []string{"people", "alert", "suggestion"} {
		scripts = append(scripts, sqlScript(t, "sql/tests/fixtures/"+name+".sql"))
	}
	if err := c.Run(t.Context(), pgtest.RoleSuperuser, d.Name, scripts); err != nil {
		t.Fatal(err)
	}
	peopled.Store(c, d)
	t.Cleanup(func() { peopled.Delete(c) })
}

func sqlScript(t testing.TB, name string) pgtest.Script {
	t.Helper()
	root, err := pgtest.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return pgtest.Script{Name: name, SQL: string(data)}
}

// sqlShape lists everything that the migrations make, one fact a line.
const sqlShape = `
	select format('column %s.%s %s %s %s %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attacl,
		pg_get_expr(d.adbin, d.adrelid)) as fact
	from pg_attribute a
	join pg_class c on c.oid = a.attrelid
	left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
	where a.attnum > 0 and c.relkind in ('r', 'v') and c.relnamespace::regnamespace::text in ('public', 'private', 'relay')
	union all
	select format('table %s %s %s %s %s', oid::regclass, relacl, relrowsecurity, relreplident, reloptions) || obj_description(oid, 'pg_class')
	from pg_class where relkind in ('r', 'v') and relnamespace::regnamespace::text in ('public', 'private', 'relay')
	union all
	select format('index %s %s', indexdef, '') from pg_indexes where schemaname in ('public', 'private', 'relay')
	union all
	select format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
	from pg_constraint where connamespace::regnamespace::text in ('public', 'private', 'relay')
	union all
	select format('trigger %s %s', tgrelid::regclass, pg_get_triggerdef(oid)) from pg_trigger where not tgisinternal
	union all
	select format('policy %s %s %s %s %s %s', tablename, policyname, roles, cmd, qual, with_check)
	from pg_policies where schemaname in ('public', 'private', 'relay')
	union all
	select format('function %s %s', pg_get_functiondef(oid), proacl)
	from pg_proc where pronamespace::regnamespace::text in ('public', 'private', 'relay')
	union all
	select format('publication %s %s %s %s', pubname, tablename, attnames, rowfilter) from pg_publication_tables
	union all
	select format('schema %s %s', nspname, nspacl) from pg_namespace where nspname in ('public', 'private', 'relay')
	union all
	select format('member %s %s', roleid::regrole, to_jsonb(m) - array['oid', 'grantor']) from pg_auth_members m where member = 'vigil'::regrole
	union all
	select format('row %s %s', extension, action) from relay.permissions
	order by 1`

func sqlMigrationsTwice(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	migrations, err := pgtest.Migrations()
	if err != nil || len(migrations) == 0 {
		t.Fatalf("read %d migrations: %v", len(migrations), err)
	}
	d, admin := sqlPeople(t, c)
	shape := func() []string {
		rows, err := admin.Query(t.Context(), sqlShape)
		if err != nil {
			t.Fatal(err)
		}
		facts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return facts
	}
	once := shape()
	if err := c.Run(t.Context(), pgtest.RoleOwner, d.Name, migrations); err != nil {
		t.Fatalf("run the migrations a second time, over data: %v", err)
	}
	twice := shape()
	if slices.Equal(once, twice) {
		return
	}
	for _, fact := range once {
		if !slices.Contains(twice, fact) {
			t.Errorf("only after the first run: %s", fact)
		}
	}
	for _, fact := range twice {
		if !slices.Contains(once, fact) {
			t.Errorf("only after the second run: %s", fact)
		}
	}
}

func sqlSeedTwice(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	d := c.Database(t)
	seed := sqlScript(t, "sql/seed/demo.sql")
	for range 2 {
		if err := c.Run(t.Context(), pgtest.RoleOwner, d.Name, []pgtest.Script{seed}); err != nil {
			t.Fatal(err)
		}
	}
	var modes []string
	const query = "select array_agg(mode order by mode) from public.sessions"
	if err := d.Pool(t, pgtest.RoleOwner).QueryRow(t.Context(), query).Scan(&modes); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(modes, []string{"assisted", "strict"}) {
		t.Errorf("the seed has sessions %v, not one of each kind", modes)
	}
}

// The statements of the README are those that pgTAP runs, word for word.
func TestTheREADMEsStatementsAreTheTestedOnes(t *testing.T) {
	t.Parallel()
	var shown, tested []string
	for _, m := range regexp.MustCompile("(?s)   ```sql\n(.*?)   ```").FindAllStringSubmatch(sqlScript(t, "sql/README.md").SQL, -1) {
		shown = append(shown, strings.ReplaceAll(strings.TrimPrefix(m[1], "   "), "\n   ", "\n"))
	}
	for _, m := range regexp.MustCompile(`(?s)\$admin\$\n(.*?)\$admin\$`).FindAllStringSubmatch(sqlScript(t, "sql/tests/admin_statements.sql").SQL, -1) {
		tested = append(tested, m[1])
	}
	if len(shown) != 33 || len(tested) != 33 {
		t.Fatalf("the README shows %d statements and pgTAP runs %d, not thirty-three", len(shown), len(tested))
	}
	for i := range shown {
		if strings.TrimRight(shown[i], "\n ") != strings.TrimRight(tested[i], "\n ") {
			t.Errorf("statement %d:\n%s\nis tested as:\n%s", i+1, shown[i], tested[i])
		}
	}
}

// Many senders at once: positions are dense, and each assisted message names the one before it.
func sqlDensePositions(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	const senders, each = 6, 40
	_, admin := sqlPeople(t, c)
	var group errgroup.Group
	for s := range senders {
		who := []string{"clio", "theo"}[s%2]
		group.Go(func() error {
			for n := range each {
				if err := sqlSend(t.Context(), admin, who, 1000*(s+1)+n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	var dense, linked bool
	var last, assisted int64
	const query = `
		select max(m.position) = count(*) and min(m.position) = 1,
			bool_and(m.previous_assisted_position = m.position - 1), max(c.last_position), max(c.last_assisted_position)
		from public.messages m
		join public.session_counters c on c.session_id = m.session_id
		where m.session_id = tests.session('assisted')`
	if err := admin.QueryRow(t.Context(), query).Scan(&dense, &linked, &last, &assisted); err != nil {
		t.Fatal(err)
	}
	if want := int64(senders*each + 1); !dense || !linked || last != want || assisted != want {
		t.Errorf("dense %t, linked %t, last position %d, last assisted %d, want %d", dense, linked, last, assisted, want)
	}
}

func sqlSend(ctx context.Context, pool *pgxpool.Pool, who string, seq int) error {
	const send = "select tests.act($1, tests.message_command($1, tests.session('assisted'), $2))"
	_, err := pool.Exec(ctx, send, who, seq)
	return err
}

// A change that takes access away waits for a message in flight, and no message passes it afterwards.
func sqlRevocations(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	changes := map[string]string{
		"the membership ends":     "update public.memberships set ended_at = now() where user_id = tests.id('theo')",
		"the participant leaves":  "update public.session_participants set ended_at = now() where user_id = tests.id('theo')",
		"a device is revoked":     "update public.devices set revoked_at = now() where id = tests.device('theo')",
		"consent is withdrawn":    "select tests.act('clio', $$select public.withdraw_consent(md5('consent assisted')::uuid, tests.bytes('w', 86))$$)",
		"the session is paused":   "select tests.act('theo', format('select public.pause_session(%L)', tests.session('assisted')))",
		"an operator ends it":     "update public.sessions set status = 'ended' where id = tests.session('assisted')",
		"the mode becomes strict": "update public.sessions set mode = 'strict' where id = tests.session('assisted')",
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			_, admin := sqlPeople(t, c)
			sqlRevoke(t, admin, "select tests.act('theo', tests.message_command('theo', tests.session('assisted'), 7))", change)
		})
	}
}

// An epoch in flight is the first to hold the device's key: whoever revokes the device waits for it, and it is not used afterwards.
func sqlDeviceRevocations(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	devices := map[string]string{
		"a client's": `
			insert into public.devices (id, user_id, enc_pub, sig_pub)
			values (md5('new')::uuid, tests.id('clio'), tests.key('enc new'), tests.key('sig new'));
			select tests.admit(md5('new')::uuid)`,
		"the sidecar's": "select private.register_analysis_device(md5('new')::uuid, tests.key('enc new'), tests.key('sig new'))",
	}
	for name, register := range devices {
		t.Run(name, func(t *testing.T) {
			_, admin := sqlPeople(t, c)
			if _, err := admin.Exec(t.Context(), register); err != nil {
				t.Fatal(err)
			}
			sqlRevoke(t, admin, "select tests.act('theo', tests.epoch_command('theo', tests.session('assisted'), md5('consent assisted')::uuid))",
				"update public.devices set revoked_at = now() where id = md5('new')::uuid")
			var epochs []int
			const query = `
				select array[max(w.epoch), s.min_epoch] from public.epoch_wraps w
				join public.sessions s on s.id = w.session_id
				where w.device_id = md5('new')::uuid group by s.min_epoch`
			if err := admin.QueryRow(t.Context(), query).Scan(&epochs); err != nil || !slices.Equal(epochs, []int{2, 3}) {
				t.Errorf("the device holds an epoch, and the least that may be used is: %v, %v", epochs, err)
			}
		})
	}
}

// sqlRevoke makes a change while a statement that holds the session's lock is in flight, and expects that nothing is sent after it.
func sqlRevoke(t *testing.T, admin *pgxpool.Pool, inFlight, change string) {
	t.Helper()
	sqlWait(t, admin, inFlight, change)
	if err := sqlSend(t.Context(), admin, "theo", 8); err == nil {
		t.Fatal("a message passed the change")
	}
}

// sqlWait makes a change while a statement is in flight, and expects that it waits for that one's transaction.
func sqlWait(t *testing.T, admin *pgxpool.Pool, inFlight, change string) {
	t.Helper()
	ctx := t.Context()
	tx, err := admin.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, inFlight); err != nil {
		t.Fatal(err)
	}
	impatient := func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, "set lock_timeout = '50ms'; "+change)
		return err
	}
	var refused *pgconn.PgError
	if err := admin.AcquireFunc(ctx, impatient); !errors.As(err, &refused) || refused.Code != "55P03" {
		t.Fatalf("the change did not wait for what is in flight: %v", err)
	}
	waiting := make(chan error, 1)
	go func() { // ends when the transaction does; received from below
		_, err := admin.Exec(ctx, "set lock_timeout = 0; "+change)
		waiting <- err
	}()
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-waiting:
		if err != nil {
			t.Fatalf("the change, once it need not wait: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the change still waits")
	}
}

// Where the event trigger may be made, DDL enters the log as a hint, in the transaction that did it.
func sqlSchemaChanges(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	d, admin := sqlPeople(t, c)
	ctx := t.Context()
	count := func() (n int) {
		const query = "select count(*) from pg_event_trigger where evtname = 'vigil_ddl'"
		if err := admin.QueryRow(ctx, query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if count() != 0 {
		t.Fatal("postgres, who is no superuser, has made an event trigger: this is not plain Postgres")
	}
	if err := c.Run(ctx, pgtest.RoleSuperuser, d.Name, []pgtest.Script{sqlScript(t, "sql/migrations/20261123000810_policy_fingerprint.sql")}); err != nil {
		t.Fatal(err)
	}
	if count() != 1 {
		t.Fatal("a superuser's run did not make the event trigger")
	}
	const slot = "vigil_schema_changes"
	if _, err := admin.Exec(ctx, "select pg_create_logical_replication_slot($1, 'pgoutput')", slot); err != nil {
		t.Fatal(err)
	}
	heard := func() (n int) {
		const query = `
			select count(*) from pg_logical_slot_get_binary_changes($1, null, null,
				'proto_version', '1', 'publication_names', 'vigil_rows', 'messages', 'true')
			where position('vigil.ddl'::bytea in data) > 0`
		if err := admin.QueryRow(ctx, query, slot).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, ddl := range []string{
		`alter policy "vigil reads sessions" on public.sessions using (false)`,
		`drop policy "vigil reads sessions" on public.sessions`,
		"revoke select on public.sessions from vigil",
		"create or replace function private.sessions_of_caller() returns setof uuid language sql stable as 'select null::uuid'",
	} {
		if _, err := admin.Exec(ctx, ddl); err != nil {
			t.Fatal(err)
		}
		if n := heard(); n != 1 {
			t.Errorf("%d messages after: %s", n, ddl)
		}
	}
	if _, err := admin.Exec(ctx, "update public.sessions set scheduled_for = now()"); err != nil {
		t.Fatal(err)
	}
	if n := heard(); n != 0 {
		t.Errorf("%d messages after a change of rows", n)
	}
}

// Everything that an organisation's people and admins do at once: the order of locks is one, so nothing is a deadlock.
func sqlNoDeadlock(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	const rounds = 25
	_, admin := sqlPeople(t, c)
	const shifts = `
		insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
		values (tests.organization('alder'), tests.id('theo'), '2020-01-01', '2100-01-01')`
	if _, err := admin.Exec(t.Context(), shifts); err != nil {
		t.Fatal(err)
	}
	const session = "tests.session('assisted')"
	workers := [][]string{
		{
			"update public.memberships set ended_at = now() where user_id = tests.id('theo')",
			"update public.memberships set ended_at = null where user_id = tests.id('theo')",
		},
		{"select tests.act('sunny', format('select public.pause_session(%L)', " + session + "))",
			"select tests.act('sunny', format('select public.resume_session(%L)', " + session + "))"},
		{"select tests.act('theo', format('select public.acknowledge_alert(%L, %s)', id, version)) from public.alerts where id = tests.alert('assisted')"},
		{"insert into public.devices (user_id, enc_pub, sig_pub) values (tests.id('clio'), tests.key(random()::text), tests.key(random()::text))",
			"select tests.admit(id) from public.devices where user_id = tests.id('clio') and admitted_at is null and revoked_at is null",
			"update public.devices set revoked_at = now() where user_id = tests.id('clio') and id <> tests.device('clio') and revoked_at is null"},
		{"update public.oncall_shifts set flagged_at = null", "update public.crisis_policies set page_at_level = 5 - page_at_level + 2 where organization_id = tests.organization('alder')"},
		{"select tests.act('clio', tests.message_command('clio', " + session + ", (random() * 1e9)::bigint))",
			"select tests.act('clio', tests.epoch_command('clio', " + session + ", md5('consent assisted')::uuid))"},
		{"select tests.act('theo', format('select public.request_suggestion(%L)', " + session + "))",
			"select tests.act('theo', format('select public.decide_suggestion(%L, ''rejected'', %s)', id, version)) from public.suggestions where status = 'offered'",
			"delete from public.messages where id in (select message_id from public.suggestions where status = 'rejected' order by created_at limit 1)"},
		{"select tests.act('vigil', tests.record_command(id, message_id, jsonb_build_array(tests.seal(tests.device('theo'))))) from public.suggestions where status = 'requested'",
			"select tests.act('vigil', tests.record_command(gen_random_uuid(), (select id from public.messages where session_id = " + session + " order by position desc limit 1), jsonb_build_array(tests.seal(tests.device('theo')))))"},
		{"insert into public.topic_terms (organization_id, topic, term) select tests.organization('alder'), 'nights', 'night ' || n from generate_series(1, 20) n",
			"delete from public.topic_terms"},
		sqlCrisisWork,
		{"update public.organizations set suggestions = 'off' where id = tests.organization('alder')",
			"update public.organizations set suggestions = 'elevated' where id = tests.organization('alder')"},
	}
	var group errgroup.Group
	for _, statements := range workers {
		group.Go(func() error {
			for range rounds {
				for _, statement := range statements {
					_, err := admin.Exec(t.Context(), statement)
					var refused *pgconn.PgError // what the rules refuse is right, a circle is not
					if err != nil && (!errors.As(err, &refused) || refused.Code == "40P01") {
						return fmt.Errorf("%s: %w", statement, err)
					}
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	var broken *int64
	if err := admin.QueryRow(t.Context(), "select private.first_broken_audit(tests.organization('alder'))").Scan(&broken); err != nil || broken != nil {
		t.Errorf("the audit log's chain is broken at %v: %v", broken, err)
	}
}
