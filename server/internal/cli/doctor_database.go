package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"vigil/server/internal/replication"
)

// sidecarRole is the role that the migrations make for the sidecar.
const sidecarRole = "vigil"

var (
	again         = advice("Run vigil doctor again; if it stays, look into Postgres' log.")
	runMigrations = mend{Fix: "Run the migrations. If they are all recorded as run, run the files of sql/migrations again: each may run twice.", Shell: "npx supabase db push"}
)

// patient is the connection through DATABASE_URL and what it has told of itself.
type patient struct {
	conn      *pgx.Conn
	role      string
	version   int  // 150020
	distorted bool // vigil has more than its own grants: a superuser, or a member of more than it should be
}

// examineDatabase looks through DATABASE_URL as the sidecar will: who it is, what it may do, what is there, and whether
// the key belongs to it.
func (e *examination) examineDatabase(ctx context.Context, r *report) {
	const check = "database"
	p, ok := e.connect(ctx, r, check)
	if !ok {
		r.skip("schema", "not asked: no connection")
		e.examineKey(ctx, r, nil)
		return
	}
	defer func() { _ = p.conn.Close(context.WithoutCancel(ctx)) }()
	e.examineClock(ctx, r, p)
	examineRole(ctx, r, p)
	if examineTables(ctx, r, p) {
		examineRLS(ctx, r, p)
		examineTriggers(ctx, r, p)
		examineNotices(ctx, r, p)
		examineGrants(ctx, r, p)
		examineStrangers(ctx, r, p)
		e.examineWaiting(ctx, r, p)
	}
	e.examineKey(ctx, r, registeredKeys(ctx, p, e.KeyKeep))
}

func (e *examination) connect(ctx context.Context, r *report, check string) (*patient, bool) {
	const variable = "DATABASE_URL"
	if u, err := url.Parse(e.DatabaseURL.Reveal()); err == nil && u.Port() == "6543" && !isLocal(u.Hostname()) {
		r.fail(check, advice("Use port 5432: the direct connection, or the session pooler."), "%s is a transaction pooler: prepared statements and session settings do not work there", variable)
		return nil, false
	}
	conn, err := pgx.Connect(ctx, e.dsn(e.DatabaseURL))
	if err != nil {
		cause, m := connectFault(err, variable)
		r.fail(check, m, "%s: %s", variable, cause)
		return nil, false
	}
	p := &patient{conn: conn}
	var version, database string
	err = conn.QueryRow(ctx, "select current_user, current_setting('server_version'), current_setting('server_version_num')::int, current_database()").Scan(&p.role, &version, &p.version, &database)
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		r.fail(check, advice("Try the same URL with psql."), "%s: the first query failed: %s", variable, code(err))
		return nil, false
	}
	e.database.database = database
	var id replication.Identity
	if conn.QueryRow(ctx, "select system_identifier::text from pg_control_system()").Scan(&id.SystemID) == nil { // some providers do not let everybody know
		e.database.identity = id
	}
	r.ok(check, "connected as %s to Postgres %s", p.role, strings.Fields(version)[0])
	return p, true
}

// connectFault says why a connection failed, without the URL, and what to do.
func connectFault(err error, variable string) (cause string, m mend) {
	var pg *pgconn.PgError
	var dns *net.DNSError
	switch {
	case errors.As(err, &pg):
		return serverFault(pg, variable)
	case errors.As(err, &dns):
		return "the host name is not known", advice("Check the host. A direct Supabase address is IPv6 unless the IPv4 add-on is on; the session pooler has IPv4.")
	case isTLS(err):
		return "the TLS handshake failed", advice("Download the project's CA certificate (Dashboard, Database, SSL) and set DATABASE_CA_FILE, with sslmode=verify-full.")
	default:
		return "no answer from the server", advice("Check host and port, the project's network restrictions, and that it is not paused.")
	}
}

// serverFault is connectFault for what the server itself answered.
func serverFault(pg *pgconn.PgError, variable string) (cause string, m mend) {
	switch pg.Code {
	case "28P01":
		return "Postgres refused the role or its password (28P01)",
			advice("Set the password (alter role vigil login password '…'; as postgres) and put it, percent-encoded, into %s.", variable)
	case "28000":
		return "Postgres refused the login (28000)",
			advice("The role must exist and may log in (alter role vigil login password '…'; as postgres), and Postgres may demand TLS: try sslmode=require.")
	case "3D000":
		return "there is no such database (3D000)", advice("On Supabase the database is called postgres.")
	case "53300":
		return "Postgres has no connection left (53300)", advice("End connections that nobody needs (select * from pg_stat_activity), or use the session pooler.")
	case "57P03":
		return "Postgres is starting or stopping (57P03)", advice("Wait a moment and run vigil doctor again.")
	}
	return "Postgres refused the connection (" + pg.Code + ")", advice("Look the code up in the Postgres manual, appendix A.")
}

