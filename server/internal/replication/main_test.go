package replication_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"vigil/server/internal/replication"
	"vigil/server/pgtest"
)

var (
	postgres15 = pgtest.Shared(pgtest.Options{Version: 15, Bare: true})
	postgres17 = pgtest.Shared(pgtest.Options{Version: 17, Bare: true})
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres17.Around(postgres15.Around(m))) }

// patience bounds every wait for an event: it only runs out when something is broken.
const patience = 60 * time.Second

// onBoth runs a test on each version that the project supports.
func onBoth(t *testing.T, run func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Parallel()
	for version, shared := range map[int]*pgtest.SharedCluster{15: postgres15, 17: postgres17} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			run(t, setup(t, shared.Cluster(t)))
		})
	}
}

// fixture is a database with a table, its publication, and a log in memory.
type fixture struct {
	*testing.T
	cluster *pgtest.Cluster
	db      *pgtest.Database
	sql     *pgxpool.Pool // as the owner
	log     *memoryLog
	config  replication.Config
}

const fixtureSQL = `
create table public.items (id bigint primary key, body text, note text);
create publication items_pub for table public.items (id, body, note);
grant select on public.items to public;`

func itemsPublication() replication.Publication {
	return replication.Publication{Name: "items_pub", Tables: []replication.Table{{Name: "items", Columns: []string{"id", "body", "note"}}}}
}

func setup(t *testing.T, cluster *pgtest.Cluster) *fixture {
	t.Helper()
	f := &fixture{T: t, cluster: cluster, db: cluster.Database(t), log: newLog()}
	f.sql = f.db.Pool(t, pgtest.RoleOwner)
	f.exec(fixtureSQL)
	f.config = replication.Config{
		URL: f.db.URL(pgtest.RoleReplicator), Slot: "s_" + f.db.Name[:strings.IndexByte(f.db.Name, '_')] + fmt.Sprint("_", cluster.Port()),
		Publications: []replication.Publication{itemsPublication()}, Last: f.log.Last, Append: f.log.Append,
		StatusInterval: 20 * time.Millisecond, MinBackoff: 10 * time.Millisecond, MaxBackoff: 200 * time.Millisecond, InspectInterval: -1,
	}
	return f
}

func (f *fixture) exec(sql string, args ...any) {
	f.Helper()
	if _, err := f.sql.Exec(context.WithoutCancel(f.Context()), sql, args...); err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
}

// ask gives one value as a string, asked as superuser.
func (f *fixture) ask(sql string, args ...any) string {
	f.Helper()
	pool := f.db.Pool(f.T, pgtest.RoleSuperuser)
	defer pool.Close()
	var s *string
	if err := pool.QueryRow(f.Context(), sql, args...).Scan(&s); err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
	if s == nil {
		return ""
	}
	return *s
}

// run is a Reader that runs until stop.
type run struct {
	*replication.Reader
	f      *fixture
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of Run, after done
	panic  any   // likewise
}

// start runs a Reader with the fixture's configuration and waits until it streams.
func (f *fixture) start(change ...func(*replication.Config)) *run {
	f.Helper()
	started := make(chan struct{})
	var once sync.Once
	r := f.begin(append(change, func(c *replication.Config) {
		next := c.Started
		c.Started = func(ctx context.Context, s replication.Start) error {
			once.Do(func() { close(started) })
			if next != nil {
				return next(ctx, s)
			}
			return nil
		}
	})...)
	select {
	case <-started:
	case <-r.done:
		f.Fatalf("the reader ended: %v %v", r.err, r.panic)
	case <-time.After(patience):
		f.Fatalf("the reader did not start: %v", r.State().LastError)
	}
	return r
}

// begin runs a Reader and does not wait.
func (f *fixture) begin(change ...func(*replication.Config)) *run {
	f.Helper()
	c := f.config
	for _, fn := range change {
		fn(&c)
	}
	reader, err := replication.New(c)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.Context()))
	r := &run{Reader: reader, f: f, cancel: cancel, done: make(chan struct{})}
	go func() { // end waits for it
		defer close(r.done)
		defer func() { r.panic = recover() }()
		r.err = reader.Run(ctx)
	}()
	f.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

// stop ends the reader cleanly.
func (r *run) stop() {
	r.f.Helper()
	r.cancel()
	if err := r.end(); err != nil {
		r.f.Errorf("after a clean stop Run returned %v", err)
	}
}

// end waits for Run to return by itself.
func (r *run) end() error {
	r.f.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.f.Fatalf("Run did not end: %+v", r.State())
	}
	return r.err
}

// until polls what has no event: the server's own state.
func (f *fixture) until(what string, ok func() bool) {
	f.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-ticker.C:
		case <-limit:
			f.Fatalf("waited in vain: %s", what)
		}
	}
}

// memoryLog keeps entries, as the bus does: in order, durable one after the other.
type memoryLog struct {
	mu      sync.Mutex
	entries [][]byte
	changed chan struct{} // closed and replaced at each append
	held    bool          // appends are taken and not stored
	waiting []*pending
	fail    error // of the next append
	broken  error // of every append after one that failed, until Last is called: none may become durable behind it
	most    int   // largest entry
	keep    bool
}

