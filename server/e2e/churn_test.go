package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// What takes part: 8 sessions, each followed by its client and therapist on a few sockets and by supervisors, 208 sockets in all.
const (
	churnSessions    = 8
	churnOwnSockets  = 3 // of each client, and of each therapist
	churnSupervisors = 40
	churnSockets     = 4 // of each supervisor
	churnWritePause  = 200 * time.Millisecond
	churnInSuite     = 10 * time.Second
)

// churn is many sockets that come and go while the sidecar is killed, tokens are renewed, and supervisors lose their rights and get
// them back. The checker is apart from the sidecar: each client judges the order of what comes by (epoch, seq, prev); what must have
// come is what the tables have by position; and what must not, by when each person had the right.
type churn struct {
	s        *stack
	sessions []*therapy
	people   []*churner
	all      []*churnSocket

	kills, restarts, cuts, refreshes, revoked, comings atomic.Int64
}

// churner is a person, with the right to follow or without it.
type churner struct {
	s      *stack
	org    uuid.UUID
	loose  bool // may lose the right
	socket []*churnSocket

	mu      sync.Mutex
	person  *person
	expires time.Time
	life    func() time.Duration
	// revoked: the right has ended, by a transaction after which each session's last position was at least that of after: all that
	// is later was committed without it.
	revoked bool
	after   map[string]int64
	changed chan struct{} // closed and replaced when the right comes back
}

// churnSocket is one of a person's sockets. seen counts, by topic, how often each position came.
type churnSocket struct {
	*attendee
	owner  *churner
	topics []string
	seen   map[string][]uint8
}

// TestChurnLosesDoublesAndLeaksNothing is guarantees 3 and 4 over time: 10 s of it here, VIGIL_CHURN by `go tool task churn`.
func TestChurnLosesDoublesAndLeaksNothing(t *testing.T) {
	t.Parallel()
	lasts := churnInSuite
	if text := os.Getenv("VIGIL_CHURN"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("VIGIL_CHURN: %v", err)
		}
	}
	s := setup(t, options{})
	s.sidecar.env = append(s.sidecar.env, "VIGIL_LOG_LEVEL=info") // what it says is kept in memory
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	c := newChurn(t, s)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var sockets errgroup.Group
	for _, k := range c.all {
		sockets.Go(func() error { return k.stay(ctx, c) })
	}
	defer func() {
		cancel()
		_ = sockets.Wait() // stay returns nil
		for _, k := range c.all {
			k.leave()
		}
	}()
	c.awaitAll(t, func(*churnSocket, string) []int64 { return nil })
	c.run(t, lasts)
	c.verify(t)
}

func newChurn(t testing.TB, s *stack) *churn {
	t.Helper()
	c := &churn{s: s}
	org, _ := s.organization(t)
	long := func() time.Duration { return time.Hour }
	for range churnSessions {
		client, therapist := s.enrol(t, org, "client", "aal1"), s.enrol(t, org, "therapist", "aal1")
		s.addDevice(t, client)
		s.addDevice(t, therapist)
		y := s.therapyOf(t, org, client, therapist)
		c.sessions = append(c.sessions, y)
		session, care := "session:"+y.id.String(), "care:"+y.id.String()
		c.add(client, org, false, long, churnOwnSockets, func(int) []string { return []string{session} })
		c.add(therapist, org, false, long, churnOwnSockets, func(int) []string { return []string{session, care} })
	}
	short := func() time.Duration { return time.Duration(6+rand.IntN(20)) * time.Second } //nolint:gosec // no secret
	for i := range churnSupervisors {
		p := s.enrol(t, org, "supervisor", "aal1")
		c.add(p, org, true, short, churnSockets, func(n int) []string {
			y := c.sessions[(i+n)%len(c.sessions)]
			return []string{"session:" + y.id.String(), "care:" + y.id.String()}
		})
	}
	return c
}

