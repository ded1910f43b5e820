package app

import (
	"context"
	"slices"
	"time"

	"vigil/realtime"
	"vigil/server/internal/logkey"
	"vigil/server/internal/relay"
	"vigil/server/internal/triage"
)

// WatchInterval is how often the database is asked for what the log may not tell where triggers are not permitted: changed
// policies, and logins that ended.
const WatchInterval = 5 * time.Second

// watch polls until ctx ends. What it finds has the same effect as a revocation that came by the log. While the bus is away none
// comes by it: then every grant is asked for again at each look, for what clients send each other goes on.
func (f *flow) watch(ctx context.Context, r *relaying) error {
	tick := time.NewTicker(WatchInterval)
	defer tick.Stop()
	fingerprint := ""
	for {
		if !f.bus.Connected() {
			fingerprint = ""
		}
		fingerprint = f.watchPolicies(ctx, r, fingerprint)
		f.watchLogins(ctx, r)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.hint:
		}
	}
}

// watchPolicies asks for every grant again when policies, functions or privileges have changed, and at the first reading,
// for they may have changed since the first join. It returns what they are now; before is "" at the first call.
func (f *flow) watchPolicies(ctx context.Context, r *relaying, before string) string {
	now, err := f.store.PolicyFingerprint(ctx)
	if err != nil {
		f.watchFailed(ctx, err)
		return before
	}
	if now != before {
		f.log.InfoContext(ctx, "policies were read: every grant is asked for again")
		r.invalidate(relay.Scope{Kind: relay.ScopeAll})
		r.channel.Reauthorize(func(realtime.Member) bool { return true })
	}
	return now
}

// watchLogins ends the channels of logins that are gone, and forgets what they may do: where there is no trigger on
// auth.sessions, and for bans. A login without a channel may have a grant that is kept: one that posts by REST has.
func (f *flow) watchLogins(ctx context.Context, r *relaying) {
	open := append(r.channel.Logins(), r.grants.Logins()...)
	slices.Sort(open)
	if open = slices.Compact(open); len(open) == 0 {
		return
	}
	live, err := f.store.LiveLogins(ctx, open)
	if err != nil {
		f.watchFailed(ctx, err)
		return
	}
	alive := make(map[string]bool, len(live))
	for _, login := range live {
		alive[login] = true
	}
	for _, login := range open {
		if !alive[login] {
			r.invalidate(relay.Scope{Kind: relay.ScopeLogin, ID: login})
			r.channel.EndLogin(login)
		}
	}
}

func (f *flow) watchFailed(ctx context.Context, err error) {
	if ctx.Err() == nil && !triage.IsUnavailable(err) {
		f.log.WarnContext(ctx, "policies and logins could not be looked at", logkey.Error, err.Error())
	}
}
