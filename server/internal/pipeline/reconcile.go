package pipeline

import (
	"context"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/logkey"
)

const reconcilePage = 500 // sessions asked for at once

// reconciles asks the tables for sessions that are behind, at start, each interval, and when told to.
func (p *Pipeline) reconciles(ctx context.Context) error {
	ticker := time.NewTicker(p.config.ReconcileInterval)
	defer ticker.Stop()
	for {
		if err := p.reconcile(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			p.config.Log.WarnContext(ctx, "reconcile was not possible", logkey.Error, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		case <-p.now:
		}
	}
}

func (p *Pipeline) reconcileNow() { signal(p.now) }

// reconcile parks what is behind. The table is the truth: whatever the log had or had not, this finds it.
func (p *Pipeline) reconcile(ctx context.Context) error {
	found := 0
	for after := (uuid.UUID{}); ; {
		page, err := p.config.Progress.Behind(ctx, after, p.config.ReconcileGrace, reconcilePage)
		if err != nil {
			return err
		}
		for _, b := range page {
			after = b.SessionID
			p.mu.Lock()
			known := p.parking.raise(b.SessionID, b.Last)
			full := p.parking.len() >= p.config.MaxParked
			p.mu.Unlock()
			switch {
			case known:
			case full:
				p.config.Log.WarnContext(ctx, "too many sessions are behind: the rest waits for the next reconcile", logkey.Count, found)
				return nil
			default:
				found++
				p.counts.reconciled.Add(1)
				p.park(ctx, b.SessionID, b.Last)
			}
		}
		if len(page) < reconcilePage {
			break
		}
	}
	if found > 0 {
		p.config.Log.InfoContext(ctx, "sessions were behind and are caught up", logkey.Count, found)
	}
	return nil
}
