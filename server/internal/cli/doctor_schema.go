package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// tables must exist, each with RLS on. A test holds the list to sql/.
var tables = []string{
	"alert_events", "alert_page_deliveries", "alert_pages", "alert_recipients", "alerts", "assessments", "attachments", "audit_log", "consent_texts", "contact_points",
	"crisis_policies",
	"device_signatures", "devices", "ended_logins", "epoch_readers", "epoch_wraps", "erasures", "former_wraps", "memberships", "message_arrivals", "message_scores", "messages",
	"model_routes", "oncall_shifts", "organizations",
	"profiles", "recovery_keys", "session_consents", "session_counters", "session_epochs", "session_participants", "session_progress", "sessions",
	"sidecar_state", "suggestion_seals", "suggestions", "topic_terms",
}

// triggers must be in force: table, and the names on it. A test holds the list to sql/.
var triggers = map[string]string{
	"alert_events":         "a_reopened_alert_is_paged an_alert_event_changes_its_alert an_alert_event_must_follow an_alert_event_stands resolving_an_alert_ends_crisis_access written_in_the_audit_log",
	"alert_pages":          "a_sent_page_stands written_in_the_audit_log",
	"alerts":               "a_grave_alert_is_paged an_alert_begins_open an_alert_changes_only_by_an_event an_erased_alert_ends_crisis_access",
	"assessments":          "a_score_goes_before_its_absence an_assessment_stands",
	"attachments":          "a_file_comes_from_somebody_who_takes_part an_attachment_stands",
	"audit_log":            "the_audit_log_is_not_truncated the_audit_log_stands",
	"consent_texts":        "a_consent_text_gets_its_hash_and_version a_consent_text_stands written_in_the_audit_log",
	"contact_points":       "a_contact_point_says_who_wrote_it written_in_the_audit_log",
	"crisis_policies":      "a_changed_crisis_policy_gets_a_new_version written_in_the_audit_log",
	"device_signatures":    "a_device_is_vouched_for_by_another a_device_signature_stands written_in_the_audit_log written_in_the_audit_log_when_changed",
	"devices":              "a_device_keeps_its_keys a_first_device_is_admitted a_first_device_retires_epochs a_persons_devices_change_in_turn admitting_a_device_retires_epochs revoked_devices_lose_crisis_access revoking_a_device_retires_epochs written_in_the_audit_log written_in_the_audit_log_when_changed",
	"epoch_readers":        "an_epoch_reader_stands written_in_the_audit_log written_in_the_audit_log_when_changed",
	"epoch_wraps":          "written_in_the_audit_log",
	"erasures":             "a_receipt_stands",
	"memberships":          "a_membership_keeps_its_person a_returning_member_retires_epochs losing_a_membership_has_consequences written_in_the_audit_log",
	"message_scores":       "a_score_is_checked_before_it_is_stored a_score_stands a_score_waits_for_the_sidecar written_in_the_audit_log",
	"messages":             "a_message_is_checked_before_it_is_stored a_message_stands an_erased_message_holds_its_session arrivals_are_recorded messages_are_not_truncated written_in_the_audit_log",
	"model_routes":         "a_changed_model_route_says_when written_in_the_audit_log",
	"oncall_shifts":        "written_in_the_audit_log",
	"organizations":        "an_organization_gets_its_crisis_policy turning_suggestions_off_withdraws_them written_in_the_audit_log",
	"recovery_keys":        "a_recovery_key_stands written_in_the_audit_log",
	"session_consents":     "a_consent_is_given_by_a_client a_consent_stands_as_it_was_signed withdrawn_consent_ends_crisis_access withdrawing_consent_retires_epochs withdrawing_consent_withdraws_suggestions written_in_the_audit_log",
	"session_epochs":       "an_epoch_is_checked_before_it_is_made an_epoch_stands",
	"session_participants": "a_new_participant_retires_epochs a_participant_needs_a_membership a_returning_participant_retires_epochs losing_a_participant_retires_epochs taking_part_decides_crisis_access written_in_the_audit_log",
	"sessions":             "a_session_gets_its_counters a_session_keeps_to_its_life_cycle written_in_the_audit_log",
	"suggestion_seals":     "a_seal_stands",
	"suggestions":          "a_suggestion_keeps_to_its_life_cycle written_in_the_audit_log written_in_the_audit_log_when_changed",
	"topic_terms":          "a_topic_term_holds_the_policy deleted_topic_terms_change_the_policy new_topic_terms_change_the_policy written_in_the_audit_log",
}

