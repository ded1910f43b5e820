package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
)

// browserConfig is vitest's for the browser tests, which are apart from the other end-to-end tests.
const browserConfig = "browser/vitest.config.ts"

const wantChromium = "there is no Chromium: install it (Debian: `apt-get install chromium`; macOS: `brew install --cask chromium`), or name one with CHROMIUM"

// chromiums are the names that it goes by. server/e2e/browser/setup.ts looks for the same.
var chromiums = []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"}

// chromium is the program that CHROMIUM names, else the first on the PATH; empty where there is none.
func chromium() string {
	names := chromiums
	if named := os.Getenv("CHROMIUM"); named != "" {
		names = []string{named}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// installChromium brings the browser, for the tests alone: `go tool task dev` does without.
func (s *suite) installChromium(ctx context.Context) error {
	if found := chromium(); found != "" {
		s.say("Chromium: %s", found)
		return nil
	}
	if runtime.GOOS != "linux" || !has("apt-get") || os.Geteuid() != 0 || os.Getenv("CHROMIUM") != "" {
		s.say("note: %s", wantChromium)
		return nil
	}
	if err := s.apt(ctx, "update", "--quiet"); err != nil {
		s.say("note: `apt-get update` did not work (%v); %s", err, wantChromium)
		return nil
	}
	if err := s.apt(ctx, "install", "--quiet", "--yes", "--no-install-recommends", "chromium"); err != nil {
		s.say("note: apt could not install it (%v); %s", err, wantChromium)
	}
	return nil
}

// browserTests runs two people at two browsers over a throwaway stack.
func (s *suite) browserTests(ctx context.Context) error {
	if chromium() == "" {
		s.absent("browser", wantChromium)
		return nil
	}
	return s.vitest(ctx, "server/e2e", "--config="+browserConfig)
}
