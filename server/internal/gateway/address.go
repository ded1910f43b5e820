package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// networkBits is how much of an IPv6 address names a customer: whoever has one address has its whole /64.
const networkBits = 64

// Address makes what says which address a request comes from: the peer's own, or, if that is a trusted proxy, the rightmost
// in X-Forwarded-For that is none. What stands left of that may have been written by anybody, and is not looked at. IPv6
// addresses are told apart by their first 64 bits.
func Address(trusted []netip.Prefix) func(*http.Request) string {
	isTrusted := func(a netip.Addr) bool {
		for _, network := range trusted {
			if network.Contains(a) {
				return true
			}
		}
		return false
	}
	return func(r *http.Request) string {
		peer, ok := parseAddress(r.RemoteAddr)
		if !ok {
			return r.RemoteAddr
		}
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0 && isTrusted(peer); i-- {
			next, ok := parseAddress(strings.TrimSpace(hops[i]))
			if !ok {
				break // nobody who is trusted wrote this
			}
			peer = next
		}
		if peer.Is6() {
			if network, err := peer.Prefix(networkBits); err == nil {
				return network.String()
			}
		}
		return peer.String()
	}
}

// parseAddress reads an address with or without its port.
func parseAddress(text string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return a.Unmap().WithZone(""), err == nil
}
