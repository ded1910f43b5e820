package envelope

import (
	"bytes"
	"container/list"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// RingConfig sizes a Ring; zero fields take the defaults.
type RingConfig struct {
	// MaxEpochs is how many opened epochs stay in memory, the least recently used going first. 0 = DefaultMaxEpochs.
	MaxEpochs int
	// MaxPins is how many devices are remembered by their keys. 0 = DefaultMaxPins.
	MaxPins int
}

// The defaults of RingConfig: about 4 MB and 10 MB.
const (
	DefaultMaxEpochs = 4096
	DefaultMaxPins   = 100_000
)

// Ring opens epochs with the analysis keys it holds and keeps the opened ones. Safe for concurrent use.
//
// What makes an opened epoch stale (a consent withdrawn, a device revoked, a session erased) is told by Forget, from the log;
// the ring asks nobody by itself.
type Ring struct {
	config RingConfig
	pins   *pins

	mu      sync.Mutex
	keys    map[uuid.UUID]*Device
	order   []*Device                 // as given: the first is the one for new rosters
	epochs  map[epochID]*list.Element // of *Epoch
	recent  *list.List                // front = most recently used
	opening map[*opening]struct{}     // at most one per caller of Epoch
}

type epochID struct {
	session uuid.UUID
	epoch   uint32
}

// opening is a call of Epoch that is reading rows; stale once Forget named its session.
type opening struct {
	id    epochID
	stale bool
}

// NewRing makes a ring with the given analysis keys; none is allowed, and then every epoch is ErrKey.
func NewRing(c RingConfig, keys ...*Device) *Ring {
	if c.MaxEpochs <= 0 {
		c.MaxEpochs = DefaultMaxEpochs
	}
	if c.MaxPins <= 0 {
		c.MaxPins = DefaultMaxPins
	}
	r := &Ring{
		config: c, pins: newPins(c.MaxPins), epochs: make(map[epochID]*list.Element), recent: list.New(),
		opening: make(map[*opening]struct{}),
	}
	r.SetKeys(keys...)
	return r
}

// SetKeys replaces the keys (rotation). Epochs that were opened with a key now gone stay open until they are forgotten: Drop
// ends them.
func (r *Ring) SetKeys(keys ...*Device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = append([]*Device(nil), keys...)
	r.keys = make(map[uuid.UUID]*Device, len(keys))
	for _, d := range keys {
		r.keys[d.kid] = d
	}
}

// AddKeys puts keys first, in the order given, and keeps those that the ring holds beside them.
func (r *Ring) AddKeys(keys ...*Device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := slices.DeleteFunc(slices.Clone(r.order), func(held *Device) bool {
		return slices.ContainsFunc(keys, func(d *Device) bool { return d.kid == held.kid })
	})
	r.order = append(slices.Clone(keys), kept...)
	for _, d := range keys {
		r.keys[d.kid] = d
	}
}

// Drop forgets a key and ends every epoch that was opened with it: the epochs' keys are wiped, and of the private key no
// reference is kept (Go gives no means to overwrite it). Whoever still holds such an epoch gets ErrKey from it.
func (r *Ring) Drop(kid uuid.UUID) {
	for _, e := range r.drop(kid) {
		e.wipe()
	}
}

func (r *Ring) drop(kid uuid.UUID) (dropped []*Epoch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, kid)
	r.order = slices.DeleteFunc(slices.Clone(r.order), func(d *Device) bool { return d.kid == kid })
	for now := range r.opening {
		now.stale = true // it may be opening with that key
	}
	for id, element := range r.epochs {
		if e, ok := element.Value.(*Epoch); ok && e.opener == kid {
			r.recent.Remove(element)
			delete(r.epochs, id)
			dropped = append(dropped, e)
		}
	}
	return dropped
}

// Vouch signs, with one key of the ring, that another of it is the same operator's: who knows the one takes the other without
// being asked. ErrKey if the ring does not hold both.
func (r *Ring) Vouch(kid, by uuid.UUID) (string, error) {
	r.mu.Lock()
	d, signer := r.keys[kid], r.keys[by]
	r.mu.Unlock()
	if d == nil || signer == nil {
		return "", fmt.Errorf("vouch for analysis key %s as %s: %w", kid, by, ErrKey)
	}
	return SignDevice(signer, DeviceTerms{By: by, KID: kid, Kind: KindAnalysis, EncPub: d.EncPub(), SigPub: d.SigPub()})
}

// Members returns the public halves of the ring's keys in the order given, for private.register_analysis_device and doctor.
func (r *Ring) Members() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	members := make([]Member, 0, len(r.order))
	for _, d := range r.order {
		members = append(members, d.Member(RoleAnalysis))
	}
	return members
}

// ReadEpoch reads an epoch's row, the wraps of the ring's keys, and the consent that it names (nil for none). What it returns
// must come from a snapshot that shows the transaction on whose account it is asked.
type ReadEpoch func(ctx context.Context) (EpochRow, *ConsentRow, error)

