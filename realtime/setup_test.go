package realtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"vigil/realtime"
	"vigil/realtime/internal/memory"
	"vigil/realtime/phoenix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// everything is the grant of a participant.
var everything = realtime.Grant{BroadcastReceive: true, BroadcastSend: true, PresenceReceive: true, PresenceSend: true}

// people is the token and grant table behind a test server. Tokens are "user/login", or "user/login/anything".
type people struct {
	mu      sync.Mutex
	grants  map[string]realtime.Grant // by user and topic: "ann session:1"
	expires map[string]time.Time      // by token
	fails   error                     // what Authorize returns, if set
	asked   int                       // calls of Authorize
}

func (p *people) allow(user, topic string, g realtime.Grant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grants[user+" "+topic] = g
}

func (p *people) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = err
}

func (p *people) questions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

type tokenError struct{ code, text string }

func (e tokenError) Error() string                { return "token refused" }
func (e tokenError) Refusal() (code, text string) { return e.code, e.text }
func (p *people) authenticate(_ context.Context, token string) (realtime.Identity, error) {
	user, rest, ok := strings.Cut(token, "/")
	login, _, _ := strings.Cut(rest, "/")
	if !ok {
		return realtime.Identity{}, tokenError{"MalformedJWT", "The token provided is not a valid JWT"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id := realtime.Identity{UserID: user, LoginID: login, AAL: "aal1", ExpiresAt: p.expires[token],
		Claims: json.RawMessage(fmt.Sprintf(`{"sub":%q}`, user))}
	if at := p.expires[token]; !at.IsZero() && !time.Now().Before(at) {
		ago := strconv.Itoa(int(time.Since(at).Seconds()))
		return realtime.Identity{}, tokenError{"InvalidJWTToken", "Token has expired " + ago + " seconds ago"}
	}
	return id, nil
}

func (p *people) authorize(_ context.Context, id realtime.Identity, topic string) (realtime.Grant, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	return p.grants[id.UserID+" "+topic], p.fails
}

// bundle is a server with its log and people.
type bundle struct {
	t      *testing.T
	server *realtime.Server
	log    *memory.Log
	people *people
	url    string
	dialer websocket.Dialer
	stop   context.CancelFunc
	ended  chan struct{} // closed when Run has returned
}

// setup serves on a real socket of this machine.
func setup(t *testing.T, change ...func(*realtime.Config)) *bundle {
	t.Helper()
	return serve(t, nil, change)
}

func serve(t *testing.T, listener net.Listener, change []func(*realtime.Config)) *bundle {
	t.Helper()
	b := &bundle{t: t, log: memory.New(), ended: make(chan struct{}),
		people: &people{grants: map[string]realtime.Grant{}, expires: map[string]time.Time{}}}
	config := realtime.Config{
		Authenticate: b.people.authenticate, Authorize: b.people.authorize, History: b.log,
		Durable: func(topic string) bool {
			return strings.HasPrefix(topic, "session:") || strings.HasPrefix(topic, "care:")
		},
		ValidKey: func(key string) bool { return key == "sb_publishable_test" },
	}
	if listener == nil {
		config.Timing = realtime.Timing{DenialFirst: time.Millisecond, DenialMost: 2 * time.Millisecond}
	}
	for _, f := range change {
		f(&config)
	}
	b.server = realtime.New(config)
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	go func() { // cleanup waits for it
		defer close(b.ended)
		if err := b.server.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	h := httptest.NewUnstartedServer(b.server)
	if listener != nil {
		_ = h.Listener.Close()
		h.Listener = listener
	}
	h.Start()
	b.url = "ws" + strings.TrimPrefix(h.URL, "http") + "/realtime/v1/websocket"
	t.Cleanup(func() {
		b.stop()
		<-b.ended
		h.Close()
	})
	return b
}

// publish stores an entry and delivers it, as the relay does.
func (b *bundle) publish(topic string, n int) realtime.Entry {
	e := b.log.Append(topic, "message", json.RawMessage(`{"n":`+strconv.Itoa(n)+`}`))
	b.server.Publish(e)
	return e
}

func (b *bundle) forget(user, topic string) {
	b.people.allow(user, topic, realtime.Grant{})
	b.server.Reauthorize(func(m realtime.Member) bool { return m.UserID == user && m.Topic == topic })
}

// client is a bare Phoenix client.
type client struct {
	t    *testing.T
	conn *websocket.Conn
	v    phoenix.Version
	ref  int
}

func (b *bundle) connect(v phoenix.Version) *client {
	b.t.Helper()
	conn, response, err := b.dialer.Dial(b.url+"?apikey=sb_publishable_test&log_level=info&vsn="+v.String(), nil)
	if err != nil {
		b.t.Fatalf("dial: %v (%v)", err, response)
	}
	_ = response.Body.Close()
	b.t.Cleanup(func() { _ = conn.Close() })
	return &client{t: b.t, conn: conn, v: v}
}

// message is a frame from the server, of either kind.
type message struct {
	phoenix.Message
	binary *phoenix.Broadcast
}

func (m message) String() string {
	if m.binary != nil {
		return fmt.Sprintf("binary %+v", *m.binary)
	}
	return string(phoenix.AppendText(nil, phoenix.V2, m.Message))
}

func (c *client) send(joinRef, topic, event, payload string) string {
	c.t.Helper()
	c.ref++
	ref := strconv.Itoa(c.ref)
	c.write(phoenix.AppendText(nil, c.v, phoenix.Message{JoinRef: joinRef, Ref: ref, Topic: topic, Event: event,
		Payload: json.RawMessage(payload)}))
	return ref
}

func (c *client) write(frame []byte) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, frame); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// read gives the next frame, or the error that ended the connection.
func (c *client) read() (message, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return message{}, err
	}
	kind, data, err := c.conn.ReadMessage()
	if err != nil {
		return message{}, err
	}
	if kind == websocket.BinaryMessage {
		b, err := phoenix.DecodeBroadcast(data)
		return message{binary: &b}, err
	}
	m, err := phoenix.Decode(c.v, data)
	return message{Message: m}, err
}

func (c *client) next() message {
	c.t.Helper()
	m, err := c.read()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return m
}

// expect fails unless the next frame is event, and gives it.
func (c *client) expect(event string) message {
	c.t.Helper()
	m := c.next()
	if m.Event != event {
		c.t.Fatalf("got %s, want %s", m, event)
	}
	return m
}

// silent fails if anything came before the reply to a heartbeat that is sent now. A heartbeat overtakes what is queued:
// call it when nothing can be.
func (c *client) silent() {
	c.t.Helper()
	ref := c.send("", "phoenix", "heartbeat", "{}")
	if m := c.next(); m.Ref != ref || m.Topic != "phoenix" {
		c.t.Fatalf("got %s, want nothing", m)
	}
}

type joinOptions struct {
	token  string
	public bool
	config string // more keys of config
}

// join sends a phx_join and gives its join_ref.
func (c *client) join(topic string, o joinOptions) string {
	c.t.Helper()
	ref := strconv.Itoa(c.ref + 1)
	payload := fmt.Sprintf(`{"config":{"private":%v%s}`, !o.public, o.config)
	if o.token != "" {
		payload += fmt.Sprintf(`,"access_token":%q`, o.token)
	}
	c.send(ref, "realtime:"+topic, "phx_join", payload+"}")
	return ref
}

// joined joins a topic and reads the reply, ok, and on durable topics the recovery message of a join without cursor.
func (c *client) joined(topic, token string) string {
	c.t.Helper()
	ref := c.join(topic, joinOptions{token: token})
	c.ok()
	if strings.HasPrefix(topic, "session:") || strings.HasPrefix(topic, "care:") {
		c.recovery()
	}
	return ref
}

func (c *client) ok() {
	c.t.Helper()
	if m := c.expect("phx_reply"); reply(c.t, m).Status != "ok" {
		c.t.Fatalf("got %s, want ok", m)
	}
}

// refused reads an error reply whose reason begins with code, and gives the reason.
func (c *client) refused(code realtime.Code) string {
	c.t.Helper()
	m := c.expect("phx_reply")
	r := reply(c.t, m)
	if r.Status != "error" || !strings.HasPrefix(r.Response.Reason, string(code)) {
		c.t.Fatalf("got %s, want %s", m, code)
	}
	return r.Response.Reason
}

// systemEnds reads a system error with code, then event with the channel's refs.
func (c *client) systemEnds(code realtime.Code, event, joinRef string) string {
	c.t.Helper()
	m := c.expect("system")
	s := decode[system](c.t, m.Payload)
	if s.Status != "error" || s.Code != code || m.JoinRef != joinRef {
		c.t.Fatalf("got %s, want %s for %s", m, code, joinRef)
	}
	if m := c.expect(event); m.Ref != joinRef || m.JoinRef != joinRef {
		c.t.Fatalf("got %s, want refs %s", m, joinRef)
	}
	return s.Message
}

type system struct {
	Extension, Status, Message, Channel, Cursor string
	Code                                        realtime.Code
	Recovered                                   bool
	From, To, Missed                            *uint64
}

func (c *client) recovery() system {
	c.t.Helper()
	m := c.expect("system")
	s := decode[system](c.t, m.Payload)
	if s.Extension != "recovery" {
		c.t.Fatalf("got %s, want a recovery message", m)
	}
	return s
}

type broadcast struct {
	Type, Event string
	Payload     struct{ N int }
	Meta        struct {
		ID, Epoch, Cursor string
		Seq, Prev         uint64
		TS                int64
		Replayed          bool
	}
}

func (c *client) broadcast() broadcast {
	c.t.Helper()
	return decode[broadcast](c.t, c.expect("broadcast").Payload)
}

type replyPayload struct {
	Status   string
	Response struct {
		Reason          string
		PostgresChanges []any `json:"postgres_changes"`
	}
}

func reply(t *testing.T, m message) replyPayload {
	t.Helper()
	return decode[replyPayload](t, m.Payload)
}

func decode[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return v
}

// closedWith reads until the connection ends and gives its close code.
func (c *client) closedWith() int {
	c.t.Helper()
	for {
		if _, err := c.read(); err != nil {
			var closed *websocket.CloseError
			if !errors.As(err, &closed) {
				c.t.Fatalf("read: %v, want a close frame", err)
			}
			return closed.Code
		}
	}
}

// pipes is a listener of in-memory connections, for tests in a synctest bubble.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newPipes() *pipes { return &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddress{} }

type pipeAddress struct{}

func (pipeAddress) Network() string { return "pipe" }
func (pipeAddress) String() string  { return "pipe.invalid:80" }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p.accepted <- far
	return near, nil
}

// setupVirtual serves in memory, on the virtual clock of the synctest bubble that the caller runs in.
func setupVirtual(t *testing.T, change ...func(*realtime.Config)) *bundle {
	t.Helper()
	p := newPipes()
	b := serve(t, p, change)
	b.dialer = websocket.Dialer{NetDialContext: p.dial}
	return b
}

func versions(t *testing.T, f func(t *testing.T, v phoenix.Version)) {
	t.Helper()
	for _, v := range []phoenix.Version{phoenix.V1, phoenix.V2} {
		t.Run("vsn "+v.String(), func(t *testing.T) {
			t.Parallel()
			f(t, v)
		})
	}
}

func statusOf(t *testing.T, b *bundle, path string, header http.Header) (int, map[string]string) {
	t.Helper()
	base, _, _ := strings.Cut(strings.TrimPrefix(b.url, "ws://"), "/")
	conn, response, err := b.dialer.Dial("ws://"+base+path, header)
	if err == nil {
		_ = conn.Close()
		return response.StatusCode, nil
	}
	if response == nil {
		t.Fatalf("dial: %v", err)
	}
	defer response.Body.Close()
	body := map[string]string{}
	_ = json.NewDecoder(response.Body).Decode(&body)
	return response.StatusCode, body
}
