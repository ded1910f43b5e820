package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"vigil/server/internal/logkey"
)

// mendInterval is how often the embedded server is asked for its health.
const mendInterval = time.Second

var errMended = errors.New("streams were started again")

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
	cause := serverHealth(ctx, b.ns)
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

// serverHealth is nil while JetStream is on and no stream has failed to write.
func serverHealth(ctx context.Context, ns *server.Server) error {
	if !ns.JetStreamEnabled() {
		return fmt.Errorf("%w: JetStream is off", ErrUnavailable)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/healthz", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	ns.HandleHealthz(w, r) // the one exported way to a stream's write error
	if w.status == http.StatusInternalServerError && ns.Running() {
		// The server's start, which ended long ago, was asked for with a millisecond's patience: this machine is busy.
		return nil
	}
	if w.status != http.StatusOK {
		return fmt.Errorf("%w: %s", ErrUnavailable, bytes.TrimSpace(w.body.Bytes()))
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

// readers are the reads of streams that go on; the server forgets them when it starts its streams again.
type readers struct {
	mu   sync.Mutex
	next int
	ends map[int]context.CancelCauseFunc
}

// reading derives a context that also ends, with errMended as its cause, when streams were started again.
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
		end(errMended)
	}
}
