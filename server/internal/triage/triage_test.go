package triage_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/triage"
)

func TestPolicyDecidesWhoIsPagedAndWhoIsReviewed(t *testing.T) {
	t.Parallel()
	standard := triage.DefaultCrisisPolicy(uuid.New())
	strict, everything := standard, standard
	strict.PageAtLevel, strict.Version = 2, 7
	everything.PageAtLevel, everything.ReviewAtLevel = 0, 0
	for name, c := range map[string]struct {
		policy          triage.CrisisPolicy
		found           triage.Assessment
		alert, escalate bool
	}{
		"nothing found tells nobody":                       {standard, triage.Assessment{}, false, false},
		"a wish to be dead is reviewed":                    {standard, triage.Assessment{Level: 1}, false, true},
		"a method is reviewed":                             {standard, triage.Assessment{Level: 3}, false, true},
		"intent pages":                                     {standard, triage.Assessment{Level: 4}, true, true},
		"behaviour pages":                                  {standard, triage.Assessment{Level: 6}, true, true},
		"a stricter policy pages earlier":                  {strict, triage.Assessment{Level: 2}, true, true},
		"a threat to somebody else pages":                  {standard, triage.Assessment{HarmOthers: true, Scores: triage.Scores{HarmOthers: .99}}, true, true},
		"one that is said outright does":                   {standard, triage.Assessment{HarmOthers: true, Hard: triage.HarmOthers}, true, true},
		"one that is likely is reviewed":                   {standard, triage.Assessment{HarmOthers: true, Scores: triage.Scores{HarmOthers: .95}}, false, true},
		"abuse is reviewed":                                {standard, triage.Assessment{Abuse: true}, false, true},
		"distress is reviewed":                             {standard, triage.Assessment{Distress: true}, false, true},
		"a policy of zero does not page for ordinary talk": {everything, triage.Assessment{}, false, false},
		"what the detector raised is not lowered":          {standard, triage.Assessment{Level: 2, Alert: true}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := c.policy.Decide(c.found)
			if got.Alert != c.alert || got.Escalate != c.escalate {
				t.Errorf("alert %v escalate %v, want %v %v", got.Alert, got.Escalate, c.alert, c.escalate)
			}
			if got.PolicyVersion != c.policy.Version {
				t.Errorf("policy version %d, want %d", got.PolicyVersion, c.policy.Version)
			}
			if got.Level != c.found.Level {
				t.Errorf("level %d, want %d: a policy never changes it", got.Level, c.found.Level)
			}
		})
	}
}

func TestMessageNobodyAssessedAlwaysRaisesAnAlert(t *testing.T) {
	t.Parallel()
	message := triage.Message{ID: uuid.New(), SessionID: uuid.New(), OrganizationID: uuid.New()}
	alert, raised := triage.Outcome{Message: message, Reason: triage.ReasonContent}.Alert()
	if !raised || alert.Source != triage.SourceNotAssessed {
		t.Errorf("raised %v source %q, want an alert from %q", raised, alert.Source, triage.SourceNotAssessed)
	}
	if alert.MessageID != message.ID || alert.SessionID != message.SessionID || alert.OrganizationID != message.OrganizationID {
		t.Errorf("alert names %v, want the ids of the message", alert)
	}
	if _, raised := (triage.Outcome{Message: message}).Alert(); raised {
		t.Error("an assessment below the policy raised an alert")
	}
	found := triage.Outcome{Message: message, Assessment: triage.Assessment{Level: 5, Alert: true, RulesetVersion: "r"}}
	if alert, raised := found.Alert(); !raised || alert.Source != triage.SourceSidecar || alert.Level != 5 || alert.RulesetVersion != "r" {
		t.Errorf("alert %+v raised %v, want level 5 of the sidecar", alert, raised)
	}
}

func TestPermanentIsToldApartHoweverDeepItIsWrapped(t *testing.T) {
	t.Parallel()
	cause := errors.New("signature refused")
	err := fmt.Errorf("open envelope: %w", triage.PermanentFor(triage.ReasonContent, cause))
	if !triage.IsPermanent(err) || !errors.Is(err, cause) || triage.ReasonOf(err) != triage.ReasonContent {
		t.Errorf("permanent %v, cause kept %v, reason %q", triage.IsPermanent(err), errors.Is(err, cause), triage.ReasonOf(err))
	}
	if triage.ReasonOf(triage.Permanent(cause)) != triage.ReasonUnopenable {
		t.Errorf("reason %q of a permanent error without one", triage.ReasonOf(triage.Permanent(cause)))
	}
	if triage.IsPermanent(cause) || triage.ReasonOf(cause) != triage.ReasonGaveUp {
		t.Error("an unmarked error counts as permanent")
	}
	if triage.Permanent(nil) != nil || triage.IsPermanent(nil) {
		t.Error("nil became an error")
	}
}

func TestUnavailableIsNotHeldAgainstAMessage(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection refused")
	err := fmt.Errorf("read epoch: %w", triage.Unavailable(cause))
	if !triage.IsUnavailable(err) || !errors.Is(err, cause) || triage.IsPermanent(err) {
		t.Errorf("unavailable %v, cause kept %v, permanent %v", triage.IsUnavailable(err), errors.Is(err, cause), triage.IsPermanent(err))
	}
	if triage.IsUnavailable(cause) || triage.Unavailable(nil) != nil {
		t.Error("an unmarked error, or nil, counts as unavailable")
	}
}
