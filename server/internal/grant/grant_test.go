package grant_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"vigil/realtime"
	"vigil/server/internal/grant"
	"vigil/server/internal/logkey"
	"vigil/server/internal/store/storetest"
	"vigil/server/pgtest"
)

var postgres = pgtest.Shared(pgtest.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

var (
	follows = realtime.Grant{BroadcastReceive: true, PresenceReceive: true, PresenceSend: true}
	takes   = realtime.Grant{BroadcastReceive: true, BroadcastSend: true, PresenceReceive: true, PresenceSend: true}
	hears   = realtime.Grant{BroadcastReceive: true}
	nothing = realtime.Grant{}
)

type bundle struct {
	*storetest.Practice
	session *storetest.Session
	pool    *pgxpool.Pool // of one connection, as vigil
	grants  *grant.Grants
}

func setup(t *testing.T, change ...func(*grant.Config)) *bundle {
	t.Helper()
	db := postgres.Cluster(t).Database(t)
	b := &bundle{Practice: storetest.New(t, db)}
	b.session = b.Session(t)
	config, err := pgxpool.ParseConfig(db.URL(pgtest.RoleSidecar))
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 1
	if b.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.pool.Close)
	c := grant.Config{Pool: b.pool}
	for _, f := range change {
		f(&c)
	}
	b.grants = grant.New(c)
	return b
}

func identityOf(t *testing.T, p storetest.Person, aal string) realtime.Identity {
	t.Helper()
	claims, err := json.Marshal(map[string]any{"sub": p.ID, "role": "authenticated", "session_id": p.Login, "aal": aal})
	if err != nil {
		t.Fatal(err)
	}
	return realtime.Identity{UserID: p.ID.String(), LoginID: p.Login.String(), AAL: aal, Claims: claims, ExpiresAt: time.Now().Add(time.Hour)}
}

func (b *bundle) expect(t *testing.T, p storetest.Person, topic string, want realtime.Grant) {
	t.Helper()
	got, err := b.grants.Authorize(t.Context(), identityOf(t, p, "aal2"), topic)
	if err != nil || got != want {
		t.Errorf("%s: got %+v, %v, want %+v", topic, got, err, want)
	}
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) (xid uint32) {
	t.Helper()
	tx, err := b.Superuser.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var id int64
	if err := tx.QueryRow(t.Context(), `select (pg_current_xact_id()::text::numeric % 4294967296)::bigint`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return uint32(id)
}

func everyone(realtime.Member) bool { return true }

func TestGrantsAreWhatTheDatabaseSays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	session, care, org := "session:"+b.session.ID.String(), "care:"+b.session.ID.String(), "org:"+b.Organization.String()
	stranger := b.Session(t).Client
	for _, c := range []struct {
		who   string
		p     storetest.Person
		topic string
		want  realtime.Grant
	}{
		{"client", b.session.Client, session, takes},
		{"client", b.session.Client, care, nothing},
		{"client", b.session.Client, org, nothing},
		{"client", b.session.Client, "inbox:" + b.Therapist.ID.String(), nothing},
		{"therapist", b.Therapist, "inbox:" + b.Therapist.ID.String(), hears},
		{"therapist", b.Therapist, "inbox:" + b.Supervisor.ID.String(), nothing},
		{"therapist", b.Therapist, session, takes},
		{"therapist", b.Therapist, care, follows},
		{"therapist", b.Therapist, org, nothing},
		{"supervisor", b.Supervisor, session, follows},
		{"supervisor", b.Supervisor, care, follows},
		{"supervisor", b.Supervisor, org, hears},
		{"another client", stranger, session, nothing},
		{"another client", stranger, care, nothing},
		{"nobody", storetest.Person{ID: uuid.New(), Login: uuid.New()}, session, nothing},
		{"supervisor", b.Supervisor, "session:", nothing},
		{"supervisor", b.Supervisor, "room:1", nothing},
		{"supervisor", b.Supervisor, "session:" + b.session.ID.String() + "\x00", nothing},
		{"supervisor", b.Supervisor, "session:'; drop table relay.permissions; --", nothing},
	} {
		t.Run(c.who+" "+c.topic[:min(len(c.topic), 8)], func(t *testing.T) { b.expect(t, c.p, c.topic, c.want) })
	}
	if got, err := b.grants.Authorize(t.Context(), identityOf(t, b.Supervisor, "aal1"), care); err != nil || got != nothing {
		t.Errorf("aal1: got %+v, %v", got, err)
	}
}

