package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// faultPoints are the places where a build with the tag faults can be made to kill itself, as part.point. The test fails
// when one of them is never reached, so the list cannot rot.
var faultPoints = []string{
	"replication.received", "replication.before_append", "replication.after_append", "replication.before_confirm", "replication.after_confirm",
	"pipeline.before_open", "pipeline.after_assess", "pipeline.before_record", "pipeline.after_record", "pipeline.before_ack",
	"relay.before_topic_append", "relay.after_topic_append", "relay.before_publish",
}

const (
	crisisText   = "I have the pills here and I am going to kill myself tonight."
	ordinaryText = "We walked along the river and it was good to be outside."
)

// load is a few sessions that are written to all the time, each watched by its client and its clinician.
type load struct {
	s        *stack
	sessions []*therapy
	watchers []*watcher

	mu     sync.Mutex
	sent   map[string]bool // message id → whether it must alert
	errors []error
}

func newLoad(t testing.TB, s *stack, sessions int) *load {
	t.Helper()
	org, _ := s.organization(t)
	l := &load{s: s, sent: make(map[string]bool)}
	for range sessions {
		l.sessions = append(l.sessions, s.therapy(t, org))
	}
	return l
}

// write stores messages in y every pause until ctx ends. What is cut off by the end is sent again, so it is stored once.
func (l *load) write(ctx context.Context, y *therapy, pause time.Duration) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		text := ordinaryText
		if i%10 == 0 {
			text = crisisText
		}
		m, err := y.seal(text)
		if err != nil {
			return err
		}
		for {
			err = y.insert(context.WithoutCancel(ctx), m)
			if err == nil || !isTransient(err) {
				break
			}
			<-tick.C // Postgres is away: try again
		}
		if err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		l.mu.Lock()
		l.sent[m.ID.String()] = text == crisisText
		l.mu.Unlock()
	}
}

// watchAll joins every session's two topics, until ctx ends.
func (l *load) watchAll(ctx context.Context, g *errgroup.Group) {
	for _, y := range l.sessions {
		for _, w := range []*watcher{l.s.watch(y.client, "session:"+y.id.String()), l.s.watch(y.therapist, "care:"+y.id.String())} {
			l.watchers = append(l.watchers, w)
			g.Go(func() error { return w.run(ctx) })
		}
	}
}

// joined waits until every watcher was told where its topic begins: from then on each has a cursor.
func (l *load) joined(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, w := range l.watchers {
		if err := w.await(ctx, func(w *watcher) bool { return w.cursor != "" }); err != nil {
			t.Fatalf("a watcher did not join: %v\n%s", err, l.s.sidecar.out.tail())
		}
	}
}

// settled waits until the tables say that every assisted message is assessed.
func (l *load) settled(ctx context.Context, t testing.TB) {
	t.Helper()
	if err := poll(ctx, func() (bool, error) {
		var behind int
		err := l.s.admin.QueryRow(ctx, `
			select count(*) from public.session_counters c left join public.session_progress p using (session_id)
			where c.last_assisted_position > coalesce(p.assessed_position, 0)`).Scan(&behind)
		return behind == 0 && err == nil, ignoreTransient(err)
	}); err != nil {
		t.Fatalf("not everything is assessed: %v\n%s", err, l.s.sidecar.out.tail())
	}
}

// verify counts, apart from the sidecar: in SQL by position and unique keys, and on each client by (epoch, seq).
func (l *load) verify(t testing.TB, wantRecovered bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	l.settled(ctx, t)
	l.verifyTables(ctx, t)
	alerts := 0
	for i, y := range l.sessions {
		messages, care := l.watchers[2*i], l.watchers[2*i+1]
		want := l.stored(ctx, t, y.id)
		if wantRecovered {
			if err := messages.await(ctx, func(w *watcher) bool { return countEvents(w, "message") >= len(want) }); err != nil {
				t.Errorf("%v: %d of %d messages relayed; faults %v", err, len(messages.rows("message", "id")), len(want), messages.faults)
			}
			if err := care.await(ctx, func(w *watcher) bool { return countEvents(w, "assessment") >= len(want) }); err != nil {
				t.Errorf("%v: %d of %d assessments relayed; faults %v", err, len(care.rows("assessment", "message_id")), len(want), care.faults)
			}
			wantAlerts := l.mustAlert(want)
			if err := care.await(ctx, func(w *watcher) bool { return countEvents(w, "alert") >= wantAlerts }); err != nil {
				t.Errorf("%v: alerts", err)
			}
			exactly(t, "messages relayed to the client", messages.rows("message", "id"), want)
			exactly(t, "assessments relayed to the clinician", care.rows("assessment", "message_id"), want)
		}
		alerts += len(care.rows("alert", "message_id"))
		for _, w := range []*watcher{messages, care} {
			w.mu.Lock()
			for _, f := range w.faults {
				t.Errorf("%s: %s", w.topic, f)
			}
			for _, r := range w.recovery {
				if wantRecovered && r.Extension == "recovery" && !r.Recovered {
					t.Errorf("%s: the log was not recovered: %s", w.topic, r.Message)
				}
			}
			w.mu.Unlock()
		}
	}
	t.Logf("%d messages, %d alerts relayed, %d joins by the first client", len(l.sent), alerts, l.watchers[0].joins)
}

func countEvents(w *watcher, event string) int {
	n := 0
	for _, b := range w.entries {
		if b.Event == event {
			n++
		}
	}
	return n
}

