package suggest_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/internal/suggest"
	"vigil/server/internal/triage"
)

func TestARequestIsAnsweredFromTheBankWithoutOpeningAnything(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	b.run(t, b.config())
	s := b.Session(t)
	m := s.Send(t, "I think of ending it")
	b.log.entries <- b.assessed(t, m, triage.Assessment{Level: triage.LevelIntent})
	if o := b.next(t); o.outcome != suggest.OutcomeForgone {
		t.Fatalf("unasked in an organisation that wants to be asked: %+v", o)
	}
	id, entry := b.ask(t, s)
	b.log.entries <- entry
	if o := b.next(t); o != (outcome{suggest.OutcomeOffered, "bank"}) {
		t.Fatalf("%+v", o)
	}
	got := b.one(t, m.ID)
	if got.id != id || got.status != "offered" || got.source != "bank" || got.text == "" || got.seals != 1 || !got.asked {
		t.Errorf("%+v", got)
	}
	if n := b.envelope.opened(); n != 0 {
		t.Errorf("%d messages were opened for a text of the bank", n)
	}
	if strings.Contains(b.lines.String(), got.text) {
		t.Error("the draft is in the log")
	}
	for _, message := range []uuid.UUID{m.ID} {
		if _, err := envelope.OpenSuggestion(s.Client.Device, b.Analysis.SigPub(), envelope.Suggestion{ID: got.id, Session: s.ID, Message: message, Device: s.Client.Device.KID()}); err == nil {
			t.Error("the client's device opened it")
		}
	}
}

