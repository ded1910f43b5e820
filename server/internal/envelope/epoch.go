package envelope

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/google/uuid"
)

// The suites that session_epochs.suite names. Only Suite is opened; suite 1 signed no consent id and exists in one old vector.
const (
	Suite    = 2
	suiteOld = 1
)

// EpochRow is a row of session_epochs with its rows of epoch_wraps, as they stand in SQL: text is base64url without padding.
type EpochRow struct {
	Session    uuid.UUID
	Epoch      uint32
	By         uuid.UUID // device_id: who made it
	Roster     json.RawMessage
	RosterHash string
	Commit     string    // key_commit
	Consent    uuid.UUID // uuid.Nil for none
	Signature  string
	Suite      int
	Wraps      map[uuid.UUID]string // by device; the reader's own suffices
}

// parsedEpoch is an EpochRow whose text was decoded.
type parsedEpoch struct {
	roster    Roster
	hash      []byte
	commit    []byte
	signature []byte
}

func (row EpochRow) parse() (parsedEpoch, error) {
	var p parsedEpoch
	var err error
	if p.roster, err = ParseRoster(row.Roster); err != nil {
		return p, err
	}
	if p.hash, err = decodeSized("roster_hash", row.RosterHash, HashBytes); err != nil {
		return p, err
	}
	if p.commit, err = decodeSized("key_commit", row.Commit, HashBytes); err != nil {
		return p, err
	}
	p.signature, err = decodeSized("signature", row.Signature, SignatureBytes)
	return p, err
}

// signed is what an epoch's signature covers.
func (row EpochRow) signed(hash, commit []byte) input {
	in := label("pe1/epoch").id(row.Session).number(row.Epoch).id(row.By).bytes(hash).bytes(commit)
	if row.Suite == suiteOld {
		return in
	}
	return in.id(row.Consent)
}

// Epoch is an epoch that was verified and opened, or made here. Safe for concurrent use.
type Epoch struct {
	Session uuid.UUID
	Number  uint32
	By      uuid.UUID
	Roster  Roster
	Consent uuid.UUID // uuid.Nil for none

	opener uuid.UUID // the device it was opened as

	mu      sync.Mutex
	key     [KeyBytes]byte
	wiped   bool
	senders map[uuid.UUID]*sender // at most one per member of the roster
}

// wipe ends the epoch: whoever still holds it gets ErrKey. Ciphers that are in use this moment finish what they do.
func (e *Epoch) wipe() {
	e.mu.Lock()
	defer e.mu.Unlock()
	Wipe(e.key[:])
	clear(e.senders)
	e.wiped = true
}

// copyKey returns a copy of the epoch's key, which the caller wipes.
func (e *Epoch) copyKey() ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wiped {
		return nil, ErrKey
	}
	return append([]byte(nil), e.key[:]...), nil
}

// String names the epoch, so that one printed by mistake shows no key.
func (e *Epoch) String() string { return fmt.Sprintf("epoch %d of session %s", e.Number, e.Session) }

// GoString is String: %#v shows no key either.
func (e *Epoch) GoString() string { return e.String() }

// wrapInfo binds a wrap to its session, epoch, device and roster.
func wrapInfo(session uuid.UUID, epoch uint32, kid uuid.UUID, hash []byte) input {
	return label("pe1/epoch-wrap").id(session).number(epoch).id(kid).bytes(hash)
}

// commitment is what an epoch's maker signs of its key.
func commitment(key []byte, session uuid.UUID, epoch uint32) ([]byte, error) {
	return hkdf.Key(sha256.New, key, session[:], string(label("pe1/commit").number(epoch)), HashBytes)
}

