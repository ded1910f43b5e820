package realtime_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

// unlimited lets one person push as fast as they can.
func unlimited(c *realtime.Config) {
	c.Limits.BroadcastBurst, c.Limits.PresenceBurst = 1<<20, 1<<20
	c.Limits.UserBroadcastBurst, c.Limits.UserPresenceBurst = 1<<20, 1<<20
}

// answered reads until the reply to ref, which must be ok. What comes before it must not be an error.
func (c *client) answered(ref string) {
	c.t.Helper()
	for {
		switch m := c.next(); {
		case m.Event == "phx_reply" && m.Ref == ref:
			if reply(c.t, m).Status != "ok" {
				c.t.Fatalf("got %s, want ok", m)
			}
			return
		case m.Event == "system" && decode[system](c.t, m.Payload).Status == "error" || m.Event == "phx_error":
			c.t.Fatalf("got %s", m)
		}
	}
}

// drained is what a client that follows session:1 and care:1 got.
type drained struct {
	durable map[string][]int // by topic
	passing int
	present metas // as its last presence_state and the diffs after it say
	beat    int   // durable entries that came before the heartbeat's reply, -1 without one
}

// drain reads until total durable entries of each topic and a presence that done accepts have come.
func (c *client) drain(total int, beat string, done func(metas) bool) drained {
	c.t.Helper()
	d := drained{durable: map[string][]int{}, present: metas{}, beat: -1}
	for len(d.durable["realtime:session:1"]) < total || len(d.durable["realtime:care:1"]) < total || !done(d.present) {
		switch m := c.next(); m.Event {
		case "broadcast":
			got := decode[struct {
				Payload struct{ N int }
				Meta    *struct{ Seq uint64 }
			}](c.t, m.Payload)
			if got.Meta == nil {
				d.passing++
			} else {
				d.durable[m.Topic] = append(d.durable[m.Topic], got.Payload.N)
			}
		case "presence_state":
			d.present = decode[metas](c.t, m.Payload)
		case "presence_diff":
			change := decode[diff](c.t, m.Payload)
			for key := range change.Leaves { // no diff was left out before it
				if ref(c.t, change.Leaves, key) != ref(c.t, d.present, key) {
					c.t.Fatalf("got %s after %v", m, d.present)
				}
				delete(d.present, key)
			}
			maps.Copy(d.present, change.Joins)
		case "phx_reply":
			if m.Ref != beat {
				c.t.Fatalf("got %s", m)
			}
			d.beat = len(d.durable["realtime:session:1"])
		default:
			c.t.Fatalf("got %s", m)
		}
	}
	return d
}

func TestFloodOfBroadcastsAndPresenceLosesNothingDurable(t *testing.T) {
	for name, c := range map[string]struct {
		limits   realtime.Limits
		payload  int // bytes of a broadcast
		perEntry int // broadcasts for each durable entry
		most     int // broadcasts that come in the end: a quarter of the queue, and what was being written
	}{
		"frames that fill the queue's bytes": {realtime.Limits{}, 200 << 10, 1, 7},
		"frames that fill the queue's count": {realtime.Limits{QueueFrames: 450}, 10, 10, 120},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				passing := flood(t, c.limits, c.payload, c.perEntry)
				if passing == 0 || passing > c.most {
					t.Errorf("%d broadcasts came", passing)
				}
			})
		})
	}
}

