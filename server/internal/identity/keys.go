package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// Doer sends a request, as http.Client does.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

const (
	defaultRefresh        = 10 * time.Minute
	defaultUnknownKeyWait = 10 * time.Second
	fetchTimeout          = 10 * time.Second
	maxJWKSBytes          = 256 << 10
)

// errUnknownKey is a kid that the JWKS does not have.
var errUnknownKey = errors.New("key is not in the JWKS")

// keySet holds the keys of the last JWKS that could be read.
type keySet struct {
	url     string
	client  Doer
	refresh time.Duration
	wait    time.Duration
	now     func() time.Time

	fetching chan struct{} // capacity 1: one fetch at a time, whose callers wait for it

	mu      sync.Mutex
	keys    keyfunc.Keyfunc // nil: none were fetched yet
	fetched time.Time       // the last attempt
	lastErr error           // of the last attempt
}

func newKeySet(c Config) *keySet {
	k := &keySet{url: c.JWKSURL, client: c.Client, refresh: c.Refresh, wait: c.UnknownKeyWait, now: c.Now, fetching: make(chan struct{}, 1)}
	if k.client == nil {
		k.client = &http.Client{Timeout: fetchTimeout}
	}
	if k.refresh == 0 {
		k.refresh = defaultRefresh
	}
	if k.wait == 0 {
		k.wait = defaultUnknownKeyWait
	}
	return k
}

func (k *keySet) run(ctx context.Context) error {
	tick := time.NewTicker(k.refresh)
	defer tick.Stop()
	for {
		_ = k.fetch(ctx, k.now()) // the keys we have stay; who needs one that we have not is told why
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// find gives the public key that a token names. A kid that is not known makes one fetch, if the last is long enough ago.
func (k *keySet) find(ctx context.Context, t *jwt.Token) (any, error) {
	if kid, ok := t.Header["kid"].(string); !ok || kid == "" {
		return nil, refuse(ErrSignature, "Failed to validate JWT signature", nil)
	}
	key, asked, err := k.lookUp(ctx, t)
	if errors.Is(err, errUnknownKey) && k.now().Sub(asked) >= k.wait {
		if fetchErr := k.fetch(ctx, asked); fetchErr != nil {
			return nil, refuse(ErrUnavailable, "", fetchErr)
		}
		key, _, err = k.lookUp(ctx, t)
	}
	if err == nil {
		return key, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lastErr != nil { // it may be there
		return nil, refuse(ErrUnavailable, "", k.lastErr)
	}
	return nil, refuse(ErrSignature, "Failed to validate JWT signature", nil)
}

func (k *keySet) lookUp(ctx context.Context, t *jwt.Token) (key any, asked time.Time, err error) {
	k.mu.Lock()
	keys, asked := k.keys, k.fetched
	k.mu.Unlock()
	if keys == nil {
		return nil, asked, errUnknownKey
	}
	key, err = keys.KeyfuncCtx(ctx)(t)
	if errors.Is(err, jwkset.ErrKeyNotFound) {
		return nil, asked, errUnknownKey
	}
	return key, asked, err
}

// fetch reads the JWKS, unless someone has since the caller looked.
func (k *keySet) fetch(ctx context.Context, since time.Time) error {
	select {
	case k.fetching <- struct{}{}:
		defer func() { <-k.fetching }()
	case <-ctx.Done():
		return ctx.Err()
	}
	k.mu.Lock()
	done, lastErr := k.fetched.After(since), k.lastErr
	k.mu.Unlock()
	if done {
		return lastErr
	}
	keys, err := k.read(ctx)
	if ctx.Err() != nil {
		return ctx.Err() // the caller went away: that is no attempt
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetched, k.lastErr = k.now(), err
	if err == nil {
		k.keys = keys
	}
	return err
}

func (k *keySet) read(ctx context.Context) (keyfunc.Keyfunc, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the JWKS: %w", err)
	}
	response, err := k.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch the JWKS: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the JWKS: status %d", response.StatusCode)
	}
	var set jwkset.JWKSMarshal
	if err := json.NewDecoder(io.LimitReader(response.Body, maxJWKSBytes)).Decode(&set); err != nil {
		return nil, fmt.Errorf("read the JWKS: %w", err)
	}
	store := jwkset.NewMemoryStorage()
	for _, marshal := range set.Keys {
		if marshal.KTY == jwkset.KtyOct { // a shared secret has no place in a public set
			continue
		}
		key, err := jwkset.NewJWKFromMarshal(marshal, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil { // of a kind that we do not know; the others count
			continue
		}
		if err := store.KeyWrite(ctx, key); err != nil {
			return nil, fmt.Errorf("keep a key of the JWKS: %w", err)
		}
	}
	keys, err := keyfunc.New(keyfunc.Options{Storage: store, UseWhitelist: []jwkset.USE{jwkset.UseSig, ""}})
	if err != nil {
		return nil, fmt.Errorf("use the JWKS: %w", err)
	}
	return keys, nil
}
