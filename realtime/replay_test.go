package realtime_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

// replayConfig is the part of a join's config that asks for a replay.
func replayConfig(replay string) string { return `,"broadcast":{"replay":` + replay + `}` }

func after(cursor string) string {
	return replayConfig(fmt.Sprintf(`{"since":0,"limit":25,"after":%q}`, cursor))
}

func cursorOf(e realtime.Entry) string {
	return base64.RawURLEncoding.EncodeToString([]byte(e.Epoch + "." + strconv.FormatUint(e.Seq, 10)))
}

func TestReconnectingLosesNothing(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, v phoenix.Version) {
		b := setup(t)
		b.people.allow("ann", "session:1", everything)
		c := b.connect(v)
		c.joined("session:1", "ann/l1")
		b.publish("session:1", 0)
		cursor := c.broadcast().Meta.Cursor
		_ = c.conn.Close()
		const missed = 321 // more than the reference's 25, and than one page
		for n := range missed {
			b.publish("session:1", n+1)
			b.publish("session:2", n) // so that seq is not dense
		}
		c = b.connect(v)
		c.join("session:1", joinOptions{token: "ann/l1", config: after(cursor)})
		c.ok()
		for n := range missed {
			if got := c.broadcast(); got.Payload.N != n+1 || !got.Meta.Replayed {
				t.Fatalf("got %+v, want %d", got, n+1)
			}
		}
		s := c.recovery()
		if !s.Recovered || s.Status != "ok" || *s.From != 1 || *s.To != 2*missed || *s.Missed != 0 || s.Code != "" {
			t.Errorf("recovery %+v", s)
		}
		b.publish("session:1", missed+1)
		if got := c.broadcast(); got.Payload.N != missed+1 || got.Meta.Replayed || got.Meta.Prev != *s.To {
			t.Errorf("got %+v", got)
		}
	})
}

func TestNoHoleAndNoDuplicateBetweenHistoryAndLive(t *testing.T) {
	t.Parallel()
	const total, clients = 2000, 8
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	start := b.publish("session:1", 0)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for n := range total {
			b.publish("session:1", n+1)
		}
	})
	for i := range clients { // they join while entries are published
		c := b.connect(phoenix.Version(i % 2))
		c.join("session:1", joinOptions{token: "ann/l1", config: after(cursorOf(start))})
		c.ok()
		last, told := start.Seq, false
		for n := 1; n <= total; {
			m := c.next()
			if m.Event == "system" {
				if told = true; !decode[system](t, m.Payload).Recovered {
					t.Fatalf("got %s", m)
				}
				continue
			}
			got := decode[broadcast](t, m.Payload)
			if got.Payload.N != n || got.Meta.Prev != last || got.Meta.Replayed == told {
				t.Fatalf("client %d got %s, want %d after %d", i, m, n, last)
			}
			last = got.Meta.Seq
			n++
		}
		if !told {
			c.recovery()
		}
		c.silent()
	}
	publishing.Wait()
}

