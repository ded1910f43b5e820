package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Seed is one line of a file: a template with its labels.
type Seed struct {
	File string
	Line int

	Lang, Category, Register, Age string
	Topics                        []string
	Sentiment                     string
	Risk, Level                   int8
	Harm, Abuse, Distress         int8
	Pair                          string // the hash of both sides; "" when the seed stands alone

	Source string     // the line as it was written
	pieces [][]string // what may stand at each place; one choice for plain text
}

// hash names the seed by what it says and is, not by where it stands.
func (s *Seed) hash() string {
	sum := sha256.Sum256([]byte(s.Lang + "\x00" + s.Category + "\x00" + s.Pair + "\x00" + s.Source))
	return hex.EncodeToString(sum[:])
}

// unit is what is held apart or trained on as a whole.
func (s *Seed) unit() string {
	if s.Pair != "" {
		return s.Pair
	}
	return s.hash()
}

// Parse reads one file of seeds in the language lang; name is for its errors. It returns every seed that is well-formed
// and every fault, each with file and line.
func Parse(name, lang, text string) ([]Seed, error) {
	p := parser{file: name, lang: lang, slots: map[string][]string{}}
	for i, line := range strings.Split(text, "\n") {
		p.line = i + 1
		if err := p.read(strings.TrimSpace(line)); err != nil {
			p.faults = append(p.faults, fmt.Errorf("%s:%d: %w", name, p.line, err))
		}
	}
	return p.seeds, errors.Join(p.faults...)
}

func parseAll(files fs.FS) ([]Seed, error) {
	var seeds []Seed
	var faults []error
	names, err := fs.Glob(files, "seeds/*/*.txt")
	if err != nil {
		return nil, fmt.Errorf("list seeds: %w", err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read seeds: %w", err)
		}
		found, err := Parse(name, path.Base(path.Dir(name)), string(text))
		seeds, faults = append(seeds, found...), append(faults, err)
	}
	return seeds, errors.Join(faults...)
}

type parser struct {
	file, lang string
	line       int
	slots      map[string][]string
	left       *Seed // what the following seeds are; nil before the first @ line
	right      *Seed // the other side, in a section of pairs
	seeds      []Seed
	faults     []error
}

func (p *parser) read(line string) error {
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
		return nil
	case strings.HasPrefix(line, "@"):
		p.left, p.right = nil, nil
		return p.section(strings.Fields(line[1:]))
	case strings.HasPrefix(line, "$"):
		return p.slot(line[1:])
	case p.left == nil:
		return errors.New("a seed before a good @ line")
	case p.right != nil:
		return p.pair(line)
	}
	return p.seed(p.left, line, "")
}

func (p *parser) slot(line string) error {
	name, values, found := strings.Cut(line, "=")
	name = strings.TrimSpace(name)
	if !found || name == "" || strings.ContainsAny(name, " {}|") {
		return errors.New("a slot is written $name = one | another")
	}
	if strings.ContainsAny(values, "{}") {
		return fmt.Errorf("slot %s: braces inside a slot", name)
	}
	var choices []string
	for _, v := range strings.Split(values, "|") {
		choices = append(choices, strings.TrimSpace(v))
	}
	p.slots[name] = choices
	return nil
}

func (p *parser) pair(line string) error {
	left, right, found := strings.Cut(line, "><")
	left, right = strings.TrimSpace(left), strings.TrimSpace(right)
	if !found || left == "" || right == "" || strings.Contains(right, "><") {
		return errors.New("a pair is written left >< right")
	}
	sum := sha256.Sum256([]byte(p.lang + "\x00" + left + "\x00" + right))
	id := hex.EncodeToString(sum[:10])
	return errors.Join(p.seed(p.left, left, id), p.seed(p.right, right, id))
}

func (p *parser) seed(like *Seed, text, pair string) error {
	s := *like
	s.File, s.Line, s.Source, s.Pair = p.file, p.line, text, pair
	var err error
	if s.pieces, err = p.pieces(text); err != nil {
		return err
	}
	p.seeds = append(p.seeds, s)
	return nil
}

