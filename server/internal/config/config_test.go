package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"vigil/server/internal/config"
)

func env(over map[string]string) func(string) string {
	base := map[string]string{
		"DATABASE_URL":             "postgresql://vigil:secret-a@localhost:5432/postgres",
		"REPLICATION_URL":          "postgresql://postgres:secret-b@localhost:5432/postgres",
		"SUPABASE_URL":             "https://abc.example/",
		"SUPABASE_PUBLISHABLE_KEY": "sb_publishable_secret-c",
	}
	return func(k string) string {
		if v, ok := over[k]; ok {
			return v
		}
		return base[k]
	}
}

func TestParseFillsDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Parse(env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.JWKSURL.String(); got != "https://abc.example/auth/v1/.well-known/jwks.json" {
		t.Errorf("JWKS URL = %s", got)
	}
	if c.Issuer != "https://abc.example/auth/v1" || c.Slot != "vigil" || c.Addr != "127.0.0.1:8788" || c.Proxy {
		t.Errorf("defaults = %+v", c)
	}
}

func TestParseReportsEveryFaultAtOnceAndNoValue(t *testing.T) {
	t.Parallel()
	bad := map[string]string{
		"DATABASE_URL": "", "REPLICATION_URL": "mysql://canary-value", "SUPABASE_URL": "ftp://canary-value", "VIGIL_ADDR": "canary-value",
		"VIGIL_ALLOWED_ORIGINS": "canary-value", "VIGIL_PROXY": "canary-value", "VIGIL_MAX_BODY_BYTES": "-1", "VIGIL_DRAIN_TIMEOUT": "canary-value",
		"VIGIL_LOG_LEVEL": "canary-value", "VIGIL_LOG_FORMAT": "canary-value", "VIGIL_SLOT": "Canary-Value",
	}
	_, err := config.Parse(env(bad))
	if err == nil {
		t.Fatal("no error")
	}
	for name := range bad {
		if !strings.Contains(err.Error(), name+":") {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
	if strings.Contains(strings.ToLower(err.Error()), "canary-value") {
		t.Errorf("a value is printed: %v", err)
	}
}

func TestEveryVariableIsRead(t *testing.T) {
	t.Parallel()
	asked := make(map[string]bool)
	get := env(nil)
	if _, err := config.Parse(func(name string) string { asked[name] = true; return get(name) }); err != nil {
		t.Fatal(err)
	}
	for _, v := range config.Variables {
		if !asked[v.Name] {
			t.Errorf("%s is documented and never read", v.Name)
		}
	}
}

func TestSecretNeverPrintsItself(t *testing.T) {
	t.Parallel()
	c, err := config.Parse(env(nil))
	if err != nil {
		t.Fatal(err)
	}
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s %q %d", c.DatabaseURL, c.DatabaseURL, c.DatabaseURL), string(js), c.DatabaseURL.LogValue().String()} {
		if strings.Contains(out, "secret-") {
			t.Errorf("a secret is printed: %s", out)
		}
	}
	if c.DatabaseURL.Reveal() == "" || c.DatabaseURL.IsZero() || !c.SecretKey.IsZero() {
		t.Error("Reveal or IsZero is wrong")
	}
}

func TestExampleEnvEqualsVariables(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	if want := config.Example(); string(raw) != want {
		t.Errorf(".env.example differs from config.Variables; it should be:\n%s", want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("postgresql://a:b@c/d", "https://x", "https://a,https://b", "10s", "vigil")
	f.Fuzz(func(_ *testing.T, db, sb, origins, d, slot string) {
		_, _ = config.Parse(env(map[string]string{"DATABASE_URL": db, "SUPABASE_URL": sb, "VIGIL_ALLOWED_ORIGINS": origins, "VIGIL_DRAIN_TIMEOUT": d, "VIGIL_SLOT": slot}))
	})
}

// TestWhatIsNotToBeOverheardGoesByHTTPS: a model's prompt and a page leave this machine encrypted, or not at all.
func TestWhatIsNotToBeOverheardGoesByHTTPS(t *testing.T) {
	t.Parallel()
	for url, allowed := range map[string]bool{
		"https://models.example/v1": true, "http://127.0.0.1:11434/v1": true, "http://[::1]:9/": true, "http://localhost:9": true,
		"http://models.example/v1": false, "http://10.0.0.5/v1": false, "http://localhost.example": false,
	} {
		for _, name := range []string{"VIGIL_MODEL_URL", "VIGIL_NOTIFY_URL"} {
			_, err := config.Parse(env(map[string]string{name: url, "VIGIL_NOTIFY_SECRET": "secret-n"}))
			if (err == nil) != allowed {
				t.Errorf("%s=%s: %v", name, url, err)
			}
		}
	}
}

func TestTrustedProxiesAreNetworks(t *testing.T) {
	t.Parallel()
	c, err := config.Parse(env(map[string]string{"VIGIL_TRUSTED_PROXIES": " 10.1.2.3/8, 192.0.2.1 ,fd00::/8,"}))
	if got := fmt.Sprint(c.TrustedProxies); err != nil || got != "[10.0.0.0/8 192.0.2.1/32 fd00::/8]" {
		t.Errorf("got %s, %v", got, err)
	}
	for _, bad := range []string{"proxy.example", "10.0.0.0/33", "fe80::1%eth0", "10.0.0.0/8;192.0.2.1"} {
		if _, err := config.Parse(env(map[string]string{"VIGIL_TRUSTED_PROXIES": bad})); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestLimitsThatContradictEachOtherAreFaults(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"VIGIL_CHANNEL_PING": "1m", "VIGIL_CHANNEL_BROADCAST_BYTES": "524288", "VIGIL_CHANNEL_FRAME_BYTES": "4194304",
		"VIGIL_CHANNEL_DENIAL_FIRST": "8s", "VIGIL_CHANNEL_DENIAL_MOST": "9s", "VIGIL_CHANNEL_JOIN_WAIT": "9s", "VIGIL_CHANNEL_DECIDE": "10s",
	} {
		if _, err := config.Parse(env(map[string]string{name: value})); err == nil || !strings.HasPrefix(err.Error(), name+": must be less than") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

func TestNotifyIsAskedOnlyWithASecret(t *testing.T) {
	t.Parallel()
	if c, err := config.Parse(env(nil)); err != nil || c.NotifyURL != nil {
		t.Errorf("without a secret: %v %v", c.NotifyURL, err)
	}
	c, err := config.Parse(env(map[string]string{"VIGIL_NOTIFY_SECRET": "secret-n"}))
	if err != nil || c.NotifyURL == nil || c.NotifyURL.String() != "https://abc.example/functions/v1/notify" {
		t.Errorf("with one: %v %v", c.NotifyURL, err)
	}
	if _, err := config.Parse(env(map[string]string{"VIGIL_NOTIFY_URL": "https://n.example"})); err == nil {
		t.Error("an URL without a secret is taken")
	}
}
