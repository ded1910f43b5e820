package telemetry

import (
	"context"
	"sort"
	"sync"
	"time"
)

// CheckTimeout bounds one readiness check.
const CheckTimeout = 2 * time.Second

// Health answers whether the process is ready: every named check must pass. Register before serving; Ready is safe for
// concurrent use.
type Health struct {
	mu       sync.Mutex
	checks   map[string]func(context.Context) error
	stopping bool
}

// Register adds a check. It must return within CheckTimeout of its context's end, and say what is wrong without a secret.
func (h *Health) Register(part string, check func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks == nil {
		h.checks = make(map[string]func(context.Context) error)
	}
	h.checks[part] = check
}

// Stop makes Ready fail from now on, so that no new work is sent here while the parts drain.
func (h *Health) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
}

// Part is one check's result; Error is empty when it passed.
type Part struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// Ready runs every check at once and returns the results by name.
func (h *Health) Ready(ctx context.Context) (ok bool, parts []Part) {
	ctx, cancel := context.WithTimeout(ctx, CheckTimeout)
	defer cancel()
	h.mu.Lock()
	stopping := h.stopping
	results := make(chan Part, len(h.checks))
	for name, check := range h.checks {
		go func() { // ended by ctx; waited for below
			p := Part{Name: name, OK: true}
			if err := check(ctx); err != nil {
				p.OK, p.Error = false, err.Error()
			}
			results <- p
		}()
	}
	n := len(h.checks)
	h.mu.Unlock()

	ok = !stopping
	if stopping {
		parts = append(parts, Part{Name: "process", Error: "stopping"})
	}
	for range n {
		p := <-results
		ok = ok && p.OK
		parts = append(parts, p)
	}
	sort.Slice(parts, func(i, j int) bool { return parts[i].Name < parts[j].Name })
	return ok, parts
}
