package suggest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pglogrepl"
	"go.uber.org/goleak"

	"vigil/server/internal/envelope"
	"vigil/server/internal/replication"
	"vigil/server/internal/store"
	"vigil/server/internal/store/storetest"
	"vigil/server/internal/suggest"
	"vigil/server/internal/triage"
	"vigil/server/pgtest"
)

var postgres = pgtest.Shared(pgtest.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

// ringEnvelope is how app joins the key ring to suggestions; app's own test holds its rules on consent.
type ringEnvelope struct {
	ring  *envelope.Ring
	store *store.Store
	mu    sync.Mutex
	leave []bool // what MayLeave says, one after the other; the last stays
	opens int
}

func (o *ringEnvelope) epoch(ctx context.Context, m triage.Message) (*envelope.Epoch, error) {
	return o.ring.Epoch(ctx, m.SessionID, uint32(m.Epoch), func(ctx context.Context) (envelope.EpochRow, *envelope.ConsentRow, error) {
		e, c, err := o.store.Epoch(ctx, m.SessionID, m.Epoch)
		if err != nil || c == nil {
			return envelope.EpochRow{}, nil, errors.Join(err, errors.New("no consent"))
		}
		return envelope.EpochRow{
				Session: e.SessionID, Epoch: uint32(e.Epoch), By: e.DeviceID, Roster: e.Roster, RosterHash: e.RosterHash, Commit: e.KeyCommit,
				Consent: e.ConsentID, Signature: e.Signature, Suite: e.Suite, Wraps: e.Wraps,
			}, &envelope.ConsentRow{
				ID: c.ID, Session: c.SessionID, Device: c.DeviceID, Scope: c.Scope, TextHash: c.TextHash, Signature: c.Signature, Withdrawn: c.Withdrawn,
			}, nil
	})
}

func (o *ringEnvelope) Open(ctx context.Context, m triage.Message) ([]byte, error) {
	o.mu.Lock()
	o.opens++
	o.mu.Unlock()
	e, err := o.epoch(ctx, m)
	if err != nil {
		return nil, err
	}
	return e.Open(envelope.Message{ID: m.ID, Session: m.SessionID, Sender: m.SenderDeviceID, Epoch: uint32(m.Epoch), Seq: uint32(m.Seq), Body: m.Body})
}

func (o *ringEnvelope) opened() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.opens
}

func (o *ringEnvelope) Seal(ctx context.Context, m triage.Message, id uuid.UUID, to []uuid.UUID, text string) (seals []triage.Seal, err error) {
	e, err := o.epoch(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, d := range to {
		member, _ := e.Roster.Member(d)
		s, err := o.ring.SealSuggestion(e, member, envelope.Suggestion{ID: id, Session: m.SessionID, Message: m.ID}, []byte(text))
		if err != nil {
			return nil, err
		}
		seals = append(seals, triage.Seal{DeviceID: d, Sealed: s.Sealed, Signature: s.Signature})
	}
	return seals, nil
}

func (o *ringEnvelope) MayLeave(context.Context, triage.Message, string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.leave) == 0 {
		return false, nil
	}
	may := o.leave[0]
	if len(o.leave) > 1 {
		o.leave = o.leave[1:]
	}
	return may, nil
}

// testLog is LOG: entries that are handed on one by one.
type testLog struct {
	entries chan suggest.Entry
	handled chan uint64 // of each entry once it was handled
}

func (l *testLog) Source(ctx context.Context, handle func(context.Context, []suggest.Entry) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-l.entries:
			if err := handle(ctx, []suggest.Entry{e}); err != nil {
				return err
			}
			select {
			case l.handled <- e.Seq:
			default:
			}
		}
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// outcome is what Config.Counted heard.
type outcome struct{ outcome, source string }

// bundle is a practice with a drafter beside it.
type bundle struct {
	*storetest.Practice
	store    *store.Store
	envelope *ringEnvelope
	log      *testLog
	lines    *lines
	counted  chan outcome
	calls    chan string
	commit   pglogrepl.LSN
}

func setup(t *testing.T, setting triage.Suggesting) *bundle {
	t.Helper()
	p := storetest.New(t, postgres.Database(t))
	s := store.New(p.Vigil)
	b := &bundle{
		Practice: p, store: s, envelope: &ringEnvelope{ring: envelope.NewRing(envelope.RingConfig{}, p.Analysis), store: s},
		log:   &testLog{entries: make(chan suggest.Entry, 1000), handled: make(chan uint64, 1000)},
		lines: new(lines), counted: make(chan outcome, 1000), calls: make(chan string, 100),
	}
	b.set(t, setting)
	return b
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := b.Superuser.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bundle) set(t *testing.T, setting triage.Suggesting) {
	t.Helper()
	b.exec(t, `update public.organizations set suggestions = $2 where id = $1`, b.Organization, string(setting))
}

