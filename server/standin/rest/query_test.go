package rest

import (
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// render writes a query as list does, so that a case shows what Postgres is asked.
func render(q Query) (string, []string) {
	s := &statement{}
	table := quote("public", "t")
	s.write("select ", s.columns(table, q.Select), " from ", table)
	s.where(table, q.Where).order(table, q.Order).page(q.Limit, q.Offset)
	values := make([]string, len(s.values))
	for i, v := range s.values {
		values[i] = string(v)
	}
	return strings.ReplaceAll(s.text.String(), `"public"."t"`, "t"), values
}

func TestQueryBecomesSQLWithEveryValueAParameter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		query  string
		sql    string
		values []string
	}{
		"nothing asked is everything":        {"", `select t.* from t`, nil},
		"columns":                            {"select=id,name", `select t."id", t."name" from t`, nil},
		"an alias":                           {"select=who:name", `select t."name" as "who" from t`, nil},
		"a cast":                             {"select=id::text", `select cast(t."id" as text) as "id" from t`, nil},
		"a quoted name":                      {`select="a,b"`, `select t."a,b" from t`, nil},
		"a name with a quote in it":          {`select="a\"b"`, `select t."a""b" from t`, nil},
		"a dash in a name":                   {"select=a-b", `select t."a-b" from t`, nil},
		"a JSON path":                        {"select=a->b->>c", `select to_jsonb(t."a")->$1::text->>$2::text as "c" from t`, []string{"b", "c"}},
		"an index in a JSON path":            {"select=a->0->>-1", `select to_jsonb(t."a")->(0)->>(-1) as "a" from t`, nil},
		"star among columns":                 {"select=*,x:id", `select t.*, t."id" as "x" from t`, nil},
		"equal":                              {"id=eq.5", `select t.* from t where t."id" = $1`, []string{"5"}},
		"equal to a text with dots":          {"id=eq.a.b,c)", `select t.* from t where t."id" = $1`, []string{"a.b,c)"}},
		"two filters of one column":          {"a=gte.1&a=lt.9", `select t.* from t where t."a" >= $1 and t."a" < $2`, []string{"1", "9"}},
		"like with stars":                    {"a=like.*x*", `select t.* from t where t."a" like $1`, []string{"%x%"}},
		"any of":                             {"a=ilike(any).{x*,y}", `select t.* from t where t."a" ilike any($1)`, []string{"{x%,y}"}},
		"in a list":                          {`a=in.(1,2,"x,y")`, `select t.* from t where t."a" = any($1)`, []string{`{"1","2","x,y"}`}},
		"in an empty list":                   {"a=in.()", `select t.* from t where t."a" = any($1)`, []string{"{}"}},
		"not in a list":                      {"a=not.in.(1)", `select t.* from t where not (t."a" = any($1))`, []string{`{"1"}`}},
		"null":                               {"a=is.null", `select t.* from t where t."a" is null`, nil},
		"not null":                           {"a=not.is.NULL", `select t.* from t where not (t."a" is null)`, nil},
		"contains":                           {"a=cs.{1,2}", `select t.* from t where t."a" @> $1`, []string{"{1,2}"}},
		"contained":                          {"a=cd.{1}", `select t.* from t where t."a" <@ $1`, []string{"{1}"}},
		"overlaps":                           {"a=ov.{1}", `select t.* from t where t."a" && $1`, []string{"{1}"}},
		"text search":                        {"a=wfts(english).cat", `select t.* from t where t."a" @@ websearch_to_tsquery($1::regconfig, $2)`, []string{"english", "cat"}},
		"a filter in a JSON path":            {"a->>b=eq.1", `select t.* from t where to_jsonb(t."a")->>$1::text = $2`, []string{"b", "1"}},
		"or":                                 {"or=(a.eq.1,b.is.null)", `select t.* from t where (t."a" = $1 or t."b" is null)`, []string{"1"}},
		"not and":                            {"not.and=(a.eq.1,b.eq.2)", `select t.* from t where not ((t."a" = $1 and t."b" = $2))`, []string{"1", "2"}},
		"a tree":                             {"or=(a.eq.1,and(b.gt.2,not.or(c.lt.3,d.in.(1,2))))", `select t.* from t where (t."a" = $1 or (t."b" > $2 and not ((t."c" < $3 or t."d" = any($4)))))`, []string{"1", "2", "3", `{"1","2"}`}},
		"a column named or":                  {"or=(or.eq.1)", `select t.* from t where (t."or" = $1)`, []string{"1"}},
		"a quoted value in a tree":           {`or=(a.eq."x,y)",b.eq.z)`, `select t.* from t where (t."a" = $1 or t."b" = $2)`, []string{"x,y)", "z"}},
		"an array in a tree":                 {"or=(a.cs.{1,2},b.eq.3)", `select t.* from t where (t."a" @> $1 or t."b" = $2)`, []string{"{1,2}", "3"}},
		"order":                              {"order=a.desc.nullslast,b,c->>d.asc", `select t.* from t order by t."a" desc nulls last, t."b", to_jsonb(t."c")->>$1::text`, []string{"d"}},
		"a page":                             {"limit=10&offset=20", `select t.* from t limit 10 offset 20`, nil},
		"a limit that is no number":          {"limit=all", `select t.* from t`, nil},
		"an injection in a name is a name":   {`select=id"%20from%20x;--`, ``, nil},
		"an injection in a value is a value": {"id=eq.1'%20or%20'1'='1", `select t.* from t where t."id" = $1`, []string{"1' or '1'='1"}},
		"the API key is no filter":           {"apikey=sb_publishable_x&a=eq.1", `select t.* from t where t."a" = $1`, []string{"1"}},
		"a percent sign in the wrong place":  {"a=eq.%zz", ``, nil},
		"an unknown operator":                {"a=equals.1", ``, nil},
		"no operator":                        {"a=1", ``, nil},
		"a broken list":                      {"a=in.(1,2", ``, nil},
		"is with a value that is no truth":   {"a=is.maybe", ``, nil},
		"a broken tree":                      {"or=(a.eq.1", ``, nil},
		"a tree without brackets":            {"or=a.eq.1", ``, nil},
		"an empty tree":                      {"or=()", ``, nil},
		"a broken select":                    {"select=a,", ``, nil},
		"a cast that is no word":             {"select=a::text;drop", ``, nil},
		"an order that is no order":          {"order=a.sideways", ``, nil},
		"a tree too deep":                    {"or=" + strings.Repeat("(and", 100) + "(a.eq.1)" + strings.Repeat(")", 100), ``, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, err := ParseQuery(c.query, false)
			if c.sql == "" {
				var refused *Error
				if !errors.As(err, &refused) || refused.Code != "PGRST100" || refused.Status != 400 {
					t.Fatalf("error = %v, want PGRST100", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sql, values := render(q)
			if sql != c.sql || len(values)+len(c.values) > 0 && !reflect.DeepEqual(values, c.values) {
				t.Errorf("got  %s %q\nwant %s %q", sql, values, c.sql, c.values)
			}
		})
	}
}

func TestRefusedQueriesHaveTheirOwnCodes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ query, code string }{
		"an aggregate":                   {"select=id.sum()", "PGRST123"},
		"a count":                        {"select=count()", "PGRST123"},
		"a filter on another table":      {"other.id=eq.1", "PGRST108"},
		"a negative limit":               {"limit=-1", "PGRST103"},
		"a negative offset":              {"offset=-1", "PGRST103"},
		"columns that cannot be read":    {"columns=a,,b", "PGRST100"},
		"a conflict that cannot be read": {"on_conflict=a;b", "PGRST100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseQuery(c.query, false)
			var refused *Error
			if !errors.As(err, &refused) || refused.Code != c.code {
				t.Fatalf("error = %v, want %s", err, c.code)
			}
		})
	}
}

