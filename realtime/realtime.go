// Package realtime serves Phoenix channels over WebSocket to an unmodified @supabase/realtime-js: an http.Handler that
// knows topics, grants and a durable log, and nothing of what they are about.
//
// It guarantees:
//   - A private topic is joined only with a grant that Config.Authorize gave for the token shown; nothing is delivered before.
//   - A durable topic is delivered in the order of Publish, without hole or duplicate between history and live, and each
//     (re)join is told by a system message whether everything since its cursor was recovered (guarantee 3).
//   - When Reauthorize returns, no matching channel is handed another frame until Authorize has granted it again; frames
//     queued before are dropped as they leave the queue, and read again from the history if the grant still stands. A join
//     that was being authorised meanwhile is authorised again (guarantee 4).
//   - Heartbeats are answered from the read path, before everything that is queued.
//   - A broadcast by REST asks the permission that a push asks; a batch is handed on whole or not at all.
//   - Above a rate of the server's, handshakes and joins wait for their turn, and joins are answered in time all the same.
//   - Every queue is bounded; a slow consumer is told so and its channels end with phx_error, which brings it back to replay.
//   - What other clients send is no reason for that: their broadcasts and presence are limited per socket and per person, and
//     dropped for a peer that has no room for them; its presence is then sent whole as soon as it has.
//   - With Config.Peers, broadcasts and presence reach the clients of every node. Whatever is lost between nodes, they come to
//     show the same people, and the people of a node that died leave within 7 s.
//
// It does not guarantee: client broadcasts are ephemeral, at most once; frames that the kernel already holds when a grant is
// withdrawn cannot be recalled.
//
// A channel's life:
//
//	join ──▶ joining ──no token──▶ awaiting ──token──▶ granted ──▶ closed (phx_close, phx_error, leave, socket gone)
//	            └───────token, grant──────────────────────▲ │
//	            └──refused: error reply, closed   resumed └─▼ suspended by Reauthorize
package realtime

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"
)

// Identity is whom a token speaks for. Claims is the token's whole payload, which Authorize hands to Postgres.
type Identity struct {
	UserID    string
	LoginID   string
	AAL       string
	ExpiresAt time.Time
	Claims    json.RawMessage
}

// Grant is what one identity may do on one topic. The zero Grant allows nothing.
type Grant struct {
	BroadcastReceive bool
	BroadcastSend    bool
	PresenceReceive  bool
	PresenceSend     bool
}

// Entry is one durable broadcast: what the log keeps of a row for one topic.
//
// Seq rises along a topic and is not dense; Prev is the topic's previous Seq, 0 if there was none; both are below 2^53.
// Epoch names the log they were counted in (the wire's meta.epoch). Payload is valid JSON. Topic has no realtime: prefix.
type Entry struct {
	Topic   string
	Event   string
	Payload json.RawMessage
	ID      string
	Seq     uint64
	Prev    uint64
	Epoch   string
	At      time.Time
}

// Member names one channel of one login, for Reauthorize.
type Member struct {
	UserID  string
	LoginID string
	Topic   string
}

// history is the durable log that joins replay from. An entry is readable here before it is given to Publish.
// All methods may be called at once.
type history interface {
	// Epoch names the log; it changes only when the log was made anew.
	Epoch() string
	// Read gives at most limit entries of topic with Seq > after, oldest first.
	Read(ctx context.Context, topic string, after uint64, limit int) ([]Entry, error)
	// Since gives the first limit entries of topic with At at or after since, oldest first.
	Since(ctx context.Context, topic string, since time.Time, limit int) ([]Entry, error)
	// LastOf gives the Seq of the topic's last entry, 0 if it never had one.
	LastOf(ctx context.Context, topic string) (uint64, error)
}

// Config says how a Server decides and how much it allows. Authenticate and Authorize are required, History too where
// Durable says yes to any topic; every other zero value means the default beside it.
type Config struct {
	// Authenticate verifies a token. An error with a method Refusal() (code, text string) says to the client why, if code
	// is one of ERRORS.md; any other error is answered as InvalidJWTToken. An error with Temporary() bool true is answered
	// as UnableToConnectToProject, and the client comes back.
	Authenticate func(ctx context.Context, token string) (Identity, error)
	// Authorize gives the grant of an identity on a topic (without the realtime: prefix). An error is temporary: nothing is
	// granted and the client comes back. A cache behind it must be invalidated before Reauthorize is called.
	Authorize func(ctx context.Context, id Identity, topic string) (Grant, error)
	// Durable names the topics that are private only and have a history. nil: none.
	Durable func(topic string) bool
	History history
	// Handled is the Seq up to which no revocation is yet to be handled, if History may be ahead of that: a replay goes no further. It must
	// have come to an entry's Seq when Publish is called for it. nil: History is never ahead.
	Handled func() uint64
	// Retention is how long History surely keeps entries; it lets a replay by since be called recovered. 0: unknown.
	Retention time.Duration
	// AllowPublic lets anyone with a valid key join topics that are not Durable without a token. False: private only.
	AllowPublic bool
	// Peers carries client broadcasts and presence to the other nodes that serve these topics. nil: this is the only one.
	Peers peers

	// AllowedOrigins are the values of Origin that may connect; "*" is any. Empty: only the server's own host. A request
	// without Origin is no browser and always passes.
	AllowedOrigins []string
	// Address says where a request comes from, for what an address may do. nil: the host of RemoteAddr; behind a proxy that is
	// the proxy's, for everybody.
	Address func(*http.Request) string
	// ValidKey says whether the connection's apikey is known. nil: every key that is not empty.
	ValidKey func(apikey string) bool

	Limits Limits
	Timing Timing

	Log *slog.Logger // nil: discard
	// At is called at named points, for tests that interleave: "authorize", "authorized", "replay", "suspended",
	// "posted" (after Authorize for a broadcast by REST).
	At func(point string)
	// OnFrame is called by a writer once per entry, after the first frame that carries it was written. It must not block.
	OnFrame func(Entry)
}

