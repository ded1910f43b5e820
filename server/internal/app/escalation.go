package app

import (
	"context"
	"fmt"
	"time"

	"vigil/server/internal/escalation"
	"vigil/server/internal/store"
)

// newEscalation makes what pages people; nil, and a warning, where nobody is to be paged.
func newEscalation(ctx context.Context, r *resources) (*escalation.Escalation, error) {
	c := r.config
	if c.NotifyURL == nil {
		r.log.WarnContext(ctx, "nobody is paged: alerts show in the app only, for VIGIL_NOTIFY_SECRET is not set")
		return nil, nil
	}
	book := store.New(r.pages)
	e, err := escalation.New(escalation.Config{
		URL: c.NotifyURL, Secret: c.NotifySecret.Reveal(), Book: book, Ledger: book, Log: r.log,
		DrainWithin: c.DrainTimeout - drainMargin(c.DrainTimeout),
		Counted:     func(outcome string) { r.metrics.Pages.WithLabelValues(outcome).Inc() },
		Called:      func(sinceCommit time.Duration) { r.metrics.PageSeconds.Observe(sinceCommit.Seconds()) },
		At:          faultsAt("escalation"),
	})
	if err != nil {
		return nil, fmt.Errorf("VIGIL_NOTIFY_SECRET: %w", err)
	}
	for _, outcome := range escalation.Outcomes() {
		r.metrics.Pages.WithLabelValues(outcome) // from zero on, so that a first failure is a rise
	}
	r.metrics.Gauge("vigil_pages_unsent", "Pages that have yet to be sent.", func() float64 { return float64(e.Unsent().Count) })
	r.metrics.Gauge("vigil_pages_oldest_unsent_seconds", "How long the oldest page that has yet to be sent has waited; 0 when there is none.", func() float64 { return e.Unsent().Oldest.Seconds() })
	return e, nil
}
