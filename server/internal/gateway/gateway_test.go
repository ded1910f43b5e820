package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/gateway"
	"vigil/server/internal/identity"
	"vigil/server/internal/telemetry"
)

type verify func(token string) (identity.Subject, error)

func (v verify) Verify(_ context.Context, token string) (identity.Subject, error) { return v(token) }

type fixture struct {
	*httptest.Server
	logs    *bytes.Buffer
	metrics *telemetry.Metrics
	health  *telemetry.Health
}

var person = identity.Subject{ID: uuid.MustParse("11111111-1111-4111-8111-111111111111"), AAL: "aal1"}

func setup(t *testing.T, change func(*gateway.Config)) fixture {
	t.Helper()
	f := fixture{logs: new(bytes.Buffer), metrics: telemetry.NewMetrics(), health: new(telemetry.Health)}
	c := gateway.Config{
		Verifier: verify(func(token string) (identity.Subject, error) {
			switch token {
			case "good":
				return person, nil
			case "old":
				return identity.Subject{}, identity.ErrExpired
			case "early":
				return identity.Subject{}, identity.ErrUnavailable
			}
			return identity.Subject{}, errors.New("bad")
		}),
		Socket: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "panic") {
				panic(errors.New("canary-panic"))
			}
			_, _ = io.WriteString(w, "socket "+r.URL.Path)
		}),
		Health: f.health, Metrics: f.metrics, Log: telemetry.NewLogger(f.logs, slog.LevelDebug, "json"),
		AllowedOrigins: []string{"https://app.example"}, MaxBodyBytes: 100, RatePerSecond: 1000,
	}
	if change != nil {
		change(&c)
	}
	f.Server = httptest.NewServer(gateway.New(c))
	t.Cleanup(f.Close)
	return f
}

func (f fixture) do(t *testing.T, method, path string, header map[string]string, body string) (*http.Response, gateway.Problem, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p gateway.Problem
	if res.Header.Get("Content-Type") == "application/problem+json" {
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
	}
	return res, p, string(raw)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	for sentence, c := range map[string]struct {
		method, path, token string
		status              int
		code, body          string
	}{
		"the process lives":                    {"GET", "/healthz", "", 200, "", `{"status":"ok"}`},
		"it is ready without checks":           {"GET", "/readyz", "", 200, "", `"ready"`},
		"the channel is under realtime":        {"GET", "/realtime/v1/websocket", "", 200, "", "socket /realtime/v1/websocket"},
		"the channel is under socket":          {"GET", "/socket/websocket", "", 200, "", "socket /socket/websocket"},
		"an unknown path is a problem":         {"GET", "/nothing", "", 404, gateway.CodeNotFound, ""},
		"REST is not proxied unless asked":     {"GET", "/rest/v1/messages", "", 404, gateway.CodeNotFound, ""},
		"me without a token is refused":        {"GET", "/v1/me", "", 401, gateway.CodeUnauthorized, ""},
		"me with a bad token is refused":       {"GET", "/v1/me", "bad", 401, gateway.CodeUnauthorized, ""},
		"me with an old token says refresh":    {"GET", "/v1/me", "old", 401, gateway.CodeTokenExpired, ""},
		"me while no key can be fetched":       {"GET", "/v1/me", "early", 503, gateway.CodeUpstream, ""},
		"me with a good token says who":        {"GET", "/v1/me", "good", 200, "", person.ID.String()},
		"a panic is an internal error":         {"GET", "/socket/panic", "", 500, gateway.CodeInternal, ""},
		"a key is no token, and no one's name": {"GET", "/v1/me", "sb_publishable_x", 401, gateway.CodeUnauthorized, ""},
	} {
		header := map[string]string{}
		if c.token != "" {
			header["Authorization"] = "Bearer " + c.token
		}
		res, p, body := f.do(t, c.method, c.path, header, "")
		if res.StatusCode != c.status || p.Code != c.code || !strings.Contains(body, c.body) {
			t.Errorf("%s: %d %s %s", sentence, res.StatusCode, p.Code, body)
		}
		if p.Code != "" && (p.RequestID != res.Header.Get("X-Request-Id") || p.Detail == "" || p.Status != c.status) {
			t.Errorf("%s: problem = %+v", sentence, p)
		}
	}
}

func TestTheConsoleIsWhereTheTopLeads(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "console "+r.URL.Path) })
	f := setup(t, func(c *gateway.Config) { c.Console = page })
	for path, want := range map[string]string{
		"/": "console /console/", "/console": "console /console/", "/console/": "console /console/", "/console/assets/a.js": "console /console/assets/a.js",
	} {
		if res, _, body := f.do(t, http.MethodGet, path, nil, ""); res.StatusCode != http.StatusOK || body != want {
			t.Errorf("GET %s: %d %q, want %q", path, res.StatusCode, body, want)
		}
	}
	if _, problem, _ := f.do(t, http.MethodGet, "/elsewhere", nil, ""); problem.Code != gateway.CodeNotFound {
		t.Errorf("GET /elsewhere: %+v", problem)
	}
	if _, problem, _ := f.do(t, http.MethodPost, "/console/", nil, ""); problem.Code != gateway.CodeNotFound {
		t.Errorf("POST /console/: %+v", problem)
	}
	without := setup(t, nil)
	if _, problem, _ := without.do(t, http.MethodGet, "/console/", nil, ""); problem.Code != gateway.CodeNotFound {
		t.Errorf("without a console: %+v", problem)
	}
}

