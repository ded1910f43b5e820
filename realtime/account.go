package realtime

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// account is what one person, or an address that nobody is known of, uses of this node.
type account struct {
	key        string
	broadcasts *rate.Limiter
	presence   *rate.Limiter

	sockets int       // guarded by accounts
	used    time.Time // likewise: when it was last held or borrowed
}

// accounts holds those that are in use, and those whose buckets are not surely full again: a person who connects anew goes
// on with the bucket they had.
type accounts struct {
	limits Limits
	refill time.Duration // fills any bucket
	most   int           // held, above which idle ones are forgotten even if their buckets are not full

	mu    sync.Mutex
	all   map[string]*account
	swept time.Time
}

// sweepEvery is the least time between two looks for accounts to be forgotten, unless there are too many.
const sweepEvery = 10 * time.Second

func newAccounts(l Limits) *accounts {
	seconds := max(float64(l.UserBroadcastBurst)/float64(l.UserBroadcastsPerSecond), float64(l.UserPresenceBurst)/float64(l.UserPresencePerSecond))
	return &accounts{limits: l, refill: time.Duration(seconds * float64(time.Second)), most: 2 * l.Sockets, all: map[string]*account{}}
}

// Keys of accounts: what is a person's is never an address'.
func userKey(userID string) string     { return "user " + userID }
func addressKey(address string) string { return "address " + address }

// hold counts a socket more to an account; nil: it has as many as it may. release is its counterpart.
func (a *accounts) hold(key string) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.find(key)
	if one.sockets >= a.limits.SocketsPerUser {
		return nil
	}
	one.sockets++
	return one
}

func (a *accounts) release(one *account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one.sockets--
	one.used = time.Now()
}

// borrow gives an account for one request.
func (a *accounts) borrow(key string) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.find(key)
}

// find gives an account, made if need be. The caller holds mu.
func (a *accounts) find(key string) *account {
	now := time.Now()
	if now.Sub(a.swept) >= sweepEvery || len(a.all) >= a.most {
		a.sweep(now)
	}
	one := a.all[key]
	if one == nil {
		l := a.limits
		one = &account{key: key,
			broadcasts: rate.NewLimiter(rate.Limit(l.UserBroadcastsPerSecond), l.UserBroadcastBurst),
			presence:   rate.NewLimiter(rate.Limit(l.UserPresencePerSecond), l.UserPresenceBurst)}
		a.all[key] = one
	}
	one.used = now
	return one
}

// sweep forgets who has no socket and full buckets, and whoever has no socket if that leaves too many. The caller holds mu.
func (a *accounts) sweep(now time.Time) {
	a.swept = now
	for key, one := range a.all {
		if one.sockets == 0 && now.Sub(one.used) > a.refill {
			delete(a.all, key)
		}
	}
	if len(a.all) < a.most {
		return
	}
	for key, one := range a.all {
		if one.sockets == 0 {
			delete(a.all, key)
		}
	}
}

// errTooManySockets ends a channel of a person who has enough of them elsewhere.
var errTooManySockets = fault{CodeConnectionRateLimit, "Too many connections of this person"}

// own counts the socket to the person whose token it has shown last. False: they have as many as they may.
func (s *socket) own(userID string) bool {
	if userID == "" {
		return true
	}
	key, all := userKey(userID), s.server.accounts
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.person != nil && s.person.key == key {
		return true
	}
	next := all.hold(key)
	if next == nil {
		return false
	}
	if s.person != nil {
		all.release(s.person)
	}
	s.person = next
	return true
}

// disown gives back what own counted.
func (s *socket) disown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.person != nil {
		s.server.accounts.release(s.person)
		s.person = nil
	}
}

// owner is who pays for what the socket pushes; nil: nobody has shown a token.
func (s *socket) owner() *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.person
}

// unused says whether the socket has had no channel for too long. One that never asked for any is given little time: when a page
// wakes, realtime-js (2.119.1) may take up a new connection without having noticed that the old one ended. It then holds its
// channels for joined, answers every heartbeat, and hears nothing for ever; the end of this connection it does notice.
func (s *socket) unused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	within := s.server.timing.NoChannelWithin
	if !s.asked {
		within = s.server.timing.FirstJoinWithin
	}
	return len(s.channels) == 0 && time.Since(s.bare) >= within
}
