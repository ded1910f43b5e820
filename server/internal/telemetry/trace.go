package telemetry

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// KeptTraces is how many messages' timings stay in memory.
const KeptTraces = 10_000

// Stages of a message, in the order of its path. A stage that a message did not reach has a zero time.
const (
	StageCommitted = "committed"
	StageReceived  = "received"
	StageOpened    = "opened"
	StageAssessed  = "assessed"
	StageRecorded  = "recorded"
	StageRelayed   = "relayed"
)

// Stages lists the stages in order.
var Stages = [...]string{StageCommitted, StageReceived, StageOpened, StageAssessed, StageRecorded, StageRelayed}

// Trace is when one message reached each stage, indexed as Stages, with the LSN of its commit ("" when unknown).
type Trace struct {
	Message uuid.UUID
	LSN     string
	At      [len(Stages)]time.Time
}

// Tracer keeps the traces of the last KeptTraces messages in a ring: no text, no growth. Safe for concurrent use.
type Tracer struct {
	onStage func(stage string, sinceCommit time.Duration)

	mu   sync.Mutex
	ring []Trace
	next int
	by   map[uuid.UUID]int
}

// NewTracer returns an empty tracer. onStage, when not nil, hears of each stage's distance from its commit.
func NewTracer(onStage func(stage string, sinceCommit time.Duration)) *Tracer {
	return &Tracer{onStage: onStage, by: make(map[uuid.UUID]int, KeptTraces)}
}

// Mark notes that message reached stage at. The first mark of a stage wins: a redelivery does not rewrite history.
// An unknown stage is ignored.
func (t *Tracer) Mark(message uuid.UUID, stage string, at time.Time) {
	i := stageIndex(stage)
	if i < 0 {
		return
	}
	t.mu.Lock()
	e := t.entry(message)
	fresh := e.At[i].IsZero()
	if fresh {
		e.At[i] = at
	}
	committed := e.At[0]
	t.mu.Unlock()
	if fresh && i > 0 && !committed.IsZero() && t.onStage != nil {
		t.onStage(stage, at.Sub(committed))
	}
}

// SetLSN notes the LSN of the message's commit, as Postgres prints it.
func (t *Tracer) SetLSN(message uuid.UUID, lsn string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entry(message).LSN = lsn
}

// Get returns the message's trace; ok is false when it is not kept (too old, or before this process started).
func (t *Tracer) Get(message uuid.UUID) (trace Trace, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.by[message]
	if !ok {
		return Trace{}, false
	}
	return t.ring[i], true
}

// entry returns the message's place in the ring, taking the oldest one's when it is new. The caller holds mu.
func (t *Tracer) entry(message uuid.UUID) *Trace {
	if i, ok := t.by[message]; ok {
		return &t.ring[i]
	}
	if len(t.ring) < KeptTraces {
		t.ring = append(t.ring, Trace{})
	}
	i := t.next
	t.next = (t.next + 1) % KeptTraces
	delete(t.by, t.ring[i].Message)
	t.ring[i] = Trace{Message: message}
	t.by[message] = i
	return &t.ring[i]
}

func stageIndex(stage string) int {
	for i, s := range Stages {
		if s == stage {
			return i
		}
	}
	return -1
}
