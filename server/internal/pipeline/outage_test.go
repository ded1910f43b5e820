package pipeline_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/replication"
	"vigil/server/internal/store"
	"vigil/server/internal/store/storetest"
	"vigil/server/internal/triage"
	"vigil/server/pgtest"
)

// The log runs ahead of snapshots: a commit can be decoded before a new snapshot shows it. Here it is shown long before.
func TestLogAheadOfTheTablesIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Session(t)
	sealed := s.Seal(t, "I am going to kill myself tonight")
	ctx := context.Background()
	tx, err := b.Superuser.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx)
	claims := `{"sub":"` + s.Client.ID.String() + `","role":"authenticated","session_id":"` + s.Client.Login.String() + `","aal":"aal2"}`
	if _, err := tx.Exec(ctx, `select set_config('request.jwt.claims', $1, true)`, claims); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, `insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) values ($1, $2, $3, 1, $4, $5)`,
		sealed.ID, s.ID, sealed.Sender, int64(sealed.Seq), sealed.Body); err != nil {
		t.Fatal(err)
	}
	m := triage.Message{
		ID: sealed.ID, SessionID: s.ID, OrganizationID: b.Organization, SenderID: s.Client.ID, SenderDeviceID: sealed.Sender,
		Epoch: 1, Seq: int64(sealed.Seq), Position: 1, Body: sealed.Body, CreatedAt: time.Now(),
	}
	b.log.append(b.shown(t, m)...)
	p, stop := run(t, b.patient())
	await(t, "the session waits for the tables", func() bool { return p.Stats().Parked == 1 })
	if n := b.count(t, `public.assessments`); n != 0 {
		t.Errorf("%d assessments of a message that is not visible", n)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, "the message is assessed", func() bool { return b.count(t, `public.alerts`) == 1 })
	stop()
	b.demandExactlyOnce(t)
	if s := p.Stats(); s.NotAssessed != 0 {
		t.Errorf("stats %+v: what is not visible yet is held against no message", s)
	}
}

func TestNothingIsMissedThroughARestartOfTheDatabase(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{Fsync: true})
	p := storetest.New(t, cluster.Database(t))
	b := &bundle{Practice: p, store: store.New(p.Vigil), log: newLog(4), lines: &safeBuffer{}, commit: 1 << 20}
	sessions := []*storetest.Session{b.Session(t), b.Session(t), b.Session(t)}
	for i := range 60 {
		b.log.append(b.shown(t, sessions[i%3].Send(t, fmt.Sprintf("message %d", i)))...)
	}
	finished := func() bool { // the database may be away
		var n int
		err := b.Superuser.QueryRow(context.Background(), "select count(*) from "+behind).Scan(&n)
		return err == nil && n == 0
	}
	line, stop := run(t, b.config())
	for range 3 {
		before := line.Stats().Assessed
		await(t, "some are assessed", func() bool { return line.Stats().Assessed > before || finished() })
		if err := cluster.Kill(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Resume(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "every session is assessed", finished)
	stop()
	b.demandExactlyOnce(t)
	if n := b.count(t, `public.assessments where status = 'not_assessed'`); n != 0 {
		t.Errorf("%d not assessed: an outage is held against no message", n)
	}
}

// FuzzRowsOfTheLog: whatever stands in the rows of the log, the flow goes on, and the tables decide.
func FuzzRowsOfTheLog(f *testing.F) {
	f.Add("messages", byte(1), "not a uuid", "1", "-1", []byte("body"))
	f.Add("crisis_policies", byte(2), uuid.NewString(), "99999999999", "4", []byte(nil))
	f.Add("session_consents", byte(4), "", "", "", []byte(nil))
	f.Add("erasures", byte(1), "no id", "", "", []byte(nil))
	f.Add("sessions", byte(3), uuid.NewString(), "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, table string, op byte, id, number, position string, body []byte) {
		known := []string{"id", "session_id", "organization_id", "sender_id", "sender_device_id"}
		r := relation(table, append(known, "epoch", "seq", "position", "previous_assisted_position", "version", "page_at_level", "review_at_level", "body", "created_at")...)
		row := values(id, id, id, id, id, number, number, position, position, number, number, number, string(body), number)
		b := &bundle{commit: 1}
		change := replication.Change{Ordinal: 1, Op: replication.Op(op%4 + 1), Relation: r, New: row}
		if change.Op == replication.Delete {
			change.New, change.Old = nil, row
		}
		if change.Op == replication.Truncate {
			change.New = nil
		}
		batch := replication.Batch{{Commit: 1, End: 2, XID: 7, CommittedAt: time.Unix(1_800_000_000, 0), Last: true, Changes: []replication.Change{change}}}
		data, err := batch.AppendBinary(nil)
		if err != nil {
			t.Skip("no entry can hold it")
		}
		tables := newTables()
		log := newLog(8)
		log.append(data, b.entry(t, 1))
		config := tables.config()
		config.Source = log.Source
		p, stop := run(t, config)
		await(t, "both entries are handled", func() bool { return p.Stats().Entries == 2 })
		stop()
	})
}
