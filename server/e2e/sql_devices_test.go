package e2e_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"vigil/server/pgtest"
)

// Statements about the clinician on call, olive, whom the fixture's alert of the assisted session paged.
const (
	sqlCrisisConsent = `
		select tests.act('clio', format(
			'insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values (%L, %L, %L, %L, %L, %L)',
			md5('crisis')::uuid, tests.session('assisted'), tests.device('clio'), '{crisis_access}', tests.bytes('t', 43), tests.bytes('s', 86)))`
	// As the sidecar gives them: all of one alert in one call, and no more in a transaction.
	sqlGrantsDue = `
		select tests.act('vigil', format('select private.grant_crisis_access(%L, %L)', g.alert_id, g.grants))
		from (
			select d.alert_id, jsonb_agg(jsonb_build_object(
				'session_id', d.session_id, 'epoch', d.epoch, 'device_id', d.device_id, 'wrap', tests.bytes('w', 151), 'signature', tests.bytes('s', 86),
				'by_device_id', md5('analysis')::uuid)) as grants
			from private.crisis_grants_due(100) d
			group by d.alert_id
			order by d.alert_id
			limit 1
		) g`
	sqlHeldOnCall = `
		select (select count(*) from public.epoch_wraps where role = 3) + (select count(*) from public.epoch_readers where ended_at is null)`
)

// sqlCrisisWork is what comes and goes around crisis access, over and over.
var sqlCrisisWork = []string{
	strings.Replace(sqlCrisisConsent, "md5('crisis')::uuid", "gen_random_uuid()", 1),
	`select tests.act('vigil', format($command$
		insert into public.assessments (id, organization_id, session_id, message_id, position, status, level, alert, source)
		values (%1$L, %2$L, %3$L, %4$L, 1, 'assessed', 4, true, %1$L);
		insert into public.alerts (id, organization_id, session_id, message_id, assessment_id, level, source)
		values (%1$L, %2$L, %3$L, %4$L, %1$L, 4, %1$L);
		insert into public.alert_events (alert_id, organization_id, session_id, kind, version) values (%1$L, %2$L, %3$L, 'raised', 1);
		insert into public.alert_recipients (alert_id, user_id, organization_id, session_id, reason) values (%1$L, %5$L, %2$L, %3$L, 'on_call')
		$command$, gen_random_uuid(), tests.organization('alder'), m.session_id, m.id, tests.id('olive')))
	from public.messages m where m.session_id = tests.session('assisted') order by m.position desc limit 1`,
	sqlGrantsDue,
	"select tests.act('olive', format('select public.resolve_alert(%L, %s)', id, version)) from public.alerts where source <> 'sidecar' and status <> 'resolved' limit 1",
	sqlGrantsDue,
	"select tests.act('clio', format('select public.withdraw_consent(%L, %L)', id, tests.bytes('w', 86))) from public.session_consents where scope = '{crisis_access}' and withdrawn_at is null limit 1",
}

func sqlCount(t *testing.T, pool *pgxpool.Pool, query string) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// What ends crisis access waits for a grant in flight, and then ends that too: nobody keeps a key by a race.
func sqlCrisisRaces(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	changes := map[string]string{
		"the device is revoked":               "update public.devices set revoked_at = now() where id = tests.device('olive')",
		"the membership ends":                 "update public.memberships set ended_at = now() where user_id = tests.id('olive')",
		"the client's membership ends":        "update public.memberships set ended_at = now() where user_id = tests.id('clio')",
		"the client's device is revoked":      "update public.devices set revoked_at = now() where id = tests.device('clio')",
		"consent is withdrawn":                "select tests.act('clio', $$select public.withdraw_consent(md5('crisis')::uuid, tests.bytes('w', 86))$$)",
		"the alert is resolved":               "select tests.act('sunny', format('select public.resolve_alert(%L, 1)', tests.alert('assisted')))",
		"the message is erased":               "delete from public.messages where id = tests.message('clio', tests.session('assisted'), 0)",
		"somebody who has not agreed arrives": "insert into public.session_participants (session_id, user_id, organization_id, role) select tests.session('assisted'), user_id, organization_id, 'client' from public.memberships where user_id = tests.id('nobody')",
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			_, admin := sqlPeople(t, c)
			const joins = "insert into public.memberships (organization_id, user_id, role) values (tests.organization('alder'), tests.id('nobody'), 'client')"
			for _, statement := range []string{joins, sqlCrisisConsent} {
				if _, err := admin.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			sqlWait(t, admin, sqlGrantsDue, change)
			if readers := sqlCount(t, admin, "select count(*) from public.epoch_readers where reason = 'crisis_access' and ended_at is not null"); readers != 1 {
				t.Errorf("%d grants that ended, want the one in flight", readers)
			}
			if held := sqlCount(t, admin, sqlHeldOnCall); held != 0 {
				t.Errorf("%d keys or grants are left", held)
			}
			if behind := sqlCount(t, admin, "select 2 - min_epoch from public.sessions where id = tests.session('assisted')"); behind != 0 {
				t.Errorf("the epoch that was given is not retired")
			}
			if _, err := admin.Exec(t.Context(), sqlGrantsDue); err != nil {
				t.Fatal(err)
			}
			if held := sqlCount(t, admin, sqlHeldOnCall); held != 0 {
				t.Errorf("%d keys or grants come afterwards", held)
			}
		})
	}
}