func (c *churn) add(p *person, org uuid.UUID, loose bool, life func() time.Duration, sockets int, topics func(n int) []string) {
	own := *p // its token is renewed while the person writes
	who := &churner{s: c.s, org: org, person: &own, loose: loose, life: life, changed: make(chan struct{})}
	c.people = append(c.people, who)
	for n := range sockets {
		k := &churnSocket{owner: who, topics: topics(n), seen: map[string][]uint8{}}
		k.attendee = c.s.attend(fmt.Sprintf("socket %d of a %s", n, p.role), who.token, func() int { return 0 })
		k.keep = k.note
		who.socket = append(who.socket, k)
		c.all = append(c.all, k)
	}
}

// token gives one that is good for a while yet, as a client does that refreshes it.
func (p *churner) token() string {
	const margin = 2 * time.Second
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Until(p.expires) < margin {
		p.renew()
	}
	return p.person.token
}

// renew makes a new token of the login. The caller holds mu.
func (p *churner) renew() {
	life := p.life()
	if err := p.s.newToken(p.person, "aal1", life); err != nil {
		panic(err) // the key signs, or nothing here works
	}
	p.expires = time.Now().Add(life)
}

// note counts a position, and says so if it was committed when the person had lost the right to it.
func (k *churnSocket) note(topic string, r receipt) (fault string) {
	if r.event != "message" && r.event != "assessment" {
		return ""
	}
	var row struct {
		Position   int64      `json:"position"`
		Superseded *time.Time `json:"superseded_at"`
	}
	if err := json.Unmarshal(r.payload, &row); err != nil || row.Position < 1 {
		return fmt.Sprintf("seq %d has no position", r.meta.Seq)
	}
	if row.Superseded != nil {
		return ""
	}
	seen := k.seen[topic]
	for int64(len(seen)) <= row.Position {
		seen = append(seen, 0)
	}
	if seen[row.Position] < 2 {
		seen[row.Position]++
	}
	k.seen[topic] = seen
	_, session, _ := strings.Cut(topic, ":")
	k.owner.mu.Lock()
	defer k.owner.mu.Unlock()
	if k.owner.revoked && row.Position > k.owner.after[session] {
		return fmt.Sprintf("leaked: seq %d at position %d came, and the right ended before position %d", r.meta.Seq, row.Position, k.owner.after[session]+1)
	}
	return ""
}

// stay keeps the socket joined until ctx ends: it comes back when the socket or one of its channels ends, and when a right that a join
// was refused for is back.
func (k *churnSocket) stay(ctx context.Context, c *churn) error {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, patience)
		err := k.comeBack(attempt, k.topics)
		cancel()
		if err == nil {
			c.comings.Add(1)
			_ = k.await(ctx, func() bool { return !k.open || !k.attends() }) // else ctx has ended
		}
		k.pause(ctx)
	}
	return nil
}

// attends says whether every channel stands. The caller holds mu.
func (k *churnSocket) attends() bool {
	for _, topic := range k.topics {
		if s := k.attendee.topics[topic]; s == nil || s.state == joinRefused || s.state == joinEnded || s.state == joinLater {
			return false
		}
	}
	return true
}

// pause waits a little before the next attempt; while the right is gone, until it is back or half a second has passed.
func (k *churnSocket) pause(ctx context.Context) {
	k.owner.mu.Lock()
	wait, back := time.Duration(rand.IntN(100))*time.Millisecond, k.owner.changed //nolint:gosec // no secret
	if k.owner.revoked {
		wait += 500 * time.Millisecond
	}
	k.owner.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-back:
	case <-timer.C:
	}
}

