package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"vigil/server/internal/envelope"
)

// move is one transaction. It may be refused by a rule of the database, which is no fault.
type move struct {
	name string
	make func(ctx context.Context) error
}

// tryMove makes a move, and counts what came of it.
func (w *world) tryMove(t testing.TB, m move) {
	t.Helper()
	err := m.make(t.Context())
	var refused *pgconn.PgError
	switch {
	case err == nil:
		w.done++
		w.movesByName[m.name]++
	case errors.As(err, &refused):
		w.refused++
	default:
		t.Fatalf("%s: %v", m.name, err)
	}
}

func (w *world) someone() *member {
	for {
		if m := w.members[w.random.IntN(len(w.members))]; m.loose {
			return m
		}
	}
}

func (w *world) someOrg() uuid.UUID     { return w.orgs[w.random.IntN(len(w.orgs))] }
func (w *world) someSession() uuid.UUID { return w.loose[w.random.IntN(len(w.loose))] }

// admin makes a move of one statement as the owner of the tables, whom the triggers hold.
func (w *world) admin(ctx context.Context, statement string, args ...any) error {
	_, err := w.s.admin.Exec(ctx, statement, args...)
	return err
}

// rights are the moves that give and take them.
func (w *world) rights() []move {
	roles := []string{"client", "therapist", "supervisor", "admin"}
	return []move{
		{"a membership ends", func(ctx context.Context) error {
			return w.admin(ctx, "update public.memberships set ended_at = now() where user_id = $1", w.someone().id)
		}},
		{"a membership is taken up again", func(ctx context.Context) error {
			return w.admin(ctx, "update public.memberships set ended_at = null where user_id = any ($1)", []uuid.UUID{w.someone().id, w.someone().id})
		}},
		{"a role changes", func(ctx context.Context) error {
			return w.admin(ctx, "update public.memberships set role = $2 where user_id = $1", w.someone().id, roles[w.random.IntN(len(roles))])
		}},
		{"somebody becomes a member", func(ctx context.Context) error {
			return w.admin(ctx, `insert into public.memberships (organization_id, user_id, role) values ($1, $2, $3)
				on conflict (organization_id, user_id) do update set role = excluded.role, ended_at = null`, w.someOrg(), w.someone().id, roles[w.random.IntN(len(roles))])
		}},
		{"a membership is deleted", func(ctx context.Context) error {
			return w.admin(ctx, "delete from public.memberships where user_id = $1", w.someone().id)
		}},
		{"a participant leaves", func(ctx context.Context) error {
			return w.admin(ctx, "update public.session_participants set ended_at = now() where session_id = $1 and ended_at is null", w.someSession())
		}},
		{"participants come again", func(ctx context.Context) error {
			return w.admin(ctx, "update public.session_participants set ended_at = null where session_id = $1", w.someSession())
		}},
		{"a participant is taken in", func(ctx context.Context) error {
			session := w.someSession()
			return w.admin(ctx, `insert into public.session_participants (session_id, organization_id, user_id, role)
				select $1, organization_id, user_id, role from public.memberships
				where organization_id = $2 and user_id = $3 and role in ('client', 'therapist')
				on conflict (session_id, user_id) do update set ended_at = null`, session, w.looseOrg[session], w.someone().id)
		}},
		{"a participant is deleted", func(ctx context.Context) error {
			return w.admin(ctx, "delete from public.session_participants where session_id = $1 and user_id = $2", w.someSession(), w.someone().id)
		}},
		{"a second factor is asked for, or not", func(ctx context.Context) error {
			return w.admin(ctx, "update public.organizations set require_aal2 = not require_aal2 where id = $1", w.someOrg())
		}},
		{"an alert reaches somebody, or no more", func(ctx context.Context) error {
			return w.admin(ctx, `insert into public.alert_recipients (alert_id, user_id, organization_id, session_id, reason)
				select a.id, $2, a.organization_id, a.session_id, 'on_call' from public.alerts a where a.session_id = $1 limit 1
				on conflict (alert_id, user_id) do update set ended_at = case when alert_recipients.ended_at is null then now() end`, w.someSession(), w.someone().id)
		}},
		{"somebody signs out, or in", w.signOutOrIn},
		{"somebody is banned, or no more", func(ctx context.Context) error {
			return w.admin(ctx, `update auth.users set banned_until = case when banned_until is null then now() + interval '1 day' end
				where id = $1`, w.someone().id)
		}},
	}
}

// signOutOrIn ends somebody's login; of one that has ended already, it makes another.
func (w *world) signOutOrIn(ctx context.Context) error {
	m := w.someone()
	tag, err := w.s.admin.Exec(ctx, "delete from auth.sessions where id = $1", m.login)
	if err != nil || tag.RowsAffected() > 0 {
		return err
	}
	next := *m.person
	next.login = uuid.NewString()
	if err := w.s.newToken(&next, m.aal, time.Hour); err != nil {
		return err
	}
	m.mu.Lock()
	*m.person = next
	m.mu.Unlock()
	return w.admin(ctx, `insert into auth.sessions (id, user_id, created_at, updated_at, aal) values ($1, $2, now(), now(), $3::text::auth.aal_level)`, next.login, m.id, m.aal)
}

// copies says how another row of a table is made from one of source: what differs, as SQL.
type copies struct{ table, source, differs string }

