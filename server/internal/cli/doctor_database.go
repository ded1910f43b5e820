package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"vigil/server/internal/config"
)

const fixMigrations = "Run the migrations: npx supabase db push."

// tables must exist, each with RLS on. The SQL tests hold sql/ to the same list.
var tables = []string{
	"alert_events", "alert_recipients", "alerts", "assessments", "audit_log", "crisis_policies", "devices", "ended_logins", "epoch_wraps",
	"memberships", "message_arrivals", "messages", "oncall_shifts", "organizations", "profiles", "session_consents", "session_counters",
	"session_epochs", "session_participants", "session_progress", "sessions", "sidecar_state",
}

// examineDatabase looks through DATABASE_URL as the sidecar will: who it is, what it may do, and what is there.
func examineDatabase(ctx context.Context, r *report, c config.Config) {
	const check = "database"
	ctx, cancel := context.WithTimeout(ctx, 3*doctorTimeout)
	defer cancel()
	examineTLS(r, "DATABASE_URL", c.DatabaseURL)
	conn, err := pgx.Connect(ctx, c.DatabaseURL.Reveal())
	if err != nil {
		cause, fix := connectFault(err, "DATABASE_URL")
		r.fail(check, fix, "%s", cause)
		r.skip("schema", "not asked: no connection")
		return
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var role, version string
	if err := conn.QueryRow(ctx, "select current_user, current_setting('server_version')").Scan(&role, &version); err != nil {
		r.fail(check, "Try the same URL with psql.", "the first query failed: %s", code(err))
		return
	}
	r.ok(check, "connected as %s to Postgres %s", role, version)
	examineRole(ctx, r, conn, role)
	examineSchema(ctx, r, conn)
	examineClock(ctx, r, conn)
}

// connectFault says why a connection failed, without the URL, and what to do.
func connectFault(err error, variable string) (cause, fix string) {
	var pg *pgconn.PgError
	var dns *net.DNSError
	switch {
	case errors.As(err, &pg) && (pg.Code == "28P01" || pg.Code == "28000"):
		return variable + ": Postgres refused the role or its password (" + pg.Code + ")", "Set the password: alter role vigil login password '…'; and put it, percent-encoded, into " + variable + "."
	case errors.As(err, &pg) && pg.Code == "3D000":
		return variable + ": there is no such database", "On Supabase the database is called postgres."
	case errors.As(err, &pg):
		return variable + ": Postgres refused the connection (" + pg.Code + ")", "Look the code up in the Postgres manual, appendix A."
	case errors.As(err, &dns):
		return variable + ": the host name is not known", "Check the host; a direct Supabase address is IPv6 unless the IPv4 add-on is on."
	case strings.Contains(err.Error(), "x509") || strings.Contains(err.Error(), "tls"):
		return variable + ": the TLS handshake failed", "Download the project's CA certificate and set DATABASE_CA_FILE, with sslmode=verify-full."
	default:
		return variable + ": no answer from the server", "Check host and port, the project's network restrictions, and that it is not paused."
	}
}

func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return "SQLSTATE " + pg.Code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return "the connection failed"
}

