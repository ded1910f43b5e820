package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"

	"vigil/server/internal/assess"
	"vigil/server/internal/triage"
)

// maxAssessLine bounds one line of input.
const maxAssessLine = 32 << 20

// Faults of a line. They quote nothing of it.
var (
	errLineNotJSON = errors.New("not a JSON object with text or turns")
	errLineBoth    = errors.New("has both text and turns")
	errLineNeither = errors.New("has neither text nor turns")
	errLineTurn    = errors.New("has a turn that is not a role and a text")
	errLineLong    = errors.New("is longer than 32 MiB")
)

// assessLines scores JSON lines from a file or standard input, a line out for each line in, under the default policy. It
// keeps nothing and prints no text: what is said about a message is numbers, codes and offsets.
func assessLines(ctx context.Context, p Process, fs *flag.FlagSet) int {
	if err := fs.Parse(p.Args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return ExitOK
		}
		return ExitUsage
	}
	in := p.Stdin
	switch {
	case fs.NArg() > 1:
		fs.Usage()
		return ExitUsage
	case fs.NArg() == 1 && fs.Arg(0) != "-":
		f, err := os.Open(fs.Arg(0))
		if err != nil {
			say(p.Stderr, "vigil assess: %v\n", err)
			return ExitFail
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	case in == nil:
		in = strings.NewReader("")
	}
	s := &scorer{detector: assess.New(), policy: triage.DefaultCrisisPolicy(uuid.UUID{})}
	bad, err := s.run(ctx, in, p.Stdout, p.Stderr)
	if err != nil {
		say(p.Stderr, "vigil assess: %v\n", err)
	}
	if bad || err != nil {
		return ExitFail
	}
	return ExitOK
}

type scorer struct {
	detector *assess.Detector
	policy   triage.CrisisPolicy
}

// run scores line after line. What is written waits for more only as long as more has been read already.
func (s *scorer) run(ctx context.Context, in io.Reader, stdout, stderr io.Writer) (bad bool, err error) {
	lines, out := bufio.NewReaderSize(in, 1<<16), bufio.NewWriter(stdout)
	encoder := json.NewEncoder(out)
	for number := 1; ctx.Err() == nil; number++ {
		line, readErr := readLine(lines)
		if errors.Is(readErr, errLineLong) || readErr == nil || errors.Is(readErr, io.EOF) {
			fault := readErr
			if !errors.Is(readErr, errLineLong) {
				fault = s.line(encoder, number, line)
			}
			if fault != nil {
				bad = true
				say(stderr, "line %d: %v\n", number, fault)
			}
		}
		if lines.Buffered() == 0 || readErr != nil {
			if err := out.Flush(); err != nil {
				return bad, fmt.Errorf("write: %w", err)
			}
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return bad, nil
		case readErr != nil && !errors.Is(readErr, errLineLong):
			return bad, fmt.Errorf("read line %d: %w", number, readErr)
		}
	}
	return bad, ctx.Err()
}

// readLine returns a line without its end; the last one comes with io.EOF. A line that is too long is read to its end and
// not kept.
func readLine(r *bufio.Reader) (line []byte, err error) {
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if !long {
			line = append(line, part...)
		}
		if len(line) > maxAssessLine {
			line, long = nil, true
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case long && (err == nil || errors.Is(err, io.EOF)):
			return nil, errLineLong
		}
		return line, err
	}
}

// lineIn is a line as it comes; other fields are of no account.
type lineIn struct {
	ID    json.RawMessage `json:"id"`
	Text  *string         `json:"text"`
	Turns *[][]string     `json:"turns"` // role and text
}

func (s *scorer) line(out *json.Encoder, number int, line []byte) error {
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return nil
	}
	var in lineIn
	if err := json.Unmarshal(line, &in); err != nil {
		return errLineNotJSON
	}
	id := any(in.ID)
	if len(in.ID) == 0 {
		id = number
	}
	switch {
	case in.Text != nil && in.Turns != nil:
		return errLineBoth
	case in.Text != nil:
		a, _ := s.detector.Assess(*in.Text, triage.State{}, s.policy)
		return written(out.Encode(scoredText(id, a)))
	case in.Turns != nil && slices.ContainsFunc(*in.Turns, func(t []string) bool { return len(t) != 2 }):
		return errLineTurn
	case in.Turns != nil:
		return written(out.Encode(s.session(id, *in.Turns)))
	}
	return errLineNeither
}

// written keeps what was asked for out of an error.
func written(err error) error {
	if err != nil {
		return errors.New("could not be written")
	}
	return nil
}

