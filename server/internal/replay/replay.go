// Package replay drives a running system with conversations from a file as real people would: it makes people, has them
// sign in on a device, start a session, consent, and write to each other, while both listen on their sockets; and it counts
// what became of every message.
//
//	file -> lanes (a client and a therapist each) -> Auth, PostgREST, WebSocket -> ledger -> Summary
//
// It guarantees: only public interfaces are used (Auth, PostgREST, the sidecar's socket), with the secret key for what a
// project's own server does (making people and their memberships); a message counts as written once PostgREST has said so or
// is found to have it, as relayed once each listener has had its frame, as assessed once the clinician has had that frame;
// a socket that breaks is joined again with its cursor, and what then comes twice or not at all is counted; every wait is
// bounded, and Run returns only when all it started has ended. No text, address, key or token is in an error or a Summary.
//
// Not guaranteed: that people it made are removed. Their messages stand, so their accounts do; their passwords are random
// and forgotten, their sessions ended, their logins ended and (unless Config.Keep) their memberships too.
package replay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/config"
)

// What Config's zero values mean.
const (
	DefaultConcurrency = 4
	DefaultPatience    = time.Minute
)

// Limits of what is waited for.
const (
	requestTimeout   = 15 * time.Second
	progressInterval = 100 * time.Millisecond
	endTimeout       = 10 * time.Second // to end sessions and logins, also after an interruption
	interruptedDrain = 5 * time.Second  // for what is on its way when an interruption comes
)

// Config says what to replay, and where. SupabaseURL, VigilURL and both keys are required.
type Config struct {
	SupabaseURL    *url.URL
	VigilURL       *url.URL // the sidecar's
	PublishableKey config.Secret
	SecretKey      config.Secret
	Organization   string         // id or name; empty: the only one there is
	Conversations  []Conversation // nil: the bundled ones
	Count          int            // how many to replay, from the top again where there are fewer; 0: each once
	Concurrency    int            // conversations at once; 0: DefaultConcurrency
	Speed          float64        // 1: pauses as written; 2: half of them; 0: none
	Patience       time.Duration  // for what is written to arrive, and for what is away to come back; 0: DefaultPatience
	Keep           bool           // leave sessions open and memberships standing, to be looked at
}

// Replay is one run. New makes it; Run may be called once.
type Replay struct {
	config       Config
	rest         *rest
	ledger       *ledger
	organization organization
	next         atomic.Int64
	total        int
	started      time.Time
	interrupted  atomic.Bool

	mu      sync.Mutex
	phase   string
	made    []*person
	reasons []string // why conversations failed, without their texts
}

// ErrConfig is what New's errors test as: something is missing or out of range, and the text says what.
var ErrConfig = errors.New("the call is incomplete")

// New checks the configuration. It opens nothing.
func New(c Config) (*Replay, error) {
	var faults []error
	fault := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New(text))
		}
	}
	fault(c.SupabaseURL == nil, "where is Supabase? Set SUPABASE_URL or --supabase-url, such as https://abc.supabase.co")
	fault(c.VigilURL == nil, "where is the sidecar? Set VIGIL_URL or --vigil-url, such as http://127.0.0.1:8788")
	fault(c.PublishableKey.IsZero(), "set SUPABASE_PUBLISHABLE_KEY: the key that browsers have (Dashboard, API keys)")
	fault(c.SecretKey.IsZero(), "set SUPABASE_SECRET_KEY: people are made with it (Dashboard, API keys)")
	fault(c.Speed < 0, "the speed is 1 for pauses as written, more for shorter ones, 0 for none")
	fault(c.Concurrency < 0 || c.Count < 0, "concurrency and the number of conversations are not negative")
	fault(c.Patience < 0, "patience is a duration such as 60s")
	if c.Conversations == nil {
		c.Conversations = Bundled()
	}
	fault(len(c.Conversations) == 0, "there is no conversation to replay")
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w:\n%w", ErrConfig, errors.Join(faults...))
	}
	if c.Concurrency == 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	if c.Count == 0 {
		c.Count = len(c.Conversations)
	}
	c.Concurrency = min(c.Concurrency, c.Count)
	r := &Replay{config: c, ledger: newLedger(), total: c.Count, phase: PhasePreparing}
	r.rest = newREST(c.SupabaseURL, c.PublishableKey.Reveal(), c.SecretKey.Reveal())
	for i := range c.Count {
		r.ledger.planned += len(c.Conversations[i%len(c.Conversations)].Turns)
	}
	return r, nil
}

