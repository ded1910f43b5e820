package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"vigil/server/internal/bus"
	"vigil/server/internal/escalation"
	"vigil/server/internal/telemetry"
	"vigil/server/pgtest"
)

// TestDoctorFindsFaultsOfTheConnections seeds faults in the URLs and keys, which the operator mends by hand. All are in the
// environment alone, each in its own copy: without them there is one healthy deployment, which is looked at once.
func TestDoctorFindsFaultsOfTheConnections(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	replace := func(name, from, to string) func(*deployment) {
		return func(d *deployment) { d.env[name] = strings.Replace(d.env[name], from, to, 1) }
	}
	host := func(d *deployment) string { return fmt.Sprintf("127.0.0.1:%d", d.cluster.Port()) }
	faults := map[string]fault{
		"the sidecar connects as another role": {
			seed: func(d *deployment) { d.env["DATABASE_URL"] = d.db.URL(pgtest.RoleOwner) }, check: "role", says: "connected as postgres",
		},
		"a wrong password": {
			seed: replace("DATABASE_URL", "@", "canary@"), check: "database", says: "28P01",
		},
		"a wrong password to replicate": {
			seed: replace("REPLICATION_URL", "@", "canary@"), check: "connection", says: "the database refused the login",
		},
		"no such database": {
			seed: func(d *deployment) { d.env["DATABASE_URL"] = d.cluster.URL(pgtest.RoleSidecar, "nowhere") }, check: "database", says: "no such database",
		},
		"two databases": {
			seed: func(d *deployment) { d.env["REPLICATION_URL"] = d.cluster.Database(d.T).URL(pgtest.RoleReplicator) }, check: "same database", says: "two different databases",
		},
		"nobody listens": {
			seed: func(d *deployment) {
				d.env["DATABASE_URL"] = strings.Replace(d.env["DATABASE_URL"], host(d), freeAddress(d.T), 1)
			}, check: "database", says: "no answer from the server",
		},
		"a transaction pooler": {
			seed: func(d *deployment) {
				d.env["DATABASE_URL"] = strings.Replace(d.env["DATABASE_URL"], host(d), "pooler.invalid:6543", 1)
			}, check: "database", says: "transaction pooler",
		},
		"replication through a pooler": {
			seed: func(d *deployment) {
				d.env["REPLICATION_URL"] = strings.Replace(d.env["REPLICATION_URL"], host(d), "aws-0-eu-west-1.pooler.supabase.com:5432", 1)
			}, check: "connection", says: "the replication address is a pooler",
		},
		"a host nobody knows, and nobody verifies": {
			seed: func(d *deployment) {
				d.env["REPLICATION_URL"] = strings.Replace(d.env["REPLICATION_URL"], host(d), "database.invalid:5432", 1)
			}, check: "tls", status: "warn", says: "REPLICATION_URL does not verify", also: map[string]string{"connection": "REPLICATION_URL"},
		},
		"a server without TLS": {
			seed: replace("DATABASE_URL", "sslmode=disable", "sslmode=require"), check: "database", says: "the TLS handshake failed",
		},
		"a CA file that is none": {
			seed: func(d *deployment) { d.env["DATABASE_CA_FILE"] = d.keyFile }, check: "tls", says: "holds no certificate",
		},
		"URLs of two projects": {
			seed: func(d *deployment) {
				d.env["SUPABASE_URL"] = "https://abcdefghijklmnopqrst.supabase.co"
				d.env["DATABASE_URL"] = "postgresql://vigil.zyxwvutsrqponmlkjihg:canary@aws-0-eu-west-1.pooler.supabase.com:6543/postgres"
			}, check: "project", says: "DATABASE_URL is of another project",
		},
		"the operator's address is open": {
			seed: sets("VIGIL_OPERATOR_ADDR", ":0"), check: "operator", status: "warn", says: "from other machines",
		},
		"no origin": {
			seed: sets("VIGIL_ALLOWED_ORIGINS", ""), check: "origins", status: "warn", says: "no browser may connect",
		},
		"every origin": {
			seed: sets("VIGIL_ALLOWED_ORIGINS", "*"), check: "origins", status: "warn", says: "any page on the web",
		},
		"a wrong publishable key": {
			seed: sets("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_canary"), check: "auth", says: "does not know SUPABASE_PUBLISHABLE_KEY",
		},
		"nobody is paged": {
			seed: func(d *deployment) { delete(d.env, "VIGIL_NOTIFY_SECRET"); delete(d.env, "VIGIL_NOTIFY_URL") }, check: "notify", status: "warn", says: "nobody is paged",
		},
		"notify's secret can be guessed": {
			seed: sets("VIGIL_NOTIFY_SECRET", "canary"), check: "notify", says: "16 characters",
		},
		"notify cannot be reached": {
			seed: func(d *deployment) { d.env["VIGIL_NOTIFY_URL"] = "http://" + freeAddress(d.T) }, check: "notify", says: "no answer",
		},
		"notify is not deployed": {
			seed: answers("VIGIL_NOTIFY_URL", http.StatusNotFound, `{"code":"NOT_FOUND","message":"Requested function was not found"}`), check: "notify", says: "no edge function",
		},
		"notify asks for a token": {
			seed: answers("VIGIL_NOTIFY_URL", http.StatusUnauthorized, `{"code":401,"message":"Missing authorization header"}`), check: "notify", says: "asks for a token",
		},
		"notify takes everything": {
			seed: answers("VIGIL_NOTIFY_URL", http.StatusOK, `{"deliveries":[]}`), check: "notify", says: "what is not signed is taken",
		},
		"notify has no secret": {
			seed: answers("VIGIL_NOTIFY_URL", http.StatusServiceUnavailable, `{"code":"not_configured"}`), check: "notify", says: "NOTIFY_SECRET is not set there",
		},
		"notify breaks": {
			seed: answers("VIGIL_NOTIFY_URL", http.StatusInternalServerError, `canary`), check: "notify", says: "does not work (it answered 500)",
		},
		"notify has another secret": {
			seed: sets("VIGIL_NOTIFY_SECRET", "another-secret-canary"), check: "notify", says: "is another than VIGIL_NOTIFY_SECRET",
		},
		"notify has no channel": {
			seed: func(d *deployment) {
				d.env["VIGIL_NOTIFY_URL"] = d.notify("notify-secret-canary", http.StatusServiceUnavailable,
					`{"code":"not_configured","faults":["PAGER_WEBHOOK_URL, RESEND_API_KEY: one must be set; canary"]}`)
			}, check: "notify", says: "PAGER_WEBHOOK_URL, RESEND_API_KEY",
		},
		"Supabase cannot be reached": {
			seed:  func(d *deployment) { d.env["SUPABASE_URL"] = "http://" + freeAddress(d.T) },
			check: "jwks", says: "no answer", also: map[string]string{"auth": "does not answer"},
		},
		"no key signs tokens": {
			seed: serves("SUPABASE_JWKS_URL", `{"keys": []}`, time.Time{}), check: "jwks", says: "holds no key",
		},
		"the key set is none": {
			seed: serves("SUPABASE_JWKS_URL", `<html>`, time.Time{}), check: "jwks", says: "no JSON Web Key Set",
		},
		"only the legacy secret signs": {
			seed: func(d *deployment) {
				serves("SUPABASE_JWKS_URL", `{"keys": []}`, time.Time{})(d)
				d.env["SUPABASE_JWT_SECRET"] = "canary-legacy"
			}, check: "jwks", status: "warn", says: "only the legacy HS256 secret",
		},
		"Auth's clock": {
			seed: serves("SUPABASE_JWKS_URL", `{"keys": [{"alg": "ES256"}]}`, time.Now().Add(-time.Hour)), check: "clock (auth)", says: "away from Auth's",
		},
		"this machine's clock": {
			seed:  func(d *deployment) { d.now = func() time.Time { return time.Now().Add(10 * time.Minute) } },
			check: "clock", says: "10m0s away from the database's", also: map[string]string{"clock (auth)": "away from Auth's", "notify": "clock is too far"},
		},
	}
	t.Run("come", func(t *testing.T) {
		for name, f := range faults {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f.find(d.in(t))
			})
		}
	})
	healthy := d.healthy()
	for _, f := range faults {
		f.gone(d, healthy)
	}
}

