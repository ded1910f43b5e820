// Package storetest makes an invented practice in a test's own database: an organisation with its people and devices,
// sessions that took the same steps as real ones, and sealed messages. For tests only.
//
// Everything goes through the RPCs, triggers and checks that a client meets; only the people themselves are inserted by the
// superuser, as Auth would.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"vigil/server/internal/envelope"
	"vigil/server/internal/triage"
	"vigil/server/pgtest"
)

// Person is somebody who is signed in, with one device.
type Person struct {
	ID, Login uuid.UUID
	Device    *envelope.Device
}

// Practice is one organisation, with the sidecar's key registered.
type Practice struct {
	Superuser *pgxpool.Pool
	Vigil     *pgxpool.Pool

	Organization          uuid.UUID
	Therapist, Supervisor Person
	Analysis              *envelope.Device
}

// New makes a practice. Its therapist and its supervisor are signed in with a second factor.
func New(tb testing.TB, db *pgtest.Database) *Practice {
	tb.Helper()
	p := &Practice{Superuser: db.Pool(tb, pgtest.RoleSuperuser), Vigil: db.Pool(tb, pgtest.RoleSidecar), Organization: uuid.New()}
	p.exec(tb, `insert into public.organizations (id, name) values ($1, 'Invented practice')`, p.Organization)
	p.Therapist, p.Supervisor = p.Join(tb, "therapist"), p.Join(tb, "supervisor")
	p.Analysis = device(tb)
	p.exec(tb, `select private.register_analysis_device($1, $2, $3)`, p.Analysis.KID(),
		envelope.EncodeText(p.Analysis.EncPub()), envelope.EncodeText(p.Analysis.SigPub()))
	return p
}

func device(tb testing.TB) *envelope.Device {
	tb.Helper()
	d, err := envelope.NewDevice(uuid.New())
	if err != nil {
		tb.Fatalf("make a device: %v", err)
	}
	return d
}

func (p *Practice) exec(tb testing.TB, sql string, args ...any) {
	tb.Helper()
	if _, err := p.Superuser.Exec(tb.Context(), sql, args...); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// Join adds somebody with a role and a device.
func (p *Practice) Join(tb testing.TB, role string) Person {
	tb.Helper()
	who := Person{ID: uuid.New(), Login: uuid.New(), Device: device(tb)}
	p.exec(tb, `insert into auth.users (id, email, aud, role) values ($1, $2, 'authenticated', 'authenticated')`, who.ID, who.ID.String()+"@example.invalid")
	p.exec(tb, `insert into auth.sessions (id, user_id, created_at, aal) values ($1, $2, now(), 'aal2')`, who.Login, who.ID)
	p.exec(tb, `insert into public.memberships (organization_id, user_id, role) values ($1, $2, $3)`, p.Organization, who.ID, role)
	p.exec(tb, `insert into public.devices (id, user_id, enc_pub, sig_pub) values ($1, $2, $3, $4)`, who.Device.KID(), who.ID,
		envelope.EncodeText(who.Device.EncPub()), envelope.EncodeText(who.Device.SigPub()))
	return who
}

// AddDevice gives somebody a further device, as if they had approved it.
func (p *Practice) AddDevice(tb testing.TB, who Person) *envelope.Device {
	tb.Helper()
	d := device(tb)
	p.exec(tb, `insert into public.devices (id, user_id, enc_pub, sig_pub) values ($1, $2, $3, $4)`, d.KID(), who.ID,
		envelope.EncodeText(d.EncPub()), envelope.EncodeText(d.SigPub()))
	p.exec(tb, `update public.devices set admitted_at = now(), admission = 'signed', admitted_by = $2 where id = $1`, d.KID(), who.Device.KID())
	return d
}

// As runs one statement as somebody who is signed in, as PostgREST would, and reads its one row into dest.
func (p *Practice) As(ctx context.Context, who Person, dest []any, sql string, args ...any) error {
	claims, err := json.Marshal(map[string]any{"sub": who.ID, "role": "authenticated", "session_id": who.Login, "aal": "aal2"})
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, p.Superuser, func(tx pgx.Tx) error {
		const become = `select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)`
		if _, err := tx.Exec(ctx, become, string(claims)); err != nil {
			return err
		}
		if dest == nil {
			_, err := tx.Exec(ctx, sql, args...)
			return err
		}
		return tx.QueryRow(ctx, sql, args...).Scan(dest...)
	})
}

