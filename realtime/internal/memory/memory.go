// Package memory is a durable log that is not durable: what tests and the echo server give realtime as its history.
package memory

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"vigil/realtime"
)

// Log keeps entries in memory. The zero Log is not usable; make one with New. All methods may be called at once.
type Log struct {
	mu      sync.Mutex
	made    int // times it was made anew
	last    uint64
	topics  map[string][]realtime.Entry
	lastOf  map[string]uint64
	Refuses error // what every read returns, if set before use
}

// New makes an empty log.
func New() *Log {
	return &Log{made: 1, topics: map[string][]realtime.Entry{}, lastOf: map[string]uint64{}}
}

// Append stores an entry and gives it with its place. It goes to clients when it is given to Server.Publish after.
func (l *Log) Append(topic, event string, payload json.RawMessage) realtime.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e := realtime.Entry{Topic: topic, Event: event, Payload: payload, ID: "entry-" + strconv.FormatUint(l.last, 10), Seq: l.last,
		Prev: l.lastOf[topic], Epoch: l.epoch(), At: time.Now()}
	l.topics[topic] = append(l.topics[topic], e)
	l.lastOf[topic] = e.Seq
	return e
}

// Purge drops a topic's entries before seq, but never its last.
func (l *Log) Purge(topic string, before uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.topics[topic]) > 1 && l.topics[topic][0].Seq < before {
		l.topics[topic] = l.topics[topic][1:]
	}
}

// Backdate moves an entry's time.
func (l *Log) Backdate(e realtime.Entry, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.topics[e.Topic] {
		if l.topics[e.Topic][i].Seq == e.Seq {
			l.topics[e.Topic][i].At = at
		}
	}
}

// Reset loses everything and begins another epoch.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	l.last = 0
	clear(l.topics)
	clear(l.lastOf)
}

func (l *Log) epoch() string { return "log-" + strconv.Itoa(l.made) }

// Epoch names the log since the last Reset.
func (l *Log) Epoch() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch()
}

func (l *Log) find(topic string, limit int, want func(realtime.Entry) bool) ([]realtime.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []realtime.Entry
	for _, e := range l.topics[topic] {
		if len(found) < limit && want(e) {
			found = append(found, e)
		}
	}
	return found, l.Refuses
}

// Read gives at most limit entries after a Seq, oldest first.
func (l *Log) Read(_ context.Context, topic string, after uint64, limit int) ([]realtime.Entry, error) {
	return l.find(topic, limit, func(e realtime.Entry) bool { return e.Seq > after })
}

// Since gives the first limit entries at or after a time, oldest first.
func (l *Log) Since(_ context.Context, topic string, since time.Time, limit int) ([]realtime.Entry, error) {
	return l.find(topic, limit, func(e realtime.Entry) bool { return !e.At.Before(since) })
}

// LastOf gives the Seq of a topic's last entry.
func (l *Log) LastOf(_ context.Context, topic string) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastOf[topic], l.Refuses
}