// A history in flight is seen by the revocation of the device that gets it: what it was given of a live epoch is retired.
func sqlShareRaces(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	_, admin := sqlPeople(t, c)
	const second = `
		insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('second')::uuid, tests.id('clio'), tests.key('e2'), tests.key('s2'));
		alter table public.devices disable trigger admitting_a_device_retires_epochs;
		select tests.admit(md5('second')::uuid)`
	if _, err := admin.Exec(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	const share = `
		select tests.act('clio', format('select public.share_epochs(%L, %L, %L)', md5('second')::uuid, tests.device('clio'), jsonb_build_array(jsonb_build_object(
			'session_id', tests.session('assisted'), 'epoch', 1, 'wrap', tests.bytes('w', 151), 'signature', tests.bytes('s', 86)))))`
	sqlWait(t, admin, share, "update public.devices set revoked_at = now() where id = md5('second')::uuid")
	if least := sqlCount(t, admin, "select min_epoch from public.sessions where id = tests.session('assisted')"); least != 2 {
		t.Errorf("min_epoch %d: a revoked device holds the key of an epoch that is in use", least)
	}
}

// Two first devices of one person at once: one is admitted, and the other waits for it.
func sqlFirstDevices(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	_, admin := sqlPeople(t, c)
	const register = "insert into public.devices (user_id, enc_pub, sig_pub) values (tests.id('nobody'), tests.key(random()::text), tests.key(random()::text))"
	sqlWait(t, admin, register, register)
	const states = "select count(*) * 10 + count(*) filter (where admission = 'first') from public.devices where user_id = tests.id('nobody')"
	if n := sqlCount(t, admin, states); n != 21 {
		t.Errorf("devices and first ones: %d, want 21: two, of which one is the first", n)
	}
}

// Two devices of one person, each revoked by an old login at once: one of them stays, or nobody could open anything.
func sqlLastDevices(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	_, admin := sqlPeople(t, c)
	const second = `
		insert into public.devices (id, user_id, enc_pub, sig_pub) values (md5('second')::uuid, tests.id('clio'), tests.key('e2'), tests.key('s2'));
		select tests.admit(md5('second')::uuid);
		update auth.sessions set created_at = now() - interval '11 minutes' where id = tests.login('clio')`
	if _, err := admin.Exec(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	revoke := func(device string) string {
		return "select tests.act('clio', format('update public.devices set revoked_at = now() where id = %L', " + device + "))"
	}
	tx, err := admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), revoke("md5('second')::uuid")); err != nil {
		t.Fatal(err)
	}
	other := make(chan error, 1)
	go func() { // ends when the transaction does; received from below
		_, err := admin.Exec(t.Context(), revoke("tests.device('clio')"))
		other <- err
	}()
	for sqlCount(t, admin, "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'") == 0 {
		sqlCount(t, admin, "select count(*) from pg_sleep(0.01)")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	var refused *pgconn.PgError
	if err := <-other; !errors.As(err, &refused) || refused.Code != "VG024" {
		t.Errorf("the other one: %v, want VG024", err)
	}
	if left := sqlCount(t, admin, "select count(*) from public.devices where user_id = tests.id('clio') and revoked_at is null"); left != 1 {
		t.Errorf("%d devices are left, want 1", left)
	}
}
