package auth_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"vigil/server/pgtest"
	"vigil/server/standin/auth"
)

var postgres = pgtest.Shared(pgtest.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

const password = "correct horse battery"

// bundle is an Auth of one test's own, whose clock the test moves.
type bundle struct {
	*auth.Server
	key   auth.Key
	ahead atomic.Int64
	owner *pgxpool.Pool
}

func setup(t *testing.T, change func(*auth.Config)) *bundle {
	t.Helper()
	db := postgres.Database(t)
	b := &bundle{key: newKey(t), owner: db.Pool(t, pgtest.RoleOwner)}
	c := auth.Config{
		DatabaseURL: db.URL(pgtest.RoleAuth), URL: "http://project.example.test", Key: b.key, Autoconfirm: true, HashCost: bcrypt.MinCost,
		Now: func() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) },
	}
	if change != nil {
		change(&c)
	}
	s, err := auth.New(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Server = s
	t.Cleanup(s.Close)
	return b
}

func (b *bundle) pass(d time.Duration) { b.ahead.Add(int64(d)) }

// answer is what came back.
type answer struct {
	status int
	body   map[string]any
}

func (a answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

func (b *bundle) ask(t *testing.T, method, path, token string, body any) answer {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(data))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	a := answer{status: w.Code}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	return a
}

// signUp makes a person and signs them in.
func (b *bundle) signUp(t *testing.T) (email string, in answer) {
	t.Helper()
	email = uuid.NewString() + "@example.test"
	in = b.ask(t, http.MethodPost, "/signup", "", map[string]string{"email": email, "password": password})
	if in.status != http.StatusOK || in.text("access_token") == "" {
		t.Fatalf("sign-up: %d %v", in.status, in.body)
	}
	return email, in
}

func (b *bundle) refresh(t *testing.T, token string) answer {
	t.Helper()
	return b.ask(t, http.MethodPost, "/token?grant_type=refresh_token", "", map[string]string{"refresh_token": token})
}

func wantRefusal(t *testing.T, a answer, status int, code string) {
	t.Helper()
	if a.status != status || a.text("error_code") != code {
		t.Errorf("answer = %d %v, want %d %s", a.status, a.body, status, code)
	}
}

func TestARefreshTokenRotates(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, in := b.signUp(t)
	seen := map[string]bool{in.text("refresh_token"): true}
	token := in.text("refresh_token")
	for range 3 {
		next := b.refresh(t, token)
		if next.status != http.StatusOK || seen[next.text("refresh_token")] {
			t.Fatalf("refresh: %d %v", next.status, next.body)
		}
		token = next.text("refresh_token")
		seen[token] = true
	}
	var live int
	if err := b.owner.QueryRow(t.Context(), "select count(*) from auth.refresh_tokens where not revoked").Scan(&live); err != nil || live != 1 {
		t.Errorf("%d tokens are live, want 1 (%v)", live, err)
	}
}

func TestARotatedTokenIsAnsweredAgainAsLongAsItsSuccessorIsLive(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, in := b.signUp(t)
	first := b.refresh(t, in.text("refresh_token"))
	b.pass(time.Hour)
	again := b.refresh(t, in.text("refresh_token"))
	if again.status != http.StatusOK || again.text("refresh_token") != first.text("refresh_token") {
		t.Errorf("answer = %d %v, want the same successor", again.status, again.body)
	}
}

// moved is a login whose first token was rotated twice.
func (b *bundle) moved(t *testing.T) (first, third string) {
	t.Helper()
	_, in := b.signUp(t)
	second := b.refresh(t, in.text("refresh_token"))
	return in.text("refresh_token"), b.refresh(t, second.text("refresh_token")).text("refresh_token")
}

func TestATokenUsedAgainWithinTenSecondsGetsATokenOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	first, third := b.moved(t)
	b.pass(auth.ReuseInterval - 2*time.Second)
	if a := b.refresh(t, first); a.status != http.StatusOK || a.text("refresh_token") == third {
		t.Errorf("answer = %d %s", a.status, a.text("error_code"))
	}
}

func TestATokenUsedAgainLaterEndsItsFamily(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	first, third := b.moved(t)
	b.pass(auth.ReuseInterval + 2*time.Second)
	wantRefusal(t, b.refresh(t, first), http.StatusBadRequest, "refresh_token_already_used")
	var live int
	if err := b.owner.QueryRow(t.Context(), "select count(*) from auth.refresh_tokens where not revoked").Scan(&live); err != nil || live != 0 {
		t.Errorf("%d tokens are live after a reuse, want none (%v)", live, err)
	}
	b.pass(auth.ReuseInterval + time.Second)
	wantRefusal(t, b.refresh(t, third), http.StatusBadRequest, "refresh_token_already_used")
}

