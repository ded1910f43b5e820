package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ackTimeout is how long an append may go without any acknowledgement before all in flight are given up.
const ackTimeout = 30 * time.Second

// Pending is an append that was sent and is not yet known to be stored.
type Pending struct {
	seq  uint64
	size int
	done chan struct{}
	err  error
}

// Seq is the sequence that the entry has once it is stored.
func (p *Pending) Seq() uint64 { return p.seq }

// Done is closed when the entry is stored or has failed.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Err is nil once the entry is stored, and else why it is not. Call it after Done only.
func (p *Pending) Err() error { return p.err }

// Wait waits for the entry to be stored.
func (p *Pending) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// appender sends entries to one stream, many in flight, each with the last sequence that it expects. Sequences in flight
// are dense, so the reply's subject names the entry, and acknowledgements come back in order.
//
// States: unknown (next = 0: Last must be read) → ready → after a failure unknown again, with broken set.
type appender struct {
	nc       *nats.Conn
	inbox    string
	sub      *nats.Subscription
	maxCount int
	maxBytes int
	admit    func(size int) error // refuses before anything is sent, when the disk is short

	mu       sync.Mutex
	room     *sync.Cond // signalled when something in flight ends
	next     uint64     // sequence of the next append; 0 = not known
	gen      uint64     // rises with each failure, so that late replies are told apart
	broken   error      // why next is not known
	full     error      // the last append was refused for want of space
	inFlight []*Pending // dense, oldest first
	bytes    int
	stalled  *time.Timer
	closed   bool
}

func newAppender(nc *nats.Conn, maxCount, maxBytes int, admit func(int) error) (*appender, error) {
	a := &appender{nc: nc, inbox: nats.NewInbox(), maxCount: maxCount, maxBytes: maxBytes, admit: admit}
	a.room = sync.NewCond(&a.mu)
	a.stalled = time.AfterFunc(time.Hour, a.onStall)
	a.stalled.Stop()
	sub, err := nc.Subscribe(a.inbox+".*.*", a.onReply)
	if err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("lift limits of acknowledgements: %w", err)
	}
	a.sub = sub
	return a, nil
}

// nextSeq is the sequence that the next append gets; 0 when it must be read first.
func (a *appender) nextSeq() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.next
}

// refusal is why the last append was refused, if it was for want of space.
func (a *appender) refusal() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.full
}

// settle waits until nothing is in flight, reads where the stream ends, and lets the next append go on from there. Only the
// one who appends may call it: in between, nothing may be sent.
func (a *appender) settle(ctx context.Context, last func(context.Context) (uint64, error)) (uint64, error) {
	if err := a.drain(ctx); err != nil {
		return 0, err
	}
	seq, err := last(ctx)
	if err != nil {
		return 0, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next, a.broken = seq+1, nil
	return seq, nil
}

// drain waits until everything in flight is stored or has failed.
func (a *appender) drain(ctx context.Context) error {
	stop := a.wakeWith(ctx)
	defer stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.inFlight) > 0 && ctx.Err() == nil {
		a.room.Wait()
	}
	return context.Cause(ctx)
}

// wakeWith wakes whoever waits for room when ctx ends.
func (a *appender) wakeWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.room.Broadcast()
	})
}

