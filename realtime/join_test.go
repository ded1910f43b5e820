package realtime_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

func TestHandshake(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.AllowedOrigins = []string{"https://app.example"} })
	const key = "?apikey=sb_publishable_test"
	for name, c := range map[string]struct {
		path   string
		header http.Header
		status int
		code   realtime.Code
	}{
		"realtime/v1":       {path: "/realtime/v1/websocket" + key + "&vsn=2.0.0", status: 101},
		"socket":            {path: "/socket/websocket" + key + "&vsn=1.0.0", status: 101},
		"root without vsn":  {path: "/websocket" + key, status: 101},
		"key in the header": {path: "/websocket", header: http.Header{"X-Api-Key": {"sb_publishable_test"}}, status: 101},
		"allowed origin":    {path: "/websocket" + key, header: http.Header{"Origin": {"https://app.example"}}, status: 101},
		"another origin":    {path: "/websocket" + key, header: http.Header{"Origin": {"https://evil.example"}}, status: 403, code: realtime.CodeOriginNotAllowed},
		"no key":            {path: "/websocket", status: 401, code: realtime.CodeAPIKeyMissing},
		"unknown key":       {path: "/websocket?apikey=sb_publishable_other", status: 401, code: realtime.CodeAPIKeyInvalid},
		"the header wins":   {path: "/websocket" + key, header: http.Header{"X-Api-Key": {"other"}}, status: 401, code: realtime.CodeAPIKeyInvalid},
		"vsn 3":             {path: "/websocket" + key + "&vsn=3.0.0", status: 400, code: realtime.CodeVersionUnsupported},
		"another path":      {path: "/realtime/v1/longpoll" + key, status: 404, code: realtime.CodeNotFound},
	} {
		status, body := statusOf(t, b, c.path, c.header)
		if status != c.status || body["code"] != string(c.code) {
			t.Errorf("%s: got %d %v, want %d %s", name, status, body, c.status, c.code)
		}
	}
}

func TestSocketsAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.Limits.Sockets = 1 })
	b.connect(phoenix.V2).silent()
	status, body := statusOf(t, b, "/websocket?apikey=sb_publishable_test", nil)
	if status != http.StatusTooManyRequests || body["code"] != string(realtime.CodeConnectionRateLimit) {
		t.Errorf("got %d %v", status, body)
	}
}

func TestPrivateJoinDeliversWhatIsPublished(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, v phoenix.Version) {
		b := setup(t)
		b.people.allow("ann", "session:1", everything)
		c := b.connect(v)
		ref := c.join("session:1", joinOptions{token: "ann/l1"})
		m := c.expect("phx_reply")
		if r := reply(t, m); r.Status != "ok" || r.Response.PostgresChanges == nil || m.Ref != ref || m.JoinRef != ref {
			t.Fatalf("got %s", m)
		}
		if s := c.recovery(); s.Recovered || s.Code != realtime.CodeCursorMissing || s.Status != "ok" || *s.To != 0 || s.Missed != nil {
			t.Errorf("recovery %+v", s)
		}
		e := b.publish("session:1", 7)
		got := c.broadcast()
		if got.Type != "broadcast" || got.Event != "message" || got.Payload.N != 7 || got.Meta.ID != e.ID || got.Meta.Seq != e.Seq ||
			got.Meta.Prev != 0 || got.Meta.Epoch != e.Epoch || got.Meta.TS != e.At.UnixMilli() || got.Meta.Replayed {
			t.Errorf("got %+v, want %+v", got, e)
		}
	})
}

func TestPublicJoinOfADurableTopicIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.AllowPublic = true })
	c := b.connect(phoenix.V2)
	c.join("session:1", joinOptions{token: "ann/l1", public: true})
	if got, want := c.refused(realtime.CodePrivateOnly), "PrivateOnly: pass { config: { private: true } }"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.join("lobby", joinOptions{public: true})
	c.ok()
}

func TestJoinsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	b.people.expires["old/l1"] = time.Now().Add(-3 * time.Second)
	for name, c := range map[string]struct {
		topic  string
		o      joinOptions
		reason string
	}{
		"no grant": {"session:2", joinOptions{token: "ann/l1"},
			"Unauthorized: You do not have permissions to read from this Channel topic: session:2"},
		"no topic":         {"", joinOptions{token: "ann/l1"}, "TopicNameRequired: You must provide a topic name"},
		"public":           {"lobby", joinOptions{public: true}, "PrivateOnly: This server only allows private channels"},
		"a token like mud": {"session:1", joinOptions{token: "mud"}, "MalformedJWT: The token provided is not a valid JWT"},
		"an old token":     {"session:1", joinOptions{token: "old/l1"}, "InvalidJWTToken: Token has expired 3 seconds ago"},
		"postgres_changes": {"session:1", joinOptions{token: "ann/l1", config: `,"postgres_changes":[null,{"event":"*"}]`},
			"PostgresChangesUnsupported: postgres_changes is not served here: listen to broadcasts"},
	} {
		client := b.connect(phoenix.V2)
		client.join(c.topic, c.o)
		code, _, _ := strings.Cut(c.reason, ":")
		if got := client.refused(realtime.Code(code)); got != c.reason {
			t.Errorf("%s: got %q, want %q", name, got, c.reason)
		}
		client.silent()
	}
	client := b.connect(phoenix.V2)
	b.people.fail(errors.New("database is away"))
	client.join("session:1", joinOptions{token: "ann/l1"})
	client.refused(realtime.CodeUnableToConnect)
	b.people.fail(nil)
	client.joined("session:1", "ann/l1")
}

