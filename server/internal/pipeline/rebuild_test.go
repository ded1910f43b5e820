package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/pipeline"
	"vigil/server/internal/triage"
)

// rebuilding runs a pipeline on a session of five messages, three of which another version of the detector has assessed.
// Opening the second of them fails with broken.
func rebuilding(t *testing.T, broken error, do func(t *testing.T, f *tables, p *pipeline.Pipeline, session uuid.UUID)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f, session := newTables(), uuid.New()
		f.breakSecond(broken)
		for range 5 {
			f.send(session)
		}
		f.progress[session] = triage.Progress{SessionID: session, Position: 3, State: triage.State{Version: 3, Data: []byte{200}}}
		p := pipeline.New(scripted{map[string]triage.Assessment{"a day": {Topics: []string{"work"}}}}.scripts(f.config()))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }() // waited for below
		synctest.Wait()
		do(t, f, p, session)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// breakSecond makes the second message fail to open; nil mends it.
func (f *tables) breakSecond(broken error) {
	f.set(func() {
		f.open = func(m triage.Message) ([]byte, error) {
			if m.Position == 2 && broken != nil {
				return nil, broken
			}
			return []byte(`{"t":"text","body":"a day","ts":1}`), nil
		}
	})
}

func TestStateOfAnotherVersionIsBuiltAnewFromTheMessages(t *testing.T) {
	t.Parallel()
	rebuilding(t, nil, func(t *testing.T, f *tables, p *pipeline.Pipeline, session uuid.UUID) {
		pass(t, 2*time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		got := f.progress[session]
		if got.Position != 5 || got.State.Version != scriptedState || len(got.State.Data) != 1 || got.State.Data[0] != 5 {
			t.Errorf("progress %+v, want a state of five messages", got)
		}
		if len(f.outcomes) != 2 {
			t.Errorf("%d outcomes: what was assessed is not recorded again", len(f.outcomes))
		}
		if len(got.Topics) != 1 || got.Topics[0].Weight < 4 {
			t.Errorf("topics %v, want those of five messages", got.Topics)
		}
		if rebuilt := p.Stats().Rebuilt; rebuilt != 1 {
			t.Errorf("%d sessions rebuilt, want 1", rebuilt)
		}
	})
}

func TestMessageThatCannotBeOpenedAnyMoreDoesNotHoldTheRebuildUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		wait time.Duration
	}{
		"for good":           {triage.Permanent(errors.New("consent withdrawn")), 2 * time.Minute},
		"for now":            {errors.New("no key yet"), 2 * time.Minute},
		"because of outages": {triage.Unavailable(errors.New("away")), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rebuilding(t, c.err, func(t *testing.T, f *tables, _ *pipeline.Pipeline, session uuid.UUID) {
				wait := c.wait
				if wait == 0 { // an outage is waited for, however long
					pass(t, 20*time.Minute)
					f.set(func() {
						if f.progress[session].Position != 3 {
							t.Error("the session went on during the outage")
						}
					})
					f.breakSecond(triage.Permanent(errors.New("erased")))
					wait = 2 * time.Minute
				}
				pass(t, wait)
				f.mu.Lock()
				defer f.mu.Unlock()
				if got := f.progress[session]; got.Position != 5 || got.State.Version != scriptedState || got.State.Data[0] != 4 {
					t.Errorf("progress %+v, want a state of four messages", got)
				}
			})
		})
	}
}

// A live session, in real Postgres: the state that another version left behind is met when the next message comes.
func TestLiveSessionIsRebuiltBeforeItsNextMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	config := scripted{}.scripts(b.patient())
	b.log.append(b.shown(t, s.Send(t, "one"), s.Send(t, "two"))...)
	_, stop := run(t, config)
	b.awaitAssessed(t)
	stop()
	if _, err := b.Superuser.Exec(t.Context(), `update public.session_progress set state = '"yMjI"', state_version = 99`); err != nil {
		t.Fatal(err)
	}
	p, stop := run(t, config)
	b.log.append(b.shown(t, s.Send(t, "three"), s.Send(t, "four"))...)
	b.awaitAssessed(t)
	stop()
	b.demandExactlyOnce(t)
	if n := b.count(t, `public.session_progress where state = '"BA=="' and state_version = 7`); n != 1 {
		t.Error("the state is not that of four messages")
	}
	if rebuilt := p.Stats().Rebuilt; rebuilt != 1 {
		t.Errorf("%d sessions rebuilt, want 1", rebuilt)
	}
}
