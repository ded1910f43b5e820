package app

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"vigil/server/internal/config"
	"vigil/server/internal/telemetry"
)

func TestNobodyIsPagedWithoutASecretAndTheLogSaysSo(t *testing.T) {
	t.Parallel()
	u, err := url.Parse("https://project.invalid/functions/v1/notify")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config config.Config
		pages  bool
		fault  string
		warns  bool
	}{
		"nothing is set":            {config.Config{DrainTimeout: time.Second}, false, "", true},
		"all is set":                {config.Config{DrainTimeout: time.Second, NotifyURL: u, NotifySecret: config.NewSecret("long-enough-as-a-canary")}, true, "", false},
		"a secret that is too weak": {config.Config{DrainTimeout: time.Second, NotifyURL: u, NotifySecret: config.NewSecret("canary")}, false, "VIGIL_NOTIFY_SECRET: a secret must have", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			r := &resources{config: c.config, log: telemetry.NewLogger(&log, slog.LevelInfo, "json"), metrics: telemetry.NewMetrics()}
			e, err := newEscalation(context.Background(), r)
			if (e != nil) != c.pages || (err != nil) != (c.fault != "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Fatalf("%v, %v", e, err)
			}
			if warned := strings.Contains(log.String(), `"level":"WARN"`) && strings.Contains(log.String(), "nobody is paged"); warned != c.warns {
				t.Errorf("warned: %t, want %t: %s", warned, c.warns, &log)
			}
			if err != nil && strings.Contains(err.Error(), "canary") || strings.Contains(log.String(), "canary") {
				t.Error("the secret is shown")
			}
			answer := httptest.NewRecorder()
			r.metrics.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
			for _, series := range []string{`vigil_pages_total{outcome="failed"} 0`, "vigil_pages_unsent 0", "vigil_pages_oldest_unsent_seconds 0"} {
				if strings.Contains(answer.Body.String(), series) != c.pages {
					t.Errorf("%s is shown: %t", series, !c.pages)
				}
			}
			e.Wake() // also where there is nobody to wake
		})
	}
}
