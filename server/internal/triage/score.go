package triage

import (
	"slices"

	"github.com/google/uuid"
)

// Score is what a device found in a message of a strict session, as that device signed it: a row of message_scores. There is no
// text in it, nor where in a text something stands.
type Score struct {
	MessageID, SessionID, OrganizationID uuid.UUID
	DeviceID                             uuid.UUID // whose signature it is
	Side                                 Source    // SourceSender or SourceClinician
	Position                             int64     // of the message
	Epoch                                int32

	After                                        int64 // the position up to which the detector's state was folded
	Level                                        Level
	HarmOthers, Abuse, Distress, Alert, Escalate bool
	Hard, Items, Rules                           []string
	Scores                                       []int32 // risk, harm to others, abuse, distress: millionths
	ModelVersion, RulesetVersion, Signature      string
}

// Unscored is a client's message of a strict session that its sender's device has not scored in time.
type Unscored struct {
	MessageID, SessionID, OrganizationID, DeviceID uuid.UUID
	Position                                       int64
	Epoch                                          int32
}

// scoreUnit is a probability of 1.
const scoreUnit = 1_000_000

// itemNames are what a message can say of an item, as the database writes it.
var itemNames = [...]string{ItemUnknown: "unknown", ItemAbsent: "absent", ItemPresent: "present"}

// Name is i as the database writes it; "" for none that it knows.
func (i Item) Name() string {
	if i < 0 || int(i) >= len(itemNames) {
		return ""
	}
	return itemNames[i]
}

// ItemsOf reads items as the database writes them. What it does not know, of a newer database, is unknown.
func ItemsOf(names []string) (items Items) {
	for i, name := range names {
		if at := slices.Index(itemNames[:], name); at >= 0 && i < len(items) {
			items[i] = Item(at) //nolint:gosec // an index of three
		}
	}
	return items
}

// Assessment is what the score says of its message, for a policy to decide about. That the device's own detector, which knows no
// organisation's policy, would have raised an alert does not count: what an alert is, a policy says, the same as for what the
// sidecar reads itself. What it would have had looked at again is kept.
func (s Score) Assessment() Assessment {
	a := Assessment{
		Level: s.Level, HarmOthers: s.HarmOthers, Abuse: s.Abuse, Distress: s.Distress, Escalate: s.Escalate,
		Items: ItemsOf(s.Items), Hard: CategoriesOf(s.Hard), ModelVersion: s.ModelVersion, RulesetVersion: s.RulesetVersion,
	}
	if len(s.Scores) == len(categoryNames) {
		part := func(i int) float32 { return float32(float64(s.Scores[i]) / scoreUnit) }
		a.Scores = Scores{Risk: part(0), HarmOthers: part(1), Abuse: part(2), Distress: part(3)}
	}
	for _, rule := range s.Rules {
		a.Evidence = append(a.Evidence, Evidence{Rule: rule})
	}
	return a
}
