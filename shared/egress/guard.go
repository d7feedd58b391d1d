package egress

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// A refusal says why an endpoint is not called.
type refusal struct {
	class  Class
	reason string // part of a sentence; holds nothing of the URL
}

func (r *refusal) Error() string { return r.reason }

// An ownHost is one of Client.OwnHosts.
type ownHost struct {
	name string // lower case, without a trailing dot; an address in its canonical form
	port uint16 // 0: any
}

func parseOwnHosts(hosts []string) []ownHost {
	own := make([]ownHost, 0, len(hosts))
	for _, h := range hosts {
		var port uint64
		if name, p, err := net.SplitHostPort(h); err == nil {
			if port, err = strconv.ParseUint(p, 10, 16); err == nil {
				h = name
			}
		}
		own = append(own, ownHost{name: canonicalHost(h), port: uint16(port)})
	}
	return own
}

// canonicalHost returns host in the form in which hosts are compared.
func canonicalHost(host string) string {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return lowerName(host)
}

func lowerName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func newGuardian(allow []netip.Prefix) *ssrf.Guardian {
	var v4, v6 []netip.Prefix
	for _, p := range allow {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
}

// control checks each address that is about to be dialled, after its name was resolved: an earlier lookup of the name
// proves nothing.
func (c *Client) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return errNotPublic // unreachable: Dial made the address of the same parts
	}
	return c.checkAddr(to)
}

// checkAddr returns a *refusal if to must not be called.
func (c *Client) checkAddr(to netip.AddrPort) error {
	addr := to.Addr().Unmap()
	if err := c.guardian.SafeAddr(addr); err != nil {
		return errNotPublic
	}
	return c.checkHostPort(addr.String(), to.Port())
}

// checkHostPort returns a *refusal if the port is refused or host, a name or a canonical address, is our own.
func (c *Client) checkHostPort(host string, port uint16) error {
	if refusedPort(port) {
		return errPort
	}
	for _, own := range c.ownHosts {
		if (own.name == host || own.name == "0.0.0.0" && isLoopback(host)) && (own.port == 0 || own.port == port) {
			return errOwn
		}
	}
	return nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

var (
	errNotPublic = &refusal{BlockedAddress, "it is private, local or reserved"}
	errPort      = &refusal{BlockedAddress, "the port belongs to a protocol other than HTTP"}
	errOwn       = &refusal{BlockedAddress, "it is this gateway's own"}
)

// refusedPort reports whether a port belongs to a protocol that can be abused through an HTTP request, or on which
// nobody serves HTTP. The first list is the Fetch standard's; the second are databases, caches, brokers and remote
// control. https://fetch.spec.whatwg.org/#port-blocking
func refusedPort(port uint16) bool {
	switch port {
	case 0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102,
		103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512,
		513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719,
		1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679,
		6697, 10080:
		return true
	case 445, 1433, 1521, 1883, 3306, 3389, 5432, 5672, 5900, 6379, 9042, 9092, 11211, 27017:
		return true
	}
	return false
}