func TestWhatIsStoredAfterTheJoinReplyIsDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	b.publish("session:1", 1)
	c := b.connect(phoenix.V2)
	c.join("session:1", joinOptions{token: "ann/l1"})
	c.ok()
	e := b.log.Append("session:1", "message", []byte(`{"n":2}`)) // stored, and published only later
	if s := c.recovery(); *s.To != 1 {
		t.Errorf("recovery %+v", s)
	}
	b.server.Publish(e)
	if got := c.broadcast(); got.Payload.N != 2 || got.Meta.Prev != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestJoinsThatCannotRecoverSaySo(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.Limits.ReplayEntries = 50 })
	b.people.allow("ann", "session:1", everything)
	b.people.allow("ann", "session:2", everything)
	other := b.publish("session:1", 0)
	b.log.Reset()
	var all []realtime.Entry
	for n := range 100 {
		all = append(all, b.publish("session:1", n))
	}
	b.log.Purge("session:1", all[60].Seq)
	b.publish("session:2", 0)
	end := all[99].Seq
	for name, c := range map[string]struct {
		config   string
		code     realtime.Code
		replayed int
		missed   any
	}{
		"a cursor of another log":     {after(cursorOf(other)), realtime.CodeLogEpochChanged, 0, nil},
		"a cursor older than is kept": {after(cursorOf(all[58])), realtime.CodeCursorNotKept, 40, nil},
		"a cursor just old enough":    {after(cursorOf(all[59])), "", 40, uint64(0)},
		"a cursor of the last":        {after(cursorOf(all[99])), "", 0, uint64(0)},
		"a cursor of the future":      {after(cursorOf(realtime.Entry{Epoch: all[0].Epoch, Seq: 1 << 40})), realtime.CodeCursorInvalid, 0, nil},
		"a cursor that is none":       {after("cursor-42"), realtime.CodeCursorInvalid, 0, nil},
		"a time that is none":         {replayConfig(`{"since":"tomorrow"}`), realtime.CodeCursorInvalid, 0, nil},
		"a replay that is none":       {replayConfig(`[]`), realtime.CodeCursorInvalid, 0, nil},
		"newest 25 since a time":      {replayConfig(`{"since":0}`), realtime.CodeReplayTruncated, 25, uint64(15)},
		"newest 3 since a time":       {replayConfig(`{"since":"0","limit":3}`), realtime.CodeReplayTruncated, 3, uint64(37)},
		"a time to come":              {replayConfig(fmt.Sprintf(`{"since":%d}`, time.Now().Add(time.Hour).UnixMilli())), "", 0, uint64(0)},
		"no replay":                   {"", realtime.CodeCursorMissing, 0, nil},
	} {
		client := b.connect(phoenix.V2)
		client.join("session:1", joinOptions{token: "ann/l1", config: c.config})
		client.ok()
		for i := range c.replayed {
			if got := client.broadcast(); got.Meta.Seq != all[100-c.replayed+i].Seq || !got.Meta.Replayed {
				t.Fatalf("%s: got %+v", name, got)
			}
		}
		s := client.recovery()
		missed := any(nil)
		if s.Missed != nil {
			missed = *s.Missed
		}
		if s.Code != c.code || s.Recovered != (c.code == "") || missed != c.missed || *s.To != end || s.Cursor != cursorOf(all[99]) {
			t.Errorf("%s: recovery %+v", name, s)
		}
		if ok := s.Recovered || s.Code == realtime.CodeCursorMissing; (s.Status == "ok") != ok {
			t.Errorf("%s: status %s", name, s.Status)
		}
		client.silent()
	}
}

func TestReplayLongerThanItMayBeIsCutAndSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.Limits.ReplayEntries = 120 })
	b.people.allow("ann", "session:1", everything)
	start := b.publish("session:1", 0)
	for n := range 300 {
		b.publish("session:1", n+1)
	}
	c := b.connect(phoenix.V2)
	c.join("session:1", joinOptions{token: "ann/l1", config: after(cursorOf(start))})
	c.ok()
	for range 120 {
		c.broadcast()
	}
	if s := c.recovery(); s.Recovered || s.Code != realtime.CodeReplayTruncated || s.Missed != nil || *s.To != 301 {
		t.Errorf("recovery %+v", s)
	}
	b.publish("session:1", 301)
	if got := c.broadcast(); got.Payload.N != 301 {
		t.Errorf("got %+v", got)
	}
	c = b.connect(phoenix.V2)
	c.join("session:1", joinOptions{token: "ann/l1", config: replayConfig(`{"since":0}`)})
	c.ok()
	if s := c.recovery(); s.Recovered || s.Code != realtime.CodeReplayTruncated || s.Missed != nil || *s.To != 302 {
		t.Errorf("recovery by time %+v", s)
	}
}

func TestReplaySinceIsRecoveredOnlyWhenThatIsSure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		retention time.Duration
		purge     int
		recovered bool
	}{
		"from the first entry on":                        {recovered: true},
		"the entry before is kept and older":             {purge: 2, recovered: true},
		"the entry before is gone":                       {purge: 3, recovered: false},
		"the entry before is gone, but kept long enough": {retention: time.Hour, purge: 3, recovered: true},
	} {
		b := setup(t, func(config *realtime.Config) { config.Retention = c.retention })
		b.people.allow("ann", "session:1", everything)
		since := time.Now().Add(-time.Minute)
		for n := range 2 {
			e := b.log.Append("session:1", "message", []byte(`{}`))
			if c.purge > 0 {
				b.log.Backdate(e, since.Add(-time.Second))
			}
			_ = n
		}
		b.publish("session:1", 3)
		b.log.Purge("session:1", uint64(c.purge))
		client := b.connect(phoenix.V2)
		client.join("session:1", joinOptions{token: "ann/l1", config: replayConfig(fmt.Sprintf(`{"since":%d}`, since.UnixMilli()))})
		client.ok()
		for m := client.next(); ; m = client.next() {
			if m.Event == "system" {
				if s := decode[system](t, m.Payload); s.Recovered != c.recovered {
					t.Errorf("%s: recovery %+v", name, s)
				}
				break
			}
		}
	}
}

// lagging is a history whose reads miss the newest entries for a while, as a replica's may.
type lagging struct {
	realtimeHistory
	mu    sync.Mutex
	empty int // reads that give nothing
}

