package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progressEvery is how often a long step says how far it is.
const progressEvery = 5 * time.Second

// progress says on a terminal or in a log what is being done, and how far it is. Safe for concurrent use.
type progress struct {
	out io.Writer
	row string

	mu    sync.Mutex
	step  string
	total int
	done  int
	began time.Time
	said  time.Time
}

func newProgress(out io.Writer) *progress { return &progress{out: out} }

// begin names a step of total parts; 0: unknown.
func (p *progress) begin(step string, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.total, p.done, p.began, p.said = step, total, 0, time.Now(), time.Now()
	fmt.Fprintf(p.out, "%s %-9s %s\n", p.began.Format(time.TimeOnly), p.row, step)
}

// set says how many parts are done.
func (p *progress) set(done int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = done
	if now := time.Now(); now.Sub(p.said) >= progressEvery && p.total > 0 {
		p.said = now
		fmt.Fprintf(p.out, "%s %-9s %s: %d of %d (%d %%), %s\n", now.Format(time.TimeOnly), p.row, p.step, p.done, p.total, 100*p.done/p.total, now.Sub(p.began).Round(time.Second))
	}
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = ""
}

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}
