package app

import (
	"fmt"
	"testing"

	"vigil/server/internal/replication"
	"vigil/server/pgtest"
)

// TestPublicationsAreThoseOfTheMigrations: column by column, on both versions, as the role that replicates there.
func TestPublicationsAreThoseOfTheMigrations(t *testing.T) {
	t.Parallel()
	for version, role := range map[int]string{15: pgtest.RoleOwner, 17: pgtest.RoleReplicator} {
		t.Run(fmt.Sprint("on ", version), func(t *testing.T) {
			t.Parallel()
			d := pgtest.Start(t, pgtest.Options{Version: version}).Database(t)
			report, err := replication.Inspect(t.Context(), d.URL(role), "vigil", []string{"vigil_messages", "vigil_rows"})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range replication.ComparePublications(Publications(), report.Publications) {
				t.Errorf("%+v", p)
			}
			short := Publications()
			short[1].Tables[0].Columns = short[1].Tables[0].Columns[1:]
			if len(replication.ComparePublications(short, report.Publications)) == 0 {
				t.Error("a column that differs is not noticed")
			}
		})
	}
}
