// Package escalation carries alerts to people who do not look at a screen: it takes the pages that were committed with their
// alerts (alert_pages) and asks the edge function notify to send each.
//
//	alert committed ─▶ alert_pages: pending ─▶ claimed (a lease) ─▶ notify ─▶ sent
//	                       ▲                                          │ later: 408, 429, 5xx, no answer, a fault of the set-up
//	                       └────────── backoff, Retry-After ──────────┤
//	                                                                  └─▶ failed: refused for good, answered, or a day old
//
// Guarantees: a page whose alert is committed is tried until notify has taken it, refused it for good, or GiveUpAfter has
// passed, through any crash of this process; two sidecars never send one page at the same time, unless a lease ran out; what
// fails is logged as an error and counted; nothing in here is waited for by detection. A page holds ids, a level and times.
//
// Not guaranteed: that a page is sent once. A crash between sending and recording sends it again, under the same webhook-id,
// which is "<alert>.<step>"; notify sends each of its deliveries once. Nor that anybody reads it.
package escalation

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

// Defaults of Config.
const (
	DefaultPoll        = time.Second
	DefaultSweep       = 5 * time.Second
	DefaultTimeout     = 20 * time.Second // notify ends a request after 18 s
	DefaultLease       = 26 * time.Second // more than Timeout, and time to record what came of it
	DefaultGiveUpAfter = 24 * time.Hour
	DefaultDrainWithin = 6 * time.Second
	DefaultWorkers     = 4
)

// Outcomes that Config.Counted hears of.
const (
	OutcomeSent     = "sent"
	OutcomeRetried  = "retried"  // it will be tried again
	OutcomeRefused  = "refused"  // it will be tried again, but a person must mend the set-up first
	OutcomeFailed   = "failed"   // it will not be tried again: not everybody was paged
	OutcomeAnswered = "answered" // somebody had the alert before it was sent
)

// Outcomes lists them, so that each can be counted from zero.
func Outcomes() []string {
	return []string{OutcomeSent, OutcomeRetried, OutcomeRefused, OutcomeFailed, OutcomeAnswered}
}

// The points of a page's way that Config.At is called at.
const (
	AtAfterClaim   = "after_claim"
	AtBeforeSettle = "before_settle"
)

// book is where pages stand.
type book interface {
	ClaimPages(ctx context.Context, limit int, lease, giveUp time.Duration) ([]triage.Page, error)
	SettlePage(ctx context.Context, p triage.Page, r triage.PageResult) error
}

// ledger is what a sweep asks.
type ledger interface {
	ExpirePages(ctx context.Context, giveUp time.Duration, code string) (int, error)
	UnsentPages(ctx context.Context) (triage.Unsent, error)
}

// Config joins Escalation to its neighbours. Zero durations and numbers mean the defaults; zero functions are not called.
type Config struct {
	URL    *url.URL // of the edge function notify
	Secret string   // NewSigner says how it is read
	Book   book
	Ledger ledger
	Log    *slog.Logger

	Poll        time.Duration // how often the table is asked when nobody calls Wake
	Sweep       time.Duration // how often old pages are given up, and the unsent are counted
	Timeout     time.Duration // of one request
	Lease       time.Duration // how long a claimed page is nobody else's
	GiveUpAfter time.Duration
	DrainWithin time.Duration // how long requests in flight may take once Run is asked to stop
	Workers     int           // requests in flight

	// Counted hears of each outcome; Called of how long after its commit a page was first handed to notify.
	Counted func(outcome string)
	Called  func(sinceCommit time.Duration)
	// At is called at the named points, for tests that stop the process there.
	At func(point string)
}

// Escalation sends pages. Make one with New.
type Escalation struct {
	config Config
	signer *Signer
	client *http.Client
	wake   chan struct{} // capacity 1: look at once; full: it will
	unsent atomic.Pointer[seen]
}

// seen is what a sweep saw, and when.
type seen struct {
	triage.Unsent
	at time.Time
}

