package realtime_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

// posted is the answer to a broadcast by REST.
type posted struct {
	status int
	header http.Header
	body   string
	Error  string
	Code   realtime.Code
	Errors []struct {
		Index   int
		Code    realtime.Code
		Message string
	}
	Message string
}

const (
	batchPath = "/realtime/v1/api/broadcast"
	eventPath = batchPath + "/session%3A1/events/typing?private=true"
)

// as is the header of a person, as realtime-js sends it.
func as(token string) http.Header {
	return http.Header{"Apikey": {"sb_publishable_test"}, "Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
}

func (b *bundle) post(path string, header http.Header, body string) posted {
	b.t.Helper()
	return b.request(http.MethodPost, path, header, body)
}

func (b *bundle) request(method, path string, header http.Header, body string) posted {
	b.t.Helper()
	base, _, _ := strings.Cut(strings.TrimPrefix(b.url, "ws://"), "/")
	r, err := http.NewRequestWithContext(b.t.Context(), method, "http://"+base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header = header
	client := http.Client{Transport: &http.Transport{DialContext: b.dialer.NetDialContext, DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := posted{status: response.StatusCode, header: response.Header, body: string(data)}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &p); err != nil {
			b.t.Fatalf("%s: %v", data, err)
		}
	}
	return p
}

func batchOf(messages ...string) string { return `{"messages":[` + strings.Join(messages, ",") + `]}` }

// setupPosts has ann, who may send on session:1 and care:1, eve, who may only hear, and ben, who hears on both versions.
func setupPosts(t *testing.T, change ...func(*realtime.Config)) (b *bundle, hears []*client) {
	t.Helper()
	b = setup(t, change...)
	for _, topic := range []string{"session:1", "care:1"} {
		b.people.allow("ann", topic, everything)
		b.people.allow("ben", topic, everything)
		b.people.allow("eve", topic, realtime.Grant{BroadcastReceive: true})
	}
	for _, v := range []phoenix.Version{phoenix.V1, phoenix.V2} {
		c := b.connect(v)
		c.joined("session:1", "ben/l2")
		c.joined("care:1", "ben/l2")
		hears = append(hears, c)
	}
	return b, hears
}

func TestPostedBatchReachesEveryone(t *testing.T) {
	t.Parallel()
	b, hears := setupPosts(t)
	for _, prefix := range []string{"", "/realtime/v1", "/any/where"} {
		got := b.post(prefix+"/api/broadcast?apikey=sb_publishable_test&log_level=info&vsn=2.0.0", as("ann/l1"), batchOf(
			`{"topic":"session:1","event":"typing","payload":{"by":"ü"},"private":true}`,
			`{"topic":"care:1","event":"nod","private":"true"}`,
			`{"topic":"session:1","event":"typing","payload":[1,2],"private":true,"type":"broadcast"}`))
		if got.status != http.StatusAccepted || got.body != "" {
			t.Fatalf("got %+v", got)
		}
		for _, c := range hears {
			for _, want := range []struct{ topic, payload string }{
				{"realtime:session:1", `{"type":"broadcast","event":"typing","payload":{"by":"ü"}}`},
				{"realtime:care:1", `{"type":"broadcast","event":"nod","payload":{}}`},
				{"realtime:session:1", `{"type":"broadcast","event":"typing","payload":[1,2]}`},
			} {
				if m := c.expect("broadcast"); m.Topic != want.topic || string(m.Payload) != want.payload {
					t.Errorf("got %s, want %s", m, want)
				}
			}
		}
	}
}

func TestPostedEventReachesEveryone(t *testing.T) {
	t.Parallel()
	b, hears := setupPosts(t)
	if got := b.post(eventPath, as("ann/l1"), ` {"n":3} `); got.status != http.StatusAccepted || got.body != "" {
		t.Fatalf("got %+v", got)
	}
	for _, c := range hears {
		if m := c.expect("broadcast"); string(m.Payload) != `{"type":"broadcast","event":"typing","payload":{"n":3}}` {
			t.Errorf("got %s", m)
		}
	}
	raw := as("ann/l1")
	raw.Set("Content-Type", "application/octet-stream")
	if got := b.post(batchPath+"/session%3A1/events/a%2Fb%20%C3%BC?private=true&persist=false", raw, "\x00\xff{"); got.status != http.StatusAccepted {
		t.Fatalf("got %+v", got)
	}
	if m := hears[1].next(); m.binary == nil || m.binary.Event != "a/b ü" || m.binary.Topic != "realtime:session:1" ||
		string(m.binary.Payload) != "\x00\xff{" || m.binary.Encoding != phoenix.Raw {
		t.Errorf("got %s", m)
	}
	hears[0].silent() // as on the socket: vsn 1 has no bytes
}

// TestPersonIsKnownByAuthorizationOrByApikey: a token may come either way, and Authorization wins.
func TestPersonIsKnownByAuthorizationOrByApikey(t *testing.T) {
	t.Parallel()
	b, hears := setupPosts(t)
	b.people.allow("ann.of.old", "session:1", everything) // as many dots as a JWT
	for name, header := range map[string]http.Header{
		"a bearer alone":         {"Authorization": {"bearer ann/l1"}},
		"a token as apikey":      {"Apikey": {"ann.of.old/l1"}},
		"a bearer that is a key": {"Authorization": {"Bearer sb_publishable_test"}, "Apikey": {"ann.of.old/l1"}},
		"a bearer and a key":     {"Authorization": {"Bearer ann/l1"}, "X-Api-Key": {"sb_publishable_test"}},
	} {
		header.Set("Content-Type", "application/json; charset=utf-8")
		if got := b.post(eventPath, header, "{}"); got.status != http.StatusAccepted {
			t.Errorf("%s: got %+v", name, got)
			continue
		}
		hears[0].expect("broadcast")
		hears[1].expect("broadcast")
	}
}

func TestPostsThatAreRefusedSaySo(t *testing.T) {
	t.Parallel()
	b, hears := setupPosts(t, func(c *realtime.Config) {
		c.Limits.BroadcastBytes, c.Limits.FrameBytes = 100, 1000
		c.AllowedOrigins = []string{"https://app.example"}
	})
	b.people.expires["old/l1"] = time.Now().Add(-time.Hour)
	with := func(token string, more ...string) http.Header {
		h := as(token)
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	const key = "sb_publishable_test"
	one := func(more string) string {
		return batchOf(`{"topic":"session:1","event":"e","payload":{},"private":true` + more + `}`)
	}
	large := `"` + strings.Repeat("x", 100) + `"`
	for name, c := range map[string]struct {
		method, path string
		header       http.Header
		body         string
		status       int
		code         realtime.Code
	}{
		"no key":                  {"POST", eventPath, http.Header{}, "{}", 401, realtime.CodeAPIKeyMissing},
		"unknown key":             {"POST", eventPath, http.Header{"Apikey": {"other"}}, "{}", 401, realtime.CodeAPIKeyInvalid},
		"unknown key, good token": {"POST", eventPath, with("ann/l1", "Apikey", "other"), "{}", 401, realtime.CodeAPIKeyInvalid},
		"no token":                {"POST", eventPath, with(key), "{}", 401, realtime.CodeTokenMissing},
		"no token, a batch":       {"POST", batchPath, with(key), one(""), 401, realtime.CodeTokenMissing},
		"an old token":            {"POST", eventPath, with("old/l1"), "{}", 401, realtime.CodeInvalidJWTToken},
		"mud":                     {"POST", eventPath, with("mud"), "{}", 401, realtime.CodeMalformedJWT},
		"a bearer that is a key":  {"POST", eventPath, with("sb_secret_other"), "{}", 401, realtime.CodeTokenMissing},
		"another origin":          {"POST", eventPath, with("ann/l1", "Origin", "https://evil.example"), "{}", 403, realtime.CodeOriginNotAllowed},
		"may only hear":           {"POST", eventPath, with("eve/l1"), "{}", 403, realtime.CodeUnauthorized},
		"may only hear, a batch":  {"POST", batchPath, with("eve/l1"), one(""), 403, realtime.CodeUnauthorized},
		"a stranger":              {"POST", eventPath, with("zoe/l1"), "{}", 403, realtime.CodeUnauthorized},
		"public, durable":         {"POST", batchPath + "/session:1/events/e", with("ann/l1"), "{}", 403, realtime.CodePrivateOnly},
		"public":                  {"POST", batchPath + "/lobby/events/e", with("ann/l1"), "{}", 403, realtime.CodePrivateOnly},
		"text":                    {"POST", eventPath, with("ann/l1", "Content-Type", "text/plain"), "{}", 415, realtime.CodeContentType},
		"no type":                 {"POST", eventPath, with("ann/l1", "Content-Type", ""), "{}", 415, realtime.CodeContentType},
		"compressed":              {"POST", eventPath, with("ann/l1", "Content-Encoding", "gzip"), "{}", 415, realtime.CodeContentType},
		"bytes for a batch":       {"POST", batchPath, with("ann/l1", "Content-Type", "application/octet-stream"), one(""), 415, realtime.CodeContentType},
		"large":                   {"POST", eventPath, with("ann/l1"), large, 413, realtime.CodePayloadTooLarge},
		"large in a batch":        {"POST", batchPath, with("ann/l1"), one(`,"payload":` + large), 413, realtime.CodePayloadTooLarge},
		"a large batch":           {"POST", batchPath, with("ann/l1"), one(`,"x":"` + strings.Repeat("x", 1000) + `"`), 413, realtime.CodePayloadTooLarge},
		"no JSON":                 {"POST", eventPath, with("ann/l1"), "{", 422, realtime.CodeInvalidPayload},
		"no JSON, a batch":        {"POST", batchPath, with("ann/l1"), "{", 422, realtime.CodeInvalidPayload},
		"no UTF-8":                {"POST", eventPath, with("ann/l1"), "\"\xff\"", 422, realtime.CodeInvalidPayload},
		"no UTF-8 in the topic":   {"POST", batchPath + "/session:1%ff/events/e?private=true", with("ann/l1"), "{}", 422, realtime.CodeInvalidPayload},
		"no messages":             {"POST", batchPath, with("ann/l1"), `{}`, 422, realtime.CodeInvalidPayload},
		"no topic":                {"POST", batchPath, with("ann/l1"), batchOf(`{"event":"e"}`), 422, realtime.CodeTopicNameRequired},
		"no event":                {"POST", batchPath, with("ann/l1"), batchOf(`{"topic":"session:1"}`), 422, realtime.CodeInvalidPayload},
		"an empty event":          {"POST", batchPath + "/session:1/events/?private=true", with("ann/l1"), "{}", 422, realtime.CodeInvalidPayload},
		"a long topic":            {"POST", batchPath + "/" + strings.Repeat("t", 247) + "/events/e?private=true", with("ann/l1"), "{}", 422, realtime.CodeInvalidPayload},
		"persist":                 {"POST", eventPath + "&persist=true", with("ann/l1"), "{}", 422, realtime.CodePersistUnsupported},
		"persist for a while":     {"POST", eventPath + "&persist%5Bttl%5D=60", with("ann/l1"), "{}", 422, realtime.CodePersistUnsupported},
		"persist in a batch":      {"POST", batchPath, with("ann/l1"), one(`,"persist":{"ttl":5}`), 422, realtime.CodePersistUnsupported},
		"GET":                     {"GET", batchPath, with("ann/l1"), "", 405, realtime.CodeMethodNotAllowed},
		"another path":            {"POST", "/realtime/v1/api/broadcasts", with("ann/l1"), "{}", 404, realtime.CodeNotFound},
	} {
		got := b.request(c.method, c.path, c.header, c.body)
		if got.status != c.status || got.Code != c.code || got.Error == "" || got.Message != got.Error {
			t.Errorf("%s: got %d %s, want %d %s", name, got.status, got.body, c.status, c.code)
		}
		if retry := got.header.Get("Retry-After"); retry != "" {
			t.Errorf("%s: to be tried again after %s", name, retry)
		}
	}
	b.people.fail(errors.New("database is away"))
	if got := b.post(eventPath, as("ann/l1"), "{}"); got.status != 503 || got.Code != realtime.CodeUnableToConnect || got.header.Get("Retry-After") == "" {
		t.Errorf("got %+v", got)
	}
	for _, c := range hears {
		c.silent()
	}
	b.stop()
	<-b.ended
	if got := b.post(eventPath, as("ann/l1"), "{}"); got.status != 503 || got.Code != realtime.CodeRealtimeRestarting {
		t.Errorf("got %+v", got)
	}
}

func TestBatchIsSentWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	b, hears := setupPosts(t)
	const good = `{"topic":"session:1","event":"e","payload":{},"private":true}`
	for name, c := range map[string]struct {
		messages []string
		status   int
		codes    map[int]realtime.Code
	}{
		"shape": {[]string{good, `{"topic":"session:1"}`, good, `7`, `{"event":"e"}`}, 422,
			map[int]realtime.Code{1: realtime.CodeInvalidPayload, 3: realtime.CodeInvalidPayload, 4: realtime.CodeTopicNameRequired}},
		"permission": {[]string{good, strings.Replace(good, "session:1", "session:2", 1), good, strings.Replace(good, "true", "false", 1)}, 403,
			map[int]realtime.Code{1: realtime.CodeUnauthorized, 3: realtime.CodePrivateOnly}},
	} {
		got := b.post(batchPath, as("ann/l1"), batchOf(c.messages...))
		codes := map[int]realtime.Code{}
		for _, e := range got.Errors {
			codes[e.Index] = e.Code
			if e.Message == "" {
				t.Errorf("%s: %d has no message", name, e.Index)
			}
		}
		if got.status != c.status || len(codes) != len(c.codes) || got.Code != got.Errors[0].Code {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
		for i, code := range c.codes {
			if codes[i] != code {
				t.Errorf("%s: message %d has %s, want %s", name, i, codes[i], code)
			}
		}
	}
	for _, c := range hears {
		c.silent()
	}
}

// TestPostsOfNobodyArePublic: a key alone opens what AllowPublic opens to sockets, and no more.
func TestPostsOfNobodyArePublic(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.AllowPublic = true })
	c := b.connect(phoenix.V2)
	c.join("lobby", joinOptions{public: true})
	c.ok()
	header := http.Header{"Apikey": {"sb_publishable_test"}, "Content-Type": {"application/json"}}
	if got := b.post(batchPath, header, batchOf(`{"topic":"lobby","event":"e","payload":{}}`)); got.status != http.StatusAccepted {
		t.Fatalf("got %+v", got)
	}
	c.expect("broadcast")
	if got := b.post(batchPath, header, batchOf(`{"topic":"session:1","event":"e"}`)); got.status != http.StatusForbidden || got.Code != realtime.CodePrivateOnly {
		t.Errorf("got %+v", got)
	}
	got := b.post(batchPath, header, batchOf(`{"topic":"lobby","event":"e"}`, `{"topic":"lobby","event":"e","private":true}`))
	if got.status != http.StatusUnauthorized || got.Code != realtime.CodeTokenMissing || len(got.Errors) != 1 || got.Errors[0].Index != 1 {
		t.Errorf("got %+v", got)
	}
	c.silent()
}

// TestPostsAndPushesShareOneBucket, of a person: neither more sockets nor new ones nor REST give more of it.
func TestPostsAndPushesShareOneBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) {
			c.Limits.UserBroadcastsPerSecond, c.Limits.UserBroadcastBurst = 1, 4
			c.Limits.UserPresencePerSecond, c.Limits.UserPresenceBurst = 1, 2
		})
		for _, user := range []string{"ann", "ben"} {
			b.people.allow(user, "session:1", everything)
		}
		push := func(c *client, join string) bool {
			c.push(join, "session:1", "typing", `{}`, "")
			m := c.expect("phx_reply")
			return reply(t, m).Status == "ok"
		}
		joined := func(token string) (*client, string) {
			c := b.connect(phoenix.V2)
			ref := c.join("session:1", joinOptions{token: token, config: `,"broadcast":{"ack":true}`})
			c.ok()
			c.recovery()
			return c, ref
		}
		posts := func(token string, n int) int {
			message := `{"topic":"session:1","event":"e","private":true}`
			return b.post(batchPath, as(token), batchOf(slices.Repeat([]string{message}, n)...)).status
		}
		first, join := joined("ann/l1")
		if !push(first, join) {
			t.Error("the first was refused")
		}
		if got := posts("ann/l1", 5); got != http.StatusUnprocessableEntity {
			t.Errorf("a batch that never fits: got %d", got)
		}
		_ = first.conn.Close()
		synctest.Wait()
		second, join := joined("ann/l1")
		if got := posts("ann/l1", 2); got != http.StatusAccepted {
			t.Errorf("got %d", got)
		}
		for range 2 {
			second.expect("broadcast")
		}
		if !push(second, join) || push(second, join) {
			t.Error("of five, the fifth alone must be refused")
		}
		if got := b.post(eventPath, as("ann/l9"), "{}"); got.status != http.StatusTooManyRequests || got.Code != realtime.CodeMessageRateLimit || got.header.Get("Retry-After") != "1" {
			t.Errorf("got %+v", got)
		}
		if got := posts("ben/l2", 4); got != http.StatusAccepted {
			t.Errorf("another person: got %d", got)
		}
		for range 4 {
			second.expect("broadcast")
		}
		for i, want := range []bool{true, true, false} {
			second.track(join, "track", `{"n":`+strconv.Itoa(i)+`}`)
			for m := second.next(); ; m = second.next() {
				if m.Event == "phx_reply" {
					if got := reply(t, m).Status == "ok"; got != want {
						t.Errorf("track %d: got %s", i, m)
					}
					break
				}
			}
		}
		<-time.After(time.Second)
		if !push(second, join) {
			t.Error("refused when a second had passed")
		}
	})
}

