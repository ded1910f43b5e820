package realtime_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

// TestRevocationRacingAJoinIsAuthorizedAgain is guarantee 4: the old answer of a grant query that ran while the grant was
// taken away is not used.
func TestRevocationRacingAJoinIsAuthorizedAgain(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"authorize", "authorized"} {
		t.Run("revoked at "+point, func(t *testing.T) {
			t.Parallel()
			reached, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			b := setup(t, func(c *realtime.Config) {
				c.At = func(at string) {
					if at == point {
						once.Do(func() { close(reached); <-release })
					}
				}
			})
			b.people.allow("ann", "session:1", everything)
			c := b.connect(phoenix.V2)
			c.join("session:1", joinOptions{token: "ann/l1"})
			<-reached
			b.forget("ann", "session:1")
			b.publish("session:1", 1)
			close(release)
			c.refused(realtime.CodeUnauthorized)
			if n := b.people.questions(); n != 2 {
				t.Errorf("asked %d times", n)
			}
			c.silent()
		})
	}
}

func TestRevocationEndsExactlyTheAffectedChannels(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, v phoenix.Version) {
		b := setup(t)
		for _, topic := range []string{"session:1", "care:1"} {
			b.people.allow("ann", topic, everything)
			b.people.allow("ben", topic, everything)
		}
		ann, ben := b.connect(v), b.connect(v)
		session := ann.joined("session:1", "ann/l1")
		ann.joined("care:1", "ann/l1")
		ben.joined("session:1", "ben/l2")
		b.forget("ann", "session:1")
		b.publish("session:1", 1)
		if got, want := ann.systemEnds(realtime.CodeUnauthorized, "phx_close", session),
			"You no longer have permission to read from this Channel topic: session:1"; got != want {
			t.Errorf("got %q", got)
		}
		ben.broadcast()
		b.publish("care:1", 2)
		if got := ann.broadcast(); got.Payload.N != 2 {
			t.Errorf("got %+v", got)
		}
		ann.silent()
	})
}

// TestNothingQueuedBeforeARevocationIsSentAfterIt holds the answer of Authorize back, so that only the suspension can stop
// what is queued and published meanwhile.
func TestNothingQueuedBeforeARevocationIsSentAfterIt(t *testing.T) {
	for name, still := range map[string]bool{"the grant is gone": false, "the grant stands": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hold := make(chan struct{})
				release := sync.OnceFunc(func() { close(hold) })
				asked := 0
				b := setupVirtual(t, func(c *realtime.Config) {
					c.At = func(at string) {
						if at == "authorize" {
							if asked++; asked == 2 {
								<-hold
							}
						}
					}
				})
				t.Cleanup(release)
				b.people.allow("ann", "session:1", everything)
				c := b.connect(phoenix.V2)
				ref := c.joined("session:1", "ann/l1")
				b.publish("session:1", 0)
				synctest.Wait() // a pipe holds nothing: the first is being written, the others wait
				for n := range 49 {
					b.publish("session:1", n+1)
				}
				if still {
					b.server.Reauthorize(func(realtime.Member) bool { return true })
				} else {
					b.forget("ann", "session:1")
				}
				b.publish("session:1", 50)
				// A heartbeat's reply comes after what was in the one write that had begun, and before anything else.
				ping, last := c.send("", "phoenix", "heartbeat", "{}"), -1
				for m := c.next(); m.Ref != ping; m = c.next() {
					last = decode[broadcast](t, m.Payload).Payload.N
				}
				if last != 0 {
					t.Fatalf("got %d after the revocation", last)
				}
				synctest.Wait()
				c.silent()
				c.send(ref, "realtime:session:1", "broadcast", `{"event":"e"}`) // neither allowed nor denied: not known now
				c.refused(realtime.CodeUnableToConnect)
				release()
				if !still {
					c.systemEnds(realtime.CodeUnauthorized, "phx_close", ref)
					return
				}
				for n := last + 1; n <= 50; n++ {
					if got := c.broadcast(); got.Payload.N != n {
						t.Fatalf("got %+v, want %d", got, n)
					}
				}
				b.publish("session:1", 51)
				if got := c.broadcast(); got.Payload.N != 51 || got.Meta.Replayed {
					t.Errorf("got %+v", got)
				}
				c.silent()
			})
		})
	}
}

func TestReauthorizeLosesNothingWhileGrantsStand(t *testing.T) {
	t.Parallel()
	const total = 2000
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V2)
	c.joined("session:1", "ann/l1")
	var busy sync.WaitGroup
	busy.Go(func() {
		for n := range total {
			b.publish("session:1", n)
			if n%20 == 0 {
				b.server.Reauthorize(func(m realtime.Member) bool { return m.Topic == "session:1" })
			}
		}
	})
	last := uint64(0)
	for n := range total {
		if got := c.broadcast(); got.Payload.N != n || got.Meta.Prev != last {
			t.Fatalf("got %+v, want %d after %d", got, n, last)
		} else {
			last = got.Meta.Seq
		}
	}
	busy.Wait()
}

