package bus_test

import (
	"context"
	"testing"

	"vigil/server/internal/bus"
)

// TestRenewBeginsAnew: another nonce and epoch, nothing of what was, durables at the beginning; and so it stands after a
// restart.
func TestRenewBeginsAnew(t *testing.T) {
	t.Parallel()
	c := config(t)
	b, err := bus.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, b, 1, 10)
	collect(t, b, bus.Pipeline, 10)
	purge(t, b)
	nonce, epoch := b.Log().Nonce(), b.Topics().Epoch()
	p, err := b.Topics().Append(t.Context(), "session:1", b.Topics().Next(), []byte("old"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again does no harm
		if err := b.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	isNew := func(b *bus.Bus) {
		t.Helper()
		if b.Log().Nonce() == nonce || b.Topics().Epoch() == epoch || b.Recreated() {
			t.Errorf("nonce %s, epoch %s, recreated %t", b.Log().Nonce(), b.Topics().Epoch(), b.Recreated())
		}
		if _, ok, err := b.Topics().LastEntry(t.Context()); ok || err != nil {
			t.Errorf("TOPICS still holds an entry: %v", err)
		}
	}
	isNew(b)
	if seq, data, err := b.Log().Last(t.Context()); seq != 0 || data != nil || err != nil {
		t.Errorf("last %d %q %v", seq, data, err)
	}
	fill(t, b, 1, 3)
	if got := collect(t, b, bus.Pipeline, 3); len(got) != 3 || got[0].Seq != 1 || string(got[0].Data) != "entry 1" {
		t.Errorf("the pipeline was given %v", got)
	}
	purge(t, b)
	if first, err := b.Log().First(t.Context()); first != 1 || err != nil {
		t.Errorf("first %d %v: the sequencer has not passed it", first, err)
	}
	shut(t, b)
	b = open(t, c)
	isNew(b)
	if lag, err := b.Log().Lag(context.WithoutCancel(t.Context())); err != nil || lag[bus.Pipeline] != 0 || lag[bus.Sequencer] != 3 {
		t.Errorf("lag %v %v", lag, err)
	}
}
