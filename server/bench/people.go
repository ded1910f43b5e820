package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/pgtest"
	"vigil/server/standin"
)

// person is somebody invented. Nobody signs in: logins are rows, and tokens are signed with the stand-in's key.
type person struct{ id uuid.UUID }

// login is one sign-in of a person.
type login struct {
	id     uuid.UUID
	person uuid.UUID
	token  string
	claims string
}

// practice is one database with an organisation, its people and their sessions, beside the stand-in that vouches for them.
type practice struct {
	b        *bench
	pg       *pgtest.Cluster
	database string
	keys     standin.Keys
	url      string // of the stand-in
	keyFile  string // the sidecar's analysis key
	org      uuid.UUID
	admin    *pgxpool.Pool // superuser
	api      *pgxpool.Pool // authenticator, as PostgREST connects
	stop     []func()
	arrivals atomic.Int64 // positions given by arrive
}

const apiConns = 24

// practice prepares a database with every migration, an organisation, an analysis key and the stand-in.
func (b *bench) practice(ctx context.Context, pg *pgtest.Cluster, database string) (*practice, error) {
	b.progress.begin("prepare "+database, 0)
	p := &practice{b: b, pg: pg, database: database}
	if err := p.migrate(ctx); err != nil {
		return nil, err
	}
	err := p.open(ctx)
	if err == nil {
		err = p.startStandin(ctx)
	}
	if err == nil {
		err = p.found(ctx)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *practice) migrate(ctx context.Context) error {
	platform, err := pgtest.Platform()
	if err != nil {
		return err
	}
	migrations, err := pgtest.Migrations()
	if err != nil {
		return err
	}
	if p.database != "postgres" {
		conn, err := pgx.Connect(ctx, p.pg.SuperuserURL())
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "create database "+p.database+" owner postgres")
		if err = errors.Join(err, conn.Close(ctx)); err != nil {
			return err
		}
	}
	return p.pg.Apply(ctx, p.database, platform, migrations)
}

func (p *practice) open(ctx context.Context) error {
	for role, into := range map[string]**pgxpool.Pool{pgtest.RoleSuperuser: &p.admin, pgtest.RoleAPI: &p.api} {
		config, err := pgxpool.ParseConfig(p.pg.URL(role, p.database))
		if err != nil {
			return err
		}
		config.MaxConns = apiConns
		pool, err := pgxpool.NewWithConfig(ctx, config)
		if err != nil {
			return err
		}
		*into = pool
		p.stop = append(p.stop, pool.Close)
	}
	return nil
}

func (p *practice) startStandin(ctx context.Context) error {
	var err error
	if p.keys, err = standin.NewKeys(); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.url = "http://" + l.Addr().String()
	server, err := standin.New(standin.Config{URL: p.url, Keys: p.keys, HashCost: 4, Log: slog.New(slog.DiscardHandler),
		AuthDatabaseURL: p.pg.URL(pgtest.RoleAuth, p.database), RestDatabaseURL: p.pg.URL(pgtest.RoleAPI, p.database)})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	g.Go(func() error { return server.Serve(serving, l) })
	p.stop = append(p.stop, func() {
		cancel()
		if err := g.Wait(); err != nil {
			p.b.progress.say("stand-in: %v", err)
		}
	})
	return nil
}

// found makes the organisation and the analysis key.
func (p *practice) found(ctx context.Context) error {
	admin, err := p.people(ctx, 1, "")
	if err != nil {
		return err
	}
	if err := p.admin.QueryRow(ctx, `select private.found_organization('Bench practice', (select email from auth.users where id = $1))`, admin[0].id).Scan(&p.org); err != nil {
		return fmt.Errorf("found organization: %w", err)
	}
	if _, err := p.admin.Exec(ctx, `update public.organizations set require_aal2 = false, suggestions = 'off' where id = $1`, p.org); err != nil {
		return err
	}
	d, err := envelope.NewDevice(uuid.New())
	if err != nil {
		return err
	}
	p.keyFile = filepath.Join(p.b.dir, p.database+"-"+uuid.NewString()+"-analysis-key.json")
	if err := envelope.WriteKeyFile(p.keyFile, d); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, p.pg.URL(pgtest.RoleSidecar, p.database))
	if err != nil {
		return err
	}
	defer pool.Close()
	return store.New(pool).RegisterAnalysisDevice(ctx, d.KID(), envelope.EncodeText(d.EncPub()), envelope.EncodeText(d.SigPub()))
}

func (p *practice) close() {
	for _, stop := range p.stop {
		stop()
	}
}

// people makes n people with a role in the organisation; "" for none.
func (p *practice) people(ctx context.Context, n int, role string) ([]person, error) {
	made := make([]person, n)
	ids := make([]uuid.UUID, n)
	for i := range made {
		made[i].id = uuid.New()
		ids[i] = made[i].id
	}
	if _, err := p.admin.Exec(ctx, `
		insert into auth.users (id, aud, role, email, email_confirmed_at, created_at, updated_at)
		select id, 'authenticated', 'authenticated', id || '@people.example', now(), now(), now() from unnest($1::uuid[]) id`, ids); err != nil {
		return nil, fmt.Errorf("make people: %w", err)
	}
	if role == "" {
		return made, nil
	}
	if _, err := p.admin.Exec(ctx, `insert into public.memberships (organization_id, user_id, role) select $1, id, $3 from unnest($2::uuid[]) id`, p.org, ids, role); err != nil {
		return nil, fmt.Errorf("make members: %w", err)
	}
	return made, nil
}

// logins signs each of the people in once.
func (p *practice) logins(ctx context.Context, people []person) ([]login, error) {
	made := make([]login, len(people))
	ids, users := make([]uuid.UUID, len(people)), make([]uuid.UUID, len(people))
	now := time.Now()
	for i := range people {
		l := login{id: uuid.New(), person: people[i].id}
		claims := jwt.MapClaims{
			"iss": p.url + "/auth/v1", "sub": l.person.String(), "aud": "authenticated", "role": "authenticated", "iat": now.Unix(),
			"exp": now.Add(wholeTimeout).Unix(), "aal": "aal1", "session_id": l.id.String(), "email": l.person.String() + "@people.example",
		}
		raw, err := json.Marshal(claims)
		if err != nil {
			return nil, err
		}
		if l.token, err = p.keys.Signing.Sign(claims); err != nil {
			return nil, err
		}
		l.claims = string(raw)
		made[i], ids[i], users[i] = l, l.id, l.person
	}
	if _, err := p.admin.Exec(ctx, `insert into auth.sessions (id, user_id, created_at, updated_at, aal)
		select l.id, l.user_id, now(), now(), 'aal1' from unnest($1::uuid[], $2::uuid[]) l (id, user_id)`, ids, users); err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	return made, nil
}

// as runs work in one transaction as PostgREST would: role and claims set locally.
func (p *practice) as(ctx context.Context, l login, work func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, p.api, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)", l.claims); err != nil {
			return err
		}
		return work(tx)
	})
}

// device registers a device of whoever signed in.
func (p *practice) device(ctx context.Context, l login) (*envelope.Device, error) {
	d, err := envelope.NewDevice(uuid.New())
	if err != nil {
		return nil, err
	}
	return d, p.as(ctx, l, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "insert into public.devices (id, enc_pub, sig_pub, label) values ($1, $2, $3, 'bench')", d.KID(), envelope.EncodeText(d.EncPub()), envelope.EncodeText(d.SigPub()))
		return err
	})
}
