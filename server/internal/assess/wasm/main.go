//go:build !js

package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
	"vigil/server/internal/triage"
)

// finding is a line: a text and what is found in it. Numbers of single precision are their bits, so that they compare exactly.
type finding struct {
	Text     string            `json:"text"`
	Goes     bool              `json:"goes"` // it goes on from the state of the line before
	Level    triage.Level      `json:"level"`
	Flags    []bool            `json:"flags"` // harmOthers, abuse, distress, alert, escalate
	Items    triage.Items      `json:"items"`
	Bits     []uint32          `json:"bits"` // the scores, and the sentiment
	Words    [][]string        `json:"words"`
	Evidence []triage.Evidence `json:"evidence"`
	State    []int             `json:"state"`
}

// maxConversations keeps the test short; the messages of the others are in the corpus too.
const maxConversations = 200

func main() {
	every := flag.Int("every", 1, "write one message and one conversation of so many")
	flag.Parse()
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	err := write(out, max(1, *every))
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "write what is found in the corpus:", err)
		os.Exit(1)
	}
}

func write(to io.Writer, every int) error {
	lines, d := json.NewEncoder(to), assess.New()
	for i, m := range corpus.Messages() {
		if i%every != 0 {
			continue
		}
		a, after := detect(d, m.Text, triage.State{})
		if err := lines.Encode(newFinding(m.Text, false, &a, after)); err != nil {
			return err
		}
	}
	all := corpus.Conversations()
	for n, c := range all[:min(len(all), maxConversations)] {
		if n%every != 0 {
			continue
		}
		var state triage.State
		for i, turn := range c.Turns {
			a, after := detect(d, turn.Text, state)
			if err := lines.Encode(newFinding(turn.Text, i > 0, &a, after)); err != nil {
				return err
			}
			state = after
		}
	}
	return nil
}

func newFinding(text string, goes bool, a *triage.Assessment, after triage.State) finding {
	f := finding{
		Text: text, Goes: goes, Level: a.Level, Items: a.Items,
		Flags:    []bool{a.HarmOthers, a.Abuse, a.Distress, a.Alert, a.Escalate},
		Words:    [][]string{a.Hard.Names(), a.Emotions, a.Topics, {a.Language, a.ModelVersion, a.RulesetVersion}},
		Evidence: a.Evidence, State: make([]int, len(after.Data)),
	}
	for _, n := range []float32{a.Scores.Risk, a.Scores.HarmOthers, a.Scores.Abuse, a.Scores.Distress, a.Sentiment} {
		f.Bits = append(f.Bits, math.Float32bits(n))
	}
	for i, b := range after.Data {
		f.State[i] = int(b)
	}
	return f
}
