//go:build faults

package app

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// faultsAt returns the hook for a part: with VIGIL_FAULT=part.point:n the process kills itself, as kill -9 would, the nth
// time that point is passed. Only builds with the tag faults have it.
func faultsAt(part string) func(point string) {
	name, count, ok := strings.Cut(os.Getenv("VIGIL_FAULT"), ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if !ok || err != nil || !strings.HasPrefix(name, part+".") {
		return nil
	}
	var passed atomic.Int64
	return func(point string) {
		if part+"."+point == name && passed.Add(1) == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way: nothing more may happen here
		}
	}
}
