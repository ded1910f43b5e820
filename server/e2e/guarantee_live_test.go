package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/pgtest"
)

// loginEnded is the code that a socket is closed with when its login has ended.
const loginEnded = 4001

// TestRightsThatEndInSQLEndLiveSockets is guarantee 4: logins that end, people who are banned or deleted, and policies, functions,
// grants and role memberships that change, without a restart: where the database may say so by a trigger, and where it may not.
func TestRightsThatEndInSQLEndLiveSockets(t *testing.T) {
	t.Parallel()
	s := setup(t, options{version: 17}) // before 16, what roles inherit is not said for each membership
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	org, _ := s.organization(t)
	y := s.therapy(t, org)
	m := s.marks(t, y)
	t.Run("logins, by trigger", func(t *testing.T) {
		if told := s.loginsEnd(t, m, org); told < 4 {
			t.Errorf("the log told of %v", told)
		}
	})
	t.Run("logins, by poll alone", func(t *testing.T) {
		s.super(t, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `drop trigger vigil_an_ended_login_is_recorded on auth.sessions; drop trigger vigil_a_barred_person_is_recorded on auth.users`)
			return err
		})
		if told := s.loginsEnd(t, m, org); told > 1 { // the membership of who was deleted
			t.Errorf("the log told of %v", told)
		}
		s.sql(t, s.migration(t, "logins"))
		s.sql(t, s.migration(t, "barred_people"))
	})
	t.Run("policies, by fingerprint alone", func(t *testing.T) {
		for _, c := range []change{aPolicy(y), aMembership(t, s, y)} {
			if told := c.test(t, m); told > 0 {
				t.Errorf("%s: the log told of it", c.name)
			}
		}
	})
	t.Run("policies, by event trigger", func(t *testing.T) {
		s.announceSchemaChanges(t)
		for _, c := range []change{aPolicy(y), aFunction(y), aFunctionsGrant(y), aTablesGrant(y)} {
			if told := c.test(t, m); told == 0 {
				t.Errorf("%s: the log did not tell of it", c.name)
			}
		}
	})
}

