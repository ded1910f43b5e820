package replication_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"vigil/server/internal/replication"
)

// TestMemoryIsFlatOnAMillionRows reads one transaction of a million rows and watches the heap.
func TestMemoryIsFlatOnAMillionRows(t *testing.T) {
	rows := 1_000_000
	if testing.Short() {
		rows = 200_000
	}
	const ceiling = 48 << 20
	f := setup(t, postgres15.Cluster(t))
	f.log.keep = false
	f.start().stop()
	f.exec(`insert into items select i, repeat('x', 60) from generate_series(1, $1::int) i`, rows)
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	before, highest := stats.HeapAlloc, uint64(0)
	var stored atomic.Int64
	done := make(chan struct{})
	r := f.start(func(c *replication.Config) {
		appendTo := c.Append
		c.Append = func(ctx context.Context, data []byte) (replication.Stored, error) {
			b, err := replication.Decode(data)
			if err != nil {
				return nil, err
			}
			if stored.Add(int64(b.Rows())); b[len(b)-1].Last {
				close(done)
			}
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			highest = max(highest, stats.HeapAlloc)
			return appendTo(ctx, data)
		}
	})
	select {
	case <-done:
	case <-r.done:
		t.Fatal(r.err)
	}
	r.stop()
	if got := stored.Load(); got != int64(rows) {
		t.Errorf("%d rows", got)
	}
	if highest > before+ceiling {
		t.Errorf("the heap grew from %d to %d MiB", before>>20, highest>>20)
	}
	t.Logf("heap %d MiB before, %d MiB at most; the largest entry %d KiB", before>>20, highest>>20, f.log.most>>10)
}
