package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"vigil/server/internal/bus"
)

func TestReadPagesThroughATopic(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	var mine []uint64
	for i := range 1200 { // more than two requests' worth of the topic, among others
		topic := "session:a"
		if i%2 == 1 {
			topic = "session:b"
		}
		p, err := b.Topics().Append(t.Context(), topic, b.Topics().Next(), fmt.Appendf(nil, "%d", i))
		if err != nil {
			t.Fatal(err)
		}
		if topic == "session:a" {
			mine = append(mine, p.Seq())
		}
		if i == 1199 {
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		after uint64
		limit int
		want  []uint64
	}{
		"all":                {0, 5000, mine},
		"the first ten":      {0, 10, mine[:10]},
		"after the third":    {mine[2], 2, mine[3:5]},
		"after the last":     {mine[599], 10, nil},
		"from past the end":  {999_999, 10, nil},
		"one more than half": {mine[299], 513, mine[300:600]},
		"none wanted":        {0, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.Topics().Read(t.Context(), "session:a", c.after, c.limit)
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("%d entries, want %d: %v", len(got), len(c.want), err)
			}
			for i, e := range got {
				if e.Seq != c.want[i] || e.Topic != "session:a" || string(e.Data) != fmt.Sprint(2*((e.Seq-1)/2)) || e.At.IsZero() {
					t.Fatalf("entry %d: %+v", i, e)
				}
			}
		})
	}
	if got, err := b.Topics().Read(t.Context(), "session:none", 0, 10); len(got) != 0 || err != nil {
		t.Fatalf("a topic without entries: %v %v", got, err)
	}
}

func TestSinceReadsByTime(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	start := time.Now().Add(-time.Second)
	first := put(t, b, "session:a", "1")
	put(t, b, "session:b", "2")
	third := put(t, b, "session:a", "3")
	entry, _, err := b.Topics().LastOf(t.Context(), "session:a")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		since time.Time
		want  []uint64
	}{
		"from before all":  {start, []uint64{first, third}},
		"from the last on": {entry.At, []uint64{third}},
		"from after all":   {entry.At.Add(time.Hour), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.Topics().Since(t.Context(), "session:a", c.since, 10)
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("%v %v", got, err)
			}
			for i, e := range got {
				if e.Seq != c.want[i] {
					t.Fatalf("%v", got)
				}
			}
		})
	}
}

func TestLastOfATopic(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	if _, ok, err := b.Topics().LastOf(t.Context(), "session:a"); ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, ok, err := b.Topics().LastEntry(t.Context()); ok || err != nil {
		t.Fatal(ok, err)
	}
	want := put(t, b, "session:a", "1")
	last := put(t, b, "session:b", "2")
	if e, ok, err := b.Topics().LastOf(t.Context(), "session:a"); !ok || e.Seq != want || string(e.Data) != "1" || err != nil {
		t.Fatal(e, ok, err)
	}
	if e, ok, err := b.Topics().LastEntry(t.Context()); !ok || e.Seq != last || e.Topic != "session:b" || err != nil {
		t.Fatal(e, ok, err)
	}
}

func TestAppendToTopicsWantsTheNextSequence(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	if _, err := b.Topics().Append(t.Context(), "a", 7, nil); !errors.Is(err, bus.ErrConflict) {
		t.Fatal(err)
	}
	if seq := put(t, b, "a", "1"); seq != 1 {
		t.Fatal(seq)
	}
}

// TestFollowGoesOnInOrderAcrossARestart: from where it was, nothing twice, nothing missed.
func TestFollowGoesOnInOrderAcrossARestart(t *testing.T) {
	t.Parallel()
	c := config(t)
	b := open(t, c)
	next := uint64(1)
	follow := func(b *bus.Bus, until uint64) {
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		err := b.Topics().Follow(ctx, next, func(_ context.Context, e bus.TopicEntry) error {
			if e.Seq != next || string(e.Data) != fmt.Sprint(e.Seq) {
				return fmt.Errorf("saw %d %q, want %d", e.Seq, e.Data, next)
			}
			if next++; next > until {
				stop()
			}
			return nil
		})
		if err != nil || next != until+1 {
			t.Fatalf("next %d: %v", next, err)
		}
	}
	for i := range 500 {
		put(t, b, fmt.Sprintf("session:%d", i%7), fmt.Sprint(i+1))
	}
	follow(b, 300)
	shut(t, b)
	b = open(t, c)
	for i := 500; i < 600; i++ {
		put(t, b, fmt.Sprintf("session:%d", i%7), fmt.Sprint(i+1))
	}
	follow(b, 600)
}

