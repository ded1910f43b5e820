package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/cli"
	"vigil/server/internal/gateway"
	"vigil/server/internal/telemetry"
)

// operator is a real operator's address with one message's trace.
func operator(t *testing.T, message uuid.UUID, stages ...string) map[string]string {
	t.Helper()
	tracer := telemetry.NewTracer(nil)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range stages {
		tracer.Mark(message, s, at)
		at = at.Add(1500 * time.Microsecond)
	}
	if len(stages) > 0 {
		tracer.SetLSN(message, "16/B374D848")
	}
	s := httptest.NewServer(gateway.Operator(telemetry.NewMetrics(), new(telemetry.Health), tracer))
	t.Cleanup(s.Close)
	return map[string]string{"VIGIL_OPERATOR_ADDR": strings.TrimPrefix(s.URL, "http://")}
}

func TestTraceShowsEachStage(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	env := operator(t, id, telemetry.Stages[:]...)
	code, out, stderr := run(t, env, "trace", id.String())
	const want = `commit  16/B374D848
  committed  03:04:05.000000      0.000 ms
  received   03:04:05.001500      1.500 ms  +1.500 after committed
  opened     03:04:05.003000      3.000 ms  +1.500 after received
  assessed   03:04:05.004500      4.500 ms  +1.500 after opened
  recorded   03:04:05.006000      6.000 ms  +1.500 after assessed
  relayed    03:04:05.007500      7.500 ms  +6.000 after received
`
	if code != cli.ExitOK || out != "message "+id.String()+"\n"+want || stderr != "" {
		t.Errorf("code %d\n%s%s", code, out, stderr)
	}
	code, out, _ = run(t, env, "trace", "--json", id.String())
	var a gateway.TraceAnswer
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != cli.ExitOK {
		t.Fatal(code, err)
	}
	if a.Message != id || a.LSN != "16/B374D848" || len(a.Stages) != len(telemetry.Stages) || a.Stages[5].SinceCommit != 7.5 {
		t.Errorf("%+v", a)
	}
}

func TestTraceLeavesOutWhatWasNotReached(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	code, out, _ := run(t, operator(t, id, telemetry.StageCommitted, telemetry.StageReceived), "trace", id.String())
	if code != cli.ExitOK || strings.Contains(out, "opened") || !strings.Contains(out, "received") {
		t.Errorf("code %d\n%s", code, out)
	}
}

func TestTraceSaysWhyThereIsNone(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	kind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"message": "hello"}`)) }))
	t.Cleanup(kind.Close)
	for name, c := range map[string]struct {
		env  map[string]string
		says string
	}{
		"an old message":            {operator(t, uuid.New()), "not kept: the running sidecar keeps the timings of the last 10000 messages"},
		"no sidecar":                {map[string]string{"VIGIL_OPERATOR_ADDR": freeAddress(t)}, "no sidecar answers at 127.0.0.1:"},
		"another program":           {map[string]string{"VIGIL_OPERATOR_ADDR": strings.TrimPrefix(other.URL, "http://")}, "is no sidecar's operator address"},
		"another program that nods": {map[string]string{"VIGIL_OPERATOR_ADDR": strings.TrimPrefix(kind.URL, "http://")}, "is no sidecar's operator address"},
		"an address that is none":   {map[string]string{"VIGIL_OPERATOR_ADDR": "::::"}, "no sidecar answers at ::::"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{{"trace", uuid.NewString()}, {"trace", "--json", uuid.NewString()}} {
				if code, out, stderr := run(t, c.env, args...); code != cli.ExitFail || out != "" || !strings.Contains(stderr, c.says) {
					t.Errorf("code %d: %s%s", code, out, stderr)
				}
			}
		})
	}
}

// TestTraceAsksWhereASidecarOnAllAddressesIs: an address without a host is dialled on this machine.
func TestTraceAsksWhereASidecarOnAllAddressesIs(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	env := operator(t, id, telemetry.StageCommitted)
	_, port, _ := strings.Cut(env["VIGIL_OPERATOR_ADDR"], ":")
	for _, addr := range []string{":" + port, "0.0.0.0:" + port} {
		env["VIGIL_OPERATOR_ADDR"] = addr
		if code, out, stderr := run(t, env, "trace", id.String()); code != cli.ExitOK {
			t.Errorf("%s: code %d: %s%s", addr, code, out, stderr)
		}
	}
}
