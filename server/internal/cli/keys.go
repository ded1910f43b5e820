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

const keysUsage = `usage: vigil keys new [file]                make the first key, in a file that is not there yet
       vigil keys new --rotate [file]       add a key to the file: new epochs have it, the others go on opening old ones; the key
                                            before it vouches for it, so that nobody is asked to acknowledge it
       vigil keys list                      the keys of the project: what each is for, and whether it is here
       vigil keys retire <id>               keep a key out of new epochs; it is destroyed when nothing needs it any more
       vigil keys fingerprint [id]          the digits that everyone is shown of a key, to compare

A running vigil serve takes up what changes in the file of VIGIL_ANALYSIS_KEY_FILE within seconds.
`

// keys does what its first word says. A private key is never printed.
func keys(ctx context.Context, p Process, flags *flag.FlagSet) int {
	flags.Usage = func() { say(p.Stderr, "%s", keysUsage) }
	rotate := false
	verbs := map[string]struct {
		least, most int // words after the verb
		run         func(words []string) int
	}{
		"new":         {0, 1, func(words []string) int { return newKey(ctx, p, rotate, words) }},
		"list":        {0, 0, func([]string) int { return listKeys(ctx, p) }},
		"retire":      {1, 1, func(words []string) int { return retireKey(ctx, p, words[0]) }},
		"fingerprint": {0, 1, func(words []string) int { return fingerprintKeys(ctx, p, words) }},
	}
	name := ""
	if len(p.Args) > 0 {
		name = p.Args[0]
	}
	verb, ok := verbs[name]
	if !ok {
		flags.Usage()
		if name == "-h" || name == "--help" || name == "help" {
			return ExitOK
		}
		return ExitUsage
	}
	if name == "new" {
		flags.BoolVar(&rotate, "rotate", false, "add the key to a file that is there")
	}
	switch err := flags.Parse(p.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return ExitOK
	case err != nil:
		return ExitUsage
	case flags.NArg() < verb.least || flags.NArg() > verb.most:
		flags.Usage()
		return ExitUsage
	}
	return verb.run(flags.Args())
}

// keyFile is the file that the words or the environment name.
func keyFile(p Process, words []string) string {
	if len(words) > 0 && words[0] != "" {
		return words[0]
	}
	if path := p.Getenv("VIGIL_ANALYSIS_KEY_FILE"); path != "" {
		return path
	}
	return config.Default("VIGIL_ANALYSIS_KEY_FILE")
}

// newKey makes an analysis key: its file is the one thing that may never be lost.
func newKey(ctx context.Context, p Process, rotate bool, words []string) int {
	if len(words) == 0 && p.Getenv("VIGIL_ANALYSIS_KEY") != "" {
		say(p.Stderr, "vigil keys: VIGIL_ANALYSIS_KEY is set and wins over any file. Name a file to make a key in; then put its key into the variable, before the one that is there ([new, old]), and start vigil serve again\n")
		return ExitFail
	}
	path := keyFile(p, words)
	d, err := envelope.NewDevice(uuid.New())
	if err == nil && rotate {
		return rotateKey(ctx, p, path, d)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = envelope.WriteKeyFile(path, d)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		say(p.Stderr, "vigil keys: %s is there already, and was left as it is. To add a key to it: vigil keys new --rotate\n", path)
		return ExitFail
	case err != nil:
		say(p.Stderr, "vigil keys: %v\n", err)
		return ExitFail
	}
	say(p.Stdout, "%s\n", d.KID())
	say(p.Stderr, "Written to %s. Back it up: without it nothing that was sealed to it can be opened. Give it to every sidecar that detects or suggests.\nIts fingerprint is %s.\n",
		path, envelope.Fingerprint(d.Member(envelope.RoleAnalysis)))
	return ExitOK
}

// rotateKey adds the key to a file that is there: a typing error must not make a second file that nobody reads.
func rotateKey(ctx context.Context, p Process, path string, d *envelope.Device) int {
	file := envelope.FileSource{Path: path}
	_, err := file.Keys(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		say(p.Stderr, "vigil keys: %s is not there, so there is nothing to rotate: make the first key with vigil keys new\n", path)
		return ExitFail
	}
	if err == nil {
		err = file.Add(ctx, d)
	}
	if err != nil {
		say(p.Stderr, "vigil keys: %v\n", err)
		return ExitFail
	}
	say(p.Stdout, "%s\n", d.KID())
	say(p.Stderr, "Added to %s. Back the file up anew, and give it to every sidecar that detects or suggests, now: a running one takes it up within seconds, and new epochs then have the new key. The key before it vouches for it, so keep that in the file until vigil keys list shows the new one as registered: without it every person must acknowledge the new key before they can send.\nIts fingerprint is %s.\nWhen all have it: vigil keys list, then vigil keys retire <the old id>.\n",
		path, envelope.Fingerprint(d.Member(envelope.RoleAnalysis)))
	return ExitOK
}

// heldKeys are the keys of the environment or the file.
func heldKeys(ctx context.Context, p Process) ([]*envelope.Device, error) {
	if text := p.Getenv("VIGIL_ANALYSIS_KEY"); text != "" {
		return envelope.TextSource{Text: text}.Keys(ctx)
	}
	return envelope.FileSource{Path: keyFile(p, nil)}.Keys(ctx)
}
