package pipeline

import (
	"container/heap"
	"container/list"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/triage"
)

// sessions remembers the progress of live sessions, the least recently used going first. What it says was true after the
// last commit made here; a compare-and-set finds out if it no longer is. Not safe for concurrent use: Pipeline.mu.
type sessions struct {
	limit  int
	by     map[uuid.UUID]*list.Element // of triage.Progress
	recent *list.List                  // front = most recently used
}

func newSessions(limit int) *sessions {
	return &sessions{limit: limit, by: make(map[uuid.UUID]*list.Element), recent: list.New()}
}

func (s *sessions) len() int { return len(s.by) }

func (s *sessions) clear() {
	clear(s.by)
	s.recent.Init()
}

func (s *sessions) get(id uuid.UUID) (triage.Progress, bool) {
	element, ok := s.by[id]
	if !ok {
		return triage.Progress{}, false
	}
	s.recent.MoveToFront(element)
	p, ok := element.Value.(triage.Progress)
	return p, ok
}

func (s *sessions) put(p triage.Progress) {
	if element, ok := s.by[p.SessionID]; ok {
		element.Value = p
		s.recent.MoveToFront(element)
		return
	}
	s.by[p.SessionID] = s.recent.PushFront(p)
	for len(s.by) > s.limit {
		oldest := s.recent.Back()
		s.recent.Remove(oldest)
		if p, ok := oldest.Value.(triage.Progress); ok {
			delete(s.by, p.SessionID)
		}
	}
}

func (s *sessions) drop(id uuid.UUID) {
	if element, ok := s.by[id]; ok {
		s.recent.Remove(element)
		delete(s.by, id)
	}
}

// parked is a session that is caught up from the tables. Its fields are guarded by Pipeline.mu while it stands in the
// parking's heap, and belong to one worker while it does not; target is always guarded.
type parked struct {
	session uuid.UUID
	target  int64 // the newest position that the log or the tables have named

	due     time.Time
	attempt int       // failures in a row
	since   time.Time // when a message began to fail for a temporary cause; zero: none does
	unseen  time.Time // since when target is not visible in the tables; zero: it is, or there is more to do before it
	limit   int       // messages at a time
}

// parking holds the parked sessions: all of them by id, and those that wait for a worker by when they are due. Not safe
// for concurrent use: Pipeline.mu.
type parking struct {
	limit   int
	by      map[uuid.UUID]*parked
	waiting waiting
}

func newParking(limit int) *parking { return &parking{limit: limit, by: make(map[uuid.UUID]*parked)} }

func (k *parking) len() int { return len(k.by) }

// raise sets a parked session's target to at least position; false when the session is not parked.
func (k *parking) raise(session uuid.UUID, position int64) bool {
	s, ok := k.by[session]
	if ok {
		s.target = max(s.target, position)
	}
	return ok
}

// add parks a session, due at once. false: there are too many.
func (k *parking) add(session uuid.UUID, target int64, now time.Time) bool {
	if k.raise(session, target) {
		return true
	}
	if len(k.by) >= k.limit {
		return false
	}
	s := &parked{session: session, target: target, due: now, limit: catchUpMessages}
	k.by[session] = s
	heap.Push(&k.waiting, s)
	return true
}

// take gives the next session that is due, or how long until one is; 0 when none waits.
func (k *parking) take(now time.Time) (*parked, time.Duration) {
	if len(k.waiting) == 0 {
		return nil, 0
	}
	if wait := k.waiting[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	s, _ := heap.Pop(&k.waiting).(*parked)
	return s, 0
}

// back gives a session that take gave, to be taken again when it is due.
func (k *parking) back(s *parked) { heap.Push(&k.waiting, s) }

func (k *parking) remove(s *parked) { delete(k.by, s.session) }

// waiting is a heap by due.
type waiting []*parked

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]

}

// Push implements heap.Interface.
func (w *waiting) Push(x any) {
	if s, ok := x.(*parked); ok {
		*w = append(*w, s)
	}
}

// Pop implements heap.Interface.
func (w *waiting) Pop() any {
	last := len(*w) - 1
	s := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return s
}
