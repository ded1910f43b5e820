package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"vigil/server/internal/logkey"
)

// mendInterval is how often the embedded server is asked for its health.
const mendInterval = time.Second

// errForgotten ends a read that the server knows nothing of any more, or thinks further than it is.
var errForgotten = errors.New("streams were started, or connected to, again")

// mend starts JetStream again after a write failed: until then the stream takes and acknowledges nothing, even when there
// is space again. What was acknowledged is recovered from the files; what was in flight fails, and its writer calls Last.
//
// It waits for a Renew that goes on: a stream that is being made anew looks, to the server, like one that it could not recover.
func (b *Bus) mend(ctx context.Context, _ time.Time) error {
	end, err := b.log.keepUp(ctx)
	if err != nil {
		return err
	}
	defer end()
	cause := b.serverHealth(ctx)
	if cause == nil {
		return nil
	}
	if err := b.admit(0); err != nil {
		b.failAppends(err)
		return err
	}
	b.failAppends(cause)
	b.c.Log.ErrorContext(ctx, "embedded bus starts its streams again", logkey.Error, cause.Error())
	if err := b.ns.ShutdownJetStream(); err != nil {
		return fmt.Errorf("stop streams: %w", err)
	}
	if err := removeStray(b.c); err != nil {
		return err
	}
	config := streamsConfig(b.c)
	if err := b.ns.EnableJetStream(&config); err != nil {
		return fmt.Errorf("start streams: %w", err)
	}
	b.failAppends(cause) // what was sent in between
	b.readers.cancel()
	return nil
}

// serverHealth is nil while JetStream is on and no stream has failed to write. It asks for each of our streams by name: asked
// for all, the server takes the folder of a stream that it is deleting for one that it could not recover.
func (b *Bus) serverHealth(ctx context.Context) error {
	if !b.ns.JetStreamEnabled() {
		return fmt.Errorf("%w: JetStream is off", ErrUnavailable)
	}
	for _, part := range parts {
		query := url.Values{"account": {server.DEFAULT_GLOBAL_ACCOUNT}, "stream": {b.c.streamName(part)}}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/healthz?"+query.Encode(), http.NoBody)
		if err != nil {
			return fmt.Errorf("ask for health: %w", err)
		}
		w := &answer{header: http.Header{}, status: http.StatusOK}
		b.ns.HandleHealthz(w, r) // the one exported way to a stream's write error
		if w.status == http.StatusInternalServerError && b.ns.Running() {
			// The server's start, which ended long ago, was asked for with a millisecond's patience: this machine is busy.
			continue
		}
		if w.status != http.StatusOK {
			return fmt.Errorf("%w: %s", ErrUnavailable, bytes.TrimSpace(w.body.Bytes()))
		}
	}
	return nil
}

// answer is an http.ResponseWriter in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// readers are the reads of streams that go on. The server forgets them when it starts its streams again; and what it sent into a
// connection that broke, it takes for read.
type readers struct {
	mu   sync.Mutex
	next int
	ends map[int]context.CancelCauseFunc
}

// reading derives a context that also ends, with errForgotten as its cause, when the read must begin anew.
func (r *readers) reading(ctx context.Context) (_ context.Context, stop func()) {
	ctx, end := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ends == nil {
		r.ends = map[int]context.CancelCauseFunc{}
	}
	key := r.next
	r.next++
	r.ends[key] = end
	return ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.ends, key)
		end(nil)
	}
}

func (r *readers) cancel() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, end := range r.ends {
		end(errForgotten)
	}
}
