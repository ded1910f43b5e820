package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/store/storetest"
	"vigil/server/internal/triage"
)

// page records that m pages somebody, as the pipeline would, and returns the alert.
func page(t *testing.T, p *storetest.Practice, f *flow, m triage.Message) (alert uuid.UUID) {
	t.Helper()
	policy := triage.DefaultCrisisPolicy(m.OrganizationID)
	o := triage.Outcome{Message: m, Policy: policy, Assessment: policy.Decide(triage.Assessment{Level: 5, ModelVersion: "test", RulesetVersion: "test"})}
	r, err := f.store.Record(t.Context(), []triage.Advance{{SessionID: m.SessionID, From: 0, To: m.Position, Outcomes: []triage.Outcome{o}}})
	if err != nil || !r[0].Moved || r[0].Alerts != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	if err := p.Superuser.QueryRow(t.Context(), `select id from public.alerts where message_id = $1`, m.ID).Scan(&alert); err != nil {
		t.Fatal(err)
	}
	return alert
}

// readAs opens a message as a device beside the roster would: with the wrap that it may read, if there is one.
func readAs(t *testing.T, p *storetest.Practice, s *storetest.Session, who storetest.Person, d *envelope.Device, m envelope.Message) (string, bool) {
	t.Helper()
	var wrap *string
	if err := p.As(t.Context(), who, []any{&wrap}, `select (select wrap from public.epoch_wraps where session_id = $1 and epoch = $2 and device_id = $3)`,
		s.ID, int32(m.Epoch), d.KID()); err != nil {
		t.Fatal(err)
	}
	if wrap == nil {
		return "", false
	}
	row := s.Row
	row.Wraps = map[uuid.UUID]string{d.KID(): *wrap}
	e, err := envelope.OpenEpoch(row, &s.Consent, d)
	if err != nil {
		t.Fatalf("open the epoch with the wrap that was given: %v", err)
	}
	plain, err := e.Open(m)
	if err != nil {
		t.Fatalf("open the message: %v", err)
	}
	return string(plain), true
}

func look(t *testing.T, e *errand) {
	t.Helper()
	if err := e.look(t.Context()); err != nil {
		t.Fatalf("look: %v", err)
	}
}

// TestThePagedReadWhatPagedThemOnEachDevice: also on one that is admitted later, and each epoch from that message on; whoever was
// not paged reads nothing, nor does anybody anything from before it.
func TestThePagedReadWhatPagedThemOnEachDevice(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f := flowOf(p)
	sharer := f.newSharer()
	s := p.Session(t, envelope.ScopeCrisisAccess)
	s.Send(t, "from before")
	first := s.Row
	s.NextEpoch(t)
	sealed := s.Seal(t, "what paged them")
	m := s.Insert(t, sealed)
	stranger := p.Join(t, "therapist")
	alert := page(t, p, f, m)
	look(t, sharer)
	if text, ok := readAs(t, p, s, p.Supervisor, p.Supervisor.Device, sealed); !ok || !strings.Contains(text, "what paged them") {
		t.Errorf("the paged supervisor reads %q", text)
	}
	second := p.AddDevice(t, p.Supervisor)
	look(t, sharer)
	if text, ok := readAs(t, p, s, p.Supervisor, second, sealed); !ok || !strings.Contains(text, "what paged them") {
		t.Errorf("the paged supervisor's second device reads %q", text)
	}
	if _, ok := readAs(t, p, s, stranger, stranger.Device, sealed); ok {
		t.Error("a colleague who was not paged was given the key")
	}
	var before int
	if err := p.Superuser.QueryRow(t.Context(), `select count(*) from public.epoch_readers where session_id = $1 and epoch = $2`, s.ID, int32(first.Epoch)).Scan(&before); err != nil || before != 0 {
		t.Errorf("%d were given the key of what came before the alert, %v", before, err)
	}
	s.NextEpoch(t)
	after := s.Seal(t, "and what came after")
	s.Insert(t, after)
	look(t, sharer)
	if text, ok := readAs(t, p, s, p.Supervisor, p.Supervisor.Device, after); !ok || !strings.Contains(text, "and what came after") {
		t.Errorf("of the next epoch the paged supervisor reads %q", text)
	}
	demandSignedReaders(t, p, s, alert, 4)
	look(t, sharer) // nothing is given twice
	demandSignedReaders(t, p, s, alert, 4)
}

