package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// FuzzForwarded wants that X-Forwarded-For is believed from a trusted proxy
// alone, and then for the last address in it that is no trusted proxy: what
// stands before that anybody can write.
func FuzzForwarded(f *testing.F) {
	f.Add("10.0.0.1:80", "203.0.113.9, 10.0.0.2", "", "10.0.0.0/8")
	f.Add("10.0.0.1:80", "198.51.100.1", "203.0.113.9", "10.0.0.0/8,::ffff:10.0.0.0/104")
	f.Add("[::ffff:10.0.0.1]:80", "203.0.113.9,unknown", "", "10.0.0.0/8")
	f.Add("192.0.2.1:1", "127.0.0.1", "::1%lo", "10.0.0.0/8 fd00::/8")
	f.Fuzz(func(t *testing.T, remote, first, second, proxies string) {
		prefixes, err := parsePrefixes(proxies)
		if err != nil {
			return
		}
		s := settings{proxies: prefixes}
		var seen string
		h := s.forwarded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.RemoteAddr }))
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = remote, []string{first, second}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if seen == remote {
			return
		}
		trusted := func(a netip.Addr) bool {
			return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
		}
		from, err := netip.ParseAddrPort(remote)
		if err != nil || !trusted(from.Addr()) {
			t.Fatalf("%q is no trusted proxy of %q, and yet changed the caller to %q", remote, proxies, seen)
		}
		caller, err := netip.ParseAddrPort(seen)
		if err != nil || trusted(caller.Addr()) {
			t.Fatalf("the caller became %q, %v", seen, err)
		}
		list := strings.Split(first+","+second, ",")
		for _, text := range slices.Backward(list) {
			host := strings.Trim(strings.TrimSpace(text), `"`)
			if at, err := netip.ParseAddrPort(host); err == nil {
				host = at.Addr().String()
			}
			if host == "" && strings.TrimSpace(text) == "" {
				continue
			}
			a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
			if err == nil && trusted(a) {
				continue
			}
			if err != nil || a.Unmap() != caller.Addr() {
				t.Errorf("%q, %q behind %q: the caller became %q", first, second, remote, seen)
			}
			return
		}
	})
}
