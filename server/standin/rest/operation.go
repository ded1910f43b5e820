package rest

import "strings"

// operation reads "not.in.(1,2)" and the like. Inside a logic tree a value ends at a comma or a bracket.
func (s *scanner) operation(nested bool) (Condition, error) {
	c := Condition{Not: s.take("not.")}
	name := s.word()
	f := Filter{Operator: name}
	var err error
	switch {
	case name == "in" && s.take("."):
		f.List, err = s.list()
		if err == nil && !nested && !s.done() {
			err = s.fail()
		}
	case name == "is" && s.take("."):
		err = s.is(&f)
	case searches[name] != "":
		err = s.search(&f, nested)
	case operators[name] != "":
		err = s.comparison(&f, nested)
	default:
		err = s.fail()
	}
	c.Filter = f
	return c, err
}

func (s *scanner) comparison(f *Filter, nested bool) error {
	if quantified[f.Operator] {
		for _, quantifier := range []string{"any", "all"} {
			if s.take("(" + quantifier + ")") {
				f.Quantifier = quantifier
				break
			}
		}
	}
	if !s.take(".") {
		return s.fail()
	}
	var err error
	f.Value, err = s.value(nested)
	return err
}

func (s *scanner) search(f *Filter, nested bool) error {
	if s.take("(") {
		if f.Language = s.word(); f.Language == "" || !s.take(")") {
			return s.fail()
		}
	}
	if !s.take(".") {
		return s.fail()
	}
	var err error
	f.Value, err = s.value(nested)
	return err
}

func (s *scanner) is(f *Filter) error {
	word := strings.ToLower(s.word())
	switch word {
	case "null", "not_null", "true", "false", "unknown":
		f.Value = word
	default:
		return s.fail()
	}
	if next := s.peek(); next != 0 && next != ',' && next != ')' {
		return s.fail()
	}
	return nil
}

// value reads to the end; inside a logic tree, a quoted or bracketed value, or what stands before a comma or bracket.
func (s *scanner) value(nested bool) (string, error) {
	if !nested {
		v := s.rest()
		s.at = len(s.text)
		return v, nil
	}
	if s.peek() == '"' {
		return s.quoted()
	}
	if s.peek() == '{' {
		return s.braced()
	}
	start := s.at
	for !s.done() && s.peek() != ',' && s.peek() != ')' && s.peek() != '(' {
		s.at++
	}
	return s.text[start:s.at], nil
}

// braced reads an array or object literal as it stands: its commas are its own.
func (s *scanner) braced() (string, error) {
	start, depth := s.at, 0
	for ; !s.done(); s.at++ {
		switch s.peek() {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				s.at++
				return s.text[start:s.at], nil
			}
		}
	}
	return "", s.fail()
}

func (s *scanner) list() ([]string, error) {
	s.spaces()
	if !s.take("(") {
		return nil, s.fail()
	}
	list := []string{}
	if s.take(")") {
		return list, nil
	}
	for {
		element, err := s.element()
		if err != nil {
			return nil, err
		}
		list = append(list, element)
		if s.take(")") {
			return list, nil
		}
		if !s.take(",") {
			return nil, s.fail()
		}
	}
}

func (s *scanner) element() (string, error) {
	if s.peek() == '"' {
		start := s.at
		v, err := s.quoted()
		if next := s.peek(); err == nil && (next == ',' || next == ')') {
			return v, nil
		}
		s.at = start
	}
	start := s.at
	for !s.done() && s.peek() != ',' && s.peek() != ')' {
		s.at++
	}
	return s.text[start:s.at], nil
}
