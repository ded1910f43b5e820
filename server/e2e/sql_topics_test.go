package e2e_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"vigil/server/pgtest"
)

// relayed is what the relay makes of one row that was inserted or deleted, by its golden file.
type relayed struct {
	Topic   string                     `json:"topic"`
	Event   string                     `json:"event"`
	Payload map[string]json.RawMessage `json:"payload"`
}

// sqlRelayed gives, for each table and operation, what the relay sends to clients.
func sqlRelayed(t testing.TB) map[string]map[string][]relayed {
	t.Helper()
	var all map[string]map[string][]relayed
	if err := json.Unmarshal([]byte(sqlScript(t, "server/internal/relay/testdata/tables.json").SQL), &all); err != nil {
		t.Fatal(err)
	}
	for _, operations := range all {
		for operation, entries := range operations {
			operations[operation] = slices.DeleteFunc(entries, func(r relayed) bool { return r.Event == "" }) // revocations
		}
	}
	return all
}

// The routes that pgTAP compares with the tables' policies are those of the relay.
func TestTheComparedRoutesAreTheRelays(t *testing.T) {
	t.Parallel()
	relays, compared := map[string]bool{}, map[string]bool{}
	for table, operations := range sqlRelayed(t) {
		for _, r := range operations["insert"] {
			kind, _, _ := strings.Cut(r.Topic, ":")
			relays[table+" on "+kind] = true
		}
	}
	routes := regexp.MustCompile(`\('([a-z_]+)', '(session|care|inbox|org)', '[a-z_]+', (?:true|false)\)`)
	for _, m := range routes.FindAllStringSubmatch(sqlScript(t, "sql/tests/relay_permissions.sql").SQL, -1) {
		compared[m[1]+" on "+m[2]] = true
	}
	if len(relays) == 0 || !maps.Equal(relays, compared) {
		t.Errorf("the relay sends\n%v\npgTAP compares\n%v", slices.Sorted(maps.Keys(relays)), slices.Sorted(maps.Keys(compared)))
	}
}

// What is erased leaves the log under both publications, with the columns by which the relay finds every topic of the row. Of a
// message itself nothing does: its row filter would make the delete fail.
func sqlDeletes(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	_, admin := sqlPeople(t, c)
	const shift = `
		insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
		values (tests.organization('alder'), tests.id('olive'), '2020-01-01', '2100-01-01')`
	const slot = "vigil_deletes"
	for _, statement := range []string{
		shift,
		sqlScript(t, "sql/tests/fixtures/relayed.sql").SQL,
		"select pg_create_logical_replication_slot('" + slot + "', 'pgoutput')",
		"delete from public.messages where session_id = tests.session('assisted')",
		"delete from public.sessions where id in (tests.session('assisted'), tests.session('strict'))",
		"delete from public.memberships where user_id = tests.id('olive')",
	} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	const changes = `
		select data from pg_logical_slot_get_binary_changes($1, null, null,
			'proto_version', '1', 'publication_names', 'vigil_messages,vigil_rows')`
	rows, err := admin.Query(t.Context(), changes, slot)
	if err != nil {
		t.Fatal(err)
	}
	log, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	got, want := sqlDeletedKeys(t, log), map[string]string{}
	for table, operations := range sqlRelayed(t) {
		if table == "messages" || table == "erasures" || len(operations["insert"]) == 0 {
			continue // an erasure outlives what it tells of: SQL refuses to delete one
		}
		if len(operations["delete"]) != len(operations["insert"]) {
			t.Errorf("a deleted row of %s goes to %v, one that is there to %v", table, operations["delete"], operations["insert"])
			continue
		}
		want[table] = strings.Join(slices.Sorted(maps.Keys(operations["delete"][0].Payload)), " ")
	}
	if !maps.Equal(got, want) {
		t.Errorf("deleted rows are named by\n%v\nand the relay's golden file has\n%v", got, want)
	}
}

// sqlDeletedKeys gives, for each table of which the log has deletes, the columns that it has of them.
func sqlDeletedKeys(t *testing.T, log [][]byte) map[string]string {
	t.Helper()
	relations, keys := map[uint32]*pglogrepl.RelationMessage{}, map[string]string{}
	for _, data := range log {
		m, err := pglogrepl.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pglogrepl.RelationMessage:
			relations[m.RelationID] = m
		case *pglogrepl.DeleteMessage:
			var known []string
			for i, column := range m.OldTuple.Columns {
				if column.DataType == pglogrepl.TupleDataTypeText {
					known = append(known, relations[m.RelationID].Columns[i].Name)
				}
			}
			slices.Sort(known)
			keys[relations[m.RelationID].RelationName] = strings.Join(known, " ")
		}
	}
	return keys
}
