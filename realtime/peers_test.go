package realtime_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"vigil/realtime"
	"vigil/realtime/internal/memory"
	"vigil/realtime/phoenix"
)

// node is one of several servers, on a network in memory.
type node struct {
	*bundle
	peers *memory.Peers
}

// startNode adds a server to a network. The caller runs in a synctest bubble.
func startNode(t *testing.T, network *memory.Network, name string, change ...func(*realtime.Config)) node {
	t.Helper()
	p := network.Join(name)
	t.Cleanup(p.Close)
	b := setupVirtual(t, append(change, unlimited, func(c *realtime.Config) { c.Peers = p })...)
	for _, user := range []string{"ann", "ben", "cem"} {
		b.people.allow(user, "session:1", everything)
		b.people.allow(user, "session:2", everything)
	}
	return node{b, p}
}

// twoNodes are servers that know of each other.
func twoNodes(t *testing.T, change ...func(*realtime.Config)) (n *memory.Network, a, b node) {
	t.Helper()
	n = memory.NewNetwork(1)
	a, b = startNode(t, n, "a", change...), startNode(t, n, "b", change...)
	<-time.After(3 * time.Second)
	return n, a, b
}

// here joins session:1 with presence and tracks {"at": at}; it gives the join_ref and who was there.
func (c *client) here(token, key, at string) (string, metas) {
	c.t.Helper()
	ref := c.join("session:1", joinOptions{token: token, config: fmt.Sprintf(`,"presence":{"enabled":true,"key":%q}`, key)})
	var was metas
	for range 3 { // the reply first; what other nodes know may come after the recovery message
		switch m := c.next(); m.Event {
		case "presence_state":
			was = decode[metas](c.t, m.Payload)
		case "phx_reply", "system":
		default:
			c.t.Fatalf("got %s", m)
		}
	}
	if at != "" {
		c.track(ref, "track", `{"at":"`+at+`"}`)
		c.diff()
		c.ok()
	}
	return ref, was
}

func TestBroadcastsReachOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		ann, two, one, deaf, elsewhere := a.connect(phoenix.V2), b.connect(phoenix.V2), b.connect(phoenix.V1), b.connect(phoenix.V2), b.connect(phoenix.V2)
		ref := ann.joined("session:1", "ann/l1")
		two.joined("session:1", "ben/l2")
		one.joined("session:1", "ben/l2")
		elsewhere.joined("session:2", "ben/l2")
		b.people.allow("eve", "session:1", realtime.Grant{PresenceReceive: true})
		deaf.join("session:1", joinOptions{token: "eve/l3"})
		deaf.ok()
		synctest.Wait()
		ann.push(ref, "session:1", "typing", `{"n":1}`, "")
		for _, c := range []*client{two, one} {
			if m := c.expect("broadcast"); m.Topic != "realtime:session:1" || string(m.Payload) != `{"type":"broadcast","event":"typing","payload":{"n":1}}` {
				t.Errorf("got %s", m)
			}
		}
		ann.binary(phoenix.Broadcast{JoinRef: ref, Topic: "realtime:session:1", Event: "ink", Payload: []byte{0, 255}})
		m := two.next()
		if m.binary == nil || m.binary.Event != "ink" || m.binary.Topic != "realtime:session:1" || string(m.binary.Payload) != "\x00\xff" {
			t.Errorf("got %s", m)
		}
		synctest.Wait()
		for _, c := range []*client{ann, one, two, deaf, elsewhere} { // neither its sender, nor vsn 1, nor who may not, nor another topic
			c.silent()
		}
		if s := a.server.Stats().Peers; s.Nodes != 1 || s.Sent == 0 || s.Heard == 0 || s.Dropped > 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestPresenceIsOneOnAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		desk, phone, ben := a.connect(phoenix.V2), b.connect(phoenix.V2), b.connect(phoenix.V1)
		deskRef, was := desk.here("ann/l1", "ann", "desk")
		if len(was) != 0 {
			t.Errorf("state %v", was)
		}
		_, was = phone.here("ann/l2", "ann", "phone") // the first of its node, and not told that nobody is there
		first := ref(t, was, "ann")
		if d := desk.diff(); ref(t, d.Joins, "ann") == first || len(d.Leaves) != 0 {
			t.Errorf("diff %+v", d)
		}
		_, was = ben.here("ben/l3", "ben", "")
		if len(was["ann"].Metas) != 2 {
			t.Errorf("two tabs on two nodes are %v", was)
		}
		desk.track(deskRef, "track", `{"at":"door"}`)
		for _, c := range []*client{desk, phone, ben} { // leaves and joins in one diff
			d := c.diff()
			if ref(t, d.Leaves, "ann") != first || ref(t, d.Joins, "ann") == first || d.Joins["ann"].Metas[0]["at"] != "door" {
				t.Errorf("diff %+v", d)
			}
		}
		desk.ok()
		desk.send(deskRef, "realtime:session:1", "phx_leave", "{}")
		for _, c := range []*client{phone, ben} {
			if d := c.diff(); d.Leaves["ann"].Metas[0]["at"] != "door" || len(d.Joins) != 0 {
				t.Errorf("diff %+v", d)
			}
			c.silent()
		}
	})
}

