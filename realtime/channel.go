package realtime

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"vigil/realtime/phoenix"
)

// state is a channel's place in the drawing of the package comment; suspended is a flag of its own.
type state uint8

const (
	joining state = iota
	awaiting
	granted
	closed
)

// channel is one topic joined on one socket. Its slow work (verifying, authorising, replaying) is done by one goroutine at
// a time, which the socket waits for and which lives only while there is work.
//
// Lock order: room.mu, then channel.mu, then queue.mu. None is held across I/O.
type channel struct {
	socket  *socket
	wire    string // the topic as the client names it
	topic   string // without realtime:
	joinRef string
	join    phoenix.Message
	config  joinConfig
	began   time.Time // when the join came
	durable bool
	room    *room

	// version moves, under mu, whenever content that was queued until now must not be sent.
	version atomic.Uint64

	// Guarded by the socket's queue.
	sent uint64 // Seq of the last durable broadcast that left the queue, or where they start
	told bool   // the recovery message left the queue

	parent context.Context //nolint:containedctx // the socket's, for the channel's work

	mu        sync.Mutex
	cancel    context.CancelFunc // not nil: ends the work that goes on
	state     state
	suspended bool // granted, but the grant is being asked for again
	revision  uint64
	identity  Identity
	token     tokenDigest // of identity
	grant     Grant
	expiry    *time.Timer // due when a bare join has shown no token, when it must be said that the token ends, and when it does
	noticed   bool        // it was said that the token ends
	tracked   bool

	working   bool
	nextToken string // waits to be verified
	recheck   bool   // the grant is to be asked for again
	behind    bool   // the history is to be read

	follow
}

// follow is how far a durable channel has come. While live is false, Publish only notes target and the channel's
// goroutine reads the history up to it: so nothing is lost, doubled or buffered between history and live.
type follow struct {
	live    bool
	last    uint64 // Seq of the last broadcast queued; a live one must have it as prev
	target  uint64 // the history is to be read at least up to here
	epoch   string
	started bool // last is known: the baseline or the cursor
	recover *recovery
}

// run does the channel's work until none is left. ctx ends with the channel.
func (c *channel) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.mu.Lock()
		token, recheck, behind := c.nextToken, c.recheck, c.behind
		c.nextToken, c.recheck, c.behind = "", false, false
		if c.state == closed || token == "" && !recheck && !behind {
			c.working, c.cancel = false, nil
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		switch {
		case token != "":
			c.admit(ctx, token)
		case recheck:
			c.authorize(ctx)
		default:
			c.catchUp(ctx)
		}
	}
}

// start runs work in a goroutine that the socket waits for, with a context that ends with the channel. The context lives as
// long as the work: an idle channel has none. The caller holds mu.
func (c *channel) start(work func(context.Context)) {
	if c.state == closed {
		return
	}
	ctx, cancel := context.WithCancel(c.parent)
	c.cancel = cancel
	c.socket.spawn(func() {
		work(ctx)
		cancel()
	})
}

// kick starts the channel's goroutine if it does not run. The caller holds mu.
func (c *channel) kick() {
	if c.working || c.state == closed {
		return
	}
	c.working = true
	c.start(c.run)
}

// answerWithin is how long the answer to a join may take: realtime-js waits 10 s and then joins again.
const answerWithin = 9 * time.Second

// errJoinsTooOften is the answer to a join above the socket's rate, and to one whose turn at the server would come too late.
var errJoinsTooOften = fault{CodeClientJoinRateLimit, "Too many joins per second"}

// answerBy is when the join must be answered; zero: it was.
func (c *channel) answerBy() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != joining {
		return time.Time{}
	}
	return c.began.Add(answerWithin)
}

// begin is the first work of a channel: its turn, where its log stands, then its token.
func (c *channel) begin(ctx context.Context) {
	s := c.socket.server
	left := func() time.Duration { return s.timing.JoinWait - time.Since(c.began) }
	if !s.turn(ctx, c.socket.from.joins, left()) || !s.turn(ctx, s.joins, left()) {
		if ctx.Err() == nil {
			c.refuse(ctx, errJoinsTooOften)
		}
		return
	}
	if c.durable {
		if err := c.findBaseline(ctx); err != nil {
			c.refuse(ctx, fault{CodeHistoryUnavailable, "The history could not be read, please try again"})
			return
		}
	}
	switch {
	case c.config.token != "" && c.config.private:
		c.mu.Lock()
		if c.nextToken == "" { // one that was pushed meanwhile is newer
			c.nextToken = c.config.token
		}
		c.config.token = ""
		c.mu.Unlock()
	case c.config.private:
		c.await()
	default:
		c.mu.Lock()
		next := c.apply(Grant{BroadcastReceive: true, BroadcastSend: true, PresenceReceive: true, PresenceSend: true})
		c.mu.Unlock()
		c.settle(next)
	}
	c.run(ctx)
}