// demandSignedReaders verifies every reader of a session against the analysis key that the participants know.
func demandSignedReaders(t *testing.T, p *storetest.Practice, s *storetest.Session, alert uuid.UUID, want int) {
	t.Helper()
	rows, err := p.Superuser.Query(t.Context(), `select r.epoch, r.device_id, r.by_device_id, r.signature, w.wrap from public.epoch_readers r
		join public.epoch_wraps w using (session_id, epoch, device_id) where r.session_id = $1`, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		g := envelope.Grant{Session: s.ID, Role: envelope.RoleOnCall, Alert: alert}
		var epoch int32
		if err := rows.Scan(&epoch, &g.Device, &g.By, &g.Signature, &g.Wrap); err != nil {
			t.Fatal(err)
		}
		g.Epoch = uint32(epoch)
		if err := g.Verify(p.Analysis.SigPub()); err != nil || g.By != p.Analysis.KID() {
			t.Errorf("a reader that the analysis key did not let in: %v", err)
		}
		n++
	}
	if rows.Err() != nil || n != want {
		t.Errorf("%d readers, want %d, %v", n, want, rows.Err())
	}
}

// TestNobodyReadsWithoutASignedScope: the database's word for it is not enough.
func TestNobodyReadsWithoutASignedScope(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		give func(t *testing.T, p *storetest.Practice, s *storetest.Session)
		said string // what the log gives as the reason; "" where the database already says no
	}{
		"no scope": {func(*testing.T, *storetest.Practice, *storetest.Session) {}, ""},
		"widened after it was signed": {func(t *testing.T, p *storetest.Practice, s *storetest.Session) {
			c := signed(t, s.Client.Device, s.ID, envelope.ScopeAnalysis)
			c.Scope = append(c.Scope, envelope.ScopeCrisisAccess)
			consents(t, p, s, c)
		}, "consent"},
		"signed by another device": {func(t *testing.T, p *storetest.Practice, s *storetest.Session) {
			c := signed(t, p.Therapist.Device, s.ID, envelope.ScopeCrisisAccess)
			c.Device = s.Client.Device.KID()
			consents(t, p, s, c)
		}, "consent"},
		"for another session": {func(t *testing.T, p *storetest.Practice, s *storetest.Session) {
			consents(t, p, s, signed(t, s.Client.Device, uuid.New(), envelope.ScopeCrisisAccess))
		}, "consent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := storetest.New(t, clusters.Database(t))
			f := flowOf(p)
			var lines bytes.Buffer
			f.log = slog.New(slog.NewJSONHandler(&lines, nil))
			sharer := f.newSharer()
			s := p.Session(t)
			c.give(t, p, s)
			sealed := s.Seal(t, "what paged them")
			page(t, p, f, s.Insert(t, sealed))
			look(t, sharer)
			look(t, sharer)
			if _, ok := readAs(t, p, s, p.Supervisor, p.Supervisor.Device, sealed); ok {
				t.Error("the key was given")
			}
			if said := strings.Count(lines.String(), `"reason":"`+c.said+`"`); c.said != "" && said != 1 {
				t.Errorf("the reason is said %d times, want once: %s", said, &lines)
			}
		})
	}
}

// TestAKeyThatIsRefusedDoesNotStandBeforeOthers: those of the newest alert come first, and stay due.
func TestAKeyThatIsRefusedDoesNotStandBeforeOthers(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f := flowOf(p)
	older := p.Session(t, envelope.ScopeCrisisAccess)
	sealed := older.Seal(t, "what paged them")
	page(t, p, f, older.Insert(t, sealed))
	for range 2 {
		newer := p.Session(t)
		c := signed(t, newer.Client.Device, newer.ID, envelope.ScopeAnalysis)
		c.Scope = append(c.Scope, envelope.ScopeCrisisAccess)
		consents(t, p, newer, c)
		page(t, p, f, newer.Send(t, "what nobody may read"))
	}
	s := &sharer{flow: f, most: 1, refused: make(map[uuid.UUID]string)}
	if err := s.look(t.Context()); err != nil || len(s.refused) != 2 {
		t.Errorf("%d alerts were refused, %v", len(s.refused), err)
	}
	if _, ok := readAs(t, p, older, p.Supervisor, p.Supervisor.Device, sealed); !ok {
		t.Error("what could be given was not")
	}
}
