package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// relation is a table or view as the catalogue has it. It is read anew for each request that needs it, so that a
// migration is seen at once (PostgREST needs to be told, which hosted Supabase does by event trigger).
type relation struct {
	Columns []column `json:"columns"`
	Key     []string `json:"key"`
}

// column is one of a relation's. Type is as format_type writes it, Default as pg_get_expr does.
type column struct {
	Name    string  `json:"name"`
	Type    string  `json:"type"`
	Default *string `json:"default"`
}

const readRelation = `select json_build_object(
  'columns', (select coalesce(json_agg(json_build_object(
       'name', a.attname, 'type', pg_catalog.format_type(a.atttypid, -1),
       'default', case when a.attgenerated = '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end) order by a.attnum), '[]')
     from pg_catalog.pg_attribute a
     left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  'key', (select coalesce(json_agg(a.attname order by a.attnum), '[]')
     from pg_catalog.pg_index i
     join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
    where i.indrelid = c.oid and i.indisprimary))
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'v', 'm', 'f', 'p')`

// relation finds the request's table, or gives PGRST205.
func (t *transaction) relation(ctx context.Context, q *request) (relation, error) {
	rows, err := t.fixed(ctx, readRelation, q.schema, q.target)
	if err != nil {
		return relation{}, err
	}
	if len(rows) == 0 {
		return relation{}, noTable(q.schema, q.target)
	}
	var r relation
	if err := json.Unmarshal(rows[0][0], &r); err != nil {
		return relation{}, fmt.Errorf("rest: read the catalogue: %w", err)
	}
	return r, nil
}

// typed gives the columns' definitions for json_to_recordset, or PGRST204 for one that is not there.
func (r relation) typed(table string, names []string) (string, error) {
	definitions := ""
	for i, name := range names {
		at := slices.IndexFunc(r.Columns, func(c column) bool { return c.Name == name })
		if at < 0 {
			return "", noColumn(table, name)
		}
		if i > 0 {
			definitions += ", "
		}
		definitions += quote(name) + " " + r.Columns[at].Type
	}
	return definitions, nil
}

// function is one function of a name, as the catalogue has it.
type function struct {
	Names     []string `json:"names"`
	Modes     []string `json:"modes"`
	Types     []string `json:"types"`
	Defaults  int      `json:"defaults"`
	Set       bool     `json:"set"`
	Composite bool     `json:"composite"`
	Void      bool     `json:"void"`
	Volatile  bool     `json:"volatile"`
}

const readFunctions = `select coalesce(json_agg(json_build_object(
  'names', coalesce(p.proargnames, '{}'),
  'modes', coalesce(p.proargmodes::text[], '{}'),
  'types', (select coalesce(json_agg(pg_catalog.format_type(kind, -1) order by n), '[]')
     from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as u(kind, n)),
  'defaults', p.pronargdefaults, 'set', p.proretset, 'void', p.prorettype = 'void'::regtype,
  'composite', coalesce(base.typtype, t.typtype) = 'c' or coalesce(p.proargmodes::text[] && '{t,b,o}', false),
  'volatile', p.provolatile = 'v') order by p.oid), '[]')
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_type t on t.oid = p.prorettype
  left join pg_catalog.pg_type base on base.oid = t.typbasetype
 where n.nspname = $1 and p.proname = $2 and p.prokind = 'f'`

// argument is an input argument.
type argument struct {
	name, kind string
	required   bool
	variadic   bool
}

func (f function) arguments() []argument {
	var inputs []argument
	for i, kind := range f.Types {
		mode := "i"
		if i < len(f.Modes) {
			mode = f.Modes[i]
		}
		if mode != "i" && mode != "b" && mode != "v" {
			continue
		}
		a := argument{kind: kind, variadic: mode == "v"}
		if i < len(f.Names) {
			a.name = f.Names[i]
		}
		inputs = append(inputs, a)
	}
	for i := range inputs {
		inputs[i].required = i < len(inputs)-f.Defaults && !inputs[i].variadic
	}
	return inputs
}

// takes says whether the function can be called with exactly these argument names.
func (f function) takes(names []string) bool {
	inputs := f.arguments()
	for _, a := range inputs {
		if a.required && (a.name == "" || !slices.Contains(names, a.name)) {
			return false
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(inputs, func(a argument) bool { return a.name == name && name != "" }) {
			return false
		}
	}
	return true
}

// takesBody says whether the function has one unnamed json argument, which is given the whole body.
func (f function) takesBody() bool {
	inputs := f.arguments()
	return len(inputs) == 1 && inputs[0].name == "" && (inputs[0].kind == "json" || inputs[0].kind == "jsonb")
}

// function finds the one function of the request that takes these arguments: PGRST202 for none, PGRST203 for several.
func (t *transaction) function(ctx context.Context, q *request, names []string, body bool) (function, error) {
	rows, err := t.fixed(ctx, readFunctions, q.schema, q.target)
	if err != nil {
		return function{}, err
	}
	if len(rows) != 1 {
		return function{}, fmt.Errorf("rest: %d rows where one was due", len(rows))
	}
	var all, fitting []function
	if err := json.Unmarshal(rows[0][0], &all); err != nil {
		return function{}, fmt.Errorf("rest: read the catalogue: %w", err)
	}
	for _, f := range all {
		if f.takes(names) {
			fitting = append(fitting, f)
		}
	}
	if len(fitting) == 0 && body {
		for _, f := range all {
			if f.takesBody() {
				fitting = append(fitting, f)
			}
		}
	}
	switch len(fitting) {
	case 0:
		return function{}, noFunction(q.schema, q.target, names)
	case 1:
		return fitting[0], nil
	}
	var described []string
	for _, f := range fitting {
		described = append(described, q.schema+"."+q.target+f.describe())
	}
	return function{}, ambiguousFunction(described)
}

func (f function) describe() string {
	text := "("
	for i, a := range f.arguments() {
		if i > 0 {
			text += ", "
		}
		text += a.name + " => " + a.kind
	}
	return text + ")"
}
