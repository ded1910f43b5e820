package replay

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"
	"github.com/supabase-community/gotrue-go"
	"github.com/supabase-community/gotrue-go/types"
	"golang.org/x/sync/singleflight"

	"vigil/server/internal/envelope"
)

// authTimeout bounds one call of Auth, which hashes passwords slowly and limits how many may come. The library's own time-out,
// whose error says nothing, lies behind it.
const authTimeout = time.Minute

// Tokens are refreshed this long before they end.
const refreshBefore = 2 * time.Minute

// mailDomain is reserved by RFC 2606: nobody can have an address there.
const mailDomain = "replay.example"

// person is somebody invented, with an account of their own, signed in on one device.
type person struct {
	id     uuid.UUID
	role   string
	device *envelope.Device
	auth   auth

	refreshing singleflight.Group // a refresh token is good once

	mu      sync.Mutex
	access  string
	refresh string
	expires time.Time
}

// auth makes gotrue-go clients. That library takes no context, keeps no limit and puts the body of an answer into its
// errors: each client gets a transport that does otherwise.
type auth struct {
	url, publishable, secret string
}

func (r *Replay) auth() auth {
	return auth{
		url: r.config.SupabaseURL.JoinPath("auth/v1").String(), publishable: r.config.PublishableKey.Reveal(), secret: r.config.SecretKey.Reveal(),
	}
}

// client is a gotrue-go client for one call. Without a token it is as somebody who has not signed in.
func (a auth) client(ctx context.Context, attempt, key, token string) gotrue.Client {
	c := gotrue.New("", key).WithCustomGoTrueURL(a.url).
		WithClient(http.Client{Timeout: authTimeout + requestTimeout, Transport: exchange(ctx, attempt)})
	if token != "" {
		c = c.WithToken(token)
	}
	return c
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// exchange ends with ctx too, waits where Auth asks for it (429) or has not begun, and turns a refusal into a RequestError.
func exchange(ctx context.Context, attempt string) roundTripper {
	return func(req *http.Request) (*http.Response, error) {
		both, cancel := context.WithTimeout(req.Context(), authTimeout)
		defer cancel()
		stop := context.AfterFunc(ctx, cancel)
		defer stop()
		var body []byte
		if req.Body != nil {
			raw, err := io.ReadAll(req.Body)
			if err = errors.Join(err, req.Body.Close()); err != nil {
				return nil, err
			}
			body = raw
		}
		for wait := firstWait; ; wait = min(2*wait, longestWait) {
			try := req.Clone(both)
			if body != nil {
				try.Body = io.NopCloser(bytes.NewReader(body))
			}
			res, err := exchangeOnce(try, attempt)
			var refused *RequestError
			if err == nil || !errors.As(err, &refused) || !refused.unsent || !sleep(both, jitter(wait)) {
				return res, err
			}
		}
	}
}

// exchangeOnce reads the whole answer, so that nothing hangs on the request's context afterwards.
func exchangeOnce(req *http.Request, attempt string) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, &RequestError{Attempt: attempt, unsent: refusedConnection(err)}
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, &RequestError{Attempt: attempt}
	}
	if res.StatusCode/100 != 2 {
		return nil, refusal(attempt, res.StatusCode, answer)
	}
	res.Body = io.NopCloser(bytes.NewReader(answer))
	return res, nil
}

// newPerson makes somebody: an account, a login, a membership, a name, and a device.
func (r *Replay) newPerson(ctx context.Context, role string) (*person, error) {
	p := &person{role: role, auth: r.auth()}
	email := fmt.Sprintf("%s-%s@%s", role, uuid.NewString(), mailDomain)
	password := rand.Text() + "-aA1" // what projects may ask of a password
	made, err := p.auth.client(ctx, "make a person", p.auth.secret, p.auth.secret).
		AdminCreateUser(types.AdminCreateUserRequest{Email: email, Password: &password, EmailConfirm: true})
	if err != nil {
		return nil, r.explainAuth(err)
	}
	p.id = made.ID
	r.remember(p)
	if err := r.rest.join(ctx, r.organization.ID, p.id, role); err != nil {
		return nil, r.rest.explain(err)
	}
	session, err := p.auth.client(ctx, "sign in", p.auth.publishable, "").SignInWithEmailPassword(email, password)
	if err != nil {
		return nil, r.explainAuth(err)
	}
	p.take(session.Session)
	if r.organization.RequireAAL2 && role == RoleTherapist {
		if err := p.secondFactor(ctx); err != nil {
			return nil, err
		}
	}
	return p, r.settle(ctx, p)
}

