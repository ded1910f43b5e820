package pipeline_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/pipeline"
	"vigil/server/internal/triage"
)

// tables stands for the store, in memory, so that hours can pass in a test: real Postgres cannot stand in a bubble of
// false time. What it does is a few lines; what SQL does is tested against Postgres.
type tables struct {
	mu       sync.Mutex
	progress map[uuid.UUID]triage.Progress
	messages map[uuid.UUID][]triage.Message
	outcomes map[uuid.UUID]triage.Outcome
	at       map[uuid.UUID]time.Time // when each outcome was recorded
	away     error                   // the outage
	refuse   func(triage.Outcome) error
	open     func(triage.Message) ([]byte, error)
}

func newTables() *tables {
	return &tables{
		progress: make(map[uuid.UUID]triage.Progress), messages: make(map[uuid.UUID][]triage.Message),
		outcomes: make(map[uuid.UUID]triage.Outcome), at: make(map[uuid.UUID]time.Time),
		open: func(triage.Message) ([]byte, error) { return []byte(`{"t":"text","body":"a day","ts":1}`), nil },
	}
}

func (f *tables) config() pipeline.Config {
	return pipeline.Config{
		Source: func(ctx context.Context, _ func(context.Context, []pipeline.Entry) error) error {
			<-ctx.Done()
			return nil
		},
		Opener: f, Assessor: quoting{}, Recorder: f, Progress: f, Lookup: f, Log: silent(),
	}
}

func (f *tables) Forget(uuid.UUID) {}
func (f *tables) ForgetAll()       {}

func (f *tables) Open(_ context.Context, m triage.Message) ([]byte, error) {
	f.mu.Lock()
	open := f.open
	f.mu.Unlock()
	return open(m)
}

func (f *tables) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *tables) send(session uuid.UUID) triage.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := int64(len(f.messages[session]))
	m := triage.Message{ID: uuid.New(), SessionID: session, Position: last + 1, PreviousAssistedPosition: last, CreatedAt: time.Now()}
	f.messages[session] = append(f.messages[session], m)
	if last == 0 {
		f.progress[session] = triage.Progress{SessionID: session}
	}
	return m
}

func (f *tables) Record(_ context.Context, advances []triage.Advance) ([]triage.Recorded, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return nil, triage.Unavailable(f.away)
	}
	recorded := make([]triage.Recorded, len(advances))
	for i, a := range advances {
		p := f.progress[a.SessionID]
		for _, o := range a.Outcomes {
			if f.refuse != nil && f.refuse(o) != nil {
				return nil, f.refuse(o)
			}
		}
		if p.Position != a.From {
			continue
		}
		p.Position, p.State, p.Topics = a.To, a.State, a.Topics
		f.progress[a.SessionID], recorded[i].Moved = p, true
		for _, o := range a.Outcomes {
			f.outcomes[o.Message.ID], f.at[o.Message.ID] = o, time.Now()
		}
	}
	return recorded, nil
}

func (f *tables) Progress(_ context.Context, sessions []uuid.UUID) (found []triage.Progress, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range sessions {
		found = append(found, f.progress[s])
	}
	return found, triage.Unavailable(f.away)
}

func (f *tables) Backlog(_ context.Context, session uuid.UUID, limit int) (triage.Backlog, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, p := f.messages[session], f.progress[session]
	b := triage.Backlog{Progress: p, Last: int64(len(all))}
	b.Messages = append(b.Messages, all[p.Position:min(len(all), int(p.Position)+limit)]...)
	return b, true, triage.Unavailable(f.away)
}

func (f *tables) Behind(_ context.Context, after uuid.UUID, _ time.Duration, _ int) (found []triage.Behind, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s, p := range f.progress {
		if last := int64(len(f.messages[s])); p.Position < last && after == uuid.Nil {
			found = append(found, triage.Behind{SessionID: s, Position: p.Position, Last: last})
		}
	}
	return found, triage.Unavailable(f.away)
}

func (f *tables) Policies(context.Context, []uuid.UUID) ([]triage.CrisisPolicy, error) {
	return nil, nil
}

func (f *tables) Earlier(_ context.Context, session uuid.UUID, after, upTo int64, limit int) ([]triage.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.messages[session]
	return all[after:min(upTo, after+int64(limit))], triage.Unavailable(f.away)
}

func (f *tables) Visible(context.Context, []uint32) (bool, error) { return true, nil }

