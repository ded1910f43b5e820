package replication_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vigil/server/internal/replication"
)

func TestEveryKindOfChangeArrivesInCommitOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start()
		f.exec(`insert into items values (1, 'a', null), (2, '', 'x')`)
		f.exec(`update items set body = 'b' where id = 1`)
		f.exec(`update items set id = 3 where id = 1`)
		f.exec(`delete from items where id = 2`)
		f.exec(`begin; insert into items values (9); select pg_logical_emit_message(true, 'vigil.ddl', 'hint'); truncate items; commit`)
		f.expect(
			"insert items (id=1 body=a note=null)", "insert items (id=2 body= note=x)",
			"update items (id=1 body=b note=null)",
			"update items (id=3 body=b note=null) old (id=1)",
			"delete items old (id=2)",
			"insert items (id=9 body=null note=null)", `message vigil.ddl "hint"`, "truncate items",
		)
		for _, c := range f.chunks() {
			if c.Last && c.End <= c.Commit || c.XID == 0 || time.Since(c.CommittedAt) > time.Hour || time.Until(c.CommittedAt) > time.Minute {
				t.Errorf("chunk %+v", c)
			}
		}
		r.stop()
	})
}

func TestUnchangedTOASTIsNotCarriedAndNotNull(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.exec(`alter publication items_pub set table items; alter table items alter body set storage external`)
		f.start()
		f.exec(`insert into items values (1, repeat('x', 9000), 'n')`)
		f.exec(`update items set note = 'm' where id = 1`)
		f.expect("insert items (id=1 body=xxx…9000 note=n)", "update items (id=1 note=m)")
		last := f.chunks()[1].Changes[0]
		if v, ok := last.Get("body"); !ok || v.Kind != replication.Unchanged {
			t.Errorf("body is %v, %v", v, ok)
		}
		f.exec(`alter table items replica identity full`)
		f.exec(`update items set note = 'o' where id = 1`)
		got := f.awaitCount(3)
		if !strings.HasPrefix(got[2], "update items (id=1 ") || !strings.Contains(got[2], "old (id=1 body=xxx…9000 note=m)") {
			t.Error(got[2])
		}
	})
}

func TestColumnsAndTypesMayChangeWhileStreaming(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.exec(`drop publication items_pub; create publication whole for table items; create type mood as enum ('low', 'high')`)
		f.start(func(c *replication.Config) { c.Publications = []replication.Publication{{Name: "whole"}} })
		f.exec(`insert into items values (1, 'a', 'b')`)
		f.exec(`begin;
			insert into items values (2, 'a', 'b');
			alter table items add column mood mood default 'low', drop column note;
			insert into items values (3, 'c', 'high');
			alter table items alter mood type text;
			alter table items rename to things;
			insert into things values (4, 'd', 'any');
			commit`)
		f.exec(`alter table things alter id type text`)
		f.exec(`insert into things values ('five', 'e', 'f')`)
		f.expect("insert items (id=1 body=a note=b)", "insert items (id=2 body=a note=b)",
			"insert items (id=3 body=c mood=high)", "insert things (id=4 body=d mood=any)", "insert things (id=five body=e mood=f)")
		chunks := f.chunks()
		if first, last := chunks[0].Changes[0].Relation, chunks[2].Changes[0].Relation; first.OID != last.OID || first.Columns[0].TypeOID == last.Columns[0].TypeOID {
			t.Errorf("relations %+v and %+v", first, last)
		}
	})
}

func TestValuesAreTheSameTextWhateverTheRolesSettings(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.exec(`create table kinds (id int primary key, at timestamptz, day date, span interval, bytes bytea, real float8, doc jsonb, list text[], u uuid, ok bool);
			create publication kinds_pub for table kinds`)
		f.exec(`alter database ` + f.db.Name + ` set timezone = 'Asia/Tokyo'`)
		f.exec(`alter database ` + f.db.Name + ` set datestyle = 'German'`)
		f.exec(`alter database ` + f.db.Name + ` set bytea_output = 'escape'`)
		f.start(func(c *replication.Config) { c.Publications = []replication.Publication{{Name: "kinds_pub"}} })
		f.exec(`insert into kinds values (1, '2026-01-02 03:04:05.678901+00', '2026-01-02', '1 day 2 hours', '\x00ff', 0.1, '{"a": [1, null]}', '{a,"b c",null}', '0b9c7b39-3c0d-4f3e-9c6c-1b3d3a1f0a11', true)`)
		f.awaitCount(1)
		row := f.chunks()[0].Changes[0].New
		var got []string
		for _, v := range row {
			got = append(got, string(v.Data))
		}
		want := `1|2026-01-02 03:04:05.678901+00|2026-01-02|1 day 02:00:00|\x00ff|0.1|{"a": [1, null]}|{a,"b c",NULL}|0b9c7b39-3c0d-4f3e-9c6c-1b3d3a1f0a11|t`
		if strings.Join(got, "|") != want {
			t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
		}
	})
}