func TestBareJoinIsAnsweredOkAndGetsNothing(t *testing.T) {
	t.Parallel()
	for name, token := range map[string]string{"no token": "", "an API key": "sb_publishable_test"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.people.allow("ann", "session:1", everything)
			c := b.connect(phoenix.V2)
			ref := c.join("session:1", joinOptions{token: token, config: `,"presence":{"enabled":true}`})
			c.ok()
			b.publish("session:1", 1)
			c.silent()
			c.send(ref, "realtime:session:1", "broadcast", `{"type":"broadcast","event":"e","payload":{}}`)
			c.refused(realtime.CodeTokenMissing)
			c.send(ref, "realtime:session:1", "access_token", `{"access_token":null}`)
			c.send(ref, "realtime:session:1", "access_token", `{"access_token":"sb_secret_x"}`)
			c.silent()
			c.send(ref, "realtime:session:1", "access_token", `{"access_token":"ann/l1"}`)
			c.expect("presence_state")
			if got := c.broadcast(); got.Payload.N != 1 { // stored after the join was answered
				t.Errorf("got %+v", got)
			}
			c.recovery()
			b.publish("session:1", 2)
			if got := c.broadcast(); got.Payload.N != 2 || got.Meta.Replayed {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestBareJoinWithoutTokenInTimeIsSentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t)
		c := b.connect(phoenix.V2)
		began := time.Now()
		ref := c.join("session:1", joinOptions{})
		c.ok()
		c.systemEnds(realtime.CodeTokenMissing, "phx_error", ref)
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestDeniedJoinsAreAnsweredEverLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t)
		c := b.connect(phoenix.V2)
		var delays []time.Duration
		for range 7 {
			began := time.Now()
			c.join("session:1", joinOptions{token: "ann/l1"})
			c.silent() // heartbeats are answered meanwhile
			c.refused(realtime.CodeUnauthorized)
			delays = append(delays, time.Since(began))
		}
		s := time.Second
		if want := []time.Duration{s / 2, s, 2 * s, 4 * s, 8 * s, 8 * s, 8 * s}; !slices.Equal(delays, want) {
			t.Errorf("got %v, want %v", delays, want)
		}
		began := time.Now()
		c.join("session:2", joinOptions{token: "ann/l1"})
		c.refused(realtime.CodeUnauthorized)
		if d := time.Since(began); d != s/2 {
			t.Errorf("another topic waits %v", d)
		}
	})
}

func TestHeartbeatIsAnsweredWhileAJoinIsAuthorized(t *testing.T) {
	t.Parallel()
	reached, release := make(chan struct{}), make(chan struct{})
	b := setup(t, func(c *realtime.Config) {
		c.At = func(point string) {
			if point == "authorize" {
				close(reached)
				<-release
			}
		}
	})
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V1)
	c.join("session:1", joinOptions{token: "ann/l1"})
	<-reached
	c.silent()
	close(release)
	c.ok()
}

func TestLeave(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, v phoenix.Version) {
		b := setup(t)
		b.people.allow("ann", "session:1", everything)
		c := b.connect(v)
		join := c.joined("session:1", "ann/l1")
		ref := c.send(join, "realtime:session:1", "phx_leave", "{}")
		if m := c.expect("phx_reply"); m.Ref != ref || reply(t, m).Status != "ok" {
			t.Errorf("got %s", m)
		}
		if m := c.expect("phx_close"); m.JoinRef != join || m.Ref != join {
			t.Errorf("got %s", m)
		}
		b.publish("session:1", 1)
		c.silent()
		c.send(join, "realtime:session:1", "broadcast", `{"event":"e"}`)
		c.refused(realtime.CodeUnmatchedTopic)
		if m := c.expect("phx_error"); m.JoinRef != join {
			t.Errorf("got %s", m)
		}
		c.send(join, "realtime:session:1", "phx_leave", "{}")
		c.refused(realtime.CodeUnmatchedTopic)
		c.send("", "realtime:session:1", "phx_leave", "{}")
		c.refused(realtime.CodeUnmatchedTopic)
	})
}

func TestSecondJoinOfATopicClosesTheFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V2)
	first := c.joined("session:1", "ann/l1")
	second := c.join("session:1", joinOptions{token: "ann/l1"})
	if m := c.expect("phx_close"); m.JoinRef != first || m.Ref != first {
		t.Errorf("got %s", m)
	}
	if m := c.expect("phx_reply"); m.JoinRef != second {
		t.Errorf("got %s", m)
	}
	c.recovery()
	b.publish("session:1", 1)
	c.broadcast()
	c.silent()
}

func TestChannelsAndJoinsAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) {
		c.AllowPublic = true
		c.Limits.Channels, c.Limits.JoinsPerSecond = 2, 3
	})
	c := b.connect(phoenix.V2)
	c.join("a", joinOptions{public: true})
	c.ok()
	c.join("b", joinOptions{public: true})
	c.ok()
	c.join("c", joinOptions{public: true})
	c.refused(realtime.CodeChannelRateLimitReached)
	c.join("b", joinOptions{public: true})
	c.expect("phx_close")
	c.refused(realtime.CodeClientJoinRateLimit)
}

func TestMalformedFramesAreDroppedAndUnknownOnesAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.AllowPublic = true; c.Limits.FrameBytes = 1000 })
	c := b.connect(phoenix.V2)
	for _, frame := range []string{"", "{", "[]", `["1","1","t"]`, `{"topic":"t","event":"e","payload":{}}`} {
		c.write([]byte(frame))
	}
	if err := c.conn.WriteMessage(websocket.BinaryMessage, []byte{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	c.silent()
	if got := b.server.Stats().Dropped; got != 6 {
		t.Errorf("dropped %d", got)
	}
	c.send("", "realtime:nowhere", "shout", "{}")
	c.refused(realtime.CodeUnmatchedTopic)
	ref := c.join("lobby", joinOptions{public: true})
	c.ok()
	c.send(ref, "realtime:lobby", "shout", "{}")
	c.refused(realtime.CodeUnknownEvent)
	c.write([]byte(`["1","9","realtime:lobby","broadcast",{"event":"e","payload":"` + strings.Repeat("x", 1000) + `"}]`))
	if code := c.closedWith(); code != websocket.CloseMessageTooBig {
		t.Errorf("closed with %d", code)
	}
}

func TestJoinIsAnsweredInTimeWhateverHangs(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, change := range map[string]func(*realtime.Config){
		"authenticate": func(c *realtime.Config) {
			c.Authenticate = func(ctx context.Context, _ string) (realtime.Identity, error) { return realtime.Identity{}, hang(ctx) }
		},
		"authorize": func(c *realtime.Config) {
			c.Authorize = func(ctx context.Context, _ realtime.Identity, _ string) (realtime.Grant, error) {
				return realtime.Grant{}, hang(ctx)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := setupVirtual(t, change).connect(phoenix.V2)
				for range 6 { // the growing delay does not come on top
					began := time.Now()
					c.join("session:1", joinOptions{token: "ann/l1"})
					c.refused(realtime.CodeUnableToConnect)
					if d := time.Since(began); d > 8*time.Second {
						t.Errorf("after %v", d)
					}
				}
			})
		})
	}
}

func TestLoginsAreListedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	b.people.allow("ann", "care:1", everything)
	c := b.connect(phoenix.V2)
	c.joined("session:1", "ann/l1")
	c.joined("care:1", "ann/l1")
	b.people.allow("bot", "session:1", everything)
	b.connect(phoenix.V2).joined("session:1", "bot/") // of no login
	if got := b.server.Logins(); !slices.Equal(got, []string{"l1"}) {
		t.Errorf("got %v", got)
	}
}

// TestOneTokenIsVerifiedOnceForASocket: its channels share it, but not past its end, and no other socket or token does.
func TestOneTokenIsVerifiedOnceForASocket(t *testing.T) {
	t.Parallel()
	var verified atomic.Int64
	b := setup(t, func(c *realtime.Config) {
		authenticate := c.Authenticate
		c.Authenticate = func(ctx context.Context, token string) (realtime.Identity, error) {
			verified.Add(1)
			id, err := authenticate(ctx, token)
			if token == "ada/1" {
				id.ExpiresAt = time.Now().Add(time.Hour)
			}
			return id, err
		}
	})
	for _, topic := range []string{"session:a", "session:b", "session:c"} {
		b.people.allow("ada", topic, realtime.Grant{BroadcastReceive: true})
	}
	first := b.connect(phoenix.V2)
	for i, step := range []struct {
		client *client
		topic  string
		token  string
		want   int64
	}{
		{first, "session:a", "ada/1", 1},
		{first, "session:b", "ada/1", 1},
		{first, "session:c", "ada/1/another", 2},
		{b.connect(phoenix.V2), "session:a", "ada/1", 3},
	} {
		step.client.joined(step.topic, step.token)
		if got := verified.Load(); got != step.want {
			t.Errorf("step %d: %d tokens were verified, want %d", i, got, step.want)
		}
	}
	second := b.connect(phoenix.V2)
	for _, topic := range []string{"session:a", "session:b"} { // a token without an end in sight is not kept
		before := verified.Load()
		second.joined(topic, "ada/2")
		if verified.Load() != before+1 {
			t.Error("a token that does not say when it ends was kept")
		}
	}
}
