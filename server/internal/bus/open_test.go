package bus_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vigil/server/internal/bus"
)

// TestAnotherKeyMovesTheStoreAside: it is renamed, counted, and a fresh bus with another epoch takes its place.
func TestAnotherKeyMovesTheStoreAside(t *testing.T) {
	t.Parallel()
	c := config(t)
	b := open(t, c)
	fill(t, b, 1, 3)
	put(t, b, "session:1", "a")
	nonce, epoch := b.Log().Nonce(), b.Topics().Epoch()
	shut(t, b)
	c.Key = "another key"
	b = open(t, c)
	requireRecreated(t, c, b, nonce, epoch)
	fill(t, b, 1, 1)
	shut(t, b)
	b = open(t, c)
	if b.Recreated() {
		t.Fatal("the fresh store was not kept")
	}
}

func requireRecreated(t *testing.T, c bus.Config, b *bus.Bus, nonce, epoch string) {
	t.Helper()
	if !b.Recreated() {
		t.Fatal("not said to be made anew")
	}
	if b.Log().Nonce() == nonce || b.Topics().Epoch() == epoch {
		t.Fatal("nonce or epoch stayed the same")
	}
	if seq, _, err := b.Log().Last(t.Context()); seq != 0 || err != nil {
		t.Fatalf("last of the fresh LOG: %d %v", seq, err)
	}
	aside, err := filepath.Glob(filepath.Join(c.Dir, "bus.lost-*"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("moved aside: %v %v", aside, err)
	}
	if s, err := b.Stats(t.Context()); err != nil || s.LostStores != 1 {
		t.Fatalf("counted: %d %v", s.LostStores, err)
	}
}

// TestADamagedStoreIsMovedAside: whichever file of LOG, STATE or the streams' settings it is.
func TestADamagedStoreIsMovedAside(t *testing.T) {
	t.Parallel()
	flip := func(t *testing.T, path string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := len(data) / 4; i < len(data)/4+64 && i < len(data); i++ {
			data[i] ^= 0xff
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, path string) {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]struct {
		glob string
		do   func(*testing.T, string)
	}{
		"bytes of LOG's entries":     {"vigil_LOG/msgs/1.blk", flip},
		"LOG's entries are gone":     {"vigil_LOG/msgs/1.blk", remove},
		"settings of LOG":            {"vigil_LOG/meta.inf", flip},
		"key of LOG":                 {"vigil_LOG/meta.key", flip},
		"LOG is gone":                {"vigil_LOG", remove},
		"TOPICS is gone":             {"vigil_TOPICS", remove},
		"settings of TOPICS":         {"vigil_TOPICS/meta.sum", flip},
		"positions and records":      {"vigil_STATE", remove},
		"settings of STATE are gone": {"vigil_STATE/meta.inf", remove},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(t)
			b := open(t, c)
			fill(t, b, 1, 100)
			put(t, b, "session:1", "a")
			collect(t, b, bus.Pipeline, 100)
			nonce, epoch := b.Log().Nonce(), b.Topics().Epoch()
			shut(t, b)
			damage.do(t, filepath.Join(c.Dir, "bus", "jetstream", "$G", "streams", damage.glob))
			requireRecreated(t, c, open(t, c), nonce, epoch)
		})
	}
}

// TestADeletedStoreIsAnotherLog: it cannot be told from a first start here, so the nonce tells those who remember it.
func TestADeletedStoreIsAnotherLog(t *testing.T) {
	t.Parallel()
	c := config(t)
	b := open(t, c)
	fill(t, b, 1, 3)
	nonce, epoch := b.Log().Nonce(), b.Topics().Epoch()
	shut(t, b)
	if err := os.RemoveAll(filepath.Join(c.Dir, "bus")); err != nil {
		t.Fatal(err)
	}
	b = open(t, c)
	if b.Log().Nonce() == nonce || b.Topics().Epoch() == epoch {
		t.Fatal("nonce or epoch stayed the same")
	}
}

func TestAnInterruptedFirstStartIsNoLoss(t *testing.T) {
	t.Parallel()
	c := config(t)
	b := open(t, c)
	shut(t, b)
	if err := os.Remove(filepath.Join(c.Dir, "bus", "ready")); err != nil {
		t.Fatal(err)
	}
	if b = open(t, c); b.Recreated() {
		t.Fatal("nothing was acknowledged, so nothing was lost")
	}
}

func TestTwoProcessesCannotOpenOneDirectory(t *testing.T) {
	t.Parallel()
	c := config(t)
	open(t, c)
	if _, err := bus.Open(t.Context(), c); !errors.Is(err, bus.ErrLocked) {
		t.Fatal(err)
	}
}

func TestAKeyIsMadeAndKept(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.Key = ""
	b := open(t, c)
	fill(t, b, 1, 1)
	shut(t, b)
	info, err := os.Stat(filepath.Join(c.Dir, "bus.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file: %v %v", info, err)
	}
	if b = open(t, c); b.Recreated() {
		t.Fatal("the key was not kept")
	}
}

// TestNothingIsReadableOnDisk: entries, topics and records are encrypted at rest.
func TestNothingIsReadableOnDisk(t *testing.T) {
	t.Parallel()
	const canary = "canary-of-the-bus-7f3a"
	c := config(t)
	b := open(t, c)
	p, err := b.Log().Append(t.Context(), []byte(strings.Repeat(canary, 20)))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, b, canary, canary)
	if err := b.Records().Put(t.Context(), canary, []byte(canary)); err != nil {
		t.Fatal(err)
	}
	shut(t, b)
	err = filepath.WalkDir(c.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(canary)) {
			t.Errorf("%s holds the canary", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]bus.Config{
		"no logger":         {Dir: t.TempDir()},
		"no directory":      {Log: config(t).Log},
		"a durable's name":  {Dir: t.TempDir(), Log: config(t).Log, Durables: []string{"a.b"}},
		"a subject's start": {Dir: t.TempDir(), Log: config(t).Log, Prefix: "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := bus.Open(t.Context(), c); err == nil {
				t.Fatal("taken")
			}
		})
	}
}