func TestNoQueryHeaderOrPanicReachesLogsOrMetrics(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.do(t, "GET", "/realtime/v1/websocket?apikey=canary-key&vsn=2.0.0", map[string]string{"Authorization": "Bearer canary-token"}, "")
	f.do(t, "GET", "/socket/panic?canary-query", nil, "")
	f.do(t, "GET", "/canary-path", nil, "")
	f.do(t, "GET", "/v1/me", map[string]string{"Authorization": "Bearer canary-token", "X-Request-Id": "canary-id"}, "")
	w := httptest.NewRecorder()
	f.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if out := f.logs.String() + w.Body.String(); strings.Contains(out, "canary") || !strings.Contains(out, "request answered") {
		t.Errorf("leaked or silent:\n%s", out)
	}
}

func TestRequestIDIsTheCallersWhenItIsAUUID(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	id := uuid.NewString()
	if res, _, _ := f.do(t, "GET", "/healthz", map[string]string{"X-Request-Id": id}, ""); res.Header.Get("X-Request-Id") != id {
		t.Error("a uuid is not taken over")
	}
	if res, _, _ := f.do(t, "GET", "/healthz", map[string]string{"X-Request-Id": "<script>"}, ""); uuid.Validate(res.Header.Get("X-Request-Id")) != nil {
		t.Error("anything is taken over")
	}
}

func TestCORSAllowsListedOriginsOnly(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		allowed []string
		origin  string
		want    string
	}{
		"a listed origin":              {[]string{"https://app.example"}, "https://app.example", "https://app.example"},
		"another origin":               {[]string{"https://app.example"}, "https://evil.example", ""},
		"an empty list allows nothing": {nil, "https://app.example", ""},
		"a star allows all":            {[]string{"*"}, "https://any.example", "*"},
	} {
		f := setup(t, func(g *gateway.Config) { g.AllowedOrigins = c.allowed })
		res, _, _ := f.do(t, "OPTIONS", "/v1/me", map[string]string{"Origin": c.origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}, "")
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != c.want {
			t.Errorf("%s: %q", sentence, got)
		}
	}
}

func TestAnAddressThatAsksTooOftenIsToldHowLongToWait(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *gateway.Config) { c.RatePerSecond = 1 })
	for range 2 {
		if res, _, _ := f.do(t, "GET", "/healthz", nil, ""); res.StatusCode != 200 {
			t.Fatalf("within the burst: %d", res.StatusCode)
		}
	}
	res, p, _ := f.do(t, "GET", "/healthz", nil, "")
	if res.StatusCode != 429 || p.Code != gateway.CodeRateLimited || p.Message != p.Detail || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d %+v %q", res.StatusCode, p, res.Header.Get("Retry-After"))
	}
}

// TestSocketsWaitTheirTurnInTheChannel: a storm of them is not refused here, whoever shares an address; what looks like one is.
func TestSocketsWaitTheirTurnInTheChannel(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *gateway.Config) { c.RatePerSecond = 1 })
	for range 20 {
		for _, path := range []string{"/realtime/v1/websocket", "/socket/websocket"} {
			if res, _, _ := f.do(t, "GET", path, nil, ""); res.StatusCode == 429 {
				t.Fatalf("%s was refused", path)
			}
		}
	}
	for range 2 {
		f.do(t, "GET", "/rest/v1/websocket", nil, "")
	}
	if res, _, _ := f.do(t, "GET", "/rest/v1/websocket", nil, ""); res.StatusCode != 429 {
		t.Errorf("what is no socket: %d", res.StatusCode)
	}
}

// TestPagesMayPostBroadcasts: the headers of realtime-js and of supabase-js pass, and the refusal of a preflight names none.
func TestPagesMayPostBroadcasts(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	const path = "/realtime/v1/api/broadcast/session%3A1/events/typing?private=true&apikey=sb_publishable_canary"
	for _, headers := range []string{"apikey,authorization,content-type", "apikey,authorization,content-type,x-client-info"} {
		res, _, _ := f.do(t, "OPTIONS", path, map[string]string{"Origin": "https://app.example", "Access-Control-Request-Method": "POST",
			"Access-Control-Request-Headers": headers}, "")
		if res.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || res.Header.Get("Access-Control-Allow-Methods") != "POST" ||
			res.Header.Get("Access-Control-Allow-Headers") != headers {
			t.Errorf("%s: got %v", headers, res.Header)
		}
	}
	res, _, body := f.do(t, "POST", path, map[string]string{"Origin": "https://app.example"}, "{}")
	if body != "socket /realtime/v1/api/broadcast/session:1/events/typing" || res.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("got %s %v", body, res.Header)
	}
	if strings.Contains(f.logs.String(), "session") || strings.Contains(f.logs.String(), "canary") {
		t.Errorf("logged: %s", f.logs)
	}
}

