package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// privilege is what role vigil may do with a table; Columns "" means all of them.
type privilege struct{ table, verb, columns string }

// privileges is all that vigil may do with tables, exactly. A test holds the list to sql/.
var privileges = []privilege{
	{"alert_events", "select", ""}, {"alert_events", "insert", ""},
	{"alert_pages", "select", ""}, {"alert_pages", "update", "status, attempts, next_attempt_at, last_error, sent_at"},
	{"alert_recipients", "select", ""}, {"alert_recipients", "insert", ""},
	{"alerts", "select", ""}, {"alerts", "insert", ""},
	{"assessments", "select", ""}, {"assessments", "insert", ""}, {"assessments", "update", "superseded_at"},
	{"crisis_policies", "select", ""},
	{"devices", "select", "id, user_id, kind, enc_pub, sig_pub, created_at, revoked_at, admitted_at, admitted_by, admission, retired_at"},
	{"device_signatures", "select", ""},
	{"ended_logins", "select", ""},
	{"epoch_readers", "select", ""},
	{"epoch_wraps", "select", ""},
	{"memberships", "select", ""},
	{"message_scores", "select", ""},
	{"messages", "select", ""},
	{"model_routes", "select", ""},
	{"oncall_shifts", "select", ""},
	{"organizations", "select", "id, suggestions, require_aal2, created_at"},
	{"session_consents", "select", ""},
	{"session_counters", "select", ""},
	{"session_epochs", "select", ""},
	{"session_participants", "select", ""},
	{"session_progress", "select", ""}, {"session_progress", "update", "assessed_position, state, state_version, updated_at, topics"},
	{"sessions", "select", ""},
	{"sidecar_state", "select", ""}, {"sidecar_state", "insert", ""}, {"sidecar_state", "update", ""},
	{"suggestions", "select", ""},
	{"topic_terms", "select", ""},
}

// functions is what vigil may call.
var functions = []string{
	"private.admit_device(uuid,uuid)", "private.analysis_key_needed(uuid,interval)", "private.analysis_keys(interval)", "private.crisis_grants_due(integer)",
	"private.destroy_analysis_device(uuid,interval)", "private.devices_to_admit(integer)",
	"private.grant_crisis_access(uuid,jsonb)", "private.live_logins(uuid[])", "private.login_is_live()", "private.permissions_of(text[],text[])",
	"private.policy_fingerprint()", "private.record_suggestion(jsonb,jsonb)",
	"private.refuse_device(uuid,text)", "private.refuse_score(uuid,text,text)",
	"private.register_analysis_device(uuid,text,text)", "private.register_analysis_device(uuid,text,text,uuid,text)",
	"private.retire_analysis_device(uuid)", "private.retire_epochs_of_retired_keys(uuid,integer)", "private.scores_due(integer)",
	"private.settle_score(uuid,text,text,boolean)", "private.transactions_are_visible(bigint[])",
	"private.unscored_messages(interval,integer)",
}

func (g privilege) sql() string {
	if g.columns == "" {
		return fmt.Sprintf("grant %s on public.%s to vigil;", g.verb, g.table)
	}
	return fmt.Sprintf("grant %s (%s) on public.%s to vigil;", g.verb, g.columns, g.table)
}

// held is what vigil may do with one table and verb: the columns, of all there are.
type held struct {
	Table, Verb string
	Columns     []string
	All         int
}

