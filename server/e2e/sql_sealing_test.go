package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"vigil/server/pgtest"
)

// scoring is what a device inserts of clio's message in the strict session.
func scoring(who, side string, level int) string {
	return fmt.Sprintf(`select tests.act('%s', format('
		insert into public.message_scores (message_id, side, device_id, after_position, level, harm_others, abuse, distress, alert, escalate, hard, items,
		  scores, rules, model_version, ruleset_version, signature)
		values (%%L, ''%s'', %%L, 0, %d, false, false, false, true, false, ''{}'', ''{unknown,unknown,unknown,unknown,unknown,unknown}'',
		  ''{0,0,0,0}'', ''{}'', ''m'', ''r'', %%L)', tests.message('clio', tests.session('strict'), 0), tests.device('%[1]s'), tests.bytes('score', 86)))`, who, side, level)
}

// sqlSealing runs two changes of one session in turn, the second while the first is in flight: neither misses the other.
func sqlSealing(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	const (
		erase = "select private.erase_session(tests.session('assisted'))"
		sent  = "select tests.act('clio', tests.message_command('clio', tests.session('assisted'), 7))"
		raise = `
			select tests.attempt('vigil', format($$insert into public.assessments (organization_id, session_id, message_id, position, source, status, level)
			values (%L, %L, %L, 1, 'second', 'assessed', 4)$$, tests.organization('alder'), tests.session('assisted'), tests.message('clio', tests.session('assisted'), 0)))`
		left = `
			select concat_ws(' ', (select count(*) from public.messages), (select count(*) from public.assessments), (select count(*) from public.epoch_wraps),
			  (select status from public.erasures order by created_at limit 1))
			from (select) one`
		scores = "select string_agg(side || ' ' || disagrees, ', ' order by side) from public.message_scores"
	)
	// The others' session keeps its message, its assessment and its three wraps; the strict one its message and its two.
	cases := map[string]struct{ first, second, query, stands string }{
		"the sender's score, then the clinician's": {scoring("clio", "sender", 4), scoring("theo", "clinician", 2), scores, "clinician true, sender false"},
		"a message, then the session's erasure":    {sent, erase, left, "2 1 5 shredded"},
		"the session's erasure, then a finding":    {erase, raise, left, "2 1 5 shredded"},
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			_, admin := sqlPeople(t, c)
			sqlInTurn(t, admin, s.first, s.second)
			var stands string
			if err := admin.QueryRow(t.Context(), s.query).Scan(&stands); err != nil || stands != s.stands {
				t.Errorf("it stands as %q, %v; not %q", stands, err, s.stands)
			}
		})
	}
}

// erasedSessions is how many sessions sqlErasing erases.
const erasedSessions = 8

// inEach is a statement for each of these sessions, whose name stands for $1.
func inEach(statement string) []string {
	all := make([]string, erasedSessions)
	for i := range all {
		all[i] = strings.ReplaceAll(statement, "$1", fmt.Sprintf("'erased %d'", i))
	}
	return all
}

const openErased = `
		insert into public.sessions (id, organization_id, mode) values (tests.session($1), tests.organization('alder'), 'assisted');
		insert into public.session_participants (session_id, user_id, organization_id, role) values
		  (tests.session($1), tests.id('clio'), tests.organization('alder'), 'client'), (tests.session($1), tests.id('theo'), tests.organization('alder'), 'therapist');
		update public.sessions set status = 'active' where id = tests.session($1);
		select tests.act('clio', format('insert into public.session_consents (id, session_id, device_id, scope, text_hash, signature) values (%L, %L, %L, %L, %L, %L)',
		  md5($1)::uuid, tests.session($1), tests.device('clio'), '{analysis}', tests.bytes('text', 43), tests.bytes('consent', 86)));
		select tests.act('clio', tests.epoch_command('clio', tests.session($1), md5($1)::uuid));
		select tests.act('clio', tests.message_command('clio', tests.session($1), 0))`

// raiseErased records as the sidecar does: how far it is, the finding, its alert, whom it reaches, that it was raised.
const raiseErased = `
		select tests.act('vigil', format($$
		  update public.session_progress set state = '{}', state_version = 1, updated_at = now() where session_id = %3$L;
		  insert into public.assessments (id, organization_id, session_id, message_id, position, status, level, alert, source) values (%1$L, %2$L, %3$L, %4$L, 1, 'assessed', 4, true, %5$L);
		  insert into public.alerts (organization_id, session_id, message_id, assessment_id, level, source) values (%2$L, %3$L, %4$L, %1$L, 4, %5$L);
		  insert into public.alert_recipients (alert_id, user_id, organization_id, session_id, reason) select id, %6$L, organization_id, session_id, 'on_call' from public.alerts where source = %5$L;
		  insert into public.alert_events (alert_id, organization_id, session_id, kind, version) select id, organization_id, session_id, 'raised', 1 from public.alerts where source = %5$L
		  $$, gen_random_uuid(), tests.organization('alder'), tests.session($1), tests.message('clio', tests.session($1), 0), gen_random_uuid(), tests.id('olive')))`

