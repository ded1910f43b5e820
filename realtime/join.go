package realtime

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// replayMost is how many entries one replay by since gives, as at the reference server. A cursor has no such limit.
const replayMost = 25

// joinConfig is what a phx_join asks for. Parts that cannot be read take the client's defaults, as at the reference
// server; private defaults to false, which our durable topics refuse.
type joinConfig struct {
	private  bool
	self     bool
	ack      bool
	presence bool
	key      string // of presence; never empty
	changes  int    // postgres_changes asked for
	token    string // empty: none, or one that is no token
	replay   replay
}

// replay is what a join asks to be sent again.
type replay struct {
	since   time.Time // zero: not asked by time
	limit   int
	after   *cursor // nil: not asked by cursor
	invalid bool    // asked, but it cannot be read
}

// parseJoin reads a join's payload, which is a JSON object.
func parseJoin(payload json.RawMessage) joinConfig {
	var p struct {
		Config      json.RawMessage `json:"config"`
		AccessToken json.RawMessage `json:"access_token"`
		UserToken   json.RawMessage `json:"user_token"`
	}
	lenient(payload, &p)
	var c struct {
		Broadcast json.RawMessage `json:"broadcast"`
		Presence  json.RawMessage `json:"presence"`
		Changes   json.RawMessage `json:"postgres_changes"`
		Private   flag            `json:"private"`
	}
	lenient(p.Config, &c)
	var b struct {
		Ack    flag            `json:"ack"`
		Self   flag            `json:"self"`
		Replay json.RawMessage `json:"replay"`
	}
	lenient(c.Broadcast, &b)
	var presence struct {
		Key     json.RawMessage `json:"key"`
		Enabled flag            `json:"enabled"`
	}
	lenient(c.Presence, &presence)
	var changes []json.RawMessage
	lenient(c.Changes, &changes)

	j := joinConfig{private: bool(c.Private), self: bool(b.Self), ack: bool(b.Ack), presence: bool(presence.Enabled),
		replay: parseReplay(b.Replay), token: readToken(p.AccessToken)}
	for _, change := range changes {
		if !isNull(change) {
			j.changes++
		}
	}
	if j.token == "" {
		j.token = readToken(p.UserToken)
	}
	lenient(presence.Key, &j.key)
	if j.key == "" || len(j.key) > maxKeyBytes {
		j.key = uuid.NewString()
	}
	return j
}

// maxKeyBytes is the longest presence key; a longer one is replaced as an empty one is.
const maxKeyBytes = 255

// secretPrefix begins API keys of the new kind, which are no tokens.
const secretPrefix = "sb_"

// readToken gives the token in raw; empty if there is none or it is an API key.
func readToken(raw json.RawMessage) string {
	var token string
	lenient(raw, &token)
	if strings.HasPrefix(token, secretPrefix) {
		return ""
	}
	return token
}

func parseReplay(raw json.RawMessage) replay {
	if isNull(raw) {
		return replay{}
	}
	var p struct {
		Since json.RawMessage `json:"since"`
		Limit json.RawMessage `json:"limit"`
		After json.RawMessage `json:"after"`
	}
	if json.Unmarshal(raw, &p) != nil {
		return replay{invalid: true}
	}
	r := replay{limit: replayMost}
	if n, ok := readInt(p.Limit); ok {
		r.limit = int(min(max(n, 1), replayMost))
	}
	if !isNull(p.After) {
		var text string
		lenient(p.After, &text)
		at, ok := parseCursor(text)
		if !ok {
			return replay{invalid: true}
		}
		r.after = &at
		return r
	}
	if isNull(p.Since) {
		return replay{}
	}
	ms, ok := readInt(p.Since)
	if !ok || ms < 0 || ms >= maxSeq {
		return replay{invalid: true}
	}
	r.since = time.UnixMilli(ms)
	return r
}

// readInt reads a JSON number, or a string that holds one; a fraction is cut off.
func readInt(raw json.RawMessage) (int64, bool) {
	if isNull(raw) {
		return 0, false
	}
	text := strings.Trim(string(raw), `"`)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f >= maxSeq || f <= -maxSeq || f != f {
		return 0, false
	}
	return int64(f), true
}

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

// lenient decodes raw into v and leaves v's zero value where that cannot be done.
func lenient[T any](raw json.RawMessage, v *T) {
	if len(raw) == 0 {
		return
	}
	if json.Unmarshal(raw, v) != nil {
		var zero T
		*v = zero
	}
}

// flag is a boolean that may come as a string; anything but true is false.
type flag bool

// UnmarshalJSON never errs, so that one odd option does not lose the others.
func (f *flag) UnmarshalJSON(raw []byte) error {
	*f = flag(string(raw) == "true" || string(raw) == `"true"`)
	return nil
}