func examineTLS(r *report, variable string, dsn config.Secret) {
	u, err := url.Parse(dsn.Reveal())
	if err != nil {
		return // config has said so
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host == "" || host == "localhost" || ip != nil && ip.IsLoopback() {
		return
	}
	if mode := u.Query().Get("sslmode"); mode != "verify-full" {
		r.warn("tls", "Add sslmode=verify-full to "+variable+" and set DATABASE_CA_FILE to the project's CA certificate.", "%s does not verify whom it talks to", variable)
	}
}

func examineRole(ctx context.Context, r *report, conn *pgx.Conn, role string) {
	const check = "role"
	var super, bypass, inherit, member, settable bool
	err := conn.QueryRow(ctx, `
		select r.rolsuper, r.rolbypassrls, r.rolinherit, pg_has_role(r.oid, a.oid, 'member'),
		       case when current_setting('server_version_num')::int >= 160000 then pg_has_role(r.oid, a.oid, 'set') else pg_has_role(r.oid, a.oid, 'member') end
		from pg_roles r, pg_roles a where r.rolname = current_user and a.rolname = 'authenticated'`).Scan(&super, &bypass, &inherit, &member, &settable)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		r.fail(check, "DATABASE_URL must be a Supabase project's database.", "there is no role authenticated: this is not a Supabase database")
		return
	case err != nil:
		r.fail(check, "Run doctor again.", "the role could not be read: %s", code(err))
		return
	case super || bypass:
		r.fail(check, "Connect as role vigil: it has exactly the grants the sidecar needs.", "%s is a superuser or bypasses RLS", role)
	case role != "vigil":
		r.fail(check, "Connect as role vigil, made by the migrations; set its password: alter role vigil login password '…'.", "connected as %s", role)
	case inherit:
		r.warn(check, "alter role vigil noinherit;", "vigil inherits what authenticated may do")
	default:
		r.ok(check, "vigil: no superuser, does not bypass RLS, inherits nothing")
	}
	if !member || !settable {
		r.fail(check, "grant authenticated to vigil; on Postgres 16 and later: grant authenticated to vigil with inherit false, set true;", "vigil may not become authenticated, so every join would be refused")
	}
}

func examineSchema(ctx context.Context, r *report, conn *pgx.Conn) {
	const check = "schema"
	missing, err := texts(ctx, conn, `select t from unnest($1::text[]) t where to_regclass('public.' || t) is null order by t`, tables)
	switch {
	case err != nil:
		r.fail(check, "Run doctor again.", "the tables could not be listed: %s", code(err))
		return
	case len(missing) > 0:
		r.fail(check, fixMigrations, "%d tables are missing: %s", len(missing), strings.Join(missing, ", "))
		return
	}
	r.ok(check, "all %d tables are there", len(tables))
	examineRLS(ctx, r, conn)
	examineTriggers(ctx, r, conn)
	examineGrants(ctx, r, conn)
}

func examineRLS(ctx context.Context, r *report, conn *pgx.Conn) {
	const check = "rls"
	open, err := texts(ctx, conn, `
		select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname in ('public', 'relay') and c.relkind in ('r', 'p') and not c.relrowsecurity order by 1`)
	switch {
	case err != nil:
		r.fail(check, "Run doctor again.", "row security could not be read: %s", code(err))
	case len(open) > 0:
		r.fail(check, "alter table "+open[0]+" enable row level security;", "row security is off on %s", strings.Join(open, ", "))
	default:
		r.ok(check, "on for every table in public and relay")
	}
}

func examineTriggers(ctx context.Context, r *report, conn *pgx.Conn) {
	const check = "triggers"
	bad, err := texts(ctx, conn, `
		select format('%s on %s', t.tgname, t.tgrelid::regclass) from pg_trigger t join pg_class c on c.oid = t.tgrelid
		where not t.tgisinternal and t.tgenabled = 'D' and c.relnamespace in ('public'::regnamespace, 'relay'::regnamespace) order by 1`)
	if err != nil {
		r.fail(check, "Run doctor again.", "triggers could not be read: %s", code(err))
		return
	}
	if len(bad) > 0 {
		parts := strings.SplitN(bad[0], " on ", 2)
		r.fail(check, fmt.Sprintf("alter table %s enable trigger %s;", parts[1], parts[0]), "disabled: %s", strings.Join(bad, ", "))
	}
	without, err := texts(ctx, conn, `
		select t from unnest($1::text[]) t where not exists (
		  select from pg_trigger g where g.tgrelid = to_regclass('public.' || t) and not g.tgisinternal and g.tgtype & 4 <> 0) order by t`,
		[]string{"messages", "session_epochs", "session_consents", "alert_events"})
	if err == nil && len(without) > 0 {
		r.fail(check, fixMigrations, "no insert trigger on %s: positions and rosters are not checked", strings.Join(without, ", "))
	}
	if err == nil && len(without) == 0 && len(bad) == 0 {
		r.ok(check, "in force")
	}
	var ddl, logins bool
	if err := conn.QueryRow(ctx, `
		select exists (select from pg_event_trigger where evtname like 'vigil%' and evtenabled <> 'D'),
		       exists (select from pg_trigger where tgrelid = to_regclass('auth.sessions') and not tgisinternal and tgenabled <> 'D' and tgname like 'vigil%')`).Scan(&ddl, &logins); err != nil {
		r.fail(check, "Run doctor again.", "event triggers could not be read: %s", code(err))
		return
	}
	if ddl {
		r.ok("ddl", "an event trigger tells of changed policies at once")
	} else {
		r.warn("ddl", "Run the migrations as a role that may create event triggers (postgres on hosted Supabase).", "no event trigger: changed policies and functions are noticed by a fingerprint, within 5 s")
	}
	if logins {
		r.ok("sign-out", "a trigger on auth.sessions ends sockets at once")
	} else {
		r.warn("sign-out", "Run the migrations as a role that may create triggers on auth.sessions.", "no trigger on auth.sessions: ended logins are polled, every 5 s")
	}
}