var copied = []copies{
	{"message_arrivals", "messages", "'message_id', gen_random_uuid(), 'position', (random() * 1e9)::int"},
	{"session_consents", "session_consents", "'id', gen_random_uuid()"},
	{"session_epochs", "session_epochs", "'epoch', 1000 + (random() * 1e6)::int"},
	{"assessments", "assessments", "'id', gen_random_uuid(), 'message_id', gen_random_uuid()"},
	{"alerts", "alerts", "'id', gen_random_uuid(), 'message_id', gen_random_uuid(), 'assessment_id', gen_random_uuid()"},
	{"alert_events", "alert_events", "'id', gen_random_uuid(), 'alert_id', gen_random_uuid()"},
	{"suggestions", "suggestions", "'id', gen_random_uuid(), 'message_id', gen_random_uuid()"},
	{"suggestion_seals", "suggestion_seals", "'suggestion_id', gen_random_uuid(), 'message_id', gen_random_uuid()"},
	{"epoch_readers", "session_epochs", `'epoch', 1000 + (random() * 1e6)::int, 'user_id', gen_random_uuid(), 'role', 1, 'reason', 'history',
		'by_device_id', gen_random_uuid()`},
	{"message_scores", "messages", `'message_id', gen_random_uuid(), 'side', 'sender', 'device_id', t.sender_device_id, 'user_id', t.sender_id, 'after_position', 0,
		'level', 0, 'harm_others', false, 'abuse', false, 'distress', false, 'alert', false, 'escalate', false, 'hard', '[]'::jsonb,
		'items', '["unknown","unknown","unknown","unknown","unknown","unknown"]'::jsonb, 'scores', '[0,0,0,0]'::jsonb, 'rules', '[]'::jsonb,
		'model_version', 'm', 'ruleset_version', 'r', 'signature', repeat('a', 86), 'disagrees', false`},
	// Of everybody, as the people of a session may read of its erasure: here they come and go after it.
	{"erasures", "session_epochs", `'id', gen_random_uuid(), 'kind', 'session', 'status', 'requested', 'counts', '{}'::jsonb,
		'people', (select jsonb_agg(m.user_id) from public.memberships m)`},
}

// copyStatement makes a row of session $2 from one of session $1. Only what is relayed matters: triggers and foreign keys are
// passed over.
func copyStatement(c copies) string {
	return fmt.Sprintf(`insert into public.%[1]s
		select (jsonb_populate_record(null::public.%[1]s,
			to_jsonb(t) || jsonb_build_object(%[3]s, 'session_id', $2::uuid, 'organization_id', s.organization_id))).*
		from public.%[2]s t, public.sessions s where s.id = $2 and t.ctid = (select ctid from public.%[2]s where session_id = $1 limit 1)`, c.table, c.source, c.differs)
}

func (w *world) copyRow(t testing.TB, c copies, from, to uuid.UUID) {
	t.Helper()
	if err := w.replica(t.Context(), copyStatement(c), from, to); err != nil {
		t.Fatalf("copy a row of %s: %v", c.table, err)
	}
}

// replica runs one statement past triggers and foreign keys.
func (w *world) replica(ctx context.Context, statement string, args ...any) error {
	tx, err := w.super.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit: nothing
	if _, err := tx.Exec(ctx, "set local session_replication_role = replica"); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, statement, args...); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// rows are the moves that write what is relayed, and give no rights.
func (w *world) rows() []move {
	moves := []move{
		{"a session is moved", func(ctx context.Context) error {
			return w.admin(ctx, "update public.sessions set scheduled_for = now() where id = $1", w.someSession())
		}},
		{"a shift is added", func(ctx context.Context) error {
			return w.admin(ctx, `insert into public.oncall_shifts (organization_id, user_id, starts_at, ends_at)
				select organization_id, user_id, clock_timestamp(), clock_timestamp() + interval '1 hour' from public.memberships where user_id = $1`, w.someone().id)
		}},
		{"shifts are removed", func(ctx context.Context) error {
			return w.admin(ctx, "delete from public.oncall_shifts where user_id = $1", w.someone().id)
		}},
		{"a suggestion is erased", func(ctx context.Context) error {
			return w.replica(ctx, "delete from public.suggestions where id in (select id from public.suggestions where session_id = $1 limit 1)", w.someSession())
		}},
		{"a consent is erased", func(ctx context.Context) error {
			return w.replica(ctx, "delete from public.session_consents where id in (select id from public.session_consents where session_id = $1 limit 1)", w.someSession())
		}},
		{"an alert is acknowledged or resolved", func(ctx context.Context) error {
			y := w.steady[w.random.IntN(len(w.steady))]
			kind := []string{"acknowledged", "resolved"}[w.random.IntN(2)]
			return w.admin(ctx, `insert into public.alert_events (alert_id, organization_id, session_id, kind, actor_id, version)
				select id, organization_id, session_id, $2, $3, version + 1 from public.alerts where session_id = $1 and status <> 'resolved' limit 1`, y.id, kind, y.therapist.id)
		}},
		{"a message is sent and assessed", func(ctx context.Context) error {
			y := w.steady[w.random.IntN(len(w.steady))]
			m, err := y.deliver(ctx, envelope.Message{}, []string{ordinaryText, crisisText}[w.random.IntN(2)])
			if err != nil {
				return err
			}
			return poll(ctx, func() (assessed bool, err error) {
				err = w.s.admin.QueryRow(ctx, "select exists (select from public.assessments where message_id = $1)", m.ID).Scan(&assessed)
				return assessed, err
			})
		}},
	}
	for _, c := range copied {
		moves = append(moves, move{"a row of " + c.table, func(ctx context.Context) error {
			return w.replica(ctx, copyStatement(c), w.steady[w.random.IntN(len(w.steady))].id, w.someSession())
		}})
	}
	return moves
}
