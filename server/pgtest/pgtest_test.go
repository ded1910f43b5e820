package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"vigil/server/pgtest"
)

var shared = map[int]*pgtest.SharedCluster{
	15: pgtest.Shared(pgtest.Options{Version: 15}),
	17: pgtest.Shared(pgtest.Options{Version: 17}),
}

// bare serves the tests that need no table of ours.
var bare = pgtest.Shared(pgtest.Options{Bare: true})

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(bare.Around(shared[15].Around(shared[17].Around(m))))
}

func eachVersion(t *testing.T, test func(t *testing.T, version int)) {
	for _, version := range []int{15, 17} {
		t.Run(fmt.Sprintf("Postgres %d", version), func(t *testing.T) {
			t.Parallel()
			test(t, version)
		})
	}
}

func TestAClusterHasTheVersionAndSettingsAskedFor(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version int) {
		c := pgtest.Start(t, pgtest.Options{Version: version, Bare: true, Settings: map[string]string{"work_mem": "5MB"}})
		pool := c.Database(t).Pool(t, pgtest.RoleSuperuser)
		want := map[string]string{"wal_level": "logical", "work_mem": "5MB", "fsync": "off", "max_replication_slots": "50", "listen_addresses": "127.0.0.1"}
		for name, value := range want {
			var got string
			if err := pool.QueryRow(t.Context(), "select current_setting($1)", name).Scan(&got); err != nil || got != value {
				t.Errorf("%s is %q, want %q (%v)", name, got, value, err)
			}
		}
		var number int
		if err := pool.QueryRow(t.Context(), "select current_setting('server_version_num')::int / 10000").Scan(&number); err != nil || number != version {
			t.Errorf("version is %d, want %d (%v)", number, version, err)
		}
		if c.Version() != version {
			t.Errorf("Version() is %d, want %d", c.Version(), version)
		}
	})
}

// TestAMigratedClusterIsWhatApplyMakes compares what a clone of a database would lack, and that all the rest is there.
func TestAMigratedClusterIsWhatApplyMakes(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version int) {
		platform, platformErr := pgtest.Platform()
		migrations, err := pgtest.Migrations()
		if err := errors.Join(platformErr, err); err != nil {
			t.Fatal(err)
		}
		migrated := pgtest.Start(t, pgtest.Options{Version: version, Migrated: true})
		applied := pgtest.Start(t, pgtest.Options{Version: version, Bare: true})
		if err := applied.Apply(t.Context(), "postgres", platform, migrations); err != nil {
			t.Fatal(err)
		}
		const what = `
			select d.datdba::regrole || coalesce(d.datacl::text, '')
				|| (select string_agg(oid::regclass || coalesce(relacl::text, ''), ',' order by oid::regclass::text) from pg_class where relnamespace = 'public'::regnamespace)
				|| coalesce((select string_agg(evtname, ',' order by evtname) from pg_event_trigger), '')
			from pg_database d where d.datname = 'postgres'`
		var found [2]string
		for i, c := range []*pgtest.Cluster{migrated, applied} {
			conn, err := pgx.Connect(t.Context(), c.URL(pgtest.RoleOwner, "postgres"))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(conn.QueryRow(t.Context(), what).Scan(&found[i]), conn.Close(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		if found[0] != found[1] || !strings.Contains(found[0], "messages") {
			t.Errorf("a migrated cluster has\n%s\nand what Apply makes is\n%s", found[0], found[1])
		}
	})
}

func TestEveryRoleConnectsAndOnlyTheSuperuserIsOne(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version int) {
		db := shared[version].Database(t)
		for role, superuser := range map[string]bool{
			pgtest.RoleSuperuser: true, pgtest.RoleOwner: false, pgtest.RoleAPI: false, pgtest.RoleAuth: false, pgtest.RoleSidecar: false, pgtest.RoleReplicator: false,
		} {
			var is bool
			err := db.Pool(t, role).QueryRow(t.Context(), "select rolsuper from pg_roles where rolname = current_user").Scan(&is)
			if err != nil || is != superuser {
				t.Errorf("%s: superuser is %t, want %t (%v)", role, is, superuser, err)
			}
		}
		var owner string
		err := db.Pool(t, pgtest.RoleOwner).QueryRow(t.Context(),
			"select pg_get_userbyid(datdba) from pg_database where datname = current_database()").Scan(&owner)
		if err != nil || owner != pgtest.RoleOwner {
			t.Errorf("the database belongs to %q (%v)", owner, err)
		}
	})
}

