// Package app builds the parts of the sidecar, joins them, starts them from the end of the flow to its beginning, and
// stops them in flow order. It is the only package that knows them all.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"vigil/server/internal/logkey"
)

// part is one thing that lives. run blocks until its context ends and everything it started has ended.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// errStopped is returned for a part that ended by itself without an error: nothing of ours may do that.
var errStopped = errors.New("ended although nobody stopped it")

// errDeadline is returned for a part that did not stop in time; what it held is cut off.
var errDeadline = errors.New("did not stop in time")

type ending struct {
	index int
	err   error
}

// runParts starts parts, which stand in the order of the flow (intake first), from the last to the first, and stops them
// from the first to the last when ctx ends or one of them does: each has deadline to drain what the one before it left.
// It returns what went wrong, joined; nil after a clean stop. onStop is called once, before the first part is stopped.
func runParts(ctx context.Context, log *slog.Logger, deadline time.Duration, parts []part, onStop func()) error {
	ended := make(chan ending, len(parts))
	cancels := make([]context.CancelFunc, len(parts))
	for i := len(parts) - 1; i >= 0; i-- {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx)) // stopped in its turn, not all at once
		cancels[i] = cancel
		go func() { ended <- ending{i, parts[i].run(own)} }() // stop, below, waits for it
	}
	var faults []error
	done := make([]bool, len(parts))
	note := func(e ending, asked bool) {
		done[e.index] = true
		if e.err == nil && !asked {
			e.err = errStopped
		}
		if e.err != nil && (!asked || !errors.Is(e.err, context.Canceled)) {
			faults = append(faults, fmt.Errorf("%s: %w", parts[e.index].name, e.err))
		}
	}
	select {
	case <-ctx.Done():
	case e := <-ended:
		note(e, false)
	}
	if onStop != nil {
		onStop()
	}
	for i, cancel := range cancels {
		start := time.Now()
		cancel()
		timeout := time.NewTimer(deadline)
		for !done[i] {
			select {
			case e := <-ended:
				note(e, e.index <= i)
				continue
			case <-timeout.C:
				faults = append(faults, fmt.Errorf("%s: %w", parts[i].name, errDeadline))
				done[i] = true
			}
		}
		timeout.Stop()
		log.DebugContext(ctx, "part stopped", logkey.Part, parts[i].name, logkey.Duration, time.Since(start))
	}
	return errors.Join(faults...)
}
