package replay

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/supabase-community/gotrue-go/types"
)

// project is a server whose answers a test gives, one after the other; the last stands.
func project(t *testing.T, answers ...http.HandlerFunc) (at *url.URL, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		answers[min(n, len(answers))-1](w, r)
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return at, asked
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// cut breaks the connection in the middle of an answer: whether the request was heard, nobody knows.
func cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestOnlyWhatDoesNoHarmTwiceIsTriedAgainBlindly(t *testing.T) {
	t.Parallel()
	busy, good := status(http.StatusServiceUnavailable, ""), status(http.StatusCreated, "")
	for sentence, c := range map[string]struct {
		again   bool
		answers []http.HandlerFunc
		asked   int64
		fails   bool
	}{
		"a message whose answer was lost":       {true, []http.HandlerFunc{cut, good}, 2, false},
		"a session whose answer was lost":       {false, []http.HandlerFunc{cut, good}, 1, true},
		"a session that was not begun with":     {false, []http.HandlerFunc{busy, busy, good}, 3, false},
		"a message at a server at fault":        {true, []http.HandlerFunc{status(http.StatusInternalServerError, "{}"), good}, 2, false},
		"a session at a server at fault":        {false, []http.HandlerFunc{status(http.StatusInternalServerError, "{}"), good}, 1, true},
		"a message that is refused for good":    {true, []http.HandlerFunc{status(http.StatusForbidden, `{"code":"42501"}`), good}, 1, true},
		"a message whose sender sends too much": {true, []http.HandlerFunc{status(http.StatusTooManyRequests, ""), good}, 2, false},
	} {
		at, asked := project(t, c.answers...)
		r := newREST(at, "publishable", "secret")
		r.client.Transport = &http.Transport{DisableKeepAlives: true} // the library sends again by itself on a kept connection
		err := r.do(t.Context(), time.Minute, call{attempt: "try", method: http.MethodPost, path: "x", again: c.again, body: map[string]any{}})
		if (err != nil) != c.fails || asked.Load() != c.asked {
			t.Errorf("%s: %v, asked %d times, want %d", sentence, err, asked.Load(), c.asked)
		}
	}
}

func TestTheSecretKeyGoesNowhereElse(t *testing.T) {
	t.Parallel()
	elsewhere, followed := project(t, status(http.StatusOK, "[]"))
	at, _ := project(t, http.RedirectHandler(elsewhere.String(), http.StatusTemporaryRedirect).ServeHTTP)
	err := newREST(at, "p", "s").do(t.Context(), 0, call{attempt: "try", method: http.MethodGet, path: "x", again: true})
	var refused *RequestError
	if !errors.As(err, &refused) || refused.Status != http.StatusTemporaryRedirect || followed.Load() != 0 {
		t.Errorf("%v, followed %d times", err, followed.Load())
	}
}

func TestAnOrganizationIsAskedForByWhatNamesIt(t *testing.T) {
	t.Parallel()
	const id = "1c9a5b63-9b1f-4d2f-8e70-3a2e4c6b8da1"
	for named, want := range map[string][2]string{"": {}, strings.ToUpper(id): {"id", "eq." + id}, "The, (hundred) \"first\"": {"name", "eq.The, (hundred) \"first\""}} {
		at, _ := project(t, func(w http.ResponseWriter, r *http.Request) {
			for _, column := range []string{"id", "name"} {
				if got := r.URL.Query().Get(column); (column == want[0]) != (got == want[1] && got != "") {
					t.Errorf("%q: %s is %q, want %v", named, column, got, want)
				}
			}
			status(http.StatusOK, `[{"id":"`+id+`","name":"The, (hundred) \"first\""}]`)(w, r)
		})
		if o, err := newREST(at, "p", "s").findOrganization(t.Context(), named); err != nil || o.ID.String() != id {
			t.Errorf("%q: %v, %v", named, o, err)
		}
	}
	at, _ := project(t, func(w http.ResponseWriter, r *http.Request) {
		answer := "[]"
		if r.URL.Query().Get("name") == "" {
			answer = `[{"id":"` + id + `","name":"The only one"}]`
		}
		status(http.StatusOK, answer)(w, r)
	})
	if _, err := newREST(at, "p", "s").findOrganization(t.Context(), "Another"); err == nil || !strings.Contains(err.Error(), "0 organizations") {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	at, asked := project(t, status(http.StatusServiceUnavailable, ""))
	err := newREST(at, "p", "s").do(t.Context(), time.Millisecond, call{attempt: "try", method: http.MethodGet, path: "x", again: true})
	var refused *RequestError
	if !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || asked.Load() > 3 {
		t.Errorf("%v after %d", err, asked.Load())
	}
}

func TestAnErrorHoldsCodesAndNoText(t *testing.T) {
	t.Parallel()
	const secret = "SECRETWORD"
	for body, want := range map[string]string{
		`{"code":"22P02","message":"invalid input: ` + secret + `","details":"` + secret + `"}`: "try: 400 22P02",
		`{"code":"VG001","message":"the session waits","details":"` + secret + `"}`:             "try: 400 VG001 (the session waits)",
		`{"code":400,"error_code":"weak_password","msg":"` + secret + `"}`:                      "try: 400 weak_password",
		`<html>` + secret: "try: 400",
	} {
		at, _ := project(t, status(http.StatusBadRequest, body))
		err := newREST(at, "p", secret).do(t.Context(), 0, call{attempt: "try", method: http.MethodGet, path: "x"})
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestTheAuthLibraryGetsOurContextPatienceAndErrors(t *testing.T) {
	t.Parallel()
	const secret = "SECRETWORD"
	at, asked := project(t, status(http.StatusTooManyRequests, `{"error_code":"over_request_rate_limit"}`),
		status(http.StatusOK, `{"access_token":"a","refresh_token":"r","expires_in":3600}`), status(http.StatusBadRequest, `{"error_code":"invalid_credentials","msg":"`+secret+`"}`))
	a := auth{url: at.JoinPath("auth/v1").String(), publishable: "p", secret: secret}
	session, err := a.client(t.Context(), "sign in", "p", "").SignInWithEmailPassword("x@people.example", secret)
	if err != nil || session.AccessToken != "a" || asked.Load() != 2 {
		t.Fatalf("%v after %d", err, asked.Load())
	}
	_, err = a.client(t.Context(), "sign in", "p", "").SignInWithEmailPassword("x@people.example", secret)
	if refused := refusalOf(err); refused.Error() != "sign in: 400 invalid_credentials" {
		t.Errorf("%v", refused)
	}
	r := &Replay{}
	if err := r.explainAuth(err); strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "people.example") {
		t.Errorf("%v", err)
	}
	if err := r.explainAuth(errors.New("unexpected " + secret)); strings.Contains(err.Error(), secret) {
		t.Errorf("%v", err)
	}
}

func TestAuthThatDoesNotAnswerIsSaid(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	at, _ := project(t, func(http.ResponseWriter, *http.Request) { <-hold })
	defer close(hold)
	for sentence, c := range map[string]*url.URL{"it listens and says nothing": at, "nobody listens": {Scheme: "http", Host: "127.0.0.1:9"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := (auth{url: c.String()}).client(ctx, "sign in", "p", "").SignInWithEmailPassword("x", "y")
		cancel()
		if err == nil || refusalOf(err).Error() != "sign in: no answer" {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func TestALoginIsRefreshedOnceBeforeItEnds(t *testing.T) {
	t.Parallel()
	at, asked := project(t, status(http.StatusOK, `{"access_token":"fresh","refresh_token":"r2","expires_in":3600}`))
	p := &person{auth: auth{url: at.String()}}
	p.take(types.Session{AccessToken: "old", RefreshToken: "r1", ExpiresIn: int(refreshBefore.Seconds()) - 1})
	for range 2 {
		if token, err := p.token(t.Context()); err != nil || token != "fresh" {
			t.Errorf("%q, %v", token, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("refreshed %d times", asked.Load())
	}
}

func TestNewNamesEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Speed: -1})
	if !errors.Is(err, ErrConfig) {
		t.Fatal(err)
	}
	for _, want := range []string{"SUPABASE_URL", "VIGIL_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY", "speed"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
}
