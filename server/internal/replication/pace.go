package replication

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// pace makes reads large while much is coming. A walsender sends row by row, and each of its sends would wake us; so once
// reads follow each other closely, the kernel is told to wake us only for lowWater bytes, or after paceWait. That costs at
// most paceWait of latency, only under load, and lets the walsender run ahead. One goroutine uses it.
type pace struct {
	set   func(lowWater int) bool // nil: this connection cannot do it
	busy  bool
	score int // rises with each read that follows closely, halves with each that does not
	empty int // reads in a row, while busy, that gave nothing
	last  time.Time
}

const (
	lowWater  = 64 << 10
	paceWait  = 500 * time.Microsecond
	paceFlush = 2 * time.Millisecond
	paceGap   = 250 * time.Microsecond // reads closer than this follow closely
	paceScore = 24                     // from here on it is load: a small transaction makes three reads
	paceEmpty = 4                      // waits that gave nothing end it
)

func newPace(conn net.Conn) *pace {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if s, ok := conn.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			return &pace{set: func(n int) bool { return setLowWater(raw, n) }}
		}
	}
	return &pace{}
}

// note learns from a read that gave n bytes at now.
func (p *pace) note(n int, now time.Time) {
	if p.set == nil {
		return
	}
	if p.busy {
		if p.empty++; n > 0 {
			p.empty = 0
		}
		if p.empty < paceEmpty {
			return
		}
		p.calm()
		return
	}
	if n > 0 && now.Sub(p.last) < paceGap {
		p.score++
	} else {
		p.score /= 2
	}
	p.last = now
	if p.score >= paceScore {
		p.busy = p.set(lowWater)
	}
}

// calm ends load: from now on every byte wakes us.
func (p *pace) calm() {
	if p.busy && !p.set(1) {
		p.set = nil // the regular tick reads what comes, later than need be; load is not looked for any more
	}
	p.busy, p.score, p.empty = false, 0, 0
}
