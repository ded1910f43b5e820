package phoenix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// fieldsV2 is the length of a vsn 2 text frame: join_ref, ref, topic, event, payload.
const fieldsV2 = 5

// Decode reads a text frame. The frame must name a topic and an event, both at most MaxHeaderBytes; refs may be strings,
// numbers or null and are kept as text; a payload that is no object is refused, a missing or null one becomes {}.
func Decode(v Version, frame []byte) (Message, error) {
	if !utf8.Valid(frame) {
		return Message{}, fmt.Errorf("%w: text is not UTF-8", ErrMalformed)
	}
	fields, err := split(v, frame)
	if err != nil {
		return Message{}, err
	}
	var m Message
	for _, f := range []struct {
		into *string
		from json.RawMessage
		null bool
	}{{&m.JoinRef, fields[0], true}, {&m.Ref, fields[1], true}, {&m.Topic, fields[2], false}, {&m.Event, fields[3], false}} {
		if *f.into, err = header(f.from, f.null); err != nil {
			return Message{}, err
		}
	}
	if m.Topic == "" || m.Event == "" {
		return Message{}, fmt.Errorf("%w: topic or event is empty", ErrMalformed)
	}
	m.Payload, err = object(fields[4])
	return m, err
}

func split(v Version, frame []byte) ([]json.RawMessage, error) {
	if v == V1 {
		var o struct {
			JoinRef json.RawMessage `json:"join_ref"`
			Ref     json.RawMessage `json:"ref"`
			Topic   json.RawMessage `json:"topic"`
			Event   json.RawMessage `json:"event"`
			Payload json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(frame, &o); err != nil {
			return nil, fmt.Errorf("%w: no JSON object", ErrMalformed)
		}
		return []json.RawMessage{o.JoinRef, o.Ref, o.Topic, o.Event, o.Payload}, nil
	}
	var fields []json.RawMessage
	if err := json.Unmarshal(frame, &fields); err != nil || len(fields) != fieldsV2 {
		return nil, fmt.Errorf("%w: no JSON array of five", ErrMalformed)
	}
	return fields, nil
}

// header reads one of join_ref, ref, topic, event. null says whether null and numbers are allowed.
func header(raw json.RawMessage, null bool) (string, error) {
	raw = bytes.TrimSpace(raw)
	var s string
	switch {
	case len(raw) > 0 && raw[0] == '"':
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", fmt.Errorf("%w: header is no string", ErrMalformed)
		}
	case null && (len(raw) == 0 || bytes.Equal(raw, []byte("null"))):
	case null && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'):
		s = string(raw)
	default:
		return "", fmt.Errorf("%w: header is no string", ErrMalformed)
	}
	if len(s) > MaxHeaderBytes {
		return "", fmt.Errorf("%w: header is longer than %d bytes", ErrMalformed, MaxHeaderBytes)
	}
	return s, nil
}

func object(raw json.RawMessage) (json.RawMessage, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return json.RawMessage("{}"), nil
	}
	if raw[0] != '{' {
		return nil, fmt.Errorf("%w: payload is no object", ErrMalformed)
	}
	return raw, nil
}

// AppendText appends m as a text frame. Payload must be a JSON object or empty; it is copied as it is.
func AppendText(dst []byte, v Version, m Message) []byte {
	payload := m.Payload
	if len(payload) == 0 {
		payload = json.RawMessage("{}")
	}
	if v == V1 {
		dst = append(dst, `{"topic":`...)
		dst = AppendString(dst, m.Topic)
		dst = append(dst, `,"event":`...)
		dst = AppendString(dst, m.Event)
		dst = append(dst, `,"payload":`...)
		dst = append(dst, payload...)
		dst = append(dst, `,"ref":`...)
		dst = appendRef(dst, m.Ref)
		dst = append(dst, `,"join_ref":`...)
		dst = appendRef(dst, m.JoinRef)
		return append(dst, '}')
	}
	dst = append(dst, '[')
	dst = appendRef(dst, m.JoinRef)
	dst = append(dst, ',')
	dst = appendRef(dst, m.Ref)
	dst = append(dst, ',')
	dst = AppendString(dst, m.Topic)
	dst = append(dst, ',')
	dst = AppendString(dst, m.Event)
	dst = append(dst, ',')
	dst = append(dst, payload...)
	return append(dst, ']')
}

func appendRef(dst []byte, ref string) []byte {
	if ref == "" {
		return append(dst, "null"...)
	}
	return AppendString(dst, ref)
}

// AppendString appends s as a JSON string; bytes that are not UTF-8 become the replacement character.
func AppendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil { // json.Marshal of a string cannot fail
				return append(dst, `""`...)
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
