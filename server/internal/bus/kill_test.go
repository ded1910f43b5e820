package bus_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"vigil/server/internal/bus"
)

// writeUntilKilled is the child: it appends to LOG as fast as it can and prints each sequence once it is acknowledged,
// while a durable follows.
func writeUntilKilled(dir string) error {
	ctx := context.Background()
	b, err := bus.Open(ctx, bus.Config{Dir: dir, Key: "a key of the test", Log: slog.New(slog.DiscardHandler), MinFree: 1,
		LogKeep: time.Millisecond, PurgeInterval: 5 * time.Millisecond, Durables: []string{bus.Pipeline}})
	if err != nil {
		return err
	}
	last, _, err := b.Log().Last(ctx)
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	go func() { failed <- b.Run(ctx) }() // ends with the process
	go func() {
		failed <- oneByOne(ctx, b.Log(), bus.Pipeline, func(context.Context, bus.Entry) error { return nil })
	}() // likewise
	acked := make(chan *bus.Pending, 1024)
	go func() { // likewise
		for p := range acked {
			if err := p.Wait(ctx); err != nil {
				failed <- err
				return
			}
			fmt.Println(p.Seq())
		}
	}()
	for i := last + 1; ; i++ {
		p, err := b.Log().Append(ctx, fmt.Appendf(nil, "entry %d", i))
		if err != nil {
			return err
		}
		select {
		case acked <- p:
		case err := <-failed:
			return err
		}
	}
}

// TestKillLosesNoAcknowledgedEntry: kill -9 while a child appends, consumes and purges, again and again; each time the
// store opens, every entry that was acknowledged is there or was passed by the durable, and LOG goes on without a hole.
func TestKillLosesNoAcknowledgedEntry(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.Durables = []string{bus.Pipeline}
	kills := 8
	if testing.Short() {
		kills = 2
	}
	var acked uint64
	for i := range kills {
		acked = max(acked, killAfter(t, c.Dir, 1+rand.IntN(400)))
		b, err := bus.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if b.Recreated() {
			t.Fatalf("kill %d: the store was given up", i)
		}
		last, data, err := b.Log().Last(t.Context())
		if err != nil || last < acked || string(data) != fmt.Sprintf("entry %d", last) {
			t.Fatalf("kill %d: last %d %q, acknowledged %d: %v", i, last, data, acked, err)
		}
		requireNoHole(t, b, last)
		shut(t, b)
	}
}

// requireNoHole reads what the durable has not passed.
func requireNoHole(t *testing.T, b *bus.Bus, last uint64) {
	t.Helper()
	position, err := b.Log().Position(t.Context(), bus.Pipeline)
	if err != nil || position > last {
		t.Fatalf("position %d of %d: %v", position, last, err)
	}
	if position == last {
		return
	}
	for i, e := range collect(t, b, bus.Pipeline, int(last-position)) { //nolint:gosec // a few thousand
		if want := position + 1 + uint64(i); e.Seq != want || string(e.Data) != fmt.Sprintf("entry %d", want) {
			t.Fatalf("entry %d: %d %q", want, e.Seq, e.Data)
		}
	}
}

// killAfter starts the child, kills it once it has acknowledged n entries, and returns the last one it printed.
func killAfter(t *testing.T, dir string, n int) uint64 {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var last uint64
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); seen++ {
		seq, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			break // cut off by the kill
		}
		last = seq
		if seen == n {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // killed
	if last == 0 {
		t.Fatal("the child acknowledged nothing")
	}
	return last
}
