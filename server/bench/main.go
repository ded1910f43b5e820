// Command bench measures the sidecar against floors and peers on this machine, in one run, interleaved: every row of the
// target table that exists so far, with CPU and memory of real processes, as a table and as JSON.
//
// It guarantees: what it starts listens on 127.0.0.1 only, is bounded in count and time, and is gone when it ends, also when
// it is interrupted; nothing outside a temporary folder is written, but the file that -json names; a row that fails is shown
// as failed and never as a number. What is compared was measured in the same run, in alternation, and nothing else is.
//
// It does not guarantee that two runs agree: a shared machine swings by half and more. Ratios within a run are what counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vigil/server/pgtest"
)

const (
	defaultMessages = 100_000
	defaultRounds   = 3
	wholeTimeout    = 4 * time.Hour
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == childWord {
		os.Exit(runChild(os.Args[2], os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// bench is one run.
type bench struct {
	messages int    // of the rows that count messages
	rounds   int    // of every comparison
	profile  string // folder for CPU profiles of the sidecar; "" for none
	dir      string // temporary, removed at the end
	root     string // of the repository
	self     string // this program, which is every child too
	vigil    string // the sidecar's program
	progress *progress
}

// row is one line of the target table.
type row struct {
	name string
	what string
	run  func(context.Context, *bench) (*Result, error)
}

// rows stand in the order of the target table.
func rows() []row {
	return []row{
		{"ingest", "slot → decoded → durable on the bus (SyncAlways)", measureIngest},
		{"pipeline", "slot → opened → assessed → recorded", measurePipeline},
		{"latency", "insert → alert committed → frame at the socket", measureLatency},
		{"fanout", "one publisher to 1,000 subscribers", measureFanOut},
		{"idle", "an idle connection, joined to two channels", measureIdle},
		{"joins", "joins authorised by RLS", measureJoins},
		{"revoke", "revocation commit → last frame, at 1,000 live channels", measureRevoke},
		{"reconnect", "clients reconnect after a restart, each with a gap of 100 entries", measureReconnect},
		{"detector", "one message assessed", measureDetector},
		{"start", "start of `vigil serve` to ready, and idle", measureStart},
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out, status io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(status)
	jsonFile := flags.String("json", "", "file for the results as JSON")
	chosen := flags.String("rows", getenv("BENCH_ROWS"), "rows to measure, with commas; empty: all (BENCH_ROWS)")
	messages := flags.Int("messages", number(getenv("BENCH_MESSAGES"), defaultMessages), "messages of the rows that count them (BENCH_MESSAGES)")
	rounds := flags.Int("rounds", number(getenv("BENCH_ROUNDS"), defaultRounds), "rounds of every comparison (BENCH_ROUNDS)")
	profile := flags.String("profile", getenv("BENCH_PROFILE"), "folder for CPU profiles of the sidecar; its numbers are then no results (BENCH_PROFILE)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	wanted, err := choose(*chosen)
	if err != nil || *messages < 1 || *rounds < 1 {
		fmt.Fprintln(status, errors.Join(err, errors.New("messages and rounds must be above 0")))
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, wholeTimeout)
	defer cancel()
	b, err := open(ctx, *messages, *rounds, *profile, status)
	if err != nil {
		fmt.Fprintln(status, "bench:", err)
		return 1
	}
	defer b.close()
	report := b.measure(ctx, wanted)
	report.write(out)
	if *jsonFile != "" {
		if err := report.save(*jsonFile); err != nil {
			fmt.Fprintln(status, "bench:", err)
			return 1
		}
	}
	if report.failed() {
		return 1
	}
	return 0
}

func number(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return n
}

func choose(names string) ([]row, error) {
	if names == "" {
		return rows(), nil
	}
	var wanted []row
	var known []string
	asked := strings.Split(names, ",")
	for _, r := range rows() {
		known = append(known, r.name)
		if slices.Contains(asked, r.name) {
			wanted = append(wanted, r)
		}
	}
	if len(wanted) != len(asked) {
		return nil, fmt.Errorf("rows are: %s", strings.Join(known, ", "))
	}
	return wanted, nil
}

// open prepares a run: its folder, and the sidecar built from this checkout, or the one that BENCH_VIGIL names.
func open(ctx context.Context, messages, rounds int, profile string, status io.Writer) (*bench, error) {
	root, err := pgtest.ModuleRoot()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp("", "vigil-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	b := &bench{messages: messages, rounds: rounds, profile: profile, dir: dir, root: root, self: self,
		vigil: filepath.Join(dir, "vigil"), progress: newProgress(status)}
	if built := os.Getenv("BENCH_VIGIL"); built != "" && profile == "" {
		b.vigil = built
		return b, nil
	}
	b.progress.begin("build vigil", 0)
	if err := b.build(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	b.progress.end()
	if err := os.RemoveAll(b.dir); err != nil {
		b.progress.say("remove %s: %v", b.dir, err)
	}
}

// measure runs the rows one after the other. One that fails does not keep the others from running.
func (b *bench) measure(ctx context.Context, wanted []row) *Report {
	report := newReport(ctx, b)
	for _, r := range wanted {
		if ctx.Err() != nil {
			break
		}
		began := time.Now()
		b.progress.row = r.name
		result, err := r.run(ctx, b)
		if result == nil {
			result = &Result{}
		}
		result.Row, result.What, result.Seconds = r.name, r.what, time.Since(began).Seconds()
		if err != nil {
			result.Failed = err.Error()
		}
		b.progress.end()
		report.Results = append(report.Results, *result)
		if result.Failed != "" {
			b.progress.say("%s failed: %s", r.name, result.Failed)
		}
	}
	return report
}

// scaled is n of a full run (defaultMessages and more), and a share of it in a smaller one, but at least least.
func (b *bench) scaled(n, least int) int {
	return max(least, min(n, n*b.messages/defaultMessages))
}
