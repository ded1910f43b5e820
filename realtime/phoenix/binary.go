package phoenix

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Header sizes: the kind, one length byte for each header field, the encoding.
const (
	pushHeaderBytes      = 7 // kind, join_ref, ref, topic, event, meta, encoding
	broadcastHeaderBytes = 5 // kind, topic, event, meta, encoding
)

// DecodePush reads a binary frame of kind 3, a client's broadcast. Topic and event must not be empty; Meta is valid JSON
// or empty; a payload of encoding JSON is valid JSON. Payload aliases frame.
func DecodePush(frame []byte) (Broadcast, error) {
	return decodeBinary(frame, KindBroadcastPush, pushHeaderBytes)
}

// DecodeBroadcast reads a binary frame of kind 4, the server's broadcast; for clients and tests. As DecodePush otherwise.
func DecodeBroadcast(frame []byte) (Broadcast, error) {
	return decodeBinary(frame, KindBroadcast, broadcastHeaderBytes)
}

func decodeBinary(frame []byte, kind byte, headerBytes int) (Broadcast, error) {
	var b Broadcast
	if len(frame) < headerBytes || frame[0] != kind {
		return b, fmt.Errorf("%w: no binary frame of kind %d", ErrMalformed, kind)
	}
	var meta string
	into := []*string{&b.JoinRef, &b.Ref, &b.Topic, &b.Event, &meta}
	if kind == KindBroadcast {
		into = into[2:]
	}
	rest := frame[headerBytes:]
	for i, s := range into {
		n := int(frame[1+i])
		if n > len(rest) {
			return Broadcast{}, fmt.Errorf("%w: shorter than its header says", ErrMalformed)
		}
		if !utf8.Valid(rest[:n]) {
			return Broadcast{}, fmt.Errorf("%w: header is not UTF-8", ErrMalformed)
		}
		*s, rest = string(rest[:n]), rest[n:]
	}
	b.Encoding, b.Payload = Encoding(frame[headerBytes-1]), rest
	return b, b.check(meta)
}

func (b *Broadcast) check(meta string) error {
	switch {
	case b.Topic == "" || b.Event == "":
		return fmt.Errorf("%w: topic or event is empty", ErrMalformed)
	case b.Encoding > JSON:
		return fmt.Errorf("%w: payload encoding %d is unknown", ErrMalformed, b.Encoding)
	case b.Encoding == JSON && (!utf8.Valid(b.Payload) || !json.Valid(b.Payload)):
		return fmt.Errorf("%w: payload is no JSON", ErrMalformed)
	case meta != "" && !json.Valid([]byte(meta)):
		return fmt.Errorf("%w: meta is no JSON", ErrMalformed)
	}
	if meta != "" {
		b.Meta = json.RawMessage(meta)
	}
	return nil
}

// AppendBroadcast appends b as a binary frame of kind 4. False, and dst as it was, if a header field is longer than
// MaxHeaderBytes: send text then.
func AppendBroadcast(dst []byte, b Broadcast) ([]byte, bool) {
	if len(b.Topic) > MaxHeaderBytes || len(b.Event) > MaxHeaderBytes || len(b.Meta) > MaxHeaderBytes {
		return dst, false
	}
	dst = append(dst, KindBroadcast, byte(len(b.Topic)), byte(len(b.Event)), byte(len(b.Meta)), byte(b.Encoding))
	dst = append(dst, b.Topic...)
	dst = append(dst, b.Event...)
	dst = append(dst, b.Meta...)
	return append(dst, b.Payload...), true
}

// AppendPush appends b as a binary frame of kind 3, for clients and tests. False, and dst as it was, if a header field is
// longer than MaxHeaderBytes.
func AppendPush(dst []byte, b Broadcast) ([]byte, bool) {
	for _, n := range []int{len(b.JoinRef), len(b.Ref), len(b.Topic), len(b.Event), len(b.Meta)} {
		if n > MaxHeaderBytes {
			return dst, false
		}
	}
	dst = append(dst, KindBroadcastPush, byte(len(b.JoinRef)), byte(len(b.Ref)), byte(len(b.Topic)), byte(len(b.Event)),
		byte(len(b.Meta)), byte(b.Encoding))
	dst = append(dst, b.JoinRef...)
	dst = append(dst, b.Ref...)
	dst = append(dst, b.Topic...)
	dst = append(dst, b.Event...)
	dst = append(dst, b.Meta...)
	return append(dst, b.Payload...), true
}