// await answers a bare private join: ok, but nothing is granted until a token is shown.
func (c *channel) await() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != joining {
		return
	}
	c.state = awaiting
	c.replyOK()
	c.expiry = time.AfterFunc(c.socket.server.timing.TokenWithin, func() {
		c.end(phoenix.EventError, fault{CodeTokenMissing, "No access token was shown in time"})
	})
}

// replyOK answers the join. The caller holds mu.
func (c *channel) replyOK() {
	c.socket.reply(phoenix.Reply(c.join, true, json.RawMessage(`{"postgres_changes":[]}`)))
}

// admit verifies a token and authorises its identity.
func (c *channel) admit(ctx context.Context, token string) {
	id, err := c.socket.verify(ctx, c.answerBy(), token)
	if err != nil {
		if ctx.Err() == nil {
			c.refuse(ctx, tokenFault(err))
		}
		return
	}
	c.mu.Lock()
	if c.state == closed {
		c.mu.Unlock()
		return
	}
	was := c.identity
	if was.UserID != "" && (was.UserID != id.UserID || was.LoginID != id.LoginID) {
		c.mu.Unlock()
		event := phoenix.EventError // the same person signed in again: the next join may be theirs
		if was.UserID != id.UserID {
			event = phoenix.EventClose
		}
		c.end(event, fault{CodeIdentityChanged, "The token is of another login: join again"})
		return
	}
	c.identity, c.token, c.noticed = id, digestOf(token), false
	c.mu.Unlock()
	if !c.socket.own(id.UserID) {
		c.refuse(ctx, errTooManySockets)
		return
	}
	c.authorize(ctx)
}

// authorize asks for the grant of the channel's identity and acts on it. The revision is noted before and the question
// repeated if it moved meanwhile: a revocation that races a join is never overtaken by an older answer (guarantee 4).
func (c *channel) authorize(ctx context.Context) {
	s := c.socket.server
	for {
		c.mu.Lock()
		id, revision := c.identity, c.revision
		done := c.state == closed || id.UserID == ""
		c.mu.Unlock()
		if done {
			return
		}
		var grant Grant
		err := s.decide(ctx, c.answerBy(), func(ctx context.Context) (err error) {
			s.at("authorize")
			grant, err = s.config.Authorize(ctx, id, c.topic)
			s.at("authorized")
			return err
		})
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		if c.revision != revision {
			c.mu.Unlock()
			continue
		}
		c.recheck = false
		if err == nil && (grant.BroadcastReceive || grant.PresenceReceive) {
			next := c.apply(grant)
			c.mu.Unlock()
			c.settle(next)
			return
		}
		c.mu.Unlock()
		if err != nil {
			s.log.WarnContext(ctx, "permissions could not be read", logTopic, c.topic, logError, err)
			c.refuse(ctx, fault{CodeUnableToConnect, "The permissions could not be read, please try again"})
			return
		}
		c.refuse(ctx, unauthorized(c.topic))
		return
	}
}

// afterGrant is what follows a grant outside the channel's lock.
type afterGrant struct {
	untrack bool // presence may no longer be sent
	state   bool // presence_state is due
}

// apply gives the channel a grant and lets it go on. What waited in the queue under another grant is dropped there;
// durable broadcasts among it are read again. The caller holds mu, since it compared the revision under it.
func (c *channel) apply(grant Grant) afterGrant {
	if c.state == closed {
		return afterGrant{}
	}
	first, changed := c.state != granted, c.suspended || c.grant != grant
	if c.state == joining {
		c.replyOK()
	}
	c.grant, c.state = grant, granted
	if !first && changed {
		c.rewind()
	}
	c.suspended = false
	c.behind = c.durable && grant.BroadcastReceive && !c.live
	c.setExpiry()
	return afterGrant{
		untrack: c.tracked && !grant.PresenceSend,
		state:   c.config.presence && grant.PresenceReceive && (first || changed),
	}
}

func (c *channel) settle(next afterGrant) {
	c.socket.forgetDenials(c.wire)
	if next.untrack {
		c.room.untrack(c)
	}
	if next.state {
		c.room.sendState(c)
	}
}

// rewind drops what is queued and goes back to what left the queue. The caller holds mu.
func (c *channel) rewind() {
	c.version.Add(1)
	sent, told := c.socket.queue.barrier(c)
	if !c.durable || !c.started {
		return
	}
	c.target = max(c.target, c.last)
	c.last, c.live = sent, false
	c.recover.due = !told
}

