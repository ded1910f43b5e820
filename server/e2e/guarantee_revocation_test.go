package e2e_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// marks are changes of a session that everyone on its topic is sent: whoever is sent one may still see it.
type marks struct {
	s       *stack
	session uuid.UUID
	person  *person
	owner   testing.TB // the test that it stays for
	control *watcher   // of the person, stays all the while
	n       int
}

func (s *stack) marks(t testing.TB, y *therapy) *marks {
	t.Helper()
	m := &marks{s: s, session: y.id, person: y.client, owner: t, control: s.watch(y.client, "session:"+y.id.String())}
	m.control.begin(t)
	m.await(t, m.control, func(w *watcher) bool { return w.cursor != "" })
	return m
}

func (m *marks) await(t testing.TB, w *watcher, done func(*watcher) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.await(ctx, done); err != nil {
		t.Fatalf("%v\n%s", err, m.s.sidecar.out.tail())
	}
}

// text is how a mark shows in a row.
func markText(n int) string {
	return time.Date(2031, 1, 1, 0, 0, n, 0, time.UTC).Format("15:04:05")
}

// commit makes the next mark and waits until the control client has it: the revocations before it are handled by then.
func (m *marks) commit(t testing.TB) (number int) {
	t.Helper()
	m.write(t)
	m.await(t, m.control, func(w *watcher) bool { return w.sees(m.n) })
	return m.n
}

// write makes the next mark.
func (m *marks) write(t testing.TB) (number int) {
	t.Helper()
	m.n++
	m.s.sql(t, "update public.sessions set scheduled_for = $2 where id = $1", m.session, time.Date(2031, 1, 1, 0, 0, m.n, 0, time.UTC))
	return m.n
}

// sees says whether the watcher was sent a mark. The caller holds mu.
func (w *watcher) sees(mark int) bool {
	for _, b := range w.entries {
		if b.Event == "session" && strings.Contains(string(b.Payload), markText(mark)) {
			return true
		}
	}
	return false
}

// revocations end a person's right to follow a session, each in its own way.
var revocations = map[string]func(t testing.TB, s *stack, y *therapy, p *person){
	"the membership ends": func(t testing.TB, s *stack, _ *therapy, p *person) {
		s.sql(t, "update public.memberships set ended_at = now() where user_id = $1", p.id)
	},
	"the membership is deleted": func(t testing.TB, s *stack, _ *therapy, p *person) {
		s.sql(t, "delete from public.memberships where user_id = $1", p.id)
	},
	"the role changes": func(t testing.TB, s *stack, _ *therapy, p *person) {
		s.sql(t, "update public.memberships set role = 'client' where user_id = $1", p.id)
	},
	"the person signs out": func(t testing.TB, s *stack, _ *therapy, p *person) { s.signOut(t, p) },
	"the organisation asks for a second factor": func(t testing.TB, s *stack, y *therapy, _ *person) {
		s.sql(t, "update public.organizations set require_aal2 = true where id = $1", y.org)
	},
}

// signOut ends the person's logins, as supabase-js does.
func (s *stack) signOut(t testing.TB, p *person) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.supabaseURL+"/auth/v1/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Apikey", s.publishableKey)
	req.Header.Set("Authorization", "Bearer "+p.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Fatalf("sign-out was answered %d", res.StatusCode)
	}
}

// TestARevocationRacingAJoinWins is guarantee 4: a right ends at a random moment around the join that it would allow. What
// is committed after the revocation never reaches the person, whoever was first; and afterwards nobody lets them in.
func TestARevocationRacingAJoinWins(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	random := rand.New(rand.NewPCG(4, 4)) //nolint:gosec // the same moments each time
	const rounds = 14
	firsts := 0
	for name, revoke := range revocations {
		org, _ := s.organization(t)
		y := s.therapy(t, org)
		m := s.marks(t, y)
		before := 0
		for range rounds {
			if s.race(t, y, m, revoke, time.Duration(random.IntN(12_000))*time.Microsecond) {
				before++
			}
			s.sql(t, "update public.organizations set require_aal2 = false where id = $1 and require_aal2", org)
		}
		t.Logf("%s: %d of %d joins were first", name, before, rounds)
		firsts += before
	}
	if all := rounds * len(revocations); firsts == 0 || firsts == all {
		t.Errorf("%d of %d joins were first: nothing raced", firsts, all)
	}
}

// race begins a join, ends the right to it after a while, and holds that nothing committed later is received. It reports
// whether the join was first.
func (s *stack) race(t testing.TB, y *therapy, m *marks, revoke func(testing.TB, *stack, *therapy, *person), after time.Duration) (joined bool) {
	t.Helper()
	p := s.signUp(t, y.org, "supervisor")
	w := s.watch(p, m.control.topic)
	w.begin(t)
	moment := time.NewTimer(after)
	defer moment.Stop()
	<-moment.C
	revoke(t, s, y, p)
	first := m.commit(t)
	second := m.commit(t)
	w.settle(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, mark := range []int{first, second} {
		if w.sees(mark) {
			t.Errorf("what was committed after the revocation was received (join and revocation %s apart)", after)
		}
	}
	return w.cursor != ""
}

// settle has the watcher join once more, on a socket of its own, until it is refused: what its first join was sent has
// come by then, for it was sent before the refusal, which is behind the last mark.
func (w *watcher) settle(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	refused := w.refusals()
	if err := w.await(ctx, func(w *watcher) bool { return w.closed || w.refused > refused }); err != nil {
		t.Errorf("the person is still let in: %v", err)
	}
}

func (w *watcher) refusals() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}
