package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

// attendee is one socket with a channel on each of many topics. Like watcher it judges the order by itself; unlike it, it comes
// back only when it is told to, and keeps how each join was answered.
type attendee struct {
	s     *stack
	name  string
	token func() string // "": it joins without one
	now   func() int    // noted with everything that comes
	// keep takes what came, in order and with mu held; nil: got has it. What it returns is a fault, if anything.
	keep func(topic string, r receipt) (fault string)

	dialed errgroup.Group // the readers
	work   sync.Mutex     // one join of all topics at a time
	write  sync.Mutex     // one writer of the socket at a time

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something below changes
	conn    *websocket.Conn
	topics  map[string]*attended
	refs    int
	echoed  int  // the last ref of flush that was answered
	open    bool // the reader still reads
	cut     int  // channels that the server ended
	frames  int  // durable broadcasts that came
	code    int  // how the server closed the last socket
}

// attended is one topic, over all the times that it was joined.
type attended struct {
	joinRef string
	state   joinState
	told    bool // of this join: what it recovered
	joined  bool // ever
	resumed bool // this join named a cursor
	lost    int  // joins that did and were not given everything since
	cursor  string
	last    meta
	got     []receipt
	faults  []string
	keys    []string // of the rows in got, as far as they were looked at
	judged  int      // so many of got were judged
	placed  bool     // it is known where in the topic's log got begins: at first
	first   int
}

type joinState string

const (
	joinAsked   joinState = "asked"
	joinGranted joinState = "granted"
	joinRefused joinState = "refused"
	joinEnded   joinState = "ended"
	joinLater   joinState = "put off" // refused for now: the server could not read the permissions in time
)

// receipt is one durable broadcast that came, and when.
type receipt struct {
	event   string
	payload json.RawMessage
	meta    meta
	now     int
}

func (s *stack) attend(name string, token func() string, now func() int) *attendee {
	return &attendee{s: s, name: name, token: token, now: now, changed: make(chan struct{}), topics: make(map[string]*attended)}
}

// comeBack leaves the socket that there is, once everything sent on it was read, and joins the topics on a new one. It returns
// when each join was answered, and each that was granted has recovered.
func (a *attendee) comeBack(ctx context.Context, topics []string) error {
	a.work.Lock()
	defer a.work.Unlock()
	if err := a.flush(ctx); err != nil {
		return err
	}
	a.leave()
	u, err := url.Parse(a.s.vigilURL)
	if err != nil {
		return err
	}
	u.Scheme = "ws"
	u = u.JoinPath("realtime/v1/websocket")
	u.RawQuery = url.Values{"apikey": {a.s.publishableKey}, "vsn": {"2.0.0"}}.Encode()
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, u.String(), nil)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	a.update(func() { a.conn, a.open, a.code = conn, true, 0 })
	a.dialed.Go(func() error { a.read(conn); return nil })
	for asked := topics; len(asked) > 0; asked = a.putOff(topics) {
		for _, topic := range asked {
			if a.join(topic) != nil {
				break // the server has closed the socket: the reader says so
			}
		}
		if err := a.await(ctx, func() bool { return a.answered(topics) || !a.open }); err != nil {
			return err
		}
	}
	return nil
}

// answered says whether each join was, and each that was granted has recovered. The caller holds mu.
func (a *attendee) answered(topics []string) bool {
	for _, topic := range topics {
		if c := a.topics[topic]; c == nil || c.state == joinAsked || c.state == joinGranted && !c.told {
			return false
		}
	}
	return true
}

// putOff gives the topics that the server wants to be asked for again.
func (a *attendee) putOff(topics []string) (again []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, topic := range topics {
		if c := a.topics[topic]; a.open && c != nil && c.state == joinLater {
			again = append(again, topic)
		}
	}
	return again
}

// leave closes the socket, and returns when its reader has ended.
func (a *attendee) leave() {
	a.mu.Lock()
	conn := a.conn
	a.conn = nil
	a.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
	_ = a.dialed.Wait() // readers return nil
}

// flush returns when everything that the server had queued for the socket was read: answers to pushes keep the order.
func (a *attendee) flush(ctx context.Context) error {
	a.mu.Lock()
	a.refs++
	ref, open, conn := a.refs, a.open, a.conn
	a.mu.Unlock()
	if !open || a.send([]any{nil, strconv.Itoa(ref), "realtime:nowhere", "echo", map[string]any{}}) != nil {
		return nil
	}
	return a.await(ctx, func() bool { return a.echoed >= ref || !a.open || a.conn != conn })
}

func (a *attendee) join(topic string) error {
	a.mu.Lock()
	a.refs++
	ref := strconv.Itoa(a.refs)
	c := a.topics[topic]
	if c == nil {
		c = &attended{}
		a.topics[topic] = c
	}
	c.joinRef, c.state, c.told, c.resumed = ref, joinAsked, false, c.cursor != ""
	cast := map[string]any{"replay": map[string]any{"since": 0, "limit": firstReplay}}
	if c.cursor != "" {
		cast["replay"] = map[string]any{"after": c.cursor}
	}
	a.mu.Unlock()
	payload := map[string]any{"config": map[string]any{"private": true, "broadcast": cast, "presence": map[string]any{"enabled": false}}}
	if token := a.token(); token != "" {
		payload["access_token"] = token
	}
	return a.send([]any{ref, ref, "realtime:" + topic, "phx_join", payload})
}

