package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/envelope"
)

const password = "correct-horse-battery-staple-7"

// person is somebody invented who has signed up, signed in and registered a device.
type person struct {
	id     uuid.UUID
	email  string
	role   string
	token  string
	claims string // the token's payload, as PostgREST hands it to Postgres
	login  string
	device *envelope.Device
}

// signUp makes a person through Auth, as a member of the organisation with a registered device.
func (s *stack) signUp(t testing.TB, organization uuid.UUID, role string) *person {
	t.Helper()
	p := &person{email: fmt.Sprintf("%s-%s@people.example", role, uuid.NewString()[:8]), role: role}
	var made struct {
		ID uuid.UUID `json:"id"`
	}
	s.auth(t, "/auth/v1/admin/users", s.secretKey, map[string]any{"email": p.email, "password": password, "email_confirm": true}, &made)
	p.id = made.ID
	s.signIn(t, p)
	if role != "" {
		s.sql(t, "insert into public.memberships (organization_id, user_id, role) values ($1, $2, $3)", organization, p.id, role)
		s.addDevice(t, p)
	}
	return p
}

// signIn gives the person a new login.
func (s *stack) signIn(t testing.TB, p *person) {
	t.Helper()
	var session struct {
		AccessToken string `json:"access_token"`
	}
	s.auth(t, "/auth/v1/token?grant_type=password", s.publishableKey, map[string]any{"email": p.email, "password": password}, &session)
	p.token = session.AccessToken
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(p.token, ".")[1])
	if err != nil {
		t.Fatalf("decode claims: %v", err)
	}
	p.claims = string(raw)
	var c struct {
		SessionID string `json:"session_id"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatalf("read claims: %v", err)
	}
	p.login = c.SessionID
}

func (s *stack) auth(t testing.TB, path, key string, body, into any) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.supabaseURL+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Apikey", key)
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("ask Auth: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		t.Fatalf("Auth answered %d to %s: %s", res.StatusCode, strings.SplitN(path, "?", 2)[0], answer)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			t.Fatalf("read Auth's answer: %v", err)
		}
	}
}

// asPerson runs work in one transaction as PostgREST would: role and claims set locally.
func (s *stack) asPerson(ctx context.Context, p *person, work func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.people, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)", p.claims); err != nil {
			return err
		}
		return work(tx)
	})
}

// tryAs runs one statement as the person.
func (s *stack) tryAs(ctx context.Context, p *person, statement string, args ...any) error {
	return s.asPerson(ctx, p, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, statement, args...); return err })
}

// as runs one statement as the person.
func (s *stack) as(t testing.TB, p *person, statement string, args ...any) {
	t.Helper()
	if err := s.tryAs(t.Context(), p, statement, args...); err != nil {
		t.Fatalf("as %s: %v", p.role, err)
	}
}

// sql runs one statement as the admin of the database.
func (s *stack) sql(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := s.admin.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("as admin: %v", err)
	}
}

// therapy is one assisted, active session with its client and therapist.
type therapy struct {
	s                 *stack
	id, org           uuid.UUID
	client, therapist *person
	consented         envelope.ConsentRow
	epoch             *envelope.Epoch
	row               envelope.EpochRow
	seq               uint32
}

// organization founds one that does not ask for a second factor.
func (s *stack) organization(t testing.TB) (id uuid.UUID, admin *person) {
	t.Helper()
	admin = s.signUp(t, uuid.Nil, "")
	admin.role = "admin"
	if err := s.admin.QueryRow(t.Context(), "select private.found_organization('Test practice', $1)", admin.email).Scan(&id); err != nil {
		t.Fatalf("found organization: %v", err)
	}
	s.sql(t, "update public.organizations set require_aal2 = false where id = $1", id)
	return id, admin
}

// therapy makes a session and brings it to where messages can be sent: devices, consent, start, epoch.
func (s *stack) therapy(t testing.TB, organization uuid.UUID) *therapy {
	t.Helper()
	return s.therapyOf(t, organization, s.signUp(t, organization, "client"), s.signUp(t, organization, "therapist"))
}

func (s *stack) therapyOf(t testing.TB, organization uuid.UUID, client, therapist *person, scope ...string) *therapy {
	t.Helper()
	y := s.openSession(t, organization, client, therapist, "assisted")
	consent := y.consent(t, scope...)
	s.as(t, therapist, "select public.start_session($1)", y.id)
	y.newEpoch(t, client, consent)
	return y
}

// strictTherapy is a session that the sidecar is kept out of.
func (s *stack) strictTherapy(t testing.TB, organization uuid.UUID, client, therapist *person) *therapy {
	t.Helper()
	y := s.openSession(t, organization, client, therapist, "strict")
	s.as(t, therapist, "select public.start_session($1)", y.id)
	y.newEpoch(t, client, uuid.Nil)
	return y
}

func (s *stack) openSession(t testing.TB, organization uuid.UUID, client, therapist *person, mode string) *therapy {
	t.Helper()
	y := &therapy{s: s, org: organization, client: client, therapist: therapist}
	if err := s.asPerson(t.Context(), therapist, func(tx pgx.Tx) error {
		return tx.QueryRow(t.Context(), "select id from public.create_session($1, $2, $3)", organization, client.id, mode).Scan(&y.id)
	}); err != nil {
		t.Fatalf("create session: %v", err)
	}
	return y
}

// consent gives the client's to analysis, and to what else scope names.
func (y *therapy) consent(t testing.TB, scope ...string) uuid.UUID {
	t.Helper()
	c, err := envelope.SignConsent(y.client.device, uuid.New(), y.id, "I agree that Vigil reads along.", append([]string{envelope.ScopeAnalysis}, scope...)...)
	if err != nil {
		t.Fatal(err)
	}
	y.s.as(t, y.client, "insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values ($1, $2, $3, $4, $5, $6)",
		c.ID, c.Session, c.Device, c.Scope, c.TextHash, c.Signature)
	y.consented = c
	return c.ID
}

// newEpoch makes the next epoch by the person's device for everyone whom the database wants on it.
func (y *therapy) newEpoch(t testing.TB, by *person, consent uuid.UUID) {
	t.Helper()
	if err := y.makeEpoch(t.Context(), by, consent); err != nil {
		t.Fatalf("make an epoch: %v", err)
	}
}

// makeEpoch is newEpoch where a test may not end. consent is uuid.Nil in a strict session.
func (y *therapy) makeEpoch(ctx context.Context, by *person, consent uuid.UUID) error {
	var number uint32
	var rows []byte
	if err := y.s.admin.QueryRow(ctx, "select private.next_epoch($1), private.expected_roster($1)", y.id).Scan(&number, &rows); err != nil {
		return fmt.Errorf("read expected roster: %w", err)
	}
	roster, err := envelope.ParseRoster(rows)
	if err != nil {
		return err
	}
	e, row, err := envelope.MakeEpoch(by.device, y.id, number, roster, consent)
	if err != nil {
		return err
	}
	wraps, err := json.Marshal(row.Wraps)
	if err != nil {
		return err
	}
	if err := y.s.asPerson(ctx, by, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "select public.create_epoch($1, $2, $3, $4, $5, $6, $7, nullif($8, $10::uuid), $9)",
			y.id, number, by.device.KID(), string(row.Roster), row.RosterHash, row.Commit, row.Signature, consent, string(wraps), uuid.Nil)
		return err
	}); err != nil {
		return err
	}
	y.epoch, y.row, y.seq = e, row, 0
	return nil
}

// seal makes the client's next message.
func (y *therapy) seal(text string) (envelope.Message, error) {
	plain, err := envelope.Text(text, time.Now())
	if err != nil {
		return envelope.Message{}, err
	}
	m, err := y.epoch.Seal(y.client.device, uuid.New(), y.seq, plain)
	y.seq++
	return m, err
}

// insert stores a sealed message as the client; a retry of one that is stored already is no error.
func (y *therapy) insert(ctx context.Context, m envelope.Message) error {
	err := y.s.asPerson(ctx, y.client, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "insert into public.messages (id, session_id, sender_device_id, epoch, seq, body) values ($1, $2, $3, $4, $5, $6)",
			m.ID, m.Session, m.Sender, m.Epoch, m.Seq, m.Body)
		return err
	})
	if isState(err, "23505") {
		return nil
	}
	return err
}

// stateEpoch is the SQLSTATE of an epoch that may not be used any more: it has messages enough, or somebody must read along who
// does not hold it.
const stateEpoch = "VG010"

// deliver seals and stores one message; under the next epoch where this one has ended. Of an outage it gives the error, and may be
// called again with what it returned: nothing is stored twice.
func (y *therapy) deliver(ctx context.Context, m envelope.Message, text string) (envelope.Message, error) {
	const epochs = 10 // one may be over before its first message
	var err error
	for range epochs {
		if m.ID == uuid.Nil {
			if m, err = y.seal(text); err != nil {
				return m, err
			}
		}
		if err = y.insert(ctx, m); !isState(err, stateEpoch) {
			return m, err
		}
		m = envelope.Message{} // it was refused, so it may have another id
		if err = y.makeEpoch(ctx, y.client, y.consented.ID); err != nil {
			return m, err
		}
	}
	return m, err
}

// send seals and stores one message and returns its id.
func (y *therapy) send(t testing.TB, text string) uuid.UUID {
	t.Helper()
	m, err := y.deliver(t.Context(), envelope.Message{}, text)
	if err != nil {
		t.Fatalf("insert message: %v", err)
	}
	return m.ID
}

// readAs opens a message as somebody on one of their devices, with nothing but what the database shows them. pgx.ErrNoRows: it does not
// show them all that this takes.
func (y *therapy) readAs(ctx context.Context, p *person, d *envelope.Device, message uuid.UUID) (text string, err error) {
	m := envelope.Message{ID: message, Session: y.id}
	row := envelope.EpochRow{Session: y.id}
	consent := envelope.ConsentRow{Session: y.id}
	var wrap string
	if err := y.s.asPerson(ctx, p, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `select sender_device_id, epoch, seq, body from public.messages where id = $1`, message).Scan(&m.Sender, &m.Epoch, &m.Seq, &m.Body); err != nil {
			return fmt.Errorf("read the message: %w", err)
		}
		if err := tx.QueryRow(ctx, `select epoch, device_id, roster, roster_hash, key_commit, coalesce(consent_id, $3), signature, suite
			from public.session_epochs where session_id = $1 and epoch = $2`, y.id, m.Epoch, uuid.Nil).
			Scan(&row.Epoch, &row.By, &row.Roster, &row.RosterHash, &row.Commit, &row.Consent, &row.Signature, &row.Suite); err != nil {
			return fmt.Errorf("read the epoch: %w", err)
		}
		if err := tx.QueryRow(ctx, `select wrap from public.epoch_wraps where session_id = $1 and epoch = $2 and device_id = $3`, y.id, m.Epoch, d.KID()).Scan(&wrap); err != nil {
			return fmt.Errorf("read the wrap: %w", err)
		}
		if row.Consent == uuid.Nil {
			return nil
		}
		err := tx.QueryRow(ctx, `select id, device_id, scope, text_hash, signature from public.session_consents where id = $1`, row.Consent).
			Scan(&consent.ID, &consent.Device, &consent.Scope, &consent.TextHash, &consent.Signature)
		if err != nil {
			return fmt.Errorf("read the consent: %w", err)
		}
		return nil
	}); err != nil {
		return "", err
	}
	row.Wraps = map[uuid.UUID]string{d.KID(): wrap}
	e, err := envelope.OpenEpoch(row, &consent, d)
	if err != nil {
		return "", err
	}
	plain, err := e.Open(m)
	if err != nil {
		return "", err
	}
	var content struct{ Body string }
	err = json.Unmarshal(plain, &content)
	return content.Body, err
}
