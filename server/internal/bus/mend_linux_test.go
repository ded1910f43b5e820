package bus_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vigil/server/internal/bus"
)

// smallDisk mounts a file system of a few MiB, or skips.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("a small file system can be mounted by root only: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// appendUntilRefused appends entries of 100 KiB, ten in flight, and returns how many were acknowledged, and why no more were.
func appendUntilRefused(t *testing.T, b *bus.Bus) (acked int, err error) {
	t.Helper()
	var flight []*bus.Pending
	for range 1000 {
		var p *bus.Pending
		if p, err = b.Log().Append(t.Context(), bytes.Repeat([]byte("x"), 100<<10)); err != nil {
			break
		}
		if flight = append(flight, p); len(flight) == 10 {
			for _, p := range flight {
				if err = p.Wait(t.Context()); err != nil {
					return acked, err
				}
				acked++
			}
			flight = nil
		}
	}
	for _, p := range flight {
		if failed := p.Wait(t.Context()); failed != nil {
			return acked, failed
		}
		acked++
	}
	return acked, err
}

// TestAFullDiskRefusesBeforeAWriteFails: with Config.MinFree to spare; every acknowledged entry stays.
func TestAFullDiskRefusesBeforeAWriteFails(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.Dir, c.MinFree = smallDisk(t), 3<<20
	b := open(t, c)
	acked, err := appendUntilRefused(t, b)
	if !errors.Is(err, bus.ErrFull) || acked < 50 {
		t.Fatalf("after %d: %v", acked, err)
	}
	if err := b.Health(t.Context()); !errors.Is(err, bus.ErrFull) {
		t.Fatalf("health: %v", err)
	}
	collect(t, b, bus.Pipeline, acked) // positions can still be written
	collect(t, b, bus.Sequencer, acked)
	purge(t, b)
	b.ForgetSpace()
	fill(t, b, 1, 1)
	shut(t, b)
	b = open(t, c)
	if last, _, err := b.Log().Last(t.Context()); err != nil || b.Recreated() || last != uint64(acked+1) { //nolint:gosec // small
		t.Fatalf("last %d of %d: %v", last, acked+1, err)
	}
}

// TestAFailedWriteIsMended: no space at all, JetStream's stream gives up; Run starts it again once there is space, readers
// and the writer go on, and every acknowledged entry is there once.
func TestAFailedWriteIsMended(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.Dir, c.PurgeInterval = smallDisk(t), time.Hour
	var full atomic.Bool // the disk fills up without being noticed, as when another process does it
	c.Free = func(string) (uint64, error) {
		if full.Load() {
			return 0, nil
		}
		return math.MaxUint64, nil
	}
	b := open(t, c)
	ballast := filepath.Join(c.Dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	seen := make(chan uint64, 4096)
	go func() { ended <- b.Run(ctx) }() // both are waited for below
	go func() {
		ended <- oneByOne(ctx, b.Log(), bus.Pipeline, func(_ context.Context, e bus.Entry) error { seen <- e.Seq; return nil })
	}()
	acked, err := appendUntilRefused(t, b)
	if !errors.Is(err, bus.ErrUnavailable) {
		t.Fatalf("after %d: %v", acked, err)
	}
	full.Store(true)
	b.ForgetSpace()
	if err := b.Health(t.Context()); err == nil {
		t.Fatal("healthy on a full disk")
	}
	full.Store(false)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	b.ForgetSpace()
	var last uint64
	for {
		var data []byte
		if last, data, err = b.Log().Last(t.Context()); err == nil && last >= uint64(acked) && len(data) > 0 { //nolint:gosec // small
			p, err := b.Log().Append(t.Context(), []byte("after"))
			if err == nil && p.Wait(t.Context()) == nil {
				break
			}
		}
		select {
		case <-t.Context().Done():
			t.Fatal("never mended")
		case <-time.After(10 * time.Millisecond):
		}
	}
	for want := uint64(1); want <= last+1; want++ {
		if got := <-seen; got > want {
			t.Fatalf("saw %d, want %d", got, want)
		} else if got < want {
			want-- // seen before it was mended
		}
	}
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}
