package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (d *diary) part(name string) part {
	return part{name, func(ctx context.Context) error {
		<-ctx.Done()
		d.write("stop " + name)
		return ctx.Err()
	}}
}

func TestPartsStopInTheOrderOfTheFlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		go func() {
			result <- runParts(ctx, quiet(), time.Second, []part{d.part("intake"), d.part("pipeline"), d.part("sockets")}, func() { d.write("stopping") })
		}()
		synctest.Wait()
		cancel()
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		if want := []string{"stopping", "stop intake", "stop pipeline", "stop sockets"}; !slices.Equal(d.lines, want) {
			t.Errorf("%v", d.lines)
		}
	})
}

func TestOnePartThatFailsStopsTheOthersAndIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, broken := &diary{}, errors.New("broken")
		err := runParts(t.Context(), quiet(), time.Second, []part{
			d.part("intake"),
			{"pipeline", func(context.Context) error { return broken }},
			d.part("sockets"),
		}, nil)
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "pipeline: ") || len(d.lines) != 2 {
			t.Errorf("%v %v", err, d.lines)
		}
		if err := runParts(t.Context(), quiet(), time.Second, []part{{"x", func(context.Context) error { return nil }}}, nil); !errors.Is(err, errStopped) {
			t.Errorf("a part that ends by itself: %v", err)
		}
	})
}

func TestAPartThatDoesNotStopIsCutOffAfterItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		release := make(chan struct{})
		start := time.Now()
		d := &diary{}
		err := runParts(ctx, quiet(), time.Minute, []part{{"stuck", func(context.Context) error { <-release; return nil }}, d.part("sockets")}, nil)
		if !errors.Is(err, errDeadline) || time.Since(start) != time.Minute || len(d.lines) != 1 {
			t.Errorf("%v after %s, %v", err, time.Since(start), d.lines)
		}
		close(release)
	})
}