func (b *bundle) config() suggest.Config {
	return suggest.Config{
		Source: b.log.Source, Envelope: b.envelope, Book: b.store, Backlog: b.store, Sweep: time.Hour,
		Log:     slog.New(slog.NewJSONHandler(io.Writer(b.lines), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Counted: func(o, source string) { b.counted <- outcome{o, source} },
		Called:  func(o string) { b.calls <- o },
	}
}

// tables is what a sweep asks.
type tables interface {
	SuggestionRequests(ctx context.Context, limit int) ([]triage.SuggestionTask, error)
	UnsuggestedMessages(ctx context.Context, fresh time.Duration, limit int) ([]triage.SuggestionTask, error)
}

// firstLook tells when the first sweep has read the tables: what a test writes after that reaches the drafter once.
type firstLook struct {
	tables
	once sync.Once
	over chan struct{}
}

func (f *firstLook) SuggestionRequests(ctx context.Context, limit int) ([]triage.SuggestionTask, error) {
	tasks, err := f.tables.SuggestionRequests(ctx, limit)
	if err != nil {
		f.once.Do(func() { close(f.over) })
	}
	return tasks, err
}

func (f *firstLook) UnsuggestedMessages(ctx context.Context, fresh time.Duration, limit int) ([]triage.SuggestionTask, error) {
	defer f.once.Do(func() { close(f.over) })
	return f.tables.UnsuggestedMessages(ctx, fresh, limit)
}

// run runs a drafter until the test ends, or the function returned is called. It returns after the first sweep's look.
func (b *bundle) run(t *testing.T, c suggest.Config) (stop func()) {
	t.Helper()
	look := &firstLook{tables: c.Backlog, over: make(chan struct{})}
	c.Backlog = look
	d, err := suggest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }() // waited for by stop
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
	select {
	case <-look.over:
	case err := <-ended:
		t.Fatalf("run: %v", err)
	}
	return stop
}

func (b *bundle) next(t *testing.T) outcome {
	t.Helper()
	select {
	case o := <-b.counted:
		return o
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing came of it\n%s", b.lines)
		return outcome{}
	}
}

// assessed records an assessment of the message, and returns it as LOG has it.
func (b *bundle) assessed(t *testing.T, m triage.Message, a triage.Assessment) suggest.Entry {
	t.Helper()
	policy := triage.DefaultCrisisPolicy(m.OrganizationID)
	a = policy.Decide(a)
	a.ModelVersion, a.RulesetVersion = "none", "test"
	advance := triage.Advance{SessionID: m.SessionID, From: m.PreviousAssistedPosition, To: m.Position, Outcomes: []triage.Outcome{{Message: m, Assessment: a, Policy: policy}}}
	recorded, err := b.store.Record(t.Context(), []triage.Advance{advance})
	if err != nil || !recorded[0].Moved {
		t.Fatalf("record: %+v %v", recorded, err)
	}
	return b.row(t, "assessments", map[string]string{"message_id": m.ID.String(), "status": "assessed", "escalate": map[bool]string{true: "t", false: "f"}[a.Escalate]})
}

// ask asks as the therapist, and returns the request's id and what LOG has of it.
func (b *bundle) ask(t *testing.T, s *storetest.Session) (uuid.UUID, suggest.Entry) {
	t.Helper()
	var id, message uuid.UUID
	if err := b.As(t.Context(), b.Therapist, []any{&id, &message}, `select id, message_id from public.request_suggestion($1)`, s.ID); err != nil {
		t.Fatal(err)
	}
	return id, b.row(t, "suggestions", map[string]string{"id": id.String(), "message_id": message.String(), "status": "requested"})
}

// row is an entry of LOG with one inserted row.
func (b *bundle) row(t *testing.T, table string, values map[string]string) suggest.Entry {
	t.Helper()
	r := &replication.Relation{OID: 7, Schema: "public", Name: table}
	var row []replication.Value
	for name, value := range values {
		r.Columns = append(r.Columns, replication.Column{Name: name, TypeOID: 25})
		row = append(row, replication.Value{Kind: replication.Text, Data: []byte(value)})
	}
	b.commit += 100
	data, err := replication.Batch{{
		Commit: b.commit, End: b.commit + 50, XID: 7, CommittedAt: time.Now(), Last: true,
		Changes: []replication.Change{{Ordinal: 1, Op: replication.Insert, Relation: r, New: row}},
	}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return suggest.Entry{Seq: uint64(b.commit), Data: data}
}

// stored is a row of suggestions with the therapist's text, opened.
type stored struct {
	id                     uuid.UUID
	status, reason, source string
	move, model, text      string
	asked                  bool
	seals                  int
}

func (b *bundle) stored(t *testing.T, message uuid.UUID) (found []stored) {
	t.Helper()
	rows, err := b.Superuser.Query(t.Context(), `
		select s.id, s.session_id, s.status, coalesce(s.reason, ''), coalesce(s.source, ''), coalesce(s.move, ''), coalesce(s.model, ''), s.requested_by is not null,
		  (select count(*) from public.suggestion_seals k where k.suggestion_id = s.id), coalesce(k.sealed, ''), coalesce(k.signature, '')
		from public.suggestions s
		left join public.suggestion_seals k on k.suggestion_id = s.id and k.device_id = $2
		where s.message_id = $1 order by s.created_at`, message, b.Therapist.Device.KID())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s stored
		place := envelope.Suggestion{Message: message, Device: b.Therapist.Device.KID()}
		if err := rows.Scan(&s.id, &place.Session, &s.status, &s.reason, &s.source, &s.move, &s.model, &s.asked, &s.seals, &place.Sealed, &place.Signature); err != nil {
			t.Fatal(err)
		}
		if place.Sealed != "" {
			place.ID = s.id
			text, err := envelope.OpenSuggestion(b.Therapist.Device, b.Analysis.SigPub(), place)
			if err != nil {
				t.Fatal(err)
			}
			s.text = string(text)
		}
		found = append(found, s)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return found
}

func (b *bundle) one(t *testing.T, message uuid.UUID) stored {
	t.Helper()
	found := b.stored(t, message)
	if len(found) != 1 {
		t.Fatalf("%d suggestions: %+v", len(found), found)
	}
	return found[0]
}
