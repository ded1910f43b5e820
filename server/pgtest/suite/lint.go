package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"vigil/server/pgtest"
)

// lintSQL does what a release does to a project, on a Postgres of ours: `db push` applies the migrations, `db lint` looks at
// every function. It also fails when the CLI does not know a key of config.toml, which it only warns of.
func (s *suite) lintSQL(ctx context.Context) error {
	cli := filepath.Join(s.root, "server", "e2e", "node_modules", ".bin", "supabase")
	if _, err := os.Stat(cli); err != nil {
		s.absent("supabase", "the Supabase CLI is missing: run `npm ci` in server/e2e")
		return nil
	}
	c, err := pgtest.Open(ctx, pgtest.Options{Version: 15, Bare: true, Fresh: true})
	if errors.Is(err, pgtest.ErrNoPostgres) {
		s.absent("lint-sql", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	defer closing(ctx, c)
	platform, err := pgtest.Platform()
	if err != nil {
		return err
	}
	if err := c.ApplyPlatform(ctx, "postgres", platform); err != nil {
		return err
	}
	url := c.URL(pgtest.RoleOwner, "postgres")
	out, err := s.supabase(ctx, cli, "db", "push", "--remote="+url, "--yes")
	if err != nil {
		return fmt.Errorf("supabase db push: %w", err)
	}
	if bytes.Contains(out, []byte("does not recognize")) || bytes.Contains(out, []byte("nknown config field")) {
		return errors.New("supabase/config.toml has a key that the CLI does not know; it is named above")
	}
	migrations, err := pgtest.Migrations()
	if err != nil {
		return err
	}
	out, err = s.supabase(ctx, cli, "db", "push", "--remote="+url, "--yes")
	if err != nil || !bytes.Contains(out, []byte("up to date")) {
		return fmt.Errorf("a second supabase db push, after %d migrations, is not \"up to date\": %w", len(migrations), err)
	}
	extension := []pgtest.Script{{Name: "create extension plpgsql_check", SQL: "create extension if not exists plpgsql_check with schema extensions"}}
	if err := c.Run(ctx, pgtest.RoleSuperuser, "postgres", extension); err != nil {
		s.absent("supabase db lint", fmt.Sprintf("plpgsql_check is missing (Debian: `apt-get install postgresql-15-plpgsql-check`): %v", err))
		return nil
	}
	_, err = s.supabase(ctx, cli, "db", "lint", "--remote="+c.URL(pgtest.RoleSuperuser, "postgres"),
		"--schema", strings.Join([]string{"public", "private", "relay"}, ","), "--level", "warning", "--fail-on", "warning")
	if err != nil {
		return fmt.Errorf("supabase db lint: %w", err)
	}
	return nil
}

// supabase runs the CLI at the top of the repository, shows what it prints, and returns that.
func (s *suite) supabase(ctx context.Context, cli string, args ...string) ([]byte, error) {
	s.say("$ supabase %s", strings.Join(args[:2], " "))
	cmd := s.command(ctx, ".", cli, args...)
	cmd.Env = append(cmd.Environ(), "SUPABASE_TELEMETRY_DISABLED=1", "DO_NOT_TRACK=1")
	out, err := cmd.CombinedOutput()
	s.say("%s", bytes.TrimSpace(out))
	return out, err
}

// check is one linter's run: the program and its arguments, in a folder of the repository.
type check struct {
	name, folder string
	words        []string
}

// lintTypeScript checks every Node package with its own compiler, in strict mode, and its own eslint, and the edge functions with
// Deno: as many at once as there are processors, for each of them takes one.
func (s *suite) lintTypeScript(ctx context.Context) error {
	if !has("node") {
		s.absent("lint-ts", "Node is missing: install version 20.19 or later")
		return nil
	}
	var checks []check
	for _, folder := range []string{"server/console", "realtime/client", "server/e2e"} { // the longest first
		dir := filepath.FromSlash(folder)
		if !s.exists(dir, "tsconfig.json") {
			continue
		}
		for _, tool := range [][]string{{"eslint", "bin", "eslint.js", "--max-warnings=0", "."}, {"typescript", "bin", "tsc", "--noEmit", "--pretty", "false"}} {
			program := filepath.Join(append([]string{s.root, dir, "node_modules"}, tool[:3]...)...)
			if _, err := os.Stat(program); err != nil {
				s.absent("lint-ts", fmt.Sprintf("%s is missing: run `npm ci` in %s", tool[0], folder))
				continue
			}
			checks = append(checks, check{tool[0], folder, append([]string{"node", program}, tool[3:]...)})
		}
	}
	return s.runChecks(ctx, append(checks, s.functionChecks()...))
}

// functionChecks are of the edge functions' types, style and formatting.
func (s *suite) functionChecks() []check {
	deno, ok := s.deno()
	if !ok {
		s.absent("lint-ts", noDeno)
		return nil
	}
	var checks []check
	for _, words := range [][]string{{"check", "."}, {"lint"}, {"fmt", "--check"}} {
		checks = append(checks, check{"deno " + words[0], "functions", append([]string{deno}, words...)})
	}
	return checks
}

// runChecks runs all, whatever one finds, and shows what each prints as a whole.
func (s *suite) runChecks(ctx context.Context, checks []check) error {
	errs := make([]error, len(checks))
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for i, c := range checks {
		g.Go(func() error {
			cmd := s.command(ctx, c.folder, c.words[0], c.words[1:]...)
			out, err := cmd.CombinedOutput()
			s.say("$ %s   (in %s)\n%s", c.name, c.folder, bytes.TrimSpace(out))
			if err != nil {
				errs[i] = fmt.Errorf("%s in %s: %w", c.name, c.folder, err)
			}
			return nil
		})
	}
	_ = g.Wait() // what failed is in errs
	return errors.Join(errs...)
}
