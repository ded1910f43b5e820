package envelope

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// chat is a session of a client, a therapist and the sidecar, made anew for each test.
type chat struct {
	client, therapist, analysis *Device
	session                     uuid.UUID
	roster                      Roster
	consent                     ConsentRow
	epoch                       *Epoch
	row                         EpochRow
}

func setup(t testing.TB) *chat {
	t.Helper()
	c := &chat{client: newTestDevice(t), therapist: newTestDevice(t), analysis: newTestDevice(t), session: uuid.New()}
	c.roster = Roster{c.client.Member(RoleClient), c.therapist.Member(RoleTherapist), c.analysis.Member(RoleAnalysis)}
	var err error
	c.consent, err = SignConsent(c.client, uuid.New(), c.session, "text", ScopeAnalysis)
	must(t, err)
	c.epoch, c.row, err = MakeEpoch(c.client, c.session, 1, c.roster, c.consent.ID)
	must(t, err)
	return c
}

func (c *chat) read(context.Context) (EpochRow, *ConsentRow, error) { return c.row, &c.consent, nil }

func TestRingOpensOnceAndRemembers(t *testing.T) {
	t.Parallel()
	c := setup(t)
	ring := NewRing(RingConfig{}, newTestDevice(t), c.analysis)
	reads := 0
	for range 3 {
		e, err := ring.Epoch(t.Context(), c.session, 1, func(ctx context.Context) (EpochRow, *ConsentRow, error) {
			reads++
			return c.read(ctx)
		})
		must(t, err)
		m, err := c.epoch.Seal(c.therapist, uuid.New(), 0, []byte("hello"))
		must(t, err)
		if plaintext, err := e.Open(m); err != nil || string(plaintext) != "hello" {
			t.Fatalf("opened to %q, %v", plaintext, err)
		}
	}
	if reads != 1 || ring.Len() != 1 {
		t.Errorf("%d reads, %d epochs kept", reads, ring.Len())
	}
	ring.Forget(uuid.New())
	if ring.Len() != 1 {
		t.Error("another session's Forget dropped the epoch")
	}
	ring.Forget(c.session)
	if ring.Len() != 0 {
		t.Error("a forgotten epoch was kept")
	}
}

func TestRingIsBounded(t *testing.T) {
	t.Parallel()
	c := setup(t)
	ring := NewRing(RingConfig{MaxEpochs: 2}, c.analysis)
	open := func(n uint32) {
		_, err := ring.Epoch(t.Context(), c.session, n, func(context.Context) (EpochRow, *ConsentRow, error) {
			_, row, err := MakeEpoch(c.client, c.session, n, c.roster, c.consent.ID)
			return row, &c.consent, err
		})
		must(t, err)
	}
	for _, n := range []uint32{1, 2, 1, 3} { // 2 is the least recently used
		open(n)
	}
	if ring.Len() != 2 {
		t.Fatalf("%d epochs kept", ring.Len())
	}
	_, err := ring.Epoch(t.Context(), c.session, 1, func(context.Context) (EpochRow, *ConsentRow, error) {
		return EpochRow{}, nil, errors.New("read again")
	})
	must(t, err)
	wanted := errors.New("read again")
	_, err = ring.Epoch(t.Context(), c.session, 2, func(context.Context) (EpochRow, *ConsentRow, error) {
		return EpochRow{}, nil, wanted
	})
	if !errors.Is(err, wanted) {
		t.Errorf("epoch 2 was kept: %v", err)
	}
}

// TestWithdrawalIsNotOvertakenByAnOpening withdraws between the read of the rows and their use.
func TestWithdrawalIsNotOvertakenByAnOpening(t *testing.T) {
	t.Parallel()
	c := setup(t)
	ring := NewRing(RingConfig{}, c.analysis)
	reads := 0
	_, err := ring.Epoch(t.Context(), c.session, 1, func(context.Context) (EpochRow, *ConsentRow, error) {
		reads++
		consent := c.consent // what the first snapshot shows
		if reads == 1 {
			c.consent.Withdrawn = true
			ring.Forget(c.session)
		}
		return c.row, &consent, nil
	})
	if Reason(err) != "consent" || reads != 2 {
		t.Errorf("after %d reads: %v", reads, err)
	}
	if ring.Len() != 0 {
		t.Error("a stale epoch was kept")
	}
}

