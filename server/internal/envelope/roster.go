package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// Role is what a device is in a roster; epoch_wraps.role has the same numbers.
type Role uint8

// The roles. A device of RoleOnCall holds an extra wrap and stands on no roster. RoleRecovery is a person's recovery key: it
// stands on every roster, so that no epoch is lost with the last device, and it neither makes epochs nor sends nor consents.
// RoleAnalysis is the sidecar.
const (
	RoleClient    Role = 1
	RoleTherapist Role = 2
	RoleOnCall    Role = 3
	RoleRecovery  Role = 4
	RoleAnalysis  Role = 9
)

// participant reports whether the role may make epochs and send messages.
func (r Role) participant() bool { return r == RoleClient || r == RoleTherapist }

func (r Role) known() bool {
	return r.participant() || r == RoleOnCall || r == RoleRecovery || r == RoleAnalysis
}

// MaxRosterMembers bounds a roster: a therapy session has a few people with a few devices each.
const MaxRosterMembers = 64

// Member is one device of a roster. SigPub is empty only for an analysis device of the first test vector.
type Member struct {
	KID    uuid.UUID
	Role   Role
	EncPub []byte
	SigPub []byte
}

// Roster is the list of devices that hold an epoch's key. Its order means nothing.
type Roster []Member

type memberJSON struct {
	KID    string `json:"kid"`
	Role   int    `json:"role"`
	EncPub string `json:"enc_pub"`
	SigPub string `json:"sig_pub"`
}

// ParseRoster reads session_epochs.roster: [{"kid","role","enc_pub","sig_pub"}]. Every key is a point on the curve, every kid
// stands once, every role is known; else ErrFormat.
func ParseRoster(data []byte) (Roster, error) {
	var list []memberJSON
	if err := decodeJSON("roster", data, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 || len(list) > MaxRosterMembers {
		return nil, fmt.Errorf("roster of %d members: %w", len(list), ErrFormat)
	}
	roster := make(Roster, 0, len(list))
	for i, m := range list {
		member, err := m.member()
		if err != nil {
			return nil, fmt.Errorf("member %d of the roster: %w", i, err)
		}
		if _, twice := roster.Member(member.KID); twice {
			return nil, fmt.Errorf("member %d of the roster is there twice: %w", i, ErrFormat)
		}
		roster = append(roster, member)
	}
	return roster, nil
}

func (m memberJSON) member() (Member, error) {
	kid, err := parseUUID("kid", m.KID)
	if err != nil {
		return Member{}, err
	}
	if m.Role < 0 || m.Role > 255 || !Role(m.Role).known() { // 255: before the conversion wraps around
		return Member{}, fmt.Errorf("role %d: %w", m.Role, ErrFormat)
	}
	member := Member{KID: kid, Role: Role(m.Role)}
	if member.EncPub, err = decodeSized("enc_pub", m.EncPub, PointBytes); err != nil {
		return Member{}, err
	}
	if err := checkPoint("enc_pub", member.EncPub); err != nil {
		return Member{}, err
	}
	if m.SigPub == "" && member.Role == RoleAnalysis {
		return member, nil
	}
	if member.SigPub, err = decodeSized("sig_pub", m.SigPub, PointBytes); err != nil {
		return Member{}, err
	}
	return member, checkPoint("sig_pub", member.SigPub)
}

// MarshalJSON writes the roster as session_epochs.roster holds it.
func (r Roster) MarshalJSON() ([]byte, error) {
	list := make([]memberJSON, 0, len(r))
	for _, m := range r {
		list = append(list, memberJSON{
			KID: m.KID.String(), Role: int(m.Role), EncPub: EncodeText(m.EncPub), SigPub: EncodeText(m.SigPub),
		})
	}
	return json.Marshal(list)
}

// Member returns the member with that kid.
func (r Roster) Member(kid uuid.UUID) (Member, bool) {
	for _, m := range r {
		if m.KID == kid {
			return m, true
		}
	}
	return Member{}, false
}

// Watched reports whether the roster holds an analysis key.
func (r Roster) Watched() bool {
	return slices.ContainsFunc(r, func(m Member) bool { return m.Role == RoleAnalysis })
}

// Hash is rosterHash: SHA-256 over the label and, by rising kid, kid ‖ role ‖ SHA-256(enc_pub) ‖ SHA-256(sig_pub).
func (r Roster) Hash() [HashBytes]byte {
	sorted := slices.Clone(r)
	slices.SortFunc(sorted, func(a, b Member) int { return bytes.Compare(a.KID[:], b.KID[:]) })
	in := label("pe1/roster")
	for _, m := range sorted {
		enc, sig := sha256.Sum256(m.EncPub), sha256.Sum256(m.SigPub)
		in = append(in.id(m.KID), byte(m.Role))
		in = in.bytes(enc[:]).bytes(sig[:])
	}
	return sha256.Sum256(in)
}
