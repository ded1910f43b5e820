package pgtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// errStillInUse: backends of a killed postmaster have not ended yet.
var errStillInUse = errors.New("backends of the previous Postgres are still ending")

// ErrInUse is what Open's error wraps when another process runs a Postgres on the same folder.
var ErrInUse = errors.New("another Postgres runs on this folder")

const logTailBytes = 4 << 10

func (c *Cluster) logSize() int64 {
	info, err := os.Stat(c.LogFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

// LogTail is the end of Postgres' log, some 4 KB of it.
func (c *Cluster) LogTail() string { return c.logAfter(max(0, c.logSize()-logTailBytes)) }

func (c *Cluster) logAfter(from int64) string {
	data, err := os.ReadFile(c.LogFile())
	if err != nil || int64(len(data)) < from {
		return ""
	}
	return string(data[from:])
}

// explain turns what Postgres logged before it ended into one sentence that says what to do.
func (c *Cluster) explain(from int64) error { return explainLog(c.logAfter(from), c.port, c.dir) }

func explainLog(text string, port int, dir string) error {
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	tail := text[max(0, len(text)-logTailBytes):]
	switch {
	case has("pre-existing shared memory block"):
		return errStillInUse
	case has("lock file \"postmaster.pid\" already exists"):
		return fmt.Errorf("start Postgres in %s: %w: stop the other run first", dir, ErrInUse)
	case has("could not bind IPv4 address", "could not create any TCP/IP sockets"):
		return fmt.Errorf("start Postgres on 127.0.0.1:%d: %w by another program", port, ErrPortTaken)
	case has("No space left on device"):
		return fmt.Errorf("start Postgres: the disk is full: free some space for %s and run this again; the end of its log:\n%s", dir, tail)
	case has("could not create shared memory segment", "could not create semaphores"):
		return fmt.Errorf("start Postgres: the kernel gives it no shared memory: stop other Postgres servers; the end of its log:\n%s", tail)
	case has("database files are incompatible with server"):
		return fmt.Errorf("start Postgres: %s was made by another version of Postgres: remove that folder and run this again; the end of its log:\n%s", dir, tail)
	}
	return fmt.Errorf("start Postgres: it ended at once; the end of its log:\n%s", tail)
}
