// Command serve starts a private Postgres with the platform's SQL and every migration, and the stand-in for Supabase on it,
// prints one line of JSON that says where they are, and runs until its standard input ends or it is told to stop. Test
// suites in other languages start it: nothing is left behind when they die, for then the input ends.
//
//	{"supabase_url":…,"publishable_key":…,"secret_key":…,"database_url":…,"replication_url":…,"standin":true,…}
//
// With -postgres it uses a Postgres that runs already, whose roles and schemas are its owner's concern.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"vigil/server/pgtest"
	"vigil/server/standin"
)

// options are the command's flags.
type options struct {
	address      string
	version      int
	dir          string
	keys         string
	hook         string
	autoconfirm  bool
	schemas      string
	hashCost     int
	noMigrations bool
	sql          string
}

func main() {
	var o options
	flag.StringVar(&o.address, "address", "127.0.0.1:0", "where to listen; port 0 takes a free one")
	flag.IntVar(&o.version, "version", 0, "Postgres 15 or 17; 0 takes what there is")
	flag.StringVar(&o.dir, "dir", "", "folder for the data; empty: a temporary one, removed at the end")
	flag.StringVar(&o.keys, "keys", "", "file that keeps the keys; empty: new ones")
	flag.StringVar(&o.hook, "hook", "private.custom_access_token_hook", "access-token hook, schema.function; empty: none")
	flag.BoolVar(&o.autoconfirm, "autoconfirm", false, "let people in without confirming their address")
	flag.StringVar(&o.schemas, "schemas", "public", "schemas that the REST API exposes, with commas")
	flag.IntVar(&o.hashCost, "hash-cost", 0, "bcrypt's cost; 0: 10, as Auth's")
	flag.BoolVar(&o.noMigrations, "no-migrations", false, "leave out the project's migrations (and the hook)")
	flag.StringVar(&o.sql, "sql", "", "file of SQL to run as postgres when all else is there: a suite's own tables")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

// where is the line that the command prints. Its names are those of the environment, in lower case.
type where struct {
	SupabaseURL    string `json:"supabase_url"`
	PublishableKey string `json:"publishable_key"`
	SecretKey      string `json:"secret_key"`
	DatabaseURL    string `json:"database_url"`
	ReplicationURL string `json:"replication_url"`
	OwnerURL       string `json:"owner_url"`     // postgres: not a superuser; owns the migrations
	SuperuserURL   string `json:"superuser_url"` // supabase_admin, which hosted Supabase gives nobody
	PostgresMajor  int    `json:"postgres_major"`
	Standin        bool   `json:"standin"`
}

const database = "postgres"

func run(ctx context.Context, o options, input io.Reader, output io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// It ends with the process: a read of standard input cannot be cancelled.
	go func() {
		_, _ = io.Copy(io.Discard, input)
		cancel()
	}()

	cluster, err := pgtest.Open(ctx, pgtest.Options{Version: o.version, Dir: o.dir, Bare: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close(context.WithoutCancel(ctx))) }()
	if err := prepare(ctx, cluster, o); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server, url, err := standIn(cluster, o, listener)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	replicator := pgtest.RoleReplicator
	if cluster.Version() < 16 {
		replicator = pgtest.RoleOwner // hosted Supabase has no other on 15
	}
	if err := json.NewEncoder(output).Encode(where{
		SupabaseURL: url, PublishableKey: server.PublishableKey(), SecretKey: server.SecretKey(),
		DatabaseURL: cluster.URL(pgtest.RoleSidecar, database), ReplicationURL: cluster.URL(replicator, database),
		OwnerURL: cluster.URL(pgtest.RoleOwner, database), SuperuserURL: cluster.URL(pgtest.RoleSuperuser, database),
		PostgresMajor: cluster.Version(), Standin: true,
	}); err != nil {
		return errors.Join(fmt.Errorf("say where: %w", err), listener.Close())
	}
	return server.Serve(ctx, listener)
}

// prepare gives the database what hosted Supabase has, and what the project adds.
func prepare(ctx context.Context, cluster *pgtest.Cluster, o options) error {
	platform, err := pgtest.Platform()
	if err != nil {
		return err
	}
	var migrations []pgtest.Script
	if !o.noMigrations {
		if migrations, err = pgtest.Migrations(); err != nil {
			return err
		}
	}
	if err := cluster.Apply(ctx, database, platform, migrations); err != nil || o.sql == "" {
		return err
	}
	extra, err := os.ReadFile(o.sql)
	if err != nil {
		return fmt.Errorf("read -sql: %w", err)
	}
	return cluster.Run(ctx, pgtest.RoleOwner, database, []pgtest.Script{{Name: filepath.Base(o.sql), SQL: string(extra)}})
}

func standIn(cluster *pgtest.Cluster, o options, listener net.Listener) (*standin.Server, string, error) {
	keys, err := standin.NewKeys()
	if o.keys != "" {
		keys, err = standin.LoadKeys(o.keys)
	}
	if err != nil {
		return nil, "", err
	}
	if o.noMigrations {
		o.hook = ""
	}
	url := "http://" + listener.Addr().String()
	server, err := standin.New(standin.Config{
		URL: url, AuthDatabaseURL: cluster.URL(pgtest.RoleAuth, database), RestDatabaseURL: cluster.URL(pgtest.RoleAPI, database),
		Keys: keys, Hook: o.hook, Autoconfirm: o.autoconfirm, Schemas: strings.Split(o.schemas, ","), HashCost: o.hashCost,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	return server, url, err
}