// workInErased is what everybody does in the sessions meanwhile.
func workInErased() map[string][]string {
	return map[string][]string{
		"send":     inEach("select tests.act('clio', tests.message_command('clio', tests.session($1), (random() * 1e9)::bigint))"),
		"rotate":   inEach("select tests.act('theo', tests.epoch_command('theo', tests.session($1), md5($1)::uuid))"),
		"find":     inEach(raiseErased),
		"resolve":  inEach("select tests.act('olive', format('select public.resolve_alert(%L, %s)', id, version)) from public.alerts where session_id = tests.session($1) and status = 'open' limit 1"),
		"suggest":  inEach("select tests.act('theo', format('select public.request_suggestion(%L)', tests.session($1)))"),
		"record":   inEach("select tests.act('vigil', tests.record_command(id, message_id, jsonb_build_array(tests.seal(tests.device('theo'))))) from public.suggestions where status = 'requested' and session_id = tests.session($1) limit 1"),
		"refuse":   inEach("select tests.act('theo', format('select public.report_refusal(%L, ''messages'', %L, ''body'')', tests.session($1), gen_random_uuid()))"),
		"attach":   inEach("select tests.act('clio', format('insert into public.attachments (id, session_id, device_id, bytes, sha256) values (%L, %L, %L, 16, %L)', gen_random_uuid(), tests.session($1), tests.device('clio'), tests.bytes('f', 43)))"),
		"ask":      inEach("select tests.act('clio', format('select public.request_erasure(%L)', tests.session($1)))"),
		"withdraw": inEach("select tests.act('clio', format('select public.withdraw_consent(%L, %L)', md5($1)::uuid, tests.bytes('w', 86))) where random() < 0.1"),
		"delete":   inEach("delete from public.messages where id in (select id from public.messages where session_id = tests.session($1) order by position desc limit 1)"),
		"admit": {"insert into public.devices (user_id, enc_pub, sig_pub) values (tests.id('clio'), tests.key(random()::text), tests.key(random()::text))",
			"select tests.admit(id) from public.devices where user_id = tests.id('clio') and admitted_at is null and revoked_at is null",
			"update public.devices set revoked_at = now() where user_id = tests.id('clio') and id <> tests.device('clio') and revoked_at is null"},
	}
}

// sqlErasing erases session after session, and then the person, while everybody works in them: no circle, and nothing is left.
func sqlErasing(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	const turns = 60 // of each worker
	_, admin := sqlPeople(t, c)
	for _, statement := range inEach(openErased) {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var group errgroup.Group
	do := func(name, statement string) error {
		_, err := admin.Exec(t.Context(), statement)
		var refused *pgconn.PgError // what the rules refuse is right, a circle is not
		if err != nil && (name == "erase" || !errors.As(err, &refused) || refused.Code == "40P01") {
			if refused != nil {
				err = fmt.Errorf("%w: %s in %s", err, refused.Detail, refused.Where)
			}
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	for name, statements := range workInErased() {
		group.Go(func() error {
			for i := range turns {
				if err := do(name, statements[i%len(statements)]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		for _, statement := range append(inEach("select private.erase_session(tests.session($1))"), "select private.erase_person(tests.organization('alder'), tests.id('clio'))") {
			if err := do("erase", statement); err != nil {
				return err
			}
		}
		return do("erase", "select private.settle_erasure(id, 0) from public.erasures where kind = 'person'")
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	var left string
	const query = `
		select concat_ws(' ', (select count(*) from public.erasures where status <> 'done'), (select count(*) from public.session_participants where user_id = tests.id('clio')),
		  (select count(*) from public.messages where session_id <> tests.session('theirs')), (select count(*) from public.epoch_wraps where session_id <> tests.session('theirs')),
		  (select count(*) from public.alerts where session_id <> tests.session('theirs')), private.first_broken_audit(tests.organization('alder')))`
	if err := admin.QueryRow(t.Context(), query).Scan(&left); err != nil || left != "0 0 0 0 0" {
		t.Errorf("erasures not done, parts taken, messages, wraps, alerts, and where the chain breaks: %q, %v", left, err)
	}
}
