package envelope

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/google/uuid"
)

// pins remembers the keys of each device from the first epoch that opened with it, so that a database in which a whole roster
// was replaced under the same device ids is refused. It lives in memory: a restarted sidecar sees for the first time again
// (the participants' devices, which keep theirs on disk, do not). Full, it forgets any device, for a map must be bounded.
type pins struct {
	limit int

	mu   sync.Mutex
	keys map[uuid.UUID][HashBytes]byte
}

func newPins(limit int) *pins {
	return &pins{limit: limit, keys: make(map[uuid.UUID][HashBytes]byte)}
}

// fingerprint is one hash over both keys of a member; each is of fixed length, or the second is absent.
func (m Member) fingerprint() [HashBytes]byte {
	return sha256.Sum256(label("pe1/pin").bytes(m.EncPub).bytes(m.SigPub))
}

// check refuses a member whose keys are other than the pinned ones: ErrPin.
func (p *pins) check(roster Roster) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range roster {
		if seen, ok := p.keys[m.KID]; ok && seen != m.fingerprint() {
			return fmt.Errorf("device %s: %w", m.KID, ErrPin)
		}
	}
	return nil
}

// add pins every member that is not yet pinned.
func (p *pins) add(roster Roster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range roster {
		if _, ok := p.keys[m.KID]; ok {
			continue
		}
		if len(p.keys) >= p.limit {
			for kid := range p.keys {
				delete(p.keys, kid)
				break
			}
		}
		p.keys[m.KID] = m.fingerprint()
	}
}
