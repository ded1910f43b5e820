package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"vigil/server/pgtest"
)

// world is two organisations whose people gain and lose rights at random while rows are written. Each has one session that keeps
// its people, where messages are sent and assessed in earnest; the other sessions' rows are copies of that one's.
type world struct {
	s      *stack
	random *rand.Rand
	super  *pgx.Conn
	doors  []door

	orgs                 []uuid.UUID
	steady               []*therapy
	loose                []uuid.UUID // sessions
	looseOrg             map[uuid.UUID]uuid.UUID
	members              []*member
	witness              *attendee // of the first steady session, whose rights never change
	topics               []string
	step                 atomic.Int64
	coming               errgroup.Group // those who come back meanwhile
	refused, done        int            // moves that the rules refused, and others
	states               []state        // after each step
	log                  map[string][]entry
	onlyThere            map[string][]string // rows by the one topic that they are on
	slot                 string
	mark                 int
	rightsLeft, rowsLeft []move
	movesByName          map[string]int
	relations            relations
	joinings             atomic.Int64
}

// member is somebody with an attendee.
type member struct {
	*person
	role, aal string
	org       uuid.UUID
	attendee  *attendee
	loose     bool // may gain and lose rights
	bare      bool // has no token

	mu sync.Mutex // guards person's token and claims
}

func (m *member) currentToken() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bare {
		return ""
	}
	return m.token
}

const looseSessions = 2 // in each organisation

func newWorld(t testing.TB, s *stack, seed uint64) *world {
	t.Helper()
	w := &world{s: s, random: rand.New(rand.NewPCG(seed, seed)), looseOrg: map[uuid.UUID]uuid.UUID{}, log: map[string][]entry{}, //nolint:gosec // the same world each time
		movesByName: map[string]int{}, doors: readDoors(t), slot: "vigil_doors", relations: relations{}}
	conn, err := pgx.Connect(t.Context(), s.cluster.URL(pgtest.RoleSuperuser, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	w.super = conn
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	w.exec(t, "select pg_create_logical_replication_slot($1, 'pgoutput')", w.slot)
	for range 2 {
		w.found(t)
	}
	w.add(t, "stranger", "", uuid.Nil, "aal2", false)
	two := w.add(t, "supervisor here and client there", "supervisor", w.orgs[0], "aal2", true)
	s.sql(t, "insert into public.memberships (organization_id, user_id, role) values ($1, $2, 'client')", w.orgs[1], two.id)
	w.add(t, "nobody", "", uuid.Nil, "aal1", false).bare = true
	w.nameTopics()
	w.endStep(t)
	return w
}

// found makes an organisation with its people and sessions.
func (w *world) found(t testing.TB) {
	t.Helper()
	s := w.s
	org, _ := s.organization(t)
	n := len(w.orgs)
	w.orgs = append(w.orgs, org)
	add := func(what, role, aal string, loose bool) *member {
		return w.add(t, fmt.Sprintf("%s of organisation %d", what, n), role, org, aal, loose)
	}
	client, therapist := add("client", "client", "aal1", false), add("therapist", "therapist", "aal2", false)
	supervisor := add("supervisor", "supervisor", "aal2", false)
	s.addDevice(t, client.person)
	s.addDevice(t, therapist.person)
	y := s.therapyOf(t, org, client.person, therapist.person)
	w.steady = append(w.steady, y)
	if n == 0 {
		w.witness = supervisor.attendee
	}
	clients := []*member{add("second client", "client", "aal2", true), add("third client", "client", "aal1", true)}
	therapists := []*member{add("second therapist", "therapist", "aal2", true), add("third therapist", "therapist", "aal1", true)}
	add("second supervisor", "supervisor", "aal1", true)
	add("admin", "admin", "aal2", true)
	s.suggesting(t, org, "on_demand")
	crisis := y.send(t, crisisText)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.settled(ctx, t)
	y.mustRequest(t)
	s.suggested(t, crisis, "offered")
	w.exec(t, "insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at) values ($1, $2, '2020-01-01', '2020-01-02')", org, therapist.id)
	for i := range looseSessions {
		var id uuid.UUID
		if err := s.asPerson(t.Context(), therapists[i].person, func(tx pgx.Tx) error {
			return tx.QueryRow(t.Context(), "select id from public.create_session($1, $2, 'assisted')", org, clients[i].id).Scan(&id)
		}); err != nil {
			t.Fatalf("create session: %v", err)
		}
		w.loose, w.looseOrg[id] = append(w.loose, id), org
		for _, c := range copied { // so that whoever may read a table's rows has one to read
			w.copyRow(t, c, y.id, id)
		}
	}
}

func (w *world) add(t testing.TB, name, role string, org uuid.UUID, aal string, loose bool) *member {
	t.Helper()
	m := &member{person: w.s.enrol(t, org, role, aal), role: role, aal: aal, org: org, loose: loose}
	m.attendee = w.s.attend(name, m.currentToken, func() int { return int(w.step.Load()) })
	m.attendee.dismiss(t)
	w.members = append(w.members, m)
	return m
}

// nameTopics lists every topic there is: everyone asks for each.
func (w *world) nameTopics() {
	for _, y := range w.steady {
		w.topics = append(w.topics, "session:"+y.id.String(), "care:"+y.id.String())
	}
	for _, id := range w.loose {
		w.topics = append(w.topics, "session:"+id.String(), "care:"+id.String())
	}
	for _, id := range w.orgs {
		w.topics = append(w.topics, "org:"+id.String())
	}
	for _, m := range w.members {
		w.topics = append(w.topics, "inbox:"+m.id.String())
	}
}

// exec runs one statement as the superuser, past triggers and foreign keys if it is of rows only.
func (w *world) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := w.super.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("as superuser: %v", err)
	}
}

