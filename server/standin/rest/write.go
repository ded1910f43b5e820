package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// body reads a write's JSON: the columns it names, and its rows as one JSON array. Bulk rows must have the same keys,
// unless columns= names them.
func (q *request) rowsOf() (columns []string, rows []byte, count int, err error) {
	trimmed := bytes.TrimSpace(q.body)
	if len(trimmed) == 0 || !json.Valid(trimmed) {
		return nil, nil, 0, invalidBody("Empty or invalid json")
	}
	if trimmed[0] == '{' {
		trimmed = slices.Concat([]byte("["), trimmed, []byte("]"))
	}
	var objects []map[string]json.RawMessage
	if err := json.Unmarshal(trimmed, &objects); err != nil {
		return nil, nil, 0, invalidBody("All object keys must match")
	}
	for i, object := range objects {
		if object == nil {
			return nil, nil, 0, invalidBody("All object keys must match")
		}
		keys := make([]string, 0, len(object))
		for key := range object {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if i == 0 {
			columns = keys
		} else if q.query.Columns == nil && !slices.Equal(columns, keys) {
			return nil, nil, 0, invalidBody("All object keys must match")
		}
	}
	if q.query.Columns != nil {
		columns = q.query.Columns
	}
	return columns, trimmed, len(objects), nil
}

// insert answers POST to a table; with a resolution preference it is an upsert.
func insert(ctx context.Context, t *transaction, q *request) (*answer, error) {
	r, err := t.relation(ctx, q)
	if err != nil {
		return nil, err
	}
	columns, rows, count, err := q.rowsOf()
	if err != nil {
		return nil, err
	}
	definitions, err := r.typed(q.target, columns)
	if err != nil {
		return nil, err
	}
	conflict := r.Key
	if q.query.OnConflict != nil {
		conflict = q.query.OnConflict
		if _, err := r.typed(q.target, conflict); err != nil {
			return nil, err
		}
	}
	table := quote(q.schema, q.target)
	s := &statement{}
	s.write("with pgrst_source as (insert into ", table)
	switch {
	case count == 0:
		return q.nothing(http.StatusCreated)
	case len(columns) == 0 && count == 1:
		s.write(" default values")
	case len(columns) == 0:
		return nil, invalidBody("All object keys must match")
	default:
		s.write(" (", quoteAll(columns, ""), ") select ", quoteAll(columns, "pgrst_body."), " from json_to_recordset(",
			r.defaulted(s, q, columns, rows), "::json) as pgrst_body (", definitions, ")")
		s.write(" where set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) + 1)::text, true) <> '0'")
		s.onConflict(q.prefer.resolution, conflict, columns)
	}
	s.returning(q, r, table)
	return q.changed(ctx, t, s, r, http.StatusCreated)
}

// defaulted is the rows' JSON; with missing=default a row without a column gets the column's default.
func (r relation) defaulted(s *statement, q *request, columns []string, rows []byte) string {
	payload := s.parameter(string(rows))
	if q.prefer.missing != "default" {
		return payload
	}
	var pairs []string
	for _, c := range r.Columns {
		if c.Default != nil && slices.Contains(columns, c.Name) {
			pairs = append(pairs, s.parameter(c.Name)+"::text, to_jsonb("+*c.Default+")")
		}
	}
	return "(select coalesce(jsonb_agg(jsonb_build_object(" + strings.Join(pairs, ", ") + ") || row), '[]') from jsonb_array_elements(" +
		payload + "::jsonb) as row)"
}

func (s *statement) onConflict(resolution string, conflict, columns []string) {
	if resolution == "" || len(conflict) == 0 {
		return
	}
	s.write(" on conflict (", quoteAll(conflict, ""), ")")
	if resolution == "ignore-duplicates" {
		s.write(" do nothing")
		return
	}
	s.write(" do update set ")
	for i, name := range columns {
		if i > 0 {
			s.write(", ")
		}
		s.write(quote(name), " = excluded.", quote(name))
	}
	s.write(" where set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) - 1)::text, true) <> '-1'")
}

// update answers PATCH.
func update(ctx context.Context, t *transaction, q *request) (*answer, error) {
	r, err := t.relation(ctx, q)
	if err != nil {
		return nil, err
	}
	columns, rows, count, err := q.rowsOf()
	if err != nil {
		return nil, err
	}
	definitions, err := r.typed(q.target, columns)
	if err != nil {
		return nil, err
	}
	if len(columns) == 0 || count == 0 {
		return q.nothing(http.StatusOK)
	}
	if err := q.filtered("UPDATE"); err != nil {
		return nil, err
	}
	table := quote(q.schema, q.target)
	s := &statement{}
	s.write("with pgrst_source as (update ", table, " set ")
	for i, name := range columns {
		if i > 0 {
			s.write(", ")
		}
		s.write(quote(name), " = pgrst_body.", quote(name))
	}
	s.write(" from (select * from json_to_recordset(", s.parameter(string(rows)), "::json) as _ (", definitions, ") limit 1) as pgrst_body")
	s.where(table, q.query.Where).returning(q, r, table)
	return q.changed(ctx, t, s, r, http.StatusOK)
}

// remove answers DELETE.
func remove(ctx context.Context, t *transaction, q *request) (*answer, error) {
	r, err := t.relation(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := q.filtered("DELETE"); err != nil {
		return nil, err
	}
	table := quote(q.schema, q.target)
	s := &statement{}
	s.write("with pgrst_source as (delete from ", table)
	s.where(table, q.query.Where).returning(q, r, table)
	return q.changed(ctx, t, s, r, http.StatusOK)
}

// filtered refuses to change a whole table, as the safeupdate extension does on hosted Supabase for the API's roles.
func (q *request) filtered(command string) error {
	if len(q.query.Where) > 0 {
		return nil
	}
	return &Error{Status: http.StatusBadRequest, Code: "21000", Message: command + " requires a WHERE clause"}
}

// returning writes what the change gives back: nothing that the caller did not ask for, since that needs the right to
// select it.
func (s *statement) returning(q *request, r relation, table string) *statement {
	switch q.prefer.returns {
	case "representation":
		return s.write(" returning ", s.columns(table, q.query.Select), ")")
	case "headers-only":
		if len(r.Key) > 0 {
			return s.write(" returning ", quoteAll(r.Key, table+"."), ")")
		}
	}
	return s.write(" returning 1)")
}

// changed runs a write and answers it.
func (q *request) changed(ctx context.Context, t *transaction, s *statement, r relation, status int) (*answer, error) {
	s.write(" select count(_postgrest_t), ", q.aggregate("_postgrest_t"), gucs,
		", nullif(current_setting('pgrst.inserted', true), '') from (select * from pgrst_source) _postgrest_t")
	row, err := t.one(ctx, s)
	if err != nil {
		return nil, err
	}
	rows, err := strconv.ParseInt(string(row[0]), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("rest: read a count: %w", err)
	}
	if err := q.prefer.affectable(rows); err != nil {
		return nil, err
	}
	representation := q.prefer.returns == "representation"
	if representation && q.accept.object && rows != 1 {
		return nil, notSingular(rows)
	}
	if status == http.StatusCreated && q.prefer.resolution != "" {
		if inserted, _ := strconv.Atoi(string(row[4])); inserted < 1 {
			status = http.StatusOK
		}
	}
	body := row[1]
	if !representation {
		body = nil
		if status == http.StatusOK && q.http.Method != http.MethodPost {
			status = http.StatusNoContent
		}
	}
	a, err := q.answer(status, q.changedRange(rows), body, row[2:4])
	if err == nil && q.prefer.returns == "headers-only" && rows == 1 && len(r.Key) > 0 {
		a.header.Set("Location", q.location(r.Key, row[1]))
	}
	return a, err
}

// changedRange is a write's Content-Range: only an update says which rows.
func (q *request) changedRange(rows int64) string {
	total := int64(-1)
	if q.prefer.count != "" {
		total = rows
	}
	if q.http.Method != http.MethodPatch {
		rows = 0
	}
	return contentRange(0, rows, total)
}

// location names the row that was written.
func (q *request) location(key []string, body []byte) string {
	var rows []map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if decoder.Decode(&rows) != nil || len(rows) == 0 {
		return ""
	}
	parts := make([]string, len(key))
	for i, name := range key {
		parts[i] = url.QueryEscape(name) + "=eq." + url.QueryEscape(fmt.Sprint(rows[0][name]))
	}
	return "/" + url.PathEscape(q.target) + "?" + strings.Join(parts, "&")
}

// nothing answers a write that names no rows or no columns.
func (q *request) nothing(status int) (*answer, error) {
	if q.prefer.returns != "representation" {
		if status == http.StatusOK {
			status = http.StatusNoContent
		}
		return q.answer(status, q.changedRange(0), nil, nil)
	}
	if q.accept.object {
		return nil, notSingular(0)
	}
	return q.answer(status, q.changedRange(0), []byte("[]"), nil)
}
