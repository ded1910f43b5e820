package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/config"
	"vigil/server/internal/envelope"
	"vigil/server/internal/logkey"
	"vigil/server/internal/store"
)

// keyLookInterval is how often the key file is looked at (its date only). There is no signal to hurry it: a terminal that closes
// sends SIGHUP, and must still end the process.
const keyLookInterval = 2 * time.Second

// keyKeeper keeps the ring's keys equal to those of the file while the process runs, and destroys retired keys that nothing
// needs any more, and revoked ones sooner.
//
//	vigil keys new --rotate ──▶ file ──▶ ring ──▶ registered: on the rosters of new epochs
//	vigil keys retire ──▶ on no new roster ──▶ sessions make new epochs ──▶ needed by nothing ──▶ destroyed: database, file, ring, in this order
//	revoked in SQL ──▶ its epochs end at once ──▶ no message waits for it ──▶ destroyed: file, ring
//
// Guarantees: a key opens what is sealed to it before any roster names it; a key leaves the file only after the database has
// said that nothing needs it, and a crash in between is made good at the next look; a file that cannot be read, or that somebody
// took keys out of, changes nothing of what this process can open.
//
// A revoked key may be in other hands, so it is not kept for sessions to be read again (VIGIL_KEY_KEEP), only until what was sealed to it
// before is assessed: what it cannot open any more would be recorded as not assessed. The only key that is left here stays, and the log
// says what to do.
//
// Not guaranteed: that keys are overwritten, in memory or on disk (see envelope.Ring.Drop and FileSource.Remove); that another
// process has a new key as soon as this one: sidecars that share the work must be given the file within VIGIL_GIVE_UP_AFTER.
type keyKeeper struct {
	source envelope.KeyKeeper
	path   string // of the file; "" for the environment, which does not change while a process runs
	ring   *envelope.Ring
	tables *store.Store
	keep   time.Duration // how long after its end a session's key may still be needed
	log    *slog.Logger
	look   time.Duration // 0 = keyLookInterval
	every  time.Duration // how often the database is asked which keys may go

	// Of Run's goroutine alone.
	seen       fs.FileInfo // the file when it was last read
	missing    []uuid.UUID // keys of the ring that it did not hold then
	registered map[uuid.UUID]bool
	complaints map[string]string // the last one of each step, which is not repeated at every look
}

// keySource is where the configuration says that the keys are.
func keySource(c config.Config) (source envelope.KeyKeeper, path string) {
	if !c.AnalysisKey.IsZero() {
		return envelope.TextSource{Text: c.AnalysisKey.Reveal()}, ""
	}
	return envelope.FileSource{Path: c.AnalysisKeyFile}, c.AnalysisKeyFile
}

// newKeyKeeper makes the keeper of the ring's keys. What is in the ring was read, and is registered by the flow.
func newKeyKeeper(r *resources) *keyKeeper {
	k := &keyKeeper{
		ring: r.ring, tables: r.store, keep: r.config.KeyKeep, log: r.log, every: r.config.ReconcileInterval,
		registered: make(map[uuid.UUID]bool), complaints: make(map[string]string),
	}
	k.source, k.path = keySource(r.config)
	return k
}

// Run keeps the keys until ctx ends. Nothing ends it: whatever fails is tried again.
func (k *keyKeeper) Run(ctx context.Context) error {
	if k.look <= 0 {
		k.look = keyLookInterval
	}
	look, destroy := time.NewTicker(k.look), time.NewTicker(k.every)
	defer look.Stop()
	defer destroy.Stop()
	for {
		k.step(ctx, "take up", k.takeUp)
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-destroy.C:
			k.step(ctx, "retire", k.retireEpochs)
			k.step(ctx, "destroy", k.destroy)
		}
	}
}

// retireEpochs makes sessions that still use a retired key make their next epoch. Those that are busy just now are found next time.
func (k *keyKeeper) retireEpochs(ctx context.Context) error {
	_, err := k.tables.RetireEpochs(ctx)
	return err
}

// step does one thing and says, once, what hindered it.
func (k *keyKeeper) step(ctx context.Context, name string, do func(context.Context) error) {
	err := do(ctx)
	if err == nil || ctx.Err() != nil {
		delete(k.complaints, name)
		return
	}
	if complaint := err.Error(); complaint != k.complaints[name] {
		k.complaints[name] = complaint
		k.log.WarnContext(ctx, "analysis keys stay as they are, and are tried again", logkey.Part, name, logkey.Error, complaint)
	}
}

// takeUp makes the ring hold what the file holds, and then the project know it.
func (k *keyKeeper) takeUp(ctx context.Context) error {
	if err := k.readFile(ctx); err != nil {
		return err
	}
	return k.register(ctx)
}

// errOtherKeys: a file of another project was put in the place of this one's, by mistake.
var errOtherKeys = errors.New("the key file holds none of the keys in use: restore it from the backup (to begin with other keys, stop vigil serve first)")