// firstReplay is how many entries a first join asks for.
const firstReplay = 25

var errNoSocket = errors.New("there is no socket")

func (a *attendee) send(frame []any) error {
	a.mu.Lock()
	conn := a.conn
	a.mu.Unlock()
	if conn == nil {
		return errNoSocket
	}
	a.write.Lock()
	defer a.write.Unlock()
	return conn.WriteJSON(frame)
}

// read takes what comes on one socket until it ends.
func (a *attendee) read(conn *websocket.Conn) {
	for {
		f, err := readFrame(conn)
		if err != nil {
			a.update(func() {
				var closed *websocket.CloseError
				if errors.As(err, &closed) {
					a.code = closed.Code
				}
				if a.conn == conn || a.conn == nil {
					a.open = false
				}
			})
			return
		}
		a.update(func() { a.handle(f) })
	}
}

// handle takes one frame. The caller holds mu.
func (a *attendee) handle(f frame) {
	if f.topic == "realtime:nowhere" {
		if n, err := strconv.Atoi(f.ref); err == nil {
			a.echoed = max(a.echoed, n)
		}
		return
	}
	c := a.topics[strings.TrimPrefix(f.topic, "realtime:")]
	switch {
	case c == nil:
	case f.event == "broadcast":
		var b broadcast
		if err := json.Unmarshal(f.payload, &b); err != nil {
			c.faults = append(c.faults, "a broadcast is no JSON")
			return
		}
		a.take(strings.TrimPrefix(f.topic, "realtime:"), c, receipt{b.Event, b.Payload, b.Meta, a.now()})
	case f.joinRef != c.joinRef: // of a join before
	case f.event == "phx_reply" && f.ref == c.joinRef:
		var reply struct {
			Status   string `json:"status"`
			Response struct {
				Reason string `json:"reason"`
			} `json:"response"`
		}
		if err := json.Unmarshal(f.payload, &reply); err != nil || reply.Status != "ok" {
			c.state = joinRefused
			if code, _, _ := strings.Cut(reply.Response.Reason, ":"); code == "UnableToConnectToProject" {
				c.state = joinLater
			}
			return
		}
		c.state, c.joined, c.told = joinGranted, true, a.token() == ""
	case f.event == "system":
		var r recovery
		if err := json.Unmarshal(f.payload, &r); err == nil && r.Extension == "recovery" {
			c.recovered(r)
		}
	case f.event == "phx_close" || f.event == "phx_error":
		if c.state == joinGranted {
			a.cut++
		}
		c.state = joinEnded
	}
}

func (c *attended) recovered(r recovery) {
	c.told = true
	if !r.Recovered && c.resumed {
		c.lost++
	}
	if r.Cursor != "" {
		c.cursor = r.Cursor
	}
}

// take judges the order as watcher.take does. The caller holds mu.
func (a *attendee) take(topic string, c *attended, r receipt) {
	switch m := r.meta; {
	case c.state != joinGranted:
		c.faults = append(c.faults, fmt.Sprintf("seq %d came while the channel was %s", m.Seq, c.state))
	case m.Epoch == "":
		c.faults = append(c.faults, "a broadcast is not of the log")
	case c.last.Epoch != "" && m.Epoch != c.last.Epoch:
		c.faults = append(c.faults, fmt.Sprintf("another log: seq %d after %d", m.Seq, c.last.Seq))
	case m.Epoch == c.last.Epoch && m.Seq <= c.last.Seq:
		c.faults = append(c.faults, fmt.Sprintf("doubled or out of order: seq %d after %d", m.Seq, c.last.Seq))
	case m.Epoch == c.last.Epoch && m.Prev != c.last.Seq:
		c.faults = append(c.faults, fmt.Sprintf("hole: seq %d has prev %d, last seen %d", m.Seq, m.Prev, c.last.Seq))
	}
	c.last, c.cursor = r.meta, r.meta.Cursor
	a.frames++
	if a.keep == nil {
		c.got = append(c.got, r)
	} else if fault := a.keep(topic, r); fault != "" {
		c.faults = append(c.faults, fault)
	}
}

func (a *attendee) update(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	close(a.changed)
	a.changed = make(chan struct{})
}

// await blocks until done, which is called with mu held, says yes, or ctx ends.
func (a *attendee) await(ctx context.Context, done func() bool) error {
	for {
		a.mu.Lock()
		ok, changed := done(), a.changed
		a.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", a.name, ctx.Err())
		}
	}
}

// dismiss ends the attendee with the test.
func (a *attendee) dismiss(t testing.TB) { t.Cleanup(a.leave) }

// sees says whether a broadcast of the event whose payload holds the text came. The attendee's mu is held.
func (c *attended) sees(event, text string) bool {
	return c != nil && slices.ContainsFunc(c.got, func(r receipt) bool { return r.event == event && strings.Contains(string(r.payload), text) })
}
