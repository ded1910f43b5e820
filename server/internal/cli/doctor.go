package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"sync"
	"time"

	"vigil/server/internal/app"
	"vigil/server/internal/config"
	"vigil/server/internal/replication"
)

// doctorTimeout bounds each side that doctor asks: a connection and what is asked through it. The sides are asked at once.
const doctorTimeout = 20 * time.Second

// Statuses of a finding. A warning does not fail the run.
const (
	statusOK   = "ok"
	statusWarn = "warn"
	statusFail = "fail"
	statusSkip = "skip"
)

// mend is what to do about a finding: in words, and, where it is that simple, to the letter.
type mend struct {
	Fix   string `json:"fix,omitempty"`   // in words
	SQL   string `json:"sql,omitempty"`   // to run as the tables' owner (postgres), or as a superuser where Fix says so
	Shell string `json:"shell,omitempty"` // to run where the sidecar runs
}

func advice(format string, a ...any) mend { return mend{Fix: fmt.Sprintf(format, a...)} }

// finding is what one check found; its mend is empty when there is nothing to do.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	mend
}

// report collects findings in the order of the checks. Not safe for concurrent use: each side has its own.
type report struct {
	Findings []finding `json:"findings"`
	Failed   int       `json:"failed"`
	Warned   int       `json:"warned"`
}

func (r *report) add(f finding) {
	r.Findings = append(r.Findings, f)
	switch f.Status {
	case statusFail:
		r.Failed++
	case statusWarn:
		r.Warned++
	}
}

func (r *report) ok(check, format string, a ...any) {
	r.add(finding{Check: check, Status: statusOK, Detail: fmt.Sprintf(format, a...)})
}

func (r *report) skip(check, why string) {
	r.add(finding{Check: check, Status: statusSkip, Detail: why})
}

func (r *report) warn(check string, m mend, format string, a ...any) {
	r.add(finding{check, statusWarn, fmt.Sprintf(format, a...), m})
}

func (r *report) fail(check string, m mend, format string, a ...any) {
	r.add(finding{check, statusFail, fmt.Sprintf(format, a...), m})
}

// failedAt counts the failures so far, for a check that says "ok" when nothing below it was found.
func (r *report) failedAt() int { return r.Failed }

// examination is one run of doctor: what it was told, and what one side learnt that another needs.
type examination struct {
	config.Config
	now func() time.Time

	database    place // through DATABASE_URL
	replication place // through REPLICATION_URL
}

// place tells one database from another; empty fields are not known.
type place struct {
	database string
	identity replication.Identity
}

// doctor looks at a deployment from every side the sidecar has and prints what is wrong, each finding with its mend. It
// changes nothing, and may run beside the sidecar.
func doctor(ctx context.Context, p Process, fs *flag.FlagSet) int {
	asJSON := fs.Bool("json", false, "print JSON")
	if _, code, done := parse(p, fs, 0); done {
		return code
	}
	return examine(ctx, p).write(p, *asJSON)
}

// write gives the exit code.
func (r *report) write(p Process, asJSON bool) int {
	if asJSON {
		_ = json.NewEncoder(p.Stdout).Encode(r) // standard output is closed: nothing to do
	} else {
		r.print(p)
	}
	if r.Failed > 0 {
		return ExitFail
	}
	return ExitOK
}

// examine runs every check. A fault in one never hides another, unless the other cannot be asked without it.
func examine(ctx context.Context, p Process) *report {
	r := &report{Findings: []finding{}}
	c, err := config.Parse(p.Getenv)
	if err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			r.fail("configuration", advice("Set it in the environment; .env.example says what each variable holds."), "%s", line)
		}
		return r
	}
	r.ok("configuration", "every variable is well-formed")
	e := &examination{Config: c, now: p.Now}
	if e.now == nil {
		e.now = time.Now
	}
	e.examineSettings(r)
	sides := []func(context.Context, *report){e.examineDatabase, e.examineReplication, e.examineTokens, e.examineOutside, e.examineNotify, e.examineBus}
	reports := make([]report, len(sides))
	var g sync.WaitGroup
	for i, side := range sides {
		g.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
			defer cancel()
			side(ctx, &reports[i])
		})
	}
	g.Wait()
	for _, side := range reports {
		for _, f := range side.Findings {
			r.add(f)
		}
	}
	e.comparePlaces(r)
	return r
}

// comparePlaces finds the two connections in different databases.
func (e *examination) comparePlaces(r *report) {
	a, b := e.database, e.replication
	cluster := a.identity.SystemID != "" && b.identity.SystemID != "" && a.identity.SystemID != b.identity.SystemID
	if cluster || a.database != "" && b.database != "" && a.database != b.database {
		r.fail("same database", advice("Let both name the same host and database; only the role differs."), "DATABASE_URL and REPLICATION_URL are two different databases")
	}
}

// count is n things, in words.
func count(n int, thing string) string { return plural(n, thing, thing+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (r *report) print(p Process) {
	mark := map[string]string{statusOK: "ok  ", statusWarn: "WARN", statusFail: "FAIL", statusSkip: "skip"}
	const indent = "                      "
	for _, f := range r.Findings {
		say(p.Stdout, "%s  %-14s  %s\n", mark[f.Status], f.Check, f.Detail)
		if f.Fix != "" {
			say(p.Stdout, "%s→ %s\n", indent, f.Fix)
		}
		for _, line := range []string{f.SQL, f.Shell} {
			if line != "" {
				say(p.Stdout, "%s  %s\n", indent, strings.ReplaceAll(line, "\n", "\n"+indent+"  "))
			}
		}
	}
	switch {
	case r.Failed > 0:
		say(p.Stdout, "\n%d to mend, %d to look at.\n", r.Failed, r.Warned)
	case r.Warned > 0:
		say(p.Stdout, "\nNothing to mend, %d to look at.\n", r.Warned)
	default:
		say(p.Stdout, "\nAll is well.\n")
	}
}

// dsn is a Postgres URL as the sidecar uses it, with the CA certificate.
func (e *examination) dsn(s config.Secret) string {
	dsn, err := app.WithCA(s, e.CACertFile)
	if err != nil {
		return s.Reveal() // config has parsed it: not reached
	}
	return dsn
}
