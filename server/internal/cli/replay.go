package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"vigil/server/internal/config"
	"vigil/server/internal/replay"
)

// replaySpeed is the pace of a first look: a tenth of the pauses that the conversations have.
const replaySpeed = 10

const replayHelp = `
It makes invented people in an organisation, has them sign in, start sessions, consent and write to each other, sealed, while
both listen on their sockets; then it says whether everything that was written was assessed and relayed, once. It uses public
interfaces only, and SUPABASE_SECRET_KEY for what a project's own server does: making people and memberships. What it wrote
stays; its sessions, logins and memberships end with it (--keep: they do not). For a project that is for tests.

The environment: SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, SUPABASE_SECRET_KEY, VIGIL_URL; ` + "`go tool task dev`" + ` writes them to
.vigil/dev.env. NO_COLOR is obeyed.

The exit code is 0 when every conversation was replayed to its end and nothing is missing or doubled, 1 when not (or when it
was interrupted), 2 when the call itself is wrong.

`

type replayOptions struct {
	file, organization, supabaseURL, vigilURL string
	speed                                     float64
	concurrency, conversations                int
	patience                                  time.Duration
	keep, asJSON                              bool
}

// replayConversations drives a running system with conversations, and says what became of them.
func replayConversations(ctx context.Context, p Process, fs *flag.FlagSet) int {
	var o replayOptions
	fs.StringVar(&o.file, "file", "", "a `file` of conversations instead of the bundled ones; - reads standard input")
	o.speed = replaySpeed
	fs.Func("speed", fmt.Sprintf("how many `times` faster than people type: 1 as written, max (or 0) without a pause (default %d)", replaySpeed), o.setSpeed)
	fs.IntVar(&o.concurrency, "concurrency", replay.DefaultConcurrency, "conversations at once")
	fs.IntVar(&o.conversations, "conversations", 0, "how many, from the top again where the file has fewer (all, once)")
	fs.StringVar(&o.organization, "organization", "", "the practice's `id or name`; not needed where there is one")
	fs.StringVar(&o.supabaseURL, "supabase-url", p.Getenv("SUPABASE_URL"), "the project's `URL`")
	fs.StringVar(&o.vigilURL, "vigil-url", vigilURL(p), "the sidecar's `URL`")
	fs.DurationVar(&o.patience, "patience", replay.DefaultPatience, "how long to wait for what was written, and for a sidecar that is away")
	fs.BoolVar(&o.keep, "keep", false, "leave sessions open and memberships standing")
	fs.BoolVar(&o.asJSON, "json", false, "print the summary as JSON")
	fs.Usage = func() {
		say(p.Stderr, "usage: vigil replay [flags]\nreplay conversations against a running system, and count what became of every message\n%s", replayHelp)
		fs.PrintDefaults()
		say(p.Stderr, "\n%s", replay.Format)
	}
	if _, code, done := parse(p, fs, 0); done {
		return code
	}
	run, err := o.prepare(p)
	if err != nil {
		say(p.Stderr, "vigil replay: %v\n", err)
		return ExitUsage
	}
	show := newReplayScreen(p)
	summary, err := run.Run(ctx, show.progress)
	show.end()
	if err != nil {
		say(p.Stderr, "vigil replay: %v\n", err)
	}
	if o.asJSON {
		out := json.NewEncoder(p.Stdout)
		out.SetIndent("", "  ")
		_ = out.Encode(summary) // standard output is closed: nothing to do
	} else {
		printReplay(p.Stdout, summary)
	}
	if err != nil || !summary.OK() {
		return ExitFail
	}
	return ExitOK
}

func (o *replayOptions) setSpeed(word string) (err error) {
	if word == "max" {
		o.speed = 0
		return nil
	}
	if o.speed, err = strconv.ParseFloat(word, 64); err != nil || !(o.speed >= 0) {
		return errors.New("a number such as 1, or max")
	}
	return nil
}

// vigilURL is where the sidecar is, unless a flag says otherwise.
func vigilURL(p Process) string {
	if at := p.Getenv("VIGIL_URL"); at != "" {
		return at
	}
	if at := p.Getenv("VIGIL_ADDR"); at != "" {
		return "http://" + at
	}
	return "http://" + config.Default("VIGIL_ADDR")
}