// TestClaimsOfOneJoinAreNeverVisibleInTheNext asks on a pool of one connection, and looks at that connection after each
// answer, each refusal and each question that broke off.
func TestClaimsOfOneJoinAreNeverVisibleInTheNext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	session := "session:" + b.session.ID.String()
	clean := func(after string) {
		t.Helper()
		var role, claims, topic string
		const look = `select current_user, coalesce(current_setting('request.jwt.claims', true), ''), coalesce(current_setting('relay.topic', true), '')`
		if err := b.pool.QueryRow(t.Context(), look).Scan(&role, &claims, &topic); err != nil {
			t.Fatalf("after %s: %v", after, err)
		}
		if role != pgtest.RoleSidecar || claims != "" || topic != "" {
			t.Errorf("after %s: role %s, claims %q, topic %q", after, role, claims, topic)
		}
	}
	b.expect(t, b.session.Client, session, takes)
	clean("a grant")
	b.expect(t, storetest.Person{ID: uuid.New(), Login: uuid.New()}, session, nothing)
	clean("a refusal")

	broken := identityOf(t, b.session.Client, "aal2")
	broken.Claims = json.RawMessage(`{"sub":"no uuid"}`)
	if got, err := b.grants.Authorize(t.Context(), broken, session); err == nil || got != nothing {
		t.Errorf("broken claims: got %+v, %v", got, err)
	}
	clean("an error")
	b.expect(t, storetest.Person{ID: uuid.New(), Login: uuid.New()}, session, nothing) // on whatever connection there is now

	ctx, cancel := context.WithCancel(t.Context())
	cancelled := grant.New(grant.Config{Pool: b.pool, At: func(point string) {
		if point == "before_query" {
			cancel()
		}
	}})
	if got, err := cancelled.Authorize(ctx, identityOf(t, b.session.Client, "aal2"), session); err == nil || got != nothing {
		t.Errorf("cancelled: got %+v, %v", got, err)
	}
	clean("a question that broke off")
}

func TestGrantIsKeptUntilTheLogSaysOtherwise(t *testing.T) {
	t.Parallel()
	b := setup(t)
	session := "session:" + b.session.ID.String()
	b.expect(t, b.session.Client, session, takes)
	b.expect(t, b.session.Client, session, takes)
	if s := b.grants.Stats(); s.Asked != 1 || s.Hits != 1 || s.Kept != 1 {
		t.Errorf("stats %+v", s)
	}
	if of := b.grants.Logins(); len(of) != 1 || of[0] != b.session.Client.Login.String() {
		t.Errorf("kept for %v", of)
	}
	xid := b.exec(t, `update public.session_participants set ended_at = now() where session_id = $1 and user_id = $2`, b.session.ID, b.session.Client.ID)
	b.grants.Invalidate(xid, func(m realtime.Member) bool { return m.UserID == b.Therapist.ID.String() })
	b.expect(t, b.session.Client, session, takes) // another's: the cache was not told
	b.grants.Invalidate(xid, func(m realtime.Member) bool { return m.UserID == b.session.Client.ID.String() && m.Topic == session })
	b.expect(t, b.session.Client, session, nothing)
	if s := b.grants.Stats(); s.Asked != 2 || s.Kept != 0 || len(b.grants.Logins()) > 0 { // a refusal is not kept
		t.Errorf("stats %+v", s)
	}
}

func TestEndedLoginIsGrantedNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	session := "session:" + b.session.ID.String()
	b.expect(t, b.Therapist, session, takes)
	xid := b.exec(t, `delete from auth.sessions where id = $1`, b.Therapist.Login)
	b.grants.Invalidate(xid, func(m realtime.Member) bool { return m.LoginID == b.Therapist.Login.String() })
	b.expect(t, b.Therapist, session, nothing)
}

