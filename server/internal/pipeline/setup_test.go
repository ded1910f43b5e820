package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pglogrepl"
	"go.uber.org/goleak"

	"vigil/server/internal/assess"
	"vigil/server/internal/envelope"
	"vigil/server/internal/pipeline"
	"vigil/server/internal/replication"
	"vigil/server/internal/store"
	"vigil/server/internal/store/storetest"
	"vigil/server/internal/triage"
	"vigil/server/pgtest"
)

var postgres = pgtest.Shared(pgtest.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

// ringOpener is how app joins the key ring to the pipeline.
type ringOpener struct {
	ring  *envelope.Ring
	store *store.Store
}

func (o ringOpener) Forget(session uuid.UUID) { o.ring.Forget(session) }
func (o ringOpener) ForgetAll()               { o.ring.ForgetAll() }

func (o ringOpener) Open(ctx context.Context, m triage.Message) ([]byte, error) {
	epoch, err := o.ring.Epoch(ctx, m.SessionID, uint32(m.Epoch), func(ctx context.Context) (envelope.EpochRow, *envelope.ConsentRow, error) {
		e, c, err := o.store.Epoch(ctx, m.SessionID, m.Epoch)
		row := envelope.EpochRow{
			Session: e.SessionID, Epoch: uint32(e.Epoch), By: e.DeviceID, Roster: e.Roster, RosterHash: e.RosterHash, Commit: e.KeyCommit,
			Consent: e.ConsentID, Signature: e.Signature, Suite: e.Suite, Wraps: e.Wraps,
		}
		if c == nil {
			return row, nil, err
		}
		return row, &envelope.ConsentRow{
			ID: c.ID, Session: c.SessionID, Device: c.DeviceID, Scope: c.Scope, TextHash: c.TextHash, Signature: c.Signature,
			Withdrawn: c.Withdrawn, WithdrawalSignature: c.WithdrawalSignature,
		}, err
	})
	if err != nil {
		return nil, classify(err)
	}
	plaintext, err := epoch.Open(envelope.Message{
		ID: m.ID, Session: m.SessionID, Sender: m.SenderDeviceID, Epoch: uint32(m.Epoch), Seq: uint32(m.Seq), Body: m.Body,
	})
	return plaintext, classify(err)
}

func classify(err error) error {
	var f *envelope.Failure
	if errors.As(err, &f) && f.Permanent() {
		return triage.PermanentFor(triage.Reason(f.Reason()), err)
	}
	return err
}

// testLog is LOG: entries with a position that moves after the handler returned nil.
type testLog struct {
	mu      sync.Mutex
	entries []pipeline.Entry
	passed  int
	most    int
	more    chan struct{}
}

func newLog(most int) *testLog { return &testLog{most: most, more: make(chan struct{}, 1)} }

func (l *testLog) append(data ...[]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range data {
		l.entries = append(l.entries, pipeline.Entry{Seq: uint64(len(l.entries) + 1), Data: d, At: time.Now()})
	}
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *testLog) next() []pipeline.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[l.passed:min(len(l.entries), l.passed+l.most)]
}

func (l *testLog) pass(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed += n
}

func (l *testLog) Source(ctx context.Context, handle func(context.Context, []pipeline.Entry) error) error {
	for ctx.Err() == nil {
		batch := l.next()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
			case <-l.more:
			}
			continue
		}
		err := handle(ctx, batch)
		if ctx.Err() == nil && err != nil {
			return err
		}
		if ctx.Err() == nil {
			l.pass(len(batch))
		}
	}
	return nil
}

// bundle is a practice with a pipeline beside it.
type bundle struct {
	*storetest.Practice
	store  *store.Store
	log    *testLog
	lines  *safeBuffer
	commit pglogrepl.LSN
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func setup(t *testing.T) *bundle {
	t.Helper()
	p := storetest.New(t, postgres.Database(t))
	return &bundle{Practice: p, store: store.New(p.Vigil), log: newLog(8), lines: &safeBuffer{}, commit: 1 << 20}
}

// config is a pipeline as app builds it, with its own key ring, in a hurry.
func (b *bundle) config() pipeline.Config {
	return pipeline.Config{
		Source: b.log.Source, Opener: ringOpener{envelope.NewRing(envelope.RingConfig{}, b.Analysis), b.store}, Assessor: assess.New(),
		Recorder: b.store, Progress: b.store, Lookup: b.store,
		Log:               slog.New(slog.NewJSONHandler(b.lines, &slog.HandlerOptions{Level: slog.LevelDebug})),
		ReconcileInterval: 50 * time.Millisecond, ReconcileGrace: time.Nanosecond,
	}
}

// patient is config without a reconcile after the first, which finds nothing, for messages are younger than its grace.
func (b *bundle) patient() pipeline.Config {
	c := b.config()
	c.ReconcileInterval, c.ReconcileGrace = time.Hour, time.Hour
	return c
}

// run starts a pipeline; stop ends it and waits.
func run(t *testing.T, c pipeline.Config) (p *pipeline.Pipeline, stop func()) {
	t.Helper()
	p = pipeline.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }() // stop waits for it
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return p, stop
}

