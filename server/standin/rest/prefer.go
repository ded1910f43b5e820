package rest

import (
	"math"
	"net/http"
	"strconv"
	"strings"
)

// preferences are what a Prefer header may ask.
type preferences struct {
	returns     string // minimal, representation, headers-only; empty: minimal
	count       string // exact, planned, estimated
	resolution  string // merge-duplicates, ignore-duplicates
	missing     string // default, null
	handling    string // strict, lenient
	maxAffected int64  // negative: none
	applied     []string
}

var preferable = map[string][]string{
	"return":     {"minimal", "representation", "headers-only"},
	"count":      {"exact", "planned", "estimated"},
	"resolution": {"merge-duplicates", "ignore-duplicates"},
	"missing":    {"default", "null"},
	"handling":   {"strict", "lenient"},
	"tx":         {"commit", "rollback"}, // known, and not allowed on hosted Supabase: ignored
}

func parsePreferences(headers []string) (preferences, error) {
	p := preferences{maxAffected: -1}
	var unknown []string
	for _, item := range strings.Split(strings.Join(headers, ","), ",") {
		item = strings.TrimSpace(item)
		name, value, _ := strings.Cut(item, "=")
		switch {
		case item == "":
		case name == "max-affected":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				unknown = append(unknown, item)
				continue
			}
			p.maxAffected = n
		case !p.set(name, value):
			unknown = append(unknown, item)
		}
	}
	if p.handling == "strict" && len(unknown) > 0 {
		return preferences{}, invalidPreferences(unknown)
	}
	return p, nil
}

func (p *preferences) set(name, value string) bool {
	for _, known := range preferable[name] {
		if value != known {
			continue
		}
		field := map[string]*string{
			"return": &p.returns, "count": &p.count, "resolution": &p.resolution, "missing": &p.missing, "handling": &p.handling,
		}[name]
		if field == nil || *field != "" {
			return true // the first one counts
		}
		*field = value
		p.applied = append(p.applied, name+"="+value)
		return true
	}
	return false
}

// affectable refuses what a request changed if it asked for a bound.
func (p preferences) affectable(rows int64) error {
	if p.handling == "strict" && p.maxAffected >= 0 && rows > p.maxAffected {
		return tooManyAffected(rows)
	}
	return nil
}

// accept is what a caller wants back.
type accept struct {
	object        bool // one row, and an error otherwise
	nullsStripped bool
}

func parseAccept(header string) (accept, error) {
	if header == "" {
		return accept{}, nil
	}
	for _, media := range strings.Split(header, ",") {
		kind, parameters, _ := strings.Cut(strings.TrimSpace(media), ";")
		stripped := strings.Contains(strings.ReplaceAll(parameters, " ", ""), "nulls=stripped")
		switch strings.TrimSpace(kind) {
		case "*/*", "application/*", "application/json":
			return accept{}, nil
		case "application/vnd.pgrst.array+json", "application/vnd.pgrst.array":
			return accept{nullsStripped: stripped}, nil
		case "application/vnd.pgrst.object+json", "application/vnd.pgrst.object":
			return accept{object: true, nullsStripped: stripped}, nil
		}
	}
	return accept{}, unacceptableMedia(header)
}

func (a accept) contentType() string {
	if a.object {
		return "application/vnd.pgrst.object+json; charset=utf-8"
	}
	return "application/json; charset=utf-8"
}

// rangeHeader reads "Range: 0-9", which limit= and offset= override.
func (q *request) rangeHeader(header string) error {
	first, last, found := strings.Cut(strings.TrimPrefix(header, "items="), "-")
	from, number := whole(first)
	if header == "" || !found || !number || q.query.Limit >= 0 || q.query.Offset > 0 {
		return nil
	}
	q.query.Offset = from
	to, number := whole(last)
	if !number {
		return nil // "5-": no end
	}
	if to < from {
		return invalidRange("The lower boundary must be lower than or equal to the upper boundary in the Range header.")
	}
	q.query.Limit = to - from + 1
	return nil
}

// answer is what is sent when nothing went wrong.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) write(w http.ResponseWriter, head bool) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	if !head && a.status != http.StatusNoContent {
		_, _ = w.Write(a.body)
	}
}

func (q *request) header(contentRange string) http.Header {
	h := http.Header{}
	if contentRange != "" {
		h.Set("Content-Range", contentRange)
	}
	if len(q.prefer.applied) > 0 {
		h.Set("Preference-Applied", strings.Join(q.prefer.applied, ", "))
	}
	h.Set("Content-Profile", q.schema)
	return h
}

// contentRange says which rows these are: "0-9/42", "*/0", "0-9/*". A negative total is unknown.
func contentRange(offset, rows, total int64) string {
	all, these := "*", "*"
	if total >= 0 {
		all = strconv.FormatInt(total, 10)
	}
	if rows > 0 && total != 0 && offset <= math.MaxInt64-rows {
		these = strconv.FormatInt(offset, 10) + "-" + strconv.FormatInt(offset+rows-1, 10)
	}
	return these + "/" + all
}