// append sends one entry; seq must be the next one. It blocks while the window is full.
func (a *appender) append(ctx context.Context, subject string, seq uint64, data []byte) (*Pending, error) {
	if err := a.admit(len(data)); err != nil {
		return nil, err // nothing was sent: what is in flight goes on, and the same append may be tried again
	}
	stop := a.wakeWith(ctx)
	defer stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.inFlight) > 0 && (len(a.inFlight) >= a.maxCount || a.bytes+len(data) > a.maxBytes) && ctx.Err() == nil {
		a.room.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case a.closed:
		return nil, fmt.Errorf("%w: closed", ErrUnavailable)
	case a.next == 0 && a.broken != nil:
		return nil, a.broken
	case a.next == 0:
		return nil, fmt.Errorf("%w: Last was not called", ErrConflict)
	case a.next != seq:
		return nil, fmt.Errorf("%w: append of %d, next is %d", ErrConflict, seq, a.next)
	}
	p := &Pending{seq: seq, size: len(data), done: make(chan struct{})}
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{jetstream.ExpectedLastSeqHeader: {strconv.FormatUint(seq-1, 10)}},
		Reply: a.inbox + "." + strconv.FormatUint(a.gen, 10) + "." + strconv.FormatUint(seq, 10)}
	if err := a.nc.PublishMsg(m); err != nil { // under the lock, so that appends leave in order
		err = classify(fmt.Errorf("publish entry %d: %w", seq, err))
		a.failLocked(err)
		return nil, err
	}
	a.next++
	a.bytes += p.size
	a.inFlight = append(a.inFlight, p)
	if len(a.inFlight) == 1 {
		a.stalled.Reset(ackTimeout)
	}
	return p, nil
}

// ack is what JetStream replies.
type ack struct {
	Error *jetstream.APIError `json:"error"`
	Seq   uint64              `json:"seq"`
}

func (a *appender) onReply(m *nats.Msg) {
	var gen, seq uint64
	rest := m.Subject[len(a.inbox)+1:]
	for i := range rest {
		if rest[i] == '.' {
			gen, _ = strconv.ParseUint(rest[:i], 10, 64)
			seq, _ = strconv.ParseUint(rest[i+1:], 10, 64)
		}
	}
	err := replyError(m, seq)
	a.mu.Lock()
	defer a.mu.Unlock()
	if gen != a.gen || len(a.inFlight) == 0 {
		return
	}
	if first := a.inFlight[0].seq; errors.Is(err, ErrConflict) && first < seq {
		// JetStream does not answer when a write fails; the entries behind it learn that it is not there.
		err = fmt.Errorf("%w: entry %d was not stored", ErrUnavailable, first)
	}
	if err != nil {
		a.failLocked(err)
		return
	}
	a.full = nil
	n := 0
	for n < len(a.inFlight) && a.inFlight[n].seq <= seq {
		a.bytes -= a.inFlight[n].size
		close(a.inFlight[n].done)
		a.inFlight[n] = nil
		n++
	}
	a.inFlight = a.inFlight[n:]
	if len(a.inFlight) == 0 {
		a.inFlight = nil
		a.stalled.Stop()
	} else {
		a.stalled.Reset(ackTimeout)
	}
	a.room.Broadcast()
}

func replyError(m *nats.Msg, seq uint64) error {
	if len(m.Data) == 0 {
		return fmt.Errorf("%w: no stream took entry %d", ErrUnavailable, seq)
	}
	var r ack
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return fmt.Errorf("read acknowledgement of entry %d: %w", seq, err)
	}
	if r.Error != nil {
		return classify(fmt.Errorf("append entry %d: %w", seq, r.Error))
	}
	if r.Seq != seq {
		return fmt.Errorf("%w: entry %d was stored as %d", ErrConflict, seq, r.Seq)
	}
	return nil
}

func (a *appender) onStall() {
	a.fail(fmt.Errorf("%w: no acknowledgement in %s", ErrUnavailable, ackTimeout))
}

// fail fails everything in flight. It is also called when the connection is lost.
func (a *appender) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failLocked(err)
}

func (a *appender) failLocked(err error) {
	if errors.Is(a.broken, ErrFull) && a.next == 0 {
		err = a.broken // the first cause is the one that says what to do
	}
	if errors.Is(err, ErrFull) {
		a.full = err
	}
	for _, p := range a.inFlight {
		p.err = err
		close(p.done)
	}
	a.inFlight, a.bytes, a.next, a.broken = nil, 0, 0, err
	a.gen++
	a.stalled.Stop()
	a.room.Broadcast()
}

// close fails what is in flight and ends the subscription.
func (a *appender) close() {
	a.mu.Lock()
	a.failLocked(fmt.Errorf("%w: closed", ErrUnavailable))
	a.closed = true
	a.mu.Unlock()
	_ = a.sub.Unsubscribe() // the connection is closed next
}
