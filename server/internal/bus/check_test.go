package bus_test

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"vigil/server/internal/bus"
)

func TestCheckChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := bus.Config{Dir: dir, Key: "first key", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if err := bus.Check(t.Context(), c); err != nil {
		t.Fatalf("no store yet: %v", err)
	}
	b, err := bus.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Check(t.Context(), c); !errors.Is(err, bus.ErrLocked) {
		t.Errorf("in use: %v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := bus.Check(t.Context(), c); err != nil {
		t.Errorf("as it was left: %v", err)
	}
	other := c
	other.Key = "another key"
	if err := bus.Check(t.Context(), other); !errors.Is(err, bus.ErrDamaged) {
		t.Errorf("another key: %v", err)
	}
	none := c
	none.Key = ""
	if err := bus.Check(t.Context(), none); !errors.Is(err, bus.ErrDamaged) {
		t.Errorf("no key: %v", err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "bus.lost-*")); len(found) != 0 {
		t.Errorf("moved aside: %v", found)
	}
	if _, err := os.Stat(filepath.Join(dir, "bus.key")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a key was made")
	}
}

// TestAStoreThatCannotBeOpenedForWantOfSpaceIsLeftAsItIs: a short disk says nothing about what is on it.
func TestAStoreThatCannotBeOpenedForWantOfSpaceIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := bus.Config{Dir: dir, Key: "first key", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	b, err := bus.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	short := c
	short.Key = "another key" // so that opening fails
	short.Free = func(string) (uint64, error) { return 0, nil }
	if _, err := bus.Open(t.Context(), short); err == nil {
		t.Fatal("opened")
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "bus.lost-*")); len(found) != 0 {
		t.Errorf("moved aside: %v", found)
	}
	if b, err = bus.Open(t.Context(), c); err != nil || b.Recreated() {
		t.Fatalf("afterwards: %v, recreated", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAFileThatAKilledServerLeftDoesNotMakeTheNextOneSick: the server tries whether it may write with a file of its own, and
// takes one that a kill left behind for an account that it cannot recover.
func TestAFileThatAKilledServerLeftDoesNotMakeTheNextOneSick(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := bus.Config{Dir: dir, Key: "first key", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	b, err := bus.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	stray := filepath.Join(dir, "bus", "jetstream", "_test_1167072783")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err = bus.Open(t.Context(), c); err != nil || b.Recreated() {
		t.Fatalf("open: %v", err)
	}
	if err := bus.ServerHealth(t.Context(), b); err != nil {
		t.Errorf("health: %v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestABlockThatAKilledServerDidNotWriteCostsNoStream: between a block's file and its key, kill -9 leaves an empty block that
// nobody can open; the server would give the whole stream up, and with it everything acknowledged.
func TestABlockThatAKilledServerDidNotWriteCostsNoStream(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"LOG", "TOPICS", "STATE"} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			c := config(t)
			b := open(t, c)
			fill(t, b, 1, 3)
			put(t, b, "session:1", "a")
			if err := b.Records().Put(t.Context(), "continuity", []byte("1")); err != nil {
				t.Fatal(err)
			}
			epoch := b.Topics().Epoch()
			shut(t, b)
			msgs := filepath.Join(c.Dir, "bus", "jetstream", "$G", "streams", "vigil_"+stream, "msgs")
			if err := os.Remove(filepath.Join(msgs, "index.db")); err != nil { // kill -9 leaves an old one, or none
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(msgs, "2.blk"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			b = open(t, c)
			if b.Recreated() || b.Topics().Epoch() != epoch {
				t.Fatal("the store was given up")
			}
			if last, data, err := b.Log().Last(t.Context()); err != nil || last != 3 || string(data) != "entry 3" {
				t.Errorf("LOG ends with %d %q: %v", last, data, err)
			}
			fill(t, b, 4, 2)
		})
	}
}