// revoked counts the revocations that came by the log.
func (s *stack) revoked(t testing.TB) float64 {
	t.Helper()
	n, err := s.metric(t.Context(), "vigil_relay_revocations_total")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// loginsEnd ends logins in each of the ways that Auth has, all at once, and holds that their sockets end, that what is committed later
// does not come, and that nobody gets in again who is not let in again. It returns how many revocations came by the log.
func (s *stack) loginsEnd(t *testing.T, m *marks, org uuid.UUID) (told float64) {
	t.Helper()
	ways := map[string]func(p *person){
		"signed out": func(p *person) { s.signOut(t, p) },
		"banned": func(p *person) {
			s.sql(t, "update auth.users set banned_until = now() + interval '1 day', updated_at = now() where id = $1", p.id)
		},
		"deleted softly": func(p *person) { s.sql(t, "update auth.users set deleted_at = now() where id = $1", p.id) },
		"deleted":        func(p *person) { s.sql(t, "delete from auth.users where id = $1", p.id) },
	}
	people, watchers := map[string]*person{}, map[string]*watcher{}
	for way := range ways {
		people[way] = s.enrol(t, org, "supervisor", "aal1")
		watchers[way] = s.watch(people[way], m.control.topic)
		watchers[way].begin(t)
		m.await(t, watchers[way], func(w *watcher) bool { return w.cursor != "" })
	}
	first := m.commit(t)
	for _, w := range watchers { // nobody's grant is being asked for again
		m.await(t, w, func(w *watcher) bool { return w.sees(first) })
	}
	before, start := s.revoked(t), time.Now()
	for way, end := range ways {
		end(people[way])
	}
	for way, w := range watchers {
		m.await(t, w, func(w *watcher) bool { return w.closed })
		if way != "deleted" { // the membership is deleted, too, and may be what ends the channel
			m.await(t, w, func(w *watcher) bool { return w.close == loginEnded })
		}
		t.Logf("%s: ended after %s", way, time.Since(start).Round(time.Millisecond))
	}
	told = s.revoked(t) - before
	mark := m.commit(t)
	for way, w := range watchers {
		again := s.watch(people[way], m.control.topic)
		again.begin(t)
		m.await(t, again, func(w *watcher) bool { return w.refused > 0 })
		w.mu.Lock()
		if w.sees(mark) {
			t.Errorf("%s: what was committed afterwards came", way)
		}
		w.mu.Unlock()
		if way == "banned" {
			s.sql(t, "update auth.users set banned_until = null where id = $1", people[way].id)
			m.await(t, again, func(w *watcher) bool { return w.cursor != "" })
		}
	}
	return told
}

// change is one of what grants rest on: the person follows the topic until it is made, and again once it is undone.
type change struct {
	name, topic string
	person      *person
	do          string
	undo        func(t testing.TB, s *stack)
	everyone    bool // nobody's permissions can be read meanwhile: channels end with phx_error, and come back by themselves
	as          string
}

const followPolicy = "participants take part in their session"

func aPolicy(y *therapy) change {
	return change{
		name: "a policy", topic: "session:" + y.id.String(), person: y.client,
		do:   fmt.Sprintf("alter policy %q on relay.permissions using (false)", followPolicy),
		undo: func(t testing.TB, s *stack) { t.Helper(); s.sql(t, s.migration(t, "permissions_of_policies")) },
	}
}

func aFunction(y *therapy) change {
	return change{
		name: "a function", topic: "care:" + y.id.String(), person: y.therapist,
		do: "create or replace function private.attends(session uuid) returns boolean language sql stable security definer set search_path = '' as 'select false'",
		undo: func(t testing.TB, s *stack) {
			t.Helper()
			s.sql(t, s.migration(t, "permissions_of"))
			s.sql(t, s.migration(t, "fresh_plans"))
		},
	}
}

func aFunctionsGrant(y *therapy) change {
	return change{
		name: "a function's grant", topic: "session:" + y.id.String(), person: y.therapist, everyone: true,
		do: "revoke execute on function private.attends(uuid) from authenticated",
		undo: func(t testing.TB, s *stack) {
			t.Helper()
			s.sql(t, "grant execute on function private.attends(uuid) to authenticated")
		},
	}
}

func aTablesGrant(y *therapy) change {
	return change{
		name: "a table's grant", topic: "session:" + y.id.String(), person: y.client, everyone: true,
		do: "revoke select on relay.permissions from authenticated",
		undo: func(t testing.TB, s *stack) {
			t.Helper()
			s.sql(t, "grant select on relay.permissions to authenticated")
		},
	}
}

// aMembership is of a role in another: how it is one changes, not whether, and no event trigger tells of it.
func aMembership(t testing.TB, s *stack, y *therapy) change {
	t.Helper()
	run := func(t testing.TB, script string) {
		t.Helper()
		s.super(t, func(ctx context.Context, conn *pgx.Conn) error { _, err := conn.Exec(ctx, script); return err })
	}
	run(t, `create role ward; grant ward to authenticated with inherit true;
		create policy "wards follow organisations" on relay.permissions for select to ward using ((select relay.topic_kind()) = 'org' and (extension, action) = ('broadcast', 'receive'))`)
	return change{
		name: "a role's membership", topic: "org:" + y.org.String(), person: y.therapist, as: pgtest.RoleSuperuser,
		do: "grant ward to authenticated with inherit false",
		undo: func(t testing.TB, _ *stack) {
			t.Helper()
			run(t, "grant ward to authenticated with inherit true")
		},
	}
}

// test makes the change, and undoes it. It returns how many revocations came by the log before a channel was cut.
func (c change) test(t *testing.T, m *marks) (told float64) {
	t.Helper()
	s := m.s
	control, other := s.watch(c.person, c.topic), s.watch(c.person, c.topic)
	control.begin(t)
	m.await(t, control, func(w *watcher) bool { return w.cursor != "" })
	m.commit(t)
	before, start := s.revoked(t), time.Now()
	if c.as != "" {
		s.super(t, func(ctx context.Context, conn *pgx.Conn) error { _, err := conn.Exec(ctx, c.do); return err })
	} else {
		s.sql(t, c.do)
	}
	m.await(t, control, func(w *watcher) bool { return w.closed || c.everyone && w.refused > 0 })
	t.Logf("%s: cut after %s", c.name, time.Since(start).Round(time.Millisecond))
	told = s.revoked(t) - before
	mark := m.write(t)
	other.begin(t)
	m.await(t, other, func(w *watcher) bool { return w.refused > 0 })
	control.mu.Lock()
	if control.closed == c.everyone || control.sees(mark) {
		t.Errorf("%s: closed %t, though it is about everyone %t; a row committed afterwards came: %t", c.name, control.closed, c.everyone, control.sees(mark))
	}
	control.mu.Unlock()
	c.undo(t, s)
	m.await(t, other, func(w *watcher) bool { return w.cursor != "" })
	if c.everyone {
		m.await(t, control, func(w *watcher) bool { return w.sees(mark) && len(w.faults) == 0 && w.lostCount() == 0 })
	}
	m.await(t, m.control, func(w *watcher) bool { return w.closed || w.sees(mark) })
	m.control.mu.Lock()
	closed := m.control.closed
	m.control.mu.Unlock()
	if closed && c.topic != m.control.topic {
		t.Errorf("%s: another channel was ended, too", c.name)
	}
	if closed { // whoever was told not to come back, does not
		m.control = s.watch(m.person, "session:"+m.session.String())
		m.control.begin(m.owner)
		m.await(t, m.control, func(w *watcher) bool { return w.sees(mark) })
	}
	return told
}

// announceSchemaChanges runs the migration as the superuser, who may make an event trigger, as hosted Supabase's postgres may.
func (s *stack) announceSchemaChanges(t testing.TB) {
	t.Helper()
	script := s.migration(t, "policy_fingerprint")
	s.super(t, func(ctx context.Context, conn *pgx.Conn) error { _, err := conn.Exec(ctx, script); return err })
}

func (s *stack) migration(t testing.TB, noun string) string {
	t.Helper()
	root, err := pgtest.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(root, "sql", "migrations", "*_"+noun+".sql"))
	if err != nil || len(found) != 1 {
		t.Fatalf("migration %s: %v %v", noun, found, err)
	}
	script, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}
