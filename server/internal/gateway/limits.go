package gateway

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// MaxTracked is how many addresses the rate limits remember; past it the ones idle longest are forgotten.
const MaxTracked = 100_000

// limits holds a token bucket an address. A full bucket is the same as none, so a sweep forgets those.
type limits struct {
	perSecond rate.Limit
	burst     int

	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	*rate.Limiter
	used time.Time
}

func newLimits(perSecond int) *limits {
	return &limits{perSecond: rate.Limit(perSecond), burst: 2 * perSecond, buckets: make(map[string]*bucket)}
}

// take takes one token of key's bucket and returns zero, or how long to wait for one.
func (l *limits) take(key string) time.Duration {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) > time.Minute || len(l.buckets) >= MaxTracked {
		l.sweep(now)
	}
	b := l.buckets[key]
	if b == nil {
		b = &bucket{Limiter: rate.NewLimiter(l.perSecond, l.burst)}
		l.buckets[key] = b
	}
	b.used = now
	r := b.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait
	}
	return 0
}

// sweep forgets full buckets, and all of them when none is full and the map is at its bound. The caller holds mu.
func (l *limits) sweep(now time.Time) {
	l.swept = now
	refill := time.Duration(float64(l.burst) / float64(l.perSecond) * float64(time.Second))
	for k, b := range l.buckets {
		if now.Sub(b.used) > refill {
			delete(l.buckets, k)
		}
	}
	if len(l.buckets) >= MaxTracked {
		clear(l.buckets)
	}
}