func TestACloneHoldsWhatItsDatabaseHeldAndIsNotShared(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	first := bare.Database(t)
	exec := func(d *pgtest.Database, sql string) {
		t.Helper()
		if err := d.Cluster().Run(ctx, pgtest.RoleOwner, d.Name, []pgtest.Script{{Name: "a test", SQL: sql}}); err != nil {
			t.Fatal(err)
		}
	}
	exec(first, "create table public.held (n int); insert into public.held values (1)")
	one, other := first.Clone(t), first.Clone(t)
	exec(one, "insert into public.held values (2)")
	for d, want := range map[*pgtest.Database]int{first: 1, one: 2, other: 1} {
		var n int
		if err := d.Pool(t, pgtest.RoleOwner).QueryRow(ctx, "select count(*) from public.held").Scan(&n); err != nil || n != want {
			t.Errorf("%s holds %d rows, want %d (%v)", d.Name, n, want, err)
		}
	}
}

func TestADatabaseHoldsThePlatformAndTheMigrationsAndIsNotShared(t *testing.T) {
	t.Parallel()
	migrations, err := pgtest.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	eachVersion(t, func(t *testing.T, version int) {
		first, second := shared[version].Database(t), shared[version].Database(t)
		pool := first.Pool(t, pgtest.RoleOwner)
		if len(migrations) > 0 {
			var auth, public bool
			err := pool.QueryRow(t.Context(), "select to_regclass('auth.users') is not null, to_regclass('public.organizations') is not null").Scan(&auth, &public)
			if err != nil || !auth || !public {
				t.Errorf("auth.users is there: %t; organizations: %t (%v)", auth, public, err)
			}
		}
		if _, err := pool.Exec(t.Context(), "create table public.only_here (id int)"); err != nil {
			t.Fatal(err)
		}
		var there bool
		err := second.Pool(t, pgtest.RoleOwner).QueryRow(t.Context(), "select to_regclass('public.only_here') is not null").Scan(&there)
		if err != nil || there {
			t.Errorf("a table of one database is in another: %t (%v)", there, err)
		}
	})
}