func newLog() *memoryLog { return &memoryLog{changed: make(chan struct{}), keep: true} }

type pending struct {
	done chan struct{}
	err  error
	data []byte
}

func (p *pending) Done() <-chan struct{} { return p.done }
func (p *pending) Err() error            { return p.err }

func (l *memoryLog) Last(context.Context) (uint64, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = nil
	if len(l.entries) == 0 {
		return 0, nil, nil
	}
	return uint64(len(l.entries)), l.entries[len(l.entries)-1], nil
}

func (l *memoryLog) Append(_ context.Context, data []byte) (replication.Stored, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return nil, l.broken
	}
	if err := l.fail; err != nil {
		l.fail, l.broken = nil, err
		return nil, err
	}
	p := &pending{done: make(chan struct{}), data: data}
	l.waiting = append(l.waiting, p)
	if !l.held {
		l.storeLocked()
	}
	l.tellLocked()
	return p, nil
}

func (l *memoryLog) storeLocked() {
	for _, p := range l.waiting {
		l.most = max(l.most, len(p.data))
		if l.keep {
			l.entries = append(l.entries, append([]byte(nil), p.data...))
		} else {
			l.entries = append(l.entries, nil)
		}
		close(p.done)
	}
	l.waiting = nil
}

func (l *memoryLog) tellLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *memoryLog) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// release stores what waits, or fails it.
func (l *memoryLog) release(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	if err != nil {
		l.broken = err
		for _, p := range l.waiting {
			p.err = err
			close(p.done)
		}
		l.waiting = nil
	}
	l.storeLocked()
	l.tellLocked()
}

func (l *memoryLog) failNext(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// batches decodes everything.
func (l *memoryLog) batches() ([]replication.Batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []replication.Batch
	for _, data := range l.entries {
		b, err := replication.Decode(data)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// chunks gives all chunks, after checking what holds for every log: commits rise, parts of a transaction stand together,
// ordinals rise.
func (f *fixture) chunks() []replication.Chunk {
	f.Helper()
	batches, err := f.log.batches()
	if err != nil {
		f.Fatal(err)
	}
	var all []replication.Chunk
	var last replication.Position
	ended := true
	for _, b := range batches {
		for _, c := range b {
			if same := c.Commit == last.Commit; same == ended || c.Commit < last.Commit {
				f.Fatalf("chunk of %s follows %v (ended: %v)", c.Commit, last, ended)
			}
			if c.Commit > last.Commit {
				last = replication.Position{Commit: c.Commit}
			}
			for _, ch := range c.Changes {
				if ch.Ordinal <= last.Ordinal {
					f.Fatalf("ordinal %d follows %v", ch.Ordinal, last)
				}
				last.Ordinal = ch.Ordinal
			}
			ended = c.Last
			all = append(all, c)
		}
	}
	return all
}

// changes gives every change as a line.
func (f *fixture) changes() []string {
	f.Helper()
	var all []string
	for _, c := range f.chunks() {
		for _, ch := range c.Changes {
			all = append(all, describe(ch))
		}
	}
	return all
}

func describe(c replication.Change) string {
	if c.Op == replication.Message {
		return fmt.Sprintf("message %s %q", c.Prefix, c.Content)
	}
	s := c.Op.String() + " " + c.Relation.Name
	for _, row := range []struct {
		name   string
		values []replication.Value
	}{{"", c.New}, {"old ", c.Old}} {
		if row.values == nil {
			continue
		}
		var parts []string
		for i, v := range row.values {
			switch v.Kind {
			case replication.Null:
				parts = append(parts, c.Relation.Columns[i].Name+"=null")
			case replication.Text:
				data := string(v.Data)
				if len(data) > 20 {
					data = fmt.Sprintf("%s…%d", data[:3], len(data))
				}
				parts = append(parts, c.Relation.Columns[i].Name+"="+data)
			}
		}
		s += " " + row.name + "(" + strings.Join(parts, " ") + ")"
	}
	return s
}

// await waits until the log's changes satisfy ok.
func (f *fixture) await(what string, ok func(changes []string) bool) []string {
	f.Helper()
	limit := time.After(patience)
	for {
		f.log.mu.Lock()
		changed := f.log.changed
		f.log.mu.Unlock()
		changes := f.changes()
		if ok(changes) {
			return changes
		}
		select {
		case <-changed:
		case <-limit:
			f.Fatalf("waited in vain: %s; the log holds %d changes, the last: %v", what, len(changes), changes[max(0, len(changes)-10):])
		}
	}
}

func (f *fixture) awaitCount(n int) []string {
	f.Helper()
	return f.await(fmt.Sprintf("%d changes", n), func(c []string) bool { return len(c) >= n })
}

// expect compares the log's changes with the lines given.
func (f *fixture) expect(want ...string) {
	f.Helper()
	got := f.awaitCount(len(want))
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		f.Errorf("the log holds\n  %s\nwanted\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

var errTest = errors.New("made to fail")
