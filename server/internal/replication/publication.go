package replication

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Publication is what a publication must be, or is.
type Publication struct {
	Name       string
	Tables     []Table
	Operations []Op // Insert, Update, Delete, Truncate; nil = all four
	ViaRoot    bool // publish_via_partition_root
	AllTables  bool // for all tables; never wanted
}

// Table is one published table.
type Table struct {
	Schema  string // "" = public
	Name    string
	Columns []string // published; as wanted: nil = whichever there are
	Filter  string   // row filter, without "where"; "" = none
	// NoIdentity is only reported: updates and deletes of this table fail for everybody, for want of a replica identity.
	NoIdentity bool
}

var rowOps = []Op{Insert, Update, Delete, Truncate}

// Problem is one difference between a publication as wanted and as it is.
type Problem struct {
	Publication string
	Table       string // "schema.table", or ""
	What        string
	SQL         string // what to run as the publication's owner; "" where a migration is missing
}

// PublicationFault is ErrPublication with every difference.
type PublicationFault struct{ Problems []Problem }

// Error lists the differences and the SQL that ends them.
func (f *PublicationFault) Error() string {
	var b strings.Builder
	b.WriteString(ErrPublication.Error())
	for i, p := range f.Problems {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + p.Publication)
		if p.Table != "" {
			b.WriteString(", " + p.Table)
		}
		b.WriteString(": " + p.What)
		if p.SQL != "" {
			b.WriteString("; run: " + p.SQL)
		}
	}
	return b.String()
}

// Is makes errors.Is(err, ErrPublication) true.
func (f *PublicationFault) Is(target error) bool { return target == ErrPublication }

// ComparePublications gives every difference between what is wanted and what there is, in the order of want.
func ComparePublications(want, have []Publication) []Problem {
	var problems []Problem
	for _, w := range want {
		at := slices.IndexFunc(have, func(h Publication) bool { return h.Name == w.Name })
		if at < 0 {
			problems = append(problems, Problem{Publication: w.Name, What: "is missing", SQL: createPublication(w)})
			continue
		}
		problems = append(problems, comparePublication(w, have[at])...)
	}
	return problems
}

func comparePublication(w, h Publication) []Problem {
	var problems []Problem
	add := func(table, what, sql string) {
		problems = append(problems, Problem{Publication: w.Name, Table: table, What: what, SQL: sql})
	}
	name := quoteIdent(w.Name)
	if h.AllTables {
		add("", "is for all tables", fmt.Sprintf("drop publication %s; %s", name, createPublication(w)))
		return problems
	}
	if wants, has := operations(w), operations(h); wants != has {
		add("", fmt.Sprintf("publishes %q instead of %q", has, wants), fmt.Sprintf("alter publication %s set (publish = '%s');", name, wants))
	}
	if w.ViaRoot != h.ViaRoot { // the tables' names depend on it
		add("", "publishes partitions under the wrong name", fmt.Sprintf("alter publication %s set (publish_via_partition_root = %t);", name, w.ViaRoot))
		return problems
	}
	if w.Tables == nil {
		return problems
	}
	for _, t := range w.Tables {
		at := slices.IndexFunc(h.Tables, func(o Table) bool { return o.full() == t.full() })
		if at < 0 {
			add(t.full(), "is not in it (if there is no such table, run the migrations instead)", fmt.Sprintf("alter publication %s add table %s;", name, t.definition()))
			continue
		}
		if what := compareTable(t, h.Tables[at]); what != "" {
			add(t.full(), what, fmt.Sprintf("alter publication %s drop table %s; alter publication %s add table %s;", name, t.quoted(), name, t.definition()))
		}
		if h.Tables[at].NoIdentity && (strings.Contains(operations(w), "update") || strings.Contains(operations(w), "delete")) {
			add(t.full(), "has no replica identity, so updates and deletes of it fail", fmt.Sprintf("alter table %s add primary key (…);", t.quoted()))
		}
	}
	for _, t := range h.Tables {
		if !slices.ContainsFunc(w.Tables, func(o Table) bool { return o.full() == t.full() }) {
			add(t.full(), "does not belong in it", fmt.Sprintf("alter publication %s drop table %s;", name, t.quoted()))
		}
	}
	return problems
}