func TestCommittedRowsOutliveARestartAndAKill(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version int) {
		c := pgtest.Start(t, pgtest.Options{Version: version, Bare: true})
		db := c.Database(t)
		pool := db.Pool(t, pgtest.RoleOwner)
		if _, err := pool.Exec(t.Context(), "create table kept (step int)"); err != nil {
			t.Fatal(err)
		}
		const kills = 5
		for step := range kills {
			if _, err := pool.Exec(t.Context(), "insert into kept values ($1)", step); err != nil {
				t.Fatal(err)
			}
			halt := c.Kill
			if step == 0 {
				halt = c.Stop
			}
			if err := halt(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := pool.Exec(t.Context(), "select"); err == nil {
				t.Error("a halted cluster answered")
			}
			if err := c.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			pool.Reset()
			var count int
			if err := pool.QueryRow(t.Context(), "select count(*) from kept").Scan(&count); err != nil || count != step+1 {
				t.Fatalf("after step %d there are %d rows (%v)", step, count, err)
			}
		}
		if err := c.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAKeptClusterHasItsRowsAndPortAtTheNextOpen(t *testing.T) {
	t.Parallel()
	dir := reachableDir(t)
	options := pgtest.Options{Dir: dir, Keep: true}
	c := pgtest.Start(t, options)
	script := []pgtest.Script{{Name: "a test", SQL: "create table kept (); create schema other"}}
	if err := c.Run(t.Context(), pgtest.RoleSuperuser, "postgres", script); err != nil {
		t.Fatal(err)
	}
	if _, err := pgtest.Open(t.Context(), options); !errors.Is(err, pgtest.ErrInUse) {
		t.Errorf("a second cluster on the same folder: %v, want ErrInUse", err)
	}
	port := c.Port()
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := pgtest.Start(t, options)
	if again.Port() != port {
		t.Errorf("the port is %d, want %d again", again.Port(), port)
	}
	script[0].SQL = "drop table kept; drop schema other"
	if err := again.Run(t.Context(), pgtest.RoleSuperuser, "postgres", script); err != nil {
		t.Error(err)
	}
}

func TestARefusedScriptNamesItsFileAndLineAndLeavesNothing(t *testing.T) {
	t.Parallel()
	db := bare.Database(t)
	script := pgtest.Script{Name: "sql/migrations/1_wrong.sql", SQL: "create table half ();\n-- é\nselect nothing_like_this;\n"}
	err := db.Cluster().Run(t.Context(), pgtest.RoleOwner, db.Name, []pgtest.Script{script})
	if err == nil || !strings.Contains(err.Error(), "run sql/migrations/1_wrong.sql, line 3: ") {
		t.Errorf("the error is %v", err)
	}
	var there bool
	err = db.Pool(t, pgtest.RoleOwner).QueryRow(t.Context(), "select to_regclass('half') is not null").Scan(&there)
	if err != nil || there {
		t.Errorf("a refused script left its table: %t (%v)", there, err)
	}
}

func TestADatabaseGoesWithASlotThatIsInUse(t *testing.T) {
	t.Parallel()
	c := bare.Cluster(t)
	t.Run("the test that made it", func(t *testing.T) {
		db := c.Database(t)
		_, err := db.Pool(t, pgtest.RoleSuperuser).Exec(t.Context(),
			"select pg_create_logical_replication_slot('left_behind', 'pgoutput')")
		if err != nil {
			t.Fatal(err)
		}
	})
	var left int
	err := c.Database(t).Pool(t, pgtest.RoleSuperuser).QueryRow(t.Context(),
		"select count(*) from pg_replication_slots where slot_name = 'left_behind'").Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d slots are left (%v)", left, err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := bare.Cluster(t)
	cases := map[string]struct {
		options pgtest.Options
		is      error
		says    string
	}{
		"a version nobody has":        {pgtest.Options{Version: 9}, pgtest.ErrNoPostgres, "version 9"},
		"a port somebody has":         {pgtest.Options{Bare: true, Port: c.Port()}, pgtest.ErrPortTaken, "choose another port"},
		"a kept one without a folder": {pgtest.Options{Keep: true}, nil, "needs a folder"},
		"a setting that is none":      {pgtest.Options{Bare: true, Settings: map[string]string{"no_such_setting": "x"}}, nil, "unrecognized configuration parameter"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opened, err := pgtest.Open(t.Context(), test.options)
			if err == nil {
				t.Cleanup(func() { _ = opened.Stop(context.Background()) })
				t.Fatal("it opened")
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("the error is %v, want %v", err, test.is)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("the error is %v, want %q in it", err, test.says)
			}
		})
	}
}

func TestAStoppedClusterLeavesNoFile(t *testing.T) {
	t.Parallel()
	var dir string
	t.Run("a cluster", func(t *testing.T) {
		c := pgtest.Start(t, pgtest.Options{Bare: true})
		dir = filepath.Dir(c.DataDir())
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
}

func TestStopEndsAlthoughAReplicationClientIsSilent(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Options{Bare: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(ctx); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

// reachableDir is a folder that the account Postgres runs as can enter, whatever the mode of the test's own.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "vigil-pgtest-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
