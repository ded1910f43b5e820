package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// door is a table whose rows are relayed: on which topics, and by which columns a row of it is known when it is deleted.
type door struct {
	table, event string
	routes       []doorRoute
	key          []string // the replica identity's columns, sorted
}

type doorRoute struct {
	kind, column string
	onlyThere    bool // its rows are read by nobody who may not follow them
}

// readDoors takes the routes that pgTAP compares with the policies, which another test holds to the relay's.
func readDoors(t testing.TB) []door {
	t.Helper()
	events := map[string]string{}
	for table, operations := range sqlRelayed(t) {
		for _, r := range operations["insert"] {
			events[table] = r.Event
		}
	}
	byTable := map[string]*door{}
	pattern := regexp.MustCompile(`\('([a-z_]+)', '(session|care|inbox|org)', '([a-z_]+)', (true|false)\)`)
	for _, m := range pattern.FindAllStringSubmatch(sqlScript(t, "sql/tests/relay_permissions.sql").SQL, -1) {
		d := byTable[m[1]]
		if d == nil {
			d = &door{table: m[1], event: events[m[1]]}
			byTable[m[1]] = d
		}
		d.routes = append(d.routes, doorRoute{m[2], m[3], m[4] == "true"})
	}
	if len(byTable) < 10 {
		t.Fatalf("%d tables are relayed", len(byTable))
	}
	var doors []door
	for _, table := range slices.Sorted(maps.Keys(byTable)) {
		doors = append(doors, *byTable[table])
	}
	return doors
}

// nameKeys reads the columns of each table's replica identity.
func (w *world) nameKeys(t testing.TB) {
	t.Helper()
	for i := range w.doors {
		d := &w.doors[i]
		if err := w.super.QueryRow(t.Context(), `
			select array(
				select a.attname::text from pg_index i
				join pg_class c on c.oid = i.indrelid
				join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey::int2[])
				where c.oid = ('public.' || $1)::regclass and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end
				order by 1)`, d.table).Scan(&d.key); err != nil || len(d.key) == 0 {
			t.Fatalf("the key of %s: %v %v", d.table, d.key, err)
		}
	}
}

// state is what there was after a step: every row, and what each member could select of it.
type state struct {
	lsn  pglogrepl.LSN
	rows map[string]shownRow
	seen []view // by member
}

type shownRow struct{ digest, row string }

// view is what one person can select: rows by their digest, and the topics that they may follow, as far as the rows tell.
type view struct {
	rows   map[string]string
	topics map[string]bool
}

// selectRows lists the rows of every table that is relayed: table and key, digest, and the row if it is wanted.
func (w *world) selectRows(whole bool) string {
	row := "''"
	if whole {
		row = "to_jsonb(t)::text"
	}
	var parts []string
	for _, d := range w.doors {
		keys := make([]string, len(d.key))
		for i, k := range d.key {
			keys[i] = "to_jsonb(t) ->> '" + k + "'"
		}
		parts = append(parts, fmt.Sprintf("select '%s', array[%s]::text[], md5(to_jsonb(t)::text), %s from public.%[1]s t", d.table, strings.Join(keys, ", "), row))
	}
	return strings.Join(parts, " union all ")
}

// selectTopics says in the words of the rows which topics are whose: a session's where the session can be selected, its care's where
// what was found in it can, an organisation's where one is its supervisor, one's own inbox where one is staff.
const selectTopics = `
	with mine as materialized (
		select m.role, m.organization_id, o.id is not null as open
		from public.memberships m left join public.organizations o on o.id = m.organization_id
		where m.user_id = auth.uid() and m.ended_at is null
	)
	select 'session:' || id from public.sessions
	union all select distinct 'care:' || session_id from public.assessments
	union all select 'org:' || organization_id from mine where open and role = 'supervisor'
	union all select 'inbox:' || auth.uid() where exists (select from mine where open and role <> 'client') and not exists (select from mine where not open)`