// examineTables says whether all tables are there: without them the rest cannot be asked.
func examineTables(ctx context.Context, r *report, p *patient) bool {
	const check = "schema"
	closed, err := texts(ctx, p, `
		select nspname from pg_namespace where nspname in ('public', 'private', 'relay') and not has_schema_privilege(oid, 'usage') order by 1`)
	if err == nil && len(closed) > 0 { // Postgres would not even say what is in it
		r.fail(check, mend{Fix: "As postgres:", SQL: each("grant usage on schema %s to vigil;", closed)}, "%s may not use schema %s", p.role, strings.Join(closed, ", "))
		return false
	}
	missing, err := texts(ctx, p, `
		select t from unnest($1::text[]) t where to_regclass(t) is null order by t`, append(prefixed(tables), "relay.permissions"))
	switch {
	case err != nil:
		r.fail(check, again, "the tables could not be listed: %s", code(err))
	case len(missing) > 0:
		r.fail(check, runMigrations, "%d tables are missing: %s", len(missing), strings.Join(missing, ", "))
	default:
		r.ok(check, "all %d tables are there", len(tables)+1)
		return true
	}
	return false
}

func prefixed(names []string) []string {
	full := make([]string, len(names), len(names)+1)
	for i, n := range names {
		full[i] = "public." + n
	}
	return full
}

func examineRLS(ctx context.Context, r *report, p *patient) {
	const check = "rls"
	open, err := texts(ctx, p, `
		select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname in ('public', 'relay') and c.relkind in ('r', 'p') and not c.relrowsecurity order by 1`)
	switch {
	case err != nil:
		r.fail(check, again, "row security could not be read: %s", code(err))
	case len(open) > 0:
		r.fail(check, mend{Fix: "Turn it on; where the table then shows nobody what it should, give it policies.", SQL: each("alter table %s enable row level security;", open)},
			"row security is off on %s", strings.Join(open, ", "))
	default:
		r.ok(check, "on for every table in public and relay")
	}
}

// each is one statement for each name, a line each.
func each(statement string, names []string) string {
	lines := make([]string, len(names))
	for i, n := range names {
		lines[i] = fmt.Sprintf(statement, n)
	}
	return strings.Join(lines, "\n")
}

func examineTriggers(ctx context.Context, r *report, p *patient) {
	const check = "triggers"
	var wantTables, wantNames []string
	for table, names := range triggers {
		for _, n := range strings.Fields(names) {
			wantTables, wantNames = append(wantTables, table), append(wantNames, n)
		}
	}
	const wanted = `
		from unnest($1::text[], $2::text[]) w (tab, name)
		left join pg_trigger t on t.tgrelid = to_regclass('public.' || w.tab) and t.tgname = w.name `
	missing, err := texts(ctx, p, "select format('%s on %s', w.name, w.tab)"+wanted+"where t.oid is null order by 1", wantTables, wantNames)
	if err == nil {
		var off []string
		off, err = texts(ctx, p, "select format('alter table public.%I enable trigger %I;', w.tab, w.name)"+wanted+"where t.tgenabled not in ('O', 'A') order by 1", wantTables, wantNames)
		if err == nil && len(off) > 0 {
			r.fail(check, mend{Fix: "Turn them on again, and ask who turned them off: what was written meanwhile was not checked.", SQL: strings.Join(off, "\n")}, "%s off", count(len(off), "trigger"))
		}
		if err == nil && len(off)+len(missing) == 0 {
			r.ok(check, "all %d are in force", len(wantNames))
		}
	}
	if err != nil {
		r.fail(check, again, "triggers could not be read: %s", code(err))
	}
	if len(missing) > 0 {
		r.fail(check, runMigrations, "missing: %s", strings.Join(missing, ", "))
	}
}

// examineNotices looks at what tells the sidecar of a change at once, where the platform permits it. Without it the
// sidecar polls (app.WatchInterval): slower, and as safe.
func examineNotices(ctx context.Context, r *report, p *patient) {
	var ddl, logins bool
	err := p.conn.QueryRow(ctx, `
		select exists (select from pg_event_trigger where evtname = 'vigil_ddl' and evtenabled in ('O', 'A')),
		  (select count(*) = 2 from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
		    where n.nspname = 'auth' and t.tgenabled in ('O', 'A')
		      and (c.relname, t.tgname) in (('sessions', 'vigil_an_ended_login_is_recorded'), ('users', 'vigil_a_barred_person_is_recorded')))`).Scan(&ddl, &logins)
	if err != nil {
		r.fail("notices", again, "event triggers could not be read: %s", code(err))
		return
	}
	if ddl {
		r.ok("ddl", "an event trigger tells of changed policies at once")
	} else {
		r.warn("ddl", advice("Run sql/migrations/…_policy_fingerprint.sql as a role that may create event triggers (postgres, on hosted Supabase)."),
			"no event trigger: changed policies and grants are noticed by the fingerprint, every 5 s")
	}
	if logins {
		r.ok("sign-out", "triggers on auth.sessions and auth.users end sockets at once")
	} else {
		r.warn("sign-out", advice("Run sql/migrations/…_logins.sql and …_barred_people.sql as a role that may create triggers in auth (postgres, on hosted Supabase)."),
			"a trigger on auth.sessions or auth.users is missing: ended logins and bans are asked for, every 5 s")
	}
}

