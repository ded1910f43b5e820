package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"vigil/server/pgtest"
)

// sqlKeyRetirement retires a key while somebody's conversation is locked: neither waits for the other, and the next pass finds it.
func sqlKeyRetirement(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	const (
		pass   = "set local lock_timeout = '2s'; select tests.act('vigil', 'select private.retire_epochs_of_retired_keys(null, 50)')"
		retire = "set local lock_timeout = '2s'; select tests.act('vigil', format('select private.retire_analysis_device(%L)', md5('analysis')::uuid))"
		epochs = "select string_agg(min_epoch::text, ' ' order by id = tests.session('assisted'), id = tests.session('theirs')) from public.sessions"
	)
	_, admin := sqlPeople(t, c)
	exec := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	stands := func(want string) {
		t.Helper()
		var got string
		if err := admin.QueryRow(t.Context(), epochs).Scan(&got); err != nil || got != want {
			t.Errorf("the least epochs are %q, %v; not %q", got, err, want)
		}
	}
	exec("insert into public.devices (id, user_id, kind, enc_pub, sig_pub, created_at) values (md5('next')::uuid, null, 'analysis', tests.key('enc next'), tests.key('sig next'), '2020-01-01')")
	talk, err := admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = talk.Rollback(t.Context()) }()
	// An epoch with the key, which nobody else sees before it is there.
	if _, err := talk.Exec(t.Context(), "select tests.act('brook', tests.epoch_command('brook', tests.session('theirs'), md5('consent theirs')::uuid))"); err != nil {
		t.Fatal(err)
	}
	exec(retire)
	exec(pass)
	stands("1 1 2") // strict, theirs, assisted
	if _, err := talk.Exec(t.Context(), "select tests.act('brook', tests.message_command('brook', tests.session('theirs'), 5))"); err != nil {
		t.Errorf("the conversation was stopped: %v", err)
	}
	if err := talk.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(pass)
	stands("1 3 2")
}

