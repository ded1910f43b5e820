package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"vigil/server/console"
	"vigil/server/internal/config"
	"vigil/server/internal/gateway"
	"vigil/server/internal/logkey"
)

// Serve runs the sidecar until ctx ends, and returns what went wrong; nil after a clean stop. It needs neither Postgres nor
// Supabase to be there when it starts: it waits for them, alive but not ready. Only the very first start, which makes the
// analysis key, must be able to ask the database whether there was one.
//
// The HTTP servers stand for as long as it runs. The flow behind them (sockets, relay, pipeline, intake) is stopped and
// built anew when continuity of the log is not proven.
func Serve(ctx context.Context, c config.Config, log *slog.Logger) (err error) {
	r, err := openResources(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	front := new(front)
	verifier, keys, err := newVerifier(c)
	if err != nil {
		return err
	}
	f := &flow{resources: r, front: front, verifier: verifier, keys: keys, model: newModel(r), leads: newLeads()}
	if f.model != nil {
		defer f.model.Close()
	}
	if c.Has(config.RolePage) {
		if f.escalation, err = newEscalation(ctx, r); err != nil {
			return err
		}
	}
	f.observe()
	page, err := newConsole(c)
	if err != nil {
		return err
	}
	public := gateway.New(gateway.Config{
		Verifier: verifier, Socket: front, Health: r.health, Metrics: r.metrics, Log: log,
		AllowedOrigins: c.AllowedOrigins, MaxBodyBytes: c.MaxBodyBytes, RequestTimeout: c.RequestTimeout, RatePerSecond: int(c.RatePerSecond), ProxyTo: c.ProxyTarget(),
		Address: gateway.Address(c.TrustedProxies),
		Console: page,
	})
	api, err := listen(ctx, c.Addr, "VIGIL_ADDR", public, c.DrainTimeout)
	if err != nil {
		return err
	}
	operator, err := listen(ctx, c.OperatorAddr, "VIGIL_OPERATOR_ADDR", gateway.Operator(r.metrics, r.health, r.tracer), c.DrainTimeout)
	if err != nil {
		return errors.Join(err, api.listener.Close())
	}
	log.InfoContext(ctx, "listening", logkey.Address, api.listener.Addr().String())
	// Twice: the flow's own parts have the deadline each, one after the other.
	const flowParts = 10
	parts := []part{
		{"flow", f.run},
		{"verifier", verifier.Run},
		{"bus", f.keepBus},
		{"http", api.run},
		{"operator", operator.run},
	}
	if c.Has(config.RoleDetect) || c.Has(config.RoleSuggest) {
		parts = append(parts, part{"keykeeper", newKeyKeeper(r).Run})
	}
	if f.escalation != nil {
		parts = slices.Insert(parts, 1, part{"escalation", f.escalation.Run}) // after the flow: what it drained is paged, too
	}
	return runParts(ctx, log, flowParts*c.DrainTimeout, parts, r.health.Stop)
}

// newConsole returns the page for clients and clinicians; nil where it is switched off.
func newConsole(c config.Config) (http.Handler, error) {
	if !c.Console {
		return nil, nil
	}
	return console.New(console.Config{SupabaseURL: c.SupabaseURL, PublishableKey: c.PublishableKey, DemoURL: c.DemoURL})
}

// server is one HTTP server on a listener that is open already, so that a taken port is found at once.
type server struct {
	http     *http.Server
	listener net.Listener
	drain    time.Duration
}

const readHeaderTimeout = 10 * time.Second

func listen(ctx context.Context, addr, variable string, h http.Handler, drain time.Duration) (*server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (is another vigil running? set %s to a free port)", variable, err, variable)
	}
	return &server{&http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, MaxHeaderBytes: gateway.MaxHeaderBytes,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // its lines hold addresses of people
	}, l, drain}, nil
}

// run serves until ctx ends, then lets requests in flight finish. Sockets are hijacked, and closed by the channel.
func (s *server) run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(s.listener) }() // waited for below
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
	defer cancel()
	err := s.http.Shutdown(bounded)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-ended
	return err
}