func (p *Practice) as(tb testing.TB, who Person, dest []any, sql string, args ...any) {
	tb.Helper()
	if err := p.As(tb.Context(), who, dest, sql, args...); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// Session is an active, assisted session of a new client with the practice's therapist, in its first epoch.
type Session struct {
	practice *Practice

	ID      uuid.UUID
	Client  Person
	Consent envelope.ConsentRow
	Epoch   *envelope.Epoch
	Row     envelope.EpochRow
	seq     uint32
}

// Session makes one. The client agrees to analysis, and to what else scope names.
func (p *Practice) Session(tb testing.TB, scope ...string) *Session {
	tb.Helper()
	s := p.begin(tb, "assisted")
	s.Agree(tb, scope...)
	s.NextEpoch(tb)
	return s
}

// StrictSession makes one that the sidecar is kept out of.
func (p *Practice) StrictSession(tb testing.TB) *Session {
	tb.Helper()
	s := p.begin(tb, "strict")
	s.NextEpoch(tb)
	return s
}

func (p *Practice) begin(tb testing.TB, mode string) *Session {
	tb.Helper()
	s := &Session{practice: p, Client: p.Join(tb, "client")}
	p.as(tb, p.Therapist, []any{&s.ID}, `select id from public.create_session($1, $2, $3)`, p.Organization, s.Client.ID, mode)
	p.as(tb, p.Therapist, []any{new(uuid.UUID)}, `select id from public.start_session($1)`, s.ID)
	return s
}

// Agree gives the client's consent to analysis, and to what else scope names.
func (s *Session) Agree(tb testing.TB, scope ...string) {
	tb.Helper()
	scope = append([]string{envelope.ScopeAnalysis}, scope...)
	c, err := envelope.SignConsent(s.Client.Device, uuid.New(), s.ID, "I agree to this invented text.", scope...)
	if err != nil {
		tb.Fatalf("sign consent: %v", err)
	}
	s.practice.as(tb, s.Client, nil, `insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature)
		values ($1, $2, $3, $4, $5, $6)`, c.ID, s.ID, c.Device, c.Scope, c.TextHash, c.Signature)
	s.Consent = c
}

// Withdraw takes the consent back.
func (s *Session) Withdraw(tb testing.TB) {
	tb.Helper()
	signature, err := envelope.SignWithdrawal(s.Client.Device, s.Consent)
	if err != nil {
		tb.Fatalf("sign withdrawal: %v", err)
	}
	s.practice.as(tb, s.Client, []any{new(uuid.UUID)}, `select id from public.withdraw_consent($1, $2)`, s.Consent.ID, signature)
}

// NextEpoch makes the client's device make the session's next epoch.
func (s *Session) NextEpoch(tb testing.TB) {
	tb.Helper()
	var rosterJSON []byte
	var next int32
	const expected = `select private.expected_roster($1), private.next_epoch($1)`
	if err := s.practice.Superuser.QueryRow(tb.Context(), expected, s.ID).Scan(&rosterJSON, &next); err != nil {
		tb.Fatalf("read the expected roster: %v", err)
	}
	roster, err := envelope.ParseRoster(rosterJSON)
	if err != nil {
		tb.Fatalf("parse the expected roster: %v", err)
	}
	epoch, row, err := envelope.MakeEpoch(s.Client.Device, s.ID, uint32(next), roster, s.Consent.ID)
	if err != nil {
		tb.Fatalf("make an epoch: %v", err)
	}
	s.practice.as(tb, s.Client, []any{new(int32)}, `select epoch from public.create_epoch($1, $2, $3, $4, $5, $6, $7, nullif($8, $10::uuid), $9)`,
		s.ID, next, row.By, row.Roster, row.RosterHash, row.Commit, row.Signature, row.Consent, row.Wraps, uuid.Nil)
	s.Epoch, s.Row, s.seq = epoch, row, 0
}

// Seal seals text as the client's next message, without sending it.
func (s *Session) Seal(tb testing.TB, text string) envelope.Message {
	tb.Helper()
	plaintext, err := envelope.Text(text, time.Now())
	if err != nil {
		tb.Fatalf("write the message: %v", err)
	}
	m, err := s.Epoch.Seal(s.Client.Device, uuid.New(), s.seq, plaintext)
	if err != nil {
		tb.Fatalf("seal the message: %v", err)
	}
	s.seq++
	return m
}

// Insert stores a sealed message and returns its row, as the log would show it.
func (s *Session) Insert(tb testing.TB, m envelope.Message) triage.Message {
	tb.Helper()
	if err := s.insert(tb.Context(), m); err != nil {
		tb.Fatalf("insert a message: %v", err)
	}
	return s.read(tb, m)
}

func (s *Session) insert(ctx context.Context, m envelope.Message) error {
	return s.practice.As(ctx, s.Client, nil, `insert into public.messages (id, session_id, sender_device_id, epoch, seq, body)
		values ($1, $2, $3, $4, $5, $6)`, m.ID, m.Session, m.Sender, int32(m.Epoch), int64(m.Seq), m.Body)
}

func (s *Session) read(tb testing.TB, m envelope.Message) triage.Message {
	tb.Helper()
	row := triage.Message{ID: m.ID}
	const read = `select session_id, organization_id, sender_id, sender_device_id, epoch, seq, position,
		  coalesce(previous_assisted_position, 0), body, created_at
		from public.messages where id = $1`
	err := s.practice.Superuser.QueryRow(tb.Context(), read, m.ID).Scan(&row.SessionID, &row.OrganizationID, &row.SenderID, &row.SenderDeviceID,
		&row.Epoch, &row.Seq, &row.Position, &row.PreviousAssistedPosition, &row.Body, &row.CreatedAt)
	if err != nil {
		tb.Fatalf("read the message: %v", err)
	}
	return row
}

// stateEpoch is the SQLSTATE of an epoch that may not be used any more: it is too old, or has messages enough.
const stateEpoch = "VG010"

// Send seals text and stores it, under the next epoch where this one has ended.
func (s *Session) Send(tb testing.TB, text string) triage.Message {
	tb.Helper()
	m := s.Seal(tb, text)
	var refused *pgconn.PgError
	if err := s.insert(tb.Context(), m); errors.As(err, &refused) && refused.Code == stateEpoch {
		s.NextEpoch(tb)
		return s.Insert(tb, s.Seal(tb, text))
	} else if err != nil {
		tb.Fatalf("insert a message: %v", err)
	}
	return s.read(tb, m)
}

// Score signs what somebody's device found in a message, and stores it. side is sender or clinician; found's Session, Message, Epoch
// and Side are set, and forge, unless nil, has the signed score before it is stored.
func (s *Session) Score(tb testing.TB, by Person, m triage.Message, side triage.Source, found envelope.Score, forge func(*envelope.Score)) {
	tb.Helper()
	found.Session, found.Message, found.Epoch, found.Side = m.SessionID, m.ID, uint32(m.Epoch), envelope.SideSender //nolint:gosec // from 1
	if side == triage.SourceClinician {
		found.Side = envelope.SideClinician
	}
	found, err := envelope.SignScore(by.Device, found)
	if err != nil {
		tb.Fatalf("sign a score: %v", err)
	}
	if forge != nil {
		forge(&found)
	}
	flag := func(bit byte) bool { return found.Flags&bit != 0 }
	items, scores := make([]string, len(found.Items)), make([]int32, len(found.Scores))
	for i, item := range found.Items {
		items[i] = triage.Item(item).Name() //nolint:gosec // 0 to 2
	}
	for i, score := range found.Scores {
		scores[i] = int32(score) //nolint:gosec // millionths
	}
	s.practice.as(tb, by, nil, `insert into public.message_scores (message_id, side, device_id, after_position, level, harm_others, abuse, distress,
		  alert, escalate, hard, items, scores, rules, model_version, ruleset_version, signature)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		m.ID, string(side), found.Device, found.After, int16(found.Level), flag(envelope.FlagHarmOthers), flag(envelope.FlagAbuse), flag(envelope.FlagDistress),
		flag(envelope.FlagAlert), flag(envelope.FlagEscalate), triage.Categories(found.Hard).Names(), items, scores, append([]string{}, found.Rules...),
		found.Model, found.Ruleset, found.Signature)
}

// Erase deletes messages, as an operator would.
func (s *Session) Erase(tb testing.TB, messages ...triage.Message) {
	tb.Helper()
	for _, m := range messages {
		s.practice.exec(tb, `delete from public.messages where id = $1`, m.ID)
	}
}