func (r *Replay) explainAuth(err error) error {
	var refused *RequestError
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized || errors.As(err, &refused) && refused.Status == http.StatusForbidden {
		return advise(refused, "Are SUPABASE_PUBLISHABLE_KEY and SUPABASE_SECRET_KEY keys of this project? The second makes people, so it must be a secret key.")
	}
	if errors.As(err, &refused) {
		if refused.Status == http.StatusTooManyRequests {
			return advise(refused, "Auth limits how many may sign in from one address: lower --concurrency, or wait for some minutes.")
		}
		if refused.Status == 0 || refused.Status == http.StatusNotFound {
			return advise(refused, "Does SUPABASE_URL (or --supabase-url) name the project, and is it running?")
		}
		return refused
	}
	return errors.New("Auth gave an answer of another shape") //nolint:revive // a name
}

// secondFactor enrols an authenticator and proves it, as staff do where the organisation asks for aal2.
func (p *person) secondFactor(ctx context.Context) error {
	enrolled, err := p.auth.client(ctx, "enrol a second factor", p.auth.publishable, p.access).
		EnrollFactor(types.EnrollFactorRequest{FriendlyName: "replay", FactorType: types.FactorTypeTOTP, Issuer: "Vigil replay"})
	if err != nil {
		return advise(refusalOf(err), "Turn on authenticator apps in the project (Dashboard, Authentication, Multi-Factor), or set organizations.require_aal2 to false for a practice that is for tests.")
	}
	challenge, err := p.auth.client(ctx, "ask for a challenge", p.auth.publishable, p.access).
		ChallengeFactor(types.ChallengeFactorRequest{FactorID: enrolled.ID})
	if err != nil {
		return refusalOf(err)
	}
	code, err := totp.GenerateCode(enrolled.TOTP.Secret, time.Now())
	if err != nil {
		return errors.New("the second factor's secret is none") // its own error may quote it
	}
	proven, err := p.auth.client(ctx, "prove the second factor", p.auth.publishable, p.access).
		VerifyFactor(types.VerifyFactorRequest{FactorID: enrolled.ID, ChallengeID: challenge.ID, Code: code})
	if err != nil {
		return advise(refusalOf(err), "Is this machine's clock right? The code holds for 30 seconds.")
	}
	p.take(proven.Session)
	return nil
}

// refusalOf drops what the library put around a refusal.
func refusalOf(err error) error {
	var refused *RequestError
	if errors.As(err, &refused) {
		return refused
	}
	return errors.New("Auth gave an answer of another shape") //nolint:revive // a name
}

func (p *person) take(s types.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.access, p.refresh = s.AccessToken, s.RefreshToken
	p.expires = time.Now().Add(time.Duration(s.ExpiresIn) * time.Second)
}

// token gives an access token that is good for a while yet.
func (p *person) token(ctx context.Context) (string, error) {
	p.mu.Lock()
	access, refresh, left := p.access, p.refresh, time.Until(p.expires)
	p.mu.Unlock()
	if left > refreshBefore {
		return access, nil
	}
	fresh, err, _ := p.refreshing.Do(refresh, func() (any, error) {
		session, err := p.auth.client(ctx, "refresh a login", p.auth.publishable, "").RefreshToken(refresh)
		if err != nil {
			return "", refusalOf(err)
		}
		p.take(session.Session)
		return session.AccessToken, nil
	})
	text, _ := fresh.(string) // it is one, from above
	return text, err
}

func (p *person) signOut(ctx context.Context) error {
	p.mu.Lock()
	access := p.access
	p.mu.Unlock()
	if access == "" {
		return nil
	}
	err := p.auth.client(ctx, "sign out", p.auth.publishable, access).Logout()
	if code := codeOf(err); code == "session_not_found" || code == "session_expired" {
		return nil
	}
	if err != nil {
		return refusalOf(err)
	}
	return nil
}

// settle gives the person a name and registers their device, as the first visit of a browser does.
func (r *Replay) settle(ctx context.Context, p *person) error {
	device, err := envelope.NewDevice(uuid.New())
	if err != nil {
		return err
	}
	p.device = device
	if err := r.as(ctx, p, call{
		attempt: "write a name", method: http.MethodPost, path: "profiles", prefer: nothingReturned,
		body: map[string]any{"user_id": p.id, "display_name": fmt.Sprintf("Invented %s %.4s (replay)", p.role, p.id)},
	}); err != nil {
		return err
	}
	return r.as(ctx, p, call{
		attempt: "register a device", method: http.MethodPost, path: "devices", prefer: nothingReturned,
		body: map[string]any{
			"id": device.KID(), "user_id": p.id, "kind": "participant", "label": "vigil replay",
			"enc_pub": envelope.EncodeText(device.EncPub()), "sig_pub": envelope.EncodeText(device.SigPub()),
		},
	})
}

// as makes a request as the person.
func (r *Replay) as(ctx context.Context, p *person, c call) error {
	token, err := p.token(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", c.attempt, err)
	}
	c.token = token
	return r.rest.do(ctx, r.config.Patience, c)
}
