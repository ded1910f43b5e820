package envelope

import "fmt"

// Roster verifies an epoch without its key and gives its roster: who may have signed what, in an epoch that the ring is kept out of.
// Refusals: ErrSuite, ErrFormat, ErrRoster, ErrSignature, ErrPin. Its devices are pinned as those of an opened epoch are.
func (r *Ring) Roster(row EpochRow) (Roster, error) {
	if row.Suite != Suite {
		return nil, fmt.Errorf("epoch %d of session %s has suite %d: %w", row.Epoch, row.Session, row.Suite, ErrSuite)
	}
	p, err := row.verify()
	if err == nil {
		err = r.pins.check(p.roster)
	}
	if err != nil {
		return nil, fmt.Errorf("verify epoch %d of session %s: %w", row.Epoch, row.Session, err)
	}
	r.pins.add(p.roster)
	return p.roster, nil
}
