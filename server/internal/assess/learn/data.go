package learn

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// DefaultDir is where the shared data lies beside a checkout.
const DefaultDir = "../shared/data"

// ErrAbsent says that there is no shared data in the folder. Training and judging go on with the corpus alone.
var ErrAbsent = errors.New("no shared data")

// unknown is the label of what nobody said.
const unknown int8 = -1

// checksums are the SHA-256 of the files that were read when this was written. Another file is another set, whose
// licence and labels nobody has looked at.
var checksums = map[string]string{
	"risk_permissive.jsonl":    "41450bc892df178ca189e006ab8c065086df4f8401dc64d439159534a7eaa283",
	"risk_templates_cc0.jsonl": "cfe371dc2b6235adee81348cd6141fc391d9f22a57e3253305611377a584e494",
	"traps.jsonl":              "7eb0b27c8c5d1d7b09169e293e18919f564c64d4aa57132c23e2e906ea0e085a",
	"cssrs_severity.jsonl":     "5b6ecd395ebddfb37bc753f12c709011d99ddb23d7aed067daf94ff71808c9b1",
	"goemotions.jsonl":         "34fa87f007b961c098433f5f9692715a6d27ab57a3cc5181dfabc5dd4160190b",
	"counselchat_topics.jsonl": "3fdf6680961c1ea2e5f577c088126812d71d093c53824870f33976c4e1a1afcf",
	"ordinary_talk_nc.jsonl":   "59619492861ea47346c9875615c26354ce5a26e19fb90ac41dfe54b297c5845c",
	"conversations.jsonl":      "7aefcce9cf4b60b3a80589d3d2a73e16dacaf116e9955e882ded56dd16a3ce9a",
}

// Licence tiers of the shared data. Weights that ship are trained on TierA alone.
const (
	TierA  = "A"    // permissive
	TierSA = "A-SA" // share-alike: for judging, and for no number that ships
	TierC  = "C"    // non-commercial: for judging, and for thresholds
)

// Row is one labelled text of the shared data. Labels nobody gave are -1, "" or nil.
type Row struct {
	Text, Source, Tier, Licence string
	Category                    string // of a trap
	Risk                        int8   // 1: the writer is at risk of self-harm; 0: is not
	Level                       int8   // Columbia scale
	Emotions, Sentiment         []string
	Topic                       string
}

// Turn is one message of a session.
type Turn struct{ Role, Text string }

// Session is one labelled conversation of the shared data.
type Session struct {
	ID, Source, Tier string
	Risk             string // none, low, high, imminent, or "" where nobody said
	Turns            []Turn
}

// Shared is the shared data, by file. A trap is also among Risk's rows, and so are emotions and severities: whoever joins
// the slices counts a text once.
type Shared struct {
	Risk, Templates, Traps, Severity, Emotions, Topics, Ordinary []Row
	Sessions                                                     []Session
}

// HeldApart says whether a text of the shared data is never trained on: one in five, by the hash of its letters and
// digits, so that a text has the same answer in every file it stands in. It says nothing of texts of the corpus, which
// have a field for it.
func HeldApart(text string) bool { return hashOf("apart", text)%5 == 0 }

func hashOf(salt, text string) uint64 {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
	sum := sha256.Sum256([]byte(salt + letters))
	return binary.BigEndian.Uint64(sum[:8])
}

// Judged says whether a text that is not trained on is for judging: one half is, the other is for calibration and
// thresholds. It asks nothing of whether the text is trained on.
func Judged(text string) bool { return hashOf("judged", text)%2 == 0 }

// Trainable says whether a row may be trained on: its licence allows it and it is not held apart.
func (r Row) Trainable() bool { return r.Tier == TierA && !HeldApart(r.Text) }

