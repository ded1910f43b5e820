package realtime

import (
	"time"

	"golang.org/x/time/rate"
)

func orElse[T int | int64 | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

func (l Limits) withDefaults() Limits {
	l.FrameBytes = orElse(l.FrameBytes, 512<<10)
	l.BroadcastBytes = orElse(l.BroadcastBytes, 256<<10)
	l.QueueBytes = orElse(l.QueueBytes, 4<<20)
	l.QueueFrames = orElse(l.QueueFrames, 4096)
	l.Channels = orElse(l.Channels, 100)
	l.JoinsPerSecond = orElse(l.JoinsPerSecond, 50)
	l.Sockets = orElse(l.Sockets, 20_000)
	l.AuthorizeAtOnce = orElse(l.AuthorizeAtOnce, 64)
	l.ReplayEntries = orElse(l.ReplayEntries, 10_000)
	l.BroadcastsPerSecond = orElse(l.BroadcastsPerSecond, 50)
	l.BroadcastBurst = orElse(l.BroadcastBurst, 100)
	l.PresencePerSecond = orElse(l.PresencePerSecond, 5)
	l.PresenceBurst = orElse(l.PresenceBurst, 20)
	l.PresenceMetas = orElse(l.PresenceMetas, 200)
	l.PresenceBytes = orElse(l.PresenceBytes, 4<<10)
	l.TopicsRemembered = orElse(l.TopicsRemembered, 200)
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