func TestRefusedEpochIsNotKept(t *testing.T) {
	t.Parallel()
	c := setup(t)
	ring := NewRing(RingConfig{}, c.analysis)
	c.consent.Withdrawn = true
	if _, err := ring.Epoch(t.Context(), c.session, 1, c.read); Reason(err) != "consent" {
		t.Errorf("got %v", err)
	}
	c.consent.Withdrawn = false
	if _, err := ring.Epoch(t.Context(), c.session, 1, c.read); err != nil {
		t.Errorf("a refusal was kept: %v", err)
	}
	if _, err := ring.Epoch(t.Context(), c.session, 9, c.read); Reason(err) != "epoch" {
		t.Errorf("another epoch's row was taken: %v", err)
	}
}

func TestRingTellsWhyItHasNoKey(t *testing.T) {
	t.Parallel()
	c := setup(t)
	if _, err := NewRing(RingConfig{}).Open(c.row, &c.consent); Reason(err) != "key" {
		t.Errorf("an empty ring: %v", err)
	}
	if _, err := NewRing(RingConfig{}, newTestDevice(t)).Open(c.row, &c.consent); Reason(err) != "key" {
		t.Errorf("a ring with another key: %v", err)
	}
	_, strict, err := MakeEpoch(c.client, c.session, 2, c.roster[:2], uuid.Nil)
	must(t, err)
	if _, err := NewRing(RingConfig{}, c.analysis).Open(strict, nil); Reason(err) != "roster" {
		t.Errorf("a strict session's epoch: %v", err)
	}
	forged := c.row
	forged.Signature = EncodeText(make([]byte, SignatureBytes))
	if _, err := NewRing(RingConfig{}, newTestDevice(t)).Open(forged, &c.consent); Reason(err) != "signature" {
		t.Errorf("a forged epoch is retried for want of a key: %v", err)
	}
	ring := NewRing(RingConfig{}, newTestDevice(t))
	ring.SetKeys(c.analysis)
	if _, err := ring.Open(c.row, &c.consent); err != nil {
		t.Errorf("after the key was loaded: %v", err)
	}
}

// TestAnalysisKeyUnderAnotherRoleIsRefused: listed as a therapist's, it would be opened without any consent.
func TestAnalysisKeyUnderAnotherRoleIsRefused(t *testing.T) {
	t.Parallel()
	c := setup(t)
	disguised := Roster{c.roster[0], c.roster[1], c.analysis.Member(RoleTherapist)}
	_, row, err := MakeEpoch(c.client, c.session, 2, disguised, uuid.Nil)
	must(t, err)
	if _, err := NewRing(RingConfig{}, c.analysis).Open(row, nil); Reason(err) != "roster" {
		t.Errorf("got %v", err)
	}
	m := c.analysis.Member(RoleAnalysis)
	m.SigPub = newTestDevice(t).SigPub()
	_, row, err = MakeEpoch(c.client, c.session, 2, Roster{c.roster[0], m}, c.consent.ID)
	must(t, err)
	if _, err := NewRing(RingConfig{}, c.analysis).Open(row, &c.consent); Reason(err) != "roster" {
		t.Errorf("with another signing key: %v", err)
	}
}

