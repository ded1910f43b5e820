// Package grant asks Postgres what a signed-in person may do on a topic, and remembers the answer until the log says that
// it may have changed.
//
// It guarantees:
//   - The answer is RLS' own: private.permissions_of becomes role authenticated with the token's claims and the topic, and
//     reads relay.permissions. Nothing is decided here, and nothing of one question is seen by the next: each has its own
//     claims and topic, and what was set ends with the transaction. Questions that wait are asked together; one that
//     cannot be answered does not keep the others from their answers.
//   - An answer that was asked for before an Invalidate that concerns it is never given or kept: it is asked for again
//     (guarantee 4), until its snapshot shows the transactions that the log has shown (the log runs ahead of snapshots).
//   - It fails closed: an error grants nothing, and an answer that grants nothing is not kept.
//
// It does not guarantee that a grant ends by itself: whoever reads the log must call Invalidate.
package grant

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"vigil/realtime"
)

// Config is what Grants are made of. Pool is required; it connects as role vigil.
type Config struct {
	Pool     *pgxpool.Pool
	Capacity int           // answers kept; zero: 50,000. When full, those of expired tokens go, and if that does not help, all.
	Timeout  time.Duration // one question; zero: 5 s
	Now      func() time.Time
	At       func(point string) // called at "before_query" and "after_query"; nil: nothing
}

const (
	defaultCapacity = 50_000
	defaultTimeout  = 5 * time.Second
	// maxTogether is how many questions go to Postgres in one statement, and maxStatements how many of those at once: what
	// one connection answers in a few tens of ms, and half of the pool.
	maxTogether   = 64
	maxStatements = 4
	// maxUnseen is how many transactions are remembered that a snapshot may not show yet; older ones have long been shown.
	maxUnseen = 1024
	// unseenFor is how long one is: a database that was restored may never show it.
	unseenFor = time.Minute
	// visiblePoll is the wait before a snapshot is taken again; it doubles up to maxPoll.
	visiblePoll = time.Millisecond
	maxPoll     = 100 * time.Millisecond
)

// ErrNotVisible is returned when Postgres did not show a transaction that the log has shown within Config.Timeout.
var ErrNotVisible = errors.New("transaction of the log is not visible yet")

// key names one question. The claims are part of it: the same login may come back with another aal.
type key struct {
	login, topic string
	claims       [sha256.Size]byte
}

type answer struct {
	member  realtime.Member
	grant   realtime.Grant
	expires time.Time
}

// flight is one question under way; everyone who asks the same waits for it, and it goes on without who asked first.
type flight struct {
	key      key
	identity realtime.Identity
	member   realtime.Member
	until    time.Time
	moved    bool // an Invalidate concerned it since it was last put to Postgres
	done     chan struct{}
	grant    realtime.Grant
	err      error
}

// sighting is a transaction that the log has shown, and when.
type sighting struct {
	xid uint32
	at  time.Time
}

// Grants answers questions. All methods may be called at once.
type Grants struct {
	config Config

	mu      sync.Mutex
	kept    map[key]answer
	flights map[key]*flight
	waiting []*flight  // of flights, those that no statement has yet
	askers  int        // goroutines that put what waits to Postgres
	unseen  []sighting // transactions that a new snapshot may not show yet
	stats   Stats
}

// Stats counts since New, and says what is kept and what waits for a statement.
type Stats struct {
	Asked, Repeated, Hits, Statements int64
	Kept, Waiting                     int
}

// New makes Grants. It starts nothing.
func New(c Config) *Grants {
	if c.Capacity == 0 {
		c.Capacity = defaultCapacity
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	return &Grants{config: c, kept: map[key]answer{}, flights: map[key]*flight{}}
}

// Stats reads the counters.
func (g *Grants) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.Kept, s.Waiting = len(g.kept), len(g.waiting)
	return s
}

// Logins lists the logins whose answers are kept, each once and in no order, for whoever must poll which of them have ended.
func (g *Grants) Logins() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := make(map[string]bool)
	for k := range g.kept {
		seen[k.login] = true
	}
	return slices.Collect(maps.Keys(seen))
}

// Authorize says what an identity may do on a topic. It is realtime's Config.Authorize. Every error is temporary.
func (g *Grants) Authorize(ctx context.Context, id realtime.Identity, topic string) (realtime.Grant, error) {
	if id.UserID == "" || id.LoginID == "" || len(id.Claims) == 0 || strings.ContainsRune(topic, 0) {
		return realtime.Grant{}, nil
	}
	k := key{id.LoginID, topic, sha256.Sum256(id.Claims)}
	g.mu.Lock()
	if a, ok := g.kept[k]; ok {
		g.stats.Hits++
		g.mu.Unlock()
		return a.grant, nil
	}
	f := g.flights[k]
	if f == nil {
		f = &flight{
			key: k, identity: id, member: realtime.Member{UserID: id.UserID, LoginID: id.LoginID, Topic: topic},
			until: time.Now().Add(g.config.Timeout), done: make(chan struct{}),
		}
		g.flights[k] = f
		g.waiting = append(g.waiting, f)
		if g.askers < maxStatements {
			g.askers++
			go g.answerWaiting(context.WithoutCancel(ctx))
		}
	}
	g.mu.Unlock()
	select {
	case <-f.done:
		return f.grant, f.err
	case <-ctx.Done():
		return realtime.Grant{}, fmt.Errorf("wait for a grant: %w", ctx.Err())
	}
}