// await polls until done; it fails after a time that is long for a busy machine.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("did not happen in time: %s", what)
		case <-tick.C:
		}
	}
}

func (b *bundle) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	if err := b.Superuser.QueryRow(context.Background(), "select count(*) from "+query, args...).Scan(&n); err != nil {
		t.Fatalf("count %s: %v", query, err)
	}
	return n
}

const behind = `public.session_counters c join public.session_progress p using (session_id) where c.last_assisted_position > p.assessed_position`

// awaitAssessed waits until no session is behind.
func (b *bundle) awaitAssessed(t *testing.T) {
	t.Helper()
	await(t, "every session is assessed", func() bool { return b.count(t, behind) == 0 })
}

// awaitCounted waits until the pipeline itself knows that n messages are done: it hears so after the tables show it.
func awaitCounted(t *testing.T, p *pipeline.Pipeline, n uint64) {
	t.Helper()
	await(t, "every message is counted", func() bool { s := p.Stats(); return s.Assessed+s.NotAssessed >= n })
}

// demandExactlyOnce counts independently: each message has one assessment, at its own position, and nothing is doubled.
func (b *bundle) demandExactlyOnce(t *testing.T) {
	t.Helper()
	for name, query := range map[string]string{
		"messages without an assessment": `public.messages m where m.assisted and not exists (select from public.assessments a where a.message_id = m.id)`,
		"messages with several":          `(select message_id from public.assessments group by message_id having count(*) > 1) x`,
		"assessments at a wrong place":   `public.assessments a join public.messages m on m.id = a.message_id where a.position <> m.position or a.session_id <> m.session_id`,
		"messages with several alerts":   `(select message_id from public.alerts group by message_id having count(*) > 1) x`,
		"alerts that were not raised":    `public.alerts a where not exists (select from public.alert_events e where e.alert_id = a.id and e.kind = 'raised')`,
		"alerts that reach nobody":       `public.alerts a where not exists (select from public.alert_recipients r where r.alert_id = a.id)`,
		"assessments that lack an alert": `public.assessments a where a.alert and not exists (select from public.alerts x where x.assessment_id = a.id)`,
	} {
		if n := b.count(t, query); n != 0 {
			t.Errorf("%d %s", n, name)
		}
	}
}

func relation(name string, columns ...string) *replication.Relation {
	r := &replication.Relation{OID: uint32(len(name)), Schema: "public", Name: name}
	for _, c := range columns {
		r.Columns = append(r.Columns, replication.Column{Name: c, TypeOID: 25})
	}
	return r
}

func values(texts ...string) []replication.Value {
	row := make([]replication.Value, len(texts))
	for i, text := range texts {
		row[i] = replication.Value{Kind: replication.Text, Data: []byte(text)}
	}
	return row
}

// entry encodes changes as one transaction of the log.
func (b *bundle) entry(t *testing.T, xid uint32, changes ...replication.Change) []byte {
	t.Helper()
	b.commit += 0x100
	for i := range changes {
		changes[i].Ordinal = uint32(i + 1)
	}
	batch := replication.Batch{{Commit: b.commit, End: b.commit + 8, XID: xid, CommittedAt: time.Now(), Last: true, Changes: changes}}
	data, err := batch.AppendBinary(nil)
	if err != nil {
		t.Fatalf("encode an entry: %v", err)
	}
	return data
}

var messagesTable = relation("messages", "id", "session_id", "organization_id", "sender_id", "sender_device_id", "epoch", "seq", "position",
	"previous_assisted_position", "assisted", "body", "created_at")

func inserted(m triage.Message) replication.Change {
	return replication.Change{Op: replication.Insert, Relation: messagesTable, New: values(
		m.ID.String(), m.SessionID.String(), m.OrganizationID.String(), m.SenderID.String(), m.SenderDeviceID.String(),
		strconv.Itoa(int(m.Epoch)), strconv.FormatInt(m.Seq, 10), strconv.FormatInt(m.Position, 10),
		strconv.FormatInt(m.PreviousAssistedPosition, 10), "t", m.Body, m.CreatedAt.UTC().Format("2006-01-02 15:04:05.999999-07"),
	)}
}

// shown is the log's entry of one message.
func (b *bundle) shown(t *testing.T, messages ...triage.Message) [][]byte {
	t.Helper()
	entries := make([][]byte, len(messages))
	for i, m := range messages {
		entries[i] = b.entry(t, 100, inserted(m))
	}
	return entries
}

func silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
