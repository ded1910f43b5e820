package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	gulpBytes     = 256 << 10 // one read; the walsender sends row by row, and large reads let it run ahead
	carryKept     = 1 << 20   // a carry buffer above this is given back
	frameLimit    = 16 << 20  // a logical message longer than this loses its content, as it comes in
	truncatedKept = 4 << 10   // of such a message
	writeTimeout  = 10 * time.Second
)

// waker ends a blocked read of conn when something else needs its goroutine: it moves the read deadline into the past.
// The reader must, after a timeout, first set a new deadline and then look at what may have happened.
type waker struct {
	conn  net.Conn
	watch chan (<-chan struct{}) // capacity 1; full: wait, for what was watched before is over
	stop  chan struct{}
	done  chan struct{}
}

func newWaker(conn net.Conn) *waker {
	return &waker{conn: conn, watch: make(chan (<-chan struct{}), 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// run is the goroutine; close waits for it.
func (w *waker) run() {
	defer close(w.done)
	for {
		select {
		case event := <-w.watch:
			select {
			case <-event:
				w.wake()
			case <-w.stop:
				return
			}
		case <-w.stop:
			return
		}
	}
}

// wake may be called by anyone.
func (w *waker) wake() {
	w.conn.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // only fails on a closed connection, which wakes as well
}

// close ends run and the connection, and waits.
func (w *waker) close() {
	close(w.stop)
	w.conn.Close() //nolint:errcheck // the reason for closing is reported, not this
	<-w.done
}

// framer cuts a byte stream into protocol messages. Most are handed over in place; one that spans two gulps is put
// together in carry.
type framer struct {
	carry []byte // the start of a message that is not complete
	skip  int    // bytes to throw away: the rest of a message that was cut to truncatedKept
}

const headerBytes = 5 // type, length

// feed calls handle for each complete message: its type, its body, and whether the body was cut.
func (f *framer) feed(data []byte, handle func(kind byte, body []byte, truncated bool) error) error {
	for len(data) > 0 {
		if f.skip > 0 {
			n := min(f.skip, len(data))
			f.skip -= n
			data = data[n:]
			continue
		}
		if len(f.carry) > 0 {
			n, err := f.complete(data, handle)
			if err != nil {
				return err
			}
			data = data[n:]
			continue
		}
		size, err := frameSize(data)
		if err != nil {
			return err
		}
		if size == 0 || size > len(data) {
			f.carry = append(f.carry, data...)
			return f.cut(handle)
		}
		if err := handle(data[0], data[headerBytes:size], false); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// complete adds to carry what its message needs, and says how much it took.
func (f *framer) complete(data []byte, handle func(byte, []byte, bool) error) (int, error) {
	want := headerBytes
	if len(f.carry) >= headerBytes {
		size, err := frameSize(f.carry)
		if err != nil {
			return 0, err
		}
		want = size
	}
	n := min(want-len(f.carry), len(data))
	f.carry = append(f.carry, data[:n]...)
	if size, err := frameSize(f.carry); err != nil || size != len(f.carry) {
		if err == nil {
			err = f.cut(handle)
		}
		return n, err
	}
	err := handle(f.carry[0], f.carry[headerBytes:], false)
	f.reset()
	return n, err
}

func (f *framer) reset() {
	if f.carry = f.carry[:0]; cap(f.carry) > carryKept {
		f.carry = nil
	}
}

// cut hands over the start of a logical message that is too long to be kept, and skips its rest.
func (f *framer) cut(handle func(byte, []byte, bool) error) error {
	size, err := frameSize(f.carry)
	if err != nil || size <= frameLimit || len(f.carry) < truncatedKept {
		return err
	}
	if f.carry[0] != 'd' || f.carry[headerBytes] != 'w' || f.carry[headerBytes+walHeaderBytes] != 'M' {
		return nil // a row: it is kept whole
	}
	f.skip = size - len(f.carry)
	err = handle(f.carry[0], f.carry[headerBytes:], true)
	f.reset()
	return err
}

// frameSize is the whole size of the message that data starts with; 0 when that is not known yet.
func frameSize(data []byte) (int, error) {
	if len(data) < headerBytes {
		return 0, nil
	}
	n := binary.BigEndian.Uint32(data[1:])
	if n < 4 || n > 1<<30+1<<20 {
		return 0, protocolError(fmt.Sprintf("a message %q of %d bytes", data[0], n))
	}
	return int(n) + 1, nil
}

// walHeaderBytes is 'w', start, end and time, before the pgoutput message.
const walHeaderBytes = 1 + 8 + 8 + 8

// appendStatus appends a whole standby status update: written is what arrived, confirmed what may be recycled.
func appendStatus(dst []byte, written, confirmed uint64, now time.Time, ask bool) []byte {
	dst = append(dst, 'd', 0, 0, 0, 4+34, 'r')
	dst = binary.BigEndian.AppendUint64(dst, max(written, confirmed))
	dst = binary.BigEndian.AppendUint64(dst, confirmed)
	dst = binary.BigEndian.AppendUint64(dst, confirmed)
	dst = binary.BigEndian.AppendUint64(dst, uint64(pgMicros(now)))
	if ask {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// serverError reads an ErrorResponse.
func serverError(body []byte) error {
	var m pgproto3.ErrorResponse
	if err := m.Decode(body); err != nil {
		return fmt.Errorf("read the server's error: %w", err)
	}
	return pgconn.ErrorResponseToPgError(&m)
}

// readFrame reads one message exactly, for the exchange before the stream.
func readFrame(conn net.Conn) (kind byte, body []byte, err error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return 0, nil, fmt.Errorf("read message: %w", err)
	}
	size, err := frameSize(header[:])
	if err != nil {
		return 0, nil, err
	}
	if size > frameLimit {
		return 0, nil, errors.New("read message: too long before the stream starts")
	}
	body = make([]byte, size-headerBytes)
	if _, err := io.ReadFull(conn, body); err != nil {
		return 0, nil, fmt.Errorf("read message: %w", err)
	}
	return header[0], body, nil
}