func TestANodeThatEndsLeavesInOneDiff(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(node)
		within time.Duration
	}{
		"drained": {func(n node) { n.stop() }, time.Millisecond},
		"killed":  {func(n node) { n.peers.Kill(); n.stop() }, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := twoNodes(t)
				watcher := a.connect(phoenix.V2)
				watcher.here("cem/l1", "cem", "")
				for n, user := range []string{"ann", "ben", "ann"} {
					b.connect(phoenix.V2).here(user+"/l2", user, fmt.Sprint(n))
					watcher.diff()
				}
				began := time.Now()
				c.end(b)
				d := watcher.diff()
				if took := time.Since(began); took > c.within {
					t.Errorf("it took %v", took)
				}
				if len(d.Leaves["ann"].Metas) != 2 || len(d.Leaves["ben"].Metas) != 1 || len(d.Joins) != 0 {
					t.Errorf("diff %+v", d)
				}
				<-b.ended
				<-time.After(10 * time.Second)
				watcher.silent()
				if s := a.server.Stats().Peers; s.Nodes != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

func TestAPartitionHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, a, b := twoNodes(t)
		ann, ben := a.connect(phoenix.V2), b.connect(phoenix.V2)
		ann.here("ann/l1", "ann", "desk")
		ben.here("ben/l2", "ben", "")
		network.Part("a", "b", true)
		if d := ben.diff(); d.Leaves["ann"].Metas == nil {
			t.Errorf("diff %+v", d)
		}
		network.Part("a", "b", false)
		began := time.Now()
		if d := ben.diff(); d.Joins["ann"].Metas == nil || len(d.Leaves) != 0 {
			t.Errorf("diff %+v", d)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		synctest.Wait()
		ben.silent()
		ann.silent()
	})
}

func TestANodeThatMayHaveMissedSomethingAsksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, a, b := twoNodes(t)
		watcher := a.connect(phoenix.V2)
		watcher.here("cem/l1", "cem", "")
		ann := b.connect(phoenix.V2)
		ref, _ := ann.here("ann/l2", "ann", "desk")
		watcher.diff()
		network.Lose(1)
		ann.track(ref, "track", `{"at":"door"}`)
		ann.diff()
		ann.ok()
		network.Lose(0)
		began := time.Now()
		a.peers.Miss()
		if d := watcher.diff(); d.Joins["ann"].Metas[0]["at"] != "door" || d.Leaves["ann"].Metas[0]["at"] != "desk" {
			t.Errorf("diff %+v", d)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestWhoIsPresentIsToldThoughAnotherNodeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		b.peers.Kill()
		began := time.Now()
		if _, was := a.connect(phoenix.V2).here("ann/l1", "ann", "desk"); len(was) != 0 {
			t.Errorf("state %v", was)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestPresenceOfOtherNodesKeepsTheLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, a, b := twoNodes(t, func(c *realtime.Config) { c.Limits.PresenceMetas = 2 })
		watcher := a.connect(phoenix.V2)
		watcher.here("cem/l1", "cem", "")
		network.Part("a", "b", true)
		mine := a.connect(phoenix.V2)
		mineRef, _ := mine.here("ann/l1", "mine", "here")
		watcher.diff()
		for n := range 2 {
			b.connect(phoenix.V2).here("ben/l2", fmt.Sprint("theirs", n), "there")
		}
		network.Part("a", "b", false)
		d := watcher.diff()
		if len(d.Joins) != 1 || len(d.Leaves) != 0 {
			t.Errorf("diff %+v", d)
		}
		mine.diff()
		if s := a.server.Stats().Peers; s.LeftOut != 1 {
			t.Errorf("stats %+v", s)
		}
		_, was := a.connect(phoenix.V2).here("ann/l1", "late", "")
		if len(was) != 2 {
			t.Errorf("state %v", was)
		}
		refused := b.connect(phoenix.V2)
		ref, _ := refused.here("ann/l1", "one too many", "")
		refused.track(ref, "track", "{}")
		refused.refused(realtime.CodePresenceLimitReached)
		mine.track(mineRef, "untrack", "null")
		if d := watcher.diff(); len(d.Leaves["mine"].Metas) != 1 || len(d.Joins) != 1 { // there is room for it now
			t.Errorf("diff %+v", d)
		}
	})
}

// TestANewServerOfTheSameNodeIsAnother: the flow may begin anew within a process, and others remember what the last one said.
func TestANewServerOfTheSameNodeIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		watcher := a.connect(phoenix.V2)
		watcher.here("cem/l1", "cem", "")
		b.connect(phoenix.V2).here("ann/l2", "ann", "before")
		watcher.diff()
		b.stop()
		watcher.diff()
		<-b.ended
		again := setupVirtual(t, unlimited, func(c *realtime.Config) { c.Peers = b.peers })
		again.people.allow("ann", "session:1", everything)
		again.connect(phoenix.V2).here("ann/l2", "ann", "after")
		if d := watcher.diff(); len(d.Leaves) != 0 || d.Joins["ann"].Metas[0]["at"] != "after" {
			t.Errorf("diff %+v", d)
		}
	})
}
