package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Log is the LOG stream: what was committed, in commit order. One process appends to it.
type Log struct {
	records  *Records
	js       jetstream.JetStream
	stream   jetstream.Stream
	app      *appender
	readers  *readers
	subject  string
	durables []string
	keep     time.Duration
	upkeep   chan struct{} // one token: a purge of what was must not reach what Renew has made

	mu      sync.Mutex
	nonce   string
	samples []sample // what could be purged when, oldest first
}

// sample is how far every durable had come at one time.
type sample struct {
	at    time.Time
	floor uint64
}

func newLog(b *Bus, stream jetstream.Stream, app *appender) *Log {
	return &Log{records: b.records, js: b.js, stream: stream, app: app, readers: &b.readers, subject: b.c.Prefix + ".log",
		nonce: stream.CachedInfo().Config.Metadata[metaNonce], durables: b.c.Durables, keep: b.c.LogKeep, upkeep: make(chan struct{}, 1)}
}

// Nonce was made with the stream. Another nonce is another LOG, whose sequences say nothing about this one's.
func (l *Log) Nonce() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nonce
}

// Last returns the last entry; 0 and nil when LOG never had one. It waits for the appends in flight, reads where LOG really
// ends, and lets the next append go on from there, also after a failed one. Only the one who appends may call it: a
// second caller would hide a failure from the first, whose later entries would then be stored without the failed one.
func (l *Log) Last(ctx context.Context) (uint64, []byte, error) {
	seq, err := l.app.settle(ctx, l.LastSeq)
	if err != nil || seq == 0 {
		return 0, nil, err
	}
	m, err := l.stream.GetMsg(ctx, seq)
	if err != nil {
		return 0, nil, unread(seq, err)
	}
	return seq, m.Data, nil
}

// LastSeq is the sequence of the last entry; 0 when LOG never had one. Unlike Last it does not touch the appends.
func (l *Log) LastSeq(ctx context.Context) (uint64, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read state of LOG: %w", classify(err))
	}
	return info.State.LastSeq, nil
}

// First is the sequence of the oldest entry kept; one past the last when there is none.
func (l *Log) First(ctx context.Context) (uint64, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read state of LOG: %w", classify(err))
	}
	if info.State.Msgs == 0 {
		return info.State.LastSeq + 1, nil
	}
	return info.State.FirstSeq, nil
}

// Append sends an entry; it is stored, on the disk, when the result is done without error. It blocks while the window is
// full. ErrFull at once when the disk is short: the same append may be tried again. Any other error, here or of an
// append in flight, needs Last before the next. data must not be changed until the append is done.
func (l *Log) Append(ctx context.Context, data []byte) (*Pending, error) {
	return l.app.append(ctx, l.subject, l.app.nextSeq(), data)
}

func positionKey(durable string) string { return "position." + durable }

// errRenewed: LOG is another, made by Renew in this process or another.
var errRenewed = fmt.Errorf("%w: LOG was made anew", ErrTaken)

// Reload reads the nonce again, when another node may have called Renew.
func (l *Log) Reload(ctx context.Context) error {
	_, _, err := l.refresh(ctx)
	return err
}

// refresh reads which LOG it is, and where it ends.
func (l *Log) refresh(ctx context.Context) (nonce string, last uint64, err error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return "", 0, fmt.Errorf("read state of LOG: %w", classify(err))
	}
	nonce = info.Config.Metadata[metaNonce]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nonce != nonce {
		l.nonce, l.samples = nonce, nil
	}
	return nonce, info.State.LastSeq, nil
}

// is fails with errRenewed when LOG has another nonce.
func (l *Log) is(nonce string) func(context.Context) error {
	return func(ctx context.Context) error {
		now, _, err := l.refresh(ctx)
		if err == nil && now != nonce {
			err = errRenewed
		}
		return err
	}
}

// Position is the last entry that a durable has passed; 0 when none.
func (l *Log) Position(ctx context.Context, durable string) (uint64, error) {
	seq, _, err := l.position(ctx, durable, l.Nonce())
	return seq, err
}

// position reads a record of 8 bytes and the nonce of the LOG that they count in; one of another LOG says nothing. Records of
// the first version have no nonce.
func (l *Log) position(ctx context.Context, durable, nonce string) (seq, revision uint64, err error) {
	data, revision, err := l.records.Get(ctx, positionKey(durable))
	if err != nil || revision == 0 {
		return 0, revision, err
	}
	if len(data) < 8 {
		return 0, 0, fmt.Errorf("%w: position of %s has %d bytes", ErrDamaged, durable, len(data))
	}
	if of := string(data[8:]); of != "" && of != nonce {
		return 0, revision, nil
	}
	return binary.BigEndian.Uint64(data), revision, nil
}

func (l *Log) setPosition(ctx context.Context, durable, nonce string, revision, seq uint64) (uint64, error) {
	return l.records.PutIf(ctx, positionKey(durable), revision, positionRecord(seq, nonce))
}

