package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/jackc/pglogrepl"

	"vigil/server/internal/logkey"
)

// stream is one connection after START_REPLICATION. One goroutine parses, appends and confirms; gulps reads beside it.
type stream struct {
	c     Config
	conn  net.Conn
	state *stateKeeper
	asm   *assembler
	frame framer
	pace  *pace

	inFlight []appended // oldest first
	spare    [][]byte   // buffers of appends that are done

	confirmed pglogrepl.LSN // what the server was told last
	stored    pglogrepl.LSN // what it may be told
	received  pglogrepl.LSN // where the last data message stood
	walEnd    pglogrepl.LSN // the server's own position, as far as it told

	tickAt   time.Time // when tick is due
	statusAt time.Time // when a status was sent
	heardAt  time.Time // when a byte came
	asked    bool      // the server waits for a confirmation
	status   []byte

	settled uint64 // appends that are done
	wrote   bool   // one of them was stored

	flushedAt time.Time // when an entry was handed to the log
}

// appended is an entry on its way to the log.
type appended struct {
	stored Stored
	end    pglogrepl.LSN // may be confirmed when it is stored; 0 when it ends no transaction
	data   []byte
}

const smallestTick = 5 * time.Millisecond

// run reads until ctx ends (nil, after what is in flight was stored and confirmed) or something breaks.
func (s *stream) run(ctx context.Context) error {
	s.asm.full = func() error { return s.flush(ctx) }
	w := newWaker(s.conn)
	go w.run() // close waits for it
	defer w.close()
	defer context.AfterFunc(ctx, w.wake)()
	s.pace = newPace(s.conn)
	s.statusAt, s.heardAt = time.Now(), time.Now()
	buf := make([]byte, gulpBytes)
	err := s.loop(ctx, w, buf)
	return errors.Join(err, s.drain(ctx, buf, err))
}

