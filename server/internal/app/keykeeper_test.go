package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/internal/store/storetest"
	"vigil/server/internal/triage"
	"vigil/server/pgtest"
)

// keyBundle is a practice with one session, whose analysis key is in a file that a keeper watches over.
type keyBundle struct {
	*storetest.Practice
	tables *store.Store
	file   envelope.FileSource
	keeper *keyKeeper
	old    *envelope.Device
}

func setupKeys(t *testing.T) *keyBundle {
	t.Helper()
	p := storetest.New(t, clusters.Cluster(t).Database(t))
	b := &keyBundle{Practice: p, tables: store.New(p.Vigil), old: p.Analysis, file: envelope.FileSource{Path: filepath.Join(t.TempDir(), "key.json")}}
	b.add(t, b.old)
	b.keeper = b.newKeeper(b.old)
	return b
}

// newKeeper is the keeper of a process that has started with these keys.
func (b *keyBundle) newKeeper(keys ...*envelope.Device) *keyKeeper {
	return &keyKeeper{
		source: b.file, path: b.file.Path, ring: envelope.NewRing(envelope.RingConfig{}, keys...), tables: b.tables, log: quiet(),
		keep: time.Hour, registered: map[uuid.UUID]bool{}, complaints: map[string]string{},
	}
}