// answerWaiting puts what waits to Postgres, until nothing does. A question whose answer is older than an Invalidate that
// concerns it, or than what the log has shown, waits again.
func (g *Grants) answerWaiting(ctx context.Context) {
	poll := visiblePoll
	for {
		flights, unseen := g.take()
		if len(flights) == 0 {
			return
		}
		g.config.At("before_query")
		answers := g.ask(ctx, flights, unseen)
		g.config.At("after_query")
		again, unseenYet := g.settle(flights, answers, unseen)
		if unseenYet {
			<-time.NewTimer(poll).C // a snapshot has no event that tells of it
			poll = min(2*poll, maxPoll)
		} else {
			poll = visiblePoll
		}
		g.mu.Lock()
		g.waiting = append(g.waiting, again...)
		g.mu.Unlock()
	}
}

// take gives the questions of one statement, and the transactions that its snapshot must show. None: the asker is done.
func (g *Grants) take() ([]*flight, []int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxTogether)
	if n == 0 {
		g.askers--
		g.waiting = nil
		return nil, nil
	}
	flights := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	for _, f := range flights {
		f.moved = false
	}
	g.stats.Asked += int64(n)
	g.stats.Statements++
	return flights, g.expected()
}

// settle gives the answers to who waits, and returns the questions that must be asked again.
func (g *Grants) settle(flights []*flight, answers []asked, unseen []int64) (again []*flight, unseenYet bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, f := range flights {
		a := answers[i]
		switch late := time.Now().After(f.until); {
		case a.err == nil && a.visible && !f.moved:
			f.grant = a.grant
			if f.grant != (realtime.Grant{}) {
				g.keep(f.key, answer{f.member, f.grant, f.identity.ExpiresAt})
			}
		case a.err != nil:
			f.err = a.err
		case late:
			f.err = fmt.Errorf("ask for a grant: %w", ErrNotVisible)
		default:
			g.stats.Repeated++
			unseenYet = unseenYet || !a.visible
			again = append(again, f)
			continue
		}
		delete(g.flights, f.key)
		close(f.done)
	}
	if slices.ContainsFunc(answers, func(a asked) bool { return a.err == nil && a.visible }) {
		g.forgetSeen(unseen)
	}
	return again, unseenYet
}

// expected gives the transactions that a snapshot must show. The caller holds mu.
func (g *Grants) expected() []int64 {
	now := g.config.Now()
	g.unseen = slices.DeleteFunc(g.unseen, func(s sighting) bool { return now.Sub(s.at) > unseenFor })
	xids := make([]int64, len(g.unseen))
	for i, s := range g.unseen {
		xids[i] = int64(s.xid)
	}
	return xids
}

// forgetSeen drops the transactions that a snapshot has shown. The caller holds mu.
func (g *Grants) forgetSeen(seen []int64) {
	if len(seen) > 0 {
		g.unseen = slices.DeleteFunc(g.unseen, func(s sighting) bool { return slices.Contains(seen, int64(s.xid)) })
	}
}

// keep remembers an answer. The caller holds mu.
func (g *Grants) keep(k key, a answer) {
	if len(g.kept) >= g.config.Capacity {
		now := g.config.Now()
		for other, old := range g.kept {
			if !old.expires.IsZero() && old.expires.Before(now) {
				delete(g.kept, other)
			}
		}
		if len(g.kept) >= g.config.Capacity {
			clear(g.kept)
		}
	}
	g.kept[k] = a
}

// Invalidate forgets every answer that match concerns, and has every question under way that it concerns asked again. xid
// is the transaction that changed the rights, 0 if there is none: from now on an answer counts only if its snapshot shows
// it. It returns at once; match must not call Grants. Call it before realtime's Reauthorize.
func (g *Grants) Invalidate(xid uint32, match func(realtime.Member) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if xid != 0 {
		g.unseen = append(g.unseen, sighting{xid, g.config.Now()})
		g.unseen = g.unseen[max(0, len(g.unseen)-maxUnseen):]
	}
	for k, a := range g.kept {
		if match(a.member) {
			delete(g.kept, k)
		}
	}
	for _, f := range g.flights {
		if match(f.member) {
			f.moved = true
		}
	}
}
