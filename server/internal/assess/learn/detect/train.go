package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"vigil/server/internal/assess/corpus"
	"vigil/server/internal/assess/learn"
)

const (
	modelFile   = "server/internal/assess/model.bin"
	cardFile    = "server/internal/assess/MODEL.md"
	fixtureFile = "server/internal/assess/learn/testdata/fixture.bin"
)

// train makes the model that ships, and its card; or, with -fixture, the small one that CI makes again of the corpus alone.
func train(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("train", flag.ContinueOnError)
	dir := fs.String("data", learn.DefaultDir, "folder of the shared data")
	fixture := fs.Bool("fixture", false, "make the fixture of the corpus alone, and nothing else")
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if *fixture {
		return write(stdout, learn.Fixture(corpus.Messages()), fixtureFile, "")
	}
	data, err := learn.Open(*dir)
	if errors.Is(err, learn.ErrAbsent) {
		fmt.Fprintf(stderr, "%v: training on the corpus alone, which gives another model than the one that is committed\n", err)
	} else if err != nil {
		return err
	}
	fmt.Fprintln(stderr, "training; this takes a few minutes")
	return write(stdout, learn.Train(data, corpus.Messages(), learn.Standard), modelFile, cardFile)
}

func write(stdout io.Writer, t *learn.Trained, model, card string) error {
	data, err := t.Model.AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := os.WriteFile(model, data, 0o644); err != nil { //nolint:gosec // a file of the repository, for everyone
		return fmt.Errorf("write model: %w", err)
	}
	fmt.Fprintf(stdout, "%s: %d bytes\n", model, len(data))
	if card == "" {
		return nil
	}
	if err := os.WriteFile(card, []byte(t.Card()), 0o644); err != nil { //nolint:gosec // as above
		return fmt.Errorf("write card: %w", err)
	}
	return nil
}
