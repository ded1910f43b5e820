package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"vigil/server/internal/config"
)

const (
	eraseTimeout   = 2 * time.Minute // of one call: a session of years is one transaction
	maxEraseAnswer = 16 << 20
	removedAtOnce  = 100 // files in one call to Storage
	sealedBucket   = "sealed"

	eraseAttempts  = 6
	eraseFirstWait = 100 * time.Millisecond // then twice as long each time
)

// eraser calls PostgREST and Storage with the project's secret key, as its own server does.
type eraser struct {
	base   *url.URL
	secret config.Secret
	client *http.Client
}

func newEraser(p Process) (*eraser, error) {
	base, err := webAddress(trimmed(p, "SUPABASE_URL"), "SUPABASE_URL")
	if err != nil {
		return nil, err
	}
	secret := config.NewSecret(trimmed(p, "SUPABASE_SECRET_KEY"))
	if base == nil || secret.IsZero() {
		return nil, errors.New("SUPABASE_URL and SUPABASE_SECRET_KEY must be set: only the project's own server may erase")
	}
	return &eraser{base: base, secret: secret, client: &http.Client{
		Timeout: eraseTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the key goes nowhere else
	}}, nil
}

// refusedCall is a refusal, by its codes alone: what the other side says may quote what it was asked.
type refusedCall struct {
	attempt, code string
	status        int
}

// Error names the codes.
func (e *refusedCall) Error() string {
	if e.code == "" {
		return fmt.Sprintf("%s: answered %d", e.attempt, e.status)
	}
	return fmt.Sprintf("%s: answered %d %s", e.attempt, e.status, e.code)
}

// call calls a function of the database, again where the database asks for that: messages keep coming, or two were in each
// other's way. Nothing was done then.
func (e *eraser) call(ctx context.Context, function string, arguments, into any) (err error) {
	wait := eraseFirstWait
	for range eraseAttempts {
		err = e.ask(ctx, function, http.MethodPost, e.base.JoinPath("rest/v1/rpc", function), arguments, into)
		var refused *refusedCall
		if !errors.As(err, &refused) || !callAgain[refused.code] {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
		wait *= 2
	}
	return err
}

// callAgain are the SQLSTATEs of what another try may do: messages keep coming; a deadlock; a serialization failure.
var callAgain = map[string]bool{"VG028": true, "40P01": true, "40001": true}

// remove removes files from Storage. One that is gone is no error.
func (e *eraser) remove(ctx context.Context, names []string) error {
	return e.ask(ctx, "remove files", http.MethodDelete, e.base.JoinPath("storage/v1/object", sealedBucket), map[string]any{"prefixes": names}, nil)
}

func (e *eraser) ask(ctx context.Context, attempt, method string, at *url.URL, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("%s: the address is none", attempt)
	}
	req.Header.Set("Apikey", e.secret.Reveal())
	req.Header.Set("Authorization", "Bearer "+e.secret.Reveal())
	req.Header.Set("Content-Type", "application/json")
	res, err := e.client.Do(req)
	if err != nil { // its text has the address, which has nothing secret, and is long
		return fmt.Errorf("%s: no answer. Is SUPABASE_URL right, and does this machine reach it?", attempt)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxEraseAnswer))
	if err != nil {
		return fmt.Errorf("%s: the answer broke off: call it again", attempt)
	}
	if res.StatusCode/100 != 2 {
		refused := &refusedCall{attempt: attempt, status: res.StatusCode}
		var said struct {
			Code string `json:"code"`
		}
		if json.Unmarshal(answer, &said) == nil {
			refused.code = said.Code
		}
		return refused
	}
	if into != nil && json.Unmarshal(answer, into) != nil {
		return fmt.Errorf("%s: the answer has another shape: is the project's schema of this version?", attempt)
	}
	return nil
}
