package egress

import (
	"cmp"
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// MaxURLBytes is the length of the longest endpoint URL.
const MaxURLBytes = 2048

// hidden stands for the credentials of a URL that is shown.
const hidden = "***"

// CheckURL returns nil if raw can be an endpoint, otherwise an error that quotes nothing of it. It resolves no name:
// its address is checked when it is dialled. A login and password may stand before the host.
func (c *Client) CheckURL(raw string) error {
	c.once.Do(c.prepare)
	_, err := c.parse(raw)
	return err
}

// Redact returns raw with *** in place of its login and password, or *** alone if raw is not the URL of a host. It
// keeps the rest, query included: the result is for the owner of the URL, not for logs.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || !onlyURLBytes(raw) {
		return hidden
	}
	if u.User == nil {
		return raw
	}
	start, end := userinfo(raw)
	return raw[:start] + hidden + raw[end:]
}

// Merge returns sent with the credentials of stored if sent has *** in their place, as Redact shows them. Scheme, host
// and port must be the same: otherwise somebody who cannot read the credentials could have them sent elsewhere.
func Merge(stored, sent string) (string, error) {
	to, err := url.Parse(sent)
	if err != nil || !isHidden(to.User) {
		return sent, nil
	}
	from, err := url.Parse(stored)
	if err != nil || from.User == nil {
		return "", errors.New("the URL so far has no login and password to leave unchanged")
	}
	if !SameOrigin(stored, sent) {
		return "", errors.New("a URL with another scheme, host or port needs its login and password again")
	}
	oldStart, oldEnd := userinfo(stored)
	start, end := userinfo(sent)
	return sent[:start] + stored[oldStart:oldEnd] + sent[end:], nil
}

// Host returns the host and port of raw, the only parts of a URL that may be logged; "" if raw is not a URL.
func Host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// parse returns raw as a URL that may be called. The error is a *refusal.
func (c *Client) parse(raw string) (*url.URL, error) {
	switch {
	case len(raw) > MaxURLBytes:
		return nil, badURL("it is longer than 2,048 bytes")
	case strings.Contains(raw, "#"):
		return nil, badURL("it has a fragment, which is never sent; # is written %23")
	case !onlyURLBytes(raw) && strings.ContainsFunc(Host(raw), func(r rune) bool { return r > 0x7f }):
		return nil, badURL(notName)
	case !onlyURLBytes(raw):
		return nil, badURL("it holds a character that must be percent-encoded")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, badURL("it cannot be parsed") // err holds the URL
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, badURL("it begins with neither http:// nor https://")
	case u.Hostname() == "":
		return nil, badURL("it has no host")
	case isHidden(u.User):
		return nil, badURL("its login and password are hidden")
	case u.User != nil && strings.Contains(u.User.Username(), ":"):
		return nil, badURL("its login holds a colon")
	}
	if err := c.checkHost(u); err != nil {
		return nil, err
	}
	return u, nil
}

// checkHost checks what can be checked without resolving a name.
func (c *Client) checkHost(u *url.URL) error {
	port, err := portOf(u)
	if err != nil {
		return err
	}
	host := u.Hostname()
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil && addr.Zone() == "" && addr.Is6() == strings.HasPrefix(u.Host, "["):
		return c.checkAddr(netip.AddrPortFrom(addr, port))
	case err == nil:
		return badURL("its address is not in its usual form")
	case endsInNumber(host):
		return badURL("its host is a number and not an address in its usual form")
	case !isName(host):
		return badURL(notName)
	}
	return c.checkHostPort(lowerName(host), port)
}

const notName = "its host is not a name; names outside ASCII are written in their xn-- form"

func badURL(reason string) error { return &refusal{BadURL, reason} }

// portOf returns the port to dial for u.
func portOf(u *url.URL) (uint16, error) {
	defaultPort := "443"
	if u.Scheme == "http" {
		defaultPort = "80"
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), defaultPort), 10, 16)
	if err != nil {
		return 0, badURL("its port is not a number up to 65535")
	}
	return uint16(port), nil
}

// endsInNumber reports whether a resolver may read host as an IPv4 address in an unusual spelling: 2130706433, 0x7f.1,
// 127.1, 0177.0.0.1. No public name ends like that. https://url.spec.whatwg.org/#ends-in-a-number-checker
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// isName reports whether host can be looked up: labels of letters, digits, hyphens and underscores.
// https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4
func isName(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInName) {
			return false
		}
	}
	return true
}

func notInName(r rune) bool { return !isAlphanumeric(r) && r != '-' && r != '_' }

// onlyURLBytes reports whether raw consists of the characters of RFC 3986 and each % is followed by two
// hexadecimal digits. https://www.rfc-editor.org/rfc/rfc3986#section-2
func onlyURLBytes(raw string) bool {
	for i, r := range raw {
		switch {
		case r == '%':
			if len(raw) < i+3 || strings.Trim(raw[i+1:i+3], "0123456789abcdefABCDEF") != "" {
				return false
			}
		case !isAlphanumeric(r) && !strings.ContainsRune("-._~:/?#[]@!$&'()*+,;=", r):
			return false
		}
	}
	return true
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// isHidden reports whether login is the placeholder that Redact writes.
func isHidden(login *url.Userinfo) bool {
	if login == nil {
		return false
	}
	_, hasPassword := login.Password()
	return login.Username() == hidden && !hasPassword
}

// userinfo returns where login and password stand in raw, without the @. raw must have them.
func userinfo(raw string) (start, end int) {
	start = strings.Index(raw, "//") + 2
	end = len(raw)
	if i := strings.IndexAny(raw[start:], "/?#"); i >= 0 {
		end = start + i
	}
	return start, start + strings.LastIndexByte(raw[start:end], '@')
}

// SameOrigin reports whether two URLs have the same scheme, host and port, so that a secret for one may be sent to the
// other.
func SameOrigin(one, other string) bool {
	a, errA := url.Parse(one)
	b, errB := url.Parse(other)
	if errA != nil || errB != nil {
		return false
	}
	portA, errA := portOf(a)
	portB, errB := portOf(b)
	return errA == nil && errB == nil && portA == portB && a.Scheme == b.Scheme &&
		canonicalHost(a.Hostname()) == canonicalHost(b.Hostname())
}
