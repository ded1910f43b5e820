package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTheCheckerFindsWhatItLooksFor gives the clients of the churn and of the doors what a wrong sidecar would send.
func TestTheCheckerFindsWhatItLooksFor(t *testing.T) {
	t.Parallel()
	const topic = "session:s"
	sent := func(seq, prev uint64, position int) receipt {
		return receipt{event: "message", payload: json.RawMessage(fmt.Sprintf(`{"position":%d}`, position)), meta: meta{Seq: seq, Prev: prev, Epoch: "e", Cursor: "c"}}
	}
	for name, c := range map[string]struct {
		state   joinState
		revoked bool // after position 2
		sent    []receipt
		want    string // part of the one fault; "": none
		missing []int64
	}{
		"all of it":            {joinGranted, false, []receipt{sent(4, 0, 1), sent(7, 4, 2), sent(8, 7, 3)}, "", nil},
		"doubled":              {joinGranted, false, []receipt{sent(4, 0, 1), sent(7, 4, 2), sent(7, 4, 2), sent(8, 7, 3)}, "doubled or out of order: seq 7", nil},
		"a hole":               {joinGranted, false, []receipt{sent(4, 0, 1), sent(8, 7, 3)}, "hole: seq 8 has prev 7, last seen 4", []int64{2}},
		"a row without a row":  {joinGranted, false, []receipt{sent(4, 0, 1), sent(7, 4, 2), sent(8, 7, 3), sent(9, 8, 0)}, "seq 9 has no position", nil},
		"after the end":        {joinEnded, false, []receipt{sent(4, 0, 1)}, "seq 4 came while the channel was ended", []int64{2, 3}},
		"without the right":    {joinGranted, true, []receipt{sent(4, 0, 1), sent(7, 4, 2), sent(8, 7, 3)}, "leaked: seq 8 at position 3", nil},
		"while it was a right": {joinGranted, true, []receipt{sent(4, 0, 1), sent(7, 4, 2)}, "", []int64{3}},
	} {
		k := &churnSocket{owner: &churner{revoked: c.revoked, after: map[string]int64{"s": 2}}, seen: map[string][]uint8{}}
		k.attendee = &attendee{keep: k.note}
		channel := &attended{state: c.state}
		for _, r := range c.sent {
			k.take(topic, channel, r)
		}
		faults := strings.Join(channel.faults, "; ")
		if (c.want == "") != (faults == "") || !strings.Contains(faults, c.want) || len(channel.faults) > 1 {
			t.Errorf("%s: %q, not %q", name, faults, c.want)
		}
		if lacks := missing(k.seen[topic], 3); !slices.Equal(lacks, c.missing) {
			t.Errorf("%s: %v did not come, not %v", name, lacks, c.missing)
		}
	}
}