func (f *tables) outcome(m triage.Message) (triage.Outcome, time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.outcomes[m.ID]
	return o, f.at[m.ID], ok
}

// inBubble runs a pipeline on tables in a bubble of false time.
func inBubble(t *testing.T, do func(t *testing.T, f *tables, p *pipeline.Pipeline)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newTables()
		p := pipeline.New(f.config())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }() // waited for below
		synctest.Wait()
		do(t, f, p)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// pass lets false time pass.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
	synctest.Wait()
}

func TestTemporaryFailureIsGivenUpAfterTenMinutesAndNotBefore(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, f *tables, p *pipeline.Pipeline) {
		f.set(func() { f.open = func(triage.Message) ([]byte, error) { return nil, errors.New("no key yet") } })
		session := uuid.New()
		first, second := f.send(session), f.send(session)
		pass(t, time.Minute) // reconcile finds them
		began := time.Now()
		pass(t, 5*time.Minute)
		late := f.send(session)
		pass(t, 4*time.Minute+30*time.Second)
		if _, _, ok := f.outcome(first); ok {
			t.Error("given up before ten minutes")
		}
		pass(t, time.Minute)
		for _, m := range []triage.Message{first, second} {
			o, at, ok := f.outcome(m)
			if !ok || o.Reason != triage.ReasonGaveUp {
				t.Fatalf("outcome %+v %v, want it given up", o, ok)
			}
			if waited := at.Sub(began); waited < 9*time.Minute+59*time.Second || waited > 10*time.Minute+31*time.Second {
				t.Errorf("given up after %s", waited)
			}
			if alert, raised := o.Alert(); !raised || alert.Source != triage.SourceNotAssessed {
				t.Errorf("alert %+v raised %v", alert, raised)
			}
		}
		if _, _, ok := f.outcome(late); ok {
			t.Error("a message that came later was given up with the first")
		}
		pass(t, 5*time.Minute)
		if o, _, ok := f.outcome(late); !ok || o.Reason != triage.ReasonGaveUp {
			t.Errorf("outcome %+v %v of the later message", o, ok)
		}
	})
}

func TestTemporaryFailureThatMendsIsAssessed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, f *tables, p *pipeline.Pipeline) {
		works := f.open
		f.set(func() { f.open = func(triage.Message) ([]byte, error) { return nil, errors.New("no key yet") } })
		m := f.send(uuid.New())
		pass(t, 9*time.Minute)
		f.set(func() { f.open = works })
		pass(t, 31*time.Second)
		if o, _, ok := f.outcome(m); !ok || o.Reason != "" || o.Assessment.Level != 5 {
			t.Errorf("outcome %+v %v, want it assessed", o, ok)
		}
		if s := p.Stats(); s.Parked != 0 || s.Failures == 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestOutageIsHeldAgainstNoMessage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, f *tables, _ *pipeline.Pipeline) {
		m := f.send(uuid.New())
		f.set(func() {
			f.away = errors.New("connection refused")
			f.open = func(triage.Message) ([]byte, error) { return nil, triage.Unavailable(errors.New("connection refused")) }
		})
		pass(t, time.Minute)
		f.set(func() { f.away = nil }) // messages can be read again; keys still cannot
		pass(t, 3*time.Hour)
		if _, _, ok := f.outcome(m); ok {
			t.Fatal("an outage was held against a message")
		}
		f.set(func() { f.open = newTables().open })
		pass(t, 2*time.Minute)
		if o, _, ok := f.outcome(m); !ok || o.Reason != "" {
			t.Errorf("outcome %+v %v after the outage", o, ok)
		}
	})
}

func TestRowThatTheDatabaseRefusesIsRecordedAsSuch(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, f *tables, _ *pipeline.Pipeline) {
		session := uuid.New()
		messages := []triage.Message{f.send(session), f.send(session), f.send(session)}
		f.set(func() {
			f.refuse = func(o triage.Outcome) error {
				if o.Message.ID == messages[1].ID && o.Reason == "" {
					return triage.PermanentFor(triage.ReasonUnrecordable, errors.New("check violated"))
				}
				return nil
			}
		})
		pass(t, 2*time.Minute)
		for i, want := range []triage.Reason{"", triage.ReasonUnrecordable, ""} {
			if o, _, ok := f.outcome(messages[i]); !ok || o.Reason != want {
				t.Errorf("message %d: reason %q recorded %v, want %q", i, o.Reason, ok, want)
			}
		}
	})
}
