package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// baseFormat changes whenever this package makes the same content in another way, so that old caches are not used.
const baseFormat = "3"

// baseLife is how long an unused base stays in the cache.
const baseLife = 48 * time.Hour

// templateDatabase holds the platform's SQL and the migrations. Databases are clones of it.
const templateDatabase = "vigil_template"

// fill puts a data directory into the cluster's folder: a copy of a cached base, or what a kept cluster left there.
//
//	initdb -> base "init" (empty) -> base "full" (template database) or another -> this cluster
func (c *Cluster) fill(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(c.DataDir(), "PG_VERSION")); err == nil {
		if c.options.Keep {
			return nil
		}
		return fmt.Errorf("start Postgres: %s holds a data directory already, and Options.Keep is not set", c.dir)
	}
	if c.options.Fresh {
		return c.initialise(ctx, c.dir)
	}
	base, err := c.base(ctx)
	if err != nil {
		return err
	}
	// Copied beside its place and then renamed: a copy that was cut short is never taken for a whole one.
	work := c.DataDir() + ".work"
	if err := os.RemoveAll(work); err != nil {
		return plain("remove an unfinished copy of Postgres' files", err)
	}
	if err := copyTree(filepath.Join(base, "data"), work, c.account); err != nil {
		return plain("copy Postgres' files", err)
	}
	password, err := os.ReadFile(filepath.Join(base, "password"))
	if err != nil {
		return plain("read the password of Postgres", err)
	}
	if err := os.WriteFile(c.passwordFile(), password, 0o600); err != nil {
		return plain("write the password of Postgres", err)
	}
	c.password = strings.TrimSpace(string(password))
	if err := os.Rename(work, c.DataDir()); err != nil {
		return plain("put Postgres' files in place", err)
	}
	return nil
}

func (c *Cluster) base(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, templateTimeout)
	defer cancel()
	empty, err := c.cached(ctx, "init", digest(nil), c.initialise)
	if err != nil || c.options.empty() {
		return empty, err
	}
	platform, migrations, err := c.scripts()
	if err != nil {
		return "", err
	}
	kind := "full"
	switch {
	case c.options.Bare:
		kind = "bare"
	case c.options.Migrated:
		kind = "migrated"
	}
	return c.cached(ctx, kind, digest(append(platform, migrations...)), func(ctx context.Context, dir string) error {
		return c.prepare(ctx, empty, dir, platform, migrations)
	})
}

// scripts are those of the repository, and none for a bare cluster.
func (c *Cluster) scripts() (platform, migrations []Script, err error) {
	if c.options.Bare {
		return nil, nil, nil
	}
	if platform, err = Platform(); err != nil {
		return nil, nil, err
	}
	migrations, err = Migrations()
	return platform, migrations, err
}

