package store_test

import (
	"fmt"
	"testing"
	"time"
	"vigil/server/internal/triage"
)

func TestTmpBench(t *testing.T) {
	b := setup(t)
	s := b.Session(t)
	var os []triage.Outcome
	for j := 0; j < 640; j++ {
		os = append(os, b.outcome(s.Send(t, fmt.Sprint(j)), 0))
	}
	var from int64
	for i := 0; i < 640; i += 32 {
		a := b.advance(from, os[i:i+32]...)
		begin := time.Now()
		if _, err := b.store.Record(t.Context(), []triage.Advance{a}); err != nil {
			t.Fatal(err)
		}
		if i%128 == 0 {
			t.Log("record 32:", time.Since(begin))
		}
		from = a.To
	}
	begin := time.Now()
	for i := 0; i < 50; i++ {
		b.Vigil.Exec(t.Context(), "select 1")
	}
	t.Log("select 1:", time.Since(begin)/50)
}
