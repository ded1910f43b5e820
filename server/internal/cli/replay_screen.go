package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"vigil/server/internal/replay"
)

// plainInterval is how often a line is printed where there is no terminal.
const plainInterval = 5 * time.Second

// replayScreen shows how far a run is: a bar on a terminal, else a line now and then. Not for concurrent use.
type replayScreen struct {
	out   io.Writer
	tty   bool
	color bool
	bar   *progressbar.ProgressBar
	phase string
	last  time.Time
	now   func() time.Time
}

func newReplayScreen(p Process) *replayScreen {
	s := &replayScreen{out: p.Stderr, now: p.Now}
	if s.now == nil {
		s.now = time.Now
	}
	if f, ok := p.Stderr.(*os.File); ok {
		s.tty = term.IsTerminal(int(f.Fd())) && p.Getenv("TERM") != "dumb"
	}
	s.color = p.Getenv("NO_COLOR") == ""
	return s
}

// progress shows one state of the run.
func (s *replayScreen) progress(p replay.Progress) {
	arrived := p.Assessed + p.NotAssessed
	alerts := 0
	for _, n := range p.Alerts {
		alerts += n
	}
	if !s.tty {
		now := s.now()
		if p.Phase == s.phase && now.Sub(s.last) < plainInterval {
			return
		}
		s.phase, s.last = p.Phase, now
		say(s.out, "%s: %d of %d conversations, written %d of %d, assessed %d, relayed %d, missing %d, doubled %d, alerts %d\n",
			p.Phase, p.Conversations, p.Total, p.Written, p.Planned, arrived, p.Relayed, p.Missing, p.Doubled, alerts)
		return
	}
	if s.bar == nil {
		s.bar = progressbar.NewOptions(p.Planned,
			progressbar.OptionSetWriter(s.out), progressbar.OptionShowCount(), progressbar.OptionSetWidth(24),
			progressbar.OptionEnableColorCodes(s.color), progressbar.OptionSetTheme(s.theme()), progressbar.OptionClearOnFinish(),
			progressbar.OptionShowDescriptionAtLineEnd(), progressbar.OptionSetPredictTime(true), progressbar.OptionUseANSICodes(true))
	}
	s.bar.Describe(s.describe(p, alerts))
	if arrived < p.Planned {
		_ = s.bar.Set(arrived) // a terminal that is gone is nobody's error
	}
}

func (s *replayScreen) describe(p replay.Progress, alerts int) string {
	if p.Phase != replay.PhaseRunning {
		return p.Phase
	}
	text := fmt.Sprintf("missing %d  doubled %d  alerts %d", p.Missing, p.Doubled, alerts)
	if waiting := p.Written - p.Assessed - p.NotAssessed; waiting > 0 {
		text += fmt.Sprintf("  on its way %d", waiting)
	}
	if s.color && p.Missing+p.Doubled > 0 {
		text = "[red]" + text + "[reset]"
	}
	return text
}

func (s *replayScreen) theme() progressbar.Theme {
	theme := progressbar.ThemeASCII
	if s.color {
		theme.Saucer, theme.SaucerHead, theme.SaucerPadding = "[green]=[reset]", "[green]>[reset]", " "
	}
	return theme
}

// end clears the bar: the summary follows.
func (s *replayScreen) end() {
	if s.bar != nil {
		_ = s.bar.Clear() // as above
	}
}
