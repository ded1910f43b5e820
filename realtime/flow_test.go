package realtime_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

func TestSlowConsumerIsToldAndComesBackWithoutLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) { c.Limits.QueueFrames = 20 })
		b.people.allow("ann", "session:1", everything)
		b.people.allow("ann", "care:1", everything)
		c, quick := b.connect(phoenix.V2), b.connect(phoenix.V1)
		c.joined("session:1", "ann/l1")
		c.joined("care:1", "ann/l1")
		quick.joined("session:1", "ann/l1")
		const total = 200
		for n := range total { // c reads nothing meanwhile
			b.publish("session:1", n)
			quick.broadcast()
		}
		synctest.Wait()
		n, ended := 0, 0
		for ended < 2 {
			switch m := c.next(); m.Event {
			case "broadcast":
				if got := decode[broadcast](t, m.Payload); got.Payload.N != n {
					t.Fatalf("got %+v, want %d", got, n)
				}
				n++
			case "system":
				if s := decode[system](t, m.Payload); s.Code != realtime.CodeSlowConsumer {
					t.Fatalf("got %s", m)
				}
			case "phx_error":
				ended++
			default:
				t.Fatalf("got %s", m)
			}
		}
		if n == total {
			t.Fatal("nothing was dropped")
		}
		c.join("session:1", joinOptions{token: "ann/l1"})
		c.ok()
		for ; n < total; n++ {
			if got := c.broadcast(); got.Payload.N != n || !got.Meta.Replayed {
				t.Fatalf("got %+v, want %d", got, n)
			}
		}
		if s := c.recovery(); !s.Recovered {
			t.Errorf("recovery %+v", s)
		}
	})
}

func TestPeerThatDoesNotReadIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t)
		b.people.allow("ann", "session:1", everything)
		c := b.connect(phoenix.V2)
		c.joined("session:1", "ann/l1")
		began := time.Now()
		b.publish("session:1", 1)
		for tick := time.Tick(time.Second); b.server.Stats().Sockets > 0; {
			<-tick
		}
		if d := time.Since(began); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("cut after %v", d)
		}
	})
}

func TestIdleSocketsEndAndPongsKeepThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) { c.Timing.FirstJoinWithin = time.Hour })
		mute := b.connect(phoenix.V2)
		mute.conn.SetPingHandler(func(string) error { return nil })
		began := time.Now()
		if err := mute.conn.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := mute.conn.ReadMessage(); err == nil {
			t.Fatal("got a frame")
		}
		if d := time.Since(began); d != 60*time.Second {
			t.Errorf("ended after %v", d)
		}
		alive := b.connect(phoenix.V2)
		pings := 0
		alive.conn.SetPingHandler(func(data string) error {
			pings++
			return alive.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		})
		if err := alive.conn.SetReadDeadline(time.Now().Add(610 * time.Second)); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		_, _, _ = alive.conn.ReadMessage()
		if d := time.Since(began); d != 610*time.Second || pings != 24 {
			t.Errorf("ended after %v and %d pings", d, pings)
		}
	})
}

func TestPingsOfTheClientAreAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connect(phoenix.V2)
	got := make(chan string, 1)
	c.conn.SetPongHandler(func(data string) error { got <- data; return nil })
	if err := c.conn.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c.silent()
	if data := <-got; data != "are you there" {
		t.Errorf("got %q", data)
	}
}

func TestOnFrameIsCalledOnceForEachEntry(t *testing.T) {
	t.Parallel()
	written := make(chan string, 100)
	b := setup(t, func(c *realtime.Config) { c.OnFrame = func(e realtime.Entry) { written <- e.ID } })
	b.people.allow("ann", "session:1", everything)
	clients := []*client{b.connect(phoenix.V2), b.connect(phoenix.V1), b.connect(phoenix.V2)}
	for _, c := range clients {
		c.joined("session:1", "ann/l1")
	}
	first, second := b.publish("session:1", 1), b.publish("session:1", 2)
	for _, c := range clients {
		c.broadcast()
		c.broadcast()
	}
	if a, z := <-written, <-written; a != first.ID || z != second.ID {
		t.Errorf("got %s, %s", a, z)
	}
	b.stop()
	<-b.ended
	if len(written) != 0 {
		t.Errorf("called again for %s", <-written)
	}
}

func TestErrorsPageListsEveryCode(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("ERRORS.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("code.go")
	if err != nil {
		t.Fatal(err)
	}
	find := func(text []byte, pattern string) []string {
		var all []string
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			all = append(all, string(m[1]))
		}
		slices.Sort(all)
		return all
	}
	codes, rows := find(source, `(?m)^\tCode\w+ +Code = "([^"]+)"$`), find(page, "(?m)^\\| `([^`]+)` \\|")
	if len(codes) == 0 || !slices.Equal(codes, rows) {
		t.Errorf("code.go has %v\nERRORS.md has %v", codes, rows)
	}
}

func TestGoldenFramesAreWhatIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topic = "session:0190a1b2-0000-7000-8000-000000000001"
		b := setupVirtual(t, func(c *realtime.Config) { c.Limits.BroadcastBurst = 1 })
		b.people.allow("ann", topic, everything)
		c := b.connect(phoenix.V2)
		check := func(name string) {
			t.Helper()
			file, err := os.ReadFile("testdata/frames/" + name + "_v2.json")
			if err != nil {
				t.Fatal(err)
			}
			want := decode[struct{ Frame string }](t, file).Frame
			if _, data, err := c.conn.ReadMessage(); err != nil || string(data) != want {
				t.Errorf("got %s %v, want %s", data, err, want)
			}
		}
		ask := func(frame string) { c.write([]byte(strings.ReplaceAll(frame, "TOPIC", "realtime:"+topic))) }

		ask(`["6","6","TOPIC","phx_join",{"config":{"broadcast":{"self":true},"private":true},"access_token":"ann/l1"}]`)
		check("join_reply")
		c.recovery()
		ask(`[null,"26","phoenix","heartbeat",{}]`)
		check("heartbeat_reply")
		c.binary(phoenix.Broadcast{JoinRef: "6", Ref: "8", Topic: "realtime:" + topic, Event: "typing", Encoding: phoenix.JSON,
			Payload: json.RawMessage(`{"by":"ü ☂"}`)})
		check("client_broadcast")
		ask(`["6","9","TOPIC","broadcast",{"event":"typing","payload":{}}]`)
		check("push_rate_limited")
		ask(`["6","10","TOPIC","access_token",{"access_token":"ann/l2"}]`)
		check("system_identity_changed")
		c.expect("phx_error")
		ask(`["6","6","TOPIC","phx_join",{"config":{"private":true}}]`)
		check("join_reply")
		check("system_token_missing")
	})
}