func TestWhatIsForReviewIsAnsweredUnaskedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingElevated)
	b.run(t, b.config())
	s := b.Session(t)
	calm, loud := s.Send(t, "one"), s.Send(t, "two")
	b.log.entries <- b.assessed(t, calm, triage.Assessment{})
	entry := b.assessed(t, loud, triage.Assessment{Level: triage.LevelWishToBeDead})
	b.log.entries <- entry
	if o := b.next(t); o != (outcome{suggest.OutcomeOffered, "bank"}) {
		t.Fatalf("%+v", o)
	}
	b.log.entries <- entry
	if o := b.next(t); o.outcome != suggest.OutcomeForgone {
		t.Errorf("again: %+v", o)
	}
	if got := b.one(t, loud.ID); got.asked || got.text == "" {
		t.Errorf("%+v", got)
	}
	if found := b.stored(t, calm.ID); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestWhyThereIsNoneIsRecorded(t *testing.T) {
	t.Parallel()
	for reason, before := range map[string]func(t *testing.T, b *bundle, m triage.Message){
		"no_consent": func(t *testing.T, b *bundle, m triage.Message) {
			b.exec(t, `update public.devices set revoked_at = now() where id = $1`, m.SenderDeviceID) // that signed it; a withdrawal withdraws the request
		},
		"no_device": func(t *testing.T, b *bundle, _ triage.Message) {
			b.exec(t, `update public.devices set revoked_at = now() where id = $1`, b.Therapist.Device.KID())
		},
		"strict": func(t *testing.T, b *bundle, m triage.Message) {
			b.exec(t, `update public.sessions set mode = 'strict' where id = $1`, m.SessionID)
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := setup(t, triage.SuggestingOnDemand)
			s := b.Session(t)
			m := s.Send(t, "one")
			b.assessed(t, m, triage.Assessment{})
			_, entry := b.ask(t, s)
			before(t, b, m)
			b.run(t, b.config())
			b.log.entries <- entry
			if o := b.next(t); o.outcome != reason {
				t.Errorf("%+v", o)
			}
			if got := b.one(t, m.ID); got.status != "not_made" || got.reason != reason || got.seals != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestARequestWaitsForItsAssessment(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	b.run(t, b.config())
	s := b.Session(t)
	m := s.Send(t, "one")
	_, entry := b.ask(t, s)
	b.log.entries <- entry
	<-b.log.handled
	b.log.entries <- b.assessed(t, m, triage.Assessment{Topics: []string{"grief"}})
	if o := b.next(t); o.outcome != suggest.OutcomeOffered {
		t.Fatalf("%+v", o)
	}
	if got := b.one(t, m.ID); !strings.HasPrefix(got.move, "topic.grief") {
		t.Errorf("%+v", got)
	}
}

func TestARequestThatWaitedInVainIsNotOpened(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	s := b.Session(t)
	m := s.Send(t, "one")
	_, entry := b.ask(t, s)
	c := b.config()
	c.Patience = time.Nanosecond
	b.run(t, c)
	b.log.entries <- entry
	if o := b.next(t); o.outcome != "not_opened" {
		t.Errorf("%+v", o)
	}
	if got := b.one(t, m.ID); got.reason != "not_opened" {
		t.Errorf("%+v", got)
	}
}

// TestWhatACrashLeftIsMadeAtTheNextStart: the log says nothing of either any more.
func TestWhatACrashLeftIsMadeAtTheNextStart(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingElevated)
	s, other := b.Session(t), b.Session(t)
	asked, unasked := s.Send(t, "one"), other.Send(t, "two")
	b.assessed(t, asked, triage.Assessment{})
	b.assessed(t, unasked, triage.Assessment{Distress: true})
	b.ask(t, s)
	b.run(t, b.config())
	for range 2 {
		if o := b.next(t); o.outcome != suggest.OutcomeOffered {
			t.Errorf("%+v", o)
		}
	}
	if got := b.one(t, asked.ID); !got.asked || got.text == "" {
		t.Errorf("%+v", got)
	}
	if got := b.one(t, unasked.ID); got.asked || got.text == "" {
		t.Errorf("%+v", got)
	}
}

func TestTooManyAtOnceAreShedAndSayBusy(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	s, other, third := b.Session(t), b.Session(t), b.Session(t)
	began, end := make(chan struct{}, 3), make(chan struct{})
	c := b.config()
	c.Workers, c.Queue = 1, 1
	c.At = func(point string) {
		if point == suggest.AtBeforeDraft {
			began <- struct{}{}
			<-end
		}
	}
	b.run(t, c)
	var messages []triage.Message
	for i, of := range []interface {
		Send(tb testing.TB, text string) triage.Message
	}{s, other, third} {
		messages = append(messages, of.Send(t, "one"))
		b.assessed(t, messages[i], triage.Assessment{})
	}
	_, first := b.ask(t, s)
	_, second := b.ask(t, other)
	_, last := b.ask(t, third)
	b.log.entries <- first
	<-began // the only worker is busy
	b.log.entries <- second
	b.log.entries <- last
	if o := b.next(t); o.outcome != "busy" {
		t.Errorf("%+v", o)
	}
	close(end)
	for range 2 {
		if o := b.next(t); o.outcome != suggest.OutcomeOffered {
			t.Errorf("%+v", o)
		}
	}
	if got := b.one(t, messages[2].ID); got.status != "not_made" || got.reason != "busy" {
		t.Errorf("%+v", got)
	}
}

func TestNoTextIsGivenTwiceInASession(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingElevated)
	b.run(t, b.config())
	s := b.Session(t)
	texts := map[string]bool{}
	for range 6 {
		m := s.Send(t, "one")
		b.log.entries <- b.assessed(t, m, triage.Assessment{Level: triage.LevelPlanAndIntent, Alert: true})
		if o := b.next(t); o.outcome != suggest.OutcomeOffered {
			t.Fatalf("%+v", o)
		}
		got := b.one(t, m.ID)
		if texts[got.text] {
			t.Errorf("%q came again", got.move)
		}
		texts[got.text] = true
	}
}

// panicking opens nothing: it panics with what a detector of leaks would find.
type panicking struct{ *ringEnvelope }

func (panicking) Seal(context.Context, triage.Message, uuid.UUID, []uuid.UUID, string) ([]triage.Seal, error) {
	panic("canary in a panic")
}

func TestAPanicShowsNothingAndEndsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingOnDemand)
	s := b.Session(t)
	m := s.Send(t, "one")
	b.assessed(t, m, triage.Assessment{})
	_, entry := b.ask(t, s)
	c := b.config()
	c.Envelope = panicking{b.envelope}
	stop := b.run(t, c)
	b.log.entries <- entry
	if o := b.next(t); o.outcome != suggest.OutcomeFailed {
		t.Errorf("%+v", o)
	}
	stop()
	if strings.Contains(b.lines.String(), "canary") {
		t.Error("the panic's value is in the log")
	}
	if got := b.one(t, m.ID); got.status != "requested" {
		t.Errorf("%+v", got)
	}
	c.Patience = time.Nanosecond // it has been tried for long enough
	b.run(t, c)
	for _, want := range []string{suggest.OutcomeFailed, "not_opened"} {
		if o := b.next(t); o.outcome != want {
			t.Errorf("%+v, want %s", o, want)
		}
	}
	if got := b.one(t, m.ID); got.status != "not_made" || got.reason != "not_opened" {
		t.Errorf("%+v", got)
	}
}

// faulty fails to record as often as it is told, as a database that is away for a moment would.
type faulty struct {
	*store.Store
	left atomic.Int32
}

func (f *faulty) RecordSuggestion(ctx context.Context, s triage.Suggestion) (triage.SuggestionStatus, error) {
	if f.left.Add(-1) >= 0 {
		return "", errors.New("the connection broke")
	}
	return f.Store.RecordSuggestion(ctx, s)
}

func TestAnUnaskedDraftThatCouldNotBeRecordedIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, triage.SuggestingElevated)
	broken := &faulty{Store: b.store}
	broken.left.Store(1)
	c := b.config()
	c.Book, c.Sweep = broken, 50*time.Millisecond
	b.run(t, c)
	s := b.Session(t)
	m := s.Send(t, "one")
	b.log.entries <- b.assessed(t, m, triage.Assessment{Distress: true})
	for _, want := range []string{suggest.OutcomeFailed, suggest.OutcomeOffered} {
		o := b.next(t)
		for o.outcome == suggest.OutcomeForgone { // the first sweep may have been there as well
			o = b.next(t)
		}
		if o.outcome != want {
			t.Errorf("%+v, want %s", o, want)
		}
	}
	if got := b.one(t, m.ID); got.asked || got.text == "" {
		t.Errorf("%+v", got)
	}
}
