package e2e_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"vigil/server/pgtest"
)

var update = flag.Bool("update", false, "write realtime/client/src/tables.ts anew")

const typedTables = "realtime/client/src/tables.ts"

// typedColumns is what a signed-in person may do with each column of public: PostgREST shows them nothing else.
const typedColumns = `
	select c.relname, a.attname, t.typname, not a.attnotnull, a.atthasdef or a.attidentity <> '',
		has_column_privilege('authenticated', c.oid, a.attnum, 'select'),
		has_column_privilege('authenticated', c.oid, a.attnum, 'insert'),
		has_column_privilege('authenticated', c.oid, a.attnum, 'update'),
		coalesce((
			select pg_get_constraintdef(x.oid) from pg_constraint x
			where x.conrelid = c.oid and x.contype = 'c' and x.conkey = array[a.attnum] and pg_get_constraintdef(x.oid) ~ '= ANY \(ARRAY\['
			order by x.conname limit 1
		), '')
	from pg_class c
	join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
	join pg_type t on t.oid = a.atttypid
	where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
	order by c.relname, a.attname`

// typedKeys are the foreign keys between public tables, for embedding.
const typedKeys = `
	select c.relname, x.conname, r.relname,
		array(select a.attname from unnest(x.conkey) with ordinality k (n, at) join pg_attribute a on a.attrelid = c.oid and a.attnum = k.n order by k.at),
		array(select a.attname from unnest(x.confkey) with ordinality k (n, at) join pg_attribute a on a.attrelid = r.oid and a.attnum = k.n order by k.at),
		exists (select from pg_index i where i.indrelid = c.oid and i.indisunique and i.indpred is null and i.indkey::int2[] <@ x.conkey and x.conkey <@ i.indkey::int2[])
	from pg_constraint x
	join pg_class c on c.oid = x.conrelid
	join pg_class r on r.oid = x.confrelid
	where x.contype = 'f' and c.relnamespace = 'public'::regnamespace and r.relnamespace = 'public'::regnamespace
	order by c.relname, x.conname`

// typedFunctions are the verbs that a signed-in person may call.
const typedFunctions = `
	select p.proname, coalesce(p.proargnames[1:p.pronargs], '{}'), array(select t.typname from unnest(p.proargtypes) with ordinality g (oid, at) join pg_type t on t.oid = g.oid order by g.at),
		p.pronargs - p.pronargdefaults, t.typname, p.proretset, coalesce(c.relname, '')
	from pg_proc p
	join pg_type t on t.oid = p.prorettype
	left join pg_class c on c.oid = t.typrelid and c.relnamespace = 'public'::regnamespace
	where p.pronamespace = 'public'::regnamespace and t.typname <> 'trigger' and t.typname <> 'event_trigger'
		and has_function_privilege('authenticated', p.oid, 'execute')
	order by p.proname`

type typedColumn struct {
	table, name, kind, check                       string
	null, preset, mayRead, mayInsert, mayOverwrite bool
}

type typedKey struct {
	table, name, to string
	columns, keys   []string
	single          bool
}

type typedFunction struct {
	name, returns, row string
	args, kinds        []string
	needed             int
	set                bool
}

// sqlTypedTables holds the client's typed tables to what the migrations make.
func sqlTypedTables(t *testing.T, c *pgtest.Cluster) {
	want := typedText(t, c.Database(t).Pool(t, pgtest.RoleSuperuser))
	root, err := pgtest.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, filepath.FromSlash(typedTables))
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the migrations make: go test ./server/e2e -run TestSQL -update", typedTables)
	}
}

func typedText(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	columns := collect(t, pool, typedColumns, func(row pgx.CollectableRow) (c typedColumn, err error) {
		return c, row.Scan(&c.table, &c.name, &c.kind, &c.null, &c.preset, &c.mayRead, &c.mayInsert, &c.mayOverwrite, &c.check)
	})
	keys := collect(t, pool, typedKeys, func(row pgx.CollectableRow) (k typedKey, err error) {
		return k, row.Scan(&k.table, &k.name, &k.to, &k.columns, &k.keys, &k.single)
	})
	functions := collect(t, pool, typedFunctions, func(row pgx.CollectableRow) (f typedFunction, err error) {
		return f, row.Scan(&f.name, &f.args, &f.kinds, &f.needed, &f.returns, &f.set, &f.row)
	})
	columns = slices.DeleteFunc(columns, func(c typedColumn) bool { return !c.mayRead && !c.mayInsert && !c.mayOverwrite })
	var tables []string
	for _, c := range columns {
		if !slices.Contains(tables, c.table) {
			tables = append(tables, c.table)
		}
	}
	var b strings.Builder
	b.WriteString(typedHead)
	for _, table := range tables {
		writeTable(&b, table, columns, slices.DeleteFunc(slices.Clone(keys), func(k typedKey) bool {
			return k.table != table || !slices.Contains(tables, k.to)
		}))
	}
	b.WriteString("    }\n    Views: Record<never, never>\n    Functions: {\n")
	for _, f := range functions {
		writeFunction(&b, f, tables)
	}
	b.WriteString("    }\n    Enums: Record<never, never>\n    CompositeTypes: Record<never, never>\n  }\n}\n")
	return b.String()
}

