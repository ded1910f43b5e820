package envelope

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// The sides that assess a message of a strict session, each on its own device.
const (
	SideSender    byte = 1
	SideClinician byte = 2
)

// The bits of Score.Flags.
const (
	FlagHarmOthers byte = 1 << iota
	FlagAbuse
	FlagDistress
	FlagAlert
	FlagEscalate

	flagsAll = FlagHarmOthers | FlagAbuse | FlagDistress | FlagAlert | FlagEscalate
)

// The bounds of a score's parts. ScoreUnit is a probability of 1.
const (
	MaxScoreLevel = 6
	MaxScoreRules = 64
	MaxScoreName  = 128 // characters of a rule or a version
	ScoreUnit     = 1_000_000

	scoreHardAll = 0b1111 // four categories
	scoreItemMax = 2
)

// Score is what a device found in a message of a strict session: a row of message_scores. It holds no text.
type Score struct {
	Session, Message, Device uuid.UUID
	Epoch                    uint32
	Side                     byte
	// After is the position up to which the detector's state had folded the session's messages when it read this one, 0 for
	// none. Two devices that read after different positions may find different things, and neither is wrong.
	After  int64
	Level  byte      // 0–6
	Flags  byte      // Flag…
	Hard   byte      // the categories that a hard rule forced, by bit: self-harm, harm to others, abuse, distress
	Items  [6]byte   // 0 unknown, 1 absent, 2 present
	Scores [4]uint32 // risk, harm to others, abuse, distress; each round(p·ScoreUnit)

	Model, Ruleset string   // versions
	Rules          []string // rule ids, each once
	Signature      string
}

// signed is what a score's signature covers. Names are printable ASCII, so that both ends sort rules the same way.
func (s Score) signed() (input, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	in := label("pe1/score").id(s.Session).id(s.Message).number(s.Epoch).id(s.Device)
	in = in.octet(s.Side).long(uint64(s.After)).octet(s.Level).octet(s.Flags).octet(s.Hard).bytes(s.Items[:])
	for _, score := range s.Scores {
		in = in.number(score)
	}
	in = in.label(s.Model).label(s.Ruleset)
	for _, rule := range slices.Sorted(slices.Values(s.Rules)) {
		in = in.label(rule)
	}
	return in, nil
}

func (s Score) check() error {
	ok := (s.Side == SideSender || s.Side == SideClinician) && s.After >= 0 &&
		s.Level <= MaxScoreLevel && s.Flags&^flagsAll == 0 && s.Hard&^scoreHardAll == 0
	for _, item := range s.Items {
		ok = ok && item <= scoreItemMax
	}
	for _, score := range s.Scores {
		ok = ok && score <= ScoreUnit
	}
	if !ok {
		return fmt.Errorf("a number of the score is out of bounds: %w", ErrFormat)
	}
	if !scoreName(s.Model) || !scoreName(s.Ruleset) || len(s.Rules) > MaxScoreRules {
		return fmt.Errorf("versions of the score, or its %d rules: %w", len(s.Rules), ErrFormat)
	}
	seen := make(map[string]bool, len(s.Rules))
	for _, rule := range s.Rules {
		if !scoreName(rule) || seen[rule] {
			return fmt.Errorf("a rule of the score is malformed or there twice: %w", ErrFormat)
		}
		seen[rule] = true
	}
	return nil
}

// scoreName says whether a rule's id or a version is 1 to MaxScoreName printable characters of ASCII, without a space.
func scoreName(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return false
		}
	}
	return name != "" && len(name) <= MaxScoreName
}

// SignScore makes the score as the device d signs it: Device and Signature are set and the rules sorted. ErrFormat for one that
// is out of bounds, ErrKey for a device that cannot sign. For tests and replay: the sidecar scores no strict message.
func SignScore(d *Device, s Score) (Score, error) {
	s.Device, s.Rules = d.kid, slices.Sorted(slices.Values(s.Rules))
	in, err := s.signed()
	if err == nil && d.sig == nil {
		err = ErrKey
	}
	var signature []byte
	if err == nil {
		signature, err = d.sign(in)
	}
	if err != nil {
		return Score{}, fmt.Errorf("sign score of message %s: %w", s.Message, err)
	}
	s.Signature = EncodeText(signature)
	return s, nil
}

// Verify checks that the device with the signing key sigPub, which the caller knows to be s.Device's, found this. Refusals:
// ErrFormat, ErrSignature. Whether that device stands on the epoch's roster and fits the side is the caller's to check.
func (s Score) Verify(sigPub []byte) error {
	in, err := s.signed()
	if err == nil {
		err = verifyText(sigPub, in, s.Signature)
	}
	if err != nil {
		return fmt.Errorf("verify score of message %s by device %s: %w", s.Message, s.Device, err)
	}
	return nil
}
