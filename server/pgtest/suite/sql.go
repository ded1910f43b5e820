package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"vigil/server/pgtest"
)

// tapDatabase is the template plus pgTAP. Each test file gets a clone of it.
const tapDatabase = "vigil_tap"

// The schema that hosted projects install extensions into is on the tests' search path, as it is there.
const tapOptions = `PGOPTIONS=-c search_path="$user",public,extensions -c client_min_messages=warning`

func (s *suite) sqlTests(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(s.root, "sql", "tests", "*.sql"))
	if err != nil || len(files) == 0 {
		return errors.Join(err, s.none("sql/tests"))
	}
	if psql() == "" {
		s.absent("pgTAP", "psql is missing: install it with `apt-get install postgresql-client` or `brew install libpq`")
		return nil
	}
	// Both versions at once, each with a tally and an output of its own, which are shown one after the other.
	versions := []int{15, 17}
	runs, outputs, errs := make([]*suite, len(versions)), make([]bytes.Buffer, len(versions)), make([]error, len(versions))
	var wait sync.WaitGroup
	for i, version := range versions {
		runs[i] = &suite{root: s.root, ci: s.ci, out: &outputs[i]}
		wait.Go(func() { errs[i] = runs[i].sqlTestsOn(ctx, version, files) })
	}
	wait.Wait()
	for i, r := range runs {
		s.say("%s", strings.TrimRight(outputs[i].String(), "\n"))
		s.tally.add(&r.tally)
	}
	return errors.Join(errs...)
}

func (s *suite) none(folder string) error {
	s.say("skip: there are no tests in %s", folder)
	return nil
}

func (s *suite) sqlTestsOn(ctx context.Context, version int, files []string) error {
	name := fmt.Sprintf("pgTAP on Postgres %d", version)
	c, err := pgtest.Open(ctx, pgtest.Options{Version: version})
	if errors.Is(err, pgtest.ErrNoPostgres) {
		s.absent(name, err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	defer closing(ctx, c)
	admin := func(sql string) error {
		return c.Run(ctx, pgtest.RoleSuperuser, "postgres", []pgtest.Script{{Name: "setting pgTAP up", SQL: sql}})
	}
	if err := admin("create database " + tapDatabase + " owner postgres template vigil_template"); err != nil {
		return err
	}
	install := []pgtest.Script{{Name: "create extension pgtap", SQL: "create schema if not exists extensions; create extension if not exists pgtap with schema extensions"}}
	if err := c.Run(ctx, pgtest.RoleSuperuser, tapDatabase, install); err != nil {
		s.absent(name, fmt.Sprintf("pgTAP is missing (Debian: `apt-get install postgresql-15-pgtap`): %v", err))
		return nil
	}
	for i, file := range files {
		database := fmt.Sprintf("tap_%d", i)
		if err := admin(fmt.Sprintf("create database %s owner postgres template %s", database, tapDatabase)); err != nil {
			return err
		}
		if err := s.sqlFile(ctx, c, version, database, file); err != nil {
			return err
		}
		if err := admin("drop database " + database + " with (force)"); err != nil {
			return err
		}
	}
	return nil
}

// psql is the program itself where Debian keeps it: what is on the PATH there is a script in front of it, ten times as slow.
func psql() string {
	for _, name := range []string{"/usr/lib/postgresql/17/bin/psql", "/usr/lib/postgresql/15/bin/psql", "psql"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// sqlFile runs one file with psql as the superuser, who can become every role, and counts what it says in TAP.
func (s *suite) sqlFile(ctx context.Context, c *pgtest.Cluster, version int, database, file string) error {
	began := time.Now()
	cmd := s.command(ctx, ".", psql(), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--pset=pager=off",
		"--set=ON_ERROR_STOP=1", "--dbname="+c.URL(pgtest.RoleSuperuser, database), "--file="+file)
	cmd.Env = append(cmd.Environ(), tapOptions, "PGAPPNAME=pgtap")
	var result tapResult
	err := s.lines(cmd, func(r io.Reader) error {
		var err error
		result, err = readTAP(r)
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	name := fmt.Sprintf("sql/tests/%s on %d", filepath.Base(file), version)
	if err != nil {
		result.faults = append(result.faults, fmt.Sprintf("psql ended with an error: %v", err))
	}
	state := "ok  "
	if !s.countTAP(name, result) {
		state = "FAIL"
	}
	s.say("%s %s %d tests %.1fs", state, name, result.ran, time.Since(began).Seconds())
	return nil
}

// countTAP adds a result to the tally, and shows it and returns false if anything failed.
func (s *suite) countTAP(name string, result tapResult) bool {
	s.tally.passed += result.passed
	for _, reason := range result.skipped {
		s.tally.skip(name + ": " + reason)
	}
	faults := slices.Concat(result.failures, result.faults)
	for _, fault := range faults {
		s.tally.fail(name + ": " + fault)
	}
	if len(faults) > 0 {
		s.say("%s", strings.Join(result.lines, "\n"))
	}
	return len(faults) == 0
}

// tapResult is what one file said.
type tapResult struct {
	ran, passed int
	failures    []string // tests that were not ok
	faults      []string // what is wrong with the file as a whole
	skipped     []string
	lines       []string
}

var tapLine = regexp.MustCompile(`^(not )?ok\b\s*(\d+)?\s*(?:- )?(.*?)(?:\s*#\s*(?i:(skip|todo))\S*\s*(.*))?$`)

// readTAP reads the Test Anything Protocol, version 12. A file without a plan, or with fewer tests than planned, is at fault.
func readTAP(r io.Reader) (tapResult, error) {
	var result tapResult
	planned := -1
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), 4<<20)
	for scanner.Scan() {
		line := strings.TrimRight(scanner.Text(), " ")
		result.lines = append(result.lines, line)
		if rest, ok := strings.CutPrefix(line, "1.."); ok {
			first, reason, _ := strings.Cut(rest, " ")
			if n, err := strconv.Atoi(first); err == nil {
				planned = n
			}
			if planned == 0 {
				result.skipped = append(result.skipped, strings.TrimSpace("all of it "+reason))
			}
			continue
		}
		if strings.HasPrefix(line, "Bail out!") {
			result.faults = append(result.faults, line)
			continue
		}
		if m := tapLine.FindStringSubmatch(line); m != nil {
			result.count(m)
		}
	}
	switch {
	case planned < 0:
		result.faults = append(result.faults, "it has no plan: it ended before its end, or select plan(n) is missing")
	case planned != result.ran:
		result.faults = append(result.faults, fmt.Sprintf("it planned %d tests and ran %d", planned, result.ran))
	}
	return result, scanner.Err()
}

func (t *tapResult) count(m []string) {
	t.ran++
	switch {
	case m[4] != "":
		t.skipped = append(t.skipped, strings.TrimSpace(strings.ToLower(m[4])+" "+m[5]))
	case m[1] != "":
		t.failures = append(t.failures, strings.TrimSpace(m[2]+" "+m[3]))
	default:
		t.passed++
	}
}