// awaitAll waits until every topic of every socket is joined and lacks nothing.
func (c *churn) awaitAll(t testing.TB, lacks func(k *churnSocket, topic string) []int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	for _, k := range c.all {
		for _, topic := range k.topics {
			if err := k.await(ctx, func() bool {
				s := k.attendee.topics[topic]
				return s != nil && s.state == joinGranted && s.told && len(lacks(k, topic)) == 0
			}); err != nil {
				k.mu.Lock()
				defer k.mu.Unlock()
				t.Fatalf("%s on %s: positions %v did not come: %v\n%s", k.name, topic, lacks(k, topic), err, c.s.sidecar.out.tail())
			}
		}
	}
}

// lastPositions reads how far each session has come.
func lastPositions(ctx context.Context, pool *pgxpool.Pool) (map[string]int64, error) {
	rows, err := pool.Query(ctx, "select session_id::text, last_position from public.session_counters")
	if err != nil {
		return nil, err
	}
	last := map[string]int64{}
	for rows.Next() {
		var id string
		var position int64
		if err := rows.Scan(&id, &position); err != nil {
			return nil, err
		}
		last[id] = position
	}
	return last, rows.Err()
}

// verify counts what was lost, doubled or leaked.
func (c *churn) verify(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	c.s.settled(ctx, t)
	last, err := lastPositions(ctx, c.s.admin)
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, n := range last {
		total += n
	}
	c.verifyTables(ctx, t, total)
	c.awaitAll(t, func(k *churnSocket, topic string) []int64 {
		_, id, _ := strings.Cut(topic, ":")
		return missing(k.seen[topic], last[id])
	})
	lost, doubled, faults, frames := 0, 0, 0, 0
	for _, k := range c.all {
		k.mu.Lock()
		frames += k.frames
		for _, topic := range k.topics {
			s, seen := k.attendee.topics[topic], k.seen[topic]
			lost += s.lost
			for position, n := range seen {
				if n > 1 {
					doubled++
					t.Errorf("%s on %s: position %d came more than once", k.name, topic, position)
				}
			}
			for _, fault := range s.faults {
				faults++
				t.Errorf("%s on %s: %s", k.name, topic, fault)
			}
		}
		k.mu.Unlock()
	}
	if lost > 0 {
		t.Errorf("%d joins did not recover", lost)
	}
	for what, n := range map[string]int64{"kills": c.kills.Load(), "restarts": c.restarts.Load(), "cuts": c.cuts.Load(), "tokens": c.refreshes.Load(), "revocations": c.revoked.Load(), "messages": total} {
		if n == 0 {
			t.Errorf("there were no %s: the churn proves nothing", what)
		}
	}
	t.Logf("%d sockets, %d messages, %d frames; %d kills, %d restarts, %d sockets cut, %d tokens pushed, %d rights ended and given back, %d times somebody came back: 0 lost, %d doubled, %d other faults",
		len(c.all), total, frames, c.kills.Load(), c.restarts.Load(), c.cuts.Load(), c.refreshes.Load(), c.revoked.Load(), c.comings.Load(), doubled, faults)
}

// missing gives the positions up to last that did not come.
func missing(seen []uint8, last int64) (positions []int64) {
	for p := int64(1); p <= last; p++ {
		if p >= int64(len(seen)) || seen[p] == 0 {
			positions = append(positions, p)
		}
	}
	return positions
}

// verifyTables holds that the tables have every position once, assessed once.
func (c *churn) verifyTables(ctx context.Context, t testing.TB, total int64) {
	t.Helper()
	var messages, holes, assessed int64
	if err := c.s.admin.QueryRow(ctx, `
		select (select count(*) from public.messages),
		  (select count(*) from (select session_id from public.messages group by 1 having max(position) <> count(*)) s),
		  (select count(*) from public.assessments where superseded_at is null and status = 'assessed')`).Scan(&messages, &holes, &assessed); err != nil {
		t.Fatal(err)
	}
	if messages != total || holes > 0 || assessed != total {
		t.Errorf("%d positions were given, %d messages stored, %d assessed; %d sessions have holes", total, messages, assessed, holes)
	}
}