func TestOtherTablesRowsAreRead(t *testing.T) {
	t.Parallel()
	q, err := ParseQuery("select=id,author:people!left(name,posts(*)),...other(x)", false)
	if err != nil {
		t.Fatal(err)
	}
	if q.Select[0].Embed || !q.Select[1].Embed || q.Select[1].Field.Name != "people" || !q.Select[2].Embed {
		t.Errorf("select = %+v: the second and third name other tables", q.Select)
	}
}

func TestArgumentsOfAFunctionAreWhatIsNoFilter(t *testing.T) {
	t.Parallel()
	q, err := ParseQuery("name=Ann+Example&size=1.5&id=eq.3&limit=2", true)
	if err != nil {
		t.Fatal(err)
	}
	want := []Argument{{"name", "Ann Example"}, {"size", "1.5"}}
	if !reflect.DeepEqual(q.Arguments, want) || len(q.Where) != 1 || q.Limit != 2 {
		t.Errorf("query = %+v, want arguments %v, one filter and a limit", q, want)
	}
}

// harmless is what may stand in SQL beside quoted names: no literal, no comment, no second statement.
var harmless = regexp.MustCompile(`^[a-z0-9_$ .,:()<>=@&|~*!+-]*$`)

var quotedName = regexp.MustCompile(`"(?:[^"]|"")*"`)

