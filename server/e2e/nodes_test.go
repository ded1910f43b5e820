package e2e_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/nats-io/nats-server/v2/server"
)

// node is one sidecar of several that share the work.
type node struct {
	*sidecar
	operatorURL string
}

// nodes prepares n sidecars on one bus outside of them, with one analysis key, each behind an address of its own.
func (s *stack) nodes(t testing.TB, n int) []*node {
	t.Helper()
	bus, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true, MaxPayload: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	go bus.Start() // ends once the server is up
	if !bus.ReadyForConnections(patience) {
		t.Fatal("NATS did not start")
	}
	t.Cleanup(func() { bus.Shutdown(); bus.WaitForShutdown() })
	key := filepath.Join(t.TempDir(), "analysis-key.json")
	if out, code := s.sidecar.run(t, "keys", "new", key); code != 0 {
		t.Fatalf("make a key: %s", out)
	}
	var nodes []*node
	for range n {
		address, operator := freeAddress(t), freeAddress(t)
		v := &sidecar{out: new(output), base: "http://" + address, env: append(append([]string{}, s.sidecar.env...),
			"NATS_URL="+bus.ClientURL(), "VIGIL_ANALYSIS_KEY_FILE="+key, "VIGIL_ADDR="+address, "VIGIL_OPERATOR_ADDR="+operator)}
		nodes = append(nodes, &node{v, "http://" + operator})
		t.Cleanup(func() {
			if v.cmd != nil && v.running() {
				v.kill()
			}
			if t.Failed() {
				t.Logf("the errors of the node at %s:\n%s\nits last lines:\n%s", address, v.out.errors(), v.out.tail())
			}
		})
	}
	s.sidecar = nodes[0].sidecar
	return nodes
}

// beginAll starts every node and waits until all are ready. It returns where they are.
func (s *stack) beginAll(t testing.TB, nodes []*node) (urls []string) {
	t.Helper()
	for _, n := range nodes {
		n.begin(t)
		urls = append(urls, n.base)
	}
	s.allReady(t, nodes)
	return urls
}

// allReady waits until all nodes are ready, and whoever detects has made its key known.
func (s *stack) allReady(t testing.TB, nodes []*node) {
	t.Helper()
	for _, n := range nodes {
		n.mustBeReady(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (known bool, err error) {
		err = s.admin.QueryRow(ctx, "select exists (select from public.devices where user_id is null)").Scan(&known)
		return known, err
	}); err != nil {
		t.Fatalf("no node has made the key known: %v", err)
	}
}

func (n *node) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// leader waits until one of the nodes that run has a role that one has at a time, and returns it.
func leader(t testing.TB, nodes []*node, role string) *node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var found *node
	if err := poll(ctx, func() (bool, error) {
		for _, n := range nodes {
			if !n.running() {
				continue
			}
			if v, err := (&stack{operatorURL: n.operatorURL}).metric(ctx, "vigil_leads_"+role); err == nil && v == 1 {
				found = n
			}
		}
		return found != nil, nil
	}); err != nil {
		t.Fatalf("nobody does %s: %v", role, err)
	}
	return found
}

// TestThreeNodesLoseNothingWhenOneIsKilled is guarantees 1 and 3 over several nodes: people are spread over three, whoever
// ingests or detects is killed under load and another follows; nothing is lost or doubled, and every client recovers on
// another node.
func TestThreeNodesLoseNothingWhenOneIsKilled(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	nodes := s.nodes(t, 3)
	urls := s.beginAll(t, nodes)
	l := newLoad(t, s, 3)
	l.urls = urls
	stopWriting := l.begin(t)
	l.progresses(t, 40)
	for _, role := range []string{"ingest", "detect", "ingest"} {
		n := leader(t, nodes, role)
		n.kill()
		began := time.Now()
		l.progresses(t, 20)
		took := time.Since(began).Round(time.Millisecond)
		if t.Logf("without who did %s, 20 messages took %s", role, took); took > 10*time.Second { // 3 s where nobody else wants the machine
			t.Errorf("nobody followed who did %s for %s", role, took)
		}
		n.begin(t)
		n.mustBeReady(t)
	}
	// One that stands still is followed as if it were dead, and does no harm when it goes on.
	n := leader(t, nodes, "ingest")
	n.signal(t, syscall.SIGSTOP)
	l.progresses(t, 20)
	n.signal(t, syscall.SIGCONT)
	l.progresses(t, 20)
	stopWriting()
	l.verify(t, true)
	s.presenceOf(t, l.sessions[0], nodes[0], nodes[1])
	for _, n := range nodes {
		if !n.running() {
			continue
		}
		if code := n.stop(t); code != 0 {
			t.Errorf("a node ended with %d", code)
		}
	}
}