// Wrap wraps the epoch's key for a device, on the roster or (RoleOnCall) beside it: 113 bytes. ErrFormat for a key off the
// curve, ErrKey once the epoch's key was dropped (Ring.Drop).
func (e *Epoch) Wrap(m Member) ([]byte, error) {
	public, err := hpke.DHKEM(p256).NewPublicKey(m.EncPub)
	if err != nil {
		return nil, fmt.Errorf("wrap %s for device %s: %w", e, m.KID, ErrFormat)
	}
	key, err := e.copyKey()
	if err != nil {
		return nil, fmt.Errorf("wrap %s for device %s: %w", e, m.KID, err)
	}
	defer Wipe(key)
	hash := e.Roster.Hash()
	info := wrapInfo(e.Session, e.Number, m.KID, hash[:])
	wrap, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), info, key)
	if err != nil {
		return nil, fmt.Errorf("wrap %s for device %s: %w", e, m.KID, err)
	}
	return wrap, nil
}

// unwrap opens a device's own wrap; else ErrWrap.
func (d *Device) unwrap(row EpochRow, hash []byte) ([]byte, error) {
	text, ok := row.Wraps[d.kid]
	if !ok {
		return nil, fmt.Errorf("no wrap for device %s: %w", d.kid, ErrWrap)
	}
	wrap, err := decodeSized("wrap", text, WrapBytes)
	if err != nil {
		return nil, fmt.Errorf("wrap for device %s cannot be read: %w", d.kid, ErrWrap)
	}
	info := wrapInfo(row.Session, row.Epoch, d.kid, hash)
	key, err := hpke.Open(d.hpke, hpke.HKDFSHA256(), hpke.AES256GCM(), info, wrap)
	if err != nil || len(key) != KeyBytes {
		return nil, fmt.Errorf("wrap for device %s: %w", d.kid, ErrWrap)
	}
	return key, nil
}

// OpenEpoch verifies an epoch and unwraps its key for one device. consent is the row that row.Consent names, nil for none.
// The refusals, in the order of the checks: ErrSuite, ErrFormat, ErrRoster, ErrSignature, ErrConsent, ErrWrap, ErrCommitment.
// Pins are the caller's (Ring has them).
func OpenEpoch(row EpochRow, consent *ConsentRow, d *Device) (*Epoch, error) {
	return openEpoch(row, consent, d, nil)
}

func openEpoch(row EpochRow, consent *ConsentRow, d *Device, pins *pins) (*Epoch, error) {
	if row.Suite != Suite {
		return nil, fmt.Errorf("epoch %d of session %s has suite %d: %w", row.Epoch, row.Session, row.Suite, ErrSuite)
	}
	p, err := row.verify()
	if err == nil && pins != nil {
		err = pins.check(p.roster)
	}
	if err == nil && p.roster.Watched() {
		err = row.checkConsent(p.roster, consent)
	}
	if err != nil {
		return nil, fmt.Errorf("verify epoch %d of session %s: %w", row.Epoch, row.Session, err)
	}
	return row.unwrap(p, d)
}

// verify checks the row itself: its roster, its maker and its signature, for either suite.
func (row EpochRow) verify() (parsedEpoch, error) {
	p, err := row.parse()
	if err != nil {
		return p, err
	}
	if hash := p.roster.Hash(); subtle.ConstantTimeCompare(hash[:], p.hash) != 1 {
		return p, fmt.Errorf("roster hash: %w", ErrRoster)
	}
	maker, ok := p.roster.Member(row.By)
	if !ok || !maker.Role.participant() {
		return p, fmt.Errorf("maker %s is no participant's device on the roster: %w", row.By, ErrRoster)
	}
	if !verify(maker.SigPub, row.signed(p.hash, p.commit), p.signature) {
		return p, ErrSignature
	}
	return p, nil
}

// checkConsent demands the consent that the epoch names, for its session, covering analysis.
func (row EpochRow) checkConsent(roster Roster, consent *ConsentRow) error {
	switch {
	case row.Consent == uuid.Nil || consent == nil:
		return fmt.Errorf("the roster holds an analysis key: %w", ErrConsent)
	case consent.ID != row.Consent || consent.Session != row.Session:
		return fmt.Errorf("consent %s is not the epoch's: %w", consent.ID, ErrConsent)
	case !consent.Covers(ScopeAnalysis):
		return fmt.Errorf("consent %s does not cover analysis: %w", consent.ID, ErrConsent)
	}
	return consent.Verify(roster)
}