// Limits bounds what one socket, one person, one address and the server may hold and do. Zero fields take the default in the
// comment. What is said of a person and of the server is counted on this node alone.
//
// On top of its queue a socket holds at most a quarter of QueueBytes and QueueFrames of client broadcasts and presence
// diffs, and as much again of presence states. What is tracked on one topic takes at most a quarter of QueueBytes too, so
// that its presence_state fits, however PresenceMetas and PresenceBytes are set.
type Limits struct {
	Sockets               int   // sockets of the server: 20,000
	SocketsPerUser        int   // sockets of one person, above which joins are refused: 100
	SocketsPerAddress     int   // sockets of one address, above which handshakes are refused: 2,000
	HandshakesPerSecond   int   // handshakes of the server, and as many at once; those above it wait for their turn: 2,000
	ServerJoinsPerSecond  int   // joins of the server, and as many at once; those above it wait for their turn: 3,000
	AddressJoinsPerSecond int   // joins of one address, likewise, before they wait for the server's: 1,000
	JoinsPerSecond        int   // joins of one socket, with a burst of Channels, above which they are refused: 50
	Channels              int   // channels of one socket: 100
	TopicsRemembered      int   // topics of one socket whose denials and cursors are remembered: 200
	AuthorizeAtOnce       int   // Authenticate and Authorize running at once in the server: 64
	FrameBytes            int64 // a frame from the client, above which the socket is closed with 1009, and a batch by REST: 512 KiB
	QueueBytes            int   // durable broadcasts and control frames waiting for one socket: 4 MiB
	QueueFrames           int   // durable broadcasts and control frames waiting for one socket: 4,096
	ReplayEntries         int   // entries one join replays by cursor before it is told recovered: false: 10,000

	BroadcastBytes          int // the payload of a client's broadcast, above which it is refused: 256 KiB
	BroadcastsPerSecond     int // broadcasts pushed by one socket, above which they are refused: 50
	BroadcastBurst          int // the burst of these: 100
	UserBroadcastsPerSecond int // broadcasts of one person by all their sockets and by REST, above which they are refused: 100
	UserBroadcastBurst      int // the burst of these, and the longest batch by REST: 200

	PresenceMetas         int // metas tracked on one topic: 200
	PresenceBytes         int // payload of one track: 4 KiB
	PresencePerSecond     int // track and untrack pushed by one socket, above which they are refused: 5
	PresenceBurst         int // the burst of these: 20
	UserPresencePerSecond int // track and untrack pushed by one person, above which they are refused: 10
	UserPresenceBurst     int // the burst of these: 40
}

// Timing is every wait of the server. Zero fields take the default in the comment.
type Timing struct {
	Idle          time.Duration // a socket without any frame, pong included, is dead: 60 s
	Ping          time.Duration // between our pings: 25 s
	Write         time.Duration // one write: 10 s
	TokenWithin   time.Duration // a bare private join must show a token: 10 s
	ExpiryNotice  time.Duration // before its token ends a channel is told so: 60 s
	Decide        time.Duration // one Authenticate, Authorize or look at where a topic's log stands, each: 3 s
	DenialFirst   time.Duration // before the first error reply to a join; it doubles per socket and topic: 500 ms
	DenialMost    time.Duration // and grows no further than: 8 s
	DrainWithin   time.Duration // from the end of Run's context to the last close: 5 s
	CatchUpWithin time.Duration // history may lag behind Publish by: 5 s

	HandshakeWait   time.Duration // a handshake waits for its turn, and is refused if that would be longer: 5 s
	JoinWait        time.Duration // a join, likewise: 5 s
	FirstJoinWithin time.Duration // a socket that asks to join nothing for so long is closed with 4002: 10 s
	NoChannelWithin time.Duration // a socket that has lost or left all its channels, after: 10 min
}
