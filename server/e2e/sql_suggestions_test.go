package e2e_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"vigil/server/pgtest"
)

// sqlSuggestions records a suggestion while what forbids it is in flight, and the other way round: whoever comes first, none is
// offered afterwards, and no sealed text of it is left.
func sqlSuggestions(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	const (
		wipe = "delete from public.suggestions where session_id = tests.session('assisted')"
		ask  = "select tests.act('theo', format('select public.request_suggestion(%L)', tests.session('assisted')))"
		// As the sidecar says it: the answer to a request, or unasked.
		record = `
			select tests.read('vigil', tests.record_command(
			  coalesce((select id from public.suggestions where status = 'requested'), md5('unasked')::uuid),
			  tests.message('clio', tests.session('assisted'), 0), jsonb_build_array(tests.seal(tests.device('theo')))))`
		off      = "update public.organizations set suggestions = 'off' where id = tests.organization('alder')"
		withdraw = "select tests.act('clio', $$select public.withdraw_consent(md5('consent assisted')::uuid, tests.bytes('w', 86))$$)"
		strict   = "update public.sessions set mode = 'strict' where id = tests.session('assisted')"
	)
	offered, withdrawn, noConsent, isStrict := "offered 1", "withdrawn 0", "not_made no_consent 0", "not_made strict 0"
	cases := map[string]struct {
		before        []string
		first, second string
		stands        string // of the suggestion, with how many seals; "" = there is none
	}{
		"an answer, then they are turned off":         {[]string{wipe, ask}, record, off, withdrawn},
		"they are turned off, then an answer":         {[]string{wipe, ask}, off, record, withdrawn},
		"unasked, then they are turned off":           {[]string{wipe}, record, off, withdrawn},
		"they are turned off, then unasked":           {[]string{wipe}, off, record, ""},
		"a request, then they are turned off":         {[]string{wipe}, ask, off, withdrawn},
		"an answer, then consent is withdrawn":        {[]string{wipe, ask}, record, withdraw, withdrawn},
		"consent is withdrawn, then an answer":        {[]string{wipe, ask}, withdraw, record, withdrawn},
		"consent is withdrawn, then unasked":          {[]string{wipe}, withdraw, record, noConsent},
		"the session becomes strict, then an answer":  {[]string{wipe, ask}, strict, record, isStrict},
		"the message is erased, then an answer":       {[]string{wipe, ask}, "delete from public.messages", record, ""},
		"an answer, then the message is erased":       {[]string{wipe, ask}, record, "delete from public.messages", ""},
		"an answer, then the same by another sidecar": {[]string{wipe, ask}, record, record, offered},
		"a request, then another therapist's":         {[]string{wipe}, ask, ask, "requested 0"},
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			_, admin := sqlPeople(t, c)
			for _, statement := range s.before {
				if _, err := admin.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			sqlInTurn(t, admin, s.first, s.second)
			const query = `
				select coalesce(string_agg(concat_ws(' ', s.status, s.reason, (select count(*) from public.suggestion_seals k where k.suggestion_id = s.id)), ', '), '')
				from public.suggestions s where s.session_id = tests.session('assisted')`
			var stands string
			if err := admin.QueryRow(t.Context(), query).Scan(&stands); err != nil || stands != s.stands {
				t.Errorf("it stands as %q, %v; not %q", stands, err, s.stands)
			}
		})
	}
}

// sqlInTurn runs the first in a transaction, starts the second, and commits once the second waits for it.
func sqlInTurn(t *testing.T, admin *pgxpool.Pool, first, second string) {
	t.Helper()
	ctx := t.Context()
	tx, err := admin.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	var holder, waiter int
	if err := tx.QueryRow(ctx, "select pg_backend_pid()").Scan(&holder); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, first); err != nil {
		t.Fatalf("first: %v", err)
	}
	conn, err := admin.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := conn.QueryRow(ctx, "select pg_backend_pid()").Scan(&waiter); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { // ends when the first's transaction does; received from below
		_, err := conn.Exec(ctx, second)
		done <- err
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for waits := false; !waits; {
		select {
		case err := <-done:
			t.Fatalf("the second did not wait for the first: %v", err)
		case <-tick.C:
			if err := admin.QueryRow(ctx, "select $1 = any (pg_blocking_pids($2))", holder, waiter).Scan(&waits); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("second: %v", err)
	}
}
