package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/triage"
)

func TestAnalysisKeysComeAndGo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.Analysis.KID()
	keys, err := b.store.AnalysisKeys(t.Context(), time.Hour)
	if err != nil || len(keys) != 1 || keys[0].ID != old || !keys[0].Live() || !keys[0].Needed || keys[0].CreatedAt.IsZero() ||
		keys[0].SigPub != envelope.EncodeText(b.Analysis.SigPub()) {
		t.Fatalf("%+v, %v", keys, err)
	}
	if err := b.store.RetireAnalysisKey(t.Context(), old); !triage.IsPermanent(err) {
		t.Errorf("the only key was retired: %v", err)
	}
	for name, id := range map[string]uuid.UUID{"unknown": uuid.New(), "a participant's": b.Therapist.Device.KID()} {
		if err := b.store.RetireAnalysisKey(t.Context(), id); err == nil {
			t.Errorf("a key that is %s was retired", name)
		}
		if gone, err := b.store.DestroyAnalysisKey(t.Context(), id, time.Hour); err == nil || gone {
			t.Errorf("a key that is %s was destroyed: %v", name, err)
		}
	}
	newer, err := envelope.NewDevice(uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.store.RegisterAnalysisDevice(t.Context(), newer.KID(), envelope.EncodeText(newer.EncPub()), envelope.EncodeText(newer.SigPub())); err != nil {
		t.Fatal(err)
	}
	if gone, err := b.store.DestroyAnalysisKey(t.Context(), old, time.Hour); err != nil || gone {
		t.Errorf("a live key was destroyed: %v", err)
	}
	if err := b.store.RetireAnalysisKey(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it was gone before
		if gone, err := b.store.DestroyAnalysisKey(t.Context(), old, time.Hour); err != nil || !gone {
			t.Errorf("a retired key that nothing needs was kept: %v", err)
		}
	}
	keys, err = b.store.AnalysisKeys(t.Context(), time.Hour)
	if err != nil || len(keys) != 2 || keys[0].ID != newer.KID() || keys[1].Live() || keys[1].Needed || keys[1].RetiredAt.IsZero() || keys[1].RevokedAt.IsZero() {
		t.Errorf("%+v, %v", keys, err)
	}
}
