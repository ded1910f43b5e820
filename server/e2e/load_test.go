package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/envelope"
)

const (
	crisisText   = "I have the pills here and I am going to kill myself tonight."
	ordinaryText = "We walked along the river and it was good to be outside."
)

// writePause is the time between two messages of one session: three sessions make about a hundred messages a second.
const writePause = 25 * time.Millisecond

// slowPause is for a test whose length no message shortens: what was written is read again at each start of the sidecar, so that a
// busy machine would make it longer, and that the next start dearer. Three sessions make about fifty messages a second.
const slowPause = 60 * time.Millisecond

// load is a few sessions that are written to all the time, each watched by its client and its clinician.
type load struct {
	s        *stack
	sessions []*therapy
	watchers []*watcher // of each session: its messages as the client sees them, its care as the therapist does
	urls     []string   // nodes, over which the watchers are spread; none: the stack's sidecar
	pause    time.Duration

	mu   sync.Mutex
	sent map[string]bool // message id → whether it must alert
}

func newLoad(t testing.TB, s *stack, sessions int) *load {
	t.Helper()
	org, _ := s.organization(t)
	l := &load{s: s, sent: make(map[string]bool), pause: writePause}
	for range sessions {
		l.sessions = append(l.sessions, s.therapy(t, org))
	}
	return l
}

// begin watches every session, and writes to every session once all have joined. The function returned ends the writing.
func (l *load) begin(t testing.TB) (stopWriting func()) {
	t.Helper()
	l.watchAll(t)
	l.joined(t)
	return l.beginWriting(t)
}

