package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"vigil/server/internal/bus"
	"vigil/server/internal/config"
	"vigil/server/internal/pipeline"
	"vigil/server/internal/suggest"
)

var (
	errNotRunning   = errors.New("is not running yet")
	errNotConnected = errors.New("the replication stream is not connected")
	errNotOpen      = errors.New("sockets are not let in yet")
)

// observe registers readiness checks and gauges. They ask the generation that runs at that moment.
func (f *flow) observe() {
	f.health.Register("database", func(ctx context.Context) error { return f.pool.Ping(ctx) })
	f.health.Register("bus", f.bus.Health)
	f.health.Register("replication", f.checkReplication)
	f.health.Register("channel", func(context.Context) error {
		if r := f.now.relaying.Load(); f.config.Has(config.RoleRelay) && (r == nil || !r.open.Load()) {
			return errNotOpen
		}
		return nil
	})
	f.observeReplication()
	f.observePipeline()
	f.observeRelay()
	f.observeBus()
	f.observeLeases()
	for _, outcome := range suggest.CallOutcomes() {
		f.metrics.ModelCalls.WithLabelValues(outcome) // from zero on, so that a first failure is a rise
	}
}

func (f *flow) checkReplication(context.Context) error {
	i := f.now.intake.Load()
	if i == nil && !f.config.NATSURL.IsZero() {
		return nil // another node's
	}
	if i == nil {
		return errNotRunning
	}
	s := i.reader.State()
	if s.Connected {
		return nil
	}
	if s.LastError != nil {
		return fmt.Errorf("%w: %w", errNotConnected, s.LastError)
	}
	return errNotConnected
}

