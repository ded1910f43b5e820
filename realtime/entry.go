package realtime

import (
	"encoding/base64"
	"strconv"
	"strings"
	"sync/atomic"

	"vigil/realtime/phoenix"
)

// cursor is a place in one topic of one log: everything up to Seq was seen.
type cursor struct {
	epoch string
	seq   uint64
}

// String gives the cursor as replay.after carries it: opaque to clients.
func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.epoch + "." + strconv.FormatUint(c.seq, 10)))
}

// maxSeq is above every sequence: they must be exact in a JavaScript number.
const maxSeq = 1 << 53

func parseCursor(s string) (cursor, bool) {
	if len(s) > phoenix.MaxHeaderBytes {
		return cursor{}, false
	}
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return cursor{}, false
	}
	dot := strings.LastIndexByte(string(data), '.')
	if dot < 1 {
		return cursor{}, false
	}
	seq, err := strconv.ParseUint(string(data[dot+1:]), 10, 64)
	if err != nil || seq >= maxSeq {
		return cursor{}, false
	}
	return cursor{epoch: string(data[:dot]), seq: seq}, true
}

// entryFrame remembers, for Config.OnFrame, whether any frame of an entry was written.
type entryFrame struct {
	entry   Entry
	written atomic.Bool
}

// broadcastOf gives the durable broadcast of e, marked replayed or not. It is always a text frame: meta may be longer than
// a binary frame's 255 bytes, and both versions can read it.
func broadcastOf(e Entry, replayed bool) phoenix.Message {
	p := make([]byte, 0, len(e.Payload)+len(e.Event)+len(e.ID)+len(e.Epoch)+192)
	p = append(p, `{"type":"broadcast","event":`...)
	p = phoenix.AppendString(p, e.Event)
	p = append(p, `,"payload":`...)
	if len(e.Payload) == 0 {
		p = append(p, "{}"...)
	}
	p = append(p, e.Payload...)
	p = append(p, `,"meta":{"id":`...)
	p = phoenix.AppendString(p, e.ID)
	p = append(p, `,"seq":`...)
	p = strconv.AppendUint(p, e.Seq, 10)
	p = append(p, `,"prev":`...)
	p = strconv.AppendUint(p, e.Prev, 10)
	p = append(p, `,"epoch":`...)
	p = phoenix.AppendString(p, e.Epoch)
	p = append(p, `,"cursor":"`...)
	p = append(p, cursor{e.Epoch, e.Seq}.String()...)
	p = append(p, `","ts":`...)
	p = strconv.AppendInt(p, e.At.UnixMilli(), 10)
	if replayed {
		p = append(p, `,"replayed":true`...)
	}
	p = append(p, "}}"...)
	return phoenix.Message{Topic: phoenix.TopicPrefix + e.Topic, Event: phoenix.EventBroadcast, Payload: p}
}