// setExpiry arms the channel's one timer for what is due next: the notice before the end of its token, which is given once
// and at once if the token is that young, or the end. The caller holds mu.
func (c *channel) setExpiry() {
	if c.expiry != nil {
		c.expiry.Stop()
		c.expiry = nil
	}
	at := c.identity.ExpiresAt
	if at.IsZero() {
		return
	}
	left, notice := time.Until(at), c.socket.server.timing.ExpiryNotice
	if !c.noticed && 0 < left && left <= notice {
		c.noticed = true
		c.socket.reply(c.tokenExpiring(at, left))
	}
	if !c.noticed {
		left -= notice
	}
	c.expiry = time.AfterFunc(left, c.expire)
}

// expire gives notice, or ends the channel. A timer that was stopped too late changes nothing: it is looked at anew what is
// due of the token there is.
func (c *channel) expire() {
	c.mu.Lock()
	if c.state != granted || c.identity.ExpiresAt.IsZero() {
		c.mu.Unlock()
		return
	}
	if time.Until(c.identity.ExpiresAt) > 0 {
		c.setExpiry()
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.end(phoenix.EventError, fault{CodeInvalidJWTToken, "Token has expired 0 seconds ago"})
}

// suspend stops everything to the channel and has its grant asked for again. When it returns, no further frame of the
// channel leaves the queue until then.
func (c *channel) suspend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revision++
	if c.state != granted {
		return
	}
	c.suspended, c.recheck = true, true
	c.rewind()
	c.kick()
}

// refuse answers a join with an error after a growing delay, and ends a channel that was joined: for good if its
// permission is gone, and else so that the client comes back with a fresh token.
func (c *channel) refuse(ctx context.Context, f fault) {
	c.mu.Lock()
	was := c.state
	c.mu.Unlock()
	if was != joining {
		event := phoenix.EventError
		if f.code == CodeUnauthorized {
			event = phoenix.EventClose
		}
		if f.code == CodeUnauthorized && was == granted {
			f.text = "You no longer have permission to read from this Channel topic: " + c.topic
		}
		c.end(event, f)
		return
	}
	timer := time.NewTimer(c.socket.denialDelay(c.wire) - time.Since(c.began)) // the client waits 10 s and no longer
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return
	}
	if c.close() {
		c.socket.server.log.DebugContext(ctx, "join refused", logTopic, c.topic, logCode, string(f.code))
		c.socket.reply(phoenix.Refuse(c.join, f.String()))
	}
}

// end tells a channel that was joined why it ends, and ends it with event. A channel that is still joining has its join
// refused instead.
func (c *channel) end(event string, f fault) {
	c.mu.Lock()
	joined := c.state == awaiting || c.state == granted
	c.mu.Unlock()
	if !c.close() {
		return
	}
	c.socket.server.log.Debug("channel ended", logTopic, c.topic, logCode, string(f.code))
	if !joined {
		c.socket.reply(phoenix.Refuse(c.join, f.String()))
		return
	}
	if event == phoenix.EventError {
		c.socket.remember(c)
	}
	c.socket.reply(c.systemError(f))
	c.socket.reply(phoenix.End(c.wire, event, c.joinRef))
}

// close takes the channel out of its socket and room. False: it was closed before.
func (c *channel) close() bool {
	c.mu.Lock()
	if c.state == closed {
		c.mu.Unlock()
		return false
	}
	c.state = closed
	c.version.Add(1)
	if c.expiry != nil {
		c.expiry.Stop()
	}
	if c.cancel != nil {
		c.cancel()
	}
	c.mu.Unlock()
	c.socket.drop(c)
	c.room.leave(c)
	c.socket.queue.purge()
	return true
}

// deliver queues content that is not durable, if the channel may have it. False: its socket has no room, so the content is
// dropped for it; only that is told, for whoever must make it good. The caller may hold the room's lock.
func (c *channel) deliver(m *shared, k kind, allowed func(Grant) bool) bool {
	data := m.frame(c.socket.version)
	if data == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != granted || c.suspended || !allowed(c.grant) {
		return true
	}
	if c.socket.queue.push(outgoing{data: data, kind: k, channel: c, version: c.version.Load()}) {
		return true
	}
	c.socket.server.skipped.Add(1)
	return false
}

func mayHear(g Grant) bool { return g.BroadcastReceive }

// maySend says why a push is not allowed now; nil if it is.
func (c *channel) maySend(allowed func(Grant) bool) *fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == awaiting:
		return &fault{CodeTokenMissing, "Show an access token first"}
	case c.state == granted && c.suspended:
		return &fault{CodeUnableToConnect, "The permissions are being read, please try again"}
	case c.state != granted || !allowed(c.grant):
		return &errNoSending
	}
	return nil
}

func (c *channel) member() (Member, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Member{UserID: c.identity.UserID, LoginID: c.identity.LoginID, Topic: c.topic}, c.identity.UserID != ""
}
