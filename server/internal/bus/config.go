package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Config says where the bus keeps its streams, and how much. The zero value of each field but Dir and Log means its default.
type Config struct {
	// Dir is the data directory (VIGIL_DATA_DIR). The store is Dir/bus; the key file, when Key is empty, Dir/bus.key.
	Dir string
	// URL of a NATS cluster; empty: embedded. A cluster keeps nothing in Dir and has its own encryption.
	URL string
	// Key encrypts the embedded store; empty: read from, or made in, Dir/bus.key (mode 0600). Another key means another store.
	// On a cluster it seals what nodes send each other through Peers; empty: that is plain.
	Key string
	// Prefix of stream names and subjects; "" means "vigil". Two deployments on one cluster need two.
	Prefix string
	// Replicas of each stream on a cluster; 0 means 1.
	Replicas int

	LogMaxBytes    int64         // LOG refuses above this; 0 means 4 GiB
	LogKeep        time.Duration // how long LOG keeps what all durables have passed; 0 means 30 s
	TopicsMaxBytes int64         // TOPICS refuses above this; the janitor halves the age it keeps near it; 0 means 4 GiB
	TopicsKeep     time.Duration // how long TOPICS keeps entries; 0 means 72 h
	MaxEntryBytes  int           // largest entry; 0 means 4 MiB
	Window         int           // appends in flight on each stream; 0 means 256
	MinFree        uint64        // appends are refused when the disk has less left; 0 means 128 MiB
	// Durables that must have passed an entry of LOG before it is purged; nil means all that have a name here.
	Durables []string

	PurgeInterval   time.Duration // of LOG; 0 means 5 s
	JanitorInterval time.Duration // of TOPICS; 0 means 10 min

	Log *slog.Logger
	// Free tells the space left below a directory; nil asks the system. Tests fill the disk with it.
	Free func(dir string) (uint64, error)
}

// The durables that LOG is kept for by default.
const (
	Pipeline  = "pipeline"
	Sequencer = "sequencer"
	Suggest   = "suggest"
)

const (
	windowBytes  = 32 << 20 // in flight on one stream; JetStream refuses above 128 MiB queued
	maxRecord    = 1 << 20
	headerMargin = 64 << 10 // of NATS' max_payload above our largest entry
	closeTimeout = 10 * time.Second
)

func (c *Config) setDefaults() error {
	if c.Log == nil {
		return errors.New("bus needs a logger")
	}
	if c.URL == "" && c.Dir == "" {
		return errors.New("embedded bus needs a data directory")
	}
	fill(&c.Prefix, "vigil")
	fill(&c.Replicas, 1)
	fill(&c.LogMaxBytes, 4<<30)
	fill(&c.LogKeep, 30*time.Second)
	fill(&c.TopicsMaxBytes, 4<<30)
	fill(&c.TopicsKeep, 72*time.Hour)
	fill(&c.MaxEntryBytes, 4<<20)
	fill(&c.Window, 256)
	fill(&c.MinFree, 128<<20)
	fill(&c.PurgeInterval, 5*time.Second)
	fill(&c.JanitorInterval, 10*time.Minute)
	if c.MaxEntryBytes+headerMargin > prefetchBytes {
		return fmt.Errorf("entries of %d bytes are larger than what readers ask for", c.MaxEntryBytes)
	}
	if c.Durables == nil {
		c.Durables = []string{Pipeline, Sequencer, Suggest}
	}
	if c.Free == nil {
		c.Free = freeBytes
	}
	for _, name := range c.Durables {
		if !validToken(name) {
			return fmt.Errorf("durable %q is no plain word", name)
		}
	}
	if !validToken(c.Prefix) {
		return fmt.Errorf("prefix %q is no plain word", c.Prefix)
	}
	return nil
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validToken tells whether s may stand in a subject and a stream name as it is.
func validToken(s string) bool {
	return s != "" && !slices.ContainsFunc([]byte(s), func(c byte) bool { return !plain(c) || c == ':' })
}
