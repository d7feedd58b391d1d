package main

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forwarded sets RemoteAddr to the caller's address if the request comes from a trusted proxy: the last address in
// X-Forwarded-For or Forwarded (RFC 7239) that is no trusted proxy itself. If both headers are present and disagree,
// the proxy has not written one of them, so forwarded uses neither. Example: "6.6.6.6, 203.0.113.7, 10.0.0.2", with
// 10.0.0.0/8 trusted, is a call from 203.0.113.7; anybody can send the first element.
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

// origin returns the last address in lists that is no trusted proxy's.
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

// node parses an address with or without port, brackets and quotation marks (RFC 7239, section 6). It returns false for
// the obfuscated names that the RFC allows, such as _gateway.
func node(text string) (netip.Addr, bool) {
	text = strings.Trim(text, `"`)
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap(), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return a.Unmap(), err == nil
}

// forwardedFor returns the for= of each element of Forwarded. An element without one counts as "unknown", which is no
// address.
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
