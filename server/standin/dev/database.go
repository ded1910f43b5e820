package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/jackc/pgx/v5"

	"vigil/server/pgtest"
)

// demoPassword is everybody's in sql/seed/demo.sql.
const demoPassword = "demo-password"

// demoOrganization is the practice in it.
const demoOrganization = "d0000000-0000-4000-8000-0000000000aa"

func (s *stack) applyPlatform(ctx context.Context) (string, error) {
	platform, err := pgtest.Platform()
	if err != nil {
		return "", err
	}
	return "roles, schemas and tables of a hosted project", s.cluster.ApplyPlatform(ctx, database, platform)
}

// The CLI's own table, so that `supabase migration list` and `db push` agree with us about what was applied.
const historySQL = `
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key, statements text[], name text);
`

var migrationName = regexp.MustCompile(`^([0-9]+)_(.*)\.sql$`)

// errChanged: what the database has is not what the repository has.
var errChanged = errors.New("run `go tool task db:reset` to begin with an empty database, then this again")

// migrate runs the migrations that the database does not have yet, each in one transaction with its line in the history.
func (s *stack) migrate(ctx context.Context) (string, error) {
	migrations, err := pgtest.Migrations()
	if err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, s.cluster.URL(pgtest.RoleOwner, database))
	if err != nil {
		return "", fmt.Errorf("connect to Postgres: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.PgConn().Exec(ctx, historySQL).ReadAll(); err != nil {
		return "", fmt.Errorf("make the history of migrations: %w", err)
	}
	history, err := readHistory(ctx, conn)
	if err != nil {
		return "", err
	}
	applied := 0
	for _, m := range migrations {
		parts := migrationName.FindStringSubmatch(filepath.Base(m.Name))
		if parts == nil {
			return "", fmt.Errorf("%s is not named as a migration: <digits>_<noun>.sql", m.Name)
		}
		text, known := history[parts[1]]
		delete(history, parts[1])
		switch {
		case !known:
			if err := applyMigration(ctx, conn, m, parts[1], parts[2]); err != nil {
				return "", err
			}
			applied++
		case text != m.SQL:
			return "", fmt.Errorf("%s was changed after it had been applied here: %w", m.Name, errChanged)
		}
	}
	for version := range history {
		return "", fmt.Errorf("the database has migration %s, which this tree does not have: %w", version, errChanged)
	}
	return fmt.Sprintf("%d new, %d in all", applied, len(migrations)), s.cluster.CompleteRoles(ctx)
}

func readHistory(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	const query = "select version, coalesce(array_to_string(statements, ''), '') from supabase_migrations.schema_migrations"
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read the history of migrations: %w", err)
	}
	history := make(map[string]string)
	var version, text string
	if _, err := pgx.ForEachRow(rows, []any{&version, &text}, func() error { history[version] = text; return nil }); err != nil {
		return nil, fmt.Errorf("read the history of migrations: %w", err)
	}
	return history, nil
}

func applyMigration(ctx context.Context, conn *pgx.Conn, m pgtest.Script, version, name string) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin %s: %w", m.Name, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing once it is committed
	if err := pgtest.RunOn(ctx, conn, m); err != nil {
		return err
	}
	const remember = "insert into supabase_migrations.schema_migrations (version, statements, name) values ($1, $2, $3)"
	if _, err := tx.Exec(ctx, remember, version, []string{m.SQL}, name); err != nil {
		return fmt.Errorf("remember %s: %w", m.Name, err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit %s: %w", m.Name, err)
	}
	return nil
}

// seed runs sql/seed, which may run any number of times.
func (s *stack) seed(ctx context.Context) (string, error) {
	names, err := filepath.Glob(filepath.Join(s.root, "sql", "seed", "*.sql"))
	if err != nil {
		return "", fmt.Errorf("list sql/seed: %w", err)
	}
	var scripts []pgtest.Script
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("read sql/seed: %w", err)
		}
		scripts = append(scripts, pgtest.Script{Name: "sql/seed/" + filepath.Base(name), SQL: string(data)})
	}
	return "invented people, one session of each kind", s.cluster.Run(ctx, pgtest.RoleOwner, database, scripts)
}

type demoPerson struct{ Email, Name, Role string }

func (s *stack) demoPeople(ctx context.Context) ([]demoPerson, error) {
	conn, err := pgx.Connect(ctx, s.cluster.URL(pgtest.RoleSuperuser, database))
	if err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	const query = `
		select u.email, p.display_name, m.role
		from auth.users u
		join public.memberships m on m.user_id = u.id
		join public.profiles p on p.user_id = u.id
		where u.email like '%@demo.test'
		order by u.id`
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read the demo people: %w", err)
	}
	people, err := pgx.CollectRows(rows, pgx.RowToStructByPos[demoPerson])
	if err != nil {
		return nil, fmt.Errorf("read the demo people: %w", err)
	}
	return people, nil
}