// flood has one client push without pause while another reads nothing, then has that one read everything. It gives how many
// of the broadcasts came.
func flood(t *testing.T, limits realtime.Limits, payload, perEntry int) (passing int) {
	t.Helper()
	const total = 200 // durable entries of each topic
	b := setupVirtual(t, func(c *realtime.Config) { c.Limits = limits }, unlimited)
	for _, user := range []string{"ann", "eve"} {
		b.people.allow(user, "session:1", everything)
		b.people.allow(user, "care:1", everything)
	}
	victim, eve := b.connect(phoenix.V2), b.connect(phoenix.V2)
	victim.present("ann/l1", "a")
	victim.joined("care:1", "ann/l1")
	ref := eve.join("session:1", joinOptions{token: "eve/l2", config: `,"broadcast":{"ack":true},"presence":{"enabled":true,"key":"e"}`})
	eve.answered(ref)
	filler := strings.Repeat("x", payload)
	for n := range total {
		for range perEntry {
			eve.push(ref, "session:1", "typing", `{"x":"`+filler+`"}`, "")
			eve.answered("77")
		}
		eve.track(ref, "track", fmt.Sprintf(`{"n":%d,"x":%q}`, n, strings.Repeat("y", n/4%2*(3<<10)))) // small diffs may fit where large ones did not
		eve.answered(strconv.Itoa(eve.ref))
		b.publish("session:1", n)
		b.publish("care:1", n)
	}
	beat := victim.send("", "phoenix", "heartbeat", "{}")
	synctest.Wait()
	last := func(m metas) bool {
		return len(m["e"].Metas) == 1 && m["e"].Metas[0]["n"] == float64(total-1)
	}
	got := victim.drain(total, beat, last)
	want := make([]int, total)
	for n := range want {
		want[n] = n
	}
	for topic, all := range got.durable {
		if !slices.Equal(all, want) {
			t.Errorf("%s: got %v", topic, all)
		}
	}
	if got.beat < 0 || got.beat >= total/2 {
		t.Errorf("the heartbeat was answered after %d of %d entries", got.beat, total)
	}
	if s := b.server.Stats(); s.Skipped < int64(total*perEntry-got.passing) || s.Channels != 3 {
		t.Errorf("%d broadcasts came of %d, stats %+v", got.passing, total*perEntry, s)
	}
	eve.push(ref, "session:1", "typing", `{}`, "") // with room again, everything goes on
	eve.track(ref, "untrack", `{}`)
	if m := victim.expect("broadcast"); !strings.Contains(string(m.Payload), `"typing"`) {
		t.Errorf("got %s", m)
	}
	if d := victim.diff(); len(d.Leaves) != 1 {
		t.Errorf("diff %+v", d)
	}
	victim.silent()
	return got.passing
}

func TestPushesAboveTheRateAreRefused(t *testing.T) {
	for _, v := range []phoenix.Version{phoenix.V1, phoenix.V2} {
		t.Run("vsn "+v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { pushAboveTheRate(t, v) })
		})
	}
}

func pushAboveTheRate(t *testing.T, v phoenix.Version) {
	t.Helper()
	b := setupVirtual(t)
	b.people.allow("ann", "session:1", everything)
	c, other := b.connect(v), b.connect(phoenix.V2)
	ref := c.join("session:1", joinOptions{token: "ann/l1", config: `,"broadcast":{"ack":true}`})
	c.answered(ref)
	c.recovery()
	broadcast := func() {
		if v == phoenix.V1 {
			c.push(ref, "session:1", "typing", `{}`, "")
			return
		}
		c.binary(phoenix.Broadcast{JoinRef: ref, Ref: "77", Topic: "realtime:session:1", Event: "typing", Payload: []byte{0}})
	}
	presence := func() { c.track(ref, "untrack", `{}`) }
	for name, kind := range map[string]struct {
		push      func()
		burst     int
		perSecond int
	}{"broadcasts": {broadcast, 100, 50}, "presence": {presence, 20, 5}} {
		for _, allowed := range []int{kind.burst, kind.perSecond} {
			for n := range allowed {
				if kind.push(); reply(t, c.expect("phx_reply")).Status != "ok" {
					t.Fatalf("%s: %d of %d were refused", name, allowed-n, allowed)
				}
			}
			for range 3 {
				kind.push()
				m := c.expect("phx_reply")
				if r := reply(t, m); r.Status != "error" || !strings.HasPrefix(r.Response.Reason, string(realtime.CodeMessageRateLimit)) || m.Ref == "" {
					t.Fatalf("%s: got %s", name, m)
				}
			}
			c.silent() // neither joins nor heartbeats count
			<-time.After(time.Second)
		}
	}
	ref = other.joined("session:1", "ann/l1") // another socket has its own
	other.push(ref, "session:1", "typing", `{}`, "")
	c.expect("broadcast")
	b.publish("session:1", 1) // and what is durable has none
	c.broadcast()
}

