package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"vigil/realtime"
	"vigil/realtime/internal/memory"
	"vigil/realtime/phoenix"
)

// converged is within what every node must show the same, once nothing is lost any more.
const converged = 10 * time.Second

// TestPresenceConvergesWhateverIsLost has people come, change, go and lose their connections on several nodes, while frames
// between these are lost, late or parted, and nodes are killed, drained and started. Nobody may ever be shown to leave who was
// not there or to join who was; and each time the network is whole again everyone is shown exactly who is there.
func TestPresenceConvergesWhateverIsLost(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4, 5, 6} {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Logf("seed %d", seed)
			synctest.Test(t, func(t *testing.T) { churnPresence(t, seed) })
		})
	}
}

// world is what a test knows to be true.
type world struct {
	t       *testing.T
	random  *rand.Rand
	network *memory.Network
	nodes   []node
	people  []*person
	started int // nodes
	tracked int // payloads, each another
}

// person is one tab: at a topic of a node, or nowhere.
type person struct {
	key    string
	node   string // empty: not connected
	topic  string
	ref    string
	client *client
	at     int // what is tracked; 0: nothing
	view   *view
}

// view is what a tab is shown, as realtime-js would keep it.
type view struct {
	mu      sync.Mutex
	heard   bool // presence_state came
	present map[string]string
	wrong   []string
	ended   chan struct{}
}

func churnPresence(t *testing.T, seed uint64) {
	t.Helper()
	const rounds, steps, tabs = 5, 40, 10
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 7)), network: memory.NewNetwork(seed)}
	for range 3 {
		w.start()
	}
	for n := range tabs {
		w.people = append(w.people, &person{key: fmt.Sprint("person ", n/2)})
	}
	w.network.Delay(40 * time.Millisecond)
	for range rounds {
		w.network.Lose(w.random.Float64() / 2)
		for range steps {
			w.step()
			<-time.After(time.Duration(w.random.IntN(1500)) * time.Millisecond)
		}
		w.network.Lose(0)
		w.heal()
		<-time.After(converged)
		synctest.Wait()
		w.check()
		if t.Failed() {
			break
		}
	}
	for _, p := range w.people {
		w.cut(p)
	}
}

func (w *world) start() {
	w.started++
	n := startNode(w.t, w.network, fmt.Sprint("node ", w.started), func(c *realtime.Config) {
		c.Authorize = func(context.Context, realtime.Identity, string) (realtime.Grant, error) { return everything, nil }
	})
	w.nodes = append(w.nodes, n)
}

// end takes a node away, its tabs' connections with it.
func (w *world) end(killed bool) {
	i := w.random.IntN(len(w.nodes))
	n := w.nodes[i]
	w.nodes = slices.Delete(w.nodes, i, i+1)
	if killed {
		n.peers.Kill()
	}
	n.stop()
	<-n.ended
	for _, p := range w.people {
		if p.node == n.peers.Node() {
			w.cut(p)
		}
	}
	w.start()
}

// step does one thing.
func (w *world) step() {
	p := w.people[w.random.IntN(len(w.people))]
	switch what := w.random.IntN(100); {
	case p.node == "":
		w.connect(p)
	case p.topic == "":
		w.join(p)
	case what < 45:
		w.tracked++
		p.at = w.tracked
		p.client.send(p.ref, p.topic, "presence", fmt.Sprintf(`{"type":"presence","event":"track","payload":{"at":%d}}`, p.at))
	case what < 55:
		p.at = 0
		p.client.send(p.ref, p.topic, "presence", `{"type":"presence","event":"untrack"}`)
	case what < 65:
		p.client.send(p.ref, p.topic, "phx_leave", "{}")
		p.at, p.topic = 0, ""
		synctest.Wait()
		p.view.forget()
	case what < 75:
		w.cut(p)
	case what < 79:
		w.end(w.random.IntN(2) == 0)
	case what < 90:
		a, b := w.nodes[w.random.IntN(len(w.nodes))], w.nodes[w.random.IntN(len(w.nodes))]
		w.network.Part(a.peers.Node(), b.peers.Node(), w.random.IntN(3) > 0)
	case what < 93:
		w.nodes[w.random.IntN(len(w.nodes))].peers.Miss()
	default:
		w.heal()
	}
	synctest.Wait()
}

func (w *world) heal() {
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			w.network.Part(a.peers.Node(), b.peers.Node(), false)
		}
	}
}

