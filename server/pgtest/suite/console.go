package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

const consoleFolder = "server/console"

// consoleInputs is what a build of the console is made of, below the repository: files, and folders with all that is in them.
var consoleInputs = []string{
	consoleFolder + "/src", consoleFolder + "/public", consoleFolder + "/index.html", consoleFolder + "/demo.html",
	consoleFolder + "/vite.config.ts", consoleFolder + "/tsconfig.json", consoleFolder + "/package-lock.json", "realtime/client/src",
	"realtime/client/scripts", "server/internal/assess", "server/internal/triage", // the detector
}

// buildConsole builds the console's pages and the detector that they load into dist/, which the sidecar embeds, unless the same
// inputs were built before.
func (s *suite) buildConsole(ctx context.Context) error {
	want, err := s.digest(consoleInputs)
	if err != nil {
		return err
	}
	mark := filepath.Join(s.root, filepath.FromSlash(consoleFolder), "node_modules", ".vigil-built")
	have, err := os.ReadFile(mark)
	if err == nil && string(have) == want && s.exists(filepath.FromSlash(consoleFolder), "dist", "index.html") {
		return nil
	}
	builder := filepath.Join(s.root, filepath.FromSlash(consoleFolder), "node_modules", "vite", "bin", "vite.js")
	if _, err := os.Stat(builder); err != nil || !has("node") {
		s.absent(consoleFolder, "vite is missing: install Node 20.19 or later and run `npm ci` in "+consoleFolder)
		return nil
	}
	if err := s.call(ctx, consoleFolder, "node", builder, "build", "--logLevel=warn"); err != nil {
		return fmt.Errorf("build the console: %w", err)
	}
	if err := s.buildDetector(ctx); err != nil {
		return err
	}
	s.say("built %s", consoleFolder)
	return os.WriteFile(mark, []byte(want), 0o644)
}

// buildDetector compiles the detector for browsers and puts it beside the pages, as it is and squeezed. What takes long is kept
// between builds where `npm ci` clears it.
func (s *suite) buildDetector(ctx context.Context) error {
	kept := filepath.Join(s.root, filepath.FromSlash(consoleFolder), "node_modules", ".vigil-detect")
	script := filepath.Join(s.root, "realtime", "client", "scripts", "detect-wasm.mjs")
	if err := s.call(ctx, consoleFolder, "node", script, "--out", kept, "--compress"); err != nil {
		return fmt.Errorf("build the detector: %w", err)
	}
	out := filepath.Join(s.root, filepath.FromSlash(consoleFolder), "dist", "detect")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("make the detector's folder: %w", err)
	}
	for _, name := range []string{"detect.wasm", "detect.wasm.br", "wasm_exec.js"} {
		content, err := os.ReadFile(filepath.Join(kept, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(out, name), content, 0o644)
		}
		if err != nil {
			return fmt.Errorf("put the detector beside the pages: %w", err)
		}
	}
	return nil
}

func (s *suite) consoleTests(ctx context.Context) error { return s.vitest(ctx, consoleFolder) }

// digest hashes files by name and content, in the order of their names.
func (s *suite) digest(names []string) (string, error) {
	h := sha256.New()
	root := os.DirFS(s.root)
	for _, name := range names {
		err := fs.WalkDir(root, name, func(file string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && (d.IsDir() || path.Base(file) == ".DS_Store") {
				return nil
			}
			if err != nil {
				return err
			}
			return addFile(h, root, file)
		})
		if err != nil {
			return "", fmt.Errorf("read what the console is built from: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func addFile(h hash.Hash, root fs.FS, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	content := sha256.New()
	_, err = io.Copy(content, f)
	fmt.Fprintf(h, "%s %x\n", name, content.Sum(nil))
	return errors.Join(err, f.Close())
}
