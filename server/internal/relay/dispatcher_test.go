package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"vigil/realtime"
	"vigil/server/internal/bus"
	"vigil/server/internal/relay"
)

// stage records what a dispatcher does to the sockets, in order.
type stage struct {
	mu      sync.Mutex
	done    []string
	entries []realtime.Entry
	scopes  []relay.Scope
	changed chan struct{} // capacity 1: somebody did something
}

func newStage() *stage { return &stage{changed: make(chan struct{}, 1)} }

func (s *stage) note(format string, v ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, fmt.Sprintf(format, v...))
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *stage) Publish(e realtime.Entry) {
	s.mu.Lock()
	s.entries = append(s.entries, e)
	s.mu.Unlock()
	s.note("publish %s %s", e.Topic, e.Event)
}

// people are the channels that there are.
var people = []realtime.Member{
	{UserID: id(1), LoginID: "one", Topic: "session:" + id(5)}, {UserID: id(2), LoginID: "two", Topic: "care:" + id(5)},
	{UserID: id(2), LoginID: "two", Topic: "inbox:" + id(2)}, {UserID: id(3), LoginID: "three", Topic: "session:" + id(6)},
}

func (s *stage) Reauthorize(match func(realtime.Member) bool) {
	var matched []string
	for _, m := range people {
		if match(m) {
			matched = append(matched, m.LoginID+" on "+m.Topic[:strings.IndexByte(m.Topic, ':')])
		}
	}
	s.note("reauthorize %s", strings.Join(matched, ", "))
}

func (s *stage) EndLogin(login string) { s.note("end %s", login) }

func (s *stage) invalidate(_ context.Context, scope relay.Scope) {
	s.mu.Lock()
	s.scopes = append(s.scopes, scope)
	s.mu.Unlock()
	s.note("invalidate %s", scope.Kind)
}

// wait waits until n things were done, and returns them.
func (s *stage) wait(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		done := append([]string(nil), s.done...)
		s.mu.Unlock()
		if len(done) >= n {
			return done
		}
		select {
		case <-s.changed:
		case <-deadline:
			t.Fatalf("only %q", done)
		}
	}
}

func (s *stage) config(b *bus.Bus) relay.DispatcherConfig {
	return relay.DispatcherConfig{Topics: topicsOf{b.Topics()}, Sockets: s, Invalidate: s.invalidate, Logger: slog.New(slog.DiscardHandler),
		ResetHistory: func() { s.note("reset") }}
}

// dispatch runs a sequencer and a dispatcher on the bus until the test ends.
func dispatch(t *testing.T, b *bus.Bus, c relay.DispatcherConfig) (stop func()) {
	t.Helper()
	d := relay.NewDispatcher(c)
	stopDispatcher := start(t, d.Run)
	<-d.Ready()
	stopSequencer := start(t, relay.NewSequencer(sequencerConfig(b)).Run)
	return func() { stopSequencer(); stopDispatcher() }
}

