package realtime_test

import (
	"testing"
	"testing/synctest"
	"time"

	"vigil/realtime"
	"vigil/realtime/phoenix"
)

// late reads the next frame, however long it takes.
func (c *client) late() message {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		c.t.Fatal(err)
	}
	_, data, err := c.conn.ReadMessage()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	m, err := phoenix.Decode(c.v, data)
	if err != nil {
		c.t.Fatal(err)
	}
	return message{Message: m}
}

// notice fails unless the next frame says that the channel's token ends at a time.
func (c *client) notice(at time.Time, text string) {
	c.t.Helper()
	m := c.late()
	s := decode[struct {
		system
		ExpiresAt int64 `json:"expires_at"`
	}](c.t, m.Payload)
	if m.Event != "system" || s.Extension != "token" || s.Status != "ok" || s.Code != realtime.CodeTokenExpiring ||
		s.Channel != "session:1" || s.ExpiresAt != at.Unix() || s.Message != text {
		c.t.Fatalf("got %s, want notice of %d", m, at.Unix())
	}
}

func (c *client) expired(joinRef string) {
	c.t.Helper()
	s := decode[system](c.t, c.late().Payload)
	if s.Code != realtime.CodeInvalidJWTToken || s.Message != "Token has expired 0 seconds ago" {
		c.t.Fatalf("got %+v", s)
	}
	if m := c.late(); m.Event != "phx_error" || m.Ref != joinRef || m.JoinRef != joinRef {
		c.t.Fatalf("got %s", m)
	}
}

func TestTokenExpiryIsToldAMinuteBeforeAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t)
		began := time.Now()
		ends := began.Add(200 * time.Second)
		b.people.allow("ann", "session:1", everything)
		b.people.expires["ann/l1"] = ends
		c := b.connect(phoenix.V2)
		ref := c.joined("session:1", "ann/l1")
		c.notice(ends, "The token expires in 60 seconds: refresh it")
		if d := time.Since(began); d != 140*time.Second {
			t.Errorf("told after %v", d)
		}
		b.server.Reauthorize(func(realtime.Member) bool { return true }) // the same token: nothing more to be told
		synctest.Wait()
		c.expired(ref)
		if d := time.Since(began); d != 200*time.Second {
			t.Errorf("ended after %v", d)
		}
		c.join("session:1", joinOptions{token: "ann/l1"})
		c.refused(realtime.CodeInvalidJWTToken)
	})
}

func TestTokenThatSoonExpiresIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setupVirtual(t)
		began := time.Now()
		ends := began.Add(20 * time.Second)
		b.people.allow("ann", "session:1", everything)
		b.people.expires["ann/l1"] = ends
		c := b.connect(phoenix.V1)
		ref := c.join("session:1", joinOptions{token: "ann/l1"})
		c.ok()
		c.notice(ends, "The token expires in 20 seconds: refresh it")
		c.recovery()
		if d := time.Since(began); d != 0 {
			t.Errorf("told after %v", d)
		}
		c.expired(ref)
		if d := time.Since(began); d != 20*time.Second {
			t.Errorf("ended after %v", d)
		}
	})
}

func TestTokenRefreshMovesNoticeAndExpiry(t *testing.T) {
	for name, noticed := range map[string]bool{"before the notice": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setupVirtual(t)
				began := time.Now()
				ends := began.Add(300 * time.Second)
				b.people.allow("ann", "session:1", everything)
				b.people.expires["ann/l1"] = began.Add(100 * time.Second)
				b.people.expires["ann/l1/fresh"] = ends
				c := b.connect(phoenix.V2)
				ref := c.joined("session:1", "ann/l1")
				if noticed {
					c.notice(began.Add(100*time.Second), "The token expires in 60 seconds: refresh it")
				}
				<-time.After(10 * time.Second)
				c.send(ref, "realtime:session:1", "access_token", `{"access_token":"ann/l1/fresh"}`)
				c.notice(ends, "The token expires in 60 seconds: refresh it")
				if d := time.Since(began); d != 240*time.Second {
					t.Errorf("told after %v", d)
				}
				c.expired(ref)
				if d := time.Since(began); d != 300*time.Second {
					t.Errorf("ended after %v", d)
				}
			})
		})
	}
}