const typedHead = `// Code generated from sql/migrations by server/e2e/tables_test.go (go test ./server/e2e -run TestSQL -update). DO NOT EDIT.
/**
 * The tables and verbs that a signed-in person may use, for supabase-js:
 *
 *     const supabase = createClient<VigilDatabase>(url, key)
 *
 * Only granted columns are named. Row-level security decides on rows; what comes back is still only as true as the database.
 */
export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

export type VigilDatabase = {
  public: {
    Tables: {
`

func collect[T any](t *testing.T, pool *pgxpool.Pool, sql string, scan pgx.RowToFunc[T]) []T {
	t.Helper()
	rows, err := pool.Query(context.WithoutCancel(t.Context()), sql)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func writeTable(b *strings.Builder, table string, columns []typedColumn, keys []typedKey) {
	var row, insert, change []string
	for _, c := range columns {
		if c.table != table {
			continue
		}
		kind := c.typeScript()
		if c.mayRead {
			row = append(row, c.name+": "+kind)
		}
		if c.mayInsert {
			insert = append(insert, c.name+mark(c.preset || c.null)+": "+kind)
		}
		if c.mayOverwrite {
			change = append(change, c.name+"?: "+kind)
		}
	}
	fmt.Fprintf(b, "      %s: {\n        Row: %s\n        Insert: %s\n        Update: %s\n", table, members(row), members(insert), members(change))
	b.WriteString("        Relationships: [")
	for _, k := range keys {
		fmt.Fprintf(b, "\n          { foreignKeyName: %s; columns: [%s]; isOneToOne: %t; referencedRelation: %s; referencedColumns: [%s] },",
			quoted(k.name), quotedAll(k.columns), k.single, quoted(k.to), quotedAll(k.keys))
	}
	if len(keys) > 0 {
		b.WriteString("\n        ")
	}
	b.WriteString("]\n      }\n")
}

func writeFunction(b *strings.Builder, f typedFunction, tables []string) {
	var args []string
	for i, name := range f.args {
		args = append(args, name+mark(i >= f.needed)+": "+typeScript(f.kinds[i]))
	}
	returns := typeScript(f.returns)
	if slices.Contains(tables, f.row) {
		returns = "VigilDatabase['public']['Tables']['" + f.row + "']['Row']"
	}
	if f.set {
		returns += "[]"
	}
	fmt.Fprintf(b, "      %s: { Args: %s; Returns: %s }\n", f.name, members(args), returns)
}

func mark(optional bool) string {
	if optional {
		return "?"
	}
	return ""
}

const perLine = 6

func members(all []string) string {
	if len(all) == 0 {
		return "Record<string, never>"
	}
	if len(all) <= perLine {
		return "{ " + strings.Join(all, "; ") + " }"
	}
	lines := make([]string, 0, len(all)/perLine+1)
	for line := range slices.Chunk(all, perLine) {
		lines = append(lines, strings.Join(line, "; "))
	}
	return "{\n          " + strings.Join(lines, "\n          ") + "\n        }"
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `\'`) + "'" }

func quotedAll(all []string) string {
	out := make([]string, len(all))
	for i, one := range all {
		out[i] = quoted(one)
	}
	return strings.Join(out, ", ")
}

var (
	anyOf   = regexp.MustCompile(`= ANY \(ARRAY\[([^\]]*)\]\)`)
	literal = regexp.MustCompile(`'([^']*)'::text`)
)

// typeScript is the column's type: a closed set of texts is a union.
func (c typedColumn) typeScript() string {
	kind := typeScript(c.kind)
	if set := anyOf.FindStringSubmatch(c.check); kind == "string" && set != nil {
		var values []string
		for _, value := range literal.FindAllStringSubmatch(set[1], -1) {
			values = append(values, quoted(value[1]))
		}
		kind = cmp.Or(strings.Join(values, " | "), kind)
	}
	if c.null {
		kind += " | null"
	}
	return kind
}

// typeScript is what PostgREST's JSON has for a type of Postgres.
func typeScript(kind string) string {
	if element, ok := strings.CutPrefix(kind, "_"); ok {
		return typeScript(element) + "[]"
	}
	switch kind {
	case "int2", "int4", "int8", "float4", "float8", "numeric":
		return "number"
	case "bool":
		return "boolean"
	case "json", "jsonb":
		return "Json"
	case "void":
		return "undefined"
	}
	return "string"
}