func (w *world) connect(p *person) {
	n := w.nodes[w.random.IntN(len(w.nodes))]
	p.node, p.client = n.peers.Node(), n.connect(phoenix.V2)
	p.view = &view{ended: make(chan struct{})}
	p.view.forget()
	go p.view.follow(p.client.conn) // cut waits for it
	w.join(p)
}

func (w *world) join(p *person) {
	topic := fmt.Sprint("lounge:", w.random.IntN(2))
	p.topic = "realtime:" + topic
	p.ref = p.client.join(topic, joinOptions{token: "ann/l1", config: fmt.Sprintf(`,"presence":{"enabled":true,"key":%q}`, p.key)})
}

func (w *world) cut(p *person) {
	if p.node == "" {
		return
	}
	_ = p.client.conn.Close()
	<-p.view.ended
	for _, wrong := range p.view.wrong {
		w.t.Errorf("%s at %s: %s", p.key, p.node, wrong)
	}
	*p = person{key: p.key}
}

// check compares what every tab is shown with what is true.
func (w *world) check() {
	w.t.Helper()
	truth := map[string][]string{}
	for _, p := range w.people {
		if p.at > 0 {
			truth[p.topic] = append(truth[p.topic], fmt.Sprint(p.key, " at ", p.at))
		}
	}
	for _, p := range w.people {
		if p.topic == "" {
			continue
		}
		want := slices.Sorted(slices.Values(truth[p.topic]))
		p.view.mu.Lock()
		got := slices.Sorted(maps.Values(p.view.present))
		if !p.view.heard || !slices.Equal(got, want) {
			w.t.Errorf("%s on %s in %s is shown\n%v, there are\n%v", p.key, p.node, p.topic, got, want)
		}
		p.view.mu.Unlock()
	}
	for _, n := range w.nodes {
		if s := n.server.Stats().Peers; s.Nodes != len(w.nodes)-1 || s.LeftOut > 0 {
			w.t.Errorf("%s has stats %+v", n.peers.Node(), s)
		}
	}
}

func (v *view) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.heard, v.present = false, map[string]string{}
}

func (v *view) follow(conn *websocket.Conn) {
	defer close(v.ended)
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		m, err := phoenix.Decode(phoenix.V2, data)
		if err != nil || kind != websocket.TextMessage {
			v.wrong = append(v.wrong, fmt.Sprint("cannot read ", kind, err))
			continue
		}
		v.take(m)
	}
}

func (v *view) take(m phoenix.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	say := func(format string, a ...any) { v.wrong = append(v.wrong, fmt.Sprintf(format, a...)) }
	switch m.Event {
	case "presence_state":
		v.heard, v.present = true, map[string]string{}
		v.add(m.Payload, say)
	case "presence_diff":
		var d struct{ Joins, Leaves json.RawMessage }
		if json.Unmarshal(m.Payload, &d) != nil || !v.heard {
			say("unasked diff %s", m.Payload)
			return
		}
		for _, ref := range refsOf(d.Leaves) {
			if v.present[ref] == "" {
				say("%s left and was not there", ref)
			}
			delete(v.present, ref)
		}
		v.add(d.Joins, say)
	case "phx_reply":
		if !strings.Contains(string(m.Payload), `"status":"ok"`) {
			say("refused: %s", m.Payload)
		}
	}
}

// add notes who joined, each once.
func (v *view) add(payload json.RawMessage, say func(string, ...any)) {
	var who map[string]struct {
		Metas []struct {
			Ref string `json:"phx_ref"`
			At  int    `json:"at"`
		} `json:"metas"`
	}
	if err := json.Unmarshal(payload, &who); err != nil {
		say("no presence: %s", payload)
	}
	for key, list := range who {
		for _, m := range list.Metas {
			if v.present[m.Ref] != "" {
				say("%s joined and was there", m.Ref)
			}
			v.present[m.Ref] = fmt.Sprint(key, " at ", m.At)
		}
	}
}

func refsOf(payload json.RawMessage) (refs []string) {
	var who map[string]struct {
		Metas []struct {
			Ref string `json:"phx_ref"`
		} `json:"metas"`
	}
	_ = json.Unmarshal(payload, &who) // what cannot be read has no refs, and is seen by add
	for _, list := range who {
		for _, m := range list.Metas {
			refs = append(refs, m.Ref)
		}
	}
	return refs
}