// TestPeopleBehindATrustedProxyAreToldApart, and nobody else can say that they are behind one.
func TestPeopleBehindATrustedProxyAreToldApart(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		trusted string
		status  int
	}{
		"by a trusted proxy": {"127.0.0.0/8", 200},
		"by anybody":         {"10.0.0.0/8", 429},
	} {
		f := setup(t, func(g *gateway.Config) {
			g.RatePerSecond = 1
			g.Address = gateway.Address([]netip.Prefix{netip.MustParsePrefix(c.trusted)})
		})
		for range 2 {
			f.do(t, "GET", "/healthz", map[string]string{"X-Forwarded-For": "198.51.100.1"}, "")
		}
		if res, _, _ := f.do(t, "GET", "/healthz", map[string]string{"X-Forwarded-For": "198.51.100.2"}, ""); res.StatusCode != c.status {
			t.Errorf("%s: got %d", sentence, res.StatusCode)
		}
	}
}

func TestProxyPassesSupabaseOnAndOwnsCORS(t *testing.T) {
	t.Parallel()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/rest/v1/slow" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // the gateway cut the body off
		}
		_, _ = io.WriteString(w, r.URL.RequestURI()+" "+r.Header.Get("Apikey")+" "+r.Header.Get("X-Forwarded-For")+" "+string(b))
	}))
	t.Cleanup(upstream.Close)
	u, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := setup(t, func(c *gateway.Config) { c.ProxyTo, c.RequestTimeout = u, 300*time.Millisecond })
	for _, prefix := range gateway.ProxiedPrefixes {
		res, _, body := f.do(t, "POST", prefix+"x?select=a", map[string]string{"Apikey": "k", "Origin": "https://app.example"}, "hello")
		if body != prefix+"x?select=a k 127.0.0.1 hello" {
			t.Errorf("%s: %s", prefix, body)
		}
		if got := res.Header.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != "https://app.example" {
			t.Errorf("%s: CORS = %v", prefix, got)
		}
	}
	long := strings.Repeat("x", 200)
	if res, p, _ := f.do(t, "POST", "/rest/v1/x", nil, long); res.StatusCode != 413 || p.Code != gateway.CodeTooLarge {
		t.Errorf("too large: %d %+v", res.StatusCode, p)
	}
	if res, _, _ := f.do(t, "POST", "/storage/v1/x", nil, long); res.StatusCode != 200 {
		t.Errorf("an upload is bounded here: %d", res.StatusCode)
	}
	if res, p, _ := f.do(t, "GET", "/rest/v1/slow", nil, ""); res.StatusCode != 504 || p.Code != gateway.CodeTimeout {
		t.Errorf("slow: %d %+v", res.StatusCode, p)
	}
	upstream.Close()
	if res, p, _ := f.do(t, "GET", "/rest/v1/x", nil, ""); res.StatusCode != 502 || p.Code != gateway.CodeUpstream {
		t.Errorf("gone: %d %+v", res.StatusCode, p)
	}
}

func TestReadinessHidesCausesFromThePublicOnly(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.health.Register("database", func(context.Context) error { return errors.New("canary-cause") })
	if res, _, body := f.do(t, "GET", "/readyz", nil, ""); res.StatusCode != 503 || strings.Contains(body, "canary") || !strings.Contains(body, "database") {
		t.Errorf("public: %d %s", res.StatusCode, body)
	}
	op := httptest.NewRecorder()
	gateway.Operator(f.metrics, f.health, telemetry.NewTracer(nil)).ServeHTTP(op, httptest.NewRequest("GET", "/readyz", nil))
	if op.Code != 503 || !strings.Contains(op.Body.String(), "canary-cause") {
		t.Errorf("operator: %d %s", op.Code, op.Body)
	}
}

func TestOperatorGivesATrace(t *testing.T) {
	t.Parallel()
	tr, id, at := telemetry.NewTracer(nil), uuid.New(), time.Unix(1700000000, 0)
	tr.SetLSN(id, "0/16")
	tr.Mark(id, telemetry.StageCommitted, at)
	tr.Mark(id, telemetry.StageRelayed, at.Add(2500*time.Microsecond))
	h := gateway.Operator(telemetry.NewMetrics(), new(telemetry.Health), tr)
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	var a gateway.TraceAnswer
	if err := json.Unmarshal(ask("/trace/"+id.String()).Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if a.LSN != "0/16" || len(a.Stages) != 2 || a.Stages[1].SinceCommit != 2.5 {
		t.Errorf("trace = %+v", a)
	}
	if w := ask("/trace/" + uuid.NewString()); w.Code != 404 || !strings.Contains(w.Body.String(), gateway.CodeNotKept) {
		t.Errorf("unknown: %d %s", w.Code, w.Body)
	}
	if w := ask("/trace/x"); w.Code != 400 {
		t.Errorf("not a uuid: %d", w.Code)
	}
}
