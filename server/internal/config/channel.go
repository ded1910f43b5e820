package config

import (
	"fmt"
	"time"
)

// Channel is what the sockets may hold and do. Each field is of realtime.Limits or realtime.Timing, which say more; a test of
// app keeps the defaults of both equal.
type Channel struct {
	Sockets                   int
	SocketsPerUser            int
	SocketsPerAddress         int
	HandshakesPerSecond       int
	JoinsPerSecond            int
	AddressJoinsPerSecond     int
	SocketJoinsPerSecond      int
	ChannelsPerSocket         int
	TopicsRemembered          int
	AuthorizeAtOnce           int
	FrameBytes                int
	QueueBytes                int
	QueueFrames               int
	ReplayEntries             int
	BroadcastBytes            int
	SocketBroadcastsPerSecond int
	SocketBroadcastBurst      int
	UserBroadcastsPerSecond   int
	UserBroadcastBurst        int
	PresenceMetas             int
	PresenceBytes             int
	SocketPresencePerSecond   int
	SocketPresenceBurst       int
	UserPresencePerSecond     int
	UserPresenceBurst         int

	Idle            time.Duration
	Ping            time.Duration
	Write           time.Duration
	TokenWithin     time.Duration
	ExpiryNotice    time.Duration
	Decide          time.Duration
	DenialFirst     time.Duration
	DenialMost      time.Duration
	CatchUpWithin   time.Duration
	HandshakeWait   time.Duration
	JoinWait        time.Duration
	FirstJoinWithin time.Duration
	NoChannelWithin time.Duration
}

