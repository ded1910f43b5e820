package escalation_test

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/escalation"
	"vigil/server/internal/triage"
)

func TestTwoSidecarsSendEachPageOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.config.Workers = 2
	const n = 30
	want := make([]string, n)
	for i := range want {
		want[i] = b.alert(triage.LevelIntent).String() + ".1"
	}
	b.notify.set(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(time.Millisecond) // so that both are at work
		_, _ = io.WriteString(w, sent)
	})
	for range 3 {
		b.run()
	}
	b.await(escalation.OutcomeSent, n)
	var got []string
	for _, c := range b.notify.got() {
		got = append(got, c.id)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d calls for %d pages", len(got), n)
	}
}

// TestAPageWhoseSidecarDiedIsSentByAnother: what was claimed comes back when the lease runs out, and not before.
func TestAPageWhoseSidecarDiedIsSentByAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.alert(triage.LevelIntent)
	const lease = 500 * time.Millisecond
	pages, err := b.store.ClaimPages(t.Context(), 10, lease, time.Hour)
	if err != nil || len(pages) != 1 || pages[0].AlertID != id || pages[0].Attempt != 1 {
		t.Fatalf("claimed %+v, %v", pages, err)
	}
	if again, err := b.store.ClaimPages(t.Context(), 10, lease, time.Hour); err != nil || len(again) != 0 {
		t.Fatalf("a page was claimed twice: %+v, %v", again, err)
	}
	b.run() // the first has died
	b.await(escalation.OutcomeSent, 1)
	if r := b.row(id); r.status != "sent" || r.attempts != 2 {
		t.Errorf("the page is %+v", r)
	}
	// The first was not dead, only slow: what it has to say counts no more.
	if err := b.store.SettlePage(t.Context(), pages[0], triage.PageResult{Status: triage.PageFailed, Code: "too_late"}); err != nil {
		t.Fatal(err)
	}
	if r := b.row(id); r.status != "sent" || r.code != "" {
		t.Errorf("the page is %+v", r)
	}
}

func TestASlowAttemptDoesNotUndoALaterOneButASentPageIsSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.alert(triage.LevelIntent)
	claim := func() triage.Page {
		t.Helper()
		pages, err := b.store.ClaimPages(t.Context(), 1, -time.Second, time.Hour) // a lease that has run out
		if err != nil || len(pages) != 1 {
			t.Fatalf("claimed %+v, %v", pages, err)
		}
		return pages[0]
	}
	first, second := claim(), claim()
	settle := func(p triage.Page, r triage.PageResult) {
		t.Helper()
		if err := b.store.SettlePage(t.Context(), p, r); err != nil {
			t.Fatal(err)
		}
	}
	settle(first, triage.PageResult{Status: triage.PageFailed, Code: "body_wrong"})
	if r := b.row(id); r.status != "pending" || r.code != "" {
		t.Errorf("an attempt that lost its lease wrote %+v", r)
	}
	settle(first, triage.PageResult{Status: triage.PageSent})
	settle(second, triage.PageResult{Status: triage.PagePending, Code: "http_503", Wait: time.Minute})
	if r := b.row(id); r.status != "sent" {
		t.Errorf("the page is %+v", r)
	}
	settle(triage.Page{AlertID: uuid.New(), Step: 1}, triage.PageResult{Status: triage.PageSent}) // erased: no error
}

func TestStopLetsRequestsInFlightEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	reached, proceed := make(chan struct{}), make(chan struct{})
	b.notify.set(func(w http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-proceed
		_, _ = io.WriteString(w, sent)
	})
	id := b.alert(triage.LevelIntent)
	_, stop := b.run()
	<-reached
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }() // waited for below
	close(proceed)
	<-stopped
	if r := b.row(id); r.status != "sent" {
		t.Errorf("the page is %+v", r)
	}
}

func TestWhatIsCutOffByAStopIsDueAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.config.DrainWithin = 50 * time.Millisecond
	reached, end := make(chan struct{}), make(chan struct{})
	b.notify.set(func(_ http.ResponseWriter, r *http.Request) {
		close(reached)
		select {
		case <-r.Context().Done():
		case <-end:
		}
	})
	defer close(end)
	id := b.alert(triage.LevelIntent)
	_, stop := b.run()
	<-reached
	stop()
	if r := b.row(id); r.status != "pending" || r.wait > 0 {
		t.Errorf("the page is %+v", r)
	}
}

// TestAFunctionThatHangsHoldsNoConnection: pages that wait for an answer must not take the database from detection.
func TestAFunctionThatHangsHoldsNoConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.config.DrainWithin = 50 * time.Millisecond
	const workers = escalation.DefaultWorkers
	reached, end := make(chan struct{}, 2*workers), make(chan struct{})
	b.notify.set(func(_ http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-end:
		}
	})
	defer close(end)
	for range workers + 1 {
		b.alert(triage.LevelIntent)
	}
	_, stop := b.run()
	for range workers {
		<-reached
	}
	var busy int
	if err := b.Superuser.QueryRow(t.Context(), `select count(*) from pg_stat_activity where usename = 'vigil' and datname = current_database() and state like '%transaction%'`).Scan(&busy); err != nil {
		t.Fatal(err)
	}
	if busy != 0 {
		t.Errorf("%d transactions are open while notify hangs", busy)
	}
	b.alert(triage.LevelIntent) // recording goes on
	stop()
}

// TestADatabaseThatIsAwayIsWaitedFor ends the sidecar's connections and lets none in, while a page waits.
func TestADatabaseThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.notify.set(answers(http.StatusServiceUnavailable, ""))
	b.alert(triage.LevelIntent)
	b.run()
	b.await(escalation.OutcomeRetried, 1)
	exec := func(sql string) {
		t.Helper()
		if _, err := b.Superuser.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("revoke update on public.alert_pages from vigil")
	exec("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'vigil' and datname = current_database()")
	b.notify.set(nil)
	b.awaitLog("pages could not be read")
	exec("grant update (status, attempts, next_attempt_at, last_error, sent_at) on public.alert_pages to vigil")
	b.await(escalation.OutcomeSent, 1)
}
