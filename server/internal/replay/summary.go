package replay

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"
)

// What a run is at.
const (
	PhasePreparing = "preparing"
	PhaseRunning   = "running"
	PhaseClosing   = "closing"
	PhaseDone      = "done"
)

// Counts is what became of the messages, by what PostgREST said and the listeners heard.
type Counts struct {
	Planned     int `json:"planned"`      // turns of all conversations
	Written     int `json:"written"`      // PostgREST has said so
	Assessed    int `json:"assessed"`     // the clinician heard of it, with status assessed
	NotAssessed int `json:"not_assessed"` // the clinician heard that nobody could
	Relayed     int `json:"relayed"`      // every listener had its frame
	// Missing are written messages that lack a frame, an assessment, an alert that their assessment speaks of, or their row.
	// While a run goes on, only those are counted that something later in the same session has passed.
	Missing int `json:"missing"`
	// Doubled are messages of which there are two entries, assessments or alerts, and frames that came twice.
	Doubled int `json:"doubled"`
	Holes   int `json:"holes"`   // frames before which the topic's order has a hole
	Altered int `json:"altered"` // relayed with another body than was sent
	Unknown int `json:"unknown"` // frames of messages that nobody sent
}

// Sound says whether nothing is missing, doubled, altered or made up.
func (c Counts) Sound() bool { return c.Missing+c.Doubled+c.Holes+c.Altered+c.Unknown == 0 }

// Spread is a distribution in milliseconds.
type Spread struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func spread(all []time.Duration) Spread {
	if len(all) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(all))
	at := func(quantile float64) float64 {
		i := int(math.Ceil(quantile*float64(len(sorted)))) - 1
		return float64(sorted[max(i, 0)].Microseconds()) / 1000
	}
	return Spread{Count: len(sorted), P50: at(0.50), P95: at(0.95), P99: at(0.99), Max: at(1)}
}

// Progress is how far a run is. Its maps are the caller's.
type Progress struct {
	Phase         string
	Conversations int // ended
	Total         int
	Counts
	Alerts      map[string]int // by level; "none" for those of messages that could not be assessed
	Suggestions int
	Reconnects  int
	Assessment  Spread // from the attempt to store a message to the frame of its assessment
	Alert       Spread // likewise to the frame of its alert
	Elapsed     time.Duration
}

// Judgement compares what was found with what was expected.
type Judgement struct {
	Known   int      `json:"known"`   // conversations of which it is known
	Agreed  int      `json:"agreed"`  // alerted, or not, as expected
	Missed  []string `json:"missed"`  // ids: an alert was expected and there was none
	Raised  []string `json:"raised"`  // ids: there was an alert that was not expected
	Levels  int      `json:"levels"`  // of those of which a level is known …
	Exactly int      `json:"exactly"` // … so many whose highest level is that one
}

// Summary is what a run has shown.
type Summary struct {
	Conversations int            `json:"conversations"`
	Ended         int            `json:"ended"`
	Failed        int            `json:"failed"`
	Reasons       []string       `json:"reasons,omitempty"` // of the first that failed
	Interrupted   bool           `json:"interrupted"`
	Messages      Counts         `json:"messages"`
	Alerts        map[string]int `json:"alerts"`
	Suggestions   int            `json:"suggestions"`
	Assessment    Spread         `json:"insert_to_assessment"`
	Alert         Spread         `json:"insert_to_alert"`
	Human         Judgement      `json:"human"`    // against what a human reader expects
	Detector      Judgement      `json:"detector"` // against what this detector did when it was recorded
	Reconnects    int            `json:"reconnects"`
	Recovered     int            `json:"recovered"`     // rejoins that were sent all they had missed
	NotRecovered  int            `json:"not_recovered"` // rejoins that read the tables instead
	Seconds       float64        `json:"seconds"`
}

// OK says whether everything that was asked for was done, and is accounted for.
func (s Summary) OK() bool {
	return !s.Interrupted && s.Failed == 0 && s.Ended == s.Conversations && s.Messages.Sound() && s.Messages.Written == s.Messages.Planned
}

