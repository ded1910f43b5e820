package config_test

import (
	"slices"
	"strings"
	"testing"

	"vigil/server/internal/config"
)

func TestRolesShareTheWork(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		roles, nats string
		want        []config.Role
		fault       string
	}{
		{"", "", config.AllRoles, ""},
		{"all", "", config.AllRoles, ""},
		{"relay", "", nil, "NATS_URL"},
		{"relay", "nats://bus:4222", []config.Role{config.RoleRelay}, ""},
		{" ingest, detect,ingest ", "nats://bus:4222", []config.Role{config.RoleIngest, config.RoleDetect}, ""},
		{"relay,cook", "nats://bus:4222", nil, "VIGIL_ROLES"},
	} {
		c, err := config.Parse(env(map[string]string{"VIGIL_ROLES": test.roles, "NATS_URL": test.nats}))
		switch {
		case test.fault != "":
			if err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%q with %q: %v", test.roles, test.nats, err)
			}
		case err != nil || !slices.Equal(c.Roles, test.want):
			t.Errorf("%q with %q: %v %v", test.roles, test.nats, c.Roles, err)
		}
	}
}

// TestWhoDoesNotIngestNeedsNoReplicationURL: it may read all WAL, so it should be nowhere where it is not needed.
func TestWhoDoesNotIngestNeedsNoReplicationURL(t *testing.T) {
	t.Parallel()
	for roles, needed := range map[string]bool{"all": true, "ingest": true, "detect,suggest,relay,page": false} {
		if _, err := config.Parse(env(map[string]string{"VIGIL_ROLES": roles, "NATS_URL": "nats://bus:4222", "REPLICATION_URL": ""})); (err != nil) != needed {
			t.Errorf("%s: %v", roles, err)
		}
	}
}

func TestReplicasAreOdd(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{"1": true, "3": true, "5": true, "2": false, "0": false, "many": false} {
		if _, err := config.Parse(env(map[string]string{"VIGIL_NATS_REPLICAS": text})); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
