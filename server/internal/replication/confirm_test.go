package replication_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vigil/server/internal/replication"
	"vigil/server/pgtest"
)

func errorsIs(err, kind error) bool { return errors.Is(err, kind) }

const confirmedSQL = `select (confirmed_flush_lsn - '0/0')::bigint::text from pg_replication_slots where slot_name = $1`

func TestNothingIsConfirmedBeforeItIsStored(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start()
		f.log.hold()
		f.exec(`insert into items values (1)`)
		f.until("read", func() bool { return r.State().Transactions == 1 })
		f.exec(`create table elsewhere as select generate_series(1, 1000)`) // WAL that holds nothing for us
		end := f.ask(`select (pg_current_wal_flush_lsn() - '0/0')::bigint::text`)
		f.until("the server told of it", func() bool { return uintOf(t, end) <= uint64(r.State().WALEnd) })
		sent := f.ask(`select max(reply_time)::text from pg_stat_replication`)
		f.until("three more status updates", func() bool { return f.ask(`select max(reply_time)::text from pg_stat_replication`) != sent })
		begun := f.ask(`select (pg_current_wal_flush_lsn() - '0/0')::bigint::text`)
		confirmed := uintOf(t, f.ask(confirmedSQL, f.config.Slot))
		f.log.release(nil)
		f.awaitCount(1)
		first := f.chunks()[0]
		if confirmed > uint64(first.Commit) {
			t.Errorf("confirmed %X before the transaction at %s was stored", confirmed, first.Commit)
		}
		f.until("confirmed after it was stored, and what followed too", func() bool {
			return uintOf(t, f.ask(confirmedSQL, f.config.Slot)) >= uintOf(t, begun)
		})
		if r.State().Lag < 0 || r.State().Reconnects != 0 {
			t.Errorf("%+v", r.State())
		}
	})
}

func uintOf(t *testing.T, s string) uint64 {
	t.Helper()
	var n uint64
	for _, c := range s {
		if c < '0' || c > '9' {
			t.Fatalf("%q is no number", s)
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

func TestAHeartbeatMovesTheSlotOfAnIdleProject(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		var transactional atomic.Bool
		fail := make(chan error, 1)
		r := f.start(func(c *replication.Config) {
			c.HeartbeatInterval = 20 * time.Millisecond
			c.Heartbeat = func(ctx context.Context) error {
				select {
				case err := <-fail:
					return err
				default:
				}
				_, err := f.sql.Exec(ctx, `select pg_logical_emit_message($1, $2, '')`, transactional.Load(), replication.HeartbeatPrefix)
				return err
			}
		})
		for range 2 {
			begun := uintOf(t, f.ask(`select (pg_current_wal_lsn() - '0/0')::bigint::text`))
			had := r.State().Heartbeats
			f.until("heartbeats came back and moved the slot", func() bool {
				return r.State().Heartbeats > had+2 && uintOf(t, f.ask(confirmedSQL, f.config.Slot)) > begun
			})
			transactional.Store(true)
		}
		if len(f.changes()) != 0 {
			t.Error("a heartbeat was stored")
		}
		fail <- errTest
		f.until("a failed heartbeat is told", func() bool {
			return r.State().HeartbeatError == nil && len(fail) == 0 || errors.Is(r.State().HeartbeatError, errTest)
		})
		r.stop()
	})
}

func TestTheServersQuestionsAreAnswered(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start(func(c *replication.Config) {
			c.URL += "&options=-c%20wal_sender_timeout%3D400"
			c.StatusInterval = 10 * time.Second
		})
		seen := map[string]bool{}
		f.until("ten answers", func() bool {
			seen[f.ask(`select max(reply_time)::text from pg_stat_replication where pid = (select active_pid from pg_replication_slots where slot_name = $1)`, f.config.Slot)] = true
			return len(seen) > 10
		})
		if s := r.State(); s.Reconnects != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestACleanStopConfirmsWhatWasStored(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start(func(c *replication.Config) { c.StatusInterval = 10 * time.Second })
		f.log.hold()
		f.exec(`insert into items values (1)`)
		f.until("in flight", func() bool { return r.State().Entries == 1 })
		r.cancel()
		f.log.release(nil)
		if err := r.end(); err != nil {
			t.Error(err)
		}
		end := f.chunks()[0].End
		f.until("confirmed", func() bool { return uintOf(t, f.ask(confirmedSQL, f.config.Slot)) >= uint64(end) })
	})
}

