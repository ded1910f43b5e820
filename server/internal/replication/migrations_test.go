package replication_test

import (
	"slices"
	"strings"
	"testing"

	"vigil/server/internal/replication"
	"vigil/server/pgtest"
)

// TestTheRealPublicationsAreReadByTheRealRoles uses the project's migrations, and the role that replicates on a hosted
// project: postgres on 15, a role of its own on 17.
func TestTheRealPublicationsAreReadByTheRealRoles(t *testing.T) {
	t.Parallel()
	for version, role := range map[int]string{15: pgtest.RoleOwner, 17: pgtest.RoleReplicator} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			cluster := pgtest.Start(t, pgtest.Options{Version: version})
			f := setup(t, cluster)
			report, err := replication.Inspect(t.Context(), f.db.URL(pgtest.RoleSidecar), f.config.Slot, []string{"vigil_messages", "vigil_rows"})
			if err != nil || len(report.Publications) != 2 {
				t.Fatalf("%+v, %v", report, err)
			}
			mail, rows := report.Publications[0], report.Publications[1]
			if len(mail.Tables) != 1 || mail.Tables[0].Filter != "assisted" || !slices.Equal(mail.Operations, []replication.Op{replication.Insert}) {
				t.Errorf("vigil_messages is %+v", mail)
			}
			for _, table := range rows.Tables {
				if table.NoIdentity || table.Filter != "" || slices.Contains([]string{"messages", "session_counters", "profiles", "audit_log", "sidecar_state", "epoch_wraps"}, table.Name) {
					t.Errorf("vigil_rows has %+v", table)
				}
			}
			r := f.start(func(c *replication.Config) { c.URL, c.Publications = f.db.URL(role), report.Publications })
			f.asSuperuser(`insert into public.organizations (name) values ('Harbour Street Practice')`)
			f.asSuperuser(`update public.organizations set suggestions = 'on_demand'`)
			f.asSuperuser(`delete from public.organizations`)
			got := f.await("an organization that came, changed and went", func(c []string) bool {
				return slices.ContainsFunc(c, func(line string) bool { return strings.HasPrefix(line, "delete organizations") })
			})
			all := strings.Join(got, "\n")
			for _, want := range []string{"insert organizations (id=", "update organizations (id=", "suggestions=on_demand"} {
				if !strings.Contains(all, want) {
					t.Errorf("%q is not in\n%s", want, all)
				}
			}
			if strings.Contains(all, "Harbour") {
				t.Error("a name entered the stream")
			}
			r.stop()
		})
	}
}
