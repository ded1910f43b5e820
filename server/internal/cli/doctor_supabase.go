package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	supabase "github.com/supabase-community/supabase-go"
)

// signingAlgorithms are those a Supabase project may sign its tokens with.
var signingAlgorithms = map[string]bool{"ES256": true, "RS256": true, "EdDSA": true}

const maxJWKSBytes = 1 << 20

// examineTokens looks at the key set that tokens are verified with, and at Auth's clock.
func (e *examination) examineTokens(ctx context.Context, r *report) {
	const check = "jwks"
	before := e.now()
	keys, date, err := fetchJWKS(ctx, e.JWKSURL.String())
	switch {
	case err != nil:
		r.fail(check, advice("Check SUPABASE_URL (and SUPABASE_JWKS_URL, if set), that this machine reaches it, and that the project is not paused."), "the key set could not be read: %v", err)
		return
	case keys == 0 && e.JWTSecret.IsZero():
		r.fail(check, advice("Move the project to signing keys (Dashboard, JWT keys), or set SUPABASE_JWT_SECRET while it still signs with the legacy secret."), "the key set holds no key that tokens can be verified with")
	case keys == 0:
		r.warn(check, advice("Move the project to signing keys (Dashboard, JWT keys)."), "only the legacy HS256 secret verifies tokens: whoever has it can make tokens")
	default:
		r.ok(check, "%s", count(keys, "signing key"))
	}
	if !date.IsZero() {
		half := e.now().Sub(before) / 2
		reportSkew(r, "clock (auth)", "Auth's", before.Add(half), date, half+time.Second) // a Date header is in whole seconds
	}
}

// fetchJWKS returns how many usable keys the set holds, and the server's date when it gives one.
func fetchJWKS(ctx context.Context, url string) (usable int, date time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, date, errors.New("the URL is not one")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, date, errors.New("no answer")
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return 0, date, fmt.Errorf("it answered %d", res.StatusCode)
	}
	var set struct {
		Keys []struct {
			Alg string `json:"alg"`
			Kty string `json:"kty"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxJWKSBytes)).Decode(&set); err != nil {
		return 0, date, errors.New("it is no JSON Web Key Set")
	}
	for _, k := range set.Keys {
		if signingAlgorithms[k.Alg] {
			usable++
		}
	}
	date, err = http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return usable, time.Time{}, nil // a server without a Date header is no fault
	}
	return usable, date, nil
}

// examineOutside looks at the project as a stranger with the publishable key: Auth must answer, and no table may show a row.
func (e *examination) examineOutside(ctx context.Context, r *report) {
	const check = "outsider"
	client, err := supabase.NewClient(strings.TrimRight(e.SupabaseURL.String(), "/"), e.PublishableKey.Reveal(), nil)
	if err != nil {
		r.fail(check, advice("Check SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY."), "no client could be made of them")
		return
	}
	auth := client.Auth.WithClient(http.Client{Timeout: doctorTimeout})
	if _, err := auth.GetSettings(); err != nil {
		if strings.HasPrefix(err.Error(), "response status code 401") { // the client gives only text
			r.fail("auth", advice("Take the publishable key (or the legacy anon key) of this project: Dashboard, API keys."), "the project does not know SUPABASE_PUBLISHABLE_KEY")
		} else {
			r.fail("auth", advice("Check SUPABASE_URL, that this machine reaches it, and that the project is not paused."), "Auth does not answer at SUPABASE_URL")
		}
		r.skip(check, "not asked: Auth did not let this key in")
		return
	}
	r.ok("auth", "answers, and knows the publishable key")
	seen, refused, err := within(ctx, func() (seen, refused []string, err error) { return strangerSees(client) })
	switch {
	case err != nil:
		r.fail(check, advice("Check that the Data API is on with schema public (Dashboard, Data API), and that its database answers."), "the Data API could not be asked: %v", err)
	case len(seen) > 0:
		r.fail(check, mend{Fix: "Nothing of these tables is for people who have not signed in:", SQL: each("revoke all on public.%s from anon, public;", seen)},
			"a stranger with the publishable key sees rows of %s", strings.Join(seen, ", "))
	default:
		r.ok(check, "a stranger sees no row of %d tables (%d refuse to be asked)", len(tables), len(refused))
	}
}

var errNoAnswer = errors.New("no answer in time")

// within runs ask, which takes no context, and stops waiting for it when ctx ends. The goroutine ends when the client's
// own connection does; the process of vigil doctor is about to end anyway.
func within(ctx context.Context, ask func() (a, b []string, err error)) (a, b []string, err error) {
	type answer struct {
		a, b []string
		err  error
	}
	done := make(chan answer, 1)
	go func() { // see above: not waited for past ctx
		a, b, err := ask()
		done <- answer{a, b, err}
	}()
	select {
	case got := <-done:
		return got.a, got.b, got.err
	case <-ctx.Done():
		return nil, nil, errNoAnswer
	}
}

// strangerSees asks each table for one row as anon.
func strangerSees(client *supabase.Client) (seen, refused []string, err error) {
	for _, table := range tables {
		body, _, err := client.From(table).Select("*", "", false).Limit(1, "").Execute()
		if err != nil {
			if isRefusal(err) {
				refused = append(refused, table)
				continue
			}
			return nil, nil, errors.New("it gave no answer that could be read")
		}
		var rows []json.RawMessage
		if err := json.Unmarshal(body, &rows); err != nil {
			return nil, nil, errors.New("it answered something that is no list of rows")
		}
		if len(rows) > 0 {
			seen = append(seen, table)
		}
	}
	return seen, refused, nil
}

// isRefusal recognises PostgREST's words for "you may not": the client gives only text, "(code) message".
func isRefusal(err error) bool {
	s := err.Error()
	return strings.HasPrefix(s, "(42501)") || strings.HasPrefix(s, "(PGRST205)") || strings.HasPrefix(s, "(42P01)")
}
