package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"vigil/server/pgtest"
)

// errMissing: something is missing that we may not install. The text says how to.
var errMissing = errors.New("something is missing")

// The oldest Node that every tool of server/e2e runs on.
const (
	nodeMajor = 20
	nodeMinor = 19
)

// install brings what the tests need: packages of the system where we are root and apt is there, Node packages, Postgres.
// It does nothing that is done already.
func (s *suite) install(ctx context.Context) error {
	if err := s.systemPackages(ctx); err != nil {
		return err
	}
	if err := s.nodePackages(ctx); err != nil {
		return err
	}
	for _, version := range []int{15, 17} {
		c, err := pgtest.Open(ctx, pgtest.Options{Version: version, Bare: true})
		if errors.Is(err, pgtest.ErrNoPostgres) {
			s.say("note: %v", err)
			continue
		}
		if err != nil {
			return err
		}
		s.say("Postgres %d: %s", version, c.Bin())
		closing(ctx, c)
	}
	return nil
}

// aptPackage is a package of Debian, and the file that shows that it, or the like of it, is there.
type aptPackage struct{ name, file, why string }

func aptPackages(version int) []aptPackage {
	lib := fmt.Sprintf("/usr/lib/postgresql/%d", version)
	share := fmt.Sprintf("/usr/share/postgresql/%d/extension", version)
	name := fmt.Sprintf("postgresql-%d", version)
	return []aptPackage{
		{name, lib + "/bin/postgres", "the database"},
		{name + "-pgtap", share + "/pgtap.control", "the SQL tests"},
		{name + "-plpgsql-check", share + "/plpgsql_check.control", "the SQL lint"},
	}
}

func (s *suite) systemPackages(ctx context.Context) error {
	if runtime.GOOS == "darwin" {
		if !has("psql") {
			s.say("note: for the SQL tests install Postgres and pgTAP with `brew install postgresql@15 pgtap`")
		}
		return nil
	}
	missing := missingPackages(15)
	if len(missing) == 0 {
		return nil
	}
	if !has("apt-get") {
		s.say("note: this system has no apt. Postgres 15 with pgTAP and plpgsql_check would add the SQL tests; npm's Postgres 17 is used")
		return nil
	}
	if os.Geteuid() != 0 {
		s.say("note: not root, so nothing is installed with apt. To have every test: sudo apt-get install %s", names(missing))
		return nil
	}
	if err := s.apt(ctx, "update", "--quiet"); err != nil {
		s.say("note: `apt-get update` did not work (%v); npm's Postgres 17 is used", err)
		return nil
	}
	if !aptKnows(ctx, missing) {
		if missing = missingPackages(17); len(missing) == 0 || !aptKnows(ctx, missing) {
			s.say("note: this system's apt has neither Postgres 15 nor 17 with pgTAP; npm's Postgres 17 is used")
			return nil
		}
	}
	args := append([]string{"install", "--quiet", "--yes", "--no-install-recommends"}, strings.Fields(names(missing))...)
	if err := s.apt(ctx, args...); err != nil {
		s.say("note: apt could not install %s (%v); npm's Postgres 17 is used", names(missing), err)
	}
	return nil
}

func missingPackages(version int) []aptPackage {
	var missing []aptPackage
	for _, p := range aptPackages(version) {
		if _, err := os.Stat(p.file); err != nil {
			missing = append(missing, p)
		}
	}
	return missing
}

func names(packages []aptPackage) string {
	list := make([]string, len(packages))
	for i, p := range packages {
		list[i] = p.name
	}
	return strings.Join(list, " ")
}

func aptKnows(ctx context.Context, packages []aptPackage) bool {
	for _, p := range packages {
		out, err := exec.CommandContext(ctx, "apt-cache", "policy", p.name).Output()
		if err != nil || !bytes.Contains(out, []byte("Candidate:")) || bytes.Contains(out, []byte("Candidate: (none)")) {
			return false
		}
	}
	return true
}

func (s *suite) apt(ctx context.Context, args ...string) error {
	s.say("$ apt-get %s", strings.Join(args, " "))
	cmd := s.command(ctx, ".", "apt-get", args...)
	cmd.Env = append(cmd.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = s.out, s.out
	return cmd.Run()
}

// nodePackages runs `npm ci` in every folder with a lock file, unless that very lock file was installed before.
func (s *suite) nodePackages(ctx context.Context) error {
	if err := nodeVersion(ctx); err != nil {
		return err
	}
	var g errgroup.Group // npm waits for the network most of the time
	for _, folder := range []string{"server/e2e", "realtime/client", "server/console"} {
		g.Go(func() error { return s.npmCI(ctx, folder) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	// npm may be told not to run the scripts of packages. Deno's draws its program; pgtest does Postgres' part itself.
	if s.exists("server", "e2e", "node_modules", "deno", "install.cjs") && !s.exists("server", "e2e", "node_modules", ".vigil-deno") {
		if err := s.call(ctx, "server/e2e", "node", filepath.FromSlash("node_modules/deno/install.cjs")); err != nil {
			return fmt.Errorf("set Deno up: %w", err)
		}
		return os.WriteFile(filepath.Join(s.root, "server", "e2e", "node_modules", ".vigil-deno"), nil, 0o644)
	}
	return nil
}

func nodeVersion(ctx context.Context) error {
	want := fmt.Errorf("%w: Node %d.%d or later with npm: install it from nodejs.org, or with your system's packages, and run this again", errMissing, nodeMajor, nodeMinor)
	if !has("node") || !has("npm") {
		return want
	}
	out, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return errors.Join(want, err)
	}
	return checkNode(strings.TrimSpace(string(out)), want)
}

func checkNode(version string, want error) error {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, majorErr := strconv.Atoi(major)
	b, minorErr := strconv.Atoi(minor)
	if majorErr != nil || minorErr != nil || a < nodeMajor || a == nodeMajor && b < nodeMinor {
		return fmt.Errorf("%w (this is %s)", want, version)
	}
	return nil
}

func (s *suite) npmCI(ctx context.Context, folder string) error {
	dir := filepath.Join(s.root, filepath.FromSlash(folder))
	lockFile, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s's lock file: %w", folder, err)
	}
	sum := sha256.Sum256(lockFile)
	want := hex.EncodeToString(sum[:])
	mark := filepath.Join(dir, "node_modules", ".vigil-lock")
	if have, err := os.ReadFile(mark); err == nil && string(have) == want {
		return nil
	}
	s.say("$ npm ci   (in %s)", folder)
	if err := s.call(ctx, folder, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
		return fmt.Errorf("run npm ci in %s (is the registry to be reached, and is there space on the disk?): %w", folder, err)
	}
	if err := os.MkdirAll(filepath.Dir(mark), 0o755); err != nil {
		return fmt.Errorf("mark %s as installed: %w", folder, err)
	}
	return os.WriteFile(mark, []byte(want), 0o644)
}
