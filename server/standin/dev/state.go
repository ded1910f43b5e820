package main

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/replay"
)

// demoState is what the page shows.
type demoState struct {
	Sidecar    demoSidecar  `json:"sidecar"`
	ConsoleURL string       `json:"consoleUrl"`
	People     []demoLogin  `json:"people"`
	Replay     *demoReplay  `json:"replay"`
	Counters   demoCounters `json:"counters"`
	Latency    demoLatency  `json:"latency"`
}

type demoSidecar struct {
	State string    `json:"state"`
	Since time.Time `json:"since"`
	Kills int       `json:"kills"`
}

type demoLogin struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Name     string `json:"name"`
	Role     string `json:"role"`
}

// demoReplay counts messages.
type demoReplay struct {
	Running bool    `json:"running"`
	Total   int     `json:"total"`
	Sent    int     `json:"sent"`
	Error   *string `json:"error"`
}

// demoCounters are of the latest replay's sessions. Written, assessed and notAssessed are counted in SQL, as a superuser and
// apart from the sidecar; relayed is what the replay's listeners heard. Missing and doubled are the larger of the two counts.
type demoCounters struct {
	Written     int            `json:"written"`
	Assessed    int            `json:"assessed"`
	NotAssessed int            `json:"notAssessed"`
	Relayed     int            `json:"relayed"`
	Missing     int            `json:"missing"`
	Doubled     int            `json:"doubled"`
	Alerts      map[string]int `json:"alerts"`
	Suggestions int            `json:"suggestions"`
}

// demoLatency is from the attempt to store a message to its assessment at the clinician's socket.
type demoLatency struct {
	P50 float64 `json:"p50Ms"`
	P95 float64 `json:"p95Ms"`
	Max float64 `json:"maxMs"`
}

func (d *demo) state(ctx context.Context) demoState {
	s := demoState{ConsoleURL: d.console, People: make([]demoLogin, 0, len(d.people)), Counters: demoCounters{Alerts: map[string]int{}}}
	s.Sidecar.State, s.Sidecar.Since, s.Sidecar.Kills = d.sidecar.status()
	for _, p := range d.people {
		s.People = append(s.People, demoLogin{Email: p.Email, Password: demoPassword, Name: p.Name, Role: p.Role})
	}
	d.stage.mu.Lock()
	p := d.stage.performance
	var now replay.Progress
	if p != nil {
		now = p.progress
		s.Replay = &demoReplay{Running: p.running, Total: now.Planned, Sent: now.Written}
		if p.fault != "" {
			s.Replay.Error = &p.fault
		}
	}
	d.stage.mu.Unlock()
	if p == nil {
		return s
	}
	s.Latency = demoLatency{P50: now.Assessment.P50, P95: now.Assessment.P95, Max: now.Assessment.Max}
	if err := d.count(ctx, p.replay.Sessions(), &s.Counters); err != nil { // Postgres is away, and the stack will say so
		s.Counters.Written, s.Counters.Assessed, s.Counters.NotAssessed, s.Counters.Alerts = now.Written, now.Assessed, now.NotAssessed, now.Alerts
	}
	s.Counters.Relayed = now.Relayed
	s.Counters.Missing = max(s.Counters.Missing, now.Missing)
	s.Counters.Doubled = max(s.Counters.Doubled, now.Doubled)
	return s
}

// The sessions' messages and what was found in them. Missing is what the sidecar has passed over: a message before the
// position up to which the session is assessed, without an assessment.
const countSQL = `
with found as (
  select a.message_id, a.status from public.assessments a where a.session_id = any ($1) and a.superseded_at is null
)
select
  (select count(*) from public.messages m where m.session_id = any ($1)),
  (select count(distinct f.message_id) from found f where f.status = 'assessed'),
  (select count(distinct f.message_id) from found f where f.status = 'not_assessed'),
  (
    select count(*)
    from public.messages m
    join public.session_progress p on p.session_id = m.session_id
    where m.session_id = any ($1)
      and m.position <= p.assessed_position
      and not exists (select from found f where f.message_id = m.id)
  ),
  (select count(*) - count(distinct f.message_id) from found f),
  (select count(*) from public.suggestions s where s.session_id = any ($1) and s.status not in ('requested', 'not_made'))`

func (d *demo) count(ctx context.Context, sessions []uuid.UUID, c *demoCounters) error {
	err := d.counts.QueryRow(ctx, countSQL, sessions).Scan(&c.Written, &c.Assessed, &c.NotAssessed, &c.Missing, &c.Doubled, &c.Suggestions)
	if err != nil {
		return err
	}
	rows, err := d.counts.Query(ctx, "select level, count(*) from public.alerts where session_id = any ($1) group by level", sessions)
	if err != nil {
		return err
	}
	var level *int
	var n int
	_, err = pgx.ForEachRow(rows, []any{&level, &n}, func() error {
		name := "none"
		if level != nil {
			name = strconv.Itoa(*level)
		}
		c.Alerts[name] = n
		return nil
	})
	return err
}
