package realtime

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// TestAccountsAreBounded: whoever comes, no more are remembered than a few for each socket there may be; those who have a
// socket always are.
func TestAccountsAreBounded(t *testing.T) {
	t.Parallel()
	a := newAccounts(Limits{Sockets: 50}.withDefaults())
	held := make([]*account, 50)
	for i := range held {
		if held[i] = a.hold(userKey(strconv.Itoa(i))); held[i] == nil {
			t.Fatal("refused")
		}
	}
	for i := range 10_000 {
		a.borrow(addressKey(strconv.Itoa(i)))
		if n := len(a.all); n > a.most {
			t.Fatalf("%d are remembered", n)
		}
	}
	for i, one := range held {
		if a.borrow(userKey(strconv.Itoa(i))) != one {
			t.Fatalf("%d was forgotten", i)
		}
	}
}

// TestBucketsOutliveTheirSockets, and no longer than it takes to fill them.
func TestBucketsOutliveTheirSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccounts(Limits{UserBroadcastsPerSecond: 1, UserBroadcastBurst: 60}.withDefaults())
		one := a.hold("user ann")
		if !one.broadcasts.AllowN(time.Now(), 60) {
			t.Fatal("refused")
		}
		a.release(one)
		<-time.After(59 * time.Second)
		if a.borrow("user ann") != one {
			t.Error("forgotten while its bucket was not full")
		}
		<-time.After(61 * time.Second)
		a.borrow("user ben")
		if _, kept := a.all["user ann"]; kept {
			t.Error("kept when its bucket was full")
		}
	})
}