func TestGrantThatShrinksIsAppliedToLiveChannels(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V2)
	ref := c.joined("session:1", "ann/l1")
	again := func(g realtime.Grant) {
		b.people.allow("ann", "session:1", g)
		b.server.Reauthorize(func(realtime.Member) bool { return true })
	}
	again(realtime.Grant{PresenceReceive: true})
	b.publish("session:1", 1)
	c.silent()
	for { // until the new grant was read, the answer is to try again
		c.send(ref, "realtime:session:1", "broadcast", `{"event":"e"}`)
		m := c.expect("phx_reply")
		reason := reply(t, m).Response.Reason
		if strings.HasPrefix(reason, string(realtime.CodeUnauthorized)) {
			break
		}
		if !strings.HasPrefix(reason, string(realtime.CodeUnableToConnect)) {
			t.Fatalf("got %s, want %s", m, realtime.CodeUnauthorized)
		}
	}
	again(realtime.Grant{BroadcastReceive: true})
	if got := c.broadcast(); got.Payload.N != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestPermissionsThatCannotBeReadSendChannelsBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V2)
	ref := c.joined("session:1", "ann/l1")
	b.people.fail(errors.New("database is away"))
	b.server.Reauthorize(func(realtime.Member) bool { return true })
	b.publish("session:1", 1)
	c.systemEnds(realtime.CodeUnableToConnect, "phx_error", ref)
	b.people.fail(nil)
	c.join("session:1", joinOptions{token: "ann/l1"})
	c.ok()
	c.broadcast()
	if s := c.recovery(); !s.Recovered {
		t.Errorf("recovery %+v", s)
	}
}

func TestEndLoginEndsItsChannelsAndSockets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	gone, kept := b.connect(phoenix.V2), b.connect(phoenix.V2)
	ref := gone.joined("session:1", "ann/l1")
	kept.joined("session:1", "ann/l2")
	b.server.EndLogin("l1")
	gone.systemEnds(realtime.CodeLoginEnded, "phx_close", ref)
	if code := gone.closedWith(); code != 4001 {
		t.Errorf("closed with %d", code)
	}
	kept.silent()
}

func TestTokenPushes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, user := range []string{"ann", "ben"} {
		b.people.allow(user, "session:1", everything)
	}
	b.people.expires["ann/l1"] = time.Now().Add(time.Hour)
	push := func(c *client, ref, token string) {
		c.send(ref, "realtime:session:1", "access_token", `{"access_token":"`+token+`"}`)
	}
	t.Run("the same and none are ignored", func(t *testing.T) {
		c := b.connect(phoenix.V2)
		ref := c.joined("session:1", "ann/l1")
		before := b.people.questions()
		push(c, ref, "ann/l1")
		push(c, ref, "sb_publishable_x")
		c.send(ref, "realtime:session:1", "access_token", `{"access_token":null}`)
		c.silent()
		if n := b.people.questions(); n != before {
			t.Errorf("asked %d times more", n-before)
		}
	})
	for name, c := range map[string]struct {
		token, event string
		code         realtime.Code
	}{
		"another person ends the channel for good": {"ben/l2", "phx_close", realtime.CodeIdentityChanged},
		"another login must join again":            {"ann/l2", "phx_error", realtime.CodeIdentityChanged},
		"a token that is none":                     {"mud", "phx_error", realtime.CodeMalformedJWT},
	} {
		t.Run(name, func(t *testing.T) {
			client := b.connect(phoenix.V2)
			ref := client.joined("session:1", "ann/l1")
			push(client, ref, c.token)
			client.systemEnds(c.code, c.event, ref)
			b.publish("session:1", 1)
			client.silent()
		})
	}
}

func TestDrainFlushesAndClosesWithServiceRestart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V2)
	ref := c.joined("session:1", "ann/l1")
	const total = 500
	for n := range total {
		b.publish("session:1", n)
	}
	b.stop()
	for n := range total {
		m := c.next()
		if m.Event == "system" { // what had not left the queue is read again after the next join
			if n == 0 {
				t.Log("nothing had been written")
			}
			if m := c.expect("phx_error"); m.JoinRef != ref {
				t.Errorf("got %s", m)
			}
			break
		}
	}
	if code := c.closedWith(); code != websocket.CloseServiceRestart {
		t.Errorf("closed with %d", code)
	}
	<-b.ended
	status, body := statusOf(t, b, "/websocket?apikey=sb_publishable_test", nil)
	if status != 503 || body["code"] != string(realtime.CodeRealtimeRestarting) {
		t.Errorf("got %d %v", status, body)
	}
}
