package bus_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"vigil/server/internal/bus"
)

// TestABusyMachineIsNoFault: where goroutines wait for a processor, the embedded server may find itself not ready although
// nothing is wrong; its streams must not be started again for that.
func TestABusyMachineIsNoFault(t *testing.T) {
	t.Parallel()
	const asked, spinning = 500, 50
	b := open(t, config(t))
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	for range spinning {
		busy.Go(func() {
			for ctx.Err() == nil {
				continue
			}
		})
	}
	for range asked {
		if err := bus.ServerHealth(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStreamsAreNotMendedWhileTheyAreMadeAnew: a stream that is being replaced is no illness either.
func TestStreamsAreNotMendedWhileTheyAreMadeAnew(t *testing.T) {
	t.Parallel()
	const renewals = 10
	b := open(t, config(t))
	ctx, stop := context.WithCancel(t.Context())
	var looking sync.WaitGroup
	defer looking.Wait()
	defer stop()
	looking.Go(func() {
		look := time.NewTicker(time.Millisecond) // and no oftener: both want the processor
		defer look.Stop()
		for ctx.Err() == nil {
			if err := bus.Mend(ctx, b); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			<-look.C
		}
	})
	for range renewals {
		if err := b.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, b, 1, 3)
}