// beginWriting writes to every session until the function returned is called, or the test ends.
func (l *load) beginWriting(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var g errgroup.Group
	for _, y := range l.sessions {
		g.Go(func() error { return l.write(ctx, y, l.pause) })
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := g.Wait(); err != nil {
				t.Errorf("write: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
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
		var m envelope.Message
		var err error
		for {
			m, err = y.deliver(context.WithoutCancel(ctx), m, text)
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

// watchAll joins every session's two topics, until the test ends.
func (l *load) watchAll(t testing.TB) {
	t.Helper()
	for _, y := range l.sessions {
		messages := l.s.watch(y.client, "session:"+y.id.String())
		messages.reread = l.reader(messages, y.client, "message", "select id::text from public.messages where session_id = $1", y.id)
		care := l.s.watch(y.therapist, "care:"+y.id.String())
		care.reread = l.reader(care, y.therapist, "assessment", "select message_id::text from public.assessments where session_id = $1", y.id)
		for _, w := range []*watcher{messages, care} {
			if n := len(l.urls); n > 0 {
				at := len(l.watchers) % n
				w.url, w.others = l.urls[at], slices.Concat(l.urls[at+1:], l.urls[:at])
			}
			l.watchers = append(l.watchers, w)
			w.begin(t)
		}
	}
}

// reader makes what a client does when it is told that the log could not be recovered: read what it shows from the table,
// as the person it is.
func (l *load) reader(w *watcher, p *person, event, query string, session uuid.UUID) func(context.Context) error {
	return func(ctx context.Context) error {
		return l.s.asPerson(ctx, p, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, query, session)
			if err != nil {
				return err
			}
			ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			w.update(func() {
				for _, id := range ids {
					w.shown[event+" "+id] = true
				}
			})
			return nil
		})
	}
}

// joined waits until every watcher was told where its topic begins: from then on each has a cursor.
func (l *load) joined(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, w := range l.watchers {
		if err := w.await(ctx, func(w *watcher) bool { return w.cursor != "" }); err != nil {
			t.Fatalf("a watcher did not join: %v\n%s", err, l.s.sidecar.out.tail())
		}
	}
}

// assessed counts the messages that have an assessment.
func (s *stack) assessed(ctx context.Context) (n int, err error) {
	err = s.admin.QueryRow(ctx, "select count(*) from public.assessments").Scan(&n)
	return n, err
}

// progresses waits until another n messages were assessed.
func (l *load) progresses(t testing.TB, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	before := -1
	if err := poll(ctx, func() (bool, error) {
		now, err := l.s.assessed(ctx)
		if before < 0 && err == nil {
			before = now
		}
		return err == nil && now >= before+n, ignoreTransient(err)
	}); err != nil {
		t.Fatalf("nothing more is assessed: %v\n%s", err, l.s.sidecar.out.tail())
	}
}

// settled waits until the tables say that every assisted message is assessed.
func (s *stack) settled(ctx context.Context, t testing.TB) {
	t.Helper()
	if err := poll(ctx, func() (bool, error) {
		var behind int
		err := s.admin.QueryRow(ctx, `
			select count(*) from public.session_counters c left join public.session_progress p using (session_id)
			where c.last_assisted_position > coalesce(p.assessed_position, 0)`).Scan(&behind)
		return behind == 0 && err == nil, ignoreTransient(err)
	}); err != nil {
		t.Fatalf("not everything is assessed: %v\n%s", err, s.sidecar.out.tail())
	}
}

// verify counts, apart from the sidecar: in SQL by position and unique keys, and on each client by (epoch, seq). A client
// that was told that the log was not recovered must have everything after reading the tables once; mustRecover: none was.
func (l *load) verify(t testing.TB, mustRecover bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	l.s.settled(ctx, t)
	l.verifyTables(ctx, t)
	for i, y := range l.sessions {
		messages, care := l.watchers[2*i], l.watchers[2*i+1]
		want := l.stored(ctx, t, y.id)
		messages.has(ctx, t, "message", "id", want)
		care.has(ctx, t, "assessment", "message_id", want)
		if mustRecover {
			care.has(ctx, t, "alert", "message_id", l.mustAlert(want))
		}
		for _, w := range []*watcher{messages, care} {
			w.mu.Lock()
			for _, f := range w.faults {
				t.Errorf("%s: %s", w.topic, f)
			}
			for _, r := range w.recovery {
				if mustRecover && r.Extension == "recovery" && !r.Recovered {
					t.Errorf("%s: the log was not recovered: %s", w.topic, r.Message)
				}
			}
			w.mu.Unlock()
		}
	}
	t.Logf("%d messages, %d joins by the first client", len(l.sent), l.watchers[0].joins)
}

// allLost waits until every watcher was told, times times in all, that its cursor is of another log.
func (l *load) allLost(t testing.TB, times int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, w := range l.watchers {
		if err := w.await(ctx, func(w *watcher) bool { return w.lostCount() >= times }); err != nil {
			t.Errorf("%s was not told that the log is another: %v", w.topic, err)
		}
	}
}

// stored returns the ids of a session's messages as the table has them.
func (l *load) stored(ctx context.Context, t testing.TB, session uuid.UUID) map[string]bool {
	t.Helper()
	rows, err := l.s.admin.Query(ctx, "select id::text from public.messages where session_id = $1", session)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, id := range list {
		ids[id] = true
	}
	return ids
}

// anew forgets what every client has shown: what counts from now on is the log epoch that follows.
func (l *load) anew() {
	for _, w := range l.watchers {
		w.update(func() { w.entries, w.old, w.shown = nil, w.last.Epoch, make(map[string]bool) })
	}
}

// mustAlert gives those of the ids that are of a crisis.
func (l *load) mustAlert(ids map[string]bool) map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	must := make(map[string]bool)
	for id := range ids {
		if l.sent[id] {
			must[id] = true
		}
	}
	return must
}

// forget drops from what was sent all that is not in the table any more: the database was restored to an older state.
func (l *load) forget(ctx context.Context, t testing.TB) (forgotten int) {
	t.Helper()
	kept := make(map[string]bool)
	for _, y := range l.sessions {
		for id := range l.stored(ctx, t, y.id) {
			kept[id] = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.sent {
		if !kept[id] {
			delete(l.sent, id)
			forgotten++
		}
	}
	return forgotten
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

// patience is how long a test waits for what takes milliseconds when the machine is not busy.
const patience = 30 * time.Second

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