// play makes one step: rights change in one transaction, or not, and rows follow it. Somebody comes back meanwhile.
func (w *world) play(t testing.TB) {
	t.Helper()
	w.step.Add(1)
	who := w.members[w.random.IntN(len(w.members))]
	w.coming.Go(func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		w.joinings.Add(1)
		return who.attendee.comeBack(ctx, w.topics)
	})
	const rows = 3
	w.tryMove(t, w.next(&w.rightsLeft, w.rights))
	for range rows {
		w.tryMove(t, w.next(&w.rowsLeft, w.rows))
	}
	w.endStep(t)
}

// next deals a move: each kind comes once before one comes again.
func (w *world) next(left *[]move, all func() []move) move {
	if len(*left) == 0 {
		*left = all()
		w.random.Shuffle(len(*left), func(i, j int) { (*left)[i], (*left)[j] = (*left)[j], (*left)[i] })
	}
	m := (*left)[0]
	*left = (*left)[1:]
	return m
}

// checkpoint has everyone come back when nothing changes any more.
func (w *world) checkpoint(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if err := w.coming.Wait(); err != nil {
		t.Fatalf("come back: %v", err)
	}
	w.step.Add(1)
	w.mark++
	when := time.Date(2032, 1, 1, 0, 0, w.mark, 0, time.UTC)
	topic := "session:" + w.steady[0].id.String()
	w.s.sql(t, "update public.sessions set scheduled_for = $2 where id = $1", w.steady[0].id, when)
	w.endStep(t)
	if err := w.witness.await(ctx, func() bool { return w.witness.topics[topic].sees("session", when.Format("2006-01-02T15:04:05")) }); err != nil {
		t.Fatalf("the mark did not come: %v\n%s", err, w.s.sidecar.out.tail())
	}
	w.everyone(ctx, t)
}

// everyone comes back at once.
func (w *world) everyone(ctx context.Context, t testing.TB) {
	t.Helper()
	var g errgroup.Group
	for _, m := range w.members {
		g.Go(func() error { return m.attendee.comeBack(ctx, w.topics) })
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("come back: %v\n%s", err, w.s.sidecar.out.tail())
	}
}