func TestResetMakesAnEpochAndSequencesRise(t *testing.T) {
	t.Parallel()
	c := config(t)
	b := open(t, c)
	before := put(t, b, "session:a", "1")
	epoch := b.Topics().Epoch()
	if err := b.Topics().Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	made := b.Topics().Epoch()
	if made == epoch || made == "" {
		t.Fatalf("epoch %q after %q", made, epoch)
	}
	if _, ok, err := b.Topics().LastEntry(t.Context()); ok || err != nil {
		t.Fatal(ok, err)
	}
	if seq := put(t, b, "session:a", "2"); seq <= before {
		t.Fatalf("sequence %d after %d", seq, before)
	}
	shut(t, b)
	b = open(t, c)
	if b.Topics().Epoch() != made {
		t.Fatal("the epoch was not kept")
	}
}

// TestTheJanitorKeepsEachTopicsLastEntry however old it is.
func TestTheJanitorKeepsEachTopicsLastEntry(t *testing.T) {
	t.Parallel()
	b := open(t, config(t))
	var lastA, lastB uint64
	for i := range 10 {
		lastA = put(t, b, "session:a", fmt.Sprint(i))
		lastB = put(t, b, "session:b", fmt.Sprint(i))
	}
	only := put(t, b, "session:c", "only")
	if err := b.Topics().Sweep(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if s, err := b.Stats(t.Context()); err != nil || s.Topics.Entries != 21 {
		t.Fatalf("young entries went: %+v %v", s.Topics, err)
	}
	if err := b.Topics().Sweep(t.Context(), time.Now().Add(100*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]uint64{"session:a": lastA, "session:b": lastB, "session:c": only} {
		got, err := b.Topics().Read(t.Context(), topic, 0, 100)
		if err != nil || len(got) != 1 || got[0].Seq != want {
			t.Fatalf("%s: %v %v", topic, got, err)
		}
	}
}

// TestTheJanitorMakesRoom: nearly full, the older half goes before its time.
func TestTheJanitorMakesRoom(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.TopicsMaxBytes = 200 << 10
	b := open(t, c)
	text := string(make([]byte, 9<<10))
	for range 19 {
		put(t, b, "session:a", text)
	}
	if err := b.Topics().Sweep(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	got, err := b.Topics().Read(t.Context(), "session:a", 0, 100)
	if err != nil || len(got) != 10 || got[9].Seq != 19 {
		t.Fatalf("%d entries left: %v", len(got), err)
	}
}

func TestTopicsStandInSubjectsReversibly(t *testing.T) {
	t.Parallel()
	for topic, token := range map[string]string{
		"session:0b8f": "session:0b8f", "": "=", "a.b": "a=2Eb", "*": "=2A", ">": "=3E", "=": "=3D", "$x": "=24x", "a b\n": "a=20b=0A", "é": "=C3=A9",
	} {
		if got := bus.EncodeTopic(topic); got != token {
			t.Errorf("%q becomes %q, want %q", topic, got, token)
		}
		if got, err := bus.DecodeTopic(token); got != topic || err != nil {
			t.Errorf("%q becomes %q: %v", token, got, err)
		}
	}
	for _, token := range []string{"", "=2", "=zz", "=2e", "=61", "a.b", "=="} {
		if got, err := bus.DecodeTopic(token); err == nil {
			t.Errorf("%q was taken as %q", token, got)
		}
	}
}

func FuzzTopicsInSubjects(f *testing.F) {
	f.Add("session:1")
	f.Add("a.b *>=\x00")
	f.Fuzz(func(t *testing.T, topic string) {
		token := bus.EncodeTopic(topic)
		for i := range len(token) {
			if c := token[i]; c == '.' || c == '*' || c == '>' || c <= ' ' || c >= 0x7f {
				t.Fatalf("%q holds %q", token, c)
			}
		}
		if back, err := bus.DecodeTopic(token); err != nil || back != topic {
			t.Fatalf("%q came back as %q: %v", topic, back, err)
		}
		if text, err := bus.DecodeTopic(topic); err == nil && bus.EncodeTopic(text) != topic {
			t.Fatalf("%q was taken, but is not what %q becomes", topic, text)
		}
	})
}
