package relay

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheProtocolNamesEveryEvent keeps the table of realtime/PROTOCOL.md equal to the relay's.
func TestTheProtocolNamesEveryEvent(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../realtime/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z_]+) \\| ((?:`[a-z]+`(?:, )?)+) \\| .+ \\|$").FindAllStringSubmatch(string(page), -1) {
		told[m[2]] = m[1] + " " + strings.NewReplacer("`", "", ",", "").Replace(m[3])
	}
	for name, table := range tables {
		if len(table.routes) == 0 {
			continue
		}
		topics := make([]string, len(table.routes))
		for i, r := range table.routes {
			topics[i] = strings.TrimSuffix(r.prefix, ":")
		}
		got := strings.Fields(told[name])
		delete(told, name)
		if len(got) == 0 {
			t.Errorf("the page does not name %s, of table %s", table.event, name)
			continue
		}
		slices.Sort(got[1:])
		slices.Sort(topics)
		if got[0] != table.event || !slices.Equal(got[1:], topics) {
			t.Errorf("of %s the page says %v, the relay %s on %v", name, got, table.event, topics)
		}
	}
	for name := range told {
		t.Errorf("the page names %s, which the relay does not", name)
	}
}