// New makes an Escalation. Its error is about Config.Secret, and does not repeat it.
func New(c Config) (*Escalation, error) {
	signer, err := NewSigner(c.Secret)
	if err != nil {
		return nil, err
	}
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{
		{&c.Poll, DefaultPoll}, {&c.Sweep, DefaultSweep}, {&c.Timeout, DefaultTimeout}, {&c.Lease, DefaultLease},
		{&c.GiveUpAfter, DefaultGiveUpAfter}, {&c.DrainWithin, DefaultDrainWithin},
	} {
		if *d.value == 0 {
			*d.value = d.unset
		}
	}
	if c.Workers == 0 {
		c.Workers = DefaultWorkers
	}
	if c.Counted == nil {
		c.Counted = func(string) {}
	}
	if c.Called == nil {
		c.Called = func(time.Duration) {}
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	e := &Escalation{config: c, signer: signer, wake: make(chan struct{}, 1)}
	e.client = newClient(c.Workers)
	e.unsent.Store(&seen{})
	return e, nil
}

// Wake makes Run look for pages now: call it once an alert is committed. It never blocks. Safe on a nil Escalation, which
// pages nobody.
func (e *Escalation) Wake() {
	if e == nil {
		return
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Unsent is how many pages waited at the last sweep, and for how long the oldest of them has waited by now.
func (e *Escalation) Unsent() triage.Unsent {
	s := e.unsent.Load()
	if s.Count == 0 {
		return triage.Unsent{}
	}
	return triage.Unsent{Count: s.Count, Oldest: s.Oldest + time.Since(s.at)}
}

// Run sends pages until ctx ends; requests in flight are then given DrainWithin, and what is cut off is due again at once.
// It returns nil: a database or a function that is away is waited for.
func (e *Escalation) Run(ctx context.Context) error {
	defer e.client.CloseIdleConnections()
	working, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var g errgroup.Group
	g.Go(func() error { e.sweepAll(ctx); return nil })
	g.Go(func() error { e.sendAll(ctx, working); return nil })
	done := make(chan struct{})
	go func() { // waited for below
		_ = g.Wait() // neither returns an error
		close(done)
	}()
	<-ctx.Done()
	drain := time.NewTimer(e.config.DrainWithin)
	defer drain.Stop()
	select {
	case <-done:
	case <-drain.C:
		cut()
		<-done
	}
	return nil
}

// sendAll hands pages to workers as they fall due, until ctx ends, and returns when the last worker has.
func (e *Escalation) sendAll(ctx, working context.Context) {
	var workers errgroup.Group
	defer func() { _ = workers.Wait() }() // none returns an error
	free := make(chan struct{}, e.config.Workers)
	for range e.config.Workers {
		free <- struct{}{}
	}
	tick := time.NewTicker(e.config.Poll)
	defer tick.Stop()
	away := false
	for {
		more, err := e.sendDue(ctx, working, free, &workers)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !away {
			e.config.Log.WarnContext(ctx, "pages could not be read", logkey.Error, err.Error())
		}
		if away = err != nil; more {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-tick.C:
		}
	}
}

// sendDue claims as many pages as there are free workers, and says whether there may be more. It waits for a free worker.
func (e *Escalation) sendDue(ctx, working context.Context, free chan struct{}, workers *errgroup.Group) (more bool, err error) {
	select {
	case <-free:
	case <-ctx.Done():
		return false, nil
	}
	n := 1
	for taken := true; taken && n < e.config.Workers; {
		select {
		case <-free:
			n++
		default:
			taken = false
		}
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	pages, err := e.config.Book.ClaimPages(asking, n, e.config.Lease, e.config.GiveUpAfter)
	cancel()
	for range n - len(pages) {
		free <- struct{}{}
	}
	for _, p := range pages {
		workers.Go(func() error {
			defer func() { free <- struct{}{} }()
			e.send(working, p)
			return nil
		})
	}
	return len(pages) == n, err
}

// sweepAll gives up what is too old and counts what waits, until ctx ends.
func (e *Escalation) sweepAll(ctx context.Context) {
	tick := time.NewTicker(e.config.Sweep)
	defer tick.Stop()
	for {
		e.sweep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Escalation) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	given, err := e.config.Ledger.ExpirePages(ctx, e.config.GiveUpAfter, codeGaveUp)
	if err != nil {
		return // sendAll has said so
	}
	if given > 0 {
		e.config.Log.ErrorContext(ctx, "pages were given up: not everybody was paged", logkey.Count, given, logkey.Duration, e.config.GiveUpAfter)
		for range given {
			e.config.Counted(OutcomeFailed)
		}
	}
	if u, err := e.config.Ledger.UnsentPages(ctx); err == nil {
		e.unsent.Store(&seen{u, time.Now()})
	}
}

// send hands one page to notify and records what came of it.
func (e *Escalation) send(ctx context.Context, p triage.Page) {
	e.config.At(AtAfterClaim)
	if p.Attempt == 1 {
		e.config.Called(p.Age)
	}
	began := time.Now()
	v := verdict{outcome: OutcomeAnswered, code: OutcomeAnswered}
	if !p.Answered {
		v = e.ask(ctx, p)
	}
	e.config.At(AtBeforeSettle)
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	result := v.result(p.Attempt)
	cutOff := ctx.Err() != nil && v.outcome == OutcomeRetried // by our own stop, not by the other side
	if cutOff {
		result.Wait = 0
	}
	if err := e.config.Book.SettlePage(settling, p, result); err != nil {
		// The lease runs out and the page is asked for again: notify knows what it has sent.
		e.config.Log.WarnContext(ctx, "what became of a page could not be recorded", logkey.Alert, p.AlertID, logkey.Error, err.Error())
		return
	}
	if cutOff {
		return
	}
	e.config.Counted(v.outcome)
	e.report(ctx, p, v, result, time.Since(began))
}

// askTimeout bounds one question to the tables: a connection that hangs must not end paging.
const askTimeout = 10 * time.Second

// settleTimeout bounds the writing down of one result.
const settleTimeout = 3 * time.Second

func (e *Escalation) report(ctx context.Context, p triage.Page, v verdict, r triage.PageResult, took time.Duration) {
	log := e.config.Log.With(logkey.Alert, p.AlertID, logkey.Organization, p.OrganizationID, logkey.Attempt, p.Attempt)
	switch v.outcome {
	case OutcomeSent:
		log.InfoContext(ctx, "page sent", logkey.Duration, took)
	case OutcomeAnswered:
		log.InfoContext(ctx, "page not sent: somebody has the alert")
	case OutcomeRetried:
		log.WarnContext(ctx, "page not sent yet", logkey.Code, v.code, logkey.Duration, r.Wait)
	case OutcomeRefused:
		log.ErrorContext(ctx, "page not sent: notify must be set up anew, vigil doctor says how", logkey.Code, v.code, logkey.Duration, r.Wait)
	default:
		log.ErrorContext(ctx, "page failed: not everybody was paged", logkey.Code, v.code)
	}
}