// examineStrangers looks for what nobody may have: a grant or a policy for anon, or a row for somebody signed in whom no
// session knows.
func examineStrangers(ctx context.Context, r *report, p *patient) {
	const check = "strangers"
	before := r.failedAt()
	granted, err := texts(ctx, p, `
		select t from unnest($1::text[]) t where exists (
		  select from pg_class c, aclexplode(c.relacl) g where c.oid = to_regclass(t) and (g.grantee = 0 or g.grantee::regrole::text = 'anon'))
		or exists (
		  select from pg_attribute a, aclexplode(a.attacl) g where a.attrelid = to_regclass(t) and (g.grantee = 0 or g.grantee::regrole::text = 'anon'))
		order by t`, prefixed(tables))
	if err == nil && len(granted) > 0 {
		r.fail(check, mend{Fix: "Nothing of these tables is for people who have not signed in:", SQL: each("revoke all on %s from anon, public;", granted)},
			"anon has a grant on %s", strings.Join(granted, ", "))
	}
	var drops []string
	if err == nil {
		drops, err = texts(ctx, p, `
			select format('drop policy %I on %I.%I;', policyname, schemaname, tablename) from pg_policies
			where schemaname = 'public' and tablename = any ($1) and permissive = 'PERMISSIVE' and roles && '{anon,public}' order by 1`, tables)
	}
	if err == nil && len(drops) > 0 {
		r.fail(check, mend{Fix: "If the rows are for somebody, make a policy to authenticated instead.", SQL: strings.Join(drops, "\n")}, "%s for anon, or for everybody", plural(len(drops), "policy is", "policies are"))
	}
	if err != nil {
		r.fail(check, again, "grants and policies could not be read: %s", code(err))
		return
	}
	if p.role == sidecarRole && !p.distorted {
		examineSignedIn(ctx, r, p)
	}
	if r.failedAt() == before {
		r.ok(check, "no grant or policy is for anon, and a person unknown to all sessions sees no row")
	}
}

// examineSignedIn becomes a signed-in person whom nobody knows, as the sidecar becomes those who join, and looks around.
func examineSignedIn(ctx context.Context, r *report, p *patient) {
	const check = "strangers"
	var readable []string
	var topics int
	err := pgx.BeginTxFunc(ctx, p.conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		claims := fmt.Sprintf(`{"sub": %q, "role": "authenticated", "aal": "aal2", "session_id": %q}`, uuid.New(), uuid.New())
		if _, err := tx.Exec(ctx, `
			select set_config('statement_timeout', '5s', true), set_config('role', 'authenticated', true),
			  set_config('request.jwt.claims', $1, true), set_config('relay.topic', $2, true)`, claims, "session:"+uuid.NewString()); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "select count(*) from relay.permissions").Scan(&topics); err != nil {
			return err
		}
		names, err := tx.Query(ctx, `select t from unnest($1::text[]) t where has_any_column_privilege('public.' || t, 'select')`, tables)
		if err != nil {
			return err
		}
		if readable, err = pgx.CollectRows(names, pgx.RowTo[string]); err != nil || len(readable) == 0 {
			return err
		}
		parts := make([]string, len(readable))
		for i, t := range readable {
			parts[i] = fmt.Sprintf("select '%s' where exists (select from public.%s)", t, t) // names from tables, above
		}
		rows, err := tx.Query(ctx, strings.Join(parts, " union all "))
		if err != nil {
			return err
		}
		readable, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	slices.Sort(readable)
	switch {
	case err != nil:
		r.fail(check, runMigrations, "the sidecar could not ask what a signed-in person may do: %s", code(err))
	case topics > 0:
		r.fail(check, advice("Look at the policies of relay.permissions: select policyname, qual from pg_policies where schemaname = 'relay';"), "a person unknown to all sessions may join the channel of any session")
	case len(readable) > 0:
		r.fail(check, advice("Find the policy that is too wide: select policyname, qual from pg_policies where tablename = '%s' and 'authenticated' = any (roles);", readable[0]),
			"a person unknown to all sessions sees rows of %s", strings.Join(readable, ", "))
	}
}
