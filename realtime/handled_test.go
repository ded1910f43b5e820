package realtime_test

import (
	"encoding/json"
	"sync/atomic"
	"testing"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

// The history may have what Publish was not called for yet, behind a revocation that Reauthorize was not called for yet: no replay
// sends that. It comes live, once, and nothing of the topic is missing.
func TestAReplayGoesNoFurtherThanWhatIsHandled(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(first realtime.Entry) string{
		"after a cursor": func(first realtime.Entry) string { return after(cursorOf(first)) },
		"since a time":   func(realtime.Entry) string { return replayConfig(`{"since":1,"limit":25}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var handled atomic.Uint64
			b := setup(t, func(c *realtime.Config) { c.Handled = handled.Load })
			b.people.allow("ann", "session:1", everything)
			first := b.publish("session:1", 0)
			second := b.publish("session:1", 1)
			handled.Store(b.publish("session:2", 0).Seq) // a place in the log that is not of the topic
			ahead := b.log.Append("session:1", "message", json.RawMessage(`{"n":2}`))
			c := b.connect(phoenix.V2)
			c.join("session:1", joinOptions{token: "ann/l1", config: config(first)})
			c.ok()
			if name == "since a time" {
				if got := c.broadcast(); got.Payload.N != 0 {
					t.Errorf("got %+v", got)
				}
			}
			if got := c.broadcast(); got.Payload.N != 1 || !got.Meta.Replayed {
				t.Errorf("got %+v", got)
			}
			if s := c.recovery(); !s.Recovered || *s.To != second.Seq {
				t.Errorf("recovery %+v", s)
			}
			b.server.Publish(ahead)
			if got := c.broadcast(); got.Payload.N != 2 || got.Meta.Replayed || got.Meta.Prev != second.Seq {
				t.Errorf("got %+v", got)
			}
		})
	}
}