func digest(scripts []Script) string {
	h := sha256.New()
	for _, s := range scripts {
		fmt.Fprintf(h, "%s\x00%d\x00%s", s.Name, len(s.SQL), s.SQL)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// cached returns the folder of a base, and makes it first when there is none. Two runs at once make it once.
func (c *Cluster) cached(ctx context.Context, kind, key string, build func(context.Context, string) error) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("base-%s-%s-%s-%s", c.binaries.version, baseFormat, kind, key)
	dir := filepath.Join(cache, name)
	if touch(dir) {
		return dir, nil
	}
	release, err := lock(ctx, filepath.Join(cache, fmt.Sprintf("lock-%d-%s", c.binaries.major, kind)))
	if err != nil {
		return "", err
	}
	defer release()
	if touch(dir) {
		return dir, nil
	}
	sweep(cache)
	work, err := os.MkdirTemp(cache, "work-base-")
	if err != nil {
		return "", plain("make a folder for a new Postgres", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.Chmod(work, 0o711); err != nil {
		return "", plain("make a folder for a new Postgres", err)
	}
	if err := build(ctx, work); err != nil {
		return "", err
	}
	if err := os.Rename(work, dir); err != nil {
		return "", plain("put a new Postgres in the cache", err)
	}
	return dir, nil
}

// touch reports whether the base is there, and marks it as used.
func touch(dir string) bool {
	now := time.Now()
	return os.Chtimes(dir, now, now) == nil
}

// sweep removes bases nobody used for a while, and what a killed run left half-made. What cannot be removed stays.
func sweep(cache string) {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "lock-") || strings.HasPrefix(entry.Name(), "npm-") {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > baseLife {
			_ = os.RemoveAll(filepath.Join(cache, entry.Name()))
		}
	}
}

// sweepClusters removes the folders of clusters whose owner was killed: those whose lock nobody holds. A young one may be
// about to be locked.
func sweepClusters() {
	const young = time.Minute
	dirs, err := filepath.Glob(filepath.Join(tempRoot(), clusterPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !isOurs(info) || time.Since(info.ModTime()) < young {
			continue
		}
		if release, err := claim(dir); err == nil {
			_ = os.RemoveAll(dir)
			release()
		}
	}
}

// initialise runs initdb. Its superuser is named as on a hosted project, so that "postgres" need not be one.
func (c *Cluster) initialise(ctx context.Context, dir string) error {
	data, password, input := filepath.Join(dir, "data"), filepath.Join(dir, "password"), filepath.Join(dir, "pwfile")
	secret, err := newPassword()
	if err != nil {
		return err
	}
	for _, name := range []string{password, input} {
		if err := os.WriteFile(name, []byte(secret+"\n"), 0o600); err != nil {
			return plain("write a password for Postgres", err)
		}
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		return plain("make a folder for Postgres", err)
	}
	if err := errors.Join(c.account.give(data), c.account.give(input)); err != nil {
		return plain("give Postgres' folder to its account", err)
	}
	cmd := c.account.command(ctx, c.binaries.program("initdb"), "--pgdata", data, "--username", RoleSuperuser,
		"--pwfile", input, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "No space left on device") {
			return fmt.Errorf("run initdb: the disk is full: free some space below %s and run this again: %w", tempRoot(), err)
		}
		return fmt.Errorf("run initdb: %w:\n%s", err, out)
	}
	if err := os.Remove(input); err != nil {
		return fmt.Errorf("remove initdb's password file: %w", err)
	}
	conf, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return plain("write the settings of Postgres", err)
	}
	if c.options.Fresh {
		c.password = secret
	}
	_, err = conf.WriteString("\ninclude_if_exists = 'pgtest.conf'\n")
	return errors.Join(err, conf.Close())
}

// prepare starts a copy of the empty base in dir, makes the roles and the template database, and stops it.
func (c *Cluster) prepare(ctx context.Context, empty, dir string, platform, migrations []Script) (err error) {
	work := &Cluster{binaries: c.binaries, account: c.account, dir: dir, release: func() {}}
	if err := copyTree(filepath.Join(empty, "data"), work.DataDir(), c.account); err != nil {
		return plain("copy Postgres' files", err)
	}
	if err := copyFile(filepath.Join(empty, "password"), work.passwordFile(), 0o600); err != nil {
		return plain("copy the password of Postgres", err)
	}
	if err := work.readPassword(); err != nil {
		return err
	}
	if err := work.begin(ctx); err != nil {
		return err
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, work.Stop(stopCtx))
	}()
	return work.populate(ctx, c.options, platform, migrations)
}

// populate makes what every cluster but a kept one has: the roles, and the template database unless it is bare or migrated itself.
func (c *Cluster) populate(ctx context.Context, o Options, platform, migrations []Script) error {
	if o.Bare {
		return c.CompleteRoles(ctx)
	}
	if o.Migrated {
		return c.Apply(ctx, "postgres", platform, migrations)
	}
	if err := c.exec(ctx, RoleSuperuser, "postgres", "create database "+templateDatabase); err != nil {
		return fmt.Errorf("create the template database: %w", err)
	}
	if err := c.Apply(ctx, templateDatabase, platform, migrations); err != nil {
		return err
	}
	return c.exec(ctx, RoleSuperuser, "postgres",
		"alter database "+templateDatabase+" is_template true allow_connections false")
}

