package replication_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"vigil/server/internal/replication"
	"vigil/server/pgtest"
)

func TestWhatIsWrongWithTheConnectionIsSaidWithItsRemedy(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		for name, c := range map[string]struct {
			url  string
			kind error
			says string
		}{
			"a role that may not replicate": {f.db.URL(pgtest.RoleSidecar), replication.ErrPrivilege, "with replication"},
			"a wrong password":              {strings.Replace(f.config.URL, "@", "x@", 1), replication.ErrAuthentication, "password in REPLICATION_URL"},
			"a role that is not there":      {strings.Replace(f.config.URL, pgtest.RoleReplicator, "nobody", 1), replication.ErrAuthentication, "check user"},
			"a database that is not there":  {strings.Replace(f.config.URL, f.db.Name, "absent", 1), replication.ErrDatabase, "check the database name"},
			"no TLS where it is demanded":   {strings.Replace(f.config.URL, "sslmode=disable", "sslmode=require", 1), replication.ErrTLS, "sslmode"},
			"Supabase's pooler":             {"postgres://u:p@aws-0-eu.pooler.supabase.com:5432/postgres", replication.ErrPooler, "direct connection"},
			"the pooler's port":             {"postgres://u:p@db.abc.supabase.co:6543/postgres", replication.ErrPooler, "direct connection"},
			"no address":                    {"postgres://u:secret@[", replication.ErrDatabase, "not a connection address"},
		} {
			err := f.begin(func(conf *replication.Config) { conf.URL = c.url }).end()
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: the password is in %v", name, err)
			}
		}
		if err := replication.Probe(t.Context(), f.db.URL(pgtest.RoleSidecar)); !errors.Is(err, replication.ErrPrivilege) {
			t.Errorf("probe: %v", err)
		}
		if err := replication.Probe(t.Context(), f.config.URL); err != nil {
			t.Errorf("probe: %v", err)
		}
		if _, err := replication.Inspect(t.Context(), strings.Replace(f.config.URL, "@", "x@", 1), "s", nil); !errors.Is(err, replication.ErrAuthentication) {
			t.Errorf("inspect: %v", err)
		}
	})
}

func TestAServerThatDoesNotLogLogicallyIsRefused(t *testing.T) {
	t.Parallel()
	for _, version := range []int{15, 17} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			f := setup(t, pgtest.Start(t, pgtest.Options{Version: version, Bare: true, Settings: map[string]string{"wal_level": "replica"}}))
			expectFault(t, f.begin().end(), replication.ErrWALLevel, "it is replica", "alter system set wal_level = 'logical'", "restart")
		})
	}
}

// answers is a server that says one thing: what poolers and broken TLS look like from here.
func answers(t *testing.T, answer func(conn net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // the cleanup waits for it
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			answer(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func refuseWith(code, message string) func(net.Conn) {
	return func(conn net.Conn) {
		backend := pgproto3.NewBackend(conn, conn)
		if _, err := backend.ReceiveStartupMessage(); err != nil {
			return
		}
		backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: message})
		_ = backend.Flush()
	}
}

func TestPoolersAreKnownByWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"08P01", "unsupported startup parameter: replication"},
		{"XX000", "Tenant or user not found"},
	} {
		address := answers(t, refuseWith(c[0], c[1]))
		expectFault(t, runAt(t, "postgres://u:p@"+address+"/db?sslmode=disable"), replication.ErrPooler, "db.<project>.supabase.co:5432")
	}
}

func runAt(t *testing.T, address string) error {
	t.Helper()
	log := newLog()
	reader, err := replication.New(replication.Config{URL: address, Slot: "s", Publications: []replication.Publication{itemsPublication()},
		Last: log.Last, Append: log.Append})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return reader.Run(ctx)
}

func TestACertificateThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"other.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	address := answers(t, func(conn net.Conn) {
		if _, err := pgproto3.NewBackend(conn, conn).ReceiveStartupMessage(); err != nil { // the wish for TLS
			return
		}
		if _, err := conn.Write([]byte("S")); err == nil {
			_ = tls.Server(conn, config).Handshake()
		}
	})
	expectFault(t, runAt(t, "postgres://u:p@"+address+"/db?sslmode=verify-full"), replication.ErrTLS, "sslrootcert", "CA certificate")
}

func TestTheConfigurationIsCheckedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := replication.New(replication.Config{Slot: "No Slot!", StatusInterval: time.Minute, MinBackoff: -1, MaxBytes: -1})
	for _, word := range []string{"no URL", `slot "No Slot!"`, "no publication", "no Last", "StatusInterval", "negative", "limit"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %q", err, word)
		}
	}
}

func TestAHookThatRefusesTheStartEndsRun(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.begin(func(c *replication.Config) {
			c.Started = func(context.Context, replication.Start) error { return refusal{errTest} }
		})
		expectFault(t, r.end(), errTest)
		calls := 0
		r = f.begin(func(c *replication.Config) {
			c.Started = func(context.Context, replication.Start) error {
				if calls++; calls == 1 {
					return errTest // not for ever
				}
				return nil
			}
		})
		f.until("the second try", func() bool { return r.State().Connected })
		if err := r.Run(t.Context()); err == nil {
			t.Error("a second Run beside the first")
		}
	})
}
