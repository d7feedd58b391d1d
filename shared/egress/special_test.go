package egress

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// special are the blocks that IANA's registries do not call globally reachable,
// and those that carry an IPv4 address within.
var special = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:2::/48", "2001:db8::/32", "2002::/16", "3fff::/20",
	"5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
}

// anyIn draws an address of a block.
func anyIn(t *rapid.T, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i, r := range rapid.SliceOfN(rapid.Byte(), len(b), len(b)).Draw(t, "address") {
		kept := min(max(p.Bits()-8*i, 0), 8) // bits of this byte that are the block's
		mask := byte(0xff) >> kept
		b[i] = b[i]&^mask | r&mask
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// TestNoAddressOfASpecialBlockIsDialled draws addresses of special blocks, those
// of IPv4 also within IPv6, on any port.
func TestNoAddressOfASpecialBlockIsDialled(t *testing.T) {
	c := &Client{}
	c.once.Do(c.prepare)
	rapid.Check(t, func(t *rapid.T) {
		p := netip.MustParsePrefix(rapid.SampledFrom(special).Draw(t, "block"))
		a := anyIn(t, p)
		if !p.Contains(a) {
			t.Fatalf("%v is not of %v", a, p)
		}
		if a.Is4() && rapid.Bool().Draw(t, "mapped") {
			a = netip.AddrFrom16(a.As16())
		}
		to := netip.AddrPortFrom(a, rapid.Uint16().Draw(t, "port"))
		if err := c.control("tcp", to.String(), nil); err == nil {
			t.Fatalf("%v, of %v, would be dialled", to, p)
		}
	})
}