// of reads a number of a part that runs; 0 while it does not.
func of[T any](part *atomic.Pointer[T], read func(*T) float64) func() float64 {
	return func() float64 {
		if p := part.Load(); p != nil {
			return read(p)
		}
		return 0
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (f *flow) observeReplication() {
	m := f.metrics
	m.Gauge("vigil_replication_connected", "1 while the replication stream runs.", of(&f.now.intake, func(i *intake) float64 { return flag(i.reader.State().Connected) }))
	m.Gauge("vigil_replication_lag_bytes", "WAL between the server's end and what is confirmed.", of(&f.now.intake, func(i *intake) float64 { return float64(i.reader.State().Lag) }))
	m.Gauge("vigil_wal_retained_bytes", "WAL that Postgres keeps for the slot.", of(&f.now.intake, func(i *intake) float64 { return float64(i.reader.State().Slot.RetainedWAL) }))
	m.Gauge("vigil_wal_budget_bytes", "WAL that may still be written before the slot is in danger; -1 means no limit.", of(&f.now.intake, func(i *intake) float64 { return float64(i.reader.State().Slot.SafeWALSize) }))
	m.Counter("vigil_replication_rows_total", "Changes stored in LOG since the flow began.", of(&f.now.intake, func(i *intake) float64 { return float64(i.reader.State().Rows) }))
	m.Counter("vigil_replication_transactions_total", "Transactions read since the flow began.", of(&f.now.intake, func(i *intake) float64 { return float64(i.reader.State().Transactions) }))
	m.Counter("vigil_replication_reconnects_total", "Connections made anew since the flow began.", of(&f.now.intake, func(i *intake) float64 { return float64(i.reader.State().Reconnects) }))
}

func (f *flow) observePipeline() {
	m := f.metrics
	m.Gauge("vigil_epochs_open", "Epochs whose keys are open in memory.", func() float64 { return float64(f.ring.Len()) })
	m.Gauge("vigil_pipeline_parked_sessions", "Sessions that are being caught up from the tables.", of(&f.now.pipeline, func(p *pipeline.Pipeline) float64 { return float64(p.Stats().Parked) }))
	m.Counter("vigil_pipeline_messages_total", "Messages read from LOG since the flow began.", of(&f.now.pipeline, func(p *pipeline.Pipeline) float64 { return float64(p.Stats().Messages) }))
	m.Counter("vigil_pipeline_failures_total", "Temporary failures since the flow began.", of(&f.now.pipeline, func(p *pipeline.Pipeline) float64 { return float64(p.Stats().Failures) }))
	m.Counter("vigil_pipeline_reconciled_sessions_total", "Sessions that reconcile found behind since the flow began.", of(&f.now.pipeline, func(p *pipeline.Pipeline) float64 { return float64(p.Stats().Reconciled) }))
	m.Counter("vigil_alerts_unreached_total", "Alerts that reach nobody, for the organisation has nobody to be told. A person must act.", of(&f.now.pipeline, func(p *pipeline.Pipeline) float64 { return float64(p.Stats().Unreached) }))
}

func (f *flow) observeRelay() {
	m := f.metrics
	m.Gauge("vigil_sockets", "Open sockets.", of(&f.now.relaying, func(r *relaying) float64 { return float64(r.channel.Stats().Sockets) }))
	m.Gauge("vigil_channels", "Joined channels.", of(&f.now.relaying, func(r *relaying) float64 { return float64(r.channel.Stats().Channels) }))
	m.Counter("vigil_channel_skipped_total", "Clients' broadcasts and presence frames for which a socket had no room, since the flow began.", of(&f.now.relaying, func(r *relaying) float64 { return float64(r.channel.Stats().Skipped) }))
	m.Gauge("vigil_channel_nodes", "Other nodes that the channel hears.", of(&f.now.relaying, func(r *relaying) float64 { return float64(r.channel.Stats().Peers.Nodes) }))
	m.Counter("vigil_channel_nodes_dropped_total", "Frames of or for other nodes that were dropped, since the flow began.", of(&f.now.relaying, func(r *relaying) float64 { return float64(r.channel.Stats().Peers.Dropped) }))
	m.Counter("vigil_relay_published_total", "Entries given to the sockets since the flow began.", of(&f.now.relaying, func(r *relaying) float64 { return float64(r.dispatcher.Stats().Published) }))
	m.Counter("vigil_relay_revocations_total", "Revocations handled since the flow began.", of(&f.now.relaying, func(r *relaying) float64 { return float64(r.dispatcher.Stats().Revoked) }))
	m.Gauge("vigil_grants_kept", "Grants remembered.", of(&f.now.relaying, func(r *relaying) float64 { return float64(r.grants.Stats().Kept) }))
}

// observeLeases says on which node of several the parts run that run on one.
func (f *flow) observeLeases() {
	for _, role := range leased {
		f.metrics.Gauge("vigil_leads_"+string(role), "1 on the node that does "+string(role)+" for all.", func() float64 { return flag(f.leads[role].Load()) })
	}
}

// scrapeTimeout bounds what one scrape asks of the bus.
const scrapeTimeout = time.Second

func (f *flow) observeBus() {
	read := func(pick func(bus.Stats) float64) func() float64 {
		return func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout) // Prometheus' collectors are given no context
			defer cancel()
			s, err := f.bus.Stats(ctx)
			if err != nil {
				return -1
			}
			return pick(s)
		}
	}
	f.metrics.Gauge("vigil_bus_log_bytes", "Bytes of LOG; -1 when the bus does not answer.", read(func(s bus.Stats) float64 { return float64(s.Log.Bytes) }))
	f.metrics.Gauge("vigil_bus_topics_bytes", "Bytes of TOPICS; -1 when the bus does not answer.", read(func(s bus.Stats) float64 { return float64(s.Topics.Bytes) }))
	f.metrics.Gauge("vigil_bus_pipeline_lag", "Entries of LOG that the pipeline has not passed.", read(func(s bus.Stats) float64 { return float64(s.Lag[bus.Pipeline]) }))
	f.metrics.Gauge("vigil_bus_suggest_lag", "Entries of LOG that suggestions have not passed.", read(func(s bus.Stats) float64 { return float64(s.Lag[bus.Suggest]) }))
	f.metrics.Gauge("vigil_bus_sequencer_lag", "Entries of LOG that the sequencer has not passed.", read(func(s bus.Stats) float64 { return float64(s.Lag[bus.Sequencer]) }))
	f.metrics.Gauge("vigil_bus_lost_stores", "Stores that were moved aside and still lie in VIGIL_DATA_DIR.", read(func(s bus.Stats) float64 { return float64(s.LostStores) }))
	f.metrics.Counter("vigil_bus_refused_total", "Appends refused for want of disk space since the start.", read(func(s bus.Stats) float64 { return float64(s.Refused) }))
}