// TestRevocationRacingAPostIsAskedAgain: an answer that was on its way when it was withdrawn sends nothing.
func TestRevocationRacingAPostIsAskedAgain(t *testing.T) {
	t.Parallel()
	var b *bundle
	withdrawn := false
	b, hears := setupPosts(t, func(c *realtime.Config) {
		c.At = func(point string) {
			if point == "posted" && !withdrawn {
				withdrawn = true
				b.forget("ann", "session:1")
			}
		}
	})
	if got := b.post(eventPath, as("ann/l1"), "{}"); got.status != http.StatusForbidden || got.Code != realtime.CodeUnauthorized {
		t.Errorf("got %+v", got)
	}
	for _, c := range hears {
		c.silent()
	}
}

// TestPostedBroadcastReachesOtherNodes, also where nobody of the node that took it hears the topic.
func TestPostedBroadcastReachesOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		c := b.connect(phoenix.V2)
		c.joined("session:1", "ben/l2")
		synctest.Wait()
		if got := a.post(eventPath, as("ann/l1"), `{"n":1}`); got.status != http.StatusAccepted {
			t.Fatalf("got %+v", got)
		}
		if m := c.expect("broadcast"); m.Topic != "realtime:session:1" || string(m.Payload) != `{"type":"broadcast","event":"typing","payload":{"n":1}}` {
			t.Errorf("got %s", m)
		}
		synctest.Wait()
		c.silent()
	})
}