func requireDone(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("did\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestARevocationIsHandledBeforeWhatWasCommittedAfter, and before the entries of its own transaction; grants are dropped
// before channels are stopped.
func TestARevocationIsHandledBeforeWhatWasCommittedAfter(t *testing.T) {
	t.Parallel()
	b, s := openBus(t, busConfig(t)), newStage()
	stop := dispatch(t, b, s.config(b))
	defer stop()
	commit(t, b, messages.row(relay.Insert, 1, 0, id(10), id(5), "1", "sealed"))
	commit(t, b,
		messages.row(relay.Insert, 2, 0, id(11), id(5), "2", "sealed"),
		memberships.row(relay.Update, 2, 1, id(9), id(2), "therapist", "2026-01-02 03:04:05+00"))
	commit(t, b, messages.row(relay.Insert, 3, 0, id(12), id(5), "3", "sealed"))
	commit(t, b, table{"ended_logins", []relay.Column{{Name: "login_id", TypeOID: 2950, Key: true}}}.row(relay.Insert, 4, 0, id(77)))
	commit(t, b, table{"sessions", []relay.Column{{Name: "id", TypeOID: 2950, Key: true}}}.row(relay.Update, 5, 0, id(5)))
	topic := "publish session:" + id(5) + " "
	requireDone(t, s.wait(t, 11), topic+"message", "invalidate user", "reauthorize two on care, two on inbox", topic+"message",
		"publish org:"+id(9)+" membership", topic+"message", "invalidate login", "end "+id(77),
		"invalidate session", "reauthorize one on session, two on care", topic+"session")
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.scopes[1:] {
		if s.scopes[i+1].Counter <= s.scopes[i].Counter {
			t.Fatalf("counters %v", s.scopes)
		}
	}
	if s.scopes[0].XID != 2 {
		t.Fatalf("xid %d", s.scopes[0].XID)
	}
	if e := s.entries[1]; e.Prev != s.entries[0].Seq || e.Epoch != b.Topics().Epoch() || e.ID == "" || e.At.IsZero() ||
		string(e.Payload) != `{"id":"`+id(11)+`","session_id":"`+id(5)+`","position":2,"body":"sealed"}` {
		t.Fatalf("%+v", e)
	}
}

// late is a stage that looks how far the dispatcher says that it has come.
type late struct {
	*stage
	d     *relay.Dispatcher
	wrong []string
}

func (s *late) Publish(e realtime.Entry) {
	if s.d.Handled() < e.Seq {
		s.wrong = append(s.wrong, fmt.Sprintf("%d is published, %d handled", e.Seq, s.d.Handled()))
	}
	s.stage.Publish(e)
}

func (s *late) invalidate(ctx context.Context, scope relay.Scope) {
	if s.d.Handled() >= scope.Counter {
		s.wrong = append(s.wrong, fmt.Sprintf("revocation %d is being handled, %d handled", scope.Counter, s.d.Handled()))
	}
	s.stage.invalidate(ctx, scope)
}

// TestWhatIsHandledIsBeforeEachRevocationAndNotBehindWhatIsPublished: a replay goes as far. Were it behind, who joins just then would
// neither read the entry nor be given it.
func TestWhatIsHandledIsBeforeEachRevocationAndNotBehindWhatIsPublished(t *testing.T) {
	t.Parallel()
	b, s := openBus(t, busConfig(t)), &late{stage: newStage()}
	c := s.config(b)
	c.Sockets, c.Invalidate = s, s.invalidate
	s.d = relay.NewDispatcher(c)
	stop := start(t, s.d.Run)
	<-s.d.Ready()
	stopSequencer := start(t, relay.NewSequencer(sequencerConfig(b)).Run)
	commit(t, b, messages.row(relay.Insert, 1, 0, id(10), id(5), "1", "sealed"))
	commit(t, b,
		messages.row(relay.Insert, 2, 0, id(11), id(5), "2", "sealed"),
		memberships.row(relay.Update, 2, 1, id(9), id(2), "therapist", "2026-01-02 03:04:05+00"))
	commit(t, b, messages.row(relay.Insert, 3, 0, id(12), id(5), "3", "sealed"))
	s.wait(t, 6)
	stopSequencer()
	stop()
	for _, w := range s.wrong {
		t.Error(w)
	}
	if len(s.scopes) != 1 || s.d.Handled() < s.entries[len(s.entries)-1].Seq {
		t.Errorf("%d revocations, %d handled", len(s.scopes), s.d.Handled())
	}
}

// TestAHintIsNotAFact: with a Policy that looks for itself a logical message drops nothing; without one all are asked again.
func TestAHintIsNotAFact(t *testing.T) {
	t.Parallel()
	hint := relay.Row{Op: relay.Message, Prefix: "vigil.ddl", Commit: 1}
	t.Run("a policy that looks", func(t *testing.T) {
		t.Parallel()
		b, s := openBus(t, busConfig(t)), newStage()
		c := s.config(b)
		c.Policy = func(context.Context, relay.Scope) { s.note("look") }
		defer dispatch(t, b, c)()
		commit(t, b, hint, hint)
		commit(t, b, messages.row(relay.Insert, 2, 0, id(11), id(5), "2", "sealed"))
		requireDone(t, s.wait(t, 2), "look", "publish session:"+id(5)+" message")
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		b, s := openBus(t, busConfig(t)), newStage()
		defer dispatch(t, b, s.config(b))()
		commit(t, b, hint)
		requireDone(t, s.wait(t, 2), "invalidate policy", "reauthorize one on session, two on care, two on inbox, three on session")
	})
}

// TestANewEpochResetsHistory before anything of it is published; and every grant is asked for again before that, for what was
// revoked between the epochs is in neither.
func TestANewEpochResetsHistory(t *testing.T) {
	t.Parallel()
	b, s := openBus(t, busConfig(t)), newStage()
	history(t, b, 5, 1)
	sequenceAll(t, b)
	d := relay.NewDispatcher(s.config(b))
	stop := start(t, d.Run)
	defer stop()
	<-d.Ready()
	epoch := b.Topics().Epoch()
	if err := b.Topics().Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	sequenceAll(t, b)
	done := s.wait(t, 4)
	if done[0] != "invalidate all" || !strings.HasPrefix(done[1], "reauthorize") || done[2] != "reset" {
		t.Fatalf("%q", done)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.Epoch == epoch || e.Epoch != b.Topics().Epoch() {
			t.Fatalf("entry of epoch %q", e.Epoch)
		}
	}
}

// TestTheDispatcherGoesOnWhereItWas when its feed breaks off: nothing is lost and nothing comes twice.
func TestTheDispatcherGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	b, s := openBus(t, busConfig(t)), newStage()
	c := s.config(b)
	c.Topics = breaking{topicsOf{b.Topics()}}
	defer dispatch(t, b, c)()
	for i := range 30 {
		commit(t, b, messages.row(relay.Insert, uint64(i+1), 0, id(i), id(5), fmt.Sprint(i), "sealed")) //nolint:gosec // small
	}
	s.wait(t, 30)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.entries {
		if !strings.Contains(string(e.Payload), fmt.Sprintf(`"position":%d,`, i)) {
			t.Fatalf("entry %d is %s", i, e.Payload)
		}
	}
}

// breaking is a feed that breaks off after ten entries.
type breaking struct{ topicsOf }

func (f breaking) Follow(ctx context.Context, seq uint64, handle func(context.Context, relay.TopicEntry) error) error {
	n := 0
	return f.topicsOf.Follow(ctx, seq, func(ctx context.Context, e relay.TopicEntry) error {
		if n++; n > 10 {
			return errCrash
		}
		return handle(ctx, e)
	})
}

func TestHistoryReadsWhatWasPublished(t *testing.T) {
	t.Parallel()
	b := openBus(t, busConfig(t))
	before := time.Now().Add(-time.Second)
	for i := range 5 {
		commit(t, b, messages.row(relay.Insert, uint64(i+1), 0, id(i), id(5), fmt.Sprint(i), "sealed"), //nolint:gosec // small
			memberships.row(relay.Insert, uint64(i+1), 1, id(9), id(1), "client", nil)) //nolint:gosec // small
	}
	sequenceAll(t, b)
	h := relay.NewHistory(topicsOf{b.Topics()}, b.Topics().Epoch)
	all, err := h.Read(t.Context(), "session:"+id(5), 0, 100)
	if err != nil || len(all) != 5 || h.Epoch() != b.Topics().Epoch() {
		t.Fatal(all, err)
	}
	prev := uint64(0)
	for _, e := range all {
		if e.Prev != prev || e.Epoch != h.Epoch() || e.Event != "message" || e.Topic != "session:"+id(5) || e.At.Before(before) {
			t.Fatalf("%+v", e)
		}
		prev = e.Seq
	}
	if last, err := h.LastOf(t.Context(), "session:"+id(5)); last != prev || err != nil {
		t.Fatal(last, err)
	}
	if some, err := h.Read(t.Context(), "session:"+id(5), all[2].Seq, 1); err != nil || len(some) != 1 || some[0].Seq != all[3].Seq {
		t.Fatal(some, err)
	}
	if some, err := h.Since(t.Context(), "session:"+id(5), before, 2); err != nil || len(some) != 2 || some[1].ID != all[1].ID {
		t.Fatal(some, err)
	}
	if last, err := h.LastOf(t.Context(), "$revocation"); last != 0 || err != nil {
		t.Fatal("a control topic has an end", last, err)
	}
	if some, err := h.Read(t.Context(), "$revocation", 0, 100); len(some) != 0 || err != nil {
		t.Fatal("a control topic can be read", some, err)
	}
}
