package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

// watcher is a small Phoenix client that stays on one topic through any number of broken connections and keeps every
// durable broadcast. It is written apart from the server's code, so that it can judge it.
type watcher struct {
	url, key, topic string
	others          []string // where to go, one after the other, when url is away
	token           func() string

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when something below changes
	entries  []broadcast
	cursor   string
	last     meta
	old      string // a log epoch whose entries count no more
	faults   []string
	joins    int
	closed   bool // phx_close: do not come back
	refused  int  // joins that were answered with an error
	close    int  // the code that the last socket was closed with
	recovery []recovery

	// reread is what a client does when it is told that the log was not recovered; it fills shown. nil: nothing.
	reread func(ctx context.Context) error
	shown  map[string]bool // "event id" of what was read from the tables
}

type meta struct {
	ID       string `json:"id"`
	Seq      uint64 `json:"seq"`
	Prev     uint64 `json:"prev"`
	Epoch    string `json:"epoch"`
	Cursor   string `json:"cursor"`
	Replayed bool   `json:"replayed"`
}

type broadcast struct {
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
	Meta    meta            `json:"meta"`
	At      time.Time       `json:"-"`
}

type recovery struct {
	Extension string `json:"extension"`
	Status    string `json:"status"`
	Message   string `json:"message"`
	Recovered bool   `json:"recovered"`
	Cursor    string `json:"cursor"`
}

type frame struct {
	joinRef, ref, topic, event string
	payload                    json.RawMessage
}

func (s *stack) watch(p *person, topic string) *watcher {
	return &watcher{url: s.vigilURL, key: s.publishableKey, topic: topic, token: func() string { return p.token }, changed: make(chan struct{}), shown: make(map[string]bool)}
}

// begin stays joined until the test ends.
func (w *watcher) begin(t testing.TB) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var g errgroup.Group
	g.Go(func() error { return w.run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("watch: %v", err)
		}
	})
}

var (
	errClosed  = errors.New("channel was closed for good")
	errChannel = errors.New("channel was ended: join again")
)

// closePause is how long the watcher waits, after its channel has ended, for the socket to be closed, too.
const closePause = 200 * time.Millisecond

// run stays joined until ctx ends or the channel is closed for good.
func (w *watcher) run(ctx context.Context) error {
	const pause = 20 * time.Millisecond
	for ctx.Err() == nil {
		err := w.once(ctx)
		if len(w.others) > 0 {
			w.url, w.others = w.others[0], append(w.others[1:], w.url)
		}
		if errors.Is(err, errClosed) {
			w.update(func() { w.closed = true })
			return nil
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
	}
	return nil
}

// dial opens a socket.
func (w *watcher) dial(ctx context.Context) (*websocket.Conn, error) {
	u, err := url.Parse(w.url)
	if err != nil {
		return nil, err
	}
	u.Scheme = "ws"
	u = u.JoinPath("realtime/v1/websocket")
	u.RawQuery = url.Values{"apikey": {w.key}, "vsn": {"2.0.0"}}.Encode()
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, u.String(), nil)
	return conn, err
}

func (w *watcher) once(ctx context.Context) error {
	conn, err := w.dial(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() { stop(); _ = conn.Close() }()
	w.mu.Lock()
	w.joins++
	ref := strconv.Itoa(w.joins)
	cast := map[string]any{}
	if w.cursor != "" {
		cast["replay"] = map[string]any{"after": w.cursor}
	} else {
		cast["replay"] = map[string]any{"since": 0, "limit": 25}
	}
	w.mu.Unlock()
	join := []any{ref, ref, "realtime:" + w.topic, "phx_join", map[string]any{
		"access_token": w.token(),
		"config":       map[string]any{"private": true, "broadcast": cast, "presence": map[string]any{"enabled": false}},
	}}
	if err := conn.WriteJSON(join); err != nil {
		return err
	}
	var ended error
	for {
		f, err := readFrame(conn)
		if err != nil {
			var socket *websocket.CloseError
			if errors.As(err, &socket) {
				w.update(func() { w.close = socket.Code })
			}
			return errors.Join(ended, err)
		}
		switch err := w.handle(ctx, f); {
		case errors.Is(err, errChannel), errors.Is(err, errClosed): // the code of the socket's end, where that follows
			ended = err
			_ = conn.SetReadDeadline(time.Now().Add(closePause))
		case err != nil:
			return err
		}
	}
}

func readFrame(conn *websocket.Conn) (frame, error) {
	_, raw, err := conn.ReadMessage()
	if err != nil {
		return frame{}, err
	}
	var parts [5]json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return frame{}, fmt.Errorf("frame: %w", err)
	}
	text := func(i int) string { return strings.Trim(string(parts[i]), `"`) }
	return frame{text(0), text(1), text(2), text(3), parts[4]}, nil
}