func compareTable(want, have Table) string {
	var what []string
	if want.Columns != nil {
		if missing := without(want.Columns, have.Columns); len(missing) > 0 {
			what = append(what, "lacks column "+strings.Join(missing, ", "))
		}
		if extra := without(have.Columns, want.Columns); len(extra) > 0 {
			what = append(what, "has column "+strings.Join(extra, ", ")+" too many")
		}
	}
	if plainFilter(want.Filter) != plainFilter(have.Filter) {
		what = append(what, fmt.Sprintf("row filter is %q instead of %q", plainFilter(have.Filter), plainFilter(want.Filter)))
	}
	return strings.Join(what, ", ")
}

func without(all, some []string) []string {
	var rest []string
	for _, name := range all {
		if !slices.Contains(some, name) {
			rest = append(rest, name)
		}
	}
	return rest
}

// plainFilter takes off the parentheses that Postgres puts around an expression when it prints it.
func plainFilter(s string) string {
	s = strings.TrimSpace(s)
	for strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") && closesLast(s) {
		s = strings.TrimSpace(s[1 : len(s)-1])
	}
	return s
}

// closesLast says that the first parenthesis of s is closed by its last character.
func closesLast(s string) bool {
	depth := 0
	for i, r := range s {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 {
			return i == len(s)-1
		}
	}
	return false
}

func operations(p Publication) string {
	ops := p.Operations
	if ops == nil {
		ops = rowOps
	}
	var names []string
	for _, o := range rowOps {
		if slices.Contains(ops, o) {
			names = append(names, o.String())
		}
	}
	return strings.Join(names, ", ")
}

func createPublication(p Publication) string {
	if len(p.Tables) == 0 {
		return ""
	}
	tables := make([]string, len(p.Tables))
	for i, t := range p.Tables {
		tables[i] = "table " + t.definition()
	}
	options := fmt.Sprintf("publish = '%s'", operations(p))
	if p.ViaRoot {
		options += ", publish_via_partition_root = true"
	}
	return fmt.Sprintf("create publication %s for %s with (%s);", quoteIdent(p.Name), strings.Join(tables, ", "), options)
}

func (t Table) schema() string {
	if t.Schema == "" {
		return "public"
	}
	return t.Schema
}

func (t Table) full() string   { return t.schema() + "." + t.Name }
func (t Table) quoted() string { return quoteIdent(t.schema()) + "." + quoteIdent(t.Name) }

func (t Table) definition() string {
	s := t.quoted()
	if t.Columns != nil {
		names := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			names[i] = quoteIdent(c)
		}
		s += " (" + strings.Join(names, ", ") + ")"
	}
	if t.Filter != "" {
		s += " where (" + plainFilter(t.Filter) + ")"
	}
	return s
}

// quoteIdent quotes a name where Postgres would need it.
func quoteIdent(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" && (s[0] < '0' || s[0] > '9') {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// publicationsSQL reads the named publications; one row for each published table, or one without a table.
func publicationsSQL(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteLiteral(n)
	}
	return `select p.pubname, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
  t.schemaname, t.tablename, array_to_json(t.attnames), t.rowfilter,
  c.relreplident = 'n' or c.relreplident = 'd' and c.relkind = 'r'
    and not exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary)
from pg_catalog.pg_publication p
left join pg_catalog.pg_publication_tables t on t.pubname = p.pubname and not p.puballtables
left join pg_catalog.pg_namespace n on n.nspname = t.schemaname
left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
where p.pubname in (` + strings.Join(quoted, ", ") + `)
order by p.pubname, t.schemaname, t.tablename`
}

func readPublications(rows [][]string) ([]Publication, error) {
	var all []Publication
	for _, row := range rows {
		if len(all) == 0 || all[len(all)-1].Name != row[0] {
			p := Publication{Name: row[0], AllTables: row[1] == "t", ViaRoot: row[6] == "t", Operations: []Op{}}
			for i, o := range rowOps {
				if row[2+i] == "t" {
					p.Operations = append(p.Operations, o)
				}
			}
			all = append(all, p)
		}
		if row[8] == "" {
			continue
		}
		t := Table{Schema: row[7], Name: row[8], Filter: plainFilter(row[10]), NoIdentity: row[11] == "t"}
		if err := json.Unmarshal([]byte(row[9]), &t.Columns); err != nil {
			return nil, fmt.Errorf("read columns of %s in publication %s: %w", t.full(), row[0], err)
		}
		p := &all[len(all)-1]
		p.Tables = append(p.Tables, t)
	}
	return all, nil
}
