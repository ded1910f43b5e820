package replay

import (
	"bufio"
	"bytes"
	_ "embed" // the bundled conversations
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"vigil/server/internal/envelope"
)

// Format describes a file of conversations, for `vigil replay -h` and for whoever writes one.
const Format = `A file has one conversation a line, as JSON:

  {"id": "late-train", "turns": [["client", "I missed it."], ["therapist", "What then?", 2.5]], "expect": {"level": 0, "alert": false}}

  id        names it in the summary; required
  turns     who and what, in order; required. Who is client (or user, patient, seeker) or therapist (or agent, counselor,
            assistant, supporter, provider). A third value is the pause before it in seconds; else as long as typing takes.
            {"role": …, "text": …, "pause": …} is read as well.
  expect    what a human reader expects: the highest level (0 to 6, Columbia scale), and whether somebody must be alerted;
            either may be left out. Without it, "risk" is read: None is no alert, High and Imminent are one.
  detector  what the detector of this version finds, as it was recorded; only the bundled file has it
  language, about and any other name are ignored.
`

// Limits of a file.
const (
	maxLineBytes = 1 << 20
	maxTurns     = 400 // fewer than make a device take a new key
	// MaxTextBytes bounds one turn: what an envelope holds, less the JSON around it if every character needs six bytes.
	MaxTextBytes = (envelope.MaxBodyBytes - envelope.BodyOverhead - 64) / 6
)

// Who speaks.
const (
	RoleClient    = "client"
	RoleTherapist = "therapist"
)

var roles = map[string]string{
	"client": RoleClient, "user": RoleClient, "patient": RoleClient, "seeker": RoleClient,
	"therapist": RoleTherapist, "agent": RoleTherapist, "counselor": RoleTherapist, "counsellor": RoleTherapist,
	"assistant": RoleTherapist, "supporter": RoleTherapist, "provider": RoleTherapist,
}

// Turn is one message.
type Turn struct {
	Role  string
	Text  string
	Pause time.Duration // before it, at speed 1
}

// Outcome is what a conversation leads to. A nil field is not known.
type Outcome struct {
	Level *int  `json:"level,omitempty"`
	Alert *bool `json:"alert,omitempty"`
}

// Conversation is one line of a file.
type Conversation struct {
	ID       string
	Language string
	About    string
	Turns    []Turn
	Expect   Outcome // by a human
	Detector Outcome // by the detector, when it was recorded
}

//go:embed conversations.jsonl
var bundled []byte

var parseBundled = sync.OnceValue(func() []Conversation {
	list, err := Parse(bytes.NewReader(bundled))
	if err != nil {
		panic("replay: the bundled conversations: " + err.Error()) // a test holds that it cannot be
	}
	return list
})

// Bundled returns the conversations that come with this package. Everybody in them is invented.
func Bundled() []Conversation { return parseBundled() }

// ErrFormat is what an error of Parse tests as. Its text names the line and what is wrong with it, and quotes nothing.
var ErrFormat = errors.New("not a file of conversations")

// Parse reads a file as Format describes it. Empty lines are skipped, and so are turns without a word.
func Parse(r io.Reader) ([]Conversation, error) {
	var list []Conversation
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLineBytes)
	number := 0
	for lines.Scan() {
		number++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		c, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w: %w", number, ErrFormat, err)
		}
		list = append(list, c)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("after line %d: %w: %w", number, ErrFormat, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrFormat)
	}
	return list, nil
}

func parseLine(line []byte) (Conversation, error) {
	var raw struct {
		ID       string            `json:"id"`
		Language string            `json:"language"`
		About    string            `json:"about"`
		Turns    []json.RawMessage `json:"turns"`
		Expect   Outcome           `json:"expect"`
		Detector Outcome           `json:"detector"`
		Risk     *string           `json:"risk"`
	}
	if json.Unmarshal(line, &raw) != nil { // its error may quote the line
		return Conversation{}, errors.New("no JSON object of that shape")
	}
	if raw.ID == "" {
		return Conversation{}, errors.New("no id")
	}
	c := Conversation{ID: raw.ID, Language: raw.Language, About: raw.About, Expect: raw.Expect, Detector: raw.Detector}
	if err := errors.Join(c.Expect.check(), c.Detector.check()); err != nil {
		return c, err
	}
	if c.Expect == (Outcome{}) && raw.Risk != nil {
		c.Expect = ofRisk(*raw.Risk)
	}
	for i, one := range raw.Turns {
		turn, err := parseTurn(one)
		if err != nil {
			return c, fmt.Errorf("turn %d: %w", i+1, err)
		}
		if turn.Text != "" {
			c.Turns = append(c.Turns, turn)
		}
	}
	if len(c.Turns) == 0 || len(c.Turns) > maxTurns {
		return c, fmt.Errorf("%d turns that say something, not 1 to %d", len(c.Turns), maxTurns)
	}
	return c, nil
}

func (o Outcome) check() error {
	if o.Level != nil && (*o.Level < 0 || *o.Level > 6) {
		return errors.New("a level is 0 to 6")
	}
	return nil
}

// ofRisk reads the word that outside sets use. What lies between is not known to call for an alert or not.
func ofRisk(word string) Outcome {
	alert := false
	switch strings.ToLower(word) {
	case "none":
	case "high", "imminent":
		alert = true
	default:
		return Outcome{}
	}
	return Outcome{Alert: &alert}
}

func parseTurn(raw json.RawMessage) (Turn, error) {
	var o struct {
		Role  string   `json:"role"`
		Text  string   `json:"text"`
		Pause *float64 `json:"pause"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil || len(list) < 2 || len(list) > 3 ||
			json.Unmarshal(list[0], &o.Role) != nil || json.Unmarshal(list[1], &o.Text) != nil ||
			len(list) == 3 && json.Unmarshal(list[2], &o.Pause) != nil {
			return Turn{}, errors.New("not [who, text] or [who, text, seconds]")
		}
	}
	role, ok := roles[strings.ToLower(o.Role)]
	text := strings.TrimSpace(o.Text)
	switch {
	case !ok:
		return Turn{}, errors.New("who speaks is neither client nor therapist, nor a name for one of them")
	case len(text) > MaxTextBytes:
		return Turn{}, fmt.Errorf("longer than %d bytes", MaxTextBytes)
	case o.Pause != nil && (*o.Pause < 0 || *o.Pause > time.Hour.Seconds()):
		return Turn{}, errors.New("a pause is 0 to 3600 seconds")
	}
	t := Turn{Role: role, Text: text, Pause: typing(text)}
	if o.Pause != nil {
		t.Pause = time.Duration(*o.Pause * float64(time.Second))
	}
	return t, nil
}

// How long people take when the file does not say: to read what came, and to type.
const (
	readingTime   = 1500 * time.Millisecond
	typingTime    = 40 * time.Millisecond // a character
	longestTyping = 15 * time.Second
)

func typing(text string) time.Duration {
	return min(readingTime+time.Duration(utf8.RuneCountInString(text))*typingTime, longestTyping)
}
