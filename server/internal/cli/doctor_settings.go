package cli

import (
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"vigil/server/internal/config"
)

// examineSettings looks at what the configuration alone tells, before anybody is asked.
func (e *examination) examineSettings(r *report) {
	examineOrigins(r, e.Config)
	e.examineProject(r)
	e.examineTLS(r)
	if host, _, err := net.SplitHostPort(e.OperatorAddr); err == nil && !isLocal(host) {
		r.warn("operator", advice("Bind it to 127.0.0.1, or make sure that only your metrics collector reaches it."), "VIGIL_OPERATOR_ADDR may be reached from other machines: it shows metrics and when messages passed")
	}
}

func examineOrigins(r *report, c config.Config) {
	const check = "origins"
	switch {
	case len(c.AllowedOrigins) == 0:
		r.warn(check, advice("Set VIGIL_ALLOWED_ORIGINS to the origins of your app."), "no browser may connect: VIGIL_ALLOWED_ORIGINS is empty")
	case strings.Contains(strings.Join(c.AllowedOrigins, ","), "*"):
		r.warn(check, advice("Name your app's origins in VIGIL_ALLOWED_ORIGINS."), "any page on the web may connect: VIGIL_ALLOWED_ORIGINS is *")
	default:
		r.ok(check, "%d allowed", len(c.AllowedOrigins))
	}
}

// examineProject finds URLs of two projects mixed up, where hosted Supabase's addresses name the project.
func (e *examination) examineProject(r *report) {
	want := projectOf(e.SupabaseURL.Hostname(), "")
	for _, v := range []struct {
		name string
		dsn  config.Secret
	}{{"DATABASE_URL", e.DatabaseURL}, {"REPLICATION_URL", e.ReplicationURL}} {
		u, err := url.Parse(v.dsn.Reveal())
		if err != nil {
			continue // config has said so
		}
		if got := projectOf(u.Hostname(), u.User.Username()); want != "" && got != "" && got != want {
			r.fail("project", advice("Take both from the same project (Dashboard, Connect)."), "%s is of another project than SUPABASE_URL", v.name)
		}
	}
}

// projectOf is the project's reference in <ref>.supabase.co, db.<ref>.supabase.co, or a pooler's user role.<ref>; "" when
// the address is none of hosted Supabase.
func projectOf(host, user string) string {
	if ref, ok := strings.CutSuffix(strings.ToLower(host), ".supabase.co"); ok {
		return strings.TrimPrefix(ref, "db.")
	}
	if strings.HasSuffix(strings.ToLower(host), ".pooler.supabase.com") {
		_, ref, _ := strings.Cut(user, ".")
		return ref
	}
	return ""
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback()
}

// examineTLS warns of connections to other machines that do not verify whom they talk to.
func (e *examination) examineTLS(r *report) {
	const check = "tls"
	if fault := e.caFault(); fault != "" {
		r.fail(check, advice("Download the certificate (Dashboard, Database, SSL) and let DATABASE_CA_FILE name it."), "the file of DATABASE_CA_FILE %s", fault)
	}
	for _, v := range []struct {
		name string
		dsn  config.Secret
	}{{"DATABASE_URL", e.DatabaseURL}, {"REPLICATION_URL", e.ReplicationURL}} {
		u, err := url.Parse(e.dsn(v.dsn))
		if err != nil || v.dsn.IsZero() {
			continue // config has said so, or this process needs none
		}
		host := u.Hostname()
		if host == "" {
			host = u.Query().Get("host")
		}
		if isLocal(host) || u.Query().Get("sslmode") == "verify-full" {
			continue
		}
		r.warn(check, advice("Add sslmode=verify-full to %s and set DATABASE_CA_FILE to the project's CA certificate.", v.name), "%s does not verify whom it talks to", v.name)
	}
}

func (e *examination) caFault() string {
	if e.CACertFile == "" {
		return ""
	}
	pem, err := os.ReadFile(e.CACertFile)
	switch {
	case err != nil:
		return "cannot be read: " + cause(err)
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		return "holds no certificate (PEM)"
	}
	return ""
}

// maxSkew is how far this machine's clock and another's may stand apart before tokens are misjudged.
const maxSkew = 5 * time.Second

// reportSkew compares this machine's clock with whose, at about the same instant; slack is by how much it may have been
// another: half of the time the answer took, and how coarsely the other's was told.
func reportSkew(r *report, check, whose string, here, there time.Time, slack time.Duration) {
	skew := here.Sub(there)
	if skew.Abs() > maxSkew+slack {
		r.fail(check, advice("Set this machine's clock by NTP."), "this machine's clock is %s away from %s: tokens and logins would be misjudged", skew.Abs().Round(time.Second), whose)
		return
	}
	r.ok(check, "within %s of %s", maxSkew, whose)
}