// channelVariables are those of Channel.
var channelVariables = []Variable{
	{Name: "VIGIL_CHANNEL_SOCKETS", Default: "20000", Help: "Sockets that may be open at once."},
	{Name: "VIGIL_CHANNEL_SOCKETS_PER_USER", Default: "100", Help: "Sockets of one person on this process; joins on more are refused."},
	{Name: "VIGIL_CHANNEL_SOCKETS_PER_ADDRESS", Default: "2000", Help: "Sockets of one address (of IPv6, one /64), see VIGIL_TRUSTED_PROXIES; handshakes of more are refused."},
	{Name: "VIGIL_CHANNEL_HANDSHAKES_PER_SECOND", Default: "2000", Help: "Socket handshakes a second, and as many at once; those above it wait for their turn, so that a storm is spread."},
	{Name: "VIGIL_CHANNEL_JOINS_PER_SECOND", Default: "3000", Help: "Joins a second of all sockets, and as many at once; those above it wait for their turn."},
	{Name: "VIGIL_CHANNEL_ADDRESS_JOINS_PER_SECOND", Default: "1000", Help: "Joins a second of one address, likewise, so that it does not hold up the others."},
	{Name: "VIGIL_CHANNEL_SOCKET_JOINS_PER_SECOND", Default: "50", Help: "Joins a second of one socket, after a first VIGIL_CHANNEL_SOCKET_CHANNELS; more are refused."},
	{Name: "VIGIL_CHANNEL_SOCKET_CHANNELS", Default: "100", Help: "Channels of one socket."},
	{Name: "VIGIL_CHANNEL_TOPICS_REMEMBERED", Default: "200", Help: "Topics of one socket whose refusals and cursors are remembered between joins."},
	{Name: "VIGIL_CHANNEL_AUTHORIZE_AT_ONCE", Default: "64", Help: "Tokens and permissions that are looked at at once."},
	{Name: "VIGIL_CHANNEL_FRAME_BYTES", Default: "524288", Help: "Largest frame from a client in bytes, and largest batch of broadcasts by REST; the socket of a larger one is closed."},
	{Name: "VIGIL_CHANNEL_QUEUE_BYTES", Default: "4194304", Help: "Most bytes that wait for one socket; a slower client is sent back to replay."},
	{Name: "VIGIL_CHANNEL_QUEUE_FRAMES", Default: "4096", Help: "Most frames that wait for one socket, likewise."},
	{Name: "VIGIL_CHANNEL_REPLAY_ENTRIES", Default: "10000", Help: "Most entries that one join replays; who missed more reads the tables."},
	{Name: "VIGIL_CHANNEL_BROADCAST_BYTES", Default: "262144", Help: "Largest payload of a client's broadcast in bytes."},
	{Name: "VIGIL_CHANNEL_SOCKET_BROADCASTS_PER_SECOND", Default: "50", Help: "Broadcasts a second of one socket; more are refused."},
	{Name: "VIGIL_CHANNEL_SOCKET_BROADCAST_BURST", Default: "100", Help: "How many of these at once."},
	{Name: "VIGIL_CHANNEL_USER_BROADCASTS_PER_SECOND", Default: "100", Help: "Broadcasts a second of one person on this process, by all their sockets and by REST; more are refused."},
	{Name: "VIGIL_CHANNEL_USER_BROADCAST_BURST", Default: "200", Help: "How many of these at once, and the longest batch by REST."},
	{Name: "VIGIL_CHANNEL_PRESENCE_METAS", Default: "200", Help: "Presences on one topic."},
	{Name: "VIGIL_CHANNEL_PRESENCE_BYTES", Default: "4096", Help: "Largest payload of one presence in bytes."},
	{Name: "VIGIL_CHANNEL_SOCKET_PRESENCE_PER_SECOND", Default: "5", Help: "Presence messages a second of one socket; more are refused."},
	{Name: "VIGIL_CHANNEL_SOCKET_PRESENCE_BURST", Default: "20", Help: "How many of these at once."},
	{Name: "VIGIL_CHANNEL_USER_PRESENCE_PER_SECOND", Default: "10", Help: "Presence messages a second of one person on this process; more are refused."},
	{Name: "VIGIL_CHANNEL_USER_PRESENCE_BURST", Default: "40", Help: "How many of these at once."},
	{Name: "VIGIL_CHANNEL_IDLE", Default: "1m0s", Help: "A socket without any frame for so long, the answer to our ping included, is dead."},
	{Name: "VIGIL_CHANNEL_PING", Default: "25s", Help: "Between our pings; less than VIGIL_CHANNEL_IDLE."},
	{Name: "VIGIL_CHANNEL_WRITE", Default: "10s", Help: "How long a client may take to accept what is written to it."},
	{Name: "VIGIL_CHANNEL_TOKEN_WITHIN", Default: "10s", Help: "How long a private join may be without a token."},
	{Name: "VIGIL_CHANNEL_EXPIRY_NOTICE", Default: "1m0s", Help: "How long before its token ends a channel is told so."},
	{Name: "VIGIL_CHANNEL_DECIDE", Default: "3s", Help: "How long one look at a token or at permissions may take."},
	{Name: "VIGIL_CHANNEL_DENIAL_FIRST", Default: "500ms", Help: "Before the first refusal of a join; doubled with each."},
	{Name: "VIGIL_CHANNEL_DENIAL_MOST", Default: "8s", Help: "Before any refusal of a join, at most; less than 9s, for the client waits 10s."},
	{Name: "VIGIL_CHANNEL_CATCH_UP_WITHIN", Default: "5s", Help: "How long the log may take to show what was published."},
	{Name: "VIGIL_CHANNEL_HANDSHAKE_WAIT", Default: "5s", Help: "How long a handshake may wait for its turn; one that would wait longer is refused."},
	{Name: "VIGIL_CHANNEL_JOIN_WAIT", Default: "5s", Help: "How long a join may wait for its turn, likewise; less than 9s."},
	{Name: "VIGIL_CHANNEL_FIRST_JOIN_WITHIN", Default: "10s", Help: "How long a socket may ask for no channel: a client that lost its channels unawares comes back and joins them."},
	{Name: "VIGIL_CHANNEL_NO_CHANNEL_WITHIN", Default: "10m0s", Help: "How long a socket may be without a channel after that."},
}