// endStep notes what everybody can select now.
func (w *world) endStep(t testing.TB) {
	t.Helper()
	if w.doors[0].key == nil {
		w.nameKeys(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	now := state{rows: map[string]shownRow{}, seen: make([]view, len(w.members))}
	rows, err := w.super.Query(ctx, w.selectRows(true))
	if err != nil {
		t.Fatal(err)
	}
	if err := eachRow(rows, func(key, digest, row string) { now.rows[key] = shownRow{digest, row} }); err != nil {
		t.Fatal(err)
	}
	if err := w.super.QueryRow(ctx, "select pg_current_wal_insert_lsn()").Scan(&now.lsn); err != nil {
		t.Fatal(err)
	}
	const atOnce = 3
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, m := range w.members {
		now.seen[i] = view{map[string]string{}, map[string]bool{}}
		if !m.bare {
			g.Go(func() error { return w.look(ctx, m, now.seen[i]) })
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("select as a person: %v", err)
	}
	w.states = append(w.states, now)
}

func (w *world) look(ctx context.Context, m *member, v view) error {
	return w.s.asPerson(ctx, m.person, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, w.selectRows(false))
		if err != nil {
			return err
		}
		if err := eachRow(rows, func(key, digest, _ string) { v.rows[key] = digest }); err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, selectTopics); err != nil {
			return err
		}
		topics, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, topic := range topics {
			v.topics[topic] = true
		}
		return err
	})
}

func eachRow(rows pgx.Rows, take func(key, digest, row string)) error {
	var table, digest, row string
	var key []string
	_, err := pgx.ForEachRow(rows, []any{&table, &key, &digest, &row}, func() error {
		take(keyOf(table, key), digest, row)
		return nil
	})
	return err
}

// keyOf names a row, however its values are written.
func keyOf(table string, values []string) string {
	words := []string{table}
	for _, v := range values {
		words = append(words, plainText(v))
	}
	return strings.Join(words, " ")
}

// plainText writes a time in one way, wherever it comes from: the log, to_jsonb or the relay. All else stays.
func plainText(v string) string {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999-07"} {
		if at, err := time.Parse(layout, v); err == nil {
			return at.UTC().Format(time.RFC3339Nano)
		}
	}
	return v
}

// entry is what must be relayed of one change, by the log that Postgres keeps.
type entry struct {
	event, key string
	step       int
	last       bool // no later change of the row in its step
}

type relations map[uint32]*pglogrepl.RelationMessage

// readLog adds to what must be relayed all that was committed since it was last read: on a slot of its own, apart from the sidecar.
func (w *world) readLog(t testing.TB) {
	t.Helper()
	rows, err := w.super.Query(t.Context(), `select data from pg_logical_slot_get_binary_changes($1, null, null,
		'proto_version', '1', 'publication_names', 'vigil_messages,vigil_rows')`, w.slot)
	if err != nil {
		t.Fatal(err)
	}
	log, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	step := 0
	for _, data := range log {
		m, err := pglogrepl.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pglogrepl.RelationMessage:
			w.relations[m.RelationID] = m
		case *pglogrepl.BeginMessage:
			step = slices.IndexFunc(w.states, func(s state) bool { return m.FinalLSN <= s.lsn })
		case *pglogrepl.InsertMessage:
			w.expect(t, m.RelationID, m.Tuple, "", step)
		case *pglogrepl.UpdateMessage:
			w.expect(t, m.RelationID, m.NewTuple, "", step)
		case *pglogrepl.DeleteMessage:
			w.expect(t, m.RelationID, m.OldTuple, "_deleted", step)
		}
	}
}

// expect adds one change to each of its topics.
func (w *world) expect(t testing.TB, relation uint32, tuple *pglogrepl.TupleData, suffix string, step int) {
	r := w.relations[relation]
	i := slices.IndexFunc(w.doors, func(d door) bool { return d.table == r.RelationName })
	if i < 0 {
		return
	}
	if step < 0 {
		t.Fatalf("a change of %s was committed after the last step", r.RelationName)
	}
	values := map[string]string{}
	for i, c := range tuple.Columns {
		if c.DataType == pglogrepl.TupleDataTypeText {
			values[r.Columns[i].Name] = string(c.Data)
		}
	}
	d := w.doors[i]
	key := make([]string, len(d.key))
	for i, k := range d.key {
		key[i] = values[k]
	}
	e := entry{event: d.event + suffix, key: keyOf(d.table, key), step: step, last: true}
	for _, route := range d.routes {
		id, ok := values[route.column]
		if !ok {
			continue
		}
		topic := route.kind + ":" + id
		for i := len(w.log[topic]) - 1; i >= 0 && w.log[topic][i].step == step; i-- {
			if w.log[topic][i].key == e.key {
				w.log[topic][i].last = false
			}
		}
		w.log[topic] = append(w.log[topic], e)
	}
}