// serves answers at a variable's address with a body and, unless it is zero, a date.
func serves(variable, body string, date time.Time) func(*deployment) {
	return func(d *deployment) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if !date.IsZero() {
				w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
			}
			_, _ = w.Write([]byte(body))
		}))
		d.Cleanup(s.Close)
		d.env[variable] = s.URL
	}
}

// answers gives everybody the same answer at a variable's address.
func answers(variable string, status int, body string) func(*deployment) {
	return func(d *deployment) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		d.Cleanup(s.Close)
		d.env[variable] = s.URL
	}
}

// notify answers a stranger, a wrong signature and a late one as the edge function does, and the rest as it is told. That the
// function does so is server/e2e's to prove.
func (d *deployment) notify(secret string, status int, body string) (address string) {
	d.Helper()
	signer, err := escalation.NewSigner(secret)
	d.noError(err)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		at, timeErr := strconv.ParseInt(r.Header.Get(escalation.HeaderTimestamp), 10, 64)
		own := http.Header{}
		signer.Sign(own, r.Header.Get(escalation.HeaderID), time.Unix(at, 0), sent)
		answer := func(code string) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"code": %q}`, code)
		}
		switch {
		case r.Header.Get(escalation.HeaderSignature) == "":
			answer("signature_missing")
		case err != nil || timeErr != nil || own.Get(escalation.HeaderSignature) != r.Header.Get(escalation.HeaderSignature):
			answer("signature_wrong")
		case time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute:
			answer("timestamp_refused")
		default:
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}))
	d.Cleanup(s.Close)
	return s.URL
}

// TestDoctorFindsFaultsOfFiles seeds faults in what the sidecar keeps on its machine.
func TestDoctorFindsFaultsOfFiles(t *testing.T) {
	t.Parallel()
	shared := setup(t, postgres.Cluster(t))
	for name, f := range map[string]fault{
		"others may read the key": {
			seed: func(d *deployment) { d.noError(os.Chmod(d.keyFile, 0o644)) }, check: "key", says: "may be read by others",
		},
		"the key is gone": {
			seed: func(d *deployment) { d.noError(os.Remove(d.keyFile)) }, check: "key", says: "missing, but the project knows 1 analysis device",
		},
		"the key of another project": {
			seed: func(d *deployment) { d.writeKey() }, check: "key", says: "it is of another project",
			undo: func(d *deployment) {
				d.sql(pgtest.RoleOwner, "delete from public.devices")
				d.register(d.writeKey())
			},
		},
		"the key file is no key file": {
			seed: func(d *deployment) { d.noError(os.WriteFile(d.keyFile, []byte(`{"canary": 1}`), 0o600)) }, check: "key", says: "no key of vigil's",
			undo: func(d *deployment) {
				d.sql(pgtest.RoleOwner, "delete from public.devices")
				d.register(d.writeKey())
			},
		},
		"the key in the environment is no key": {
			seed: sets("VIGIL_ANALYSIS_KEY", "canary"), check: "key", says: "no key of vigil's",
			undo: func(d *deployment) {
				text, err := os.ReadFile(d.keyFile)
				d.noError(err)
				d.env["VIGIL_ANALYSIS_KEY"], d.env["VIGIL_ANALYSIS_KEY_FILE"] = string(text), d.dir+"/none"
			},
		},
		"a folder in the key file's place": {
			seed: func(d *deployment) {
				d.env["VIGIL_ANALYSIS_KEY_FILE"] = d.dir
				d.noError(os.Chmod(d.dir, 0o700))
			}, check: "key", says: "cannot be read", undo: nothing,
		},
		"the key is revoked": {
			seed: func(d *deployment) { d.sql(pgtest.RoleOwner, "update public.devices set revoked_at = now()") }, check: "key", says: "is revoked",
			undo: func(d *deployment) { d.noError(os.Remove(d.keyFile)) }, // serve makes another
		},
		"the key is not registered": {
			seed: func(d *deployment) { d.sql(pgtest.RoleOwner, "delete from public.devices") }, check: "key", status: "warn", says: "1 key not registered yet",
			undo: func(d *deployment) { d.noError(os.Remove(d.keyFile)) },
		},
		"a device whose key nobody has": {
			seed: func(d *deployment) {
				right, err := os.ReadFile(d.keyFile)
				d.noError(err)
				d.register(d.writeKey())
				d.noError(os.WriteFile(d.keyFile, right, 0o600))
			}, check: "key", status: "warn", says: "1 analysis device that the key file does not hold",
		},
		"a file in the data folder's place": {
			seed: func(d *deployment) { d.noError(os.WriteFile(d.env["VIGIL_DATA_DIR"], nil, 0o600)) }, check: "bus", says: "VIGIL_DATA_DIR cannot be written to",
			undo: func(d *deployment) { d.noError(os.Remove(d.env["VIGIL_DATA_DIR"])) },
		},
		"a file above the data folder": {
			seed: func(d *deployment) { d.env["VIGIL_DATA_DIR"] = filepath.Join(d.keyFile, "data", "below") }, check: "bus", says: "cannot be written to", undo: nothing,
		},
		"the bus key is another": {
			seed: func(d *deployment) {
				d.fillBus()
				d.env["VIGIL_BUS_KEY"] = "bus-key-canary-2"
			}, check: "bus", says: "cannot be opened with this key", undo: nothing,
		},
		"the bus key is gone": {
			seed: func(d *deployment) {
				d.fillBus()
				delete(d.env, "VIGIL_BUS_KEY")
			}, check: "bus", says: "cannot be opened with this key", undo: nothing,
		},
		"the bus is full": {
			seed: func(d *deployment) {
				d.fillBus()
				d.env["VIGIL_BUS_MAX_BYTES"] = "1"
			}, check: "bus", says: "full", undo: nothing,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := shared.in(t)
			d.newFiles()
			f.test(d)
		})
	}
}

func (d *deployment) noError(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// fillBus makes the bus, with an entry.
func (d *deployment) fillBus() {
	d.Helper()
	b, err := bus.Open(d.Context(), bus.Config{Dir: d.env["VIGIL_DATA_DIR"], Key: d.env["VIGIL_BUS_KEY"], Log: telemetry.NewLogger(&lines{}, 0, "json")})
	d.noError(err)
	p, err := b.Log().Append(d.Context(), []byte("an entry"))
	d.noError(err)
	d.noError(p.Wait(d.Context()))
	d.noError(b.Close(d.Context()))
}
