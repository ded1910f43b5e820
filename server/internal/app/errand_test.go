package app

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vigil/server/internal/bus"
	"vigil/server/internal/replication"
)

// runErrand runs an errand on alerts, in the bubble of the test, that answers each look with what answer gives.
func runErrand(t *testing.T, answer func(look int) error) (all errands, looked func() int) {
	t.Helper()
	var looks atomic.Int64
	e := &errand{
		name: "errand", tables: []string{"alerts"}, every: time.Minute, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1),
		look:    func(context.Context) error { return answer(int(looks.Add(1))) },
		visible: func(context.Context, []uint32) (bool, error) { return true, nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.run(ctx) }() // the clean-up waits for it
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return errands{e}, func() int { synctest.Wait(); return int(looks.Load()) }
}

// entryOf is an entry of LOG with one row of a table.
func entryOf(t *testing.T, schema, table string) bus.Entry {
	t.Helper()
	relation := &replication.Relation{OID: 5, Schema: schema, Name: table, Columns: []replication.Column{{Name: "id", TypeOID: 2950, Key: true}}}
	row := []replication.Value{{Kind: replication.Text, Data: []byte("alerts")}}
	data, err := replication.Batch{{
		Commit: 100, End: 120, XID: 7, CommittedAt: time.Unix(1_800_000_000, 0), Last: true,
		Changes: []replication.Change{{Ordinal: 1, Op: replication.Insert, Relation: relation, New: row}},
	}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return bus.Entry{Data: data}
}

func TestAnErrandIsDoneWhenTheLogNamesItsTable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, looked := runErrand(t, func(int) error { return nil })
		pause(t.Context(), errandRest) // by the clock of the bubble
		if n := looked(); n != 1 {
			t.Fatalf("%d looks at the start, want 1", n)
		}
		for _, other := range []bus.Entry{entryOf(t, "public", "messages"), entryOf(t, "other", "alerts")} {
			all.announce([]bus.Entry{other})
		}
		if n := looked(); n != 1 {
			t.Errorf("%d looks after rows of other tables, want 1", n)
		}
		for range 10 {
			all.announce([]bus.Entry{entryOf(t, "public", "alerts")})
		}
		pause(t.Context(), time.Second) // by the clock of the bubble
		if n := looked(); n < 2 || n > 3 {
			t.Errorf("%d looks after ten entries at once, want one or two more", n-1)
		}
		before := looked()
		all.announce([]bus.Entry{{Data: []byte("alerts, and no batch")}})
		if n := looked(); n != before+1 {
			t.Errorf("%d looks for an entry that cannot be read, want 1", n-before)
		}
		pause(t.Context(), time.Minute+2*errandRest) // by the clock of the bubble
		if n := looked(); n != before+2 {
			t.Errorf("%d looks in a minute, want 1", n-before-1)
		}
	})
}

func TestAnErrandIsDoneAgainAfterItFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, looked := runErrand(t, func(look int) error {
			if look <= 3 {
				return errors.New("the database is away")
			}
			return nil
		})
		for range 100 {
			all.announce([]bus.Entry{entryOf(t, "public", "alerts")})
			pause(t.Context(), time.Millisecond) // by the clock of the bubble
		}
		if n := looked(); n != 1 {
			t.Errorf("%d looks while it fails, want 1: a storm of rows makes no storm of failures", n)
		}
		pause(t.Context(), 10*time.Second) // by the clock of the bubble
		if n := looked(); n != 4 {
			t.Errorf("%d looks, want three that failed, and the last", n)
		}
	})
}

// TestAFailureDoesNotHoldUpWhatComesAfterIt: however often it failed before.
func TestAFailureDoesNotHoldUpWhatComesAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, looked := runErrand(t, func(int) error { return errors.New("one row cannot be done") })
		pause(t.Context(), 10*time.Minute) // by the clock of the bubble
		before := looked()
		all.announce([]bus.Entry{entryOf(t, "public", "alerts")})
		pause(t.Context(), errandDeaf) // by the clock of the bubble
		if n := looked(); n != before+1 {
			t.Errorf("%d looks within a second of a new row, want 1", n-before)
		}
	})
}

func TestAnErrandWaitsForWhatTheLogHasShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, looked := runErrand(t, func(int) error { return nil })
		pause(t.Context(), errandRest) // by the clock of the bubble
		var asked atomic.Int64
		all[0].visible = func(_ context.Context, xids []uint32) (bool, error) {
			if len(xids) != 1 || xids[0] != 7 {
				t.Errorf("asked for %v, want the transaction of the entry", xids)
			}
			return asked.Add(1) == 3, nil
		}
		all.announce([]bus.Entry{entryOf(t, "public", "alerts")})
		pause(t.Context(), visiblePoll) // by the clock of the bubble
		if n := looked(); n != 1 {
			t.Errorf("looked before the tables showed it")
		}
		pause(t.Context(), time.Second) // by the clock of the bubble
		if n := looked(); n != 2 || asked.Load() != 3 {
			t.Errorf("%d looks after %d questions, want 2 after 3", n, asked.Load())
		}
	})
}