// channel reads Channel, and holds what its fields must keep among each other.
func (p *parser) channel() Channel {
	count := func(name string) int { return int(p.count("VIGIL_CHANNEL_" + name)) }
	wait := func(name string) time.Duration { return p.duration("VIGIL_CHANNEL_" + name) }
	c := Channel{
		Sockets:                   count("SOCKETS"),
		SocketsPerUser:            count("SOCKETS_PER_USER"),
		SocketsPerAddress:         count("SOCKETS_PER_ADDRESS"),
		HandshakesPerSecond:       count("HANDSHAKES_PER_SECOND"),
		JoinsPerSecond:            count("JOINS_PER_SECOND"),
		AddressJoinsPerSecond:     count("ADDRESS_JOINS_PER_SECOND"),
		SocketJoinsPerSecond:      count("SOCKET_JOINS_PER_SECOND"),
		ChannelsPerSocket:         count("SOCKET_CHANNELS"),
		TopicsRemembered:          count("TOPICS_REMEMBERED"),
		AuthorizeAtOnce:           count("AUTHORIZE_AT_ONCE"),
		FrameBytes:                count("FRAME_BYTES"),
		QueueBytes:                count("QUEUE_BYTES"),
		QueueFrames:               count("QUEUE_FRAMES"),
		ReplayEntries:             count("REPLAY_ENTRIES"),
		BroadcastBytes:            count("BROADCAST_BYTES"),
		SocketBroadcastsPerSecond: count("SOCKET_BROADCASTS_PER_SECOND"),
		SocketBroadcastBurst:      count("SOCKET_BROADCAST_BURST"),
		UserBroadcastsPerSecond:   count("USER_BROADCASTS_PER_SECOND"),
		UserBroadcastBurst:        count("USER_BROADCAST_BURST"),
		PresenceMetas:             count("PRESENCE_METAS"),
		PresenceBytes:             count("PRESENCE_BYTES"),
		SocketPresencePerSecond:   count("SOCKET_PRESENCE_PER_SECOND"),
		SocketPresenceBurst:       count("SOCKET_PRESENCE_BURST"),
		UserPresencePerSecond:     count("USER_PRESENCE_PER_SECOND"),
		UserPresenceBurst:         count("USER_PRESENCE_BURST"),

		Idle:            wait("IDLE"),
		Ping:            wait("PING"),
		Write:           wait("WRITE"),
		TokenWithin:     wait("TOKEN_WITHIN"),
		ExpiryNotice:    wait("EXPIRY_NOTICE"),
		Decide:          wait("DECIDE"),
		DenialFirst:     wait("DENIAL_FIRST"),
		DenialMost:      wait("DENIAL_MOST"),
		CatchUpWithin:   wait("CATCH_UP_WITHIN"),
		HandshakeWait:   wait("HANDSHAKE_WAIT"),
		JoinWait:        wait("JOIN_WAIT"),
		FirstJoinWithin: wait("FIRST_JOIN_WITHIN"),
		NoChannelWithin: wait("NO_CHANNEL_WITHIN"),
	}
	p.less("VIGIL_CHANNEL_PING", "VIGIL_CHANNEL_IDLE", c.Ping < c.Idle)
	p.less("VIGIL_CHANNEL_BROADCAST_BYTES", "VIGIL_CHANNEL_FRAME_BYTES", c.BroadcastBytes < c.FrameBytes)
	p.less("VIGIL_CHANNEL_FRAME_BYTES", "VIGIL_CHANNEL_QUEUE_BYTES", c.FrameBytes < c.QueueBytes)
	p.less("VIGIL_CHANNEL_DENIAL_FIRST", "VIGIL_CHANNEL_DENIAL_MOST", c.DenialFirst < c.DenialMost)
	for name, d := range map[string]time.Duration{"DENIAL_MOST": c.DenialMost, "JOIN_WAIT": c.JoinWait, "DECIDE": c.Decide} {
		if d >= answerWithin {
			p.fault("VIGIL_CHANNEL_"+name, fmt.Sprintf("must be less than %v: a client waits 10s for the answer to its join", answerWithin))
		}
	}
	return c
}

// answerWithin is how long the answer to a join may take: realtime-js joins again after 10 s.
const answerWithin = 9 * time.Second

// less notes that one variable must be less than another, if it is not.
func (p *parser) less(name, than string, is bool) {
	if !is {
		p.fault(name, "must be less than "+than)
	}
}
