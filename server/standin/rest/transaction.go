package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// setUp makes the transaction the caller's: search path, role, claims and the request itself, and then the time-outs that
// the role has of its own, since taking a role does not bring them. Source: PostgREST, src/PostgREST/Query/PreQuery.hs.
const setUp = `select
  set_config('search_path', $1, true), set_config('role', $2, true), set_config('request.jwt.claims', $3, true),
  set_config('request.method', $4, true), set_config('request.path', $5, true), set_config('request.headers', $6, true),
  set_config('request.cookies', $7, true),
  (select count(set_config(split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1), true))
     from pg_catalog.pg_roles, unnest(rolconfig) as setting
    where rolname = $2 and split_part(setting, '=', 1) in
      ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout'))`

// transaction is one request's, as the caller.
type transaction struct {
	conn *pgconn.PgConn
	all  *pgx.Conn // the same connection, which knows what is prepared on it
}

func (s *Server) transact(
	ctx context.Context, q *request, readOnly bool, do func(context.Context, *transaction, *request) (*answer, error),
) (*answer, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	mode := pgx.ReadWrite
	if readOnly {
		mode = pgx.ReadOnly
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: mode})
	if err != nil {
		return nil, err
	}
	// The clean-up must run when the caller has hung up, and a rolled-back transaction cannot fail.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()

	t := &transaction{conn: conn.Conn().PgConn(), all: conn.Conn()}
	if err := t.setUp(ctx, q); err != nil {
		return nil, err
	}
	a, err := do(ctx, t, q)
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(ctx); err != nil { // a deferred constraint may speak here
		return nil, err
	}
	return a, nil
}

func (t *transaction) setUp(ctx context.Context, q *request) error {
	headers := make(map[string]string, len(q.http.Header)+1)
	for name, values := range q.http.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	headers["host"] = q.http.Host
	cookies := map[string]string{}
	for _, c := range q.http.Cookies() {
		cookies[c.Name] = c.Value
	}
	headersJSON, err := json.Marshal(headers)
	if err != nil {
		return fmt.Errorf("rest: write headers: %w", err)
	}
	cookiesJSON, err := json.Marshal(cookies)
	if err != nil {
		return fmt.Errorf("rest: write cookies: %w", err)
	}
	path := "/" + q.target
	if q.rpc {
		path = "/rpc/" + q.target
	}
	_, err = t.fixed(ctx, setUp,
		quote(q.schema)+`, "extensions"`, q.role, string(q.claims), q.http.Method, path, string(headersJSON), string(cookiesJSON))
	return err
}

// fixed executes one of the statements that every request has, prepared once for each connection: planning it takes Postgres
// longer than running it.
func (t *transaction) fixed(ctx context.Context, sql string, values ...string) ([][][]byte, error) {
	prepared, err := t.all.Prepare(ctx, sql, sql) // does nothing when it is prepared already
	if err != nil {
		return nil, err
	}
	s := &statement{}
	for _, value := range values {
		s.parameter(value)
	}
	r := t.conn.ExecPrepared(ctx, prepared.Name, s.values, nil, nil).Read()
	return r.Rows, r.Err
}

// run executes a statement and returns its rows as text.
func (t *transaction) run(ctx context.Context, s *statement) ([][][]byte, error) {
	r := t.conn.ExecParams(ctx, s.text.String(), s.values, nil, nil, nil).Read()
	return r.Rows, r.Err
}

// one executes a statement that gives one row.
func (t *transaction) one(ctx context.Context, s *statement) ([][]byte, error) {
	rows, err := t.run(ctx, s)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("rest: %d rows where one was due", len(rows))
	}
	return rows[0], nil
}