// examineGrants holds what vigil may do against what it must and must never be able to.
func examineGrants(ctx context.Context, r *report, conn *pgx.Conn) {
	const check = "grants"
	need := []string{"messages:select", "devices:select", "session_epochs:select", "session_consents:select", "epoch_wraps:select", "session_counters:select",
		"crisis_policies:select", "memberships:select", "assessments:insert", "alerts:insert", "alert_recipients:insert", "alert_events:insert"}
	never := []string{"messages:insert", "messages:update", "messages:delete", "memberships:insert", "memberships:update", "organizations:update", "audit_log:update", "audit_log:delete", "audit_log:insert"}
	const q = `select t from unnest($1::text[]) t where has_any_column_privilege(current_user, 'public.' || split_part(t, ':', 1), split_part(t, ':', 2)) = $2`
	const qDelete = `select t from unnest($1::text[]) t where has_table_privilege(current_user, 'public.' || split_part(t, ':', 1), split_part(t, ':', 2)) = $2`
	columnwise := func(in []string) (cols, whole []string) {
		for _, g := range in {
			if strings.HasSuffix(g, ":delete") {
				whole = append(whole, g)
			} else {
				cols = append(cols, g)
			}
		}
		return cols, whole
	}
	lacking, err1 := texts(ctx, conn, q, need, false)
	cols, whole := columnwise(never)
	excess, err2 := texts(ctx, conn, q, cols, true)
	excessWhole, err3 := texts(ctx, conn, qDelete, whole, true)
	excess = append(excess, excessWhole...)
	if err := errors.Join(err1, err2, err3); err != nil {
		r.fail(check, "Run doctor again.", "grants could not be read: %s", code(err))
		return
	}
	if len(lacking) > 0 {
		r.fail(check, fixMigrations, "vigil lacks %s", strings.Join(lacking, ", "))
	}
	if len(excess) > 0 {
		table, verb, _ := strings.Cut(excess[0], ":")
		r.fail(check, fmt.Sprintf("revoke %s on public.%s from vigil, public;", verb, table), "vigil may do what it must never: %s", strings.Join(excess, ", "))
	}
	if len(lacking)+len(excess) == 0 {
		r.ok(check, "vigil has what it needs, and cannot write a message")
	}
}

// maxSkew is how far the clocks of this machine and of Postgres may stand apart before tokens are misjudged.
const maxSkew = 5 * time.Second

func examineClock(ctx context.Context, r *report, conn *pgx.Conn) {
	var theirs time.Time
	before := time.Now()
	if err := conn.QueryRow(ctx, "select clock_timestamp()").Scan(&theirs); err != nil {
		r.fail("clock", "Run doctor again.", "the database's clock could not be read: %s", code(err))
		return
	}
	middle := before.Add(time.Since(before) / 2)
	reportSkew(r, "clock", middle.Sub(theirs))
}

func reportSkew(r *report, check string, skew time.Duration) {
	if skew.Abs() > maxSkew {
		r.fail(check, "Set this machine's clock by NTP.", "this machine's clock is %s away from the database's: tokens would be misjudged", skew.Abs().Round(time.Second))
		return
	}
	r.ok(check, "within %s of the database's", maxSkew)
}

// texts runs a query whose rows are one text each.
func texts(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]string, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	slices.Sort(got)
	return got, err
}
