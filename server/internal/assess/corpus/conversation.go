package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Risks of a conversation.
const (
	RiskNone     = "none"
	RiskLow      = "low"
	RiskHigh     = "high"
	RiskImminent = "imminent"
)

// Conversation is one labelled session.
type Conversation struct {
	ID, Risk, Arc string
	Turns         []Turn
	Held          bool // never trained on; made of held messages only, where it is composed
}

// Turn is one message of a session.
type Turn struct {
	Role  string // user or agent
	Text  string
	Level int8 // the writer's, at this turn; 0 for an agent
}

// Conversations returns the hand-written conversations and then the composed ones, in a fixed order. The slice is the
// caller's, what it points to is not.
func Conversations() []Conversation { return slices.Clone(conversations()) }

var conversations = sync.OnceValue(func() []Conversation {
	script, err := parseConversations(files)
	if err != nil {
		panic(fmt.Sprintf("corpus: %v", err))
	}
	return append(script.written, compose(script.pools, Messages())...)
})

// script is what the files of conversations hold.
type script struct {
	written []Conversation
	pools   map[string][]string // name → lines, to compose from
}

func parseConversations(files fs.FS) (script, error) {
	names, err := fs.Glob(files, "conversations/*.txt")
	if err != nil {
		return script{}, fmt.Errorf("list conversations: %w", err)
	}
	s := script{pools: map[string][]string{}}
	var faults []error
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return script{}, fmt.Errorf("read conversations: %w", err)
		}
		faults = append(faults, s.parse(name, string(text)))
	}
	return s, errors.Join(faults...)
}

// parse adds one file.
func (s *script) parse(name, text string) error {
	var faults []error
	var current *Conversation
	pool := ""
	finish := func(line int) {
		if current == nil {
			return
		}
		if err := current.finish(); err != nil {
			faults = append(faults, fmt.Errorf("%s: the conversation that ends before line %d: %w", name, line, err))
		} else {
			s.written = append(s.written, *current)
		}
		current = nil
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		line = strings.TrimSpace(line)
		var err error
		switch words := strings.Fields(strings.TrimPrefix(line, "@")); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "@") && len(words) > 0 && words[0] == "conversation":
			finish(i + 1)
			pool = ""
			current, err = newConversation(words[1:])
		case strings.HasPrefix(line, "@") && len(words) == 1:
			finish(i + 1)
			pool = words[0]
		case pool != "":
			s.pools[pool] = append(s.pools[pool], withoutRole(line))
		case current != nil:
			err = current.add(line)
		default:
			err = errors.New("a line before a good @ line")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", name, i+1, err))
		}
	}
	finish(len(lines) + 1)
	return errors.Join(faults...)
}

func withoutRole(line string) string {
	for _, role := range []string{"user:", "agent:"} {
		if rest, found := strings.CutPrefix(line, role); found {
			return strings.TrimSpace(rest)
		}
	}
	return line
}

func newConversation(words []string) (*Conversation, error) {
	c := &Conversation{}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "risk":
			c.Risk = value
		case "arc":
			c.Arc = value
		default:
			return nil, fmt.Errorf("attribute %q is unknown", key)
		}
	}
	if !slices.Contains([]string{RiskNone, RiskLow, RiskHigh, RiskImminent}, c.Risk) {
		return nil, fmt.Errorf("risk=%s is not one of none low high imminent", c.Risk)
	}
	if c.Arc == "" {
		return nil, errors.New("arc= is missing")
	}
	return c, nil
}

var levelMark = regexp.MustCompile(`\s*\[([0-6])\]$`)

func (c *Conversation) add(line string) error {
	role, text, found := strings.Cut(line, ":")
	role, text = strings.TrimSpace(role), strings.TrimSpace(text)
	if !found || role != "user" && role != "agent" {
		return errors.New("a turn is written user: … or agent: …")
	}
	turn := Turn{Role: role, Text: text}
	if mark := levelMark.FindStringSubmatch(text); mark != nil {
		level, err := strconv.Atoi(mark[1])
		if err != nil || role == "agent" && level > 0 {
			return errors.New("a level on a turn that cannot have one")
		}
		turn.Level, turn.Text = int8(level), strings.TrimSuffix(text, mark[0])
	}
	if turn.Text == "" {
		return errors.New("a turn without text")
	}
	c.Turns = append(c.Turns, turn)
	return nil
}

const fewestTurns = 4

// finish checks the whole and names it.
func (c *Conversation) finish() error {
	if len(c.Turns) < fewestTurns {
		return fmt.Errorf("%d turns are no conversation", len(c.Turns))
	}
	if highest := c.Highest(); (highest > 0) != (c.Risk != RiskNone) {
		return fmt.Errorf("risk=%s, and the highest level of a turn is %d", c.Risk, highest)
	}
	var all strings.Builder
	for _, t := range c.Turns {
		all.WriteString(t.Role + "\x00" + t.Text + "\x00")
	}
	sum := sha256.Sum256([]byte(all.String()))
	c.ID = "written/" + hex.EncodeToString(sum[:5])
	c.Held = binary.BigEndian.Uint64(sum[8:])%heldIn == 0
	return nil
}

// Highest returns the highest level of any turn.
func (c *Conversation) Highest() int8 {
	highest := int8(0)
	for _, t := range c.Turns {
		highest = max(highest, t.Level)
	}
	return highest
}

// Written says whether people wrote the conversation as a whole; others are composed.
func (c Conversation) Written() bool { return strings.HasPrefix(c.ID, "written/") }
