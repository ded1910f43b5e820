package app

import (
	"fmt"
	"strings"
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

// TestAnOlderSchemaIsNamedTableByTable: a sidecar that was updated before its database says which tables it waits for.
func TestAnOlderSchemaIsNamedTableByTable(t *testing.T) {
	t.Parallel()
	d := pgtest.Start(t, pgtest.Options{}).Database(t)
	if _, err := d.Pool(t, pgtest.RoleOwner).Exec(t.Context(), "drop table public.suggestion_seals, public.suggestions cascade"); err != nil {
		t.Fatal(err)
	}
	report, err := replication.Inspect(t.Context(), d.URL(pgtest.RoleReplicator), "vigil", []string{"vigil_messages", "vigil_rows"})
	if err != nil {
		t.Fatal(err)
	}
	fault := &replication.PublicationFault{Problems: replication.ComparePublications(Publications(), report.Publications)}
	for _, want := range []string{"vigil_rows, public.suggestions: is not in it", "vigil_rows, public.suggestion_seals: is not in it", "run the migrations"} {
		if !strings.Contains(fault.Error(), want) {
			t.Errorf("%q is not in: %v", want, fault)
		}
	}
	if len(fault.Problems) != 2 {
		t.Errorf("%d problems: %v", len(fault.Problems), fault)
	}
}
