package envelope

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"
)

// Content is the plaintext of a message: {"t":"text","body":"…","ts":unix seconds by the sender's clock}, with what else a
// client names beside it. The package's comment says how it is written.
type Content struct {
	Kind string
	Body string
	At   time.Time // as the sender says: never order or decide by it
}

// KindText is the only kind of content so far. A reader shows others as unreadable; they are not refused.
const KindText = "text"

const (
	maxContentDepth = 8       // of objects and lists in one another
	maxContentTime  = 8.64e12 // seconds either way: what a browser's Date holds
)

// contentKey is how every key of the outermost object is written, without escapes: ignoring case makes no two of them one.
var contentKey = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

type contentJSON struct {
	Kind string `json:"t"`
	Body string `json:"body"`
	At   int64  `json:"ts"`
}

// ParseContent reads a plaintext; ErrFormat, which quotes nothing, if it is no content. It reads what every client shows, or
// refuses what no client shows: the same rules are parseContent's in realtime/client/src/message.ts, and
// testdata/content.json is read by both. `files` and `seen` are the clients' alone: they are not looked at here.
func ParseContent(plaintext []byte) (Content, error) {
	row, err := contentFields(plaintext)
	if err != nil {
		return Content{}, err
	}
	kind, isKind := contentText(row["t"])
	body, isBody := contentText(row["body"])
	at, isTime := contentTime(row["ts"])
	if !isKind || !isBody || !isTime || kind == "" {
		return Content{}, fmt.Errorf("content without a kind, a body or a time: %w", ErrFormat)
	}
	return Content{Kind: kind, Body: body, At: at}, nil
}

// contentFields takes the outermost object apart. encoding/json alone would not do: it takes `Body` for `body`, the last of two,
// and what is no UTF-8.
func contentFields(plaintext []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(plaintext) || !json.Valid(plaintext) {
		return nil, fmt.Errorf("content is not the JSON it should be: %w", ErrFormat)
	}
	dec := json.NewDecoder(bytes.NewReader(plaintext))
	if opening, err := dec.Token(); err != nil || opening != json.Delim('{') {
		return nil, fmt.Errorf("content is no object: %w", ErrFormat)
	}
	row := make(map[string]json.RawMessage, 5) //nolint:mnd // what a client writes
	for dec.More() {
		token, err := dec.Token()
		key, _ := token.(string)
		escaped := !bytes.HasSuffix(plaintext[:dec.InputOffset()], []byte(`"`+key+`"`))
		if _, again := row[key]; err != nil || again || escaped || !contentKey.MatchString(key) {
			return nil, fmt.Errorf("content with a key twice, or written otherwise than agreed: %w", ErrFormat)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil || !shallow(value) {
			return nil, fmt.Errorf("content is nested too deeply: %w", ErrFormat)
		}
		row[key] = value
	}
	return row, nil
}

// shallow says whether a value that is JSON, within the outermost object, is nested no deeper than agreed.
func shallow(value []byte) bool {
	depth, quoted := 1, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '['):
			depth++
		case !quoted && (c == '}' || c == ']'):
			depth--
		}
		if depth > maxContentDepth {
			return false
		}
	}
	return true
}

// contentText reads a value that is a text of whole characters: half of a surrogate pair is none.
func contentText(value json.RawMessage) (string, bool) {
	var text string
	if len(value) == 0 || value[0] != '"' || halved(value) || json.Unmarshal(value, &text) != nil {
		return "", false
	}
	return text, true
}

// halved says whether a JSON text has an escape that is half of a surrogate pair: encoding/json would put U+FFFD in its place.
func halved(text []byte) bool {
	const pair = len(`\ud83d\ude00`)
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		if text[i] != 'u' || !surrogate(text[i:], 0xD8, 0xDF) {
			continue
		}
		end := i - 1 + pair
		if !surrogate(text[i:], 0xD8, 0xDB) || end > len(text) || text[i+5] != '\\' || text[i+6] != 'u' || !surrogate(text[i+6:], 0xDC, 0xDF) {
			return true
		}
		i = end - 1
	}
	return false
}

// surrogate says whether an escape, from its u on, is of a surrogate whose first byte lies between the two.
func surrogate(escape []byte, from, to uint64) bool {
	if len(escape) < len("ud83d") {
		return false
	}
	high, err := strconv.ParseUint(string(escape[1:3]), 16, 8)
	return err == nil && from <= high && high <= to
}

// contentTime reads a whole number as browsers do: 1e3 is one.
func contentTime(value json.RawMessage) (time.Time, bool) {
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || seconds != math.Trunc(seconds) || math.Abs(seconds) > maxContentTime {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}

// Text makes the plaintext of a text message.
func Text(body string, at time.Time) ([]byte, error) {
	return json.Marshal(contentJSON{Kind: KindText, Body: body, At: at.Unix()})
}