// Epoch returns the opened epoch, from memory or by reading and opening it. Errors of read are wrapped as they are; the rest
// are those of Open. If Forget named the session while it read, it reads again, so that a withdrawal is never overtaken.
func (r *Ring) Epoch(ctx context.Context, session uuid.UUID, epoch uint32, read ReadEpoch) (*Epoch, error) {
	for {
		e, now := r.begin(epochID{session, epoch})
		if e != nil {
			return e, nil
		}
		e, err := r.readOpen(ctx, now.id, read)
		if r.end(now, e) {
			return e, err
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read epoch %d of session %s again: %w", epoch, session, err)
		}
	}
}

func (r *Ring) readOpen(ctx context.Context, id epochID, read ReadEpoch) (*Epoch, error) {
	row, consent, err := read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read epoch %d of session %s: %w", id.epoch, id.session, err)
	}
	if row.Session != id.session || row.Epoch != id.epoch {
		return nil, fmt.Errorf("read epoch %d of session %s: another was read: %w", id.epoch, id.session, ErrEpoch)
	}
	return r.Open(row, consent)
}

// Open verifies and opens an epoch with one of the ring's keys and keeps nothing but the pins. Refusals: those of OpenEpoch,
// ErrPin, and ErrKey (temporary) if the ring has no key of the roster. The ring's key must stand on the roster as an analysis
// device with the keys it really has, or ErrRoster: an epoch that hides it under another role would need no consent.
func (r *Ring) Open(row EpochRow, consent *ConsentRow) (*Epoch, error) {
	d, err := r.keyFor(row)
	if err != nil {
		return nil, fmt.Errorf("open epoch %d of session %s: %w", row.Epoch, row.Session, err)
	}
	e, err := openEpoch(row, consent, d, r.pins)
	if err != nil {
		return nil, err
	}
	m, _ := e.Roster.Member(d.kid)
	if m.Role != RoleAnalysis || !bytes.Equal(m.EncPub, d.EncPub()) || !bytes.Equal(m.SigPub, d.SigPub()) {
		return nil, fmt.Errorf("open epoch %d of session %s: analysis device %s: %w", row.Epoch, row.Session, d.kid, ErrRoster)
	}
	r.pins.add(e.Roster)
	return e, nil
}

// keyFor picks the ring's key for an epoch: one that its roster lists. What is wrong with the row is told by openEpoch, in the
// order of its checks, so a row that cannot be read gets any key.
func (r *Ring) keyFor(row EpochRow) (*Device, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.order) == 0 {
		return nil, ErrKey
	}
	roster, err := ParseRoster(row.Roster)
	if err != nil || row.Suite != Suite {
		return r.order[0], nil
	}
	for _, m := range roster {
		if d, ok := r.keys[m.KID]; ok {
			return d, nil
		}
	}
	if _, err := row.verify(); err != nil { // a forged roster is refused for good, not retried
		return nil, err
	}
	if !roster.Watched() {
		return nil, fmt.Errorf("roster without an analysis device: %w", ErrRoster)
	}
	return nil, ErrKey
}

// Forget drops the session's opened epochs, and makes whoever is opening one read it again. Call it for every change of the
// session's consents and devices, before anything committed later is opened.
func (r *Ring) Forget(session uuid.UUID) {
	r.forget(func(id epochID) bool { return id.session == session })
}

// ForgetAll drops every opened epoch: after a truncate, or a restore of the database.
func (r *Ring) ForgetAll() { r.forget(func(epochID) bool { return true }) }

func (r *Ring) forget(match func(epochID) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for now := range r.opening {
		if match(now.id) {
			now.stale = true
		}
	}
	for id, element := range r.epochs {
		if match(id) {
			r.recent.Remove(element)
			delete(r.epochs, id)
		}
	}
}

// Len is how many opened epochs are in memory.
func (r *Ring) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.epochs)
}

// begin returns the opened epoch, or notes that it is being opened; end must follow then.
func (r *Ring) begin(id epochID) (*Epoch, *opening) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if element, ok := r.epochs[id]; ok {
		r.recent.MoveToFront(element)
		e, _ := element.Value.(*Epoch)
		return e, nil
	}
	now := &opening{id: id}
	r.opening[now] = struct{}{}
	return nil, now
}

// end keeps an opened epoch (nil: one that was refused) and reports whether nothing was forgotten meanwhile.
func (r *Ring) end(now *opening, e *Epoch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.opening, now)
	if now.stale {
		return false
	}
	if e == nil {
		return true
	}
	if element, ok := r.epochs[now.id]; ok { // another caller was quicker
		element.Value = e
		r.recent.MoveToFront(element)
		return true
	}
	r.epochs[now.id] = r.recent.PushFront(e)
	for r.recent.Len() > r.config.MaxEpochs {
		oldest := r.recent.Back()
		r.recent.Remove(oldest)
		if gone, ok := oldest.Value.(*Epoch); ok {
			delete(r.epochs, epochID{gone.Session, gone.Number})
		}
	}
	return true
}
