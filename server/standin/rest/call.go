package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// call answers /rpc/<function>: GET and HEAD in a read-only transaction, with arguments from the query string; POST with
// a JSON object of named arguments.
func call(ctx context.Context, t *transaction, q *request) (*answer, error) {
	names, payload, body, err := q.arguments()
	if err != nil {
		return nil, err
	}
	f, err := t.function(ctx, q, names, body)
	if err != nil {
		return nil, err
	}
	if q.http.Method == http.MethodPost && !f.Volatile {
		if _, err := t.run(ctx, (&statement{}).write("set transaction read only")); err != nil {
			return nil, err
		}
	}
	s := &statement{}
	source := q.callSource(s, f, names, payload)
	if !f.Composite {
		return q.scalar(ctx, t, f, s, source)
	}
	s.write("with pgrst_source as (select ", s.columns("pgrst_call", q.query.Select), source)
	s.where("pgrst_call", q.query.Where).order("pgrst_call", q.query.Order)
	if f.Set {
		s.page(q.limit(), q.query.Offset)
	}
	s.write(")")
	if !f.Set {
		return q.record(ctx, t, s)
	}
	var all *statement
	if q.prefer.count != "" {
		all = &statement{}
		all.write("select 1", q.callSource(all, f, names, payload)).where("pgrst_call", q.query.Where)
	}
	return q.rows(ctx, t, s, all)
}

// arguments reads the names of the arguments that were given, and their values as one JSON object. body is true when the
// whole body may be a single unnamed argument.
func (q *request) arguments() (names []string, payload string, body bool, err error) {
	if q.http.Method != http.MethodPost {
		values := make(map[string]string, len(q.query.Arguments))
		for _, a := range q.query.Arguments {
			if _, twice := values[a.Name]; !twice {
				names = append(names, a.Name)
			}
			values[a.Name] = a.Value
		}
		text, err := json.Marshal(values)
		return names, string(text), false, err
	}
	trimmed := bytes.TrimSpace(q.body)
	if len(trimmed) == 0 {
		return nil, "{}", false, nil
	}
	if !json.Valid(trimmed) {
		return nil, "", false, invalidBody("Empty or invalid json")
	}
	if trimmed[0] != '{' {
		return nil, string(trimmed), true, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(trimmed, &object); err != nil {
		return nil, "", false, invalidBody("Empty or invalid json")
	}
	for name := range object {
		if q.query.Columns == nil || slices.Contains(q.query.Columns, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, string(trimmed), true, nil
}

// callSource writes " from … lateral fn(…) pgrst_call".
func (q *request) callSource(s *statement, f function, names []string, payload string) string {
	target := quote(q.schema, q.target)
	if !f.takes(names) {
		return " from " + target + "(" + s.parameter(payload) + "::" + f.arguments()[0].kind + ") as pgrst_call"
	}
	var given, definitions []string
	for _, a := range f.arguments() {
		if a.name == "" || !slices.Contains(names, a.name) {
			continue
		}
		definitions = append(definitions, quote(a.name)+" "+a.kind)
		variadic := ""
		if a.variadic {
			variadic = "variadic "
		}
		given = append(given, variadic+quote(a.name)+" := pgrst_args."+quote(a.name))
	}
	if len(given) == 0 {
		return " from " + target + "() as pgrst_call"
	}
	return " from json_to_record(" + s.parameter(payload) + "::json) as pgrst_args (" + strings.Join(definitions, ", ") + "), lateral " +
		target + "(" + strings.Join(given, ", ") + ") as pgrst_call"
}

// scalar answers a function that gives a value, several, or nothing.
func (q *request) scalar(ctx context.Context, t *transaction, f function, s *statement, source string) (*answer, error) {
	body := "coalesce(json_agg(pgrst_scalar)->0, 'null')"
	switch {
	case f.Void:
		body = "null"
	case f.Set:
		body = "coalesce(json_agg(pgrst_scalar), '[]')"
	}
	s.write("with pgrst_source as (select pgrst_call as pgrst_scalar", source)
	if f.Set {
		s.page(q.limit(), q.query.Offset)
	}
	s.write(") select count(*), ", body, gucs, " from pgrst_source")
	row, err := t.one(ctx, s)
	if err != nil {
		return nil, err
	}
	if f.Void || q.prefer.returns == "minimal" {
		return q.answer(http.StatusNoContent, "", nil, row[2:])
	}
	rows, err := strconv.ParseInt(string(row[0]), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("rest: read a count: %w", err)
	}
	if f.Set && q.accept.object && rows != 1 {
		return nil, notSingular(rows)
	}
	total := int64(-1)
	if q.prefer.count != "" {
		total = rows
	}
	return q.answer(http.StatusOK, contentRange(q.query.Offset, rows, total), row[1], row[2:])
}

// record answers a function that gives one row.
func (q *request) record(ctx context.Context, t *transaction, s *statement) (*answer, error) {
	wanted := q.accept
	q.accept.object = true
	s.write(" select count(*), ", q.aggregate("_postgrest_t"), gucs, " from (select * from pgrst_source) _postgrest_t")
	q.accept = wanted
	row, err := t.one(ctx, s)
	if err != nil {
		return nil, err
	}
	if q.prefer.returns == "minimal" {
		return q.answer(http.StatusNoContent, "", nil, row[2:])
	}
	total := int64(-1)
	if q.prefer.count != "" {
		total = 1
	}
	return q.answer(http.StatusOK, contentRange(0, 1, total), row[1], row[2:])
}
