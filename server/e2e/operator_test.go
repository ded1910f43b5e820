package e2e_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// get asks and returns status and body; it says so when nobody answers.
func get(ctx context.Context, url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, string(raw), err
}

// metric reads one series of /metrics, such as name{cause="slot_gone"}; 0 when it is not there.
func (s *stack) metric(ctx context.Context, series string) (float64, error) {
	_, body, err := get(ctx, s.operatorURL+"/metrics")
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, lines.Err()
}

// awaitMetric waits until a series is as the caller wants it.
func (s *stack) awaitMetric(t testing.TB, series string, enough func(float64) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	last := 0.0
	if err := poll(ctx, func() (bool, error) {
		value, err := s.metric(ctx, series)
		last = value
		return err == nil && enough(value), nil //nolint:nilerr // asked again: the sidecar may be starting
	}); err != nil {
		t.Fatalf("%s is %v: %v\n%s", series, last, err, s.sidecar.out.tail())
	}
}

// notProven is the series that counts that continuity was not proven, for a cause.
func notProven(cause string) string {
	return `vigil_continuity_not_proven_total{cause="` + cause + `"}`
}

// onlyCause holds that continuity was not proven for this cause and no other since the process began.
func (s *stack) onlyCause(t testing.TB, want string) {
	t.Helper()
	s.awaitMetric(t, notProven(want), func(v float64) bool { return v >= 1 })
	for _, cause := range []string{"bus_lost", "bus_restored", "database_restored", "database_changed", "slot_gone", "slot_lost"} {
		n, err := s.metric(t.Context(), notProven(cause))
		if err != nil {
			t.Fatal(err)
		}
		if cause == want && n != 1 || cause != want && n != 0 {
			t.Errorf("%s: %v times", cause, n)
		}
	}
}