// examineGrants holds what vigil may do against what it must, and must never, be able to do.
func examineGrants(ctx context.Context, r *report, p *patient) {
	const check = "grants"
	if p.distorted {
		r.skip(check, "not asked: vigil has more than its own grants, see role")
		return
	}
	rows, err := p.conn.Query(ctx, `
		select t, v, array(
		    select a.attname::text from pg_attribute a where a.attrelid = to_regclass('public.' || t) and a.attnum > 0 and not a.attisdropped
		      and case when v in ('delete', 'truncate') then has_table_privilege('vigil', a.attrelid, v) else has_column_privilege('vigil', a.attrelid, a.attnum, v) end),
		  (select count(*) from pg_attribute a where a.attrelid = to_regclass('public.' || t) and a.attnum > 0 and not a.attisdropped)
		from unnest($1::text[]) t, unnest('{select,insert,update,delete,truncate}'::text[]) v order by 1, 2`, tables)
	var has []held
	if err == nil {
		has, err = pgx.CollectRows(rows, pgx.RowToStructByPos[held])
	}
	var lacking, excess, mends []string
	for _, h := range has {
		l, x := h.compare()
		if l != "" {
			lacking, mends = append(lacking, h.Verb+" on "+h.Table), append(mends, l)
		}
		if x != "" {
			excess, mends = append(excess, h.Verb+" on "+h.Table), append(mends, x)
		}
	}
	var uncallable []string
	if err == nil {
		uncallable, err = texts(ctx, p, `
			select 'execute on function ' || f from unnest($1::text[]) f
			where to_regprocedure(f) is not null and not has_function_privilege('vigil', to_regprocedure(f), 'execute') order by f`, functions)
	}
	if err != nil {
		r.fail(check, again, "grants could not be read: %s", code(err))
		return
	}
	lacking = append(lacking, uncallable...)
	if len(uncallable) > 0 {
		mends = append(mends, each("grant %s to vigil;", uncallable))
	}
	m := mend{Fix: "As postgres:", SQL: strings.Join(mends, "\n")}
	if len(lacking) > 0 {
		r.fail(check, m, "vigil lacks %s", strings.Join(lacking, ", "))
	}
	if len(excess) > 0 {
		r.fail(check, m, "vigil may do what it must never: %s", strings.Join(excess, ", "))
	}
	if len(lacking)+len(excess) == 0 {
		r.ok(check, "vigil has what it needs and nothing else: it cannot write a message")
	}
	examinePolicies(ctx, r, p)
}

// compare gives the SQL that grants what is lacking and that takes back what is too much; "" for nothing.
func (h held) compare() (lacking, excess string) {
	revoke := fmt.Sprintf("revoke %s on public.%s from vigil, public;", h.Verb, h.Table)
	at := slices.IndexFunc(privileges, func(g privilege) bool { return g.table == h.Table && g.verb == h.Verb })
	if at < 0 {
		if len(h.Columns) > 0 {
			return "", revoke
		}
		return "", ""
	}
	g := privileges[at]
	if g.columns == "" {
		if len(h.Columns) < h.All {
			return g.sql(), ""
		}
		return "", ""
	}
	want := strings.Split(g.columns, ", ")
	for _, c := range want {
		if !slices.Contains(h.Columns, c) {
			lacking = g.sql()
		}
	}
	for _, c := range h.Columns {
		if !slices.Contains(want, c) {
			excess = revoke + " " + g.sql()
		}
	}
	return lacking, excess
}

// examinePolicies finds what a grant alone does not give: under RLS, vigil sees nothing without a policy, and no error says so.
func examinePolicies(ctx context.Context, r *report, p *patient) {
	const check = "policies"
	var on, verbs []string
	for _, g := range privileges {
		on, verbs = append(on, g.table), append(verbs, g.verb)
	}
	missing, err := texts(ctx, p, `
		select format('%s on %s', w.verb, w.tab) from unnest($1::text[], $2::text[]) w (tab, verb)
		where not exists (
		  select from pg_policies l where l.schemaname = 'public' and l.tablename = w.tab and l.permissive = 'PERMISSIVE'
		    and lower(l.cmd) in (w.verb, 'all') and l.roles && '{vigil,public}')
		union all
		select f || ' is missing' from unnest($3::text[]) f where to_regprocedure(f) is null
		order by 1`, on, verbs, functions)
	switch {
	case err != nil:
		r.fail(check, again, "policies could not be read: %s", code(err))
	case len(missing) > 0:
		r.fail(check, runMigrations, "vigil has no policy for what it does, so it would see nothing: %s", strings.Join(missing, ", "))
	default:
		r.ok(check, "vigil has one for everything it does")
	}
}