func (o replayOptions) prepare(p Process) (*replay.Replay, error) {
	c := replay.Config{
		PublishableKey: config.NewSecret(strings.TrimSpace(p.Getenv("SUPABASE_PUBLISHABLE_KEY"))),
		SecretKey:      config.NewSecret(strings.TrimSpace(p.Getenv("SUPABASE_SECRET_KEY"))),
		Organization:   o.organization, Count: o.conversations, Concurrency: o.concurrency, Speed: o.speed, Patience: o.patience, Keep: o.keep,
	}
	var err error
	if c.SupabaseURL, err = webAddress(o.supabaseURL, "SUPABASE_URL (or --supabase-url)"); err != nil {
		return nil, err
	}
	if c.VigilURL, err = webAddress(o.vigilURL, "VIGIL_URL (or --vigil-url)"); err != nil {
		return nil, err
	}
	if o.concurrency < 1 {
		return nil, errors.New("--concurrency is 1 at least")
	}
	if o.file != "" {
		if c.Conversations, err = readConversations(o.file); err != nil {
			return nil, err
		}
	}
	return replay.New(c)
}

// webAddress reads an address; none is nil, which replay.New names.
func webAddress(text, name string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%s must be an http or https URL", name)
	}
	return u, nil
}

func readConversations(name string) ([]replay.Conversation, error) {
	if name == "-" {
		return replay.Parse(os.Stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("--file: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	list, err := replay.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("--file %s: %w; `vigil replay -h` describes the format", name, err)
	}
	return list, nil
}

// printReplay says what the run has shown: first whether anything is missing.
func printReplay(w io.Writer, s replay.Summary) {
	m := s.Messages
	verdict := "Nothing is missing, and nothing is doubled."
	switch {
	case !m.Sound():
		verdict = "NOT ALL IS WELL: see missing, doubled and what follows. `vigil trace <message id>` and the sidecar's log say more."
	case s.Interrupted:
		verdict = "It was interrupted; of what was written, nothing is missing or doubled."
	case !s.OK():
		verdict = "Not every conversation was replayed to its end; of what was written, nothing is missing or doubled."
	}
	say(w, "%s\n\n", verdict)
	line := func(name, format string, a ...any) { say(w, "  %-22s %s\n", name, fmt.Sprintf(format, a...)) }
	line("conversations", "%d of %d in %.1f s%s", s.Ended-s.Failed, s.Conversations, s.Seconds, ifSome(s.Failed, ", %d failed"))
	line("written", "%d of %d%s", m.Written, m.Planned, rate(m.Written, s.Seconds))
	line("assessed", "%d%s", m.Assessed, ifSome(m.NotAssessed, ", and %d not assessed"))
	line("relayed", "%d", m.Relayed)
	line("missing", "%d", m.Missing)
	line("doubled", "%d%s%s%s", m.Doubled, ifSome(m.Holes, ", holes %d"), ifSome(m.Altered, ", altered %d"), ifSome(m.Unknown, ", of nobody %d"))
	if s.Reconnects > 0 {
		line("connections lost", "%d; %d topics recovered, %d read again", s.Reconnects, s.Recovered, s.NotRecovered)
	}
	line("insert to assessment", "%s", milliseconds(s.Assessment))
	line("insert to alert", "%s", milliseconds(s.Alert))
	line("alerts by level", "%s", levels(s.Alerts))
	judged := func(name string, j replay.Judgement) {
		if j.Known == 0 {
			return
		}
		line(name, "%d of %d conversations alerted as expected%s", j.Agreed, j.Known, exactly(j))
		for _, one := range []struct {
			what string
			ids  []string
		}{{"no alert", j.Missed}, {"an alert too many", j.Raised}} {
			if len(one.ids) > 0 {
				line("", "%s: %s", one.what, strings.Join(once(one.ids), ", "))
			}
		}
	}
	judged("as a human reads them", s.Human)
	judged("as recorded", s.Detector)
	for _, reason := range s.Reasons {
		line("failed", "%s", reason)
	}
}

// once names each id once, in order, and says how often it was there.
func once(ids []string) []string {
	times := make(map[string]int)
	var named []string
	for _, id := range ids {
		if times[id]++; times[id] == 1 {
			named = append(named, id)
		}
	}
	for i, id := range named {
		if n := times[id]; n > 1 {
			named[i] = fmt.Sprintf("%s (%d times)", id, n)
		}
	}
	return named
}

func ifSome(n int, format string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(format, n)
}

func rate(n int, seconds float64) string {
	if seconds <= 0 {
		return ""
	}
	return fmt.Sprintf(" (%.1f a second)", float64(n)/seconds)
}

func exactly(j replay.Judgement) string {
	if j.Levels == 0 {
		return ""
	}
	return fmt.Sprintf("; the highest level is as expected in %d of %d", j.Exactly, j.Levels)
}

func milliseconds(s replay.Spread) string {
	if s.Count == 0 {
		return "–"
	}
	return fmt.Sprintf("p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms", s.P50, s.P95, s.P99, s.Max)
}

func levels(alerts map[string]int) string {
	var parts []string
	for _, level := range []string{"0", "1", "2", "3", "4", "5", "6", "none"} {
		if n := alerts[level]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", level, n))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, "  ")
}