func (w *watcher) handle(ctx context.Context, f frame) error {
	switch f.event {
	case "phx_close":
		return errClosed
	case "phx_error":
		return errChannel
	case "phx_reply":
		var reply struct {
			Status   string          `json:"status"`
			Response json.RawMessage `json:"response"`
		}
		if err := json.Unmarshal(f.payload, &reply); err != nil {
			return err
		}
		if reply.Status != "ok" {
			w.update(func() { w.refused++ })
			return fmt.Errorf("refused: %s", reply.Response)
		}
	case "system":
		var r recovery
		if err := json.Unmarshal(f.payload, &r); err != nil {
			return err
		}
		if r.Extension == "recovery" && !r.Recovered && w.reread != nil {
			if err := w.reread(ctx); err != nil {
				return err // the cursor stands: the next join is told again
			}
		}
		w.update(func() {
			w.recovery = append(w.recovery, r)
			if r.Extension == "recovery" && r.Cursor != "" {
				w.cursor = r.Cursor
			}
		})
	case "broadcast":
		var b broadcast
		if err := json.Unmarshal(f.payload, &b); err != nil {
			return err
		}
		b.At = time.Now()
		w.update(func() { w.take(b) })
	}
	return nil
}

// take judges the order: per log epoch, seq rises, and prev is the last seq seen.
func (w *watcher) take(b broadcast) {
	switch {
	case b.Meta.Epoch == w.last.Epoch && b.Meta.Seq <= w.last.Seq:
		w.faults = append(w.faults, fmt.Sprintf("doubled or out of order: seq %d after %d", b.Meta.Seq, w.last.Seq))
	case b.Meta.Epoch == w.last.Epoch && b.Meta.Prev != w.last.Seq:
		w.faults = append(w.faults, fmt.Sprintf("hole: seq %d has prev %d, last seen %d", b.Meta.Seq, b.Meta.Prev, w.last.Seq))
	}
	w.last, w.cursor = b.Meta, b.Meta.Cursor
	w.entries = append(w.entries, b)
}

func (w *watcher) update(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	close(w.changed)
	w.changed = make(chan struct{})
}

// await blocks until done says yes of the watcher's state, or ctx ends.
func (w *watcher) await(ctx context.Context, done func(*watcher) bool) error {
	for {
		w.mu.Lock()
		ok, changed := done(w), w.changed
		w.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("on %s: %w", w.topic, ctx.Err())
		}
	}
}

// lostCount is how often the watcher was told that the log was not recovered. The caller holds mu.
func (w *watcher) lostCount() int {
	n := 0
	for _, r := range w.recovery {
		if r.Extension == "recovery" && !r.Recovered {
			n++
		}
	}
	return n
}

// rows returns the rows of event by their column (such as id), and how often each came in one log epoch at most. The
// caller holds mu.
func (w *watcher) rows(event, column string) map[string]int {
	seen, most := make(map[string]int), make(map[string]int)
	for _, b := range w.entries {
		if b.Event != event || b.Meta.Epoch == w.old {
			continue
		}
		var row map[string]any
		if err := json.Unmarshal(b.Payload, &row); err != nil {
			w.faults = append(w.faults, "a payload is no object")
			continue
		}
		if id, ok := row[column].(string); ok {
			seen[b.Meta.Epoch+id]++
			most[id] = max(most[id], seen[b.Meta.Epoch+id])
		}
	}
	return most
}

// has waits until the client has a row of event for each of want, relayed or read again, and holds that none came twice
// and none that the table does not have.
func (w *watcher) has(ctx context.Context, t testing.TB, event, column string, want map[string]bool) {
	t.Helper()
	missing := func(w *watcher) (n int) {
		got := w.rows(event, column)
		for id := range want {
			if got[id] == 0 && !w.shown[event+" "+id] {
				n++
			}
		}
		return n
	}
	err := w.await(ctx, func(w *watcher) bool { return missing(w) == 0 })
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		t.Errorf("%v: %d of %d rows of %s are missing; faults %v", err, missing(w), len(want), event, w.faults)
	}
	w.noOther(t, event, column, want)
}

// noOther holds that no row came twice in one log epoch, and none that the table does not have. The caller holds mu.
func (w *watcher) noOther(t testing.TB, event, column string, table map[string]bool) {
	t.Helper()
	doubled, unknown := 0, 0
	for id, n := range w.rows(event, column) {
		if n > 1 {
			doubled++
		}
		if !table[id] {
			unknown++
		}
	}
	if doubled+unknown > 0 {
		t.Errorf("%s on %s: %d doubled, %d that the table does not have", event, w.topic, doubled, unknown)
	}
}
