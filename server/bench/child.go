package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/pprof"
	"strings"
	"time"
)

// childWord makes this program one of the processes it measures: bench child <name>. It reads its configuration as one line
// of JSON, then a command a line, and answers each with a line of JSON. It ends when its input does.
const childWord = "child"

// command is a line to a child: a word, and a number where it takes one.
type command struct {
	word string
	n    int
}

// handler is what a child does with commands. ended is called once, at the end.
type handler struct {
	do    func(ctx context.Context, c command) (any, error)
	ended func()
}

// children are the processes by name: each reads its configuration and gets ready.
func children() map[string]func(context.Context, json.RawMessage) (handler, error) {
	return map[string]func(context.Context, json.RawMessage) (handler, error){
		"drain-vigil": drainVigil, "drain-loop": drainLoop,
		"pipeline": pipelineChild, "alone": aloneChild, "smallest": smallestChild,
		"vigil": vigilSockets, "centrifuge": centrifugeSockets, "gorilla": gorillaSockets,
		"detector": detectorChild,
	}
}

// profileTo profiles this process until end is called.
func profileTo(file string) (end func(), err error) {
	f, err := os.Create(file) //nolint:gosec // the folder that -profile named
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

type failure struct {
	Error string `json:"error"`
}

func runChild(name string, in io.Reader, out io.Writer) int {
	answers := json.NewEncoder(out)
	lines := bufio.NewReader(in)
	begin := children()[name]
	config, err := lines.ReadBytes('\n')
	if begin == nil || err != nil {
		_ = answers.Encode(failure{"no such child, or no configuration"})
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h, err := begin(ctx, config)
	if err != nil {
		_ = answers.Encode(failure{err.Error()})
		return 1
	}
	if h.ended != nil {
		defer h.ended()
	}
	if file := os.Getenv(profileVariable); file != "" {
		end, err := profileTo(file)
		if err != nil {
			return 1
		}
		defer end()
	}
	if err := answers.Encode(struct{}{}); err != nil {
		return 1
	}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return 0
		}
		var c command
		_, _ = fmt.Sscan(line, &c.word, &c.n) // n is 0 where there is none
		answer, err := h.do(ctx, c)
		if err != nil {
			answer = failure{err.Error()}
		}
		if answer == nil {
			continue // a command without an answer
		}
		if err := answers.Encode(answer); err != nil {
			return 1
		}
	}
}

// child is one of these processes, seen from the parent.
type child struct {
	*process
	name  string
	in    io.WriteCloser
	lines chan []byte // closed when its output ends
}

// child starts a child and waits until it is ready.
func (b *bench) child(ctx context.Context, name string, config any) (*child, error) {
	cmd := exec.Command(b.self, childWord, name) //nolint:noctx // ended by stop, or with us
	if b.profile != "" {
		cmd.Env = append(os.Environ(), profileVariable+"="+b.profileFile(name))
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, w := io.Pipe()
	cmd.Stdout = w
	p, err := begin(cmd)
	if err != nil {
		return nil, err
	}
	c := &child{process: p, name: name, in: in, lines: make(chan []byte, 16)}
	go c.read(out) // ends with the process
	go func() {    // likewise
		<-p.done
		_ = w.Close()
	}()
	raw, err := json.Marshal(config)
	if err == nil {
		_, err = in.Write(append(raw, '\n'))
	}
	if err == nil {
		err = c.answer(ctx, nil)
	}
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("start child %s: %w", name, err)
	}
	return c, nil
}

func (c *child) read(out io.Reader) {
	defer close(c.lines)
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		c.lines <- append([]byte(nil), scanner.Bytes()...)
	}
}

func (c *child) tell(words ...any) error {
	_, err := io.WriteString(c.in, strings.TrimSpace(fmt.Sprintln(words...))+"\n")
	return err
}

// answerWithin bounds one command of a child.
const answerWithin = 30 * time.Minute

func (c *child) answer(ctx context.Context, into any) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	select {
	case line, ok := <-c.lines:
		if !ok {
			return fmt.Errorf("%s: %w\n%s", c.name, errEnded, c.log)
		}
		var f failure
		if json.Unmarshal(line, &f) == nil && f.Error != "" {
			return fmt.Errorf("%s: %s", c.name, f.Error)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(line, into)
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", c.name, ctx.Err())
	}
}

func (c *child) ask(ctx context.Context, into any, words ...any) error {
	if err := c.tell(words...); err != nil {
		return errors.Join(fmt.Errorf("tell %s: %w", c.name, err), c.alive())
	}
	return c.answer(ctx, into)
}

// stop ends the child by ending its input.
func (c *child) stop() {
	_ = c.in.Close()
	select {
	case <-c.done:
	case <-time.After(stopWithin):
		c.kill()
	}
}
