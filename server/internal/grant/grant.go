// Package grant asks Postgres what a signed-in person may do on a topic, and remembers the answer until the log says that
// it may have changed.
//
// It guarantees:
//   - The answer is RLS' own: one read-only transaction becomes role authenticated with the token's claims and the topic,
//     locally, and reads relay.permissions. Nothing is decided here, and nothing of one question is seen by the next on the
//     same connection: what was set ends with the transaction, and a connection whose transaction did not end is closed.
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
	// maxUnseen is how many transactions are remembered that a snapshot may not show yet; older ones have long been shown.
	maxUnseen = 1024
	// unseenFor is how long one is: a database that was restored may never show it.
	unseenFor = time.Minute
	// visiblePoll is the wait before a snapshot is taken again; it doubles.
	visiblePoll = time.Millisecond
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

// flight is one question under way; everyone who asks the same waits for it.
type flight struct {
	member realtime.Member
	moved  bool // an Invalidate concerned it since it last began
	done   chan struct{}
	grant  realtime.Grant
	err    error
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
	unseen  []sighting // transactions that a new snapshot may not show yet
	stats   Stats
}

// Stats counts since New, and what is kept.
type Stats struct {
	Asked, Repeated, Hits int64
	Kept                  int
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
	s.Kept = len(g.kept)
	return s
}

// Authorize says what an identity may do on a topic. It is realtime's Config.Authorize. Every error is temporary.
func (g *Grants) Authorize(ctx context.Context, id realtime.Identity, topic string) (realtime.Grant, error) {
	if id.UserID == "" || id.LoginID == "" || len(id.Claims) == 0 || strings.ContainsRune(topic, 0) {
		return realtime.Grant{}, nil
	}
	k := key{id.LoginID, topic, sha256.Sum256(id.Claims)}
	for {
		g.mu.Lock()
		if a, ok := g.kept[k]; ok {
			g.stats.Hits++
			g.mu.Unlock()
			return a.grant, nil
		}
		f := g.flights[k]
		if f == nil {
			f = &flight{member: realtime.Member{UserID: id.UserID, LoginID: id.LoginID, Topic: topic}, done: make(chan struct{})}
			g.flights[k] = f
			g.mu.Unlock()
			g.fly(ctx, k, f, id)
			return f.grant, f.err
		}
		g.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return realtime.Grant{}, fmt.Errorf("wait for a grant: %w", ctx.Err())
		}
		if f.err == nil || ctx.Err() != nil || !errors.Is(f.err, context.Canceled) {
			return f.grant, f.err
		}
		// who asked went away: ask ourselves
	}
}

// fly asks until the answer is of after the last Invalidate that concerns it.
func (g *Grants) fly(ctx context.Context, k key, f *flight, id realtime.Identity) {
	ctx, cancel := context.WithTimeout(ctx, g.config.Timeout)
	defer cancel()
	poll := visiblePoll
	for {
		g.mu.Lock()
		f.moved = false
		unseen := g.expected()
		g.stats.Asked++
		g.mu.Unlock()
		g.config.At("before_query")
		grant, visible, err := g.ask(ctx, id, k.topic, unseen)
		g.config.At("after_query")
		g.mu.Lock()
		if err == nil && visible {
			g.forgetSeen(unseen)
		}
		if err == nil && (f.moved || !visible) {
			g.stats.Repeated++
			moved := f.moved
			g.mu.Unlock()
			if moved {
				continue
			}
			if err = pause(ctx, poll); err == nil {
				poll *= 2
				continue
			}
			g.mu.Lock()
		}
		if err != nil {
			grant = realtime.Grant{}
		}
		f.grant, f.err = grant, err
		if err == nil && grant != (realtime.Grant{}) {
			g.keep(k, answer{f.member, grant, id.ExpiresAt})
		}
		delete(g.flights, k)
		close(f.done)
		g.mu.Unlock()
		return
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ask for a grant: %w", errors.Join(ErrNotVisible, ctx.Err()))
	}
}

// expected gives the transactions that a snapshot must show. The caller holds mu.
func (g *Grants) expected() []uint32 {
	now := g.config.Now()
	g.unseen = slices.DeleteFunc(g.unseen, func(s sighting) bool { return now.Sub(s.at) > unseenFor })
	xids := make([]uint32, len(g.unseen))
	for i, s := range g.unseen {
		xids[i] = s.xid
	}
	return xids
}

// forgetSeen drops the transactions that a snapshot has shown. The caller holds mu.
func (g *Grants) forgetSeen(seen []uint32) {
	if len(seen) > 0 {
		g.unseen = slices.DeleteFunc(g.unseen, func(s sighting) bool { return slices.Contains(seen, s.xid) })
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
