package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"time"

	"vigil/server/internal/config"
)

// doctorTimeout bounds each check.
const doctorTimeout = 10 * time.Second

// Statuses of a finding. A warning does not fail the run.
const (
	statusOK   = "ok"
	statusWarn = "warn"
	statusFail = "fail"
	statusSkip = "skip"
)

// finding is what one check found. Fix is the next thing to do; empty when there is nothing to mend.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// report collects findings in the order of the checks.
type report struct {
	Findings []finding `json:"findings"`
	Failed   int       `json:"failed"`
	Warned   int       `json:"warned"`
}

func (r *report) add(check, status, fix, format string, a ...any) {
	r.Findings = append(r.Findings, finding{Check: check, Status: status, Detail: fmt.Sprintf(format, a...), Fix: fix})
	switch status {
	case statusFail:
		r.Failed++
	case statusWarn:
		r.Warned++
	}
}

func (r *report) ok(check, format string, a ...any) { r.add(check, statusOK, "", format, a...) }
func (r *report) skip(check, why string)            { r.add(check, statusSkip, "", "%s", why) }
func (r *report) warn(check, fix, format string, a ...any) {
	r.add(check, statusWarn, fix, format, a...)
}
func (r *report) fail(check, fix, format string, a ...any) {
	r.add(check, statusFail, fix, format, a...)
}

// doctor looks at a deployment from every side the sidecar has and prints what is wrong, each finding with its mend.
func doctor(ctx context.Context, p Process, fs *flag.FlagSet) int {
	asJSON := fs.Bool("json", false, "print JSON")
	if _, code, done := parse(p, fs, 0); done {
		return code
	}
	r := examine(ctx, p)
	if *asJSON {
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
			r.fail("configuration", "Set it in the environment; .env.example says what each variable holds.", "%s", line)
		}
		return r
	}
	r.ok("configuration", "every variable is well-formed")
	examineOrigins(r, c)
	examineDatabase(ctx, r, c)
	examineReplication(ctx, r, c)
	examineTokens(ctx, r, c)
	examineOutside(ctx, r, c)
	examineFiles(ctx, r, c)
	return r
}

func (r *report) print(p Process) {
	mark := map[string]string{statusOK: "ok  ", statusWarn: "WARN", statusFail: "FAIL", statusSkip: "skip"}
	for _, f := range r.Findings {
		say(p.Stdout, "%s  %-14s %s\n", mark[f.Status], f.Check, f.Detail)
		if f.Fix != "" {
			say(p.Stdout, "                      → %s\n", f.Fix)
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

func examineOrigins(r *report, c config.Config) {
	const check = "origins"
	switch {
	case len(c.AllowedOrigins) == 0:
		r.warn(check, "Set VIGIL_ALLOWED_ORIGINS to the origins of your app.", "no browser may connect: VIGIL_ALLOWED_ORIGINS is empty")
	case strings.Contains(strings.Join(c.AllowedOrigins, ","), "*"):
		r.warn(check, "Name your app's origins in VIGIL_ALLOWED_ORIGINS.", "any page on the web may connect: VIGIL_ALLOWED_ORIGINS is *")
	default:
		r.ok(check, "%d allowed", len(c.AllowedOrigins))
	}
}