func isTLS(err error) bool {
	var (
		verify *tls.CertificateVerificationError
		host   x509.HostnameError
		record tls.RecordHeaderError
		alert  tls.AlertError
	)
	return errors.As(err, &verify) || errors.As(err, &host) || errors.As(err, &record) || errors.As(err, &alert) ||
		strings.Contains(err.Error(), "server refused TLS connection") // pgconn has no type for it
}

// code says what a failed query failed of, without its text.
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

// roleFacts is what the catalogue says of role vigil.
type roleFacts struct {
	super, bypass, replicates, creates bool
	member, inherits                   bool     // of authenticated
	others                             []string // that it is a member of
}

func examineRole(ctx context.Context, r *report, p *patient) {
	const check = "role"
	if p.role != sidecarRole {
		r.fail(check, advice("Connect as role vigil, which the migrations make and which has exactly the grants that the sidecar needs: alter role vigil login password '…'; as postgres, and put it into DATABASE_URL."), "connected as %s, not as vigil", p.role)
	}
	var f roleFacts
	err := p.conn.QueryRow(ctx, `
		select v.rolsuper, v.rolbypassrls, v.rolreplication, v.rolcreaterole or v.rolcreatedb,
		  case when $1 >= 160000 then pg_has_role(v.oid, a.oid, 'set') else pg_has_role(v.oid, a.oid, 'member') end,
		  pg_has_role(v.oid, a.oid, 'usage'),
		  array(select m.roleid::regrole::text from pg_auth_members m where m.member = v.oid and m.roleid <> a.oid order by 1)
		from pg_roles v, pg_roles a where v.rolname = 'vigil' and a.rolname = 'authenticated'`, p.version).
		Scan(&f.super, &f.bypass, &f.replicates, &f.creates, &f.member, &f.inherits, &f.others)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		r.fail(check, runMigrations, "there is no role vigil, or no role authenticated: this is not a Supabase database with the migrations")
		return
	case err != nil:
		r.fail(check, again, "the role could not be read: %s", code(err))
		return
	}
	p.distorted = f.super || f.inherits || !f.member
	before := r.failedAt()
	reportRole(r, check, p, f)
	if r.failedAt() == before && p.role == sidecarRole {
		r.ok(check, "vigil is no superuser, does not bypass RLS, may become authenticated and inherits nothing")
	}
}

func reportRole(r *report, check string, p *patient, f roleFacts) {
	var excess []string
	for what, is := range map[string]bool{"is a superuser": f.super, "bypasses RLS": f.bypass, "may make roles or databases": f.creates} {
		if is {
			excess = append(excess, what)
		}
	}
	if len(excess) > 0 {
		slices.Sort(excess)
		r.fail(check, mend{Fix: "As a superuser:", SQL: "alter role vigil nosuperuser nobypassrls nocreaterole nocreatedb;"}, "vigil %s", strings.Join(excess, ", "))
	}
	if f.super {
		return // it is a member of everything
	}
	if f.replicates {
		r.warn(check, mend{Fix: "Let a role of its own replicate (REPLICATION_URL). As a superuser:", SQL: "alter role vigil noreplication;"}, "vigil may replicate, and so read what it has no grant for")
	}
	grant := "grant authenticated to vigil;"
	if p.version >= 160000 {
		grant = "grant authenticated to vigil with inherit false, set true;"
	}
	if !f.member {
		r.fail(check, mend{Fix: "As postgres:", SQL: grant}, "vigil may not become authenticated, so every join would be refused")
	}
	if f.inherits {
		fix := "alter role vigil noinherit;"
		if p.version >= 160000 { // there the grant decides, and the role's attribute is only its default
			fix = grant
		}
		r.fail(check, mend{Fix: "As postgres:", SQL: fix}, "vigil has what authenticated may do without becoming it")
	}
	if len(f.others) > 0 {
		r.fail(check, mend{Fix: "As whoever granted it:", SQL: "revoke " + strings.Join(f.others, ", ") + " from vigil;"}, "vigil is a member of %s", strings.Join(f.others, ", "))
	}
}

func (e *examination) examineClock(ctx context.Context, r *report, p *patient) {
	before := e.now()
	var theirs time.Time
	if err := p.conn.QueryRow(ctx, "select clock_timestamp()").Scan(&theirs); err != nil {
		r.fail("clock", again, "the database's clock could not be read: %s", code(err))
		return
	}
	half := e.now().Sub(before) / 2
	reportSkew(r, "clock", "the database's", before.Add(half), theirs, half)
}

// texts runs a query whose rows are one text each.
func texts(ctx context.Context, p *patient, sql string, args ...any) ([]string, error) {
	rows, err := p.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
