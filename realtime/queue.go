package realtime

import (
	"context"
	"sync"
)

// outgoing is one frame on its way to one socket. channel is nil for control frames (replies, system, phx_close), which
// are always sent; content is sent only while its channel's version is the one it was queued with.
type outgoing struct {
	data     []byte
	kind     kind
	channel  *channel
	version  uint64
	seq      uint64 // of a durable broadcast, else 0
	recovery bool   // the recovery message of a join
	entry    *entryFrame
}

// kind says what becomes of a frame that finds no room.
type kind uint8

const (
	kept     kind = iota // durable broadcasts and control: the client is told that it is slow, and replays
	passing              // client broadcasts and presence diffs: dropped for this socket
	standing             // presence_state: sent once there is room
	kinds
)

// load is what the frames of one kind take.
type load struct{ bytes, frames int }

// controlSlack is how many control frames may wait beyond the limits, so that a client can be told that it is slow; a
// client that lets more pile up is gone.
const controlSlack = 1024

// joinedBytes is about how much of the queue a writer joins into one write.
const joinedBytes = 64 << 10

// keptFrames is the largest backing array an empty queue keeps.
const keptFrames = 64

// queue holds what one socket has still to be sent. Frames leave in order, but urgent ones (heartbeat replies, pings)
// first. Full: push says so, and the caller does what the frame's kind asks for; pushWait blocks; control above the slack
// closes the socket.
//
// The limits are for what is kept. The two ephemeral kinds come on top, a quarter of the limits each, and wait until a
// quarter is free of what is kept: so they fill nothing that a durable broadcast or a reply needs, and once a client falls
// behind it is sent nothing else.
type queue struct {
	maxBytes  int
	maxFrames int
	write     func() // starts the writer, which calls pop until rest says that it may end

	mu      sync.Mutex
	writing bool // a writer runs
	called  bool // there is something for it to do
	urgent  [][]byte
	frames  []outgoing
	head    int
	loads   [kinds]load
	state   queueState
	last    []byte        // the close frame, sent after everything else
	space   chan struct{} // not nil: closed when there is room again
}

type queueState uint8

const (
	queueOpen      queueState = iota
	queueFinishing            // takes nothing more, is flushed, then last is sent
	queueShut                 // takes and gives nothing more
)

func newQueue(l Limits, write func()) *queue {
	return &queue{maxBytes: l.QueueBytes, maxFrames: l.QueueFrames, write: write}
}

// signal has the writer come by. The caller holds mu.
func (q *queue) signal() {
	q.called = true
	if !q.writing {
		q.writing = true
		q.write()
	}
}

// poke has the writer come by though nothing was queued.
func (q *queue) poke() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.signal()
}

// rest says whether the writer may end; the next signal then starts another.
func (q *queue) rest() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing = q.called
	return !q.called
}

func (q *queue) add(f outgoing) {
	if q.head > keptFrames && q.head > len(q.frames)/2 {
		n := copy(q.frames, q.frames[q.head:])
		clear(q.frames[n:])
		q.frames, q.head = q.frames[:n], 0
	}
	q.frames = append(q.frames, f)
	q.count(f, 1)
	q.signal()
}

// count notes that a frame came (1) or left (-1). The caller holds mu.
func (q *queue) count(f outgoing, by int) {
	q.loads[f.kind].bytes += by * len(f.data)
	q.loads[f.kind].frames += by
}

// ephemeralShare is the part of the queue's limits that each ephemeral kind may take, and that must be free of what is kept
// before it takes any.
const ephemeralShare = 4

// fits says whether n bytes more of a kind may wait. Of an ephemeral kind one frame may, of any size. The caller holds mu.
func (q *queue) fits(k kind, n int) bool {
	durable, own := q.loads[kept], q.loads[k]
	if k == kept {
		return durable.bytes+n <= q.maxBytes && durable.frames < q.maxFrames
	}
	if durable.bytes > q.maxBytes-q.maxBytes/ephemeralShare || durable.frames > q.maxFrames-q.maxFrames/ephemeralShare {
		return false
	}
	return own.frames == 0 || own.bytes+n <= q.maxBytes/ephemeralShare && own.frames < q.maxFrames/ephemeralShare
}

// settles says whether the next presence_state that is owed may go: one at a time, of any size. If not, something is
// queued, so the writer comes by again.
func (q *queue) settles() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.state == queueOpen && q.loads[standing].frames == 0 && q.fits(standing, 0)
}

// push queues content. False: there is no room, and the frame is not queued. Content of a channel that moved on is
// dropped and counts as pushed.
func (q *queue) push(f outgoing) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != queueOpen || f.version != f.channel.version.Load() {
		return true
	}
	if !q.fits(f.kind, len(f.data)) {
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

func (q *queue) roomy() bool {
	return q.loads[kept].bytes <= q.maxBytes/2 && q.loads[kept].frames <= q.maxFrames/2
}

// control queues a frame that is always sent. False: the client has stopped reading, close the socket.
func (q *queue) control(data []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != queueOpen {
		return true
	}
	if q.loads[kept].frames >= q.maxFrames+controlSlack {
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
	valid := q.frames[:0]
	q.loads = [kinds]load{}
	for _, f := range q.frames[q.head:] {
		if f.channel == nil || f.version == f.channel.version.Load() {
			valid = append(valid, f)
			q.count(f, 1)
		}
	}
	clear(q.frames[len(valid):])
	q.frames, q.head = valid, 0
	q.freeWaiters()
}

// pop appends to buf what is to be written next, and to entries the durable broadcasts in it. ended: nothing will follow.
// A frame's grant is checked here, as it leaves: its channel's version must be the one it was queued with.
func (q *queue) pop(buf []byte, entries []*entryFrame) (_ []byte, _ []*entryFrame, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.called = false
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
		q.count(f, -1)
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
		q.called = true
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

// shut drops what is queued and takes nothing more; a writer that runs ends.
func (q *queue) shut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state = queueShut
	q.urgent, q.frames, q.head, q.loads = nil, nil, 0, [kinds]load{}
	q.freeWaiters()
}
