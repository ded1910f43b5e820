package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	sharedMemory = "/dev/shm"
	memoryPrefix = "vigil-suite-"
	memoryNeeded = 8 << 30 // free; the parts take about 2 GiB
	noexec       = 8       // a flag of statfs: programs that were built there could not run
)

// inMemory gives a folder in memory for what the tests write, and what removes it; "" where there is none, or too little room. Nothing
// that the tests show needs a disk: a process that is killed loses nothing of what it wrote. On one, half of their time is its.
func inMemory() (dir string, remove func(), err error) {
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(sharedMemory, &fs) != nil || fs.Flags&noexec != 0 || fs.Bavail*uint64(fs.Bsize) < memoryNeeded || available() < memoryNeeded { //nolint:gosec // a size
		return "", func() {}, nil
	}
	left, err := filepath.Glob(filepath.Join(sharedMemory, memoryPrefix+"*"))
	if err != nil {
		return "", nil, err
	}
	for _, dir := range left { // of a run that was killed
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), memoryPrefix))
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir) // another user's, perhaps
		}
	}
	dir = filepath.Join(sharedMemory, memoryPrefix+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("make a folder in memory: %w", err)
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil { // Postgres runs as another user
		return "", nil, fmt.Errorf("make a folder in memory: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// available is how many bytes of memory the system says that it can give; 0 when it does not say.
func available() uint64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if text, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kb, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(text, "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}
