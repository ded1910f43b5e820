package realtime

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Defaults gives what the zero fields of Limits and Timing stand for.
func Defaults() (Limits, Timing) { return Limits{}.withDefaults(), Timing{}.withDefaults() }

func orElse[T int | int64 | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

func (l Limits) withDefaults() Limits {
	l.Sockets = orElse(l.Sockets, 20_000)
	l.SocketsPerUser = orElse(l.SocketsPerUser, 100)
	l.SocketsPerAddress = orElse(l.SocketsPerAddress, 2000)
	l.HandshakesPerSecond = orElse(l.HandshakesPerSecond, 2000)
	l.ServerJoinsPerSecond = orElse(l.ServerJoinsPerSecond, 3000)
	l.AddressJoinsPerSecond = orElse(l.AddressJoinsPerSecond, 1000)
	l.JoinsPerSecond = orElse(l.JoinsPerSecond, 50)
	l.Channels = orElse(l.Channels, 100)
	l.TopicsRemembered = orElse(l.TopicsRemembered, 200)
	l.AuthorizeAtOnce = orElse(l.AuthorizeAtOnce, 64)
	l.FrameBytes = orElse(l.FrameBytes, 512<<10)
	l.QueueBytes = orElse(l.QueueBytes, 4<<20)
	l.QueueFrames = orElse(l.QueueFrames, 4096)
	l.ReplayEntries = orElse(l.ReplayEntries, 10_000)

	l.BroadcastBytes = orElse(l.BroadcastBytes, 256<<10)
	l.BroadcastsPerSecond = orElse(l.BroadcastsPerSecond, 50)
	l.BroadcastBurst = orElse(l.BroadcastBurst, 100)
	l.UserBroadcastsPerSecond = orElse(l.UserBroadcastsPerSecond, 100)
	l.UserBroadcastBurst = orElse(l.UserBroadcastBurst, 200)

	l.PresenceMetas = orElse(l.PresenceMetas, 200)
	l.PresenceBytes = orElse(l.PresenceBytes, 4<<10)
	l.PresencePerSecond = orElse(l.PresencePerSecond, 5)
	l.PresenceBurst = orElse(l.PresenceBurst, 20)
	l.UserPresencePerSecond = orElse(l.UserPresencePerSecond, 10)
	l.UserPresenceBurst = orElse(l.UserPresenceBurst, 40)
	return l
}

func (t Timing) withDefaults() Timing {
	t.Idle = orElse(t.Idle, 60*time.Second)
	t.Ping = orElse(t.Ping, 25*time.Second)
	t.Write = orElse(t.Write, 10*time.Second)
	t.TokenWithin = orElse(t.TokenWithin, 10*time.Second)
	t.ExpiryNotice = orElse(t.ExpiryNotice, 60*time.Second)
	t.Decide = orElse(t.Decide, 3*time.Second)
	t.DenialFirst = orElse(t.DenialFirst, 500*time.Millisecond)
	t.DenialMost = orElse(t.DenialMost, 8*time.Second)
	t.DrainWithin = orElse(t.DrainWithin, 5*time.Second)
	t.CatchUpWithin = orElse(t.CatchUpWithin, 5*time.Second)
	t.HandshakeWait = orElse(t.HandshakeWait, 5*time.Second)
	t.JoinWait = orElse(t.JoinWait, 5*time.Second)
	t.FirstJoinWithin = orElse(t.FirstJoinWithin, 10*time.Second)
	t.NoChannelWithin = orElse(t.NoChannelWithin, 10*time.Minute)
	return t
}

// buckets are the token buckets of one socket. Its reader alone uses them.
type buckets struct {
	joins      *rate.Limiter
	broadcasts *rate.Limiter
	presence   *rate.Limiter
}

func newBuckets(l Limits) buckets {
	return buckets{
		joins:      rate.NewLimiter(rate.Limit(l.JoinsPerSecond), max(l.Channels, l.JoinsPerSecond)),
		broadcasts: rate.NewLimiter(rate.Limit(l.BroadcastsPerSecond), l.BroadcastBurst),
		presence:   rate.NewLimiter(rate.Limit(l.PresencePerSecond), l.PresenceBurst),
	}
}

// turns are so many a second, and as many at once. One that is not used after all is the next one's; a rate.Limiter's would be
// lost once others have reserved, and refusals would outlast the storm.
type turns struct {
	every time.Duration
	burst time.Duration // in which the turns that may be had at once come again

	mu   sync.Mutex
	next time.Time // when the next would come, were none had at once
}

func newTurns(perSecond int) *turns {
	every := time.Second / time.Duration(perSecond)
	return &turns{every: every, burst: every * time.Duration(perSecond)}
}

// take gives how long to wait for the next turn. False: that is longer than most, and the turn is not taken.
func (t *turns) take(now time.Time, most time.Duration) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next.Before(now) {
		t.next = now
	}
	if wait = max(t.next.Add(t.every).Sub(now)-t.burst, 0); wait > most {
		return 0, false
	}
	t.next = t.next.Add(t.every)
	return wait, true
}

// giveBack is for a turn that was taken and not waited for.
func (t *turns) giveBack() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = t.next.Add(-t.every)
}

// turn waits for the next of the turns, which come in the order they were asked for: so a storm is spread, where refusals
// would only have everybody come again together. False: it would take longer than most, or ctx ended, or the server drains.
func (s *Server) turn(ctx context.Context, of *turns, most time.Duration) bool {
	wait, ok := of.take(time.Now(), most)
	if !ok || wait == 0 {
		return ok
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.stopping:
	}
	of.giveBack()
	return false
}
