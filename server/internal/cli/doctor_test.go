package cli_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"vigil/server/internal/cli"
	"vigil/server/pgtest"
)

const eventTrigger = `create event trigger vigil_ddl on ddl_command_end execute function private.announce_ddl();`

func TestDoctorFindsNothingWhereNothingIsWrong(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	d.must(d.healthy(), "ddl", "warn", "no event trigger") // the migrations ran as somebody who may not make one
	d.sql(pgtest.RoleSuperuser, eventTrigger)
	f := d.doctor()
	if f.Failed+f.Warned > 0 || !strings.Contains(f.text, "All is well.") {
		t.Errorf("%d failures, %d warnings:\n%s", f.Failed, f.Warned, f.text)
	}
	if code, text, _ := d.with("doctor"); code != cli.ExitOK || !strings.Contains(text, "All is well.") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	for _, check := range []string{
		"configuration", "origins", "database", "clock", "role", "schema", "rls", "triggers", "ddl", "sign-out", "grants", "policies", "strangers", "waiting", "key",
		"replication", "slot", "publications", "jwks", "clock (auth)", "auth", "outsider", "notify", "bus", "ports",
	} {
		if len(f.of(check, "ok")) != 1 {
			t.Errorf("%q is not found well:\n%s", check, f.text)
		}
	}
	t.Logf("\n%s", f.text)
}

func TestDoctorBeforeTheFirstStart(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	d.sql(pgtest.RoleOwner, "delete from public.devices")
	d.env["VIGIL_ANALYSIS_KEY_FILE"] = d.dir + "/not yet/key.json"
	d.must(d.healthy(), "key", "ok", "vigil serve makes it")
	if entries := d.files(); len(entries) != 1 {
		t.Errorf("doctor left files: %v", entries)
	}
}

// TestDoctorFindsWhatWaitsForASidecar: a device that its owner approved, and nobody has verified the signature.
func TestDoctorFindsWhatWaitsForASidecar(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	const unguarded = "set session_replication_role = replica\n"
	d.sql(pgtest.RoleSuperuser, unguarded+`insert into public.devices (id, user_id, enc_pub, sig_pub, admitted_at, admission) select md5(n::text)::uuid, md5('person')::uuid, 'BA' || repeat('e', 84) || n, 'BA' || repeat('s', 84) || n, case n when 1 then now() end, case n when 1 then 'first' end from generate_series(1, 2) n
insert into public.device_signatures (device_id, user_id, by_device_id, signature, created_at) values (md5('2')::uuid, md5('person')::uuid, md5('1')::uuid, repeat('a', 86), now() - interval '1 minute')`)
	d.must(d.healthy(), "waiting", "ok", "no device, key or score")
	d.sql(pgtest.RoleSuperuser, unguarded+"update public.device_signatures set created_at = now() - interval '3 minutes'")
	d.must(d.doctor(), "waiting", "fail", "1 device that its owner approved waited")
	d.sql(pgtest.RoleSuperuser, unguarded+"delete from public.device_signatures")
	d.sql(pgtest.RoleSuperuser, unguarded+`insert into public.session_participants (session_id, user_id, organization_id, role) values (md5('strict')::uuid, md5('person')::uuid, md5('practice')::uuid, 'client')
insert into public.messages (id, session_id, organization_id, sender_id, sender_device_id, epoch, seq, position, assisted, body, created_at) select md5(n::text)::uuid, md5('strict')::uuid, md5('practice')::uuid, md5('person')::uuid, md5('1')::uuid, 1, n, n, false, 'AQ' || repeat('x', 122), now() - n * interval '3 minutes' from generate_series(1, 2) n`)
	d.must(d.doctor(), "waiting", "fail", "1 strict message that no device scored waited")
	d.sql(pgtest.RoleSuperuser, unguarded+"delete from public.messages")
	d.env["VIGIL_ROLES"], d.env["NATS_URL"] = "relay", "nats://127.0.0.1:1"
	d.must(d.doctor(), "waiting", "ok", "this process admits, shares and judges nothing")
}

// TestDoctorBesideARunningSidecar: the bus is locked by the sidecar, which is asked instead.
func TestDoctorBesideARunningSidecar(t *testing.T) {
	t.Parallel()
	d := setup(t, postgres.Cluster(t))
	end := d.serve()
	f := d.healthy()
	d.must(f, "bus", "ok", "a sidecar runs on it")
	d.must(f, "sidecar", "ok", "ready")
	d.must(f, "slot", "ok", "is read by vigil")
	d.must(f, "wal budget", "ok", "of 1024 MiB")

	right := d.env["VIGIL_OPERATOR_ADDR"]
	d.env["VIGIL_OPERATOR_ADDR"] = freeAddress(t)
	d.must(d.doctor(), "sidecar", "fail", "does not answer")
	d.env["VIGIL_OPERATOR_ADDR"] = strings.TrimPrefix(d.env["SUPABASE_URL"], "http://")
	d.must(d.doctor(), "sidecar", "fail", "something else answers")
	d.env["VIGIL_OPERATOR_ADDR"] = right
	d.healthy()

	if code := end(); code != cli.ExitOK {
		t.Errorf("serve ended with %d", code)
	}
	f = d.healthy()
	d.must(f, "bus", "ok", "there is room")
	d.must(f, "slot", "ok", "nobody reads it now")
}

// serve runs the sidecar until end is called, which gives its exit code.
func (d *deployment) serve() (end func() int) {
	d.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.Context()))
	out := &lines{}
	var g errgroup.Group
	code := -1
	g.Go(func() error {
		code = cli.Run(ctx, cli.Process{Args: []string{"serve"}, Getenv: func(name string) string { return d.env[name] }, Stdout: out, Stderr: out})
		return nil
	})
	ended := false
	end = func() int {
		cancel()
		if err := g.Wait(); err != nil {
			d.Error(err)
		}
		ended = true
		return code
	}
	d.Cleanup(func() {
		if !ended {
			end()
		}
		if d.Failed() {
			d.Logf("serve:\n%s", out)
		}
	})
	d.await("http://" + d.env["VIGIL_OPERATOR_ADDR"] + "/readyz")
	return end
}

// await waits until an address answers 200.
func (d *deployment) await(address string) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			d.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			d.Fatal("the sidecar did not become ready")
		case <-tick.C:
		}
	}
}