// loop reads, and between reads stores and confirms. A read ends at the next tick, when the oldest append in flight is
// done, and when ctx ends.
func (s *stream) loop(ctx context.Context, w *waker, buf []byte) error {
	watched := uint64(0) // how many appends were watched or are done
	for woken := true; ; {
		ticked := woken && time.Now().After(s.tickAt)
		if woken {
			if err := s.arm(ticked); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := s.advance(ctx, ticked); err != nil {
			return err
		}
		if len(s.inFlight) > 0 && watched <= s.settled && !s.pace.busy { // else the next read is short
			watched = s.settled + 1
			w.watch <- s.oldest()
		}
		n, err := s.read(buf)
		if n > 0 {
			if err := s.frame.feed(buf[:n], s.handle); err != nil {
				return err
			}
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("read the stream: %w", err)
		}
		woken = err != nil || s.pace.busy
	}
}

// read reads once. Under load it waits for more, but never long.
func (s *stream) read(buf []byte) (int, error) {
	n, err := s.conn.Read(buf)
	now := time.Now()
	if n > 0 {
		s.heardAt = now
	}
	s.pace.note(n, now)
	return n, err
}

// arm sets when the next read ends at the latest.
func (s *stream) arm(ticked bool) error {
	if ticked {
		s.tickAt = time.Now().Add(max(s.c.StatusInterval/4, smallestTick))
		if err := s.tick(); err != nil {
			return err
		}
	}
	until := s.tickAt
	if s.pace.busy {
		until = time.Now().Add(paceWait)
	}
	if err := s.conn.SetReadDeadline(until); err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	return nil
}

// advance takes what is stored off the list, hands on what is complete, and confirms. What comes while an append is in
// flight shares the next one. A transaction whose rest is on its way is waited for, but not past a tick: those before it
// in the entry are complete. Under load entries are at least paceFlush apart: each costs the log a sync.
func (s *stream) advance(ctx context.Context, ticked bool) error {
	if err := s.settle(); err != nil {
		return err
	}
	if s.pace.busy && !ticked && time.Since(s.flushedAt) < paceFlush {
		return s.confirm(false)
	}
	if s.asm.ended > 0 && len(s.inFlight) == 0 && (!s.asm.in || ticked) {
		if err := s.flush(ctx); err != nil {
			return err
		}
		if err := s.settle(); err != nil { // a log without a disk is done at once
			return err
		}
	}
	return s.confirm(false)
}

func (s *stream) oldest() <-chan struct{} {
	if len(s.inFlight) == 0 {
		return nil
	}
	return s.inFlight[0].stored.Done()
}

// settle takes what is stored by now off the list.
func (s *stream) settle() error {
	for len(s.inFlight) > 0 {
		select {
		case <-s.inFlight[0].stored.Done():
		default:
			return nil
		}
		if err := s.settleOne(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) settleOne() error {
	first := s.inFlight[0]
	s.inFlight = append(s.inFlight[:0], s.inFlight[1:]...)
	s.settled++
	if err := first.stored.Err(); err != nil {
		return fmt.Errorf("store an entry: %w", err)
	}
	s.wrote = true
	s.stored = max(s.stored, first.end)
	s.spare = append(s.spare, first.data[:0])
	return nil
}

// makeRoom blocks while the window is full. The server must hear from us all the while.
func (s *stream) makeRoom(ctx context.Context) error {
	for len(s.inFlight) >= s.c.Window {
		timer := time.NewTimer(s.c.StatusInterval)
		select {
		case <-s.oldest():
			timer.Stop()
			if err := s.settleOne(); err != nil {
				return err
			}
		case <-timer.C:
			s.heardAt = time.Now() // it is we who do not listen
			if err := s.tick(); err != nil {
				return err
			}
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
	return nil
}

// flush hands the entry to the log. A transaction in progress goes on in the next one.
func (s *stream) flush(ctx context.Context) error {
	if err := s.makeRoom(ctx); err != nil {
		return err
	}
	var buf []byte
	if n := len(s.spare); n > 0 {
		buf, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	rows := s.asm.rows
	data := s.asm.take(buf)
	s.c.At("before_append")
	stored, err := s.c.Append(ctx, data)
	if err != nil {
		return fmt.Errorf("append an entry: %w", err)
	}
	s.inFlight = append(s.inFlight, appended{stored: stored, end: s.asm.complete, data: data})
	s.flushedAt = time.Now()
	s.c.At("after_append")
	s.state.appended(rows, len(data))
	return nil
}

// handle reads one protocol message.
func (s *stream) handle(kind byte, body []byte, truncated bool) error {
	switch kind {
	case 'd':
		return s.copyData(body, truncated)
	case 'E':
		return fmt.Errorf("stream slot %s: %w", s.c.Slot, classifyStream(serverError(body), s.c.Slot))
	case 'N', 'S': // notice, parameter status
		return nil
	case 'c', 'C', 'Z': // the server ends the copy, as it does when it stops
		return fmt.Errorf("stream slot %s: ended by the server: %w", s.c.Slot, io.EOF)
	}
	return protocolError(fmt.Sprintf("an unknown protocol message %q", kind))
}

func (s *stream) copyData(body []byte, truncated bool) error {
	if len(body) == 0 {
		return protocolError("an empty data message")
	}
	switch {
	case body[0] == 'w' && len(body) > walHeaderBytes:
		if start := pglogrepl.LSN(binary.BigEndian.Uint64(body[1:])); start > s.received {
			s.received = start
		}
		s.walEnd = max(s.walEnd, pglogrepl.LSN(binary.BigEndian.Uint64(body[9:])))
		before := s.asm.received
		if err := s.asm.handle(body[walHeaderBytes:], truncated); err != nil {
			return err
		}
		if s.asm.received != before {
			s.c.At("received")
		}
		return nil
	case body[0] == 'k' && len(body) == 18:
		return s.keepalive(pglogrepl.LSN(binary.BigEndian.Uint64(body[1:])), body[17] != 0)
	}
	return protocolError(fmt.Sprintf("an unknown data message %q", body[0]))
}

// keepalive may move the confirmed LSN over WAL that holds nothing for us, but only when nothing is in flight: end says
// how far the server has read and sent, not how far we have stored.
func (s *stream) keepalive(end pglogrepl.LSN, reply bool) error {
	s.walEnd = max(s.walEnd, end)
	if err := s.settle(); err != nil {
		return err
	}
	if s.isIdle() {
		s.stored = max(s.stored, end, s.asm.complete)
	}
	if !reply {
		return nil
	}
	s.asked = true
	return s.confirm(true)
}

func (s *stream) isIdle() bool { return !s.asm.in && s.asm.isEmpty() && len(s.inFlight) == 0 }

// confirm tells the server what is stored: at once when it asked and there is news, else once an interval. force sends
// in any case.
func (s *stream) confirm(force bool) error {
	if s.isIdle() {
		s.stored = max(s.stored, s.asm.complete)
	}
	news := s.stored > s.confirmed
	due := news && (s.asked || time.Since(s.statusAt) >= s.c.StatusInterval)
	if !due && !force {
		return nil
	}
	if news {
		s.c.At("before_confirm")
	}
	if err := s.send(s.stored, false); err != nil {
		return err
	}
	if news {
		s.asked = false
		s.c.At("after_confirm")
	}
	return nil
}

// send tells Postgres that every commit ending at or before lsn is durable here, so that it may recycle that WAL. lsn
// never goes back: ErrStaleLSN.
// Source: postgresql.org/docs/17/protocol-replication.html, "Standby status update".
func (s *stream) send(lsn pglogrepl.LSN, ask bool) error {
	if lsn < s.confirmed {
		return fmt.Errorf("confirm %s after %s: %w", lsn, s.confirmed, ErrStaleLSN)
	}
	now := time.Now()
	s.status = appendStatus(s.status[:0], uint64(s.received), uint64(lsn), now, ask)
	if err := s.conn.SetWriteDeadline(now.Add(writeTimeout)); err != nil {
		return fmt.Errorf("confirm %s: %w", lsn, err)
	}
	if _, err := s.conn.Write(s.status); err != nil {
		return fmt.Errorf("confirm %s: %w", lsn, err)
	}
	s.statusAt, s.confirmed = now, lsn
	s.report()
	return nil
}

// tick sends the regular status, and gives up on a server that does not answer.
func (s *stream) tick() error {
	s.report()
	silent := time.Since(s.heardAt)
	if silent > s.c.SilenceTimeout {
		return &Fault{Kind: ErrSilent, Advice: fmt.Sprintf("nothing came for %s", silent.Round(time.Second))}
	}
	if err := s.confirm(false); err != nil {
		return err
	}
	if time.Since(s.statusAt) >= s.c.StatusInterval {
		return s.send(s.confirmed, silent > s.c.SilenceTimeout/3)
	}
	return nil
}

func (s *stream) report() {
	s.state.progress(s.received, s.confirmed, s.walEnd, s.asm)
}

// drain waits for what is in flight, so that nobody reads the log's last entry while another is on its way: as long as
// it takes, or for DrainTimeout once ctx has ended. After a clean end it confirms what was stored.
func (s *stream) drain(ctx context.Context, buf []byte, reason error) error {
	var limit <-chan time.Time
	ended := ctx.Done()
	for len(s.inFlight) > 0 {
		select {
		case <-s.oldest():
		case <-ended:
			timer := time.NewTimer(s.c.DrainTimeout)
			defer timer.Stop()
			ended, limit = nil, timer.C
			continue
		case <-limit:
			s.c.Log.WarnContext(ctx, "appends in flight given up", logkey.Slot, s.c.Slot, logkey.Count, len(s.inFlight))
			return fmt.Errorf("drain %d appends: %w", len(s.inFlight), context.DeadlineExceeded)
		}
		if err := s.settleOne(); err != nil && reason == nil {
			return err
		}
	}
	if reason != nil || ctx.Err() == nil {
		return nil
	}
	if s.stored > s.confirmed {
		if err := s.confirm(true); err != nil {
			return nil //nolint:nilerr // it is sent again at the next start: nothing is lost by it
		}
	}
	s.leave(buf)
	return nil
}

// leave ends the copy and waits a moment for the server to agree: then the slot is free for whoever comes next. What still
// arrives is thrown away; it comes again.
func (s *stream) leave(buf []byte) {
	s.pace.calm()
	if err := s.conn.SetDeadline(time.Now().Add(closeTimeout)); err != nil {
		return
	}
	if _, err := s.conn.Write([]byte{'c', 0, 0, 0, 4}); err != nil {
		return
	}
	for ready := false; !ready; {
		n, err := s.conn.Read(buf)
		if err != nil {
			return
		}
		err = s.frame.feed(buf[:n], func(kind byte, _ []byte, _ bool) error {
			ready = ready || kind == 'Z'
			return nil
		})
		if err != nil {
			return
		}
	}
	s.conn.Write([]byte{'X', 0, 0, 0, 4}) //nolint:errcheck // a courtesy
}
