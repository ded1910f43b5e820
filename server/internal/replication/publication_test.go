package replication_test

import (
	"errors"
	"strings"
	"testing"

	"vigil/server/internal/replication"
)

// TestPublicationsAreCheckedColumnByColumn breaks them in every way, and runs what the error says to run.
func TestPublicationsAreCheckedColumnByColumn(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.exec(`create table public."Odd Name" (id int primary key, kept bool, rest text); create table extra (id int)`)
		f.exec(`create table parted (id int, at date, primary key (id, at)) partition by range (at);
			create table parted_1 partition of parted for values from ('2026-01-01') to ('2027-01-01')`)
		want := []replication.Publication{
			itemsPublication(),
			{Name: "odd", Operations: []replication.Op{replication.Insert}, ViaRoot: true, Tables: []replication.Table{
				{Name: "Odd Name", Columns: []string{"id", "kept"}, Filter: "(kept AND (id > 3))"}, {Name: "parted", Columns: []string{"id", "at"}}}},
		}
		for name, c := range map[string]struct{ breakIt, says string }{
			"missing":               {`drop publication if exists odd`, "odd: is missing"},
			"a missing column":      {`alter publication items_pub set table items (id, body)`, "lacks column note"},
			"a missing table":       {`alter publication odd drop table "Odd Name"`, "is not in it"},
			"an extra table":        {`alter publication odd add table extra`, "public.extra: does not belong in it"},
			"an extra column":       {`alter publication odd set table "Odd Name" (id, kept, rest) where (kept and id > 3), parted`, "has column rest too many"},
			"another filter":        {`alter publication odd set table "Odd Name" (id, kept) where (id > 3), parted`, `row filter is "id > 3"`},
			"no filter":             {`alter publication odd set table "Odd Name" (id, kept), parted`, `row filter is ""`},
			"other operations":      {`alter publication items_pub set (publish = 'insert')`, `publishes "insert" instead of "insert, update, delete, truncate"`},
			"partitions by name":    {`alter publication odd set table "Odd Name" (id, kept) where (kept and id > 3), parted; alter publication odd set (publish_via_partition_root = false)`, "partitions"},
			"all tables":            {``, "is for all tables"},
			"no replica identity":   {`alter table items replica identity nothing`, "has no replica identity"},
			"several at one stroke": {`alter publication items_pub drop table items; alter publication odd set (publish = 'insert, delete')`, "is not in it"},
		} {
			f.settle(want)
			if c.breakIt == "" { // only a superuser may make one for all tables
				f.ask(`select 1::text`)
				f.asSuperuser(`drop publication odd`)
				f.asSuperuser(`create publication odd for all tables`)
			} else {
				f.exec(c.breakIt)
			}
			fault := f.publicationFault(want)
			if fault == nil || !strings.Contains(fault.Error(), c.says) {
				t.Errorf("%s: %v does not say %q", name, fault, c.says)
				continue
			}
			if name == "no replica identity" {
				f.exec(`alter table items replica identity default`)
				continue
			}
			for _, p := range fault.Problems {
				if p.SQL == "" {
					t.Errorf("%s: nothing to run for %+v", name, p)
				}
				if name == "all tables" {
					f.asSuperuser(p.SQL)
					f.asSuperuser(`alter publication odd owner to postgres`)
				} else {
					f.exec(p.SQL)
				}
			}
			if fault := f.publicationFault(want); fault != nil {
				t.Errorf("%s: after what it said to run: %v", name, fault)
			}
		}
	})
}

func (f *fixture) asSuperuser(sql string) {
	f.Helper()
	pool := f.db.Pool(f.T, "supabase_admin")
	defer pool.Close()
	if _, err := pool.Exec(f.Context(), sql); err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
}

// settle makes the publications as wanted, by the errors' own SQL.
func (f *fixture) settle(want []replication.Publication) {
	f.Helper()
	if fault := f.publicationFault(want); fault != nil {
		for _, p := range fault.Problems {
			f.exec(p.SQL)
		}
	}
}

// publicationFault starts a reader and gives what it says of the publications.
func (f *fixture) publicationFault(want []replication.Publication) *replication.PublicationFault {
	f.Helper()
	r := f.begin(func(c *replication.Config) { c.Publications = want })
	select {
	case <-r.done:
	case <-f.connected(r):
		r.stop()
	}
	var fault *replication.PublicationFault
	if r.err != nil && (!errors.As(r.err, &fault) || !errors.Is(r.err, replication.ErrPublication)) {
		f.Fatal(r.err)
	}
	return fault
}

// connected is closed when r streams.
func (f *fixture) connected(r *run) <-chan struct{} {
	c := make(chan struct{})
	go func() { // ends with r
		defer close(c)
		f.until("connected or ended", func() bool {
			select {
			case <-r.done:
				return true
			default:
				return r.State().Connected
			}
		})
	}()
	return c
}

func TestAPublicationDroppedWhileStreamingEndsRun(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start()
		f.exec(`insert into items values (1)`)
		f.awaitCount(1)
		f.exec(`drop publication items_pub`)
		f.exec(`insert into items values (2)`)
		expectFault(t, r.end(), replication.ErrPublication)
	})
}
