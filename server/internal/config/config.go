// Package config turns the environment into one Config.
//
// Guarantees: Parse is the only reader of the environment; it reports every fault at once, names the variable and what
// to write, and never prints a value. A Secret never prints itself. .env.example lists exactly these variables (a test).
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Redacted is what a Secret shows instead of itself.
const Redacted = "[redacted]"

// Secret is a value that must not reach a log, an error or an answer. Reveal gives the value itself.
type Secret struct{ value string }

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{value: value} }

// Reveal returns the value. Call it only where the value is handed to the library that needs it.
func (s Secret) Reveal() string { return s.value }

// IsZero says that no value was given.
func (s Secret) IsZero() bool { return s.value == "" }

// String implements fmt.Stringer without the value.
func (Secret) String() string { return Redacted }

// Format implements fmt.Formatter without the value, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// LogValue implements slog.LogValuer without the value.
func (Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON implements json.Marshaler without the value.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler without the value.
func (Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// Config is everything the sidecar may be told. Zero values are documented in Variables.
type Config struct {
	DatabaseURL    Secret // role vigil; a session pooler will do
	ReplicationURL Secret // direct, never a pooler
	Slot           string
	CACertFile     string

	SupabaseURL    *url.URL
	PublishableKey Secret
	SecretKey      Secret
	JWTSecret      Secret // legacy HS256; none unless set
	JWKSURL        *url.URL
	Issuer         string

	Addr           string
	OperatorAddr   string
	AllowedOrigins []string
	Proxy          bool
	MaxBodyBytes   int64
	RequestTimeout time.Duration
	RatePerSecond  int64
	TrustedProxies []netip.Prefix
	Channel        Channel
	DrainTimeout   time.Duration

	Roles           []Role // what this process does
	DataDir         string
	NATSURL         Secret
	NATSReplicas    int64
	BusKey          Secret
	BusMaxBytes     int64
	TopicsRetention time.Duration

	AnalysisKeyFile string
	AnalysisKey     Secret
	KeyKeep         time.Duration // how long after a session's end its analysis key may still be needed

	Console bool
	DemoURL *url.URL // development only; nil elsewhere

	ModelURL     *url.URL // nil: no model is ever called
	ModelKey     Secret
	ModelTimeout time.Duration

	NotifyURL    *url.URL // nil: nobody is paged
	NotifySecret Secret

	HeartbeatInterval time.Duration
	ReconcileInterval time.Duration
	GiveUpAfter       time.Duration
	LogLevel          slog.Level
	LogFormat         string
}

// Variable describes one environment variable: its name, what it means, and what it is when unset.
type Variable struct {
	Name, Help, Default string
	Required, Secret    bool
}

// Variables lists every variable Parse reads, in the order of .env.example.
var Variables = slices.Concat(generalVariables, channelVariables)

var generalVariables = []Variable{
	{Name: "DATABASE_URL", Required: true, Secret: true, Help: "Postgres as role vigil; a session pooler will do. Its password is set by you: alter role vigil password '…'."},
	{Name: "REPLICATION_URL", Required: true, Secret: true, Help: "Postgres for logical replication: a direct connection, never a pooler. Hosted Postgres 15: role postgres; 17: a role with replication."},
	{Name: "DATABASE_CA_FILE", Help: "The Supabase CA certificate (PEM), used with sslmode=verify-full when the URLs name no sslrootcert."},
	{Name: "VIGIL_SLOT", Default: "vigil", Help: "Name of the replication slot; made when missing."},
	{Name: "SUPABASE_URL", Required: true, Help: "The project's URL, such as https://abc.supabase.co."},
	{Name: "SUPABASE_PUBLISHABLE_KEY", Required: true, Secret: true, Help: "The project's publishable key (sb_publishable_…) or legacy anon key."},
	{Name: "SUPABASE_SECRET_KEY", Secret: true, Help: "A secret key (sb_secret_…); only vigil doctor and admin calls to Auth use it."},
	{Name: "SUPABASE_JWT_SECRET", Secret: true, Help: "Only for projects that still sign tokens with the legacy HS256 secret."},
	{Name: "SUPABASE_JWKS_URL", Help: "Where the token keys are; SUPABASE_URL/auth/v1/.well-known/jwks.json when unset."},
	{Name: "SUPABASE_JWT_ISSUER", Help: "The tokens' iss claim; SUPABASE_URL/auth/v1 when unset."},
	{Name: "VIGIL_ADDR", Default: "127.0.0.1:8788", Help: "Address of the channel and the HTTP API."},
	{Name: "VIGIL_OPERATOR_ADDR", Default: "127.0.0.1:8789", Help: "Address of /metrics and /trace for operators; keep it private."},
	{Name: "VIGIL_ALLOWED_ORIGINS", Help: "Comma-separated origins that browsers may come from, such as https://app.example. None when unset; * allows all (development only)."},
	{Name: "VIGIL_PROXY", Default: "false", Help: "true: also pass /auth/v1 /rest/v1 /storage/v1 /functions/v1 on to SUPABASE_URL."},
	{Name: "VIGIL_MAX_BODY_BYTES", Default: "1048576", Help: "Largest request body in bytes."},
	{Name: "VIGIL_REQUEST_TIMEOUT", Default: "30s", Help: "Longest time for one HTTP request (not for a socket)."},
	{Name: "VIGIL_RATE_PER_SECOND", Default: "50", Help: "Most HTTP requests a second from one address, other than sockets (of IPv6, one /64); twice as many in a burst. Behind a load balancer that VIGIL_TRUSTED_PROXIES does not name, all people share its address."},
	{Name: "VIGIL_TRUSTED_PROXIES", Help: "Comma-separated addresses or networks, such as 10.0.0.0/8, of the proxies in front. Only they are believed what X-Forwarded-For says; the rightmost address in it that is none of theirs is the client's."},
	{Name: "VIGIL_DRAIN_TIMEOUT", Default: "8s", Help: "How long a stop may take before what is left is cut off."},
	{Name: "VIGIL_DATA_DIR", Default: ".vigil/data", Help: "Where the embedded bus keeps its files (ciphertext and ids only, encrypted at rest)."},
	{Name: "VIGIL_BUS_KEY", Secret: true, Help: "Key of the bus files; when unset a key file is made in VIGIL_DATA_DIR. With NATS_URL it seals what clients send each other through several sidecars, which must all have it; when unset that is not sealed."},
	{Name: "VIGIL_BUS_MAX_BYTES", Default: "4294967296", Help: "Most bytes LOG may take; when full, confirming stops, loudly, and nothing is dropped."},
	{Name: "VIGIL_TOPICS_RETENTION", Default: "72h", Help: "How long a client may have been away and still recover from the log."},
	{Name: "NATS_URL", Secret: true, Help: "An external NATS cluster instead of the embedded bus. Any number of sidecars may then share the work, see VIGIL_ROLES."},
	{Name: "VIGIL_NATS_REPLICAS", Default: "1", Help: "On how many servers of the cluster each stream is kept: 1, 3 or 5. Streams that are kept on fewer are raised at a start."},
	{Name: "VIGIL_ROLES", Default: "all", Help: "What this process does: all, or with NATS_URL some of ingest, detect, suggest, relay and page, separated by commas. Of the processes that ingest, detect or suggest, one at a time does, and another follows when it dies; any number relays."},
	{Name: "VIGIL_ANALYSIS_KEY_FILE", Default: ".vigil/analysis-key.json", Help: "The sidecar's device key (file mode 0600); made at the first start."},
	{Name: "VIGIL_ANALYSIS_KEY", Secret: true, Help: "The same as the file's content, from the environment; wins over the file."},
	{Name: "VIGIL_KEY_KEEP", Default: "72h", Help: "How long after a session's end its messages may still have to be opened. A key that vigil keys retire has ended is destroyed once every session that used it has been over for so long."},
	{Name: "VIGIL_CONSOLE", Default: "true", Help: "true: serve the console (a page for clients and clinicians) at /console/ of VIGIL_ADDR."},
	{Name: "VIGIL_DEMO_URL", Help: "Development only: where the demo's page is; the console then offers the invented people at sign-in."},
	{Name: "VIGIL_MODEL_URL", Help: "An OpenAI-compatible API, such as https://api.openai.com/v1, for suggestions; https unless it is on this machine. It is asked only under a model route of the organisation and a consent that names external models."},
	{Name: "VIGIL_MODEL_KEY", Secret: true, Help: "The key of VIGIL_MODEL_URL."},
	{Name: "VIGIL_MODEL_TIMEOUT", Default: "20s", Help: "How long a model may take before the bundled bank answers in its place."},
	{Name: "VIGIL_NOTIFY_SECRET", Secret: true, Help: "Signs what the sidecar tells the edge function notify, which pages clinicians; the function holds the same as NOTIFY_SECRET. Nobody is paged when unset."},
	{Name: "VIGIL_NOTIFY_URL", Help: "Where notify is; SUPABASE_URL/functions/v1/notify when unset."},
	{Name: "VIGIL_HEARTBEAT_INTERVAL", Default: "10s", Help: "How often a logical message keeps the slot moving on an idle project."},
	{Name: "VIGIL_RECONCILE_INTERVAL", Default: "1m", Help: "How often the tables are asked for messages without an assessment."},
	{Name: "VIGIL_GIVE_UP_AFTER", Default: "10m", Help: "How long a message that cannot be opened for a temporary cause is retried before a clinician is alerted."},
	{Name: "VIGIL_LOG_LEVEL", Default: "info", Help: "debug, info, warn or error."},
	{Name: "VIGIL_LOG_FORMAT", Default: "json", Help: "json or text."},
}

// Parse reads every variable through getenv (os.Getenv in main) and returns all faults at once, joined. An error names
// variables and what they should hold, never what they hold.
func Parse(getenv func(string) string) (Config, error) {
	p := parser{getenv: getenv}
	roles := p.roles("VIGIL_ROLES")
	if !slices.Contains(roles, RoleIngest) {
		p.optional = "REPLICATION_URL" // it may read all WAL: who does not ingest is better off without
	}
	c := Config{
		Roles:             roles,
		DatabaseURL:       p.postgres("DATABASE_URL"),
		ReplicationURL:    p.postgres("REPLICATION_URL"),
		CACertFile:        p.text("DATABASE_CA_FILE"),
		Slot:              p.slot("VIGIL_SLOT"),
		SupabaseURL:       p.http("SUPABASE_URL"),
		PublishableKey:    p.secret("SUPABASE_PUBLISHABLE_KEY"),
		SecretKey:         p.secret("SUPABASE_SECRET_KEY"),
		JWTSecret:         p.secret("SUPABASE_JWT_SECRET"),
		JWKSURL:           p.http("SUPABASE_JWKS_URL"),
		Issuer:            p.text("SUPABASE_JWT_ISSUER"),
		Addr:              p.address("VIGIL_ADDR"),
		OperatorAddr:      p.address("VIGIL_OPERATOR_ADDR"),
		AllowedOrigins:    p.origins("VIGIL_ALLOWED_ORIGINS"),
		Proxy:             p.boolean("VIGIL_PROXY"),
		MaxBodyBytes:      p.bytes("VIGIL_MAX_BODY_BYTES"),
		RequestTimeout:    p.duration("VIGIL_REQUEST_TIMEOUT"),
		RatePerSecond:     p.count("VIGIL_RATE_PER_SECOND"),
		TrustedProxies:    p.networks("VIGIL_TRUSTED_PROXIES"),
		Channel:           p.channel(),
		DrainTimeout:      p.duration("VIGIL_DRAIN_TIMEOUT"),
		DataDir:           p.text("VIGIL_DATA_DIR"),
		BusKey:            p.secret("VIGIL_BUS_KEY"),
		BusMaxBytes:       p.bytes("VIGIL_BUS_MAX_BYTES"),
		TopicsRetention:   p.duration("VIGIL_TOPICS_RETENTION"),
		NATSURL:           p.secret("NATS_URL"),
		NATSReplicas:      p.replicas("VIGIL_NATS_REPLICAS"),
		AnalysisKeyFile:   p.text("VIGIL_ANALYSIS_KEY_FILE"),
		AnalysisKey:       p.secret("VIGIL_ANALYSIS_KEY"),
		KeyKeep:           p.duration("VIGIL_KEY_KEEP"),
		Console:           p.boolean("VIGIL_CONSOLE"),
		DemoURL:           p.http("VIGIL_DEMO_URL"),
		ModelURL:          p.private("VIGIL_MODEL_URL"),
		ModelKey:          p.secret("VIGIL_MODEL_KEY"),
		ModelTimeout:      p.duration("VIGIL_MODEL_TIMEOUT"),
		NotifyURL:         p.private("VIGIL_NOTIFY_URL"),
		NotifySecret:      p.secret("VIGIL_NOTIFY_SECRET"),
		HeartbeatInterval: p.duration("VIGIL_HEARTBEAT_INTERVAL"),
		ReconcileInterval: p.duration("VIGIL_RECONCILE_INTERVAL"),
		GiveUpAfter:       p.duration("VIGIL_GIVE_UP_AFTER"),
		LogLevel:          p.level("VIGIL_LOG_LEVEL"),
		LogFormat:         p.oneOf("VIGIL_LOG_FORMAT", "json", "text"),
	}
	p.together(&c)
	return c, errors.Join(p.faults...)
}

// together derives what follows from other variables, and finds those that do not fit together.
func (p *parser) together(c *Config) {
	if c.SupabaseURL != nil {
		if c.JWKSURL == nil {
			c.JWKSURL = c.SupabaseURL.JoinPath("auth/v1/.well-known/jwks.json")
		}
		if c.Issuer == "" {
			c.Issuer = c.SupabaseURL.JoinPath("auth/v1").String()
		}
		if c.NotifyURL == nil && !c.NotifySecret.IsZero() {
			c.NotifyURL = c.SupabaseURL.JoinPath("functions/v1/notify")
		}
	}
	if c.NATSURL.IsZero() && len(c.Roles) < len(AllRoles) {
		p.fault("VIGIL_ROLES", "must be all, or NATS_URL be set: processes that share the work need one bus between them")
	}
	if c.NotifyURL != nil && c.NotifySecret.IsZero() {
		p.fault("VIGIL_NOTIFY_SECRET", "must be set with VIGIL_NOTIFY_URL; any long random text, the same as the function's NOTIFY_SECRET")
	}
}

type parser struct {
	getenv   func(string) string
	optional string // a required variable that is not, this time
	faults   []error
}

func (p *parser) fault(name, want string) {
	p.faults = append(p.faults, fmt.Errorf("%s: %s", name, want))
}

func (p *parser) text(name string) string {
	for _, v := range Variables {
		if v.Name != name {
			continue
		}
		s := strings.TrimSpace(p.getenv(name))
		if s == "" && v.Required && name != p.optional {
			p.fault(name, "is not set; "+v.Help)
		}
		if s == "" {
			return v.Default
		}
		return s
	}
	panic("config: " + name + " is not in Variables")
}

func (p *parser) secret(name string) Secret { return NewSecret(p.text(name)) }

func (p *parser) postgres(name string) Secret {
	s := p.text(name)
	if s == "" {
		return Secret{}
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.Host == "" && u.Query().Get("host") == "" {
		p.fault(name, "must be a URL such as postgresql://role:password@host:5432/postgres (percent-encode the password)")
	}
	return NewSecret(s)
}

func (p *parser) http(name string) *url.URL {
	s := p.text(name)
	if s == "" {
		return nil
	}
	u, err := url.Parse(strings.TrimRight(s, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		p.fault(name, "must be an http or https URL")
		return nil
	}
	return u
}

// private is http for what must not be overheard: https, but on this machine itself.
func (p *parser) private(name string) *url.URL {
	u := p.http(name)
	if u == nil || u.Scheme == "https" || u.Hostname() == "localhost" {
		return u
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		p.fault(name, "must be https, unless it is on this machine: what is sent there must not be overheard")
	}
	return u
}

func (p *parser) address(name string) string {
	s := p.text(name)
	if _, port, err := net.SplitHostPort(s); err != nil || port == "" {
		p.fault(name, "must be host:port, such as 127.0.0.1:8788 or :8788")
	}
	return s
}

func (p *parser) origins(name string) []string {
	var origins []string
	for _, o := range strings.Split(p.text(name), ",") {
		o = strings.TrimRight(strings.TrimSpace(o), "/")
		if o == "" {
			continue
		}
		if u, err := url.Parse(o); o != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "") {
			p.fault(name, "must be origins such as https://app.example, separated by commas")
			continue
		}
		origins = append(origins, o)
	}
	return origins
}

func (p *parser) networks(name string) []netip.Prefix {
	var networks []netip.Prefix
	for _, text := range strings.Split(p.text(name), ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		network, err := netip.ParsePrefix(text)
		if address, single := netip.ParseAddr(text); single == nil && address.Zone() == "" {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			p.fault(name, "must be addresses or networks such as 10.0.0.0/8, separated by commas")
			continue
		}
		networks = append(networks, network.Masked())
	}
	return networks
}

func (p *parser) boolean(name string) bool {
	b, err := strconv.ParseBool(p.text(name))
	if err != nil {
		p.fault(name, "must be true or false")
	}
	return b
}

func (p *parser) bytes(name string) int64 {
	return p.positive(name, "must be a positive number of bytes")
}

func (p *parser) count(name string) int64 { return p.positive(name, "must be a positive whole number") }

func (p *parser) positive(name, want string) int64 {
	n, err := strconv.ParseInt(p.text(name), 10, 64)
	if err != nil || n <= 0 {
		p.fault(name, want)
	}
	return n
}

func (p *parser) duration(name string) time.Duration {
	d, err := time.ParseDuration(p.text(name))
	if err != nil || d <= 0 {
		p.fault(name, "must be a duration such as 30s or 10m")
	}
	return d
}

func (p *parser) level(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(p.text(name))); err != nil {
		p.fault(name, "must be debug, info, warn or error")
	}
	return l
}

func (p *parser) oneOf(name string, allowed ...string) string {
	s := p.text(name)
	for _, a := range allowed {
		if s == a {
			return s
		}
	}
	p.fault(name, "must be "+strings.Join(allowed, " or "))
	return s
}

func (p *parser) slot(name string) string {
	s := p.text(name)
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
			p.fault(name, "may hold lower-case letters, digits and _ only")
			break
		}
	}
	if len(s) > 63 {
		p.fault(name, "may be 63 characters long at most")
	}
	return s
}

// Default returns what the variable is when it is unset. It panics for a name that is not in Variables.
func Default(name string) string {
	p := parser{getenv: func(string) string { return "" }}
	return p.text(name)
}

// ProxyTarget is where Supabase's paths are passed on to; nil when they are not.
func (c Config) ProxyTarget() *url.URL {
	if !c.Proxy {
		return nil
	}
	return c.SupabaseURL
}
