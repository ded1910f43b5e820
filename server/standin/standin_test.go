package standin_test

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"vigil/server/pgtest"
	"vigil/server/standin"
)

var postgres = pgtest.Shared(pgtest.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

// start serves a stand-in on a database until the returned function is called.
func start(t *testing.T, db *pgtest.Database, keys standin.Keys, address string) (url string, s *standin.Server, stop func()) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	url = "http://" + listener.Addr().String()
	s, err = standin.New(standin.Config{
		URL: url, AuthDatabaseURL: db.URL(pgtest.RoleAuth), RestDatabaseURL: db.URL(pgtest.RoleAPI), Keys: keys, Autoconfirm: true,
		HashCost: bcrypt.MinCost, Hook: "private.custom_access_token_hook",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }() // stop waits for it
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	}
	return url, s, stop
}

func ask(t *testing.T, method, url string, header map[string]string, body string) (int, map[string]any, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var parsed map[string]any
	_ = json.Unmarshal(data, &parsed) // what is no object stays nil
	return response.StatusCode, parsed, response.Header
}

func TestKeysInAFileKeepTokensGoodOverARestart(t *testing.T) {
	t.Parallel()
	db := postgres.Database(t)
	file := filepath.Join(t.TempDir(), "keys.json")
	keys, err := standin.LoadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	url, s, stop := start(t, db, keys, "127.0.0.1:0")
	status, in, header := ask(t, http.MethodPost, url+"/auth/v1/signup", map[string]string{"apikey": s.PublishableKey()},
		`{"email":"ann@example.test","password":"correct horse"}`)
	if status != http.StatusOK || header.Get(standin.Header) != "1" {
		t.Fatalf("sign-up: %d %v", status, in)
	}
	stop()

	if keys, err = standin.LoadKeys(file); err != nil {
		t.Fatal(err)
	}
	url, s, stop = start(t, db, keys, strings.TrimPrefix(url, "http://"))
	defer stop()
	token, _ := in["access_token"].(string)
	status, user, _ := ask(t, http.MethodGet, url+"/auth/v1/user", map[string]string{"apikey": s.PublishableKey(), "Authorization": "Bearer " + token}, "")
	if status != http.StatusOK || user["email"] != "ann@example.test" {
		t.Errorf("after the restart: %d %v", status, user)
	}
}

func TestTheKeysFileIsForItsOwnerAndABrokenOneIsNotReplaced(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.json")
	if _, err := standin.LoadKeys(file); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v", info.Mode(), err)
	}
	for _, broken := range []string{"", "{}", "null", `{"publishable_key":"x"}`} {
		if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := standin.LoadKeys(file); err == nil || strings.Contains(err.Error(), filepath.Dir(file)) {
			t.Errorf("%q: error = %v, want one that says what to do and no path", broken, err)
		}
	}
}

func TestServicesThatAreNotHereSaySo(t *testing.T) {
	t.Parallel()
	url, s, stop := start(t, postgres.Database(t), standin.Keys{}, "127.0.0.1:0")
	defer stop()
	for _, path := range []string{"/storage/v1/bucket", "/functions/v1/notify", "/realtime/v1/websocket", "/graphql/v1"} {
		status, body, _ := ask(t, http.MethodGet, url+path, map[string]string{"apikey": s.PublishableKey()}, "")
		if status != http.StatusNotImplemented || body["hint"] != "See server/standin/DIFFERENCES.md" {
			t.Errorf("%s: %d %v", path, status, body)
		}
		if status, _, _ := ask(t, http.MethodGet, url+path, nil, ""); status != http.StatusUnauthorized {
			t.Errorf("%s without a key: %d", path, status)
		}
	}
}

func TestServeSaysThatTheDatabaseDoesNotAnswer(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := "postgres://nobody@127.0.0.1:1/none?connect_timeout=2"
	s, err := standin.New(standin.Config{URL: "http://" + listener.Addr().String(), AuthDatabaseURL: nowhere, RestDatabaseURL: nowhere})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), listener); err == nil || !strings.Contains(err.Error(), "reach the database") {
		t.Errorf("serve: %v", err)
	}
}

func TestAnAddressWithAPathIsRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "127.0.0.1:54321", "http://127.0.0.1/auth/v1"} {
		if _, err := standin.New(standin.Config{URL: url}); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
}

func TestThePlatformMayRunAgainAndGivesPostgresNothingMoreThanHosted(t *testing.T) {
	t.Parallel()
	db := postgres.Database(t)
	super, owner := db.Pool(t, pgtest.RoleSuperuser), db.Pool(t, pgtest.RoleOwner)
	names, err := fs.Glob(standin.Platform, "platform/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("platform: %v %v", names, err)
	}
	slices.Sort(names)
	// The roles belong to the cluster that other tests share: what sets their attributes again would meet them.
	for _, name := range slices.DeleteFunc(names, func(n string) bool { return strings.Contains(n, "roles") }) {
		sql, err := fs.ReadFile(standin.Platform, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := super.Exec(t.Context(), string(sql)); err != nil {
			t.Errorf("%s again: %v", name, err)
		}
	}
	for statement, allowed := range map[string]bool{
		"create table public.of_a_person (id uuid references auth.users (id))":                         true,
		"create function public.nothing() returns trigger language plpgsql as 'begin return old; end'": true,
		"select count(*) from auth.sessions":                                                           true,
		"create role somebody_else; grant authenticated to somebody_else; drop role somebody_else":     true,
		"create table auth.mine (id int)":                                                              false,
		"drop table auth.users":                                                                        false,
		"alter table auth.users add column mine int":                                                   false,
		"create policy mine on auth.users for select using (true)":                                     false,
		"create event trigger mine on ddl_command_end execute function public.nothing()":               false,
		"set role supabase_auth_admin":                                                                 false,
		"set role authenticator":                                                                       false,
		"alter role postgres superuser":                                                                false,
		"create extension pageinspect":                                                                 false,
		"alter system set wal_level = minimal":                                                         false,
	} {
		tx, err := owner.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), statement); (err == nil) != allowed {
			t.Errorf("%s: error = %v, want allowed %t", statement, err, allowed)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var granted bool
	if err := owner.QueryRow(t.Context(), `with made as (select 1) select exists (select from pg_catalog.pg_default_acl d, aclexplode(d.defaclacl) a
		where d.defaclrole = 'postgres'::regrole and a.grantee in ('anon'::regrole, 'authenticated'::regrole, 'service_role'::regrole))`).Scan(&granted); err != nil || granted {
		t.Errorf("new tables are granted to the API's roles: %t %v", granted, err)
	}
}