// readFile reads the file if it changed. What is sealed to a new key must open at once, so the ring has it before anybody else
// hears of it. A key that somebody took out of the file stays in the ring: only the database says that nothing needs it.
func (k *keyKeeper) readFile(ctx context.Context) error {
	if k.path == "" {
		return nil
	}
	now, err := os.Stat(k.path)
	if err != nil {
		return fmt.Errorf("look at the key file: %w", err)
	}
	if k.seen != nil && os.SameFile(k.seen, now) && k.seen.ModTime().Equal(now.ModTime()) && k.seen.Size() == now.Size() {
		return nil
	}
	keys, err := k.source.Keys(ctx)
	if err != nil {
		return fmt.Errorf("read the key file: %w", err)
	}
	before, inFile := k.held(), make(map[uuid.UUID]bool, len(keys))
	for _, d := range keys {
		inFile[d.KID()] = true
	}
	if len(before) > 0 && !slices.ContainsFunc(before, func(id uuid.UUID) bool { return inFile[id] }) {
		return errOtherKeys
	}
	k.ring.AddKeys(keys...)
	for _, d := range keys {
		if !slices.Contains(before, d.KID()) {
			k.log.InfoContext(ctx, "analysis key taken up", logkey.Device, d.KID())
		}
	}
	k.missing = slices.DeleteFunc(before, func(id uuid.UUID) bool { return inFile[id] })
	k.seen = now
	if len(k.missing) > 0 {
		return k.destroy(ctx) // another process with the same file may have taken them out
	}
	return nil
}

// held are the ids of the ring's keys.
func (k *keyKeeper) held() []uuid.UUID {
	members := k.ring.Members()
	ids := make([]uuid.UUID, 0, len(members))
	for _, m := range members {
		ids = append(ids, m.KID)
	}
	return ids
}

// register makes known what this keeper has not registered yet.
func (k *keyKeeper) register(ctx context.Context) error {
	held := k.held()
	if !slices.ContainsFunc(held, func(id uuid.UUID) bool { return !k.registered[id] }) {
		return nil
	}
	if err := registerMembers(ctx, k.tables, k.ring, func(id uuid.UUID) bool { return k.registered[id] }); err != nil {
		return err
	}
	for _, id := range held {
		k.registered[id] = true
	}
	return nil
}

// errOnlyRevoked: removing it would leave nothing to detect with, and says nothing to anybody.
var errOnlyRevoked = errors.New("the only analysis key here is revoked, and no new session can be watched: make another with vigil keys new --rotate")

// destroy ends the retired keys of the ring that nothing needs any more, and the revoked ones that no message waits for.
func (k *keyKeeper) destroy(ctx context.Context) error {
	known, err := k.tables.AnalysisKeys(ctx, k.keep)
	if err != nil {
		return err
	}
	held := k.held()
	for _, key := range known {
		if !slices.Contains(held, key.ID) || key.Needed {
			continue
		}
		end := k.destroyKey
		if key.RetiredAt.IsZero() {
			end = k.destroyRevoked // a live one is needed
		}
		if err := end(ctx, key.ID); err != nil {
			return err
		}
	}
	for _, id := range k.held() {
		if i := slices.Index(k.missing, id); i >= 0 {
			k.missing = slices.Delete(k.missing, i, i+1)
			k.log.ErrorContext(ctx, "analysis key is gone from the file, and still needed: restore it from the backup before this process ends", logkey.Device, id)
		}
	}
	return nil
}

func (k *keyKeeper) destroyKey(ctx context.Context, id uuid.UUID) error {
	gone, err := k.tables.DestroyAnalysisKey(ctx, id, k.keep)
	if err != nil || !gone {
		return err
	}
	return k.remove(ctx, id)
}

func (k *keyKeeper) destroyRevoked(ctx context.Context, id uuid.UUID) error {
	awaited, err := k.tables.AnalysisKeyAwaited(ctx, id)
	if err != nil || awaited {
		return err
	}
	if len(k.held()) == 1 {
		return errOnlyRevoked
	}
	return k.remove(ctx, id)
}

// remove takes a key that the database has given up out of file and ring.
func (k *keyKeeper) remove(ctx context.Context, id uuid.UUID) error {
	err := k.source.Remove(ctx, id)
	if errors.Is(err, envelope.ErrReadOnly) {
		k.ring.Drop(id) // this process has no use for it; the variable is its operator's to change
		k.log.WarnContext(ctx, "analysis key has ended: take it out of VIGIL_ANALYSIS_KEY, and destroy its backups", logkey.Device, id)
		return nil
	}
	if err != nil {
		return fmt.Errorf("the database has given it up: %w", err)
	}
	k.ring.Drop(id)
	k.log.InfoContext(ctx, "analysis key destroyed here: destroy its backups, too", logkey.Device, id)
	return nil
}

// registerMembers makes those of the ring's keys known that are not skipped. Those of revoked devices are left out. The first
// comes last, for the newest is the one that new rosters have. Each is vouched for by the one before it, so that whoever knows
// that is not stopped by the change; a revoked one vouches for nothing.
func registerMembers(ctx context.Context, tables *store.Store, ring *envelope.Ring, skip func(uuid.UUID) bool) error {
	members := ring.Members()
	ids := make([]uuid.UUID, 0, len(members))
	for _, m := range members {
		ids = append(ids, m.KID)
	}
	revoked, err := tables.RevokedDevices(ctx, ids)
	if err != nil {
		return err
	}
	var before uuid.UUID
	for _, m := range slices.Backward(members) {
		if slices.Contains(revoked, m.KID) {
			continue
		}
		if !skip(m.KID) {
			if err := registerMember(ctx, tables, ring, m, before); err != nil {
				return err
			}
		}
		before = m.KID
	}
	return nil
}

// registerMember makes one key known; before is the key that vouches for it, or zero.
func registerMember(ctx context.Context, tables *store.Store, ring *envelope.Ring, m envelope.Member, before uuid.UUID) error {
	enc, sig := envelope.EncodeText(m.EncPub), envelope.EncodeText(m.SigPub)
	if before == uuid.Nil {
		return tables.RegisterAnalysisDevice(ctx, m.KID, enc, sig)
	}
	signature, err := ring.Vouch(m.KID, before)
	if err != nil {
		return err
	}
	return tables.RegisterNextAnalysisDevice(ctx, m.KID, enc, sig, before, signature)
}
