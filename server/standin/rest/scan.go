package rest

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// scanner reads one parameter from left to right. kind names the parameter in errors.
type scanner struct {
	kind string
	text string
	at   int
}

func (s *scanner) done() bool { return s.at >= len(s.text) }

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.done() {
		return 0
	}
	return s.text[s.at]
}

func (s *scanner) rest() string { return s.text[s.at:] }

func (s *scanner) take(prefix string) bool {
	if !strings.HasPrefix(s.rest(), prefix) {
		return false
	}
	s.at += len(prefix)
	return true
}

func (s *scanner) spaces() {
	for s.peek() == ' ' {
		s.at++
	}
}

func (s *scanner) fail() error { return invalidQuery(s.kind, s.text, s.at) }

// name reads a column's name: quoted, or letters, digits, _, $, spaces and single dashes.
func (s *scanner) name() (string, error) {
	s.spaces()
	if s.peek() == '"' {
		return s.quoted()
	}
	start := s.at
	for !s.done() {
		r, size := utf8.DecodeRuneInString(s.rest())
		dash := r == '-' && !strings.HasPrefix(s.rest(), "->") && s.at > start
		if !dash && r != '_' && r != '$' && r != ' ' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		s.at += size
	}
	name := strings.TrimSpace(s.text[start:s.at])
	if name == "" {
		return "", s.fail()
	}
	return name, nil
}

func (s *scanner) quoted() (string, error) {
	var out strings.Builder
	for s.at++; !s.done(); s.at++ {
		switch c := s.peek(); c {
		case '"':
			s.at++
			return out.String(), nil
		case '\\':
			s.at++
			if s.done() {
				return "", s.fail()
			}
			out.WriteByte(s.peek())
		default:
			out.WriteByte(c)
		}
	}
	return "", s.fail()
}

func (s *scanner) field() (Field, error) {
	name, err := s.name()
	if err != nil {
		return Field{}, err
	}
	f := Field{Name: name}
	for strings.HasPrefix(s.rest(), "->") {
		step, err := s.step()
		if err != nil {
			return Field{}, err
		}
		f.Path = append(f.Path, step)
	}
	return f, nil
}

func (s *scanner) step() (Step, error) {
	step := Step{Text: s.take("->>")}
	if !step.Text {
		s.take("->")
	}
	if key, ok := s.index(); ok {
		step.Key, step.Index = key, true
		return step, nil
	}
	var err error
	step.Key, err = s.name()
	return step, err
}

// index reads a whole number that ends the step.
func (s *scanner) index() (string, bool) {
	end := s.at
	if end < len(s.text) && s.text[end] == '-' {
		end++
	}
	digits := end
	for end < len(s.text) && s.text[end] >= '0' && s.text[end] <= '9' {
		end++
	}
	const longest = 9 // digits of an int4 that cannot overflow
	if end == digits || end-digits > longest {
		return "", false
	}
	after := s.text[end:]
	for _, stop := range []string{"->", "::", ".", ",", ")"} {
		if strings.HasPrefix(after, stop) {
			after = ""
		}
	}
	if after != "" {
		return "", false
	}
	key := s.text[s.at:end]
	s.at = end
	return key, true
}

func (s *scanner) columns(depth int) ([]Column, error) {
	var columns []Column
	for {
		c, err := s.column(depth)
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
		s.spaces()
		if !s.take(",") {
			return columns, nil
		}
	}
}

func (s *scanner) column(depth int) (Column, error) {
	s.spaces()
	if s.take("*") {
		return Column{Field: Field{Name: "*"}}, nil
	}
	spread := s.take("...")
	if s.take("count()") {
		return Column{}, aggregatesNotAllowed()
	}
	f, err := s.field()
	if err != nil {
		return Column{}, err
	}
	c := Column{Field: f}
	if s.peek() == ':' && !strings.HasPrefix(s.rest(), "::") && len(f.Path) == 0 {
		s.at++
		if c.Alias = f.Name; strings.HasPrefix(s.rest(), "count()") {
			return Column{}, aggregatesNotAllowed()
		}
		if c.Field, err = s.field(); err != nil {
			return Column{}, err
		}
	}
	if s.peek() == '!' || s.peek() == '(' {
		return s.embed(c, depth)
	}
	if spread {
		return Column{}, s.fail()
	}
	if s.take("::") {
		if c.Cast = s.word(); c.Cast == "" {
			return Column{}, s.fail()
		}
	}
	for _, aggregate := range []string{".count()", ".sum()", ".avg()", ".max()", ".min()"} {
		if s.take(aggregate) {
			return Column{}, aggregatesNotAllowed()
		}
	}
	return c, nil
}

// embed reads another table's columns, so that a broken select is told from an unsupported one.
func (s *scanner) embed(c Column, depth int) (Column, error) {
	c.Embed = true
	for s.take("!") {
		if _, err := s.name(); err != nil {
			return Column{}, err
		}
	}
	if depth >= maxDepth || !s.take("(") {
		return Column{}, s.fail()
	}
	if !s.take(")") {
		if _, err := s.columns(depth + 1); err != nil {
			return Column{}, err
		}
		if !s.take(")") {
			return Column{}, s.fail()
		}
	}
	return c, nil
}

// word reads a type's name: ASCII letters, digits and _ after a letter or _.
func (s *scanner) word() string {
	start := s.at
	for !s.done() {
		c := s.peek()
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (s.at == start || c < '0' || c > '9') {
			break
		}
		s.at++
	}
	return s.text[start:s.at]
}

func (s *scanner) order() (Order, error) {
	s.spaces()
	f, err := s.field()
	if err != nil {
		return Order{}, err
	}
	o := Order{Field: f}
	switch {
	case s.take(".desc"):
		o.Descending = true
	case s.take(".asc"):
	}
	switch {
	case s.take(".nullsfirst"):
		o.Nulls = "first"
	case s.take(".nullslast"):
		o.Nulls = "last"
	}
	s.spaces()
	if !s.done() && s.peek() != ',' {
		return Order{}, s.fail()
	}
	return o, nil
}

// conditions reads "(a.eq.1,or(b.lt.2,c.is.null))".
func (s *scanner) conditions(depth int) ([]Condition, error) {
	s.spaces()
	if depth >= maxDepth || !s.take("(") {
		return nil, s.fail()
	}
	var all []Condition
	for {
		s.spaces()
		c, err := s.condition(depth)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
		s.spaces()
		if s.take(")") {
			return all, nil
		}
		if !s.take(",") {
			return nil, s.fail()
		}
	}
}

func (s *scanner) condition(depth int) (Condition, error) {
	for _, join := range []string{"and", "or", "not.and", "not.or"} {
		start := s.at
		if s.take(join) {
			if s.spaces(); s.peek() == '(' {
				name, negated := strings.CutPrefix(join, "not.")
				children, err := s.conditions(depth + 1)
				return Condition{Join: name, Not: negated, Children: children}, err
			}
		}
		s.at = start
	}
	f, err := s.field()
	if err != nil {
		return Condition{}, err
	}
	if !s.take(".") {
		return Condition{}, s.fail()
	}
	c, err := s.operation(true)
	c.Filter.Field = f
	return c, err
}
