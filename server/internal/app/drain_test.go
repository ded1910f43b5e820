package app

import (
	"context"
	"errors"
	"slices"
	"testing"

	"vigil/server/internal/store/storetest"
	"vigil/server/internal/triage"
)

// queue is what is due, in order; what is done leaves it.
type queue struct {
	due   []int
	asked []int
	done  []int
}

func (q *queue) first(_ context.Context, most int) ([]int, error) {
	q.asked = append(q.asked, most)
	return slices.Clone(q.due[:min(most, len(q.due))]), nil
}

func (q *queue) finish(n int) {
	q.due = slices.DeleteFunc(q.due, func(m int) bool { return m == n })
	q.done = append(q.done, n)
}

func numbered(n *int) int { return *n }

func TestWhatFailsDoesNotStandBeforeWhatCanBeDone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		due, fail, stay, done []int
		faults                bool
	}{
		"nothing":                 {nil, nil, nil, nil, false},
		"more than a page":        {[]int{1, 2, 3, 4, 5}, nil, nil, []int{1, 2, 3, 4, 5}, false},
		"a page that fails":       {[]int{1, 2, 3, 4, 5}, []int{1, 2}, nil, []int{3, 4, 5}, true},
		"a page that stays":       {[]int{1, 2, 3, 4, 5}, nil, []int{1, 2}, []int{3, 4, 5}, false},
		"many that fail":          {[]int{1, 2, 3, 4, 5, 6, 7, 8, 9}, []int{1, 2, 3, 4, 5, 6, 7}, nil, []int{8, 9}, true},
		"all fail":                {[]int{1, 2, 3, 4, 5}, []int{1, 2, 3, 4, 5}, nil, nil, true},
		"here and there, to last": {[]int{1, 2, 3, 4, 5}, []int{2, 5}, []int{3}, []int{1, 4}, true},
	} {
		q := &queue{due: c.due}
		tries := make(map[int]int)
		err := drain(t.Context(), 2, q.first, numbered, func(_ context.Context, page []int) (faults []error) {
			for _, n := range page {
				tries[n]++
				switch {
				case slices.Contains(c.fail, n):
					faults = append(faults, errors.New("cannot be done"))
				case !slices.Contains(c.stay, n):
					q.finish(n)
				}
			}
			return faults
		})
		if !slices.Equal(q.done, c.done) || (err != nil) != c.faults {
			t.Errorf("%s: done %v, want %v; %v", name, q.done, c.done, err)
		}
		for n, tried := range tries {
			if tried != 1 {
				t.Errorf("%s: %d was tried %d times in one look", name, n, tried)
			}
		}
	}
}

func TestADatabaseThatIsAwayEndsTheLook(t *testing.T) {
	t.Parallel()
	q := &queue{due: []int{1, 2, 3, 4, 5}}
	away := triage.Unavailable(errors.New("away"))
	if err := drain(t.Context(), 2, q.first, numbered, func(context.Context, []int) []error { return []error{away} }); !errors.Is(err, away) || len(q.asked) != 1 {
		t.Errorf("asked %v, %v", q.asked, err)
	}
}

// TestAScoreThatCannotBeRecordedDoesNotHoldUpTheNext: the first of three fails each time, for a cause that may pass.
func TestAScoreThatCannotBeRecordedDoesNotHoldUpTheNext(t *testing.T) {
	t.Parallel()
	p := storetest.New(t, clusters.Database(t))
	f, s := flowOf(p), p.StrictSession(t)
	var messages []triage.Message
	for range 3 {
		m := s.Send(t, "one")
		s.Score(t, s.Client, m, triage.SourceSender, found(1), nil)
		messages = append(messages, m)
	}
	if _, err := p.Superuser.Exec(t.Context(), `create function public.fail() returns trigger language plpgsql as $$ begin raise serialization_failure; end $$;
		create trigger fail before insert on public.assessments for each row when (new.message_id = '`+messages[0].ID.String()+`') execute function public.fail()`); err != nil {
		t.Fatal(err)
	}
	if err := f.judgeScores(1)(t.Context()); err == nil {
		t.Error("the failure was not told")
	}
	for i, m := range messages {
		if got := scoredOf(t, p, m); len(got) != min(i, 1) {
			t.Errorf("message %d has %+v", i, got)
		}
	}
}