// unwrap opens the key of a verified row and holds it against the commitment.
func (row EpochRow) unwrap(p parsedEpoch, d *Device) (*Epoch, error) {
	key, err := d.unwrap(row, p.hash)
	if err != nil {
		return nil, fmt.Errorf("open epoch %d of session %s: %w", row.Epoch, row.Session, err)
	}
	defer Wipe(key)
	commit, err := commitment(key, row.Session, row.Epoch)
	if err != nil {
		return nil, fmt.Errorf("derive commitment of epoch %d of session %s: %w", row.Epoch, row.Session, err)
	}
	if subtle.ConstantTimeCompare(commit, p.commit) != 1 {
		return nil, fmt.Errorf("epoch %d of session %s: %w", row.Epoch, row.Session, ErrCommitment)
	}
	e := newEpoch(row, p.roster, key)
	e.opener = d.kid
	return e, nil
}

func newEpoch(row EpochRow, roster Roster, key []byte) *Epoch {
	e := &Epoch{
		Session: row.Session, Number: row.Epoch, By: row.By, Roster: roster, Consent: row.Consent,
		senders: make(map[uuid.UUID]*sender),
	}
	copy(e.key[:], key)
	return e
}

// MakeEpoch makes a new key for the roster, with a wrap for each of its devices, signed by d, which stands on it. consent is
// the id of the consent that lets an analysis key be there, uuid.Nil for none. For tests, load generators and replay: the
// sidecar itself never makes an epoch.
func MakeEpoch(d *Device, session uuid.UUID, number uint32, roster Roster, consent uuid.UUID) (*Epoch, EpochRow, error) {
	row := EpochRow{Session: session, Epoch: number, By: d.kid, Consent: consent, Suite: Suite}
	key := make([]byte, KeyBytes)
	defer Wipe(key)
	if _, err := rand.Read(key); err != nil {
		return nil, row, fmt.Errorf("make epoch %d of session %s: %w", number, session, err)
	}
	return makeEpoch(d, row, roster, key)
}

func makeEpoch(d *Device, row EpochRow, roster Roster, key []byte) (*Epoch, EpochRow, error) {
	attempt := fmt.Sprintf("make epoch %d of session %s", row.Epoch, row.Session)
	maker, ok := roster.Member(d.kid)
	if !ok || !maker.Role.participant() {
		return nil, row, fmt.Errorf("%s: maker is no participant's device on the roster: %w", attempt, ErrRoster)
	}
	commit, err := commitment(key, row.Session, row.Epoch)
	if err != nil {
		return nil, row, fmt.Errorf("%s: %w", attempt, err)
	}
	hash := roster.Hash()
	signature, err := d.sign(row.signed(hash[:], commit))
	if err != nil {
		return nil, row, fmt.Errorf("%s: %w", attempt, err)
	}
	if row.Roster, err = json.Marshal(roster); err != nil {
		return nil, row, fmt.Errorf("%s: %w", attempt, err)
	}
	e := newEpoch(row, roster, key)
	row.RosterHash, row.Commit, row.Signature = EncodeText(hash[:]), EncodeText(commit), EncodeText(signature)
	row.Wraps = make(map[uuid.UUID]string, len(roster))
	for _, m := range roster {
		wrap, err := e.Wrap(m)
		if err != nil {
			return nil, row, err
		}
		row.Wraps[m.KID] = EncodeText(wrap)
	}
	return e, row, nil
}

// aead is the message cipher of one sender: nonce ‖ ciphertext ‖ tag, as FIPS mode demands it. Under e.mu.
func (e *Epoch) aead(kid uuid.UUID) (cipher.AEAD, error) {
	info := label("pe1/msg").number(e.Number).id(kid)
	key, err := hkdf.Key(sha256.New, e.key[:], e.Session[:], string(info), KeyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive message key: %w", err)
	}
	defer Wipe(key)
	return newGCM(key)
}
