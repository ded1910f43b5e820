package replication

import (
	"bytes"
	"encoding/binary"
)

// wireReader reads big-endian fields; after a fault bad is set, and whatever it returns means nothing.
type wireReader struct {
	data []byte
	at   int
	bad  bool
}

func (r *wireReader) take(n int) []byte {
	if r.bad || n > len(r.data)-r.at {
		r.bad = true
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

func (r *wireReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *wireReader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *wireReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *wireReader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// string reads up to a zero byte.
func (r *wireReader) string() string {
	if r.bad {
		return ""
	}
	n := bytes.IndexByte(r.data[r.at:], 0)
	if n < 0 {
		r.bad = true
		return ""
	}
	s := string(r.data[r.at : r.at+n])
	r.at += n + 1
	return s
}

func (r *wireReader) skipTuple() {
	for range r.uint16() {
		switch r.byte() {
		case 't':
			r.take(int(r.uint32()))
		case 'n', 'u':
		default:
			r.bad = true
		}
		if r.bad {
			return
		}
	}
}

// fitting finds the largest bound on a single value with which the tuples in parts ([kind tuple]…, width columns each)
// take at most size bytes: values above it are withheld. Halving keeps it the same for the same row.
func fitting(parts []byte, width, size int) int {
	for limit := size; limit > 0; limit /= 2 {
		r := wireReader{data: parts}
		total := 0
		for r.at < len(parts) && !r.bad {
			r.byte()
			if int(r.uint16()) != width {
				return limit // malformed: refused when it is copied
			}
			for range width {
				total++
				if r.byte() == 't' {
					if n := len(r.take(int(r.uint32()))); n <= limit {
						total += n + 4
					}
				}
			}
		}
		if total <= size {
			return limit
		}
	}
	return 0
}