// Run replays until all conversations have ended, or ctx has: then what is on its way is waited for a moment, and what was
// opened is closed. progress, which may be nil, is called from one goroutine at a time, a few times a second and at the end.
// The error is about the run itself (an *Error says what to do next); what became of the messages is the Summary's.
func (r *Replay) Run(ctx context.Context, progress func(Progress)) (Summary, error) {
	r.started = time.Now()
	if progress == nil {
		progress = func(Progress) {}
	}
	work := context.WithoutCancel(ctx) // what was begun is brought to its end; each step has its own time-out
	reporting, stopReporting := context.WithCancel(work)
	var reporter errgroup.Group
	reporter.Go(func() error { r.report(reporting, progress); return nil })
	err := r.run(ctx, work)
	stopReporting()
	_ = reporter.Wait() // returns nil
	r.setPhase(PhaseDone)
	progress(r.progress())
	if ctx.Err() != nil {
		r.interrupted.Store(true)
		err = nil
	}
	return r.summary(), err
}

func (r *Replay) run(ctx, work context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	r.setPhase(PhaseRunning)
	g, lanes := errgroup.WithContext(ctx)
	for range r.config.Concurrency {
		g.Go(func() error { return r.lane(lanes, work) })
	}
	err := g.Wait()
	r.setPhase(PhaseClosing)
	return errors.Join(err, r.leave(work))
}

// prepare finds the organisation, and that the sidecar is there at all.
func (r *Replay) prepare(ctx context.Context) error {
	organization, err := r.rest.findOrganization(ctx, r.config.Organization)
	if err != nil {
		return err
	}
	r.organization = organization
	return askSidecar(ctx, r.config.VigilURL)
}

// askSidecar asks once whether anybody answers at the address: a wrong one is told at once, and not after Patience.
func askSidecar(ctx context.Context, at *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.JoinPath("healthz").String(), nil)
	if err != nil {
		return advise(err, "Set VIGIL_URL (or --vigil-url) to the sidecar's address, such as http://127.0.0.1:8788.")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return advise(errors.New("no sidecar answers at "+at.Redacted()), "Start it (`vigil serve`, or `go tool task dev`), or set VIGIL_URL (or --vigil-url) to where it listens.")
	}
	_ = res.Body.Close() // only that it answers matters
	if res.StatusCode != http.StatusOK {
		return advise(fmt.Errorf("what answers at %s is no sidecar: /healthz is %d", at.Redacted(), res.StatusCode), "Set VIGIL_URL (or --vigil-url) to its VIGIL_ADDR.")
	}
	return nil
}

// leave ends the logins of everyone who was made, and their memberships.
func (r *Replay) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	r.mu.Lock()
	made := r.made
	r.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(r.config.Concurrency)
	for _, p := range made {
		g.Go(func() error {
			if !r.config.Keep {
				if err := r.rest.endMembership(ctx, r.organization.ID, p.id); err != nil {
					return err
				}
			}
			return p.signOut(ctx)
		})
	}
	return g.Wait()
}

// claim gives the next conversation, false when there is none.
func (r *Replay) claim() (Conversation, bool) {
	i := int(r.next.Add(1)) - 1
	if i >= r.total {
		return Conversation{}, false
	}
	return r.config.Conversations[i%len(r.config.Conversations)], true
}

func (r *Replay) setPhase(phase string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase = phase
}

func (r *Replay) remember(p *person) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made = append(r.made, p)
}

// failed notes why a conversation was given up.
func (r *Replay) failed(id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const most = 20
	if len(r.reasons) < most {
		r.reasons = append(r.reasons, fmt.Sprintf("%s: %v", id, err))
	}
}

// Sessions are the ids of the sessions that were made so far, for whoever counts apart.
func (r *Replay) Sessions() []uuid.UUID { return r.ledger.sessionIDs() }

// Error is a fault of the run, with what to do next.
type Error struct {
	Err    error
	Advice string
}

// Error gives the fault and the advice.
func (e *Error) Error() string { return e.Err.Error() + "\n  → " + e.Advice }

// Unwrap gives the fault.
func (e *Error) Unwrap() error { return e.Err }

func advise(err error, advice string) error { return &Error{Err: err, Advice: advice} }