func TestRefreshesAtOnceGiveOneSuccessor(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, in := b.signUp(t)
	const callers = 8
	answers := make([]answer, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() { answers[i] = b.refresh(t, in.text("refresh_token")) })
	}
	group.Wait()
	for _, a := range answers {
		if a.status != http.StatusOK || a.text("refresh_token") != answers[0].text("refresh_token") {
			t.Errorf("answer = %d %v, want the successor that the others got", a.status, a.text("refresh_token"))
		}
	}
}

func TestATokenEndsWithItsLoginAndAfterAnHour(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	email, in := b.signUp(t)
	token := in.text("access_token")
	if a := b.ask(t, http.MethodGet, "/user", token, nil); a.status != http.StatusOK || a.text("email") != email {
		t.Fatalf("user: %d %v", a.status, a.body)
	}
	b.pass(auth.TokenLifetime + time.Second)
	wantRefusal(t, b.ask(t, http.MethodGet, "/user", token, nil), http.StatusForbidden, "bad_jwt")

	fresh := b.refresh(t, in.text("refresh_token")).text("access_token")
	if a := b.ask(t, http.MethodPost, "/logout", fresh, nil); a.status != http.StatusNoContent {
		t.Fatalf("logout: %d %v", a.status, a.body)
	}
	wantRefusal(t, b.ask(t, http.MethodGet, "/user", fresh, nil), http.StatusForbidden, "session_not_found")
	wantRefusal(t, b.ask(t, http.MethodGet, "/user", "", nil), http.StatusUnauthorized, "no_authorization")
}

func TestAMailedCodeIsGoodForAnHourAndOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	email, _ := b.signUp(t)
	forget := func() answer { return b.ask(t, http.MethodPost, "/recover", "", map[string]string{"email": email}) }
	verify := func() answer {
		return b.ask(t, http.MethodPost, "/verify", "", map[string]string{"type": "recovery", "token_hash": b.Mail(email)[0].TokenHash})
	}
	if a := forget(); a.status != http.StatusOK {
		t.Fatalf("recover: %d %v", a.status, a.body)
	}
	wantRefusal(t, forget(), http.StatusTooManyRequests, "over_email_send_rate_limit")
	b.pass(auth.CodeLifetime + time.Second)
	wantRefusal(t, verify(), http.StatusForbidden, "otp_expired")
	forget()
	if a := verify(); a.status != http.StatusOK || a.text("access_token") == "" {
		t.Fatalf("verify: %d %v", a.status, a.body)
	}
	wantRefusal(t, verify(), http.StatusForbidden, "otp_expired")
}

func TestAHookThatFailsSignsNobodyIn(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *auth.Config) { c.Hook = "hooks.token" })
	hook := func(body string) {
		t.Helper()
		for _, statement := range []string{
			"create schema if not exists hooks",
			"grant usage on schema hooks to supabase_auth_admin",
			"create or replace function hooks.token(event jsonb) returns jsonb language plpgsql as $$ begin " + body + " end $$",
			"grant execute on function hooks.token(jsonb) to supabase_auth_admin",
		} {
			if _, err := b.owner.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	hook(`return jsonb_set(event, '{claims,seen}', jsonb_build_object('who', current_user, 'by', event ->> 'authentication_method'));`)
	email, in := b.signUp(t)
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(in.text("access_token"), claims, b.key.Keyfunc); err != nil {
		t.Fatal(err)
	}
	if seen, _ := claims["seen"].(map[string]any); seen["who"] != "supabase_auth_admin" || seen["by"] != "password" {
		t.Errorf("the hook saw %v", claims["seen"])
	}
	for name, c := range map[string]struct{ body, message string }{
		"it raises":              {`raise exception 'x';`, "Error running hook URI: pg-functions://postgres/hooks/token"},
		"it drops a claim":       {`return event #- '{claims,role}';`, "role is required"},
		"it says no":             {`return '{"error": {"http_code": 403, "message": "not today"}}';`, "not today"},
		"it takes too long":      {`perform pg_sleep(3); return event;`, "Failed to reach hook"},
		"it may not do as asked": {`perform 1 from public.organizations; return event;`, "Error running hook URI"},
	} {
		hook(c.body)
		a := b.ask(t, http.MethodPost, "/token?grant_type=password", "", map[string]string{"email": email, "password": password})
		if a.status < 400 || !strings.Contains(a.text("msg"), c.message) {
			t.Errorf("%s: %d %v", name, a.status, a.body)
		}
	}
	var logins int
	if err := b.owner.QueryRow(t.Context(), "select count(*) from auth.sessions").Scan(&logins); err != nil || logins != 1 {
		t.Errorf("%d logins, want the first alone (%v)", logins, err)
	}
}

func TestRoutesThatAreNotHereSaySo(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, route := range []string{"POST /otp", "GET /authorize", "POST /invite", "POST /admin/generate_link", "POST /token?grant_type=pkce", "GET /nowhere"} {
		method, path, _ := strings.Cut(route, " ")
		wantRefusal(t, b.ask(t, method, path, "", nil), http.StatusNotImplemented, "not_in_standin")
	}
}