func (b *keyBundle) add(t *testing.T, d *envelope.Device) {
	t.Helper()
	if err := b.file.Add(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func (b *keyBundle) inFile(t *testing.T) []uuid.UUID {
	t.Helper()
	keys, err := b.file.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []uuid.UUID
	for _, d := range keys {
		ids = append(ids, d.KID())
	}
	return ids
}

func (b *keyBundle) row(t *testing.T, id uuid.UUID) triage.AnalysisKey {
	t.Helper()
	known, err := b.tables.AnalysisKeys(t.Context(), b.keeper.keep)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range known {
		if k.ID == id {
			return k
		}
	}
	return triage.AnalysisKey{}
}

func (b *keyBundle) sql(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := b.Superuser.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func makeKey(t *testing.T) *envelope.Device {
	t.Helper()
	d, err := envelope.NewDevice(uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (b *keyBundle) takeUp(t *testing.T) {
	t.Helper()
	if err := b.keeper.takeUp(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (b *keyBundle) destroy(t *testing.T) {
	t.Helper()
	if err := b.keeper.destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestANewKeyIsTakenUpAndKnown(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	b.takeUp(t)
	newer := makeKey(t)
	b.add(t, newer)
	b.takeUp(t)
	if held := b.keeper.held(); !slices.Equal(held, []uuid.UUID{newer.KID(), b.old.KID()}) {
		t.Errorf("the ring holds %v", held)
	}
	var onNew uuid.UUID
	if err := b.Superuser.QueryRow(t.Context(), "select id from private.analysis_device()").Scan(&onNew); err != nil || onNew != newer.KID() {
		t.Errorf("new epochs have %s: %v", onNew, err)
	}
	if k := b.row(t, newer.KID()); !k.Live() || !k.Needed || k.EncPub != envelope.EncodeText(newer.EncPub()) {
		t.Errorf("the project knows %+v", k)
	}
}

// vouchers are who signed the key, whose signatures are verified.
func (b *keyBundle) vouchers(t *testing.T, key *envelope.Device, known ...*envelope.Device) (by []uuid.UUID) {
	t.Helper()
	rows, err := b.Superuser.Query(t.Context(), "select by_device_id, signature from public.device_signatures where device_id = $1 order by created_at", key.KID())
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		By        uuid.UUID
		Signature string
	}
	signatures, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range signatures {
		for _, d := range known {
			terms := envelope.DeviceTerms{By: s.By, KID: key.KID(), Kind: envelope.KindAnalysis, EncPub: key.EncPub(), SigPub: key.SigPub()}
			if d.KID() == s.By && terms.Verify(d.SigPub(), s.Signature) == nil {
				by = append(by, s.By)
			}
		}
	}
	return by
}

// TestTheKeyBeforeVouchesForTheNext: so that nobody who knows the one must be asked about the other; while it runs and at a start.
func TestTheKeyBeforeVouchesForTheNext(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	b.takeUp(t)
	second, third, fourth := makeKey(t), makeKey(t), makeKey(t)
	b.add(t, second)
	b.takeUp(t)
	b.takeUp(t)
	b.add(t, third)
	if err := registerMembers(t.Context(), b.tables, envelope.NewRing(envelope.RingConfig{}, third, second, b.old), func(uuid.UUID) bool { return false }); err != nil {
		t.Fatal(err)
	}
	known := []*envelope.Device{b.old, second, third, fourth}
	for key, want := range map[*envelope.Device][]uuid.UUID{b.old: nil, second: {b.old.KID()}, third: {second.KID()}} {
		if got := b.vouchers(t, key, known...); !slices.Equal(got, want) {
			t.Errorf("key %s is vouched for by %v, want %v", key.KID(), got, want)
		}
	}
	b.sql(t, "update public.devices set revoked_at = now() where id = $1", third.KID())
	b.add(t, fourth)
	b.takeUp(t)
	if got := b.vouchers(t, fourth, known...); !slices.Equal(got, []uuid.UUID{second.KID()}) {
		t.Errorf("after a revocation the next is vouched for by %v, want %s", got, second.KID())
	}
}

// TestTheFirstKeyOfAFileIsTheOneOfNewRosters: also where none of them is known yet.
func TestTheFirstKeyOfAFileIsTheOneOfNewRosters(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	second, first := makeKey(t), makeKey(t)
	b.add(t, second)
	b.add(t, first)
	b.takeUp(t)
	var onNew uuid.UUID
	if err := b.Superuser.QueryRow(t.Context(), "select id from private.analysis_device()").Scan(&onNew); err != nil || onNew != first.KID() {
		t.Errorf("new epochs have %s instead of %s: %v", onNew, first.KID(), err)
	}
}

func TestAKeyIsDestroyedOnlyWhenNothingNeedsIt(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	s := b.Session(t)
	s.Send(t, "sealed to the old key")
	newer := makeKey(t)
	b.add(t, newer)
	b.takeUp(t)
	both := []uuid.UUID{newer.KID(), b.old.KID()}
	b.destroy(t) // not retired
	if held := b.keeper.held(); !slices.Equal(held, both) || !slices.Equal(b.inFile(t), both) {
		t.Fatalf("a key that is not retired: %v", held)
	}
	if err := b.tables.RetireAnalysisKey(t.Context(), b.old.KID()); err != nil {
		t.Fatal(err)
	}
	if err := b.tables.RetireAnalysisKey(t.Context(), b.old.KID()); err != nil {
		t.Errorf("retired again: %v", err)
	}
	if err := b.tables.RetireAnalysisKey(t.Context(), newer.KID()); !triage.IsPermanent(err) {
		t.Errorf("the last key was retired: %v", err)
	}
	needed := func(why string) {
		t.Helper()
		b.destroy(t)
		if k := b.row(t, b.old.KID()); !k.Needed || k.RetiredAt.IsZero() || !k.RevokedAt.IsZero() {
			t.Fatalf("%s: the project has %+v", why, k)
		}
		if !slices.Equal(b.keeper.held(), both) || !slices.Equal(b.inFile(t), both) {
			t.Fatalf("%s: the key was destroyed", why)
		}
	}
	needed("the session goes on")
	b.sql(t, "update public.sessions set status = 'ended', ended_at = now() where id = $1", s.ID)
	needed("the session has just ended")
	b.sql(t, "set session_replication_role = replica; update public.sessions set ended_at = now() - interval '2 hours'; set session_replication_role = origin")
	needed("its message was not assessed")
	b.sql(t, "update public.session_progress set assessed_position = 1")
	b.destroy(t)
	if k := b.row(t, b.old.KID()); k.Needed || k.RevokedAt.IsZero() {
		t.Errorf("the project has %+v", k)
	}
	if held := b.keeper.held(); !slices.Equal(held, both[:1]) || !slices.Equal(b.inFile(t), both[:1]) {
		t.Errorf("the ring holds %v, the file %v", held, b.inFile(t))
	}
	b.destroy(t) // again
}

// TestARevokedKeyEndsOnceNoMessageWaitsForIt: its sessions go on, under another key.
func TestARevokedKeyEndsOnceNoMessageWaitsForIt(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	b.Session(t).Send(t, "sealed to the old key")
	newer := makeKey(t)
	b.add(t, newer)
	b.takeUp(t)
	b.sql(t, "update public.devices set revoked_at = now() where id = $1", b.old.KID())
	b.destroy(t)
	if both := []uuid.UUID{newer.KID(), b.old.KID()}; !slices.Equal(b.keeper.held(), both) || !slices.Equal(b.inFile(t), both) {
		t.Fatalf("a message waits, and the ring holds %v, the file %v", b.keeper.held(), b.inFile(t))
	}
	b.sql(t, "update public.session_progress set assessed_position = 1")
	b.destroy(t)
	if only := []uuid.UUID{newer.KID()}; !slices.Equal(b.keeper.held(), only) || !slices.Equal(b.inFile(t), only) {
		t.Errorf("the ring holds %v, the file %v", b.keeper.held(), b.inFile(t))
	}
	b.destroy(t) // again
}

// TestTheOnlyKeyStaysThoughRevoked: what to do is said, and nothing ends in silence.
func TestTheOnlyKeyStaysThoughRevoked(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	b.takeUp(t)
	b.sql(t, "update public.devices set revoked_at = now() where id = $1", b.old.KID())
	if err := b.keeper.destroy(t.Context()); !errors.Is(err, errOnlyRevoked) {
		t.Error(err)
	}
	if only := []uuid.UUID{b.old.KID()}; !slices.Equal(b.keeper.held(), only) || !slices.Equal(b.inFile(t), only) {
		t.Errorf("the ring holds %v, the file %v", b.keeper.held(), b.inFile(t))
	}
}

// TestACrashBetweenDatabaseAndFileIsMadeGood: the database has given the key up, and the process ended before its file was written.
func TestACrashBetweenDatabaseAndFileIsMadeGood(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	newer := makeKey(t)
	b.add(t, newer)
	b.takeUp(t)
	if err := b.tables.RetireAnalysisKey(t.Context(), b.old.KID()); err != nil {
		t.Fatal(err)
	}
	if gone, err := b.tables.DestroyAnalysisKey(t.Context(), b.old.KID(), time.Hour); err != nil || !gone {
		t.Fatalf("%t %v", gone, err)
	}
	b.keeper = b.newKeeper(newer, b.old) // the next process
	b.takeUp(t)
	b.destroy(t)
	if only := []uuid.UUID{newer.KID()}; !slices.Equal(b.keeper.held(), only) || !slices.Equal(b.inFile(t), only) {
		t.Errorf("the ring holds %v, the file %v", b.keeper.held(), b.inFile(t))
	}
}

// TestAKeyTakenOutOfTheFileStaysWhileItIsNeeded: a file restored from an old backup must not make a running process forget.
func TestAKeyTakenOutOfTheFileStaysWhileItIsNeeded(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	newer := makeKey(t)
	b.add(t, newer)
	b.takeUp(t)
	if err := b.file.Remove(t.Context(), b.old.KID()); err != nil {
		t.Fatal(err)
	}
	b.takeUp(t)
	if !slices.Contains(b.keeper.held(), b.old.KID()) {
		t.Error("a key that is needed was dropped")
	}
	if err := b.tables.RetireAnalysisKey(t.Context(), b.old.KID()); err != nil { // no epoch has it
		t.Fatal(err)
	}
	b.destroy(t)
	if slices.Contains(b.keeper.held(), b.old.KID()) {
		t.Error("a key that nothing needs was kept")
	}
}

func TestAFileThatCannotBeReadChangesNothing(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	b.takeUp(t)
	for name, c := range map[string]struct {
		do   func() error
		want error
	}{
		"others may read it": {func() error { return os.Chmod(b.file.Path, 0o644) }, envelope.ErrKeyFileMode}, //nolint:gosec // as it must not be
		"it is of another project": {func() error {
			return errors.Join(os.Remove(b.file.Path), envelope.WriteKeyFile(b.file.Path, makeKey(t)))
		}, errOtherKeys},
		"it is gone": {func() error { return os.Remove(b.file.Path) }, fs.ErrNotExist},
	} {
		good, err := os.ReadFile(b.file.Path)
		if err := errors.Join(err, c.do()); err != nil {
			t.Fatal(err)
		}
		b.keeper.seen = nil // its mode is not in its date
		if err := b.keeper.takeUp(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if held := b.keeper.held(); !slices.Equal(held, []uuid.UUID{b.old.KID()}) {
			t.Errorf("%s: the ring holds %v", name, held)
		}
		_ = os.Remove(b.file.Path)
		if err := os.WriteFile(b.file.Path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAKeyOfTheEnvironmentEndsWhereItCan(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	newer := makeKey(t)
	text, err := b.old.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b.keeper = b.newKeeper(newer, b.old)
	b.keeper.source, b.keeper.path = envelope.TextSource{Text: string(text)}, ""
	b.takeUp(t)
	if err := b.tables.RetireAnalysisKey(t.Context(), b.old.KID()); err != nil {
		t.Fatal(err)
	}
	b.destroy(t)
	if held := b.keeper.held(); !slices.Equal(held, []uuid.UUID{newer.KID()}) {
		t.Errorf("the ring holds %v", held)
	}
}

// TestTheKeeperRunsWhileTheDatabaseIsAway: it goes on, and takes up what it can; it ends with its context.
func TestTheKeeperRunsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	pool := clusters.Cluster(t).Database(t).Pool(t, pgtest.RoleSidecar)
	b.keeper.tables = store.New(pool)
	pool.Close()
	b.keeper.look, b.keeper.every = 5*time.Millisecond, 7*time.Millisecond
	newer := makeKey(t)
	b.add(t, newer)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { return b.keeper.Run(ctx) })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(b.keeper.held()) < 2 && ctx.Err() == nil {
		<-tick.C
	}
	if ctx.Err() != nil {
		t.Error("the key was not taken up")
	}
	cancel()
	if err := g.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// TestTheKeeperRetiresEpochsOfARetiredKey: however it was retired, and also in a session that was busy the first time.
func TestTheKeeperRetiresEpochsOfARetiredKey(t *testing.T) {
	t.Parallel()
	b := setupKeys(t)
	s := b.Session(t)
	s.Send(t, "sealed to the old key")
	b.add(t, makeKey(t))
	b.keeper.look, b.keeper.every = time.Minute, 5*time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	b.takeUp(t)
	talk, err := b.Superuser.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = talk.Rollback(t.Context()) }()
	if _, err := talk.Exec(ctx, "select from public.session_counters where session_id = $1 for update", s.ID); err != nil {
		t.Fatal(err)
	}
	b.sql(t, "update public.devices set retired_at = now() where id = $1", b.old.KID())
	if busy, err := b.tables.RetireEpochs(ctx); err != nil || busy != 1 {
		t.Errorf("%d sessions were busy: %v", busy, err)
	}
	if err := talk.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	g.Go(func() error { return b.keeper.Run(ctx) })
	for least := 1; least < 2; {
		if err := b.Superuser.QueryRow(ctx, "select min_epoch from public.sessions where id = $1", s.ID).Scan(&least); err != nil {
			t.Fatalf("the session's epoch was never retired: %v", err)
		}
	}
	cancel()
	if err := g.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