func TestALogThatNeverAnswersDoesNotKeepAStopWaiting(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start(func(c *replication.Config) { c.DrainTimeout = 50 * time.Millisecond })
		f.log.hold()
		f.exec(`insert into items values (1)`)
		f.until("in flight", func() bool { return r.State().Entries == 1 })
		r.cancel()
		r.end()
		f.log.release(nil)
	})
}

// proxy stands between reader and server, so that the network can fail.
type proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	conns    []net.Conn
	frozen   chan struct{} // nil, or closed when the thaw comes
	wg       sync.WaitGroup
}

func (f *fixture) proxied() (*proxy, string) {
	f.Helper()
	u, err := url.Parse(f.config.URL)
	if err != nil {
		f.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	p := &proxy{listener: listener, target: u.Host}
	u.Host = listener.Addr().String()
	p.wg.Go(p.accept)
	f.Cleanup(func() {
		listener.Close()
		p.thaw()
		p.breakAll()
		p.wg.Wait()
	})
	return p, u.String()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.wg.Go(func() { p.pipe(client, server) })
		p.wg.Go(func() { p.pipe(server, client) })
	}
}

func (p *proxy) pipe(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if errors.Is(err, io.EOF) || err != nil {
			return
		}
	}
}

func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = make(chan struct{})
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *proxy) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func TestABrokenNetworkLosesAndDoublesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		p, address := f.proxied()
		r := f.start(func(c *replication.Config) { c.URL, c.MaxRows = address, 4 })
		w := f.write(1)
		for range 5 {
			before := r.State().Reconnects
			have := len(f.changes())
			f.awaitCount(have + 20)
			p.breakAll()
			f.until("a reconnect", func() bool { return r.State().Reconnects > before })
		}
		w.end()
		f.expectTable()
	})
}

func TestASilentServerIsGivenUp(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		p, address := f.proxied()
		r := f.start(func(c *replication.Config) {
			c.URL, c.SilenceTimeout, c.ConnectTimeout, c.Takeover = address, 300*time.Millisecond, time.Second, true
		})
		f.exec(`insert into items values (1)`)
		f.awaitCount(1)
		p.freeze()
		f.until("silence noticed", func() bool { return errors.Is(r.State().LastError, replication.ErrSilent) })
		p.thaw()
		f.exec(`insert into items values (2)`)
		f.awaitCount(2)
	})
}

func TestInspectTellsWhatDoctorNeeds(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.start(func(c *replication.Config) { c.ApplicationName = "vigil test" })
		f.until("the slot is active", func() bool {
			report, err := replication.Inspect(t.Context(), f.db.URL(pgtest.RoleSuperuser), f.config.Slot, []string{"items_pub", "absent"})
			if err != nil {
				t.Fatal(err)
			}
			s := report.Slot
			if s == nil || s.Holder.PID == 0 {
				return false
			}
			if s.Plugin != "pgoutput" || s.Database != f.db.Name || s.Holder.Application != "vigil test" || s.Holder.User != pgtest.RoleReplicator ||
				s.Confirmed == 0 || s.Restart == 0 || s.WALStatus != "reserved" || s.IsLost() {
				t.Errorf("slot %+v", *s)
			}
			v := report.Server
			if v.WALLevel != "logical" || v.MaxSlots == 0 || v.UsedSlots == 0 || v.MaxSenders == 0 || v.UsedSenders == 0 || !v.IsSuperuser ||
				!v.MayReplicate || v.Version/10000 != f.cluster.Version() || v.MaxSlotWALKeepSize != -1 || v.WALFlush == 0 {
				t.Errorf("server %+v", v)
			}
			if report.Identity.SystemID == "" || report.Identity.Timeline != 1 || report.Encrypted {
				t.Errorf("report %+v", report)
			}
			if len(report.Publications) != 1 || len(replication.ComparePublications([]replication.Publication{itemsPublication()}, report.Publications)) != 0 {
				t.Errorf("publications %+v", report.Publications)
			}
			return true
		})
		report, err := replication.Inspect(t.Context(), f.db.URL(pgtest.RoleSidecar), "absent", nil)
		if err != nil || report.Slot != nil || report.Server.MayReplicate {
			t.Errorf("as another role: %+v, %v", report, err)
		}
	})
}

func TestTheWALBudgetIsWatched(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		r := f.start(func(c *replication.Config) { c.InspectInterval = 10 * time.Millisecond })
		f.until("the slot is looked at", func() bool { return r.State().Connected && r.State().Slot.Holder.PID != 0 })
		if s := r.State(); s.Slot.Name != f.config.Slot || !s.Connected || !strings.HasPrefix(s.Slot.WALStatus, "res") {
			t.Errorf("%+v", s)
		}
	})
}