// lineOut is what is said of a text, or of a session as a whole.
type lineOut struct {
	ID         any           `json:"id"`
	Risk       float32       `json:"risk"` // probabilities, 0 to 1
	Level      triage.Level  `json:"level"`
	Alert      bool          `json:"alert"`
	Escalate   bool          `json:"escalate"`
	HarmOthers float32       `json:"harm_others"`
	Abuse      float32       `json:"abuse"`
	Distress   float32       `json:"distress"`
	Flags      flagsOut      `json:"flags"`
	Sentiment  sentimentOut  `json:"sentiment"`
	Topics     []string      `json:"topics"`
	Language   string        `json:"language,omitempty"`
	Evidence   []evidenceOut `json:"evidence"`
	*sessionOut
	Model   string `json:"model"`
	Ruleset string `json:"ruleset"`
}

// flagsOut says what the probabilities amount to at the thresholds that ship.
type flagsOut struct {
	HarmOthers bool `json:"harm_others"`
	Abuse      bool `json:"abuse"`
	Distress   bool `json:"distress"`
}

type sentimentOut struct {
	Label string  `json:"label"`
	Score float32 `json:"score"` // -1 to 1
}

type evidenceOut struct {
	Turn *int `json:"turn,omitempty"` // of turns, from 0
	triage.Evidence
}

// sessionOut is said of sessions only. Levels and Alerts have an entry for each turn; a turn that is not the writer's is
// not assessed and has level 0.
type sessionOut struct {
	ConvRisk float32        `json:"conv_risk"`
	Levels   []triage.Level `json:"levels"`
	Alerts   []bool         `json:"alerts"`
}

func scoredText(id any, a triage.Assessment) lineOut {
	out := lineOut{
		ID: id, Risk: a.Scores.Risk, Level: a.Level, Alert: a.Alert, Escalate: a.Escalate,
		HarmOthers: a.Scores.HarmOthers, Abuse: a.Scores.Abuse, Distress: a.Scores.Distress,
		Flags:     flagsOut{a.HarmOthers, a.Abuse, a.Distress},
		Sentiment: sentimentOut{assess.SentimentLabel(a), a.Sentiment},
		Topics:    a.Topics, Language: a.Language, Model: a.ModelVersion, Ruleset: a.RulesetVersion,
		Evidence: make([]evidenceOut, 0, len(a.Evidence)),
	}
	if out.Topics == nil {
		out.Topics = []string{}
	}
	for _, e := range a.Evidence {
		out.Evidence = append(out.Evidence, evidenceOut{Evidence: e})
	}
	return out
}

// writers are the roles whose turns are assessed, as in the sidecar: the client's, not the answers to them.
var writers = []string{"user", "client"}

// session scores turn after turn, each with what the ones before left behind, and never with what comes after. The whole
// has the highest of everything, and the last turn's sentiment.
func (s *scorer) session(id any, turns [][]string) lineOut {
	nothing, _ := s.detector.Assess("", triage.State{}, s.policy)
	whole := scoredText(id, nothing)
	whole.sessionOut = &sessionOut{Levels: make([]triage.Level, len(turns)), Alerts: make([]bool, len(turns))}
	var state triage.State
	var all []triage.Assessment
	for i, turn := range turns {
		if !slices.Contains(writers, strings.ToLower(turn[0])) {
			continue
		}
		var a triage.Assessment
		a, state = s.detector.Assess(turn[1], state, s.policy)
		all = append(all, a)
		whole.add(i, scoredText(id, a))
	}
	whole.ConvRisk = assess.SessionRisk(all)
	return whole
}

// add joins what was said of turn i.
func (o *lineOut) add(i int, one lineOut) {
	o.Risk, o.Level = max(o.Risk, one.Risk), max(o.Level, one.Level)
	o.HarmOthers, o.Abuse, o.Distress = max(o.HarmOthers, one.HarmOthers), max(o.Abuse, one.Abuse), max(o.Distress, one.Distress)
	o.Alert, o.Escalate = o.Alert || one.Alert, o.Escalate || one.Escalate
	o.Flags = flagsOut{o.Flags.HarmOthers || one.Flags.HarmOthers, o.Flags.Abuse || one.Flags.Abuse, o.Flags.Distress || one.Flags.Distress}
	o.Sentiment = one.Sentiment
	if o.Language == "" {
		o.Language = one.Language
	}
	for _, t := range one.Topics {
		if !slices.Contains(o.Topics, t) {
			o.Topics = append(o.Topics, t)
		}
	}
	for _, e := range one.Evidence {
		e.Turn = &i
		o.Evidence = append(o.Evidence, e)
	}
	o.Levels[i], o.Alerts[i] = one.Level, one.Alert
}
