package app

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"vigil/server/internal/bus"
	"vigil/server/internal/replication"
	"vigil/server/internal/store"
	"vigil/server/pgtest"
)

func TestJudgeSaysWhatOfContinuityIsProven(t *testing.T) {
	t.Parallel()
	const now, before = "the nonce of LOG", "another nonce"
	row := func(nonce string, n int64) store.Continuity {
		return store.Continuity{SystemID: "7", Timeline: 1, StreamNonce: nonce, Checkpoint: n}
	}
	rec := func(nonce string, n int64) *checkpoint { return &checkpoint{Nonce: nonce, Number: n} }
	for name, c := range map[string]struct {
		row      *store.Continuity
		rec      *checkpoint
		cause    string
		recreate bool
		known    bool
		number   int64
	}{
		"the very first start":                                        {},
		"both are as they were left":                                  {new(row(now, 5)), rec(now, 5), "", false, true, 5},
		"a crash between the two writes":                              {new(row(now, 6)), rec(now, 5), "", false, true, 5},
		"the bus has gone":                                            {new(row(before, 5)), nil, causeBusLost, false, true, 5},
		"LOG was made anew under a record that stayed":                {new(row(before, 5)), rec(before, 5), causeBusLost, false, true, 5},
		"the bus is an older copy":                                    {new(row(now, 9)), rec(now, 5), causeBusRestored, false, true, 9},
		"the bus is an older copy, of before its LOG was made anew":   {new(row(before, 9)), rec(now, 5), causeBusRestored, false, true, 9},
		"the database is of before the first start":                   {nil, rec(now, 5), causeDatabaseRestored, true, true, 5},
		"the database is older":                                       {new(row(now, 4)), rec(now, 5), causeDatabaseRestored, true, true, 5},
		"the database is older, and knew another LOG":                 {new(row(before, 4)), rec(now, 5), causeDatabaseRestored, true, true, 5},
		"as many checkpoints, and yet of another LOG, as nobody left": {new(row(before, 5)), rec(now, 5), causeBusRestored, false, true, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r store.Continuity
			var b checkpoint
			if c.row != nil {
				r = *c.row
			}
			if c.rec != nil {
				b = *c.rec
			}
			v := judge(r, c.row != nil, b, c.rec != nil, now)
			if v.cause != c.cause || v.recreate != c.recreate || v.known != c.known || v.number != c.number {
				t.Errorf("%+v", v)
			}
			if c.row != nil != (v.identity == replication.Identity{SystemID: "7", Timeline: 1}) {
				t.Errorf("identity %+v", v.identity)
			}
		})
	}
}

func TestAReadersErrorSaysWhetherContinuityIsLost(t *testing.T) {
	t.Parallel()
	for sentinel, cause := range map[error]string{
		replication.ErrSlotGone: causeSlotGone, replication.ErrSlotLost: causeSlotLost, replication.ErrRestored: causeDatabaseRestored,
		replication.ErrSystemChanged: causeDatabaseChanged, &continuityLost{cause: causeBusLost}: causeBusLost,
	} {
		err := fmt.Errorf("replication: %w", sentinel)
		lost := lostBy(errors.Join(err, errDeadline))
		if lost == nil || lost.cause != cause || !lost.Permanent() {
			t.Errorf("%v: %+v", sentinel, lost)
		}
		if wantRecreate := cause != causeBusLost; lost != nil && lost.recreate != wantRecreate {
			t.Errorf("%v: recreate %t", sentinel, lost.recreate)
		}
	}
	for _, err := range []error{nil, replication.ErrPublication, errDeadline} {
		if lost := lostBy(err); lost != nil {
			t.Errorf("%v: %v", err, lost)
		}
	}
}

var clusters = pgtest.Shared(pgtest.Options{})

// setup returns the continuity of a fresh database and a fresh bus.
func setup(t *testing.T) (*continuity, *store.Store) {
	t.Helper()
	s := store.New(clusters.Cluster(t).Database(t).Pool(t, pgtest.RoleSidecar))
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return newContinuity("vigil", s, b, func() string { return "0/1" }), s
}

// TestAHeartbeatDoesNotHideARestore: a heartbeat that was on its way while the database was replaced must not raise the
// checkpoint there, or nobody would see that it is older.
func TestAHeartbeatDoesNotHideARestore(t *testing.T) {
	t.Parallel()
	c, s := setup(t)
	begin := replication.Start{Identity: replication.Identity{SystemID: "7", Timeline: 1}}
	if err := c.started(t.Context(), begin, true); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.beat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	older, ok, err := s.Continuity(t.Context(), "vigil")
	if err != nil || !ok || older.Checkpoint != 4 {
		t.Fatalf("%+v %v", older, err)
	}
	older.Checkpoint, older.HeartbeatAt = 2, time.Now()
	if err := s.SaveContinuity(t.Context(), older); err != nil {
		t.Fatal(err)
	}
	if err := c.beat(t.Context()); !errors.Is(err, store.ErrOvertaken) {
		t.Errorf("the heartbeat: %v", err)
	}
	if row, _, err := s.Continuity(t.Context(), "vigil"); err != nil || row.Checkpoint != 2 {
		t.Errorf("checkpoint %d %v", row.Checkpoint, err)
	}
	var lost *continuityLost
	if err := c.started(t.Context(), begin, true); !errors.As(err, &lost) || lost.cause != causeDatabaseRestored || !lost.recreate {
		t.Errorf("the next connection: %v", err)
	}
	if err := c.started(t.Context(), begin, false); err != nil { // a new history begins
		t.Fatal(err)
	}
	if v, err := c.read(t.Context()); err != nil || v.cause != "" || v.number != 5 {
		t.Errorf("%+v %v", v, err)
	}
}

// TestACheckpointHalfWrittenTwiceIsNoOlderBus: the database's half was written, and the bus' failed, several times over.
func TestACheckpointHalfWrittenTwiceIsNoOlderBus(t *testing.T) {
	t.Parallel()
	c, s := setup(t)
	begin := replication.Start{Identity: replication.Identity{SystemID: "7", Timeline: 1}}
	if err := c.started(t.Context(), begin, true); err != nil {
		t.Fatal(err)
	}
	for range 3 { // as write does up to the bus
		v, err := c.read(t.Context())
		if err != nil || v.cause != "" {
			t.Fatalf("%+v %v", v, err)
		}
		row, _, err := s.Continuity(t.Context(), "vigil")
		if err != nil {
			t.Fatal(err)
		}
		row.Checkpoint = v.number + 1
		if err := s.SaveContinuity(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.beat(t.Context()); err != nil { // the same number once more, on both sides now
		t.Fatal(err)
	}
	if err := c.beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := c.read(t.Context()); err != nil || v.cause != "" || v.number != 3 {
		t.Errorf("%+v %v", v, err)
	}
}