// report calls progress until ctx ends.
func (r *Replay) report(ctx context.Context, progress func(Progress)) {
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		progress(r.progress())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *Replay) progress() Progress {
	r.mu.Lock()
	phase := r.phase
	r.mu.Unlock()
	l := r.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	p := Progress{
		Phase: phase, Conversations: l.ended, Total: r.total, Counts: l.counts(false), Alerts: make(map[string]int),
		Reconnects: l.reconnects, Assessment: spread(l.assessment), Alert: spread(l.alert), Elapsed: time.Since(r.started),
	}
	for _, k := range l.books {
		k.addAlerts(p.Alerts)
		p.Suggestions += len(k.suggestions)
	}
	return p
}

func (r *Replay) summary() Summary {
	r.mu.Lock()
	reasons := r.reasons
	r.mu.Unlock()
	l := r.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Summary{
		Conversations: r.total, Ended: l.ended, Failed: l.failed, Reasons: reasons, Interrupted: r.interrupted.Load(), Messages: l.counts(true),
		Alerts: make(map[string]int), Assessment: spread(l.assessment), Alert: spread(l.alert),
		Reconnects: l.reconnects, Recovered: l.recovered, NotRecovered: l.lost, Seconds: time.Since(r.started).Seconds(),
	}
	for _, id := range l.made {
		k := l.books[id]
		k.addAlerts(s.Alerts)
		s.Suggestions += len(k.suggestions)
		if k.finished && k.written() == len(k.conversation.Turns) {
			s.Human.add(k, k.conversation.Expect)
			s.Detector.add(k, k.conversation.Detector)
		}
	}
	return s
}

// counts counts. The caller holds mu. While a run goes on, what may still be on its way is not missing.
func (l *ledger) counts(over bool) Counts {
	c := Counts{Planned: l.planned, Doubled: l.twice, Holes: l.holes, Unknown: l.unknown}
	for _, k := range l.books {
		c.Missing += k.unstored
		passed := over || k.finished
		for _, id := range slices.Backward(k.order) { // the newest first: what it has passed, was left out
			e := k.messages[id]
			if !e.stored {
				continue
			}
			c.Written++
			arrived := e.arrived()
			c.add(e, arrived)
			if passed && !arrived {
				c.Missing++
			}
			passed = passed || arrived
		}
	}
	return c
}

func (c *Counts) add(e *entry, arrived bool) {
	relayed := e.heardByAll()
	doubled := len(e.judged) > 1 || len(e.alerts) > 1
	for a := range e.heard {
		doubled = doubled || len(e.heard[a]) > 1
	}
	for _, one := range []struct {
		yes bool
		to  *int
	}{
		{relayed, &c.Relayed}, {e.altered, &c.Altered}, {doubled, &c.Doubled},
		{len(e.judged) > 0 && e.assessed, &c.Assessed}, {len(e.judged) > 0 && !e.assessed, &c.NotAssessed},
	} {
		if one.yes {
			*one.to++
		}
	}
}

// written is how many of its messages are known to be stored.
func (k *book) written() (n int) {
	for _, e := range k.messages {
		if e.stored {
			n++
		}
	}
	return n
}

func (k *book) addAlerts(to map[string]int) {
	for _, level := range k.alerts {
		name := "none"
		if level >= 0 {
			name = strconv.Itoa(level)
		}
		to[name]++
	}
}

func (j *Judgement) add(k *book, expected Outcome) {
	if expected.Level != nil {
		j.Levels++
		if *expected.Level == k.level {
			j.Exactly++
		}
	}
	if expected.Alert == nil {
		return
	}
	j.Known++
	switch raised := len(k.alerts) > 0; {
	case raised == *expected.Alert:
		j.Agreed++
	case raised:
		j.Raised = append(j.Raised, k.conversation.ID)
	default:
		j.Missed = append(j.Missed, k.conversation.ID)
	}
}
