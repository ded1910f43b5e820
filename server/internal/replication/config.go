package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
)

// HeartbeatPrefix is the prefix of the logical messages that only move the slot forward. They are never stored.
const HeartbeatPrefix = "vigil.heartbeat"

// Defaults of Config.
const (
	DefaultMaxBytes          = 512 << 10
	DefaultMaxRows           = 4096
	DefaultWindow            = 8
	DefaultStatusInterval    = time.Second
	DefaultSilenceTimeout    = 30 * time.Second
	DefaultConnectTimeout    = 15 * time.Second
	DefaultMinBackoff        = 100 * time.Millisecond
	DefaultMaxBackoff        = 10 * time.Second
	DefaultDrainTimeout      = 5 * time.Second
	DefaultHeartbeatInterval = 30 * time.Second
	DefaultInspectInterval   = 30 * time.Second
	DefaultApplicationName   = "vigil"

	minStatusInterval = 10 * time.Millisecond
	maxStatusInterval = 10 * time.Second
	maxMessageBytes   = 64 << 10 // of a logical message's content; any signed-in user may emit one
)

// Stored completes when an entry is durable.
type Stored interface {
	Done() <-chan struct{} // closed when it is durable or has failed
	Err() error            // after Done: nil when durable
}

// Identity names one history of one database cluster.
type Identity struct {
	SystemID string // "" = not known, not checked
	Timeline int32  // 0 = not known, not checked
}

// Start tells where a connection begins.
type Start struct {
	Identity
	Created  bool          // the slot was made just now: what was committed before From never comes
	From     pglogrepl.LSN // the slot's confirmed LSN; what ends at or before it is not sent
	Position Position      // of the last stored entry; what is at or before it is dropped
}

// Config says what to read and where to put it. URL, Slot, Publications, Last and Append are required.
type Config struct {
	// URL is the replication connection: direct, never a pooler. replication=database is added here.
	URL string
	// Slot is the permanent pgoutput slot, made when it is missing and nothing says that there was one.
	Slot string
	// Publications are compared with the database's, column by column, before every start.
	Publications []Publication
	// Expected is the history the log belongs to; another one ends Run with ErrSystemChanged.
	Expected Identity
	// SlotExpected says that there was a slot, even where the log has no entry: a missing slot is ErrSlotGone.
	SlotExpected bool
	// Recreate makes a new slot once, at the first connection, dropping an idle one of the name. The caller knows that
	// continuity is lost and reconciles after Started. Last's position and Expected are not used for that connection.
	Recreate bool
	// Takeover terminates the walsender that holds the slot, if it runs as our own role. The caller holds the lease.
	Takeover bool

	// Last gives the sequence and bytes of the log's last entry; 0 and nil when there is none. It is called before every
	// start of the stream, never while an append is in flight.
	Last func(ctx context.Context) (seq uint64, data []byte, err error)
	// Append puts an entry behind the last one. Entries become durable in the order of the calls, and none does after an
	// earlier one failed. data must not be changed by it and is not reused until the append is done. An error, here or of
	// Stored, breaks the connection; Run then begins again from Last, after a backoff.
	Append func(ctx context.Context, data []byte) (Stored, error)

	// Messages says which transactional logical messages are stored. nil: those whose prefix starts with "vigil.", but
	// never HeartbeatPrefix. Messages outside a transaction are never stored.
	Messages func(prefix string) bool
	// Heartbeat makes the database emit a logical message over an ordinary connection, so that a slot of an idle project
	// keeps up with the WAL of its neighbours. nil: none. An error is noted in State and does no harm.
	Heartbeat func(ctx context.Context) error
	// Started is called each time, before the first change of a connection. An error that says
	// Permanent() bool true ends Run; any other breaks the connection, which is tried again.
	Started func(ctx context.Context, s Start) error
	// At is called at the named points, for tests: "received" (a whole transaction), "before_append", "after_append"
	// (handed over, perhaps not durable yet), "before_confirm", "after_confirm". nil: nothing.
	At func(point string)
	// Log may be nil.
	Log *slog.Logger

	MaxBytes          int           // of an entry; 0 = DefaultMaxBytes. A single value that does not fit is Unchanged
	MaxRows           int           // changes in an entry; 0 = DefaultMaxRows
	Window            int           // full entries in flight; 0 = DefaultWindow
	StatusInterval    time.Duration // between status updates that nobody asked for, at most 10 s; 0 = 1 s
	SilenceTimeout    time.Duration // without a byte from the server; 0 = 30 s
	ConnectTimeout    time.Duration // for connecting and for every question before the stream; 0 = 15 s
	MinBackoff        time.Duration // 0 = 100 ms
	MaxBackoff        time.Duration // 0 = 10 s
	DrainTimeout      time.Duration // for appends in flight when the stream ends; 0 = 5 s
	SlotWait          time.Duration // how long a slot may be held by another before Run returns ErrSlotInUse; 0 = for ever
	HeartbeatInterval time.Duration // 0 = 30 s
	InspectInterval   time.Duration // of looking at the slot's WAL budget; 0 = 30 s, negative = never
	ApplicationName   string        // "" = that of the URL, else "vigil"
}

var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// withDefaults reports every fault at once.
func (c Config) withDefaults() (Config, error) {
	var faults []error
	need := func(ok bool, fault string) {
		if !ok {
			faults = append(faults, errors.New(fault))
		}
	}
	need(c.URL != "", "no URL")
	need(slotName.MatchString(c.Slot), fmt.Sprintf("slot %q: 1 to 63 of a-z, 0-9 and _", c.Slot))
	need(len(c.Publications) > 0, "no publication")
	need(c.Last != nil && c.Append != nil, "no Last or no Append")
	need(c.StatusInterval == 0 || c.StatusInterval >= minStatusInterval && c.StatusInterval <= maxStatusInterval,
		"StatusInterval must be between 10ms and 10s")
	for _, v := range []time.Duration{c.SilenceTimeout, c.ConnectTimeout, c.MinBackoff, c.MaxBackoff, c.DrainTimeout, c.SlotWait, c.HeartbeatInterval} {
		need(v >= 0, "a negative duration")
	}
	need(c.MaxBytes >= 0 && c.MaxBytes <= MaxEntryBytes/2 && c.MaxRows >= 0 && c.Window >= 0, "a limit out of range")
	if len(faults) > 0 {
		return c, fmt.Errorf("configure replication: %w", errors.Join(faults...))
	}
	or(&c.MaxBytes, DefaultMaxBytes)
	or(&c.MaxRows, DefaultMaxRows)
	or(&c.Window, DefaultWindow)
	or(&c.StatusInterval, DefaultStatusInterval)
	or(&c.SilenceTimeout, DefaultSilenceTimeout)
	or(&c.ConnectTimeout, DefaultConnectTimeout)
	or(&c.MinBackoff, DefaultMinBackoff)
	or(&c.MaxBackoff, max(DefaultMaxBackoff, c.MinBackoff))
	or(&c.DrainTimeout, DefaultDrainTimeout)
	or(&c.HeartbeatInterval, DefaultHeartbeatInterval)
	or(&c.InspectInterval, DefaultInspectInterval)
	if c.Messages == nil {
		c.Messages = func(prefix string) bool { return strings.HasPrefix(prefix, "vigil.") }
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func or[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}