// Open reads the shared data below dir. It returns ErrAbsent when the folder is not there, and an error that names the
// file when one is missing or is not the file that was meant.
func Open(dir string) (*Shared, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w", dir, ErrAbsent)
	}
	s := &Shared{}
	into := []struct {
		name string
		rows *[]Row
		tier string // of a file that does not say
	}{
		{"risk_permissive.jsonl", &s.Risk, ""},
		{"risk_templates_cc0.jsonl", &s.Templates, ""},
		{"traps.jsonl", &s.Traps, TierA},
		{"cssrs_severity.jsonl", &s.Severity, TierA},
		{"goemotions.jsonl", &s.Emotions, TierA},
		{"counselchat_topics.jsonl", &s.Topics, TierA},
		{"ordinary_talk_nc.jsonl", &s.Ordinary, ""},
	}
	for _, f := range into {
		text, err := readChecked(dir, f.name)
		if err != nil {
			return nil, err
		}
		if *f.rows, err = readRows(f.name, text, f.tier); err != nil {
			return nil, err
		}
	}
	text, err := readChecked(dir, "conversations.jsonl")
	if err != nil {
		return nil, err
	}
	if s.Sessions, err = readSessions(text); err != nil {
		return nil, err
	}
	return s, nil
}

func readChecked(dir, name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("read shared data: %w", err)
	}
	if err := check(name, text); err != nil {
		return nil, err
	}
	return text, nil
}

func check(name string, text []byte) error {
	sum := sha256.Sum256(text)
	if got := hex.EncodeToString(sum[:]); got != checksums[name] {
		return fmt.Errorf("shared file %s is another one: its SHA-256 is %s, not %s", name, got, checksums[name])
	}
	return nil
}

// rawRow is a line as any of the files has it: label is a number, a word or a list of words.
type rawRow struct {
	Text      string          `json:"text"`
	Label     json.RawMessage `json:"label"`
	Level     *int8           `json:"level"`
	Category  string          `json:"category"`
	Sentiment []string        `json:"sentiment"`
	Source    string          `json:"source"`
	Licence   string          `json:"licence"`
	Tier      string          `json:"tier"`
}

func readRows(name string, text []byte, tier string) ([]Row, error) {
	var rows []Row
	for line := range bytes.Lines(text) {
		var raw rawRow
		if err := json.Unmarshal(line, &raw); err != nil {
			return nil, fmt.Errorf("shared file %s, row %d: not a row", name, len(rows)+1)
		}
		row, err := raw.row(name)
		if err != nil {
			return nil, fmt.Errorf("shared file %s, row %d: %w", name, len(rows)+1, err)
		}
		if row.Tier == "" {
			row.Tier = tier
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// row reads the label as the file means it.
func (raw rawRow) row(name string) (Row, error) {
	r := Row{
		Text: raw.Text, Source: raw.Source, Tier: raw.Tier, Licence: raw.Licence, Category: raw.Category, Sentiment: raw.Sentiment,
		Risk: unknown, Level: unknown,
	}
	var number int8
	var err error
	switch name {
	case "goemotions.jsonl":
		err = json.Unmarshal(raw.Label, &r.Emotions)
	case "counselchat_topics.jsonl":
		err = json.Unmarshal(raw.Label, &r.Topic)
	case "cssrs_severity.jsonl":
		err = json.Unmarshal(raw.Label, &r.Level)
	default:
		err = json.Unmarshal(raw.Label, &number)
		if number == 0 || number == 1 {
			r.Risk = number
		}
		if raw.Level != nil {
			r.Level = *raw.Level
		}
	}
	if err != nil {
		return Row{}, errors.New("label is not what this file has")
	}
	return r, nil
}

func readSessions(text []byte) ([]Session, error) {
	var sessions []Session
	for line := range bytes.Lines(text) {
		var raw struct {
			ID     string      `json:"id"`
			Source string      `json:"source"`
			Risk   *string     `json:"risk"`
			Turns  [][2]string `json:"turns"`
		}
		if err := json.Unmarshal(line, &raw); err != nil {
			return nil, fmt.Errorf("shared file conversations.jsonl, row %d: not a session", len(sessions)+1)
		}
		s := Session{ID: raw.ID, Source: raw.Source, Tier: TierA}
		if !strings.HasPrefix(raw.Source, "VERA-MH") {
			s.Tier = TierC
		}
		if raw.Risk != nil {
			s.Risk = strings.ToLower(*raw.Risk)
		}
		for _, t := range raw.Turns {
			s.Turns = append(s.Turns, Turn{Role: t[0], Text: t[1]})
		}
		sessions = append(sessions, s)
	}
	return sessions, nil
}

// Files returns the names of the shared files with their checksums, in order, for a model's card.
func Files() [][2]string {
	names := make([][2]string, 0, len(checksums))
	for name, sum := range checksums {
		names = append(names, [2]string{name, sum})
	}
	slices.SortFunc(names, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return names
}
