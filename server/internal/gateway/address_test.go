package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"vigil/server/internal/gateway"
)

func TestAddressIsWhatTrustedProxiesSay(t *testing.T) {
	t.Parallel()
	address := gateway.Address([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")})
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"a client itself":                       {"192.0.2.7:4000", nil, "192.0.2.7"},
		"a client that claims to be another":    {"192.0.2.7:4000", []string{"198.51.100.1"}, "192.0.2.7"},
		"behind a proxy":                        {"10.0.0.1:4000", []string{"198.51.100.1"}, "198.51.100.1"},
		"behind a proxy, and claiming":          {"10.0.0.1:4000", []string{"203.0.113.5, 198.51.100.1"}, "198.51.100.1"},
		"behind two":                            {"10.0.0.1:4000", []string{"203.0.113.5, 198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		"in two headers":                        {"10.0.0.1:4000", []string{"203.0.113.5", "198.51.100.1 ,10.9.9.9"}, "198.51.100.1"},
		"with a port":                           {"10.0.0.1:4000", []string{"198.51.100.1:5123"}, "198.51.100.1"},
		"the proxy itself":                      {"10.0.0.1:4000", nil, "10.0.0.1"},
		"of the proxies' network":               {"10.0.0.1:4000", []string{"10.1.1.1, 10.2.2.2"}, "10.1.1.1"},
		"something that is none":                {"10.0.0.1:4000", []string{"198.51.100.1, unknown, 10.9.9.9"}, "10.9.9.9"},
		"IPv6, by its network":                  {"[2001:db8:1:2:3:4:5:6]:4000", nil, "2001:db8:1:2::/64"},
		"IPv6 behind a proxy":                   {"[fd00::1]:4000", []string{"[2001:db8:1:2::9]:5123"}, "2001:db8:1:2::/64"},
		"IPv6 behind a proxy, without brackets": {"[fd00::1]:4000", []string{"2001:db8:1:2::9"}, "2001:db8:1:2::/64"},
		"IPv4 in IPv6":                          {"[::ffff:10.0.0.1]:4000", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"no address at all":                     {"@", []string{"198.51.100.1"}, "@"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		for _, line := range c.forwarded {
			r.Header.Add("X-Forwarded-For", line)
		}
		if got := address(r); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("10.0.0.1:1", "198.51.100.1, 10.9.9.9")
	f.Add("[fd00::1%eth0]:1", "[2001:db8::1]:5, ::ffff:1.2.3.4")
	f.Add("@", ",,")
	address := gateway.Address([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")})
	f.Fuzz(func(t *testing.T, peer, forwarded string) {
		r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {forwarded}}}
		got := address(r)
		r.Header = http.Header{"X-Forwarded-For": {"203.0.113.200, " + forwarded}}
		if forwarded == "" { // then the first entry is the only one
			return
		}
		if again := address(r); again != got && again != "203.0.113.200" {
			t.Errorf("what stands left changed %s to %s", got, again)
		}
	})
}
