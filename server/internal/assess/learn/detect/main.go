// Command detect trains the detector's model, and judges the detector: `go tool task detect:train` and `detect:eval`.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
	"vigil/server/internal/assess/learn"
)

const floorsFile = "server/internal/assess/learn/floors.json"

// commands are this program's words. It runs at the top of the repository.
var commands = map[string]func(args []string, stdout, stderr io.Writer) error{
	"eval":  evaluate,
	"train": train,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || commands[args[0]] == nil {
		return errors.New("usage: detect train|eval [flags]")
	}
	return commands[args[0]](args[1:], os.Stdout, os.Stderr)
}

// evaluate judges the detector that is built in. It fails when a committed floor is crossed.
func evaluate(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("eval", flag.ContinueOnError)
	dir := fs.String("data", learn.DefaultDir, "folder of the shared data; without it only the corpus is judged")
	asJSON := fs.String("json", "", "write the measures to this file")
	file := fs.String("floors", floorsFile, "the committed floors")
	write := fs.Bool("write-floors", false, "set the floors slightly below what is reached, where that is no looser")
	loosen := fs.Bool("loosen", false, "with -write-floors: where it is looser, too")
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	floors, err := learn.ReadFloors(*file)
	if err != nil {
		return err
	}
	data, err := learn.Open(*dir)
	if errors.Is(err, learn.ErrAbsent) {
		fmt.Fprintf(stderr, "%v: judging by the corpus alone\n", err)
	} else if err != nil {
		return err
	}
	messages := corpus.Messages()
	e := learn.Evaluate(assess.New(), messages, corpus.Conversations(), data)
	e.Speed(messages)
	if err := e.Print(stdout, floors); err != nil {
		return fmt.Errorf("print measures: %w", err)
	}
	if *asJSON != "" {
		if err := writeJSON(*asJSON, e); err != nil {
			return err
		}
	}
	if *write {
		if data != nil {
			if err := e.WriteTargets(cardFile); err != nil {
				return err
			}
		}
		return e.WriteFloors(*file, floors, *loosen)
	}
	return e.Judge(floors)
}

func writeJSON(name string, e *learn.Evaluation) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write measures: %w", err)
	}
	return errors.Join(e.JSON(f), f.Close())
}
