package app

import (
	"context"
	"time"

	"vigil/realtime"
	"vigil/server/internal/bus"
	"vigil/server/internal/config"
	"vigil/server/internal/gateway"
	"vigil/server/internal/grant"
	"vigil/server/internal/identity"
	"vigil/server/internal/relay"
)

// newVerifier makes what verifies tokens and connection keys of the configured project.
func newVerifier(c config.Config) (*identity.Verifier, *identity.APIKeys, error) {
	v, err := identity.New(identity.Config{Issuer: c.Issuer, JWKSURL: c.JWKSURL.String(), Secret: c.JWTSecret.Reveal()})
	if err != nil {
		return nil, nil, err
	}
	keys, err := identity.NewAPIKeys(c.JWTSecret.Reveal(), c.PublishableKey.Reveal(), c.SecretKey.Reveal())
	return v, keys, err
}

// newChannel makes the sockets' server with the grants that decide for it. handled is how far the dispatcher has come.
func (f *flow) newChannel(grants *grant.Grants, peers *bus.Peers, handled func() uint64) *realtime.Server {
	topics := f.bus.Topics()
	c := realtime.Config{
		Authenticate: func(ctx context.Context, token string) (realtime.Identity, error) {
			s, err := f.verifier.Verify(ctx, token)
			if err != nil {
				return realtime.Identity{}, err
			}
			return realtime.Identity{
				UserID: s.ID.String(), LoginID: s.LoginID.String(), AAL: s.AAL, ExpiresAt: s.ExpiresAt, Claims: s.Claims,
			}, nil
		},
		Authorize: grants.Authorize,
		Durable:   relay.Durable,
		History:   relay.NewHistory(topicsFeed{topics}, topics.Epoch),
		Handled:   handled,
		Retention: f.config.TopicsRetention, AllowedOrigins: f.config.AllowedOrigins, ValidKey: f.keys.Valid,
		Address: gateway.Address(f.config.TrustedProxies), Limits: limitsOf(f.config.Channel), Timing: timingOf(f.config),
		Log: f.log, OnFrame: f.markRelayed,
	}
	if peers != nil {
		c.Peers = peers
	}
	return realtime.New(c)
}

// drainMargin is what a part's deadline has over what the channel takes to drain.
func drainMargin(deadline time.Duration) time.Duration { return deadline / 4 }
