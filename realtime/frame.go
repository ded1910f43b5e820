package realtime

import (
	"encoding/binary"
	"encoding/json"

	"github.com/gorilla/websocket"

	"vigil/realtime/phoenix"
)

// A server's WebSocket frame, RFC 6455 section 5.2: never masked, never fragmented, never compressed (secrets and text
// that others chose would share one compression window).
const (
	finBit      = 0x80
	length16    = 126
	length64    = 127
	headerRoom  = 10 // opcode, length mark, 64-bit length
	smallFrame  = 125
	mediumFrame = 1<<16 - 1
)

// appendFrame appends one WebSocket frame that holds payload. Frames are encoded once and shared by every socket of a
// version, and a writer joins what is queued into one write: half the CPU of one gorilla write each (PERFORMANCE.md).
func appendFrame(dst []byte, opcode int, payload []byte) []byte {
	dst = append(dst, finBit|byte(opcode))
	switch n := len(payload); {
	case n <= smallFrame:
		dst = append(dst, byte(n))
	case n <= mediumFrame:
		dst = append(dst, length16)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, length64)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return append(dst, payload...)
}

// textFrame encodes m for one version as a whole WebSocket frame.
func textFrame(v phoenix.Version, m phoenix.Message) []byte {
	text := phoenix.AppendText(make([]byte, 0, len(m.Topic)+len(m.Payload)+96), v, m)
	return appendFrame(make([]byte, 0, headerRoom+len(text)), websocket.TextMessage, text)
}

// shared is one message encoded once for each version that needs it. Only the goroutine that fans it out fills it, before
// its frames are queued.
type shared struct {
	message phoenix.Message
	raw     *phoenix.Broadcast // set: kind 4 for vsn 2, nothing for vsn 1
	entry   *entryFrame        // set: a durable broadcast
	frames  [phoenix.Versions][]byte
}

// frame gives the encoded frame for v, nil if a socket of that version cannot have it.
func (s *shared) frame(v phoenix.Version) []byte {
	if s.frames[v] != nil {
		return s.frames[v]
	}
	switch {
	case s.raw == nil:
		s.frames[v] = textFrame(v, s.message)
	case v == phoenix.V2:
		if data, ok := phoenix.AppendBroadcast(nil, *s.raw); ok {
			s.frames[v] = appendFrame(make([]byte, 0, headerRoom+len(data)), websocket.BinaryMessage, data)
		}
	}
	return s.frames[v]
}

// mustJSON encodes a value of this package's own types, which cannot fail.
func mustJSON(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic("realtime: encode own value: " + err.Error())
	}
	return data
}
