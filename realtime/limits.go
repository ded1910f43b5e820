package realtime

import "time"

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
	l.PresenceMetas = orElse(l.PresenceMetas, 1000)
	l.PresenceBytes = orElse(l.PresenceBytes, 16<<10)
	l.TopicsRemembered = orElse(l.TopicsRemembered, 200)
	return l
}

func (t Timing) withDefaults() Timing {
	t.Idle = orElse(t.Idle, 60*time.Second)
	t.Ping = orElse(t.Ping, 25*time.Second)
	t.Write = orElse(t.Write, 10*time.Second)
	t.TokenWithin = orElse(t.TokenWithin, 10*time.Second)
	t.Decide = orElse(t.Decide, 3*time.Second)
	t.DenialFirst = orElse(t.DenialFirst, 500*time.Millisecond)
	t.DenialMost = orElse(t.DenialMost, 8*time.Second)
	t.DrainWithin = orElse(t.DrainWithin, 5*time.Second)
	t.CatchUpWithin = orElse(t.CatchUpWithin, 5*time.Second)
	return t
}

// bucket is a token bucket: size at once, refilled at rate a second. The zero bucket is full. Its socket's reader alone
// uses it.
type bucket struct {
	spent float64
	at    time.Time
}

func (b *bucket) take(now time.Time, rate, size int) bool {
	if !b.at.IsZero() {
		b.spent = max(0, b.spent-now.Sub(b.at).Seconds()*float64(rate))
	}
	b.at = now
	if b.spent+1 > float64(size) {
		return false
	}
	b.spent++
	return true
}
