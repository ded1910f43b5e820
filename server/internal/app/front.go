package app

import (
	"encoding/json"
	"net/http"
	"sync/atomic"
)

// front hands sockets to the channel server of the running flow, and turns them away while there is none: the client
// tries again by itself.
type front struct {
	current atomic.Pointer[http.Handler]
}

// open lets sockets in to h; nil shuts the door.
func (f *front) open(h http.Handler) {
	if h == nil {
		f.current.Store(nil)
		return
	}
	f.current.Store(&h)
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := f.current.Load()
	if h == nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		const text = "The channel is starting; try again."
		_ = json.NewEncoder(w).Encode(map[string]string{"error": text, "code": "RealtimeRestarting", "message": text}) // as the channel's own refusals
		return
	}
	(*h).ServeHTTP(w, r)
}