// stored returns the ids of a session's messages as the table has them.
func (l *load) stored(ctx context.Context, t testing.TB, session uuid.UUID) map[string]bool {
	t.Helper()
	rows, err := l.s.admin.Query(ctx, "select id::text from public.messages where session_id = $1", session)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	ids := make(map[string]bool)
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	return ids
}

func (l *load) mustAlert(ids map[string]bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for id := range ids {
		if l.sent[id] {
			n++
		}
	}
	return n
}

// verifyTables holds messages, assessments and alerts against what was sent.
func (l *load) verifyTables(ctx context.Context, t testing.TB) {
	t.Helper()
	var messages, assessed, doubled, alerts, wrongLevel, gaps, notAssessed int
	err := l.s.admin.QueryRow(ctx, `
		select (select count(*) from public.messages),
		       (select count(distinct message_id) from public.assessments),
		       (select count(*) - count(distinct message_id) from public.assessments),
		       (select count(*) from public.alerts),
		       (select count(*) from public.alerts where level < 4),
		       (select count(*) from (select session_id from public.messages group by 1 having max(position) <> count(*)) x),
		       (select count(*) from public.assessments where status <> 'assessed')`).
		Scan(&messages, &assessed, &doubled, &alerts, &wrongLevel, &gaps, &notAssessed)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	sent, must := len(l.sent), 0
	for _, alert := range l.sent {
		if alert {
			must++
		}
	}
	l.mu.Unlock()
	if sent == 0 || must == 0 {
		t.Error("nothing was sent: the test proves nothing")
	}
	if messages != sent || assessed != sent || doubled != 0 || alerts != must || wrongLevel != 0 || gaps != 0 || notAssessed != 0 {
		t.Errorf("sent %d (%d must alert); stored %d, assessed %d, doubled %d, alerts %d, of too low a level %d, sessions with gaps %d, not assessed %d",
			sent, must, messages, assessed, doubled, alerts, wrongLevel, gaps, notAssessed)
	}
}

func exactly(t testing.TB, what string, got map[string]int, want map[string]bool) {
	t.Helper()
	missing, doubled, unknown := 0, 0, 0
	for id := range want {
		if got[id] == 0 {
			missing++
		}
	}
	for id, n := range got {
		if n > 1 {
			doubled++
		}
		if !want[id] {
			unknown++
		}
	}
	if missing+doubled+unknown > 0 {
		t.Errorf("%s: %d missing, %d doubled, %d that the table does not have", what, missing, doubled, unknown)
	}
}

// kills is how many kills the test makes: 100 in CI, 1,000 by `go tool task soak`.
func kills(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("VIGIL_KILLS"))
	if err != nil {
		return 100
	}
	return n
}

// TestNothingIsMissedThroughKillAtAnyInstant is guarantees 1 and 3 under kill -9: at random instants, and at each named
// point, while clients write and clinicians watch.
func TestNothingIsMissedThroughKillAtAnyInstant(t *testing.T) {
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	l := newLoad(t, s, 3)
	writing, stopWriting := context.WithCancel(t.Context())
	watching, stopWatching := context.WithCancel(t.Context())
	var writers, watchers errgroup.Group
	defer func() { stopWatching(); _ = watchers.Wait() }()
	l.watchAll(watching, &watchers)
	l.joined(t)
	for _, y := range l.sessions {
		writers.Go(func() error { return l.write(writing, y, 25*time.Millisecond) })
	}
	s.sidecar.kill()
	random := rand.New(rand.NewPCG(1, uint64(kills(t))))
	reached := make(map[string]bool)
	for i := range kills(t) {
		point := ""
		if i%2 == 0 {
			point = faultPoints[i/2%len(faultPoints)]
		}
		if killOnce(t, s, random, point) && point != "" {
			reached[point] = true
		}
	}
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	stopWriting()
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
	l.verify(t, true)
	for _, p := range faultPoints {
		if kills(t) >= 2*len(faultPoints) && !reached[p] {
			t.Errorf("no kill happened at %s", p)
		}
	}
	if code := s.sidecar.stop(t); code != 0 {
		t.Errorf("vigil ended with %d:\n%s", code, s.sidecar.out.tail())
	}
}

// killOnce starts the sidecar and has it die: at the point, the nth time it is passed, or after a random while.
func killOnce(t testing.TB, s *stack, random *rand.Rand, point string) (byItself bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if point != "" {
		s.sidecar.begin(t, fmt.Sprintf("VIGIL_FAULT=%s:%d", point, 1+random.IntN(5)))
		select {
		case <-s.sidecar.done:
			return true
		case <-ctx.Done():
			t.Errorf("%s was not reached in time\n%s", point, s.sidecar.out.tail())
			s.sidecar.kill()
			return false
		}
	}
	s.sidecar.begin(t)
	if random.IntN(4) > 0 { // else: while it starts
		if err := s.sidecar.ready(ctx); err != nil {
			t.Fatalf("vigil did not come up again: %v\n%s", err, s.sidecar.out.tail())
		}
	}
	after := time.NewTimer(time.Duration(random.IntN(300)) * time.Millisecond)
	defer after.Stop()
	select {
	case <-after.C:
	case <-s.sidecar.done:
		t.Errorf("vigil ended by itself:\n%s", s.sidecar.out.tail())
	}
	s.sidecar.kill()
	return false
}

var errNotYet = errors.New("not yet")

// poll asks until it is told yes; a database cannot be awaited otherwise from outside.
func poll(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ask()
		if err != nil {
			return err
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(errNotYet, ctx.Err())
		case <-tick.C:
		}
	}
}
