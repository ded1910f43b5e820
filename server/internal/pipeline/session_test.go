package pipeline //nolint:testpackage // the bounds of what is remembered are internal

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/triage"
)

func TestSessionsForgetTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	s := newSessions(2)
	one, two, three := uuid.New(), uuid.New(), uuid.New()
	s.put(triage.Progress{SessionID: one, Position: 1})
	s.put(triage.Progress{SessionID: two, Position: 2})
	if _, ok := s.get(one); !ok {
		t.Error("the first is forgotten too early")
	}
	s.put(triage.Progress{SessionID: three, Position: 3})
	if _, ok := s.get(two); ok {
		t.Error("the least recently used is remembered")
	}
	s.put(triage.Progress{SessionID: one, Position: 9})
	if p, ok := s.get(one); !ok || p.Position != 9 || s.len() != 2 {
		t.Errorf("progress %+v, %d remembered", p, s.len())
	}
	s.drop(one)
	s.drop(two)
	if s.len() != 1 {
		t.Errorf("%d remembered, want 1", s.len())
	}
	s.clear()
	if _, ok := s.get(three); ok || s.len() != 0 {
		t.Error("clear forgot nothing")
	}
}

func TestParkingGivesWhatIsDueAndKeepsTheNewestTarget(t *testing.T) {
	t.Parallel()
	k := newParking(2)
	now := time.Now()
	one, two := uuid.New(), uuid.New()
	if !k.add(one, 5, now) || !k.add(two, 1, now.Add(time.Second)) || !k.add(one, 3, now) {
		t.Fatal("could not park two")
	}
	if k.add(uuid.New(), 1, now) {
		t.Error("more are parked than fit")
	}
	s, _ := k.take(now)
	if s == nil || s.session != one || s.target != 5 {
		t.Fatalf("took %+v, want the first with its newest target", s)
	}
	if next, wait := k.take(now); next != nil || wait != time.Second {
		t.Errorf("took %+v, wait %s, want a second", next, wait)
	}
	if !k.raise(one, 8) || s.target != 8 || k.raise(uuid.New(), 1) {
		t.Error("a session that a worker has does not hear of a newer message")
	}
	s.due = now.Add(2 * time.Second)
	k.back(s)
	if first, _ := k.take(now.Add(time.Minute)); first == nil || first.session != two {
		t.Errorf("took %+v, want the one that is due first", first)
	}
	k.remove(s)
	if k.len() != 1 {
		t.Errorf("%d parked, want 1", k.len())
	}
}

func TestReleaseWaitsForAMessageThatCameMeanwhile(t *testing.T) {
	t.Parallel()
	p := New(Config{})
	session := uuid.New()
	p.parking.add(session, 4, time.Now())
	s, _ := p.parking.take(time.Now())
	p.parking.raise(session, 5)
	if p.release(s, &triage.Progress{SessionID: session, Position: 4}) {
		t.Error("released although a message came meanwhile")
	}
	if !p.release(s, &triage.Progress{SessionID: session, Position: 5}) || p.parking.len() != 0 {
		t.Error("not released")
	}
	if known, ok := p.sessions.get(session); !ok || known.Position != 5 {
		t.Errorf("remembered %+v %v", known, ok)
	}
}

func TestPolicyIsNeverReplacedByAnOlderOne(t *testing.T) {
	t.Parallel()
	p := New(Config{})
	organization := uuid.New()
	for _, version := range []int32{1, 3, 2} {
		p.applyPolicies([]policyChange{{op: 2, policy: triage.CrisisPolicy{OrganizationID: organization, Version: version}}})
	}
	if got := p.policy(organization).Version; got != 3 {
		t.Errorf("version %d in force, want 3", got)
	}
	p.applyPolicies([]policyChange{{op: 3, policy: triage.CrisisPolicy{OrganizationID: organization}}})
	if got := p.policy(organization); !reflect.DeepEqual(got, triage.DefaultCrisisPolicy(organization)) {
		t.Errorf("policy %+v after its row was deleted, want the default", got)
	}
}

func TestTimesOfPostgresAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-01-02 03:04:05.678901+00": "2026-01-02T03:04:05.678901Z", "2026-01-02 03:04:05+05:30": "2026-01-01T21:34:05Z", "2026-01-02 03:04:05-08": "2026-01-02T11:04:05Z",
	} {
		at, err := parseTime(text)
		if err != nil || at.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%s reads as %s, error %v", text, at, err)
		}
	}
	if _, err := parseTime("yesterday"); err == nil {
		t.Error("a word was read as a time")
	}
}
