package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/config"
	"vigil/server/internal/gateway"
	"vigil/server/internal/telemetry"
)

// traceTimeout bounds the question to the running sidecar.
const traceTimeout = 5 * time.Second

var errNotKept = errors.New("not kept")

// trace asks the running sidecar when a message passed each stage. It needs nothing of the configuration but the
// operator's address.
func trace(ctx context.Context, p Process, fs *flag.FlagSet) int {
	asJSON := fs.Bool("json", false, "print JSON")
	words, code, done := parse(p, fs, 1)
	if done {
		return code
	}
	message, err := uuid.Parse(words[0])
	if err != nil {
		say(p.Stderr, "vigil trace: a message's id is a uuid, as in messages.id\n")
		return ExitUsage
	}
	addr := p.Getenv("VIGIL_OPERATOR_ADDR")
	if addr == "" {
		addr = config.Default("VIGIL_OPERATOR_ADDR")
	}
	answer, err := askTrace(ctx, addr, message)
	switch {
	case errors.Is(err, errNotKept):
		say(p.Stderr, "not kept: the running sidecar keeps the timings of the last %d messages since its start\n", telemetry.KeptTraces)
		return ExitFail
	case errors.Is(err, errNoAnswer):
		say(p.Stderr, "vigil trace: no sidecar answers at %s. Is it running, and is that its VIGIL_OPERATOR_ADDR?\n", addr)
		return ExitFail
	case err != nil:
		say(p.Stderr, "vigil trace: what answers at %s is no sidecar's operator address: set VIGIL_OPERATOR_ADDR as the running sidecar has it\n", addr)
		return ExitFail
	}
	if *asJSON {
		_ = json.NewEncoder(p.Stdout).Encode(answer) // standard output is closed: nothing to do
	} else {
		printTrace(p, answer)
	}
	return ExitOK
}

// printTrace prints a line for each stage: when, how long after the commit, and how long after the stage before. The frame
// does not wait for the assessment, so its stage comes after "received".
func printTrace(p Process, a gateway.TraceAnswer) {
	say(p.Stdout, "message %s\n", a.Message)
	if a.LSN != "" {
		say(p.Stdout, "commit  %s\n", a.LSN)
	}
	at := make(map[string]float64, len(a.Stages))
	before := ""
	for _, s := range a.Stages {
		if s.Stage == telemetry.StageRelayed {
			before = telemetry.StageReceived
		}
		step := ""
		if since, ok := at[before]; ok {
			step = fmt.Sprintf("  %+.3f after %s", s.SinceCommit-since, before)
		}
		say(p.Stdout, "  %-10s %s  %9.3f ms%s\n", s.Stage, s.At.Format("15:04:05.000000"), s.SinceCommit, step)
		at[s.Stage], before = s.SinceCommit, s.Stage
	}
}

// askTrace is errNotKept, errNoAnswer, or errStranger when something else listens there.
func askTrace(ctx context.Context, addr string, message uuid.UUID) (a gateway.TraceAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, traceTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(addr)+"/trace/"+message.String(), nil)
	if err != nil {
		return a, errNoAnswer
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, errNoAnswer
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusNotFound {
		var p gateway.Problem
		if json.NewDecoder(res.Body).Decode(&p) == nil && p.Code == gateway.CodeNotKept {
			return a, errNotKept
		}
		return a, errStranger
	}
	if res.StatusCode != http.StatusOK || json.NewDecoder(res.Body).Decode(&a) != nil || a.Message != message {
		return gateway.TraceAnswer{}, errStranger
	}
	return a, nil
}