func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{
		"", "select=id,name,who:a->b->>0::text&a=eq.1", `or=(a.eq."x,y)",and(b.not.in.(1,"2"),c.is.null))`, "order=a.desc.nullsfirst,b->>c",
		"a=like(all).{x*}&limit=1&offset=2", "columns=a,b&on_conflict=c", "select=x!inner(y,z(*)),...w(v)", "not.and=(a->0.fts(simple).b)",
		`select="a""b",'c';--`, "a=cs.{1,{2}}", "%22=%27", "select=a::int4--",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, raw string, arguments bool) {
		q, err := ParseQuery(raw, arguments)
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("%q: the error is no *Error: %v", raw, err)
			}
			if refused.Status < 400 || refused.Status > 499 {
				t.Fatalf("%q: status %d", raw, refused.Status)
			}
			return
		}
		s := &statement{}
		s.write("select ", s.columns("t", q.Select), " from t")
		s.where("t", q.Where).order("t", q.Order).page(q.Limit, q.Offset)
		bare := quotedName.ReplaceAllString(s.text.String(), "q")
		for _, c := range q.Select {
			if c.Cast != "" {
				bare = strings.ReplaceAll(bare, " as "+c.Cast+")", " as cast)")
			}
		}
		if !harmless.MatchString(bare) || strings.Contains(bare, "--") && !strings.Contains(bare, "(-") {
			t.Fatalf("%q became %s", raw, s.text.String())
		}
	})
}

func FuzzPreferAndAccept(f *testing.F) {
	f.Add("return=representation, count=exact", "application/vnd.pgrst.object+json; nulls=stripped", "0-9")
	f.Add("handling=strict,max-affected=1,x=y", "text/csv", "9-0")
	f.Fuzz(func(t *testing.T, prefer, accept, ranges string) {
		if p, err := parsePreferences([]string{prefer}); err == nil && p.handling == "strict" && strings.Contains(prefer, "x=y") {
			t.Fatal("an unknown preference was let through a strict request")
		}
		_, _ = parseAccept(accept)
		q := &request{query: Query{Limit: -1}}
		if q.rangeHeader(ranges) == nil && (q.query.Offset < 0 || q.query.Limit < -1) {
			t.Fatalf("range %q became %+v", ranges, q.query)
		}
	})
}

func TestBulkRowsMustAgree(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body    string
		columns []string // of the query
		want    []string
		count   int
	}{
		"one row":                         {`{"b":1,"a":2}`, nil, []string{"a", "b"}, 1},
		"two rows":                        {`[{"a":1},{"a":2}]`, nil, []string{"a"}, 2},
		"rows that differ, columns named": {`[{"a":1},{"b":2}]`, []string{"a", "b"}, []string{"a", "b"}, 2},
		"rows that differ":                {`[{"a":1},{"b":2}]`, nil, nil, -1},
		"no JSON":                         {`{a:1}`, nil, nil, -1},
		"nothing":                         {``, nil, nil, -1},
		"a number":                        {`1`, nil, nil, -1},
		"a list of numbers":               {`[1]`, nil, nil, -1},
		"a list with null in it":          {`[null]`, nil, nil, -1},
		"no rows":                         {`[]`, nil, nil, 0},
		"a row without columns":           {`{}`, nil, []string{}, 1},
		"two values one after another":    {`{} {}`, nil, nil, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := &request{body: []byte(c.body), query: Query{Columns: c.columns}}
			columns, rows, count, err := q.rowsOf()
			if c.count < 0 {
				var refused *Error
				if !errors.As(err, &refused) || refused.Code != "PGRST102" {
					t.Fatalf("error = %v, want PGRST102", err)
				}
				return
			}
			if err != nil || count != c.count || len(columns)+len(c.want) > 0 && !reflect.DeepEqual(columns, c.want) || !json.Valid(rows) {
				t.Errorf("rows = %v %s %d %v", columns, rows, count, err)
			}
		})
	}
}

func TestNamesArriveUnescaped(t *testing.T) {
	t.Parallel()
	q, err := ParseQuery(url.QueryEscape("überall")+"=eq."+url.QueryEscape("grün & blau"), false)
	if err != nil {
		t.Fatal(err)
	}
	if f := q.Where[0].Filter; f.Field.Name != "überall" || f.Value != "grün & blau" {
		t.Errorf("filter = %+v", f)
	}
}
