// Package phoenix reads and writes the frames of Phoenix channels, serializers vsn 1.0.0 and 2.0.0, as
// @supabase/realtime-js 2.119 speaks them. Bytes in, bytes out; it holds no state and knows no topic.
//
// It guarantees that no input makes it panic, that what it refuses is an error that tests as ErrMalformed, and that
// everything it writes is a frame which that client can read. It does not decide what a frame is allowed to do.
//
// Source: @supabase/realtime-js 2.119.0 src/lib/serializer.ts and @supabase/phoenix 0.4.5.
package phoenix

import (
	"encoding/json"
	"errors"
	"strings"
)

// ErrMalformed is what every refused frame tests as with errors.Is.
var ErrMalformed = errors.New("malformed frame")

// Version is a serializer.
type Version uint8

// The serializers, and how many there are.
const (
	V1 Version = iota
	V2
	Versions
)

// ParseVersion reads the vsn parameter of the connection; absent means V1, and a patch number is ignored, as Phoenix's
// `~> 1.0.0` and `~> 2.0.0` do. False for any other.
func ParseVersion(vsn string) (Version, bool) {
	switch {
	case vsn == "", strings.HasPrefix(vsn, "1.0."):
		return V1, true
	case strings.HasPrefix(vsn, "2.0."):
		return V2, true
	default:
		return V1, false
	}
}

// String gives the version as the vsn parameter writes it.
func (v Version) String() string {
	if v == V2 {
		return "2.0.0"
	}
	return "1.0.0"
}

// The topics and events of Phoenix channels, and those that realtime-js adds.
const (
	TopicPhoenix = "phoenix"
	TopicPrefix  = "realtime:"

	EventJoin          = "phx_join"
	EventLeave         = "phx_leave"
	EventReply         = "phx_reply"
	EventError         = "phx_error"
	EventClose         = "phx_close"
	EventHeartbeat     = "heartbeat"
	EventAccessToken   = "access_token"
	EventBroadcast     = "broadcast"
	EventPresence      = "presence"
	EventPresenceState = "presence_state"
	EventPresenceDiff  = "presence_diff"
	EventSystem        = "system"
)

// MaxHeaderBytes is the longest topic, event or ref: binary frames count each in one byte.
const MaxHeaderBytes = 255

// Message is a text frame of either version. An empty JoinRef or Ref is null on the wire; Payload is a JSON object, and
// empty means {}.
type Message struct {
	JoinRef string
	Ref     string
	Topic   string
	Event   string
	Payload json.RawMessage
}

// Encoding says what the payload of a binary frame is.
type Encoding uint8

// The encodings of a binary frame's payload.
const (
	Raw Encoding = iota
	JSON
)

// The kinds of binary frame that realtime-js knows; any other makes it throw, so none is ever written.
const (
	KindBroadcastPush = 3 // client to server
	KindBroadcast     = 4 // server to client
)

// Broadcast is a client's or the server's broadcast in a binary frame. Refs are empty from server to client. Meta is a
// JSON object or empty.
type Broadcast struct {
	JoinRef  string
	Ref      string
	Topic    string
	Event    string
	Meta     json.RawMessage
	Encoding Encoding
	Payload  []byte
}
