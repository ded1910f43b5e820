package realtime

import (
	"context"
	"sync"
)

// outgoing is one frame on its way to one socket. channel is nil for control frames (replies, system, phx_close), which
// are always sent; content is sent only while its channel's version is the one it was queued with.
type outgoing struct {
	data     []byte
	channel  *channel
	version  uint64
	seq      uint64 // of a durable broadcast, else 0
	recovery bool   // the recovery message of a join
	entry    *entryFrame
}

// controlSlack is how many control frames may wait beyond the limits, so that a client can be told that it is slow; a
// client that lets more pile up is gone.
const controlSlack = 1024

// joinedBytes is about how much of the queue a writer joins into one write.
const joinedBytes = 64 << 10

// keptFrames is the largest backing array an empty queue keeps.
const keptFrames = 64

// queue holds what one socket has still to be sent. Frames leave in order, but urgent ones (heartbeat replies, pings)
// first. Full: push says so, and the socket drops its channels to recovery; pushWait blocks; control above the slack
// closes the socket.
type queue struct {
	maxBytes  int
	maxFrames int
	wake      chan struct{} // capacity 1: something to write

	mu     sync.Mutex
	urgent [][]byte
	frames []outgoing
	head   int
	bytes  int
	state  queueState
	last   []byte        // the close frame, sent after everything else
	space  chan struct{} // not nil: closed when there is room again
}

type queueState uint8

const (
	queueOpen      queueState = iota
	queueFinishing            // takes nothing more, is flushed, then last is sent
	queueShut                 // takes and gives nothing more
)

func newQueue(l Limits) *queue {
	return &queue{maxBytes: l.QueueBytes, maxFrames: l.QueueFrames, wake: make(chan struct{}, 1)}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // a wake is already waiting
	}
}

func (q *queue) add(f outgoing) {
	if q.head > keptFrames && q.head > len(q.frames)/2 {
		n := copy(q.frames, q.frames[q.head:])
		clear(q.frames[n:])
		q.frames, q.head = q.frames[:n], 0
	}
	q.frames = append(q.frames, f)
	q.bytes += len(f.data)
	q.signal()
}

// push queues content. False: there is no room, and the frame is not queued. Content of a channel that moved on is
// dropped and counts as pushed.
func (q *queue) push(f outgoing) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != queueOpen || f.version != f.channel.version.Load() {
		return true
	}
	if q.bytes+len(f.data) > q.maxBytes || len(q.frames)-q.head >= q.maxFrames {
		return false
	}
	q.add(f)
	return true
}

// pushWait queues content when the queue is at most half full, so that a replay leaves room for what is live. False: ctx
// ended, the queue ended or the channel moved on.
func (q *queue) pushWait(ctx context.Context, f outgoing) bool {
	for {
		q.mu.Lock()
		if q.state != queueOpen || f.version != f.channel.version.Load() {
			q.mu.Unlock()
			return false
		}
		if q.roomy() {
			q.add(f)
			q.mu.Unlock()
			return true
		}
		if q.space == nil {
			q.space = make(chan struct{})
		}
		space := q.space
		q.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
			return false
		}
	}
}

func (q *queue) roomy() bool { return q.bytes <= q.maxBytes/2 && len(q.frames)-q.head <= q.maxFrames/2 }

// control queues a frame that is always sent. False: the client has stopped reading, close the socket.
func (q *queue) control(data []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != queueOpen {
		return true
	}
	if len(q.frames)-q.head >= q.maxFrames+controlSlack {
		return false
	}
	q.add(outgoing{data: data})
	return true
}

// first queues an urgent frame. False: as control.
func (q *queue) first(data []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != queueOpen {
		return true
	}
	if len(q.urgent) >= controlSlack {
		return false
	}
	q.urgent = append(q.urgent, data)
	q.signal()
	return true
}

// barrier returns when every pop that may still have seen a channel's version before it moved has ended, and gives the
// Seq of the channel's last durable broadcast that left the queue, and whether its recovery message did.
func (q *queue) barrier(c *channel) (sent uint64, told bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return c.sent, c.told
}

// begin sets the Seq after which the channel's durable broadcasts start.
func (q *queue) begin(c *channel, seq uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.sent = seq
}

// purge drops content whose channel moved on, so that it takes no room.
func (q *queue) purge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.frames[:0]
	q.bytes = 0
	for _, f := range q.frames[q.head:] {
		if f.channel == nil || f.version == f.channel.version.Load() {
			kept = append(kept, f)
			q.bytes += len(f.data)
		}
	}
	clear(q.frames[len(kept):])
	q.frames, q.head = kept, 0
	q.freeWaiters()
}

// pop appends to buf what is to be written next, and to entries the durable broadcasts in it. ended: nothing will follow.
// A frame's grant is checked here, as it leaves: its channel's version must be the one it was queued with.
func (q *queue) pop(buf []byte, entries []*entryFrame) (_ []byte, _ []*entryFrame, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state == queueShut {
		return buf, entries, true
	}
	for _, data := range q.urgent {
		buf = append(buf, data...)
	}
	q.urgent = nil
	for q.head < len(q.frames) && len(buf) < joinedBytes {
		f := q.frames[q.head]
		q.frames[q.head] = outgoing{}
		q.head++
		q.bytes -= len(f.data)
		if f.channel != nil {
			if f.version != f.channel.version.Load() {
				continue
			}
			if f.seq > 0 {
				f.channel.sent = f.seq
			}
			f.channel.told = f.channel.told || f.recovery
		}
		buf = append(buf, f.data...)
		if f.entry != nil {
			entries = append(entries, f.entry)
		}
	}
	if q.head < len(q.frames) {
		q.signal()
	} else {
		q.empty()
		if q.state == queueFinishing {
			buf = append(buf, q.last...)
			q.state = queueShut
			ended = true
		}
	}
	q.freeWaiters()
	return buf, entries, ended
}

func (q *queue) empty() {
	q.frames, q.head = q.frames[:0], 0
	if cap(q.frames) > keptFrames {
		q.frames = nil
	}
}

func (q *queue) freeWaiters() {
	if q.space != nil && (q.roomy() || q.state != queueOpen) {
		close(q.space)
		q.space = nil
	}
}

// finish takes nothing more, and lets the writer send what is queued and then last.
func (q *queue) finish(last []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state == queueOpen {
		q.state, q.last = queueFinishing, last
	}
	q.freeWaiters()
	q.signal()
}

// shut drops what is queued and ends the writer.
func (q *queue) shut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state = queueShut
	q.urgent, q.frames, q.head, q.bytes = nil, nil, 0, 0
	q.freeWaiters()
	q.signal()
}
