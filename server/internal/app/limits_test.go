package app

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"vigil/realtime"
	"vigil/server/internal/config"
)

func configured(t *testing.T, over map[string]string) config.Config {
	t.Helper()
	set := map[string]string{"DATABASE_URL": "postgresql://vigil:x@localhost/postgres", "REPLICATION_URL": "postgresql://postgres:x@localhost/postgres",
		"SUPABASE_URL": "https://abc.example", "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x"}
	for name, value := range over {
		set[name] = value
	}
	c, err := config.Parse(func(name string) string { return set[name] })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// values gives the fields of Limits and Timing by name.
func values(c config.Config) map[string]any {
	found := map[string]any{}
	for _, v := range []any{limitsOf(c.Channel), timingOf(c)} {
		s := reflect.ValueOf(v)
		for i := range s.NumField() {
			found[s.Type().Field(i).Name] = s.Field(i).Interface()
		}
	}
	return found
}

// TestEveryLimitIsConfiguration: unset, each is what realtime has by itself; and each variable sets one, that no other sets.
func TestEveryLimitIsConfiguration(t *testing.T) {
	t.Parallel()
	unset := values(configured(t, nil))
	limits, timing := realtime.Defaults()
	if got := limitsOf(configured(t, nil).Channel); got != limits {
		t.Errorf("unset: %+v, want %+v", got, limits)
	}
	timing.DrainWithin = timingOf(configured(t, nil)).DrainWithin // VIGIL_DRAIN_TIMEOUT's
	if got := timingOf(configured(t, nil)); got != timing {
		t.Errorf("unset: %+v, want %+v", got, timing)
	}
	set := map[string]string{}
	for _, v := range config.Variables {
		if !strings.HasPrefix(v.Name, "VIGIL_CHANNEL_") && v.Name != "VIGIL_DRAIN_TIMEOUT" {
			continue
		}
		value := v.Default[:len(v.Default)-1] + "7"
		if d, err := time.ParseDuration(v.Default); err == nil {
			value = (d + time.Millisecond).String()
		}
		var changed []string
		for name, now := range values(configured(t, map[string]string{v.Name: value})) {
			if now != unset[name] {
				changed = append(changed, name)
			}
		}
		if len(changed) != 1 {
			t.Errorf("%s sets %v", v.Name, changed)
			continue
		}
		if before := set[changed[0]]; before != "" {
			t.Errorf("%s and %s set %s", before, v.Name, changed[0])
		}
		set[changed[0]] = v.Name
	}
	for name := range unset {
		if set[name] == "" {
			t.Errorf("nothing sets %s", name)
		}
	}
}
