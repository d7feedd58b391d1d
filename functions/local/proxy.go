package main

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forwarded believes X-Forwarded-For, or Forwarded (RFC 7239), if the request comes from a trusted proxy: the
// caller is the last address there that is not a proxy itself. If both are there and tell of different
// callers, one of them is not the proxy's, and neither is believed.
func (s settings) forwarded(h http.Handler) http.Handler {
	if len(s.proxies) == 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && s.trusts(at.Addr()) {
			list, standard := r.Header.Values("X-Forwarded-For"), forwardedFor(r.Header.Values("Forwarded"))
			from, ok := s.origin(list)
			if other, also := s.origin(standard); len(standard) > 0 && len(list) > 0 {
				ok = ok && also && from == other
			} else if also {
				from, ok = other, true
			}
			if ok {
				r.RemoteAddr = netip.AddrPortFrom(from, 0).String()
			}
		}
		h.ServeHTTP(w, r)
	})
}

func (s settings) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
}

// origin returns the last address of the lists that is no proxy's.
func (s settings) origin(lists []string) (netip.Addr, bool) {
	for _, text := range slices.Backward(strings.Split(strings.Join(lists, ","), ",")) {
		if text = strings.TrimSpace(text); text == "" {
			continue // a list may have empty elements (RFC 9110, section 5.6.1)
		}
		a, ok := node(text)
		if !ok {
			return netip.Addr{}, false
		}
		if !s.trusts(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// node reads an address, with or without port, brackets and quotation marks (RFC
// 7239, section 6). Names that hide an address are none.
func node(text string) (netip.Addr, bool) {
	text = strings.Trim(text, `"`)
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap(), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return a.Unmap(), err == nil
}

// forwardedFor returns what the elements of Forwarded say after for=; an element
// without it is there as one that cannot be read.
func forwardedFor(lines []string) []string {
	var out []string
	for _, element := range strings.Split(strings.Join(lines, ","), ",") {
		found := ""
		for pair := range strings.SplitSeq(element, ";") {
			if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, "for") {
				found = value
			}
		}
		if strings.TrimSpace(element) != "" {
			out = append(out, cmp.Or(found, "unknown"))
		}
	}
	return out
}