func TestRowFiltersAndColumnListsHold(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.exec(`create table mail (id int primary key, assisted bool not null, body text, secret text);
			create publication mail_pub for table mail (id, assisted, body) where (assisted) with (publish = 'insert')`)
		want := replication.Publication{Name: "mail_pub", Operations: []replication.Op{replication.Insert},
			Tables: []replication.Table{{Name: "mail", Columns: []string{"id", "assisted", "body"}, Filter: "assisted"}}}
		f.start(func(c *replication.Config) { c.Publications = append(c.Publications, want) })
		f.exec(`insert into mail values (1, true, 'seen', 'never'), (2, false, 'strict', 'never'), (3, true, 'seen too', 'never')`)
		f.exec(`update mail set body = 'changed'`)
		f.exec(`delete from mail where id = 1`)
		f.exec(`insert into items values (1)`)
		f.expect("insert mail (id=1 assisted=t body=seen)", "insert mail (id=3 assisted=t body=seen too)", "insert items (id=1 body=null note=null)")
	})
}

func TestMessagesOutsideTransactionsAndForeignOnesAreNotStored(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.start()
		f.exec(`select pg_logical_emit_message(false, 'vigil.ddl', 'outside')`)
		f.exec(`select pg_logical_emit_message(true, 'other', 'foreign')`)
		f.exec(`select pg_logical_emit_message(true, 'vigil.heartbeat', '')`)
		f.exec(`begin; select pg_logical_emit_message(true, 'other', 'counts'); select pg_logical_emit_message(true, 'vigil.ddl', repeat('x', 100000)); commit`)
		f.exec(`insert into items values (1)`)
		f.expect(`message vigil.ddl ""`, "insert items (id=1 body=null note=null)")
		if got := f.chunks()[0].Changes[0].Ordinal; got != 2 {
			t.Errorf("ordinal %d: a message that is left out must be counted", got)
		}
	})
}

// A logical message may be as long as its sender likes, and anyone may send one.
func TestAnEnormousMessageDoesNoHarm(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.start()
		f.exec(`begin; select pg_logical_emit_message(true, 'vigil.ddl', repeat('x', 50000000)); insert into items values (1); commit`)
		f.exec(`insert into items values (2)`)
		f.expect(`message vigil.ddl ""`, "insert items (id=1 body=null note=null)", "insert items (id=2 body=null note=null)")
	})
}

func TestAValueTooLargeForAnEntryIsWithheldAndCounted(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start(func(c *replication.Config) { c.MaxBytes = 64 << 10 })
		f.exec(`insert into items values (1, repeat('x', 100000), 'kept'), (2, repeat('y', 60000), repeat('z', 60000)), (3, 'small', 'small')`)
		f.expect("insert items (id=1 note=kept)", "insert items (id=2)", "insert items (id=3 body=small note=small)")
		f.until("values counted", func() bool { return r.State().Withheld == 3 })
		if f.log.most > 64<<10 {
			t.Errorf("an entry has %d bytes", f.log.most)
		}
	})
}

func TestSmallTransactionsShareAnEntryWhileAnotherIsInFlight(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start()
		f.log.hold()
		for i := range 50 {
			f.exec(`insert into items values ($1)`, i)
		}
		f.until("all read", func() bool { return r.State().Transactions == 50 })
		f.log.release(nil)
		f.awaitCount(50)
		batches, err := f.log.batches()
		if err != nil {
			t.Fatal(err)
		}
		if len(batches) > 3 {
			t.Errorf("50 transactions took %d entries", len(batches))
		}
	})
}

func TestLargeTransactionsComeInBoundedChunks(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		const maxBytes, maxRows, rows = 32 << 10, 100, 5000
		f.start(func(c *replication.Config) { c.MaxBytes, c.MaxRows = maxBytes, maxRows })
		f.exec(`insert into items select i, repeat('x', 200) from generate_series(1, $1) i`, rows)
		f.exec(`insert into items select i, repeat('x', 3000) from generate_series(10001, 10100) i`)
		got := f.awaitCount(rows + 100)
		for i, line := range got[:rows] {
			if want := fmt.Sprintf("insert items (id=%d body=xxx…200 note=null)", i+1); line != want {
				t.Fatalf("change %d is %s", i, line)
			}
		}
		chunks := f.chunks()
		for i, c := range chunks {
			if len(c.Changes) > maxRows {
				t.Errorf("chunk %d has %d rows", i, len(c.Changes))
			}
			if c.Commit == chunks[0].Commit && (c.XID != chunks[0].XID || !c.CommittedAt.Equal(chunks[0].CommittedAt)) {
				t.Errorf("chunk %d names another transaction", i)
			}
		}
		if f.log.most > maxBytes {
			t.Errorf("an entry has %d bytes", f.log.most)
		}
	})
}
