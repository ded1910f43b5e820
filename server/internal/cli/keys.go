package cli

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"vigil/server/internal/config"
	"vigil/server/internal/envelope"
)

// keys makes an analysis key: its file is the one thing that may never be lost, and it is never printed.
func keys(_ context.Context, p Process, flags *flag.FlagSet) int {
	switch err := flags.Parse(p.Args); {
	case errors.Is(err, flag.ErrHelp):
		return ExitOK
	case err != nil:
		return ExitUsage
	case flags.Arg(0) != "new" || flags.NArg() > 2:
		flags.Usage()
		return ExitUsage
	}
	path := flags.Arg(1)
	if path == "" {
		path = p.Getenv("VIGIL_ANALYSIS_KEY_FILE")
	}
	if path == "" {
		path = config.Default("VIGIL_ANALYSIS_KEY_FILE")
	}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	var d *envelope.Device
	if err == nil {
		d, err = envelope.NewDevice(uuid.New())
	}
	if err == nil {
		err = envelope.WriteKeyFile(path, d)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		say(p.Stderr, "vigil keys: %s is there already, and was left as it is\n", path)
		return ExitFail
	case err != nil:
		say(p.Stderr, "vigil keys: %v\n", err)
		return ExitFail
	}
	say(p.Stdout, "%s\n", d.KID())
	say(p.Stderr, "Written to %s. Back it up: without it nothing that was sealed to it can be opened. Give it to every sidecar that detects or suggests.\n", path)
	return ExitOK
}