// TestRevocationRacingAQuestionIsAskedAgain is guarantee 4: the answer of a query that ran before the revocation is
// neither given nor kept.
func TestRevocationRacingAQuestionIsAskedAgain(t *testing.T) {
	t.Parallel()
	var b *bundle
	var once sync.Once
	b = setup(t, func(c *grant.Config) {
		c.At = func(point string) {
			if point == "after_query" {
				once.Do(func() {
					xid := b.exec(t, `update public.session_participants set ended_at = now() where user_id = $1`, b.session.Client.ID)
					b.grants.Invalidate(xid, everyone)
				})
			}
		}
	})
	b.expect(t, b.session.Client, "session:"+b.session.ID.String(), nothing)
	if s := b.grants.Stats(); s.Asked != 2 || s.Repeated != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestAnswerMustShowWhatTheLogHasShown(t *testing.T) {
	t.Parallel()
	queries := make(chan struct{}, 1000)
	b := setup(t, func(c *grant.Config) {
		c.At = func(point string) {
			if point == "after_query" {
				queries <- struct{}{}
			}
		}
	})
	tx, err := b.Superuser.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var xid int64
	err = tx.QueryRow(t.Context(), `update public.session_participants set ended_at = now() where user_id = $1
		returning (pg_current_xact_id()::text::numeric % 4294967296)::bigint`, b.session.Client.ID).Scan(&xid)
	if err != nil {
		t.Fatal(err)
	}
	b.grants.Invalidate(uint32(xid), everyone) // the log runs ahead of snapshots
	var asking sync.WaitGroup
	asking.Go(func() { b.expect(t, b.session.Client, "session:"+b.session.ID.String(), nothing) })
	<-queries
	<-queries
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	asking.Wait()
	b.expect(t, b.Therapist, "session:"+b.session.ID.String(), takes) // it was seen: nobody waits for it again
}

func TestTransactionThatNeverShowsIsAnErrorInTime(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	b := setup(t, func(c *grant.Config) {
		c.Timeout = time.Second
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	var xid int64
	if err := b.Superuser.QueryRow(t.Context(), `select (pg_snapshot_xmax(pg_current_snapshot())::text::numeric % 4294967296 + 1000)::bigint`).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	b.grants.Invalidate(uint32(xid), everyone)
	id, session := identityOf(t, b.session.Client, "aal2"), "session:"+b.session.ID.String()
	if got, err := b.grants.Authorize(t.Context(), id, session); err == nil || got != nothing {
		t.Errorf("got %+v, %v", got, err)
	}
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	b.expect(t, b.session.Client, session, takes)
}

func TestManyQuestionsAreOneQuery(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	b := setup(t, func(c *grant.Config) {
		c.At = func(point string) {
			if point == "before_query" {
				<-release
			}
		}
	})
	session := "session:" + b.session.ID.String()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { b.expect(t, b.session.Client, session, takes) })
	}
	close(release)
	all.Wait()
	if s := b.grants.Stats(); s.Asked+s.Hits > 20 || s.Asked != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestQuestionOutlivesWhoAskedFirst(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(t.Context())
	began, left := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b := setup(t, func(c *grant.Config) {
		c.At = func(point string) {
			if point == "before_query" {
				once.Do(func() { close(began); <-left })
			}
		}
	})
	id, session := identityOf(t, b.session.Client, "aal2"), "session:"+b.session.ID.String()
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := b.grants.Authorize(ctx, id, session); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	<-began
	all.Go(func() { b.expect(t, b.session.Client, session, takes) })
	leave()
	close(left)
	all.Wait()
}

// TestQuestionsThatWaitAreAskedTogether holds the first statement back until all others wait: they are one more. Among them
// are claims that no policy can read.
func TestQuestionsThatWaitAreAskedTogether(t *testing.T) {
	t.Parallel()
	const busy = 4 // statements at once
	release, held := make(chan struct{}), make(chan struct{}, 100)
	b := setup(t, func(c *grant.Config) {
		c.At = func(point string) {
			if point == "before_query" {
				held <- struct{}{}
				<-release
			}
		}
	})
	session := "session:" + b.session.ID.String()
	var all sync.WaitGroup
	for range busy {
		all.Go(func() { b.expect(t, storetest.Person{ID: uuid.New(), Login: uuid.New()}, session, nothing) })
	}
	for range busy {
		<-held
	}
	all.Go(func() { b.expect(t, b.session.Client, session, takes) })
	all.Go(func() { b.expect(t, b.Therapist, session, takes) })
	all.Go(func() { b.expect(t, b.Supervisor, session, follows) })
	all.Go(func() { b.expect(t, b.session.Client, "care:"+b.session.ID.String(), nothing) })
	all.Go(func() {
		broken := identityOf(t, b.session.Client, "aal2")
		broken.Claims = json.RawMessage(`{"sub":"no uuid"}`)
		if got, err := b.grants.Authorize(t.Context(), broken, session); err == nil || got != nothing {
			t.Errorf("broken claims: got %+v, %v", got, err)
		}
	})
	for b.grants.Stats().Waiting < 5 {
		runtime.Gosched()
	}
	close(release)
	all.Wait()
	if s := b.grants.Stats(); s.Asked != busy+5 || s.Statements != busy+1 {
		t.Errorf("stats %+v", s)
	}
}

// TestPostgresThatIsAwayGrantsNothing closes the pool: everyone is told, and nothing is kept.
func TestPostgresThatIsAwayGrantsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pool.Close()
	var all sync.WaitGroup
	for _, p := range []storetest.Person{b.session.Client, b.Therapist, b.Supervisor} {
		all.Go(func() {
			if got, err := b.grants.Authorize(t.Context(), identityOf(t, p, "aal2"), "session:"+b.session.ID.String()); err == nil || got != nothing {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	all.Wait()
	if s := b.grants.Stats(); s.Kept != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestFullCacheForgetsRatherThanGrows(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *grant.Config) { c.Capacity = 2 })
	b.expect(t, b.session.Client, "session:"+b.session.ID.String(), takes)
	b.expect(t, b.Therapist, "session:"+b.session.ID.String(), takes)
	b.expect(t, b.Supervisor, "session:"+b.session.ID.String(), follows)
	if s := b.grants.Stats(); s.Kept > 2 {
		t.Errorf("stats %+v", s)
	}
}

// TestRealtimeLogsOnlyListedKeys stands here because realtime cannot import the sidecar's list.
func TestRealtimeLogsOnlyListedKeys(t *testing.T) {
	t.Parallel()
	for _, key := range realtime.LogKeys() {
		if !logkey.Allowed(key) {
			t.Errorf("%q is not listed", key)
		}
	}
}
