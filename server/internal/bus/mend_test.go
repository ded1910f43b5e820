package bus_test

import (
	"context"
	"sync"
	"testing"

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
