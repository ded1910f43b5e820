package realtime_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

func TestSocketsOfOneAddressAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) {
			c.Limits.SocketsPerAddress = 2
			c.Address = func(r *http.Request) string { return r.Header.Get("X-Test-Address") }
		})
		dial := func(address string) (*websocket.Conn, int) {
			conn, response, err := b.dialer.Dial(b.url+"?apikey=sb_publishable_test", http.Header{"X-Test-Address": {address}})
			if response == nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if conn != nil {
				t.Cleanup(func() { _ = conn.Close() })
			}
			return conn, response.StatusCode
		}
		first, _ := dial("here")
		_, _ = dial("here")
		if _, status := dial("here"); status != http.StatusTooManyRequests {
			t.Errorf("a third: got %d", status)
		}
		if _, status := dial("there"); status != http.StatusSwitchingProtocols {
			t.Errorf("another address: got %d", status)
		}
		_ = first.Close()
		synctest.Wait()
		if _, status := dial("here"); status != http.StatusSwitchingProtocols {
			t.Errorf("when one has gone: got %d", status)
		}
	})
}

func TestSocketsOfOnePersonAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) { c.Limits.SocketsPerUser = 1 })
		for _, topic := range []string{"session:1", "care:1"} {
			b.people.allow("ann", topic, everything)
			b.people.allow("ben", topic, everything)
		}
		first := b.connect(phoenix.V2)
		first.join("session:1", joinOptions{token: "ann/l1"})
		first.join("care:1", joinOptions{token: "ann/l1/again"}) // of one socket, however many channels and tokens
		for range 4 {
			if m := first.next(); m.Event == "phx_reply" && reply(t, m).Status != "ok" {
				t.Errorf("got %s", m)
			}
		}
		second := b.connect(phoenix.V2)
		second.join("session:1", joinOptions{token: "ann/l2"})
		second.refused(realtime.CodeConnectionRateLimit)
		bare := second.join("session:1", joinOptions{})
		second.ok()
		second.send(bare, "realtime:session:1", "access_token", `{"access_token":"ann/l2"}`)
		second.systemEnds(realtime.CodeConnectionRateLimit, "phx_error", bare)
		second.joined("session:1", "ben/l3")
		_ = first.conn.Close()
		synctest.Wait()
		third := b.connect(phoenix.V2)
		third.joined("session:1", "ann/l1")
	})
}

// TestSocketIsOfThePersonItShowedLast, and counts as no other's any more.
func TestSocketIsOfThePersonItShowedLast(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.Limits.SocketsPerUser = 1 })
	for _, user := range []string{"ann", "ben"} {
		b.people.allow(user, "session:1", everything)
		b.people.allow(user, "care:1", everything)
	}
	both := b.connect(phoenix.V2)
	both.joined("session:1", "ann/l1")
	both.joined("care:1", "ben/l2")
	b.connect(phoenix.V2).joined("session:1", "ann/l1")
	third := b.connect(phoenix.V2)
	third.join("session:1", joinOptions{token: "ben/l2"})
	third.refused(realtime.CodeConnectionRateLimit)
}

// TestHandshakesAboveTheRateWaitTheirTurn: a storm is spread over time; what would wait too long is told to come again.
func TestHandshakesAboveTheRateWaitTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) {
			c.Limits.HandshakesPerSecond, c.Timing.HandshakeWait = 10, time.Second
		})
		const clients = 25
		began := time.Now()
		var mu sync.Mutex
		var after []time.Duration
		refused := 0
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				status, body := statusOf(t, b, "/websocket?apikey=sb_publishable_test", nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case status == http.StatusSwitchingProtocols:
					after = append(after, time.Since(began))
				case status == http.StatusTooManyRequests && body["code"] == string(realtime.CodeHandshakeRateLimit) && time.Since(began) == 0:
					refused++
				default:
					t.Errorf("got %d %v after %v", status, body, time.Since(began))
				}
			})
		}
		all.Wait()
		slices.Sort(after)
		var want []time.Duration
		for i := range 20 {
			want = append(want, max(0, time.Duration(i-9)*100*time.Millisecond))
		}
		if !slices.EqualFunc(after, want, about) || refused != clients-20 {
			t.Errorf("%d refused; the others came in after %v", refused, after)
		}
	})
}

// about allows for the rounding of a rate.
func about(a, b time.Duration) bool { return (a - b).Abs() < time.Microsecond }

func TestDrainEndsHandshakesThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) { c.Limits.HandshakesPerSecond = 1 })
		b.connect(phoenix.V2)
		began := time.Now()
		told := make(chan int, 1)
		go func() {
			status, _ := statusOf(t, b, "/websocket?apikey=sb_publishable_test", nil)
			told <- status
		}()
		synctest.Wait()
		b.stop()
		if status := <-told; status != http.StatusServiceUnavailable || time.Since(began) != 0 {
			t.Errorf("got %d after %v", status, time.Since(began))
		}
	})
}

func TestJoinsAboveTheServersRateWaitTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) {
			c.AllowPublic = true
			c.Limits.ServerJoinsPerSecond, c.Timing.JoinWait = 10, time.Second
		})
		c := b.connect(phoenix.V2)
		const joins = 25
		began := time.Now()
		for i := range joins {
			c.join("lobby:"+strconv.Itoa(i), joinOptions{public: true})
		}
		var after []time.Duration
		refused := 0
		for range joins {
			m := c.expect("phx_reply")
			if r := reply(t, m); r.Status == "ok" {
				after = append(after, time.Since(began))
			} else if refused++; !strings.HasPrefix(r.Response.Reason, string(realtime.CodeClientJoinRateLimit)) {
				t.Errorf("got %s", m)
			}
		}
		var want []time.Duration
		for i := range 20 {
			want = append(want, max(0, time.Duration(i-9)*100*time.Millisecond))
		}
		if !slices.EqualFunc(after, want, about) || refused != joins-20 {
			t.Errorf("%d refused; the others were answered after %v", refused, after)
		}
	})
}

// TestOneAddressDoesNotHoldUpTheJoinsOfAll: its joins wait for its own turns, and take the server's one by one.
func TestOneAddressDoesNotHoldUpTheJoinsOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		address := "203.0.113.1"
		b := setupVirtual(t, func(c *realtime.Config) {
			c.AllowPublic = true
			c.Limits.ServerJoinsPerSecond, c.Limits.AddressJoinsPerSecond, c.Timing.JoinWait = 20, 10, 4*time.Second
			c.Address = func(*http.Request) string { return address }
		})
		many := b.connect(phoenix.V2)
		address = "203.0.113.2"
		other := b.connect(phoenix.V2)
		const joins = 50
		began := time.Now()
		for i := range joins {
			many.join("lobby:"+strconv.Itoa(i), joinOptions{public: true})
		}
		synctest.Wait() // all of them have their turns
		other.join("lobby", joinOptions{public: true})
		if r := reply(t, other.expect("phx_reply")); r.Status != "ok" || time.Since(began) != 0 {
			t.Errorf("somebody else's join: %s after %v", r.Status, time.Since(began))
		}
		for range joins {
			if r := reply(t, many.expect("phx_reply")); r.Status != "ok" {
				t.Errorf("got %s", r.Response.Reason)
			}
		}
		if d := time.Since(began); !about(d, 4*time.Second) {
			t.Errorf("the last was answered after %v", d)
		}
	})
}

// TestJoinThatWaitedIsAnsweredInTime: realtime-js gives up after 10 s, whatever those were spent on.
func TestJoinThatWaitedIsAnsweredInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) {
			c.Limits.ServerJoinsPerSecond = 1
			authenticate := c.Authenticate
			c.Authenticate = func(ctx context.Context, token string) (realtime.Identity, error) {
				select {
				case <-ctx.Done():
					return realtime.Identity{}, ctx.Err()
				case <-time.After(2900 * time.Millisecond):
					return authenticate(ctx, token)
				}
			}
			c.Authorize = func(ctx context.Context, _ realtime.Identity, _ string) (realtime.Grant, error) {
				<-ctx.Done()
				return realtime.Grant{}, ctx.Err()
			}
		})
		c := b.connect(phoenix.V2)
		began := time.Now()
		for i := range 7 { // the last would wait 6 s
			c.join("session:"+strconv.Itoa(i), joinOptions{token: "ann/l" + strconv.Itoa(i)})
		}
		rates := 0
		for range 7 {
			m := c.expect("phx_reply")
			if strings.HasPrefix(reply(t, m).Response.Reason, string(realtime.CodeClientJoinRateLimit)) {
				rates++
			}
			if d := time.Since(began); d > 9*time.Second {
				t.Errorf("after %v", d)
			}
		}
		if d := time.Since(began); rates != 1 || d != 9*time.Second {
			t.Errorf("%d refused for the rate; the last answered after %v", rates, d)
		}
	})
}

// TestSocketWithoutAChannelIsClosed, soon if it never asked for one, in time from its last channel if it did, and no other is.
func TestSocketWithoutAChannelIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) { c.AllowPublic = true })
		began := time.Now()
		ends := make([]time.Duration, 3)
		var all sync.WaitGroup
		for i := range ends {
			c := b.connect(phoenix.V2)
			if err := c.conn.SetReadDeadline(began.Add(30 * time.Minute)); err != nil {
				t.Fatal(err)
			}
			if i == 0 { // as a client that holds its channels for joined
				time.AfterFunc(5*time.Second, func() { c.write([]byte(`[null,"1","phoenix","heartbeat",{}]`)) })
			} else {
				c.write([]byte(`["1","1","realtime:lobby","phx_join",{}]`))
			}
			if i == 1 {
				time.AfterFunc(4*time.Minute, func() { c.write([]byte(`["1","2","realtime:lobby","phx_leave",{}]`)) })
			}
			all.Go(func() {
				for {
					_, _, err := c.conn.ReadMessage()
					if err == nil {
						continue
					}
					ends[i] = time.Since(began)
					if i < 2 && !websocket.IsCloseError(err, 4002) {
						t.Errorf("socket %d ended: %v", i, err)
					}
					return
				}
			})
		}
		all.Wait()
		for i, want := range []time.Duration{10 * time.Second, 14 * time.Minute, 30 * time.Minute} {
			if late := ends[i] - want; late < 0 || late >= 25*time.Second { // it is looked at with each ping
				t.Errorf("socket %d ended after %v, want %v", i, ends[i], want)
			}
		}
	})
}
