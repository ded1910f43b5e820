// Package store is the SQL of the sidecar's own role, vigil: what it reads to open and place messages, and the one
// transaction in which assessments, alerts and progress are written.
//
// Guarantees: Record takes effect as a whole or not at all, and moves a session only from where it stood
// (compare-and-set), so that a message is assessed once in effect, however often it is delivered and whoever else does;
// it never sees a plaintext; every error it returns is classified (see classify): triage.IsUnavailable for an outage,
// triage.IsPermanent for a row that the database will always refuse, and neither for what a retry may mend.
//
// Not guaranteed: that a row that the log has shown is visible here yet. The log runs ahead of snapshots; Backlog.Last and
// Visible say how far this database's snapshots are.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"vigil/server/internal/triage"
)

// Store is the SQL over one pool, which connects as role vigil. Safe for concurrent use.
type Store struct{ pool *pgxpool.Pool }

// New returns a Store over pool. The pool is the caller's to close.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// SQLSTATEs that decide how an error is classified, and the classes they belong to. Source:
// postgresql.org/docs/17/errcodes-appendix.html.
const (
	stateForeignKey = "23503"
	stateUnique     = "23505"

	classOurs       = "VG" // what the project's own functions refuse: sql/README.md
	classData       = "22"
	classConstraint = "23"
	classRollback   = "40" // serialization, deadlock
	classLock       = "55"
)

// classify tells apart, where an error arises, what will never be mended by a retry (a row that is refused), what concerns
// a few rows now (a foreign key that is not visible yet, a deadlock), and what says nothing about any row: everything
// else, from a lost connection to a missing privilege, which an operator mends.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var fault *pgconn.PgError
	if !errors.As(err, &fault) {
		return triage.Unavailable(err)
	}
	switch {
	case fault.Code == stateForeignKey, fault.Code == stateUnique:
		return err
	case strings.HasPrefix(fault.Code, classRollback), strings.HasPrefix(fault.Code, classLock):
		return err
	case strings.HasPrefix(fault.Code, classOurs), strings.HasPrefix(fault.Code, classData), strings.HasPrefix(fault.Code, classConstraint):
		return triage.PermanentFor(triage.ReasonUnrecordable, err)
	}
	return triage.Unavailable(err)
}

// Visible says whether every one of the transactions, as the log names them, is visible to a new snapshot here. Those that
// are older than half the range of transaction ids count as visible.
func (s *Store) Visible(ctx context.Context, xids []uint32) (bool, error) {
	const query = "select private.transactions_are_visible($1)"
	ids := make([]int64, len(xids))
	for i, xid := range xids {
		ids[i] = int64(xid)
	}
	var visible bool
	if err := s.pool.QueryRow(ctx, query, ids).Scan(&visible); err != nil {
		return false, fmt.Errorf("ask whether %d transactions are visible: %w", len(xids), classify(err))
	}
	return visible, nil
}

// collect runs query and returns its rows.
func collect[T any](ctx context.Context, s *Store, scan pgx.RowToFunc[T], query string, args ...any) ([]T, error) {
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, classify(err)
	}
	found, err := pgx.CollectRows(rows, scan)
	return found, classify(err)
}
