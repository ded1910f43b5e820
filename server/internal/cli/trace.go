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
)

// traceTimeout bounds the question to the running sidecar.
const traceTimeout = 5 * time.Second

var errNotKept = errors.New("not kept")

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
		say(p.Stderr, "not kept: the running sidecar keeps the timings of the last 10,000 messages since its start\n")
		return ExitFail
	case err != nil:
		say(p.Stderr, "vigil trace: %v\nIs the sidecar running, and is VIGIL_OPERATOR_ADDR (%s) the address it has?\n", err, addr)
		return ExitFail
	}
	if *asJSON {
		_ = json.NewEncoder(p.Stdout).Encode(answer) // standard output is closed: nothing to do
		return ExitOK
	}
	say(p.Stdout, "message %s\n", answer.Message)
	if answer.LSN != "" {
		say(p.Stdout, "commit  %s\n", answer.LSN)
	}
	before := 0.0
	for _, s := range answer.Stages {
		say(p.Stdout, "  %-10s %s  %9.3f ms  (+%.3f)\n", s.Stage, s.At.Format("15:04:05.000000"), s.SinceCommit, s.SinceCommit-before)
		before = s.SinceCommit
	}
	return ExitOK
}

func askTrace(ctx context.Context, addr string, message uuid.UUID) (a gateway.TraceAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, traceTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/trace/"+message.String(), nil)
	if err != nil {
		return a, fmt.Errorf("ask the sidecar: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, fmt.Errorf("ask the sidecar: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return a, errNotKept
	default:
		return a, fmt.Errorf("ask the sidecar: it answered %s", res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		return a, fmt.Errorf("read the sidecar's answer: %w", err)
	}
	return a, nil
}