func positionRecord(seq uint64, nonce string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, seq), nonce...)
}

// Lag tells for each durable how many entries it has not passed.
func (l *Log) Lag(ctx context.Context) (map[string]uint64, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read state of LOG: %w", classify(err))
	}
	lag := make(map[string]uint64, len(l.durables))
	for _, name := range l.durables {
		seq, _, err := l.position(ctx, name, info.Config.Metadata[metaNonce])
		if err != nil {
			return nil, err
		}
		lag[name] = info.State.LastSeq - min(seq, info.State.LastSeq)
	}
	return lag, nil
}

// PurgePassed removes what every durable had passed LogKeep before now, and never the last entry. Run calls it.
func (l *Log) PurgePassed(ctx context.Context, now time.Time) error {
	end, err := l.keepUp(ctx)
	if err != nil {
		return err
	}
	defer end()
	last, err := l.LastSeq(ctx)
	if err != nil {
		return err
	}
	floor := last
	for _, name := range l.durables {
		seq, err := l.Position(ctx, name)
		if err != nil {
			return err
		}
		floor = min(floor, seq)
	}
	below := l.sample(now, floor)
	below = min(below, last)
	if below < 2 {
		return nil
	}
	if first, err := l.First(ctx); err != nil || first >= below {
		return err
	}
	if err := l.stream.Purge(ctx, jetstream.WithPurgeSequence(below)); err != nil {
		return fmt.Errorf("purge LOG below %d: %w", below, classify(err))
	}
	return nil
}

// sample notes the floor and returns the newest one that is at least LogKeep old; 0 when there is none.
func (l *Log) sample(now time.Time, floor uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, sample{at: now, floor: floor})
	var passed uint64
	for len(l.samples) > 0 && now.Sub(l.samples[0].at) >= l.keep {
		passed = l.samples[0].floor
		if len(l.samples) == 1 || now.Sub(l.samples[1].at) < l.keep {
			break
		}
		l.samples = l.samples[1:]
	}
	return passed
}

// verify reads every entry and every position.
func (l *Log) verify(ctx context.Context) error {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("read state of LOG: %w", classify(err))
	}
	s := info.State
	if s.Msgs > 0 && s.Msgs != s.LastSeq-s.FirstSeq+1 || s.Msgs == 0 && s.LastSeq > 0 {
		return fmt.Errorf("%w: LOG has %d entries from %d to %d", ErrDamaged, s.Msgs, s.FirstSeq, s.LastSeq)
	}
	for _, name := range l.durables {
		seq, err := l.Position(ctx, name)
		if err != nil {
			return err
		}
		if seq > s.LastSeq {
			return fmt.Errorf("%w: %s has passed %d, LOG ends at %d", ErrDamaged, name, seq, s.LastSeq)
		}
	}
	if s.Msgs == 0 {
		return nil
	}
	return l.readThrough(ctx, s.FirstSeq, s.LastSeq)
}

// readThrough fails unless each entry from first to last can be read: ErrDamaged for one that is missing, or that neither the
// feed nor a direct question gives; errSlow when only the feed did not come.
func (l *Log) readThrough(ctx context.Context, first, last uint64) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stalled := time.AfterFunc(verifyStall, func() { stop(errSlow) })
	defer stalled.Stop()
	feed := newFeed(l.stream, first)
	for want := first; want <= last; want++ {
		_, meta, err := feed.next(ctx)
		switch {
		case errors.Is(context.Cause(ctx), errSlow):
			return l.readOne(context.WithoutCancel(ctx), want)
		case err != nil:
			return fmt.Errorf("read entry %d of LOG: %w", want, err)
		case meta.Sequence.Stream != want:
			return fmt.Errorf("%w: entry %d of LOG is missing", ErrDamaged, want)
		}
		stalled.Reset(verifyStall)
	}
	return nil
}

// feed reads from seq on, for as long as LOG is the one of that nonce.
func (l *Log) feed(seq uint64, nonce string) *feed {
	f := newFeed(l.stream, seq)
	f.same = l.is(nonce)
	return f
}

// readOne says why an entry did not come.
func (l *Log) readOne(ctx context.Context, seq uint64) error {
	if _, err := l.stream.GetMsg(ctx, seq); err != nil {
		return unread(seq, err)
	}
	return fmt.Errorf("read entry %d of LOG: %w: %w", seq, ErrUnavailable, errSlow)
}

// unread says what it means that an entry which must be there could not be read: it is damaged if the server says so; a
// server that says nothing is slow, or away.
func unread(seq uint64, err error) error {
	var answered *jetstream.APIError
	if errors.As(err, &answered) {
		return fmt.Errorf("%w: entry %d of LOG cannot be read: %w", ErrDamaged, seq, classify(err))
	}
	return fmt.Errorf("read entry %d of LOG: %w: %w: %w", seq, ErrUnavailable, errSlow, err)
}

// verifyStall is longer than a feed takes to begin anew.
const verifyStall = 10 * time.Second
