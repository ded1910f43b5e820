package pipeline

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/replication"
)

// fields reads columns of a change and keeps the first error. It names columns, never values.
type fields struct {
	change *replication.Change
	err    error
}

func (f *fields) text(column string) string {
	value, ok := f.change.Get(column)
	if !ok || value.Kind != replication.Text {
		return ""
	}
	return string(value.Data)
}

func (f *fields) fail(column string) {
	if f.err == nil {
		f.err = fmt.Errorf("read column %s of %s", column, f.change.Relation.Name)
	}
}

func (f *fields) id(column string) uuid.UUID {
	id, err := uuid.Parse(f.text(column))
	if err != nil {
		f.fail(column)
	}
	return id
}

// number reads an integer of that many bits; null is 0.
func (f *fields) number(column string, bits int) int64 {
	value, ok := f.change.Get(column)
	if ok && value.Kind == replication.Null {
		return 0
	}
	n, err := strconv.ParseInt(f.text(column), 10, bits)
	if err != nil {
		f.fail(column)
	}
	return n
}

// real reads a number of single precision.
func (f *fields) real(column string) float32 {
	n, err := strconv.ParseFloat(f.text(column), 32)
	if err != nil {
		f.fail(column)
	}
	return float32(n)
}

// words reads an array of codes, which need no quotes but where one is spelt as null.
func (f *fields) words(column string) []string {
	text := f.text(column)
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		f.fail(column)
		return nil
	}
	if text = text[1 : len(text)-1]; text == "" {
		return nil
	}
	words := strings.Split(text, ",")
	for i, w := range words {
		words[i] = strings.Trim(w, `"`)
	}
	return words
}

// timeLayouts are how Postgres writes timestamptz (DateStyle ISO): with whole or half hours east.
var timeLayouts = [...]string{"2006-01-02 15:04:05.999999-07", "2006-01-02 15:04:05.999999-07:00"}

func parseTime(text string) (at time.Time, err error) {
	for _, layout := range timeLayouts {
		if at, err = time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return at, err
}
