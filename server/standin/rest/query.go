package rest

import (
	"net/url"
	"strconv"
	"strings"
)

// Query is a request's query string, read as PostgREST reads it. It holds names and values only as they were given:
// names are quoted and values are parameters when it becomes SQL.
type Query struct {
	Select     []Column // empty: every column
	Where      []Condition
	Order      []Order
	Limit      int64 // negative: none
	Offset     int64
	Columns    []string // of a bulk insert; nil: the keys of the first row
	OnConflict []string
	Arguments  []Argument // of a function called with GET: parameters whose value is no filter
}

// Column is one item of select=.
type Column struct {
	Field Field
	Alias string
	Cast  string
	Embed bool // another table's rows: refused, see DIFFERENCES.md
}

// Field is a column, or a path into a JSON column.
type Field struct {
	Name string
	Path []Step
}

// Step is one arrow of a JSON path.
type Step struct {
	Text  bool // ->> and not ->
	Key   string
	Index bool // Key is a whole number, an array's index
}

// Condition is a filter, or a tree of them.
type Condition struct {
	Join     string // "and" or "or"; empty: a filter
	Not      bool
	Children []Condition
	Filter   Filter
}

// Filter compares one field.
type Filter struct {
	Field      Field
	Operator   string // a key of operators, or "in", "is", "fts" and its kin
	Quantifier string // "any", "all" or nothing
	Language   string // of a text search
	Value      string
	List       []string // of "in"
}

// Order is one item of order=.
type Order struct {
	Field      Field
	Descending bool
	Nulls      string // "first", "last" or nothing
}

// Argument is a function's argument in a GET.
type Argument struct{ Name, Value string }

// operators are PostgREST's, with what Postgres calls them.
var operators = map[string]string{
	"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=",
	"like": "like", "ilike": "ilike", "match": "~", "imatch": "~*",
	"cs": "@>", "cd": "<@", "ov": "&&", "sl": "<<", "sr": ">>", "nxr": "&<", "nxl": "&>", "adj": "-|-",
	"isdistinct": "is distinct from",
}

// quantified may be asked of any or all of a list: like(any).{a*,b*}.
var quantified = map[string]bool{
	"eq": true, "gt": true, "gte": true, "lt": true, "lte": true, "like": true, "ilike": true, "match": true, "imatch": true,
}

var searches = map[string]string{
	"fts": "to_tsquery", "plfts": "plainto_tsquery", "phfts": "phraseto_tsquery", "wfts": "websearch_to_tsquery",
}

// maxDepth bounds and(or(and(…))): a request cannot exhaust the stack.
const maxDepth = 32

// ParseQuery reads a raw query string. Its error is an *Error with code PGRST100, PGRST103, PGRST108 or PGRST123. With
// arguments, a parameter that is no filter is a function's argument.
func ParseQuery(raw string, arguments bool) (Query, error) {
	q := Query{Limit: -1}
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return Query{}, invalidQuery("query", pair, 0)
		}
		value, err = url.QueryUnescape(value)
		if err != nil {
			return Query{}, invalidQuery("query", pair, 0)
		}
		if name == "" || name == "apikey" {
			continue
		}
		if err := q.parameter(name, value, arguments); err != nil {
			return Query{}, err
		}
	}
	return q, nil
}

func (q *Query) parameter(name, value string, arguments bool) (err error) {
	switch name {
	case "select":
		q.Select, err = parseSelect(value)
	case "order":
		q.Order, err = parseOrder(value)
	case "limit":
		q.Limit, err = parseCount(value, -1)
	case "offset":
		q.Offset, err = parseCount(value, 0)
	case "columns":
		q.Columns, err = parseNames("columns", value)
	case "on_conflict":
		q.OnConflict, err = parseNames("on_conflict", value)
	case "and", "or", "not.and", "not.or":
		var c Condition
		c, err = parseLogic(name, value)
		q.Where = append(q.Where, c)
	default:
		return q.filter(name, value, arguments)
	}
	return err
}

func (q *Query) filter(name, value string, arguments bool) error {
	key := scanner{kind: "tree path", text: name}
	field, err := key.field()
	if err == nil && key.peek() == '.' {
		return notEmbedded(field.Name)
	}
	if err == nil && !key.done() {
		err = key.fail()
	}
	if err == nil {
		s := scanner{kind: "filter", text: value}
		var c Condition
		if c, err = s.operation(false); err == nil {
			c.Filter.Field = field
			q.Where = append(q.Where, c)
			return nil
		}
	}
	if arguments {
		q.Arguments = append(q.Arguments, Argument{name, value})
		return nil
	}
	return err
}

// parseCount reads limit= and offset=. What is no number is ignored, as PostgREST does; a negative one is refused.
func parseCount(value string, none int64) (int64, error) {
	n, ok := whole(value)
	if !ok {
		return none, nil
	}
	if n < 0 {
		return 0, invalidRange("Limit should be greater than or equal to zero.")
	}
	return n, nil
}

// whole reads a whole number.
func whole(text string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil
}

func parseNames(kind, value string) ([]string, error) {
	s := scanner{kind: kind + " parameter", text: value}
	var names []string
	for {
		name, err := s.name()
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		if s.done() {
			return names, nil
		}
		if !s.take(",") {
			return nil, s.fail()
		}
	}
}

func parseSelect(value string) ([]Column, error) {
	if strings.TrimSpace(value) == "" {
		return nil, nil
	}
	s := scanner{kind: "select parameter", text: value}
	columns, err := s.columns(0)
	if err != nil {
		return nil, err
	}
	if !s.done() {
		return nil, s.fail()
	}
	return columns, nil
}

func parseOrder(value string) ([]Order, error) {
	if value == "" {
		return nil, nil
	}
	s := scanner{kind: "order", text: value}
	var orders []Order
	for {
		o, err := s.order()
		if err != nil {
			return nil, err
		}
		orders = append(orders, o)
		if s.done() {
			return orders, nil
		}
		if !s.take(",") {
			return nil, s.fail()
		}
	}
}

func parseLogic(name, value string) (Condition, error) {
	s := scanner{kind: "logic tree", text: value}
	join, negated := strings.CutPrefix(name, "not.")
	children, err := s.conditions(0)
	if err != nil {
		return Condition{}, err
	}
	if !s.done() {
		return Condition{}, s.fail()
	}
	return Condition{Join: join, Not: negated, Children: children}, nil
}