type realtimeHistory interface {
	Epoch() string
	Read(ctx context.Context, topic string, after uint64, limit int) ([]realtime.Entry, error)
	Since(ctx context.Context, topic string, since time.Time, limit int) ([]realtime.Entry, error)
	LastOf(ctx context.Context, topic string) (uint64, error)
}

func (l *lagging) Read(ctx context.Context, topic string, after uint64, limit int) ([]realtime.Entry, error) {
	l.mu.Lock()
	l.empty--
	empty := l.empty >= 0
	l.mu.Unlock()
	if empty {
		return nil, nil
	}
	return l.realtimeHistory.Read(ctx, topic, after, limit)
}

func TestHistoryThatLagsIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		empty int
		ok    bool
	}{"for a moment": {3, true}, "for ever": {1 << 30, false}} {
		b := setup(t, func(config *realtime.Config) {
			config.Timing.CatchUpWithin = 50 * time.Millisecond
			config.History = &lagging{realtimeHistory: config.History.(realtimeHistory), empty: c.empty}
		})
		b.people.allow("ann", "session:1", everything)
		start := b.publish("session:1", 0)
		b.publish("session:1", 1)
		client := b.connect(phoenix.V2)
		ref := client.join("session:1", joinOptions{token: "ann/l1", config: after(cursorOf(start))})
		client.ok()
		if !c.ok {
			client.systemEnds(realtime.CodeHistoryUnavailable, "phx_error", ref)
			continue
		}
		if got := client.broadcast(); got.Payload.N != 1 {
			t.Errorf("%s: got %+v", name, got)
		}
		client.recovery()
	}
}

func TestHoleInWhatIsPublishedIsReadFromHistory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V2)
	ref := c.joined("session:1", "ann/l1")
	b.log.Append("session:1", "message", []byte(`{"n":1}`)) // never published
	b.publish("session:1", 2)
	for n := range 2 {
		if got := c.broadcast(); got.Payload.N != n+1 {
			t.Fatalf("got %+v", got)
		}
	}
	lost := b.log.Append("session:1", "message", []byte(`{"n":3}`))
	e := b.log.Append("session:1", "message", []byte(`{"n":4}`))
	b.log.Purge("session:1", lost.Seq+1)
	b.server.Publish(e)
	c.systemEnds(realtime.CodeCursorNotKept, "phx_error", ref)
	c.join("session:1", joinOptions{token: "ann/l1"})
	c.ok()
	if got := c.broadcast(); got.Payload.N != 4 {
		t.Errorf("got %+v", got)
	}
	if s := c.recovery(); s.Recovered || s.Code != realtime.CodeCursorNotKept || *s.From != 2 {
		t.Errorf("recovery %+v", s)
	}
}

func TestJoinAfterPhxErrorGoesOnWhereTheChannelStopped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	b.publish("session:1", 0)
	c := b.connect(phoenix.V2)
	ref := c.joined("session:1", "ann/l1")
	b.publish("session:1", 1)
	c.broadcast()
	c.send(ref, "realtime:session:1", "access_token", `{"access_token":"mud"}`)
	c.systemEnds(realtime.CodeMalformedJWT, "phx_error", ref)
	b.publish("session:1", 2)
	// the client never moves since on: what it was sent before must not come again
	ref = c.join("session:1", joinOptions{token: "ann/l1", config: replayConfig(`{"since":0}`)})
	c.ok()
	if got := c.broadcast(); got.Payload.N != 2 || !got.Meta.Replayed {
		t.Errorf("got %+v", got)
	}
	if s := c.recovery(); !s.Recovered || *s.From != 2 || *s.To != 3 {
		t.Errorf("recovery %+v", s)
	}
	c.send(ref, "realtime:session:1", "phx_leave", "{}")
	c.ok()
	c.expect("phx_close")
	c.joined("session:1", "ann/l1") // after a leave nothing is remembered
}

func TestResetHistorySendsDurableChannelsBack(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.AllowPublic = true })
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V2)
	c.join("lobby", joinOptions{public: true})
	c.ok()
	b.publish("session:1", 0)
	ref := c.joined("session:1", "ann/l1")
	b.log.Reset()
	b.server.ResetHistory()
	c.systemEnds(realtime.CodeLogEpochChanged, "phx_error", ref)
	b.publish("session:1", 1)
	c.join("session:1", joinOptions{token: "ann/l1"})
	c.ok()
	if s := c.recovery(); s.Recovered || s.Code != realtime.CodeLogEpochChanged || s.Status != "error" {
		t.Errorf("recovery %+v", s)
	}
}