func TestPresenceStateAlwaysFits(t *testing.T) {
	t.Parallel()
	const queueBytes, people, each = 64 << 10, 12, 2 << 10
	b := setup(t, func(c *realtime.Config) {
		c.Limits = realtime.Limits{QueueBytes: queueBytes, PresenceMetas: 1000, PresenceBytes: 16 << 10}
	})
	b.people.allow("ann", "session:1", everything)
	fit := 0
	for n := range people {
		c := b.connect(phoenix.V2)
		ref := c.joined("session:1", "ann/l1")
		c.track(ref, "track", `{"x":"`+strings.Repeat("<", each/6)+`"}`) // each becomes six bytes
		var m message
		for m = c.next(); m.Event != "phx_reply"; m = c.next() {
			if m.Event == "system" || m.Event == "phx_error" {
				t.Fatalf("got %s", m)
			}
		}
		switch r := reply(t, m); {
		case r.Status == "ok" && fit == n:
			fit++
		case r.Status == "ok" || !strings.HasPrefix(r.Response.Reason, string(realtime.CodePresenceLimitReached)):
			t.Fatalf("presence %d: %s", n, m)
		}
	}
	if want := queueBytes / 4 / each; fit < want-1 || fit > want {
		t.Errorf("%d presences were taken, want about %d", fit, want)
	}
	late := b.connect(phoenix.V2)
	_, was := late.present("ann/l1", "late")
	listed := 0
	for _, m := range was {
		listed += len(m.Metas)
	}
	if listed != fit {
		t.Errorf("%d presences are told of %d", listed, fit)
	}
	b.publish("session:1", 1)
	late.broadcast()
	late.silent()
}

func TestPresenceIsToldAfterwardsOnEveryChannelOfASocketWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topics = 8
		b := setupVirtual(t, func(c *realtime.Config) { c.Limits.QueueBytes = 8 << 10 }, unlimited)
		eve, victim := b.connect(phoenix.V2), b.connect(phoenix.V1)
		refs := map[string]string{}
		for n := range topics {
			topic := "lobby:" + strconv.Itoa(n)
			b.people.allow("ann", topic, everything)
			refs[topic] = eve.joined(topic, "ann/l1")
			victim.answered(victim.join(topic, joinOptions{token: "ann/l1", config: `,"presence":{"enabled":true}`}))
			victim.state()
		}
		for range 20 { // each state takes most of the room there is for states, and diffs find none
			for topic, ref := range refs {
				eve.answered(eve.send(ref, "realtime:"+topic, "presence", fmt.Sprintf(
					`{"type":"presence","event":"track","payload":{"n":%d,"x":%q}}`, eve.ref, strings.Repeat("z", 1500))))
			}
		}
		synctest.Wait()
		told := map[string]bool{}
		for len(told) < topics {
			switch m := victim.next(); m.Event {
			case "presence_state":
				if s := decode[metas](t, m.Payload); len(s) != 1 {
					t.Fatalf("got %s", m)
				}
				told[m.Topic] = true
			case "presence_diff":
			default:
				t.Fatalf("got %s", m)
			}
		}
		victim.silent()
	})
}

func TestChannelsThatLostTheirPermissionAreNotToldAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t, func(c *realtime.Config) { c.Limits.QueueBytes = 4 << 10 }, unlimited)
		b.people.allow("eve", "session:1", everything)
		b.people.allow("ann", "session:1", everything)
		victim, eve := b.connect(phoenix.V2), b.connect(phoenix.V2)
		victim.present("ann/l1", "a")
		ref := eve.joined("session:1", "eve/l2")
		for n := range 10 {
			eve.track(ref, "track", fmt.Sprintf(`{"n":%d,"x":%q}`, n, strings.Repeat("z", 500)))
			eve.answered(strconv.Itoa(eve.ref))
		}
		if b.server.Stats().Skipped == 0 {
			t.Fatal("nothing was dropped")
		}
		b.people.allow("ann", "session:1", realtime.Grant{BroadcastReceive: true})
		b.server.Reauthorize(func(m realtime.Member) bool { return m.UserID == "ann" })
		synctest.Wait()
		b.publish("session:1", 1)
		for m := victim.next(); m.Event != "broadcast"; m = victim.next() {
			if m.Event != "presence_diff" { // what was written before
				t.Fatalf("got %s", m)
			}
		}
		victim.silent()
		b.people.fail(errors.New("away")) // and the channel ends as any other
		b.server.Reauthorize(func(m realtime.Member) bool { return m.UserID == "ann" })
		victim.systemEnds(realtime.CodeUnableToConnect, "phx_error", "1")
	})
}