func (c *Cluster) populateFresh(ctx context.Context) error {
	platform, migrations, err := c.scripts()
	if err != nil {
		return err
	}
	return c.populate(ctx, c.options, platform, migrations)
}

// Apply gives a database all that a project has: ApplyPlatform, the migrations as "postgres", CompleteRoles.
func (c *Cluster) Apply(ctx context.Context, database string, platform, migrations []Script) error {
	if err := c.ApplyPlatform(ctx, database, platform); err != nil {
		return err
	}
	if err := c.Run(ctx, RoleOwner, database, migrations); err != nil {
		return err
	}
	return c.CompleteRoles(ctx)
}

// ApplyPlatform runs the platform's scripts as the superuser. Afterwards "postgres" owns the database, and it and
// "authenticator" exist, with the cluster's password. It may run again.
func (c *Cluster) ApplyPlatform(ctx context.Context, database string, platform []Script) error {
	if err := c.Run(ctx, RoleSuperuser, database, platform); err != nil {
		return err
	}
	if err := c.completeRoles(ctx, RoleOwner, RoleAPI, RoleAuth); err != nil {
		return err
	}
	if err := c.exec(ctx, RoleSuperuser, "postgres", "alter database "+quote(database)+" owner to postgres"); err != nil {
		return fmt.Errorf("give the database to postgres: %w", err)
	}
	return nil
}

// CompleteRoles makes those of this package's roles that neither the platform nor the migrations made, and gives all of them
// the cluster's password. It may run again.
func (c *Cluster) CompleteRoles(ctx context.Context) error {
	return c.completeRoles(ctx, RoleOwner, RoleAPI, RoleAuth, RoleSidecar, RoleReplicator)
}

func (c *Cluster) completeRoles(ctx context.Context, roles ...string) error {
	var sql strings.Builder
	for _, role := range roles {
		sql.WriteString(roleSQL(role, c.password))
	}
	if err := c.exec(ctx, RoleSuperuser, "postgres", sql.String()); err != nil {
		return fmt.Errorf("complete the roles: %w", err)
	}
	return nil
}

// roleSQL makes a role unless it is there, and gives it a password.
func roleSQL(role, password string) string {
	attributes := map[string]string{
		RoleOwner:      "createdb createrole replication bypassrls",
		RoleAPI:        "noinherit",
		RoleAuth:       "noinherit",
		RoleReplicator: "replication",
	}[role]
	return fmt.Sprintf(`
do $$ begin
  if not exists (select from pg_roles where rolname = '%[1]s') then
    create role %[1]s %[2]s;
  end if;
end $$;
alter role %[1]s login password '%[3]s';
`, role, attributes, password)
}

// Run runs scripts in order, each in one transaction. The error names the file, the line and what Postgres said.
func (c *Cluster) Run(ctx context.Context, role, database string, scripts []Script) error {
	if len(scripts) == 0 {
		return nil
	}
	conn, err := pgx.Connect(ctx, c.URL(role, database))
	if err != nil {
		return fmt.Errorf("connect as %s: %w", role, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, s := range scripts {
		if err := RunOn(ctx, conn, s); err != nil {
			return err
		}
	}
	return nil
}

// RunOn is Run for one script on a connection of the caller's, in its transaction if it has begun one.
func RunOn(ctx context.Context, conn *pgx.Conn, s Script) error {
	// Several statements in one simple query are one transaction: that is how the Supabase CLI runs a migration as well.
	_, err := conn.PgConn().Exec(ctx, s.SQL).ReadAll()
	if err == nil {
		return nil
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Position > 0 {
		before := []rune(s.SQL)[:min(len([]rune(s.SQL)), int(refused.Position)-1)]
		return fmt.Errorf("run %s, line %d: %w", s.Name, 1+strings.Count(string(before), "\n"), err)
	}
	if refused != nil {
		return fmt.Errorf("run %s: %w; %s %s", s.Name, err, refused.Detail, refused.Where)
	}
	return fmt.Errorf("run %s: %w", s.Name, err)
}

func (c *Cluster) exec(ctx context.Context, role, database, sql string) error {
	return c.Run(ctx, role, database, []Script{{Name: "a statement of pgtest", SQL: sql}})
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
