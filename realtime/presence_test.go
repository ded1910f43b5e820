package realtime_test

import (
	"errors"
	"fmt"
	"testing"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

type metas map[string]struct{ Metas []map[string]any }

type diff struct{ Joins, Leaves metas }

func (c *client) state() metas {
	c.t.Helper()
	return decode[metas](c.t, c.expect("presence_state").Payload)
}

func (c *client) diff() diff {
	c.t.Helper()
	return decode[diff](c.t, c.expect("presence_diff").Payload)
}

// present joins session:1 with presence under key, and gives the join_ref and what was there.
func (c *client) present(token, key string) (string, metas) {
	c.t.Helper()
	ref := c.join("session:1", joinOptions{token: token, config: fmt.Sprintf(`,"presence":{"enabled":true,"key":%q}`, key)})
	c.ok()
	was := c.state()
	c.recovery()
	return ref, was
}

func (c *client) track(ref, event, payload string) {
	c.t.Helper()
	c.send(ref, "realtime:session:1", "presence", `{"type":"presence","event":"`+event+`","payload":`+payload+`}`)
}

func ref(t *testing.T, m metas, key string) string {
	t.Helper()
	if len(m) != 1 || len(m[key].Metas) != 1 {
		t.Fatalf("got %v, want one meta of %s", m, key)
	}
	s, ok := m[key].Metas[0]["phx_ref"].(string)
	if !ok || s == "" {
		t.Fatalf("got %v, want a phx_ref", m)
	}
	return s
}

func TestPresenceTrackUpdateUntrackAndDeath(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, v phoenix.Version) {
		b := setup(t)
		b.people.allow("ann", "session:1", everything)
		b.people.allow("ben", "session:1", everything)
		ann, ben := b.connect(v), b.connect(phoenix.V2)
		annRef, was := ann.present("ann/l1", "a")
		if len(was) != 0 {
			t.Fatalf("state %v", was)
		}
		ann.track(annRef, "TRACK", `{"at":"desk","phx_ref":"forged"}`)
		d := ann.diff()
		first := ref(t, d.Joins, "a")
		if len(d.Leaves) != 0 || first == "forged" || d.Joins["a"].Metas[0]["at"] != "desk" {
			t.Errorf("diff %+v", d)
		}
		ann.ok()

		benRef, was := ben.present("ben/l2", "b")
		if ref(t, was, "a") != first {
			t.Errorf("state %v", was)
		}
		ann.track(annRef, "track", `{"at":"desk"}`) // no change
		ann.ok()
		ann.track(annRef, "track", `{"at":"door"}`) // one diff, two refs
		d = ben.diff()
		if second := ref(t, d.Joins, "a"); second == first || ref(t, d.Leaves, "a") != first {
			t.Errorf("diff %+v", d)
		}
		ann.diff()
		ann.ok()
		ann.track(annRef, "untrack", `null`)
		if d := ben.diff(); len(d.Joins) != 0 || d.Leaves["a"].Metas[0]["at"] != "door" {
			t.Errorf("diff %+v", d)
		}
		ann.diff()
		ann.ok()
		ann.track(annRef, "untrack", `{}`) // nothing was tracked: still ok, and no diff
		ann.ok()

		ben.track(benRef, "track", `{}`)
		gone := ref(t, ann.diff().Joins, "b")
		_ = ben.conn.Close()
		if d := ann.diff(); len(d.Joins) != 0 || ref(t, d.Leaves, "b") != gone {
			t.Errorf("diff %+v", d)
		}
	})
}

func TestPresenceRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *realtime.Config) { c.Limits.PresenceBytes, c.Limits.PresenceMetas = 50, 1 })
	b.people.allow("ann", "session:1", everything)
	b.people.allow("eve", "session:1", realtime.Grant{BroadcastReceive: true, PresenceReceive: true})
	c := b.connect(phoenix.V2)
	r, _ := c.present("ann/l1", "a")
	for payload, code := range map[string]realtime.Code{
		`[1]`: realtime.CodeInvalidPayload, `null`: realtime.CodeInvalidPayload, `"x"`: realtime.CodeInvalidPayload,
		`{"x":"01234567890123456789012345678901234567890123456789"}`: realtime.CodePayloadTooLarge,
	} {
		c.track(r, "track", payload)
		c.refused(code)
	}
	c.track(r, "dance", `{}`)
	c.refused(realtime.CodeUnknownEvent)
	c.track(r, "track", `{}`)
	c.diff()
	c.ok()
	other := b.connect(phoenix.V2)
	r, _ = other.present("ann/l1", "b")
	other.track(r, "track", `{}`)
	other.refused(realtime.CodePresenceLimitReached)
	eve := b.connect(phoenix.V2)
	r, _ = eve.present("eve/l3", "e")
	eve.track(r, "track", `{}`)
	eve.refused(realtime.CodeUnauthorized)
	c.silent()
}

func TestTrackTurnsPresenceOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V2)
	r := c.joined("session:1", "ann/l1")
	c.track(r, "track", `{"at":"desk"}`)
	if was := c.state(); len(was) != 0 {
		t.Errorf("state %v", was)
	}
	if d := c.diff(); len(d.Joins) != 1 {
		t.Errorf("diff %+v", d)
	}
	c.ok()
}

func TestRevokedPresenceLeavesAndIsToldAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	b.people.allow("ben", "session:1", everything)
	ann, ben := b.connect(phoenix.V2), b.connect(phoenix.V2)
	r, _ := ann.present("ann/l1", "a")
	ann.track(r, "track", `{"at":"desk"}`)
	ann.diff()
	ann.ok()
	ben.present("ben/l2", "b")
	b.people.allow("ann", "session:1", realtime.Grant{BroadcastReceive: true, PresenceReceive: true})
	b.server.Reauthorize(func(m realtime.Member) bool { return m.UserID == "ann" })
	if d := ben.diff(); len(d.Leaves) != 1 || len(d.Joins) != 0 {
		t.Errorf("diff %+v", d)
	}
	for m := ann.next(); m.Event != "presence_state"; m = ann.next() { // what was dropped meanwhile is made good
		if m.Event != "presence_diff" {
			t.Fatalf("got %s", m)
		}
	}
	b.people.fail(errors.New("away"))
	b.server.Reauthorize(func(m realtime.Member) bool { return m.UserID == "ben" })
	ben.systemEnds(realtime.CodeUnableToConnect, "phx_error", "1")
}

func TestPresenceMetaIsOneForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.people.allow("ann", "session:1", everything)
	c := b.connect(phoenix.V2)
	r, _ := c.present("ann/l1", "a")
	c.track(r, "track", `{"b":1,"a":2}`)
	c.diff()
	c.ok()
	c.track(r, "track", `{ "a":2, "b":1 }`) // the same in another order
	c.ok()
	c.silent()
}