// TestANewLogEpochReachesEveryNode: the slot is gone when the node that ingested is followed; everybody is told, on whatever node,
// and has everything after reading the tables once.
func TestANewLogEpochReachesEveryNode(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	nodes := s.nodes(t, 3)
	urls := s.beginAll(t, nodes)
	l := newLoad(t, s, 2)
	l.urls = urls
	stopWriting := l.begin(t)
	l.progresses(t, 40)
	n := leader(t, nodes, "ingest")
	n.kill()
	s.dropSlot(t) // before anybody has waited long enough
	l.allLost(t, 1)
	l.progresses(t, 40)
	stopWriting()
	l.verify(t, false)
}

// TestRolesRunApart: three processes do a third each. Who does not ingest needs no replication URL, who opens nothing no key.
func TestRolesRunApart(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	nodes := s.nodes(t, 3)
	for i, roles := range []string{"ingest", "detect,suggest,page", "relay"} {
		var extra []string
		if roles != "ingest" {
			extra = append(extra, "REPLICATION_URL=")
		}
		if roles == "relay" || roles == "ingest" {
			extra = append(extra, "VIGIL_ANALYSIS_KEY_FILE="+filepath.Join(t.TempDir(), "none.json"))
		}
		nodes[i].begin(t, append(extra, "VIGIL_ROLES="+roles)...)
	}
	s.allReady(t, nodes)
	l := newLoad(t, s, 1)
	l.urls = []string{nodes[2].base}
	stopWriting := l.begin(t)
	l.progresses(t, 40)
	stopWriting()
	l.verify(t, true)
	if status, _, err := get(t.Context(), nodes[0].base+"/realtime/v1/websocket"); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("a socket where nothing is relayed: %d, %v", status, err)
	}
}

// TestProcessesThatShareTheWorkNeedOneBusAndOneKey: each is refused with what to do.
func TestProcessesThatShareTheWorkNeedOneBusAndOneKey(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t, "VIGIL_ROLES=relay")
	<-s.sidecar.done
	s.sidecar.saying(t, "NATS_URL")
	n := s.nodes(t, 1)[0]
	n.begin(t, "VIGIL_ANALYSIS_KEY_FILE="+filepath.Join(t.TempDir(), "none.json"))
	<-n.done
	n.saying(t, "vigil keys new")
}

// presenceOf: the therapist on one node sees the client on another, hears what they send, and sees them leave within 10 s of the
// client's node being killed.
func (s *stack) presenceOf(t *testing.T, y *therapy, there, here *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, therapist := s.present(ctx, t, there, y.client, y.id), s.present(ctx, t, here, y.therapist, y.id)
	push(t, client, y.id, "presence", map[string]any{"type": "presence", "event": "track", "payload": map[string]any{"typing": true}})
	await(t, therapist, "the client is there", func(f frame) bool {
		return strings.HasPrefix(f.event, "presence_") && strings.Contains(string(f.payload), `"typing":true`)
	})
	push(t, client, y.id, "broadcast", map[string]any{"type": "broadcast", "event": "typing", "payload": map[string]any{"on": true}})
	await(t, therapist, "the client types", func(f frame) bool { return f.event == "broadcast" && strings.Contains(string(f.payload), `"typing"`) })
	there.kill()
	killed := time.Now()
	await(t, therapist, "the client has left", func(f frame) bool {
		return f.event == "presence_diff" && strings.Contains(string(f.payload), `"leaves":{"`) && strings.Contains(string(f.payload), `"typing":true`)
	})
	if took := time.Since(killed); took > 10*time.Second {
		t.Errorf("who was on a node that died was there for another %s", took)
	}
}

// present joins a session's topic on a node, with presence.
func (s *stack) present(ctx context.Context, t *testing.T, n *node, p *person, session uuid.UUID) *websocket.Conn {
	t.Helper()
	conn, err := (&watcher{url: n.base, key: s.publishableKey}).dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	deadline, _ := ctx.Deadline()
	_ = conn.SetReadDeadline(deadline)
	push(t, conn, session, "phx_join", map[string]any{"access_token": p.token, "config": map[string]any{"private": true, "presence": map[string]any{"enabled": true}}})
	await(t, conn, "presence", func(f frame) bool { return f.event == "presence_state" })
	return conn
}

func push(t *testing.T, conn *websocket.Conn, session uuid.UUID, event string, payload any) {
	t.Helper()
	if err := conn.WriteJSON([]any{"1", "1", "realtime:session:" + session.String(), event, payload}); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, conn *websocket.Conn, what string, is func(frame) bool) {
	t.Helper()
	for {
		f, err := readFrame(conn)
		if err != nil {
			t.Fatalf("waiting for %q: %v", what, err)
		}
		if is(f) {
			return
		}
	}
}