// sqlSettling settles an erasure while somebody ends a part in the erased session: both want its lock and its people.
func sqlSettling(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	_, admin := sqlPeople(t, c)
	ctx := t.Context()
	if _, err := admin.Exec(ctx, "select private.erase_session(tests.session('strict'))"); err != nil {
		t.Fatal(err)
	}
	talk, err := admin.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = talk.Rollback(ctx) }()
	if _, err := talk.Exec(ctx, "select from public.session_counters where session_id = tests.session('strict') for update"); err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	for i, statement := range []string{
		"select private.settle_erasure(id, 0) from public.erasures where kind = 'session'",
		"update public.session_participants set ended_at = now() where session_id = tests.session('strict')",
	} {
		group.Go(func() error {
			_, err := admin.Exec(ctx, statement)
			return err
		})
		const waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
		for n := 0; n <= i; {
			if err := admin.QueryRow(ctx, waiting).Scan(&n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := talk.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if n := sqlCount(t, admin, "select count(*) from public.session_participants where session_id = tests.session('strict')"); n != 0 {
		t.Errorf("%d people still take part in what was erased", n)
	}
}

// guests are clients of one practice, each with a session, an alert that was acknowledged, and a page.
const guests = 6

// settleGuests makes the guests.
func settleGuests(t *testing.T, admin *pgxpool.Pool) {
	t.Helper()
	const settle = `
		insert into tests.people (name, id, login, device) values ($1, md5('person ' || $1)::uuid, md5('login ' || $1)::uuid, md5('device ' || $1)::uuid);
		insert into auth.users (id, email, aud, role) values (tests.id($1), md5($1) || '@example.invalid', 'authenticated', 'authenticated');
		insert into auth.sessions (id, user_id, created_at, aal) values (tests.login($1), tests.id($1), now(), 'aal2');
		insert into public.memberships (organization_id, user_id, role) values (tests.organization('alder'), tests.id($1), 'client');
		insert into public.devices (id, user_id, enc_pub, sig_pub) values (tests.device($1), tests.id($1), tests.key('enc ' || $1), tests.key('sig ' || $1));
		insert into public.sessions (id, organization_id, mode) values (tests.session($1), tests.organization('alder'), 'assisted');
		insert into public.session_participants (session_id, user_id, organization_id, role) values
		  (tests.session($1), tests.id($1), tests.organization('alder'), 'client'), (tests.session($1), tests.id('theo'), tests.organization('alder'), 'therapist');
		update public.sessions set status = 'active' where id = tests.session($1);
		select tests.act($1, format('insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values (%L, %L, %L, %L, %L, %L)',
		  md5($1)::uuid, tests.session($1), tests.device($1), '{analysis,crisis_access}', tests.bytes('text', 43), tests.bytes('consent', 86)));
		select tests.act($1, tests.epoch_command($1, tests.session($1), md5($1)::uuid));
		select tests.act($1, tests.message_command($1, tests.session($1), 0));
		insert into public.assessments (id, organization_id, session_id, message_id, position, status, level, alert, source)
		  values (md5('found ' || $1)::uuid, tests.organization('alder'), tests.session($1), tests.message($1, tests.session($1), 0), 1, 'assessed', 4, true, 'sidecar');
		insert into public.alerts (id, organization_id, session_id, message_id, assessment_id, level, source)
		  values (md5('alert ' || $1)::uuid, tests.organization('alder'), tests.session($1), tests.message($1, tests.session($1), 0), md5('found ' || $1)::uuid, 4, 'sidecar');
		insert into public.alert_events (alert_id, organization_id, session_id, kind, version)
		  values (md5('alert ' || $1)::uuid, tests.organization('alder'), tests.session($1), 'raised', 1);
		insert into public.alert_recipients (alert_id, user_id, organization_id, session_id, reason)
		  values (md5('alert ' || $1)::uuid, tests.id('olive'), tests.organization('alder'), tests.session($1), 'on_call');
		select tests.act('theo', format('select public.acknowledge_alert(%L, 1)', md5('alert ' || $1)::uuid))`
	for i := range guests {
		if _, err := admin.Exec(t.Context(), strings.ReplaceAll(settle, "$1", fmt.Sprintf("'guest %d'", i))); err != nil {
			t.Fatalf("guest %d: %v", i, err)
		}
	}
}

// workAmongGuests is what everybody does meanwhile, in every guest's session: $1 is the guest's name.
var workAmongGuests = map[string]string{
	"send":        "select tests.act($1, tests.message_command($1, tests.session($1), (random() * 1e9)::bigint))",
	"answer":      "select tests.act('theo', tests.message_command('theo', tests.session($1), (random() * 1e9)::bigint))",
	"rotate":      "select tests.act('theo', tests.epoch_command('theo', tests.session($1), md5($1)::uuid))",
	"acknowledge": "select tests.act('theo', format('select public.acknowledge_alert(%L, %s)', id, version)) from public.alerts where session_id = tests.session($1) and status = 'open'",
	"add":         "insert into public.devices (user_id, enc_pub, sig_pub) values (tests.id($1), tests.key(random()::text), tests.key(random()::text))",
	"admit":       "select tests.admit(id) from public.devices where user_id = tests.id($1) and admitted_at is null and revoked_at is null",
	"revoke":      "update public.devices set revoked_at = now() where user_id = tests.id($1) and id <> tests.device($1) and revoked_at is null",
	"share": `select tests.act($1, format('select public.share_epochs(%L, %L, %L)', d.id, tests.device($1),
		  (select jsonb_agg(jsonb_build_object('session_id', e.session_id, 'epoch', e.epoch, 'wrap', tests.bytes('w', 151), 'signature', tests.bytes(random()::text, 86)))
		   from public.session_epochs e where e.session_id = tests.session($1))))
		from public.devices d where d.user_id = tests.id($1) and d.id <> tests.device($1) and d.revoked_at is null and d.admitted_at is not null limit 1`,
	"withdraw": "select tests.act($1, format('select public.withdraw_consent(%L, %L)', md5($1)::uuid, tests.bytes('w', 86))) where random() < 0.05",
	"leave":    "update public.memberships set ended_at = now() where user_id = tests.id('olive') and organization_id = tests.organization('alder')",
	"return":   "update public.memberships set ended_at = null where user_id = tests.id('olive') and organization_id = tests.organization('alder')",
	"grant":    sqlGrantsDue,
	"end":      "update public.session_participants set ended_at = case when ended_at is null then now() end where session_id = tests.session($1) and user_id = tests.id('theo')",
}

// sqlErasingPeople erases several people of one practice at once, while everybody works with them: no circle.
func sqlErasingPeople(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	const turns = 10 // of each worker, with each guest
	_, admin := sqlPeople(t, c)
	settleGuests(t, admin)
	do := func(name, statement string, i int) error {
		_, err := admin.Exec(t.Context(), strings.ReplaceAll(statement, "$1", fmt.Sprintf("'guest %d'", i)))
		var refused *pgconn.PgError // what the rules refuse is right, a circle is not
		if err != nil && errors.As(err, &refused) && refused.Code == "40P01" {
			err = fmt.Errorf("%w: %s in %s", err, refused.Detail, refused.Where)
		} else if refused != nil && name != "erase" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	var group errgroup.Group
	for name, statement := range workAmongGuests {
		group.Go(func() error {
			for i := range turns * guests {
				if err := do(name, statement, i%guests); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for i := range guests {
		group.Go(func() error {
			if err := do("erase", "select private.erase_person(tests.organization('alder'), tests.id($1))", i); err != nil {
				return err
			}
			return do("erase", "select private.settle_erasure(id, 0) from public.erasures where kind = 'person' and person_id = tests.id($1)", i)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	var left string
	const query = `
		select concat_ws(' ', (select count(*) from public.erasures where kind = 'person' and status = 'done'),
		  (select count(*) from public.messages m join tests.people p on m.session_id = tests.session(p.name) where p.name like 'guest %'),
		  private.first_broken_audit(tests.organization('alder')))`
	if err := admin.QueryRow(t.Context(), query).Scan(&left); err != nil || left != fmt.Sprintf("%d 0", guests) {
		t.Errorf("people erased, messages left, and where the chain breaks: %q, %v", left, err)
	}
}