// pieces splits a template at its braces.
func (p *parser) pieces(text string) ([][]string, error) {
	var out [][]string
	for text != "" {
		open := strings.IndexAny(text, "{}")
		if open < 0 {
			return append(out, []string{text}), nil
		}
		end := strings.IndexAny(text[open+1:], "{}") + open + 1
		if text[open] != '{' || end == open || text[end] != '}' {
			return nil, errors.New("braces that do not match, or nested ones")
		}
		if open > 0 {
			out = append(out, []string{text[:open]})
		}
		var choices []string
		for _, c := range strings.Split(text[open+1:end], "|") {
			if name, isSlot := strings.CutPrefix(strings.TrimSpace(c), "$"); isSlot {
				values, known := p.slots[name]
				if !known {
					return nil, fmt.Errorf("slot %s is not defined above", name)
				}
				choices = append(choices, values...)
				continue
			}
			choices = append(choices, c)
		}
		out, text = append(out, choices), text[end+1:]
	}
	return out, nil
}

// section reads an @ line: attributes, or "pair" with the categories of both sides.
func (p *parser) section(words []string) error {
	var names []string
	if len(words) > 0 && words[0] == "pair" {
		if len(words) < 3 {
			return errors.New("a section of pairs is written @ pair left right")
		}
		names, words = words[1:3], words[3:]
	}
	attributes := map[string]string{}
	for _, w := range words {
		key, value, found := strings.Cut(w, "=")
		if !found || value == "" {
			return fmt.Errorf("%q is not written attribute=value", w)
		}
		attributes[key] = value
	}
	if names != nil {
		left, err := p.like(names[0], attributes, true)
		if err != nil {
			return err
		}
		right, err := p.like(names[1], attributes, true)
		if err != nil {
			return err
		}
		p.left, p.right = left, right
		return nil
	}
	name := attributes["category"]
	delete(attributes, "category")
	like, err := p.like(name, attributes, false)
	if err != nil {
		return err
	}
	p.left = like
	return nil
}

// like returns a seed without text, of the category and attributes. In a section of pairs a level is taken by the sides
// that have one.
func (p *parser) like(category string, attributes map[string]string, pair bool) (*Seed, error) {
	c, known := categories[category]
	if !known {
		return nil, fmt.Errorf("category %q is unknown", category)
	}
	s := &Seed{
		Lang: p.lang, Category: category, Register: "plain", Age: "adult", Sentiment: c.sentiment,
		Risk: c.risk, Level: c.level, Harm: c.harm, Abuse: c.abuse, Distress: c.distress,
	}
	for key, value := range attributes {
		if key == "level" && c.level == 0 {
			if pair {
				continue
			}
			return nil, fmt.Errorf("category %s has no level", category)
		}
		if err := s.set(key, value); err != nil {
			return nil, err
		}
	}
	switch {
	case category == "sentiment" && s.Sentiment == "":
		return nil, errors.New("category sentiment without sentiment=")
	case category == "topic" && len(s.Topics) == 0:
		return nil, errors.New("category topic without topics=")
	case category == "topic" && slices.ContainsFunc(s.Topics, func(t string) bool { return slices.Contains(violentTopics, t) }):
		s.Abuse = Unknown
	}
	return s, nil
}

func (s *Seed) set(key, value string) error {
	oneOf := func(field *string, allowed []string) error {
		if !slices.Contains(allowed, value) {
			return fmt.Errorf("%s=%s is not one of %s", key, value, strings.Join(allowed, " "))
		}
		*field = value
		return nil
	}
	number := func(field *int8, least, most int) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%s=%s is not a number from %d to %d", key, value, least, most)
		}
		*field = int8(n)
		return nil
	}
	switch key {
	case "register":
		return oneOf(&s.Register, registers)
	case "age":
		return oneOf(&s.Age, ages)
	case "sentiment":
		return oneOf(&s.Sentiment, sentiments)
	case "topics":
		for _, t := range strings.Split(value, ",") {
			if !slices.Contains(topics, t) {
				return fmt.Errorf("topic %q is unknown", t)
			}
			s.Topics = append(s.Topics, t)
		}
		return nil
	case "level":
		return number(&s.Level, 1, 6)
	case "risk":
		return number(&s.Risk, -1, 1)
	case "harm":
		return number(&s.Harm, -1, 1)
	case "abuse":
		return number(&s.Abuse, -1, 1)
	case "distress":
		return number(&s.Distress, -1, 1)
	}
	return fmt.Errorf("attribute %q is unknown", key)
}
