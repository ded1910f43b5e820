package rest

import (
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// statement is SQL in the making. Names are quoted, values are parameters of no stated type, so that Postgres gives each
// the type of what it meets, as it does for PostgREST.
type statement struct {
	text   strings.Builder
	values [][]byte
}

func (s *statement) write(parts ...string) *statement {
	for _, part := range parts {
		s.text.WriteString(part)
	}
	return s
}

// parameter adds a value and returns its placeholder.
func (s *statement) parameter(value string) string {
	s.values = append(s.values, []byte(value))
	return "$" + strconv.Itoa(len(s.values))
}

func quote(names ...string) string { return pgx.Identifier(names).Sanitize() }

func quoteAll(names []string, prefix string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = prefix + quote(name)
	}
	return strings.Join(quoted, ", ")
}

// field writes a column of relation (already quoted), or the JSON path into it.
func (s *statement) field(relation string, f Field) string {
	column := relation + "." + quote(f.Name)
	if len(f.Path) == 0 {
		return column
	}
	var path strings.Builder
	path.WriteString("to_jsonb(" + column + ")")
	for _, step := range f.Path {
		arrow := "->"
		if step.Text {
			arrow = "->>"
		}
		if step.Index {
			path.WriteString(arrow + "(" + step.Key + ")")
		} else {
			path.WriteString(arrow + s.parameter(step.Key) + "::text")
		}
	}
	return path.String()
}

// columns writes a select list. Nothing asked for is everything.
func (s *statement) columns(relation string, columns []Column) string {
	if len(columns) == 0 {
		return relation + ".*"
	}
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = s.column(relation, c)
	}
	return strings.Join(list, ", ")
}

func (s *statement) column(relation string, c Column) string {
	if c.Field.Name == "*" {
		return relation + ".*"
	}
	expression := s.field(relation, c.Field)
	if c.Cast != "" {
		expression = "cast(" + expression + " as " + c.Cast + ")"
	}
	if alias := c.name(); alias != c.Field.Name || len(c.Field.Path) > 0 || c.Cast != "" {
		return expression + " as " + quote(alias)
	}
	return expression
}

// name is what the column is called in the answer.
func (c Column) name() string {
	if c.Alias != "" {
		return c.Alias
	}
	for i := len(c.Field.Path) - 1; i >= 0; i-- {
		if !c.Field.Path[i].Index {
			return c.Field.Path[i].Key
		}
	}
	return c.Field.Name
}

// where writes " where …", or nothing.
func (s *statement) where(relation string, conditions []Condition) *statement {
	if len(conditions) == 0 {
		return s
	}
	return s.write(" where ", s.join(relation, "and", conditions))
}

func (s *statement) join(relation, word string, conditions []Condition) string {
	parts := make([]string, len(conditions))
	for i, c := range conditions {
		parts[i] = s.condition(relation, c)
	}
	return strings.Join(parts, " "+word+" ")
}

func (s *statement) condition(relation string, c Condition) string {
	var out string
	if c.Join != "" {
		out = "(" + s.join(relation, c.Join, c.Children) + ")"
	} else {
		out = s.filter(relation, c.Filter)
	}
	if c.Not {
		return "not (" + out + ")"
	}
	return out
}

var truths = map[string]string{
	"null": "is null", "not_null": "is not null", "true": "is true", "false": "is false", "unknown": "is unknown",
}

func (s *statement) filter(relation string, f Filter) string {
	field := s.field(relation, f.Field)
	switch {
	case f.Operator == "is":
		return field + " " + truths[f.Value]
	case f.Operator == "in":
		return field + " = any(" + s.parameter(arrayLiteral(f.List)) + ")"
	case searches[f.Operator] != "":
		language := ""
		if f.Language != "" {
			language = s.parameter(f.Language) + "::regconfig, "
		}
		return field + " @@ " + searches[f.Operator] + "(" + language + s.parameter(f.Value) + ")"
	}
	value := f.Value
	if f.Operator == "like" || f.Operator == "ilike" {
		value = strings.ReplaceAll(value, "*", "%")
	}
	if f.Quantifier != "" {
		return field + " " + operators[f.Operator] + " " + f.Quantifier + "(" + s.parameter(value) + ")"
	}
	return field + " " + operators[f.Operator] + " " + s.parameter(value)
}

// arrayLiteral writes {"a","b"}: what Postgres reads as an array of the compared column's type.
func arrayLiteral(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}"
}

func (s *statement) order(relation string, orders []Order) *statement {
	for i, o := range orders {
		word := ", "
		if i == 0 {
			word = " order by "
		}
		s.write(word, s.field(relation, o.Field))
		if o.Descending {
			s.write(" desc")
		}
		if o.Nulls != "" {
			s.write(" nulls ", o.Nulls)
		}
	}
	return s
}

func (s *statement) page(limit, offset int64) *statement {
	if limit >= 0 {
		s.write(" limit ", strconv.FormatInt(limit, 10))
	}
	if offset > 0 {
		s.write(" offset ", strconv.FormatInt(offset, 10))
	}
	return s
}
