package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"vigil/server/pgtest"
)

// TestDoctorOnACluster: what a NATS cluster does not tell is said.
func TestDoctorOnACluster(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, MaxPayload: 8 << 20, Username: "vigil", Password: "canary",
	})
	d.noError(err)
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not start")
	}
	d.env["NATS_URL"] = "nats://vigil:canary@" + ns.Addr().String()
	busKey := d.env["VIGIL_BUS_KEY"]
	delete(d.env, "VIGIL_BUS_KEY")
	f := d.healthy()
	d.must(f, "bus", "ok", "the cluster answers")
	d.must(f, "bus key", "warn", "unsealed")
	d.env["VIGIL_BUS_KEY"] = busKey
	if x := d.must(f, "bus sync", "warn", "does not say whether it writes to disk"); x.Fix[:15] != "In each server'" {
		t.Errorf("%+v", x)
	}
	d.must(f, "sidecar", "skip", "none answers")

	end := d.serve()
	d.must(d.healthy(), "sidecar", "ok", "ready")
	end()

	d.env["VIGIL_ROLES"] = "relay"
	d.must(d.healthy(), "replication", "warn", "is not needed here")
	url := d.env["REPLICATION_URL"]
	delete(d.env, "REPLICATION_URL")
	f = d.healthy()
	d.must(f, "replication", "skip", "does not ingest")
	d.must(f, "key", "skip", "opens nothing")
	delete(d.env, "VIGIL_ROLES")
	d.env["REPLICATION_URL"] = url

	d.sql(pgtest.RoleOwner, "delete from public.devices")
	d.env["VIGIL_ANALYSIS_KEY_FILE"] = filepath.Join(t.TempDir(), "none.json")
	d.must(d.doctor(), "key", "fail", "must have the same")
	d.env["NATS_URL"] = "nats://vigil:canary-wrong@" + ns.Addr().String()
	d.must(d.doctor(), "bus", "fail", "does not take entries")
	d.env["NATS_URL"] = "nats://vigil:canary@" + freeAddress(t)
	d.must(d.doctor(), "bus", "fail", "does not take entries")
}

// TestDoctorAsRootLeavesAnotherUsersBusAlone: what root makes there the sidecar could not open.
func TestDoctorAsRootLeavesAnotherUsersBusAlone(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("skipped, for only root can give a folder away")
	}
	d := setup(t, postgres.Cluster(t))
	d.fillBus()
	const nobody = 65534
	d.noError(os.Chown(d.env["VIGIL_DATA_DIR"], nobody, nobody))
	before := d.below(d.env["VIGIL_DATA_DIR"])
	d.must(d.healthy(), "bus", "skip", "another user's")
	if after := d.below(d.env["VIGIL_DATA_DIR"]); after != before {
		t.Errorf("%s files became %s", before, after)
	}
}

// below counts the files below a folder, and adds up when they were changed.
func (d *deployment) below(dir string) string {
	d.Helper()
	files, changed := 0, int64(0)
	d.noError(filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			files, changed = files+1, changed+info.ModTime().UnixNano()
		}
		return err
	}))
	return fmt.Sprintf("%d (%d)", files, changed)
}

// TestDoctorKnowsTheProjectsOfHostedAddresses: URLs of two projects are found before anything is dialled.
func TestDoctorKnowsTheProjectsOfHostedAddresses(t *testing.T) {
	t.Parallel()
	const a, b = "aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb"
	d := setup(t, postgres.Cluster(t))
	dead := freeAddress(t)
	for name, c := range map[string]struct {
		supabase, database string
		mixed              bool
	}{
		"direct, of another":    {a + ".supabase.co", "vigil:canary@db." + b + ".supabase.co:6543", true},
		"pooled, of another":    {a + ".supabase.co", "vigil." + b + ":canary@aws-0-eu-west-1.pooler.supabase.com:6543", true},
		"direct, of the same":   {a + ".supabase.co", "vigil:canary@db." + a + ".supabase.co:6543", false},
		"pooled, of the same":   {a + ".supabase.co", "vigil." + a + ":canary@aws-0-eu-west-1.pooler.supabase.com:6543", false},
		"an address of its own": {dead, "vigil." + a + ":canary@aws-0-eu-west-1.pooler.supabase.com:6543", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := d.in(t)
			d.env["SUPABASE_JWKS_URL"], d.env["REPLICATION_URL"] = "http://"+dead, d.db.URL(pgtest.RoleReplicator)
			d.env["SUPABASE_URL"], d.env["DATABASE_URL"] = "http://"+c.supabase, "postgresql://"+c.database+"/postgres"
			if found := len(d.doctor().of("project", "fail")) > 0; found != c.mixed {
				t.Errorf("found: %v", found)
			}
		})
	}
}
