package bus

import (
	"context"
	"testing"
	"time"
)

// Rival is a second writer of LOG on the same connection.
func (b *Bus) Rival(tb testing.TB) *Log {
	tb.Helper()
	app, err := newAppender(b.nc, 8, windowBytes, b.admit)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(app.close)
	rival := newLog(b, b.log.stream, app)
	if _, _, err := rival.Last(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return rival
}

// ForgetSpace makes the next append look at the disk again.
func (b *Bus) ForgetSpace() {
	b.space.mu.Lock()
	defer b.space.mu.Unlock()
	b.space.checked = time.Time{}
}

// EncodeTopic and DecodeTopic are the names of topics in subjects.
var (
	EncodeTopic = encodeTopic
	DecodeTopic = decodeTopic
)

// ServerHealth is what mend asks.
func ServerHealth(ctx context.Context, b *Bus) error { return b.serverHealth(ctx) }

// Mend is what Run does every mendInterval.
func Mend(ctx context.Context, b *Bus) error { return b.mend(ctx, time.Time{}) }

// HeardFrames is how many frames of other nodes may wait; RefusedFrames, how many could not be opened.
const HeardFrames = heardFrames

func RefusedFrames(p *Peers) int64 { return p.refused.Load() }
