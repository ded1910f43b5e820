package suggest

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"vigil/server/internal/triage"
)

// many answers of a therapist: as far as they go, every move fits.
const many = 100

func builtIn(t *testing.T) *Bank {
	t.Helper()
	b, err := ParseBank(bankJSON)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheBankIsWhatItsCardSays(t *testing.T) {
	t.Parallel()
	b := builtIn(t)
	if len(b.Moves) < 60 {
		t.Errorf("%d moves", len(b.Moves))
	}
	kinds := map[string]int{}
	for _, m := range b.Moves {
		kinds[m.Kind]++
		if text, ok := clean(m.Text); !ok || text != m.Text {
			t.Errorf("%s would be refused from a model", m.ID)
		}
		if len(m.Text) > 300 || !strings.HasSuffix(m.Text, ".") && !strings.HasSuffix(m.Text, "?") || strings.Contains(m.Text, "  ") {
			t.Errorf("%s is no short, whole text", m.ID)
		}
		if !regexp.MustCompile(`^[a-z0-9.-]{1,100}$`).MatchString(m.ID) {
			t.Errorf("id %q does not fit its column", m.ID)
		}
		if regexp.MustCompile(`\d{3,}`).MatchString(m.Text) {
			t.Errorf("%s names a number: crisis lines differ by country", m.ID)
		}
	}
	for _, kind := range []string{
		"open_question", "reflection", "validation", "summary", "scaling", "safety_question", "means_safety", "grounding", "safety_plan",
		"normalising", "permission", "strengths", "closing", "emergency", "reasons_for_living", "ambivalence",
	} {
		if kinds[kind] == 0 {
			t.Errorf("no move is of kind %s", kind)
		}
	}
}

// TestACrisisIsAnsweredByAMoveForIt: from level 1 up no small talk, from level 4 up only what is for it.
func TestACrisisIsAnsweredByAMoveForIt(t *testing.T) {
	t.Parallel()
	b := builtIn(t)
	crisis := map[string]bool{"emergency": true, "safety_question": true, "means_safety": true, "staying": true, "ambivalence": true, "safety_plan": true}
	for level := triage.LevelWishToBeDead; level <= triage.LevelMax; level++ {
		for _, a := range []triage.Assessment{
			{Level: level}, {Level: level, Sentiment: .9, Topics: []string{"work", "sleep"}}, {Level: level, Distress: true, Abuse: true, Sentiment: -1},
		} {
			var used []string
			for range 30 {
				m, ok := b.Choose(a, uuid.New(), used, many)
				if !ok || m.When.Levels[0] == triage.LevelNone && !m.When.Abuse || level >= triage.LevelIntent && !crisis[m.Kind] {
					t.Fatalf("level %d is answered by %q (%t)", level, m.ID, ok)
				}
				used = append([]string{m.ID}, used...)
			}
		}
	}
	for _, c := range []struct {
		a    triage.Assessment
		want string
	}{
		{triage.Assessment{Level: triage.LevelBehaviour}, "emergency."}, {triage.Assessment{HarmOthers: true, Topics: []string{"work"}}, "harm."},
		{triage.Assessment{Abuse: true, Topics: []string{"family"}, Sentiment: -.9}, "abuse."}, {triage.Assessment{Topics: []string{"grief"}}, "topic.grief"},
		{triage.Assessment{Level: triage.LevelBehaviour, HarmOthers: true}, "emergency."}, {triage.Assessment{Sentiment: .8}, "high."},
		{triage.Assessment{Sentiment: -.8}, "low."},
	} {
		if m, _ := b.Choose(c.a, uuid.New(), nil, many); !strings.HasPrefix(m.ID, c.want) {
			t.Errorf("%+v is answered by %q", c.a, m.ID)
		}
	}
}

func TestNoTextComesTwiceInASessionBeforeAllDid(t *testing.T) {
	t.Parallel()
	b := builtIn(t)
	for _, a := range []triage.Assessment{{}, {Level: 4}, {Level: 6}, {Level: 2, Distress: true}, {Abuse: true}, {HarmOthers: true, Level: 1}} {
		var used []string
		seen := map[string]int{}
		fitting, top := 0, 0
		for _, m := range b.Moves {
			top = max(top, m.When.weight(a, many))
		}
		for _, m := range b.Moves {
			if m.When.weight(a, many) >= band(top) {
				fitting++
			}
		}
		for i := range fitting * 2 {
			message := uuid.New()
			m, ok := b.Choose(a, message, used, many)
			again, _ := b.Choose(a, message, used, many)
			if !ok || again.ID != m.ID {
				t.Fatalf("%q, then %q for the same message", m.ID, again.ID)
			}
			if seen[m.ID]++; seen[m.ID] > 1 && i < fitting {
				t.Errorf("%+v: %q came again after %d of %d", a, m.ID, i, fitting)
			}
			used = append([]string{m.ID}, used...)
		}
		for id, n := range seen {
			if n != 2 {
				t.Errorf("%+v: %q came %d times in two rounds", a, id, n)
			}
		}
	}
}

// TestARepetitionIsRatherTakenThanWhatFitsLess: a risk is never answered by a move for a lesser one because that was not used.
func TestARepetitionIsRatherTakenThanWhatFitsLess(t *testing.T) {
	t.Parallel()
	b := builtIn(t)
	for _, c := range []struct {
		a    triage.Assessment
		want string
	}{
		{triage.Assessment{Level: triage.LevelBehaviour}, "emergency."}, {triage.Assessment{Level: triage.LevelBehaviour, HarmOthers: true}, "emergency."},
		{triage.Assessment{HarmOthers: true}, "harm."}, {triage.Assessment{Abuse: true, Distress: true}, "abuse."},
	} {
		var used []string
		for range 30 {
			m, ok := b.Choose(c.a, uuid.New(), used, many)
			if !ok || !strings.HasPrefix(m.ID, c.want) {
				t.Fatalf("%+v is answered by %q after %d", c.a, m.ID, len(used))
			}
			used = append([]string{m.ID}, used...)
		}
	}
}

func TestNoTalkIsClosedBeforeItIsOne(t *testing.T) {
	t.Parallel()
	b := builtIn(t)
	closes := func(answers int) bool {
		var used []string
		for range 60 {
			m, _ := b.Choose(triage.Assessment{}, uuid.New(), used, answers)
			if m.Kind == kindClosing {
				return true
			}
			used = append([]string{m.ID}, used...)
		}
		return false
	}
	if closes(0) || closes(1) {
		t.Error("it is closed at the therapist's first answers")
	}
	if !closes(many) {
		t.Error("it is never closed")
	}
}

func TestMessagesRotateAmongWhatFitsAlike(t *testing.T) {
	t.Parallel()
	b := builtIn(t)
	seen := map[string]bool{}
	for range 300 {
		m, _ := b.Choose(triage.Assessment{Level: triage.LevelIntent}, uuid.New(), nil, many)
		seen[m.ID] = true
	}
	if len(seen) < 5 {
		t.Errorf("only %d texts open at level 4", len(seen))
	}
}

func TestAFaultyBankIsRefused(t *testing.T) {
	t.Parallel()
	good := builtIn(t)
	for name, change := range map[string]func(*Bank){
		"no version":       func(b *Bank) { b.Version = "" },
		"no moves":         func(b *Bank) { b.Moves = nil },
		"an id twice":      func(b *Bank) { b.Moves[1].ID = b.Moves[0].ID },
		"a text twice":     func(b *Bank) { b.Moves[1].Text = b.Moves[0].Text },
		"no reason":        func(b *Bank) { b.Moves[0].Why = "" },
		"levels reversed":  func(b *Bank) { b.Moves[0].When.Levels = [2]triage.Level{5, 2} },
		"a level too high": func(b *Bank) { b.Moves[0].When.Levels[1] = 7 },
		"a closing at once": func(b *Bank) {
			for i := range b.Moves {
				b.Moves[i].When.After = 0
			}
		},
		"an unknown mood": func(b *Bank) { b.Moves[0].When.Sentiment = "wistful" },
		"nothing for level 6": func(b *Bank) {
			for i := range b.Moves {
				b.Moves[i].When.Levels[1] = min(b.Moves[i].When.Levels[1], 5)
				b.Moves[i].When.Levels[0] = min(b.Moves[i].When.Levels[0], 5)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := Bank{Version: good.Version, Moves: append([]Move(nil), good.Moves...)}
			change(&b)
			data, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseBank(data); err == nil {
				t.Error("it was taken")
			}
		})
	}
	if _, err := ParseBank([]byte("{")); err == nil {
		t.Error("half a bank was taken")
	}
}
