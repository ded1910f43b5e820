package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// socket is a WebSocket client that costs little, so that it takes little from the server it measures. One goroutine reads.
type socket struct {
	conn net.Conn
	r    *bufio.Reader
	buf  []byte
}

const (
	socketBuffer  = 4 << 10
	socketTimeout = 30 * time.Second
	opText        = 1
	opClose       = 8
	opPing        = 9
	opPong        = 10
)

// dial opens a WebSocket. buffer is what its reader reads at once.
func dial(ctx context.Context, address, path string, buffer int) (*socket, error) {
	dialer := net.Dialer{Timeout: socketTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	key := make([]byte, 16)
	_, _ = rand.Read(key)
	_ = conn.SetDeadline(time.Now().Add(socketTimeout))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
		path, address, base64.StdEncoding.EncodeToString(key))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := &socket{conn: conn, r: bufio.NewReaderSize(conn, buffer)}
	res, err := http.ReadResponse(s.r, nil) //nolint:bodyclose // what was upgraded has no body; of a refusal the connection is closed
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return nil, errors.Join(fmt.Errorf("the handshake was answered %d: %s", res.StatusCode, body), conn.Close())
	}
	return s, conn.SetDeadline(time.Time{})
}

// write sends one frame. A client's frame is masked; a mask of zeros leaves it as it is.
func (s *socket) write(opcode byte, payload []byte) error {
	frame := append(make([]byte, 0, len(payload)+14), 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(n))
	}
	frame = append(append(frame, 0, 0, 0, 0), payload...)
	_, err := s.conn.Write(frame)
	return err
}

var (
	errSocketClosed = errors.New("the server closed the socket")
	errRefused      = errors.New("the join was refused")
)

// next gives the next text frame; it is good until the one after it. Pings are answered.
func (s *socket) next() ([]byte, error) {
	for {
		var head [10]byte
		if _, err := io.ReadFull(s.r, head[:2]); err != nil {
			return nil, err
		}
		n := uint64(head[1] & 0x7f)
		switch n {
		case 126:
			if _, err := io.ReadFull(s.r, head[2:4]); err != nil {
				return nil, err
			}
			n = uint64(binary.BigEndian.Uint16(head[2:]))
		case 127:
			if _, err := io.ReadFull(s.r, head[2:10]); err != nil {
				return nil, err
			}
			n = binary.BigEndian.Uint64(head[2:])
		}
		if n > 16<<20 {
			return nil, errors.New("a frame that no server of ours sends")
		}
		if uint64(cap(s.buf)) < n {
			s.buf = make([]byte, n)
		}
		s.buf = s.buf[:n]
		if _, err := io.ReadFull(s.r, s.buf); err != nil {
			return nil, err
		}
		switch head[0] & 0x0f {
		case opText:
			return s.buf, nil
		case opPing:
			if err := s.write(opPong, s.buf); err != nil {
				return nil, err
			}
		case opClose:
			return nil, errSocketClosed
		}
	}
}

func (s *socket) close() { _ = s.conn.Close() }

// phoenixPath is where the sidecar's channel is.
func phoenixPath(key string) string { return "/realtime/v1/websocket?vsn=2.0.0&apikey=" + key }

// join asks to join a topic; after is a cursor, or "".
func (s *socket) join(ref, topic, token, after string) error {
	cast := map[string]any{}
	if after != "" {
		cast["replay"] = map[string]any{"after": after}
	}
	frame, err := json.Marshal([]any{ref, ref, "realtime:" + topic, "phx_join", map[string]any{
		"access_token": token, "config": map[string]any{"private": true, "broadcast": cast, "presence": map[string]any{"enabled": false}},
	}})
	if err != nil {
		return err
	}
	return s.write(opText, frame)
}

// frame is a Phoenix message as it came.
type frame struct {
	ref, topic, event string
	payload           json.RawMessage
}

// parse reads a frame of vsn 2: [join_ref, ref, topic, event, payload].
func parse(data []byte) (frame, error) {
	var parts [5]json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return frame{}, fmt.Errorf("a frame that is no Phoenix message: %w", err)
	}
	text := func(i int) string { return strings.Trim(string(parts[i]), `"`) }
	return frame{text(1), strings.TrimPrefix(text(2), "realtime:"), text(3), parts[4]}, nil
}

// recovered is a system message that says what a join made good.
type recovered struct {
	Extension string `json:"extension"`
	Recovered bool   `json:"recovered"`
	Cursor    string `json:"cursor"`
	Message   string `json:"message"`
}

// joined waits for the answer to a join and for what its channel recovered, and hands every broadcast in between to each.
func (s *socket) joined(each func(payload []byte)) (recovered, error) {
	for {
		data, err := s.next()
		if err != nil {
			return recovered{}, err
		}
		f, err := parse(data)
		if err != nil {
			return recovered{}, err
		}
		switch f.event {
		case "phx_reply":
			if !strings.Contains(string(f.payload), `"ok"`) {
				return recovered{}, fmt.Errorf("%w: %s", errRefused, f.payload)
			}
		case "broadcast":
			if each != nil {
				each(f.payload)
			}
		case "system":
			var r recovered
			if err := json.Unmarshal(f.payload, &r); err != nil {
				return r, err
			}
			if r.Extension == "recovery" {
				return r, nil
			}
			return r, fmt.Errorf("the channel says: %s", r.Message)
		}
	}
}
