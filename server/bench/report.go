package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is a whole run.
type Report struct {
	Date     time.Time         `json:"date"`
	Messages int               `json:"messages"`
	Rounds   int               `json:"rounds"`
	Profiled bool              `json:"profiled,omitempty"` // its numbers are no results
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Results  []Result          `json:"results"`
}

// Machine is where it ran.
type Machine struct {
	OS       string  `json:"os"`
	CPU      string  `json:"cpu"`
	Cores    int     `json:"cores"`
	MemoryGB float64 `json:"memory_gb"`
	Load     string  `json:"load"` // of 1, 5 and 15 minutes, when it began
}

func newReport(ctx context.Context, b *bench) *Report {
	r := &Report{Date: time.Now().UTC(), Messages: b.messages, Rounds: b.rounds, Profiled: b.profile != "", Machine: machine(), Versions: map[string]string{"go": runtime.Version()}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			switch d.Path {
			case "github.com/centrifugal/centrifuge", "github.com/gorilla/websocket", "github.com/nats-io/nats-server/v2", "github.com/jackc/pgx/v5":
				r.Versions[d.Path] = d.Version
			}
		}
	}
	git := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD")
	git.Dir = b.root
	if out, err := git.Output(); err == nil {
		r.Versions["vigil"] = strings.TrimSpace(string(out))
	}
	return r
}

func machine() Machine {
	m := Machine{OS: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), CPU: field("/proc/cpuinfo", "model name")}
	if kb, err := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64); err == nil {
		m.MemoryGB = math.Round(kb/(1<<20)*10) / 10
	}
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(data))[:3], " ")
	}
	return m
}

// field reads one of a file's "name : value" lines.
func field(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (r *Report) failed() bool {
	for i := range r.Results {
		if r.Results[i].Failed != "" {
			return true
		}
	}
	return false
}

func (r *Report) save(file string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	return os.WriteFile(file, append(data, '\n'), 0o644) //nolint:gosec // results are for everybody
}

// write prints the readable table.
func (r *Report) write(out io.Writer) {
	fmt.Fprintf(out, "%s · %d messages, %d rounds · %s, %d cores (%s), %.0f GB, load %s\n",
		r.Date.Format("2006-01-02 15:04 MST"), r.Messages, r.Rounds, r.Machine.OS, r.Machine.Cores, r.Machine.CPU, r.Machine.MemoryGB, r.Machine.Load)
	for name, version := range r.Versions {
		fmt.Fprintf(out, "%s %s  ", name, version)
	}
	fmt.Fprintln(out)
	if r.Profiled {
		fmt.Fprintln(out, "PROFILED: these numbers are no results")
	}
	for i := range r.Results {
		r.Results[i].write(out)
	}
}

func (r *Result) write(out io.Writer) {
	fmt.Fprintf(out, "\n== %s: %s (%.0f s)\n", r.Row, r.What, r.Seconds)
	if r.Failed != "" {
		fmt.Fprintf(out, "FAILED: %s\n", r.Failed)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "who\twhat\tmin\tmedian\tmax\tunit")
	for _, s := range r.Series {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Who, s.What, figure(s.Min), figure(s.Median), figure(s.Max), s.Unit)
	}
	_ = t.Flush()
	for _, c := range r.Checks {
		fmt.Fprintln(out, " ", c)
	}
	for _, note := range r.Notes {
		fmt.Fprintln(out, "  ·", note)
	}
}

// String says whether the target is met, or by how much it is missed.
func (c Check) String() string {
	bound, verdict := "≥", "met"
	if c.AtMost {
		bound = "≤"
	}
	if !c.Met {
		verdict = fmt.Sprintf("MISSED by %.0f %%", math.Abs(c.Got/c.Target-1)*100)
	}
	return fmt.Sprintf("%s %s %s%s: %s%s, %s", c.What, bound, figure(c.Target), c.Unit, figure(c.Got), c.Unit, verdict)
}

// figure prints three significant digits, and thousands with commas.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		text := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
