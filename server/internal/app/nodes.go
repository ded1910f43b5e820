package app

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"vigil/server/internal/bus"
	"vigil/server/internal/config"
	"vigil/server/internal/logkey"
)

// leased are the roles that one node at a time has: there is one slot, TOPICS has one writer, and a durable of LOG one reader.
var leased = []config.Role{config.RoleIngest, config.RoleDetect, config.RoleSuggest}

func newLeads() map[config.Role]*atomic.Bool {
	leads := make(map[config.Role]*atomic.Bool, len(leased))
	for _, role := range leased {
		leads[role] = new(atomic.Bool)
	}
	return leads
}

// node runs this node's roles against a cluster until ctx ends or one fails. Sockets stay while other nodes come and go: of a
// new log epoch the dispatcher learns from TOPICS.
func (f *flow) node(ctx context.Context) error {
	var parts []part
	for _, p := range []struct {
		role config.Role
		name string
		run  func(context.Context) error
	}{
		{config.RoleIngest, "ingest", f.ingest},
		{config.RoleDetect, "pipeline", f.detect},
		{config.RoleSuggest, "suggest", f.draft},
	} {
		if f.config.Has(p.role) {
			parts = append(parts, part{p.name, func(ctx context.Context) error { return f.lead(ctx, p.role, p.run) }})
		}
	}
	if f.config.Has(config.RoleRelay) {
		peers := f.bus.Peers()
		r := f.newRelaying(peers)
		f.now.relaying.Store(r)
		defer f.front.open(nil)
		parts = append(parts,
			part{"dispatcher", r.dispatcher.Run},
			part{"watch", func(ctx context.Context) error { return f.watch(ctx, r) }},
			part{"channel", func(ctx context.Context) error {
				f.awaitTopics(ctx)
				return f.serveChannel(ctx, r, r.dispatcher.Ready())
			}},
			part{"peers", peers.Run}, // after the channel, which says goodbye
		)
	}
	return runParts(ctx, f.log, f.config.DrainTimeout, parts, func() { f.front.open(nil) })
}

// lead does a role whenever this node has its lease, until ctx ends. What fails because the database or the bus is away is tried
// again, by whoever has the lease then.
func (f *flow) lead(ctx context.Context, role config.Role, do func(context.Context) error) error {
	for {
		err := f.bus.Lead(ctx, string(role), func(ctx context.Context) error {
			f.leads[role].Store(true)
			defer f.leads[role].Store(false)
			return do(ctx)
		})
		// A part that did not stop may still write: only a new process begins anew beside it.
		if ctx.Err() != nil || errors.Is(err, errDeadline) || !isAway(err) && !errors.Is(err, bus.ErrTaken) {
			return endOf(ctx, err)
		}
		f.log.WarnContext(ctx, "part begins again", logkey.Part, string(role), logkey.Error, err.Error(), logkey.Duration, retryPause)
		if !pause(ctx, retryPause) {
			return nil
		}
	}
}

// ingest is the intake of all nodes. LOG and TOPICS may have been made anew by another since this node read which they are.
func (f *flow) ingest(ctx context.Context) error {
	if err := f.bus.Refresh(ctx); err != nil {
		return err
	}
	return f.epochs(ctx, func(ctx context.Context, v verdict) error {
		i, err := f.newIntake(v, func() {}) // what was committed before the slot is found where it is reconciled, within a minute
		if err != nil {
			return err
		}
		f.now.intake.Store(i)
		defer f.now.intake.Store(nil)
		return runParts(ctx, f.log, f.config.DrainTimeout, []part{
			{"replication", i.reader.Run},
			{"sequencer", i.sequence},
			{"bus upkeep", f.bus.Run},
		}, nil)
	})
}

// keepBus is the upkeep of a bus in this process. On a cluster it is done by whoever ingests: LOG must not be purged by one
// node while another makes it anew.
func (f *flow) keepBus(ctx context.Context) error {
	if f.config.NATSURL.IsZero() {
		return f.bus.Run(ctx)
	}
	<-ctx.Done()
	return nil
}

// sequence begins once the slot is there. So TOPICS of a new epoch has its first entry, on which every node lets its sockets begin
// anew, after the instant from which everything comes.
func (i *intake) sequence(ctx context.Context) error {
	select {
	case <-i.begun:
		return i.sequencer.Run(ctx)
	case <-ctx.Done():
		return nil
	}
}

// awaitTopics waits until TOPICS has an entry: somebody has brought, or brings, commits into it.
func (f *flow) awaitTopics(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.bus.Topics().Follow(ctx, 1, func(context.Context, bus.TopicEntry) error { return errFound })
		if errors.Is(err, errFound) {
			return
		}
		pause(ctx, retryPause)
	}
}

var errFound = errors.New("found")

// detect is the pipeline of all nodes, and the errands that go with it.
func (f *flow) detect(ctx context.Context) error {
	if err := f.whileAway(ctx, f.registerKeys); err != nil {
		return err
	}
	f.ring.ForgetAll() // what ended it was read by whoever had the lease before
	reset := func() {}
	errands := f.newErrands()
	p := f.newPipeline(func() { reset() }, errands)
	reset = p.Reset
	f.now.pipeline.Store(p)
	defer f.now.pipeline.Store(nil)
	return runParts(ctx, f.log, f.config.DrainTimeout, slices.Concat([]part{{"pipeline", p.Run}}, errands.parts()), nil)
}

// draft makes the suggestions of all nodes.
func (f *flow) draft(ctx context.Context) error {
	f.ring.ForgetAll()
	drafter, err := f.newDrafter()
	if err != nil {
		return err
	}
	return drafter.Run(ctx)
}
