package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// list answers GET and HEAD of a table.
func list(ctx context.Context, t *transaction, q *request) (*answer, error) {
	if _, err := t.relation(ctx, q); err != nil {
		return nil, err
	}
	table := quote(q.schema, q.target)
	s := &statement{}
	s.write("with pgrst_source as (select ", s.columns(table, q.query.Select), " from ", table)
	s.where(table, q.query.Where).order(table, q.query.Order).page(q.limit(), q.query.Offset).write(")")

	source := &statement{}
	source.write("select 1 from ", table).where(table, q.query.Where)
	return q.rows(ctx, t, s, source)
}

// limit is the page's size: what was asked for, and never more than the server gives.
func (q *request) limit() int64 {
	if q.query.Limit < 0 || q.query.Limit > q.maxRows {
		return q.maxRows
	}
	return q.query.Limit
}

// rows runs a statement that defines pgrst_source, and answers with its rows; all is the same without paging, for counts.
func (q *request) rows(ctx context.Context, t *transaction, s, all *statement) (*answer, error) {
	s.write(" select count(_postgrest_t), ", q.aggregate("_postgrest_t"), gucs, " from (select * from pgrst_source) _postgrest_t")
	row, err := t.one(ctx, s)
	if err != nil {
		return nil, err
	}
	found, err := strconv.ParseInt(string(row[0]), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("rest: read a count: %w", err)
	}
	total, err := q.total(ctx, t, all, found)
	if err != nil {
		return nil, err
	}
	if total >= 0 && q.query.Offset > total {
		return nil, invalidRange(fmt.Sprintf("An offset of %d was requested, but there are only %d rows.", q.query.Offset, total))
	}
	if q.accept.object && found != 1 {
		return nil, notSingular(found)
	}
	status := http.StatusOK
	if total > found {
		status = http.StatusPartialContent
	}
	return q.answer(status, contentRange(q.query.Offset, found, total), row[1], row[2:])
}

// gucs are a function's own words about the answer.
const gucs = ", nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status', true), '')"

// aggregate writes the body as JSON: the rows of alias, or the only one.
func (q *request) aggregate(alias string) string {
	item := alias
	if q.accept.nullsStripped {
		item = "json_strip_nulls(row_to_json(" + alias + "))"
	}
	if q.accept.object {
		return "coalesce(json_agg(" + item + ")->0, 'null')"
	}
	return "coalesce(json_agg(" + item + "), '[]')"
}

// total counts what the request would give without paging, in the way it asked. Negative: it did not ask.
func (q *request) total(ctx context.Context, t *transaction, all *statement, found int64) (int64, error) {
	if all == nil {
		return -1, nil
	}
	if q.prefer.count == "planned" || q.prefer.count == "estimated" {
		planned, err := t.planned(ctx, all)
		if err != nil || q.prefer.count == "planned" || planned > q.maxRows {
			return max(planned, found), err
		}
	}
	if q.prefer.count == "" {
		return -1, nil
	}
	counting := &statement{values: all.values}
	counting.write("select count(*) from (", all.text.String(), ") _postgrest_count")
	row, err := t.one(ctx, counting)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(row[0]), 10, 64)
}

func (t *transaction) planned(ctx context.Context, all *statement) (int64, error) {
	explain := &statement{values: all.values}
	row, err := t.one(ctx, explain.write("explain (format json) ", all.text.String()))
	if err != nil {
		return 0, err
	}
	var plans []struct {
		Plan struct {
			Rows int64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal(row[0], &plans); err != nil || len(plans) == 0 {
		return 0, fmt.Errorf("rest: read a plan: %w", err)
	}
	return plans[0].Plan.Rows, nil
}

// answer puts an answer together, with what a function set in response.headers and response.status.
func (q *request) answer(status int, contentRange string, body []byte, guc [][]byte) (*answer, error) {
	a := &answer{status: status, header: q.header(contentRange), body: body}
	if body != nil {
		a.header.Set("Content-Type", q.accept.contentType())
	}
	if len(guc) > 1 && guc[1] != nil {
		s, err := strconv.Atoi(string(guc[1]))
		if err != nil || s < 100 || s > 599 {
			return nil, &Error{Status: http.StatusInternalServerError, Code: "PGRST112", Message: "response.status guc must be a valid status code"}
		}
		a.status = s
	}
	if len(guc) > 0 && guc[0] != nil {
		var headers []map[string]string
		if err := json.Unmarshal(guc[0], &headers); err != nil {
			return nil, &Error{
				Status: http.StatusInternalServerError, Code: "PGRST111",
				Message: "response.headers guc must be a JSON array composed of objects with a single key and a string value",
			}
		}
		for _, one := range headers {
			for name, value := range one {
				a.header.Add(name, value)
			}
		}
	}
	return a, nil
}
