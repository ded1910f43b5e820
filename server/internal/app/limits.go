package app

import (
	"vigil/realtime"
	"vigil/server/internal/config"
)

// limitsOf is what the configuration lets sockets hold and do.
func limitsOf(c config.Channel) realtime.Limits {
	return realtime.Limits{
		Sockets: c.Sockets, SocketsPerUser: c.SocketsPerUser, SocketsPerAddress: c.SocketsPerAddress,
		HandshakesPerSecond: c.HandshakesPerSecond, ServerJoinsPerSecond: c.JoinsPerSecond,
		AddressJoinsPerSecond: c.AddressJoinsPerSecond, JoinsPerSecond: c.SocketJoinsPerSecond,
		Channels: c.ChannelsPerSocket, TopicsRemembered: c.TopicsRemembered, AuthorizeAtOnce: c.AuthorizeAtOnce,
		FrameBytes: int64(c.FrameBytes), QueueBytes: c.QueueBytes, QueueFrames: c.QueueFrames, ReplayEntries: c.ReplayEntries,

		BroadcastBytes:      c.BroadcastBytes,
		BroadcastsPerSecond: c.SocketBroadcastsPerSecond, BroadcastBurst: c.SocketBroadcastBurst,
		UserBroadcastsPerSecond: c.UserBroadcastsPerSecond, UserBroadcastBurst: c.UserBroadcastBurst,

		PresenceMetas: c.PresenceMetas, PresenceBytes: c.PresenceBytes,
		PresencePerSecond: c.SocketPresencePerSecond, PresenceBurst: c.SocketPresenceBurst,
		UserPresencePerSecond: c.UserPresencePerSecond, UserPresenceBurst: c.UserPresenceBurst,
	}
}

// timingOf is how long the configuration lets each wait of a socket take.
func timingOf(c config.Config) realtime.Timing {
	t := c.Channel
	return realtime.Timing{
		Idle: t.Idle, Ping: t.Ping, Write: t.Write, TokenWithin: t.TokenWithin, ExpiryNotice: t.ExpiryNotice, Decide: t.Decide,
		DenialFirst: t.DenialFirst, DenialMost: t.DenialMost, CatchUpWithin: t.CatchUpWithin,
		HandshakeWait: t.HandshakeWait, JoinWait: t.JoinWait, FirstJoinWithin: t.FirstJoinWithin,
		NoChannelWithin: t.NoChannelWithin,
		DrainWithin:     c.DrainTimeout - drainMargin(c.DrainTimeout),
	}
}
