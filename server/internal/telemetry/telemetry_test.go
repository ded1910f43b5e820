package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/logkey"
	"vigil/server/internal/telemetry"
)

func TestLoggerDropsKeysThatAreNotListed(t *testing.T) {
	t.Parallel()
	for name, format := range map[string]string{"json": "json", "text": "text"} {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, slog.LevelInfo, format).With("body", "canary-1", logkey.Slot, "vigil").WithGroup("canary-2")
		log.Info("message assessed", logkey.Message, "m1", "text", "canary-3", "email", "canary-4", slog.Group("canary-5", "a", "canary-6"))
		log.Debug("never written", logkey.Message, "m2")
		got := out.String()
		if strings.Contains(got, "canary") || !strings.Contains(got, "m1") || !strings.Contains(got, "vigil") || strings.Contains(got, "m2") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTracerKeepsTheLastMessagesAndTheFirstMark(t *testing.T) {
	t.Parallel()
	heard := map[string]time.Duration{}
	tr := telemetry.NewTracer(func(stage string, d time.Duration) { heard[stage] = d })
	id, start := uuid.New(), time.Unix(1000, 0)
	tr.SetLSN(id, "0/1")
	tr.Mark(id, telemetry.StageCommitted, start)
	tr.Mark(id, telemetry.StageOpened, start.Add(time.Millisecond))
	tr.Mark(id, telemetry.StageOpened, start.Add(time.Hour))
	tr.Mark(id, "no such stage", start)
	got, ok := tr.Get(id)
	if !ok || got.LSN != "0/1" || !got.At[2].Equal(start.Add(time.Millisecond)) || !got.At[5].IsZero() {
		t.Fatalf("trace = %+v, %v", got, ok)
	}
	if heard[telemetry.StageOpened] != time.Millisecond || len(heard) != 1 {
		t.Errorf("heard = %v", heard)
	}
	for range telemetry.KeptTraces {
		tr.Mark(uuid.New(), telemetry.StageReceived, start)
	}
	if _, ok := tr.Get(id); ok {
		t.Error("the oldest trace is still kept")
	}
}

func TestReadyNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	var h telemetry.Health
	h.Register("bus", func(context.Context) error { return nil })
	if ok, parts := h.Ready(t.Context()); !ok || len(parts) != 1 {
		t.Fatalf("ready = %v, %v", ok, parts)
	}
	h.Register("database", func(ctx context.Context) error { <-ctx.Done(); return errors.New("no answer") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, parts := h.Ready(ctx); ok || parts[1].Error != "no answer" {
		t.Errorf("ready = %v, %v", ok, parts)
	}
	h.Stop()
	if ok, _ := h.Ready(ctx); ok {
		t.Error("ready while stopping")
	}
}

func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	m.Observe(telemetry.StageRelayed, 3*time.Millisecond)
	m.Gauge("vigil_test", "A test.", func() float64 { return 7 })
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"vigil_test 7", `vigil_message_stage_seconds_bucket{stage="relayed",le="0.005"} 1`, "go_goroutines"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
}