func TestOnCallDeviceOpensWithAnExtraWrap(t *testing.T) {
	t.Parallel()
	c := setup(t)
	onCall := newTestDevice(t)
	if _, err := OpenEpoch(c.row, &c.consent, onCall); Reason(err) != "wrap" {
		t.Errorf("without a wrap: %v", err)
	}
	sidecar, err := NewRing(RingConfig{}, c.analysis).Open(c.row, &c.consent)
	must(t, err)
	wrap, err := sidecar.Wrap(onCall.Member(RoleOnCall))
	must(t, err)
	c.row.Wraps[onCall.KID()] = EncodeText(wrap)
	e, err := OpenEpoch(c.row, &c.consent, onCall)
	must(t, err)
	m, err := c.epoch.Seal(c.client, uuid.New(), 0, []byte("help"))
	must(t, err)
	if plaintext, err := e.Open(m); err != nil || string(plaintext) != "help" {
		t.Errorf("opened to %q, %v", plaintext, err)
	}
	if _, err := e.Seal(onCall, uuid.New(), 0, nil); Reason(err) != "roster" {
		t.Errorf("a device beside the roster may send: %v", err)
	}
}

func TestPinsAreBounded(t *testing.T) {
	t.Parallel()
	p := newPins(2)
	roster := Roster{newTestDevice(t).Member(RoleClient), newTestDevice(t).Member(RoleClient), newTestDevice(t).Member(RoleClient)}
	p.add(roster)
	if len(p.keys) != 2 {
		t.Errorf("%d pins", len(p.keys))
	}
	must(t, p.check(roster))
}

func TestRingServesManyAtOnce(t *testing.T) {
	t.Parallel()
	c := setup(t)
	ring := NewRing(RingConfig{MaxEpochs: 2}, c.analysis)
	m, err := c.epoch.Seal(c.client, uuid.New(), 0, []byte("hello"))
	must(t, err)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 10 {
				e, err := ring.Epoch(t.Context(), c.session, 1, c.read)
				if err == nil {
					_, err = e.Open(m)
				}
				if err != nil {
					t.Errorf("open: %v", err)
				}
				if i == 0 {
					ring.Forget(c.session)
				}
			}
		})
	}
	wait.Wait()
	ring.ForgetAll()
	if ring.Len() != 0 {
		t.Error("ForgetAll kept epochs")
	}
}

func TestReadingAgainEndsWithTheContext(t *testing.T) {
	t.Parallel()
	c := setup(t)
	ring := NewRing(RingConfig{}, c.analysis)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := ring.Epoch(ctx, c.session, 1, func(ctx context.Context) (EpochRow, *ConsentRow, error) {
		ring.Forget(c.session)
		cancel()
		return c.read(ctx)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestContent(t *testing.T) {
	t.Parallel()
	at := time.Unix(1790000000, 0).UTC()
	plaintext, err := Text("grüße \"🌙\" <b>", at)
	must(t, err)
	c, err := ParseContent(plaintext)
	must(t, err)
	if c != (Content{Kind: KindText, Body: "grüße \"🌙\" <b>", At: at}) {
		t.Errorf("came back as %+v", c)
	}
	for name, text := range map[string]string{"no JSON": "hi", "no kind": `{"body":"x"}`, "more": `{"t":"text"}{}`, "a number": `{"t":1}`} {
		if _, err := ParseContent([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	Wipe(plaintext)
	for _, b := range plaintext {
		if b != 0 {
			t.Fatal("not wiped")
		}
	}
}

func TestSealRefusesWhatCouldNotBeOpened(t *testing.T) {
	t.Parallel()
	c := setup(t)
	m, err := c.epoch.Seal(c.client, uuid.New(), 0, make([]byte, MaxBodyBytes-BodyOverhead))
	must(t, err)
	if _, err := c.epoch.Open(m); err != nil {
		t.Errorf("the largest message: %v", err)
	}
	if _, err := c.epoch.Seal(c.client, uuid.New(), 0, make([]byte, MaxBodyBytes-BodyOverhead+1)); Reason(err) != "format" {
		t.Errorf("a larger one: %v", err)
	}
	if _, err := c.epoch.Seal(c.analysis, uuid.New(), 0, nil); Reason(err) != "roster" {
		t.Errorf("the analysis device speaks: %v", err)
	}
	if _, _, err := MakeEpoch(c.analysis, c.session, 3, c.roster, c.consent.ID); Reason(err) != "roster" {
		t.Errorf("the analysis device makes an epoch: %v", err)
	}
}
