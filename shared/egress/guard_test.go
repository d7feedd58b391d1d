package egress

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// The registries of special addresses:
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
func TestSpecialAddressesAreNotCalled(t *testing.T) {
	for _, tt := range []struct{ what, addresses string }{
		{"this network", "0.0.0.0 0.255.255.255"},
		{"private 10/8", "10.0.0.0 10.255.255.255"},
		{"shared by carriers", "100.64.0.0 100.127.255.255"},
		{"loopback", "127.0.0.1 127.255.255.255 ::1"},
		{"link-local and metadata", "169.254.0.0 169.254.169.254 169.254.100.1 169.254.79.129 169.254.255.255 fe80::1 febf::1 fe80::1%lo"},
		{"private 172.16/12", "172.16.0.0 172.31.255.255"},
		{"protocol assignments", "192.0.0.1 192.0.0.192 192.0.0.255 2001::1 2001:1ff::1"},
		{"documentation", "192.0.2.1 198.51.100.1 203.0.113.255 2001:db8::1 3fff::1"},
		{"6to4 relays", "192.88.99.1"},
		{"private 192.168/16", "192.168.0.0 192.168.255.255"},
		{"benchmarks", "198.18.0.0 198.19.255.255 2001:2::1"},
		{"multicast", "224.0.0.1 239.255.255.255 ff02::1 ff0e::1"},
		{"reserved and broadcast", "240.0.0.1 255.255.255.255"},
		{"unspecified", "::"},
		{"IPv4 in IPv6", "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1"},
		{"NAT64", "64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::808:808 64:ff9b:1::1"},
		{"6to4", "2002:7f00:1::1 2002:a9fe:a9fe::1"},
		{"Teredo", "2001:0:7f00:1::1"},
		{"unique local", "fc00::1 fd00:ec2::254 fdff::1"},
		{"site-local", "fec0::1"},
		{"discard", "100::1"},
		{"not assigned", "4000::1 8000::1"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			for address := range strings.FieldsSeq(tt.addresses) {
				wantJudged(t, &Client{}, address, errNotPublic)
			}
		})
	}
}

func TestPublicAddressesAreCalled(t *testing.T) {
	for address := range strings.FieldsSeq("1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 " +
		"169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 " +
		"2606:4700:4700::1111 2a00:1450:4001::1 2003::1 ::ffff:1.1.1.1") {
		wantJudged(t, &Client{}, address, nil)
	}
}

func TestWhatIsNoAddressIsNotDialled(t *testing.T) {
	c := &Client{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	c.once.Do(c.prepare)
	for _, address := range []string{"", "1.1.1.1", "1.1.1.1:x", "tenant.example:443", ":443"} {
		if err := c.control("tcp", address, nil); err != errNotPublic {
			t.Errorf("dialling %q: %v, want %v", address, err, errNotPublic)
		}
	}
}

func TestAllowedAddressesAreCalled(t *testing.T) {
	c := &Client{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fd00:1::/32")}}
	for address, want := range map[string]error{
		"127.0.0.1":        nil,
		"::ffff:127.0.0.1": nil,
		"fd00:1::1":        nil,
		"::1":              errNotPublic,
		"fd00:2::1":        errNotPublic,
		"10.0.0.1":         errNotPublic,
		"1.1.1.1":          nil,
	} {
		wantJudged(t, c, address, want)
	}
}

func TestLoopbackIsNotReachedUnlessAllowed(t *testing.T) {
	var calls atomic.Int32
	server := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	names := serveDNS(t, func(int) dnsAnswer { return dnsAnswer{addr: "127.0.0.1"} })
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "inward.example", "0.0.0.0"} {
		c := &Client{Resolver: names}
		got := c.Post(t.Context(), secretRequest("http://"+host+port))
		if got.Class != BlockedAddress {
			t.Errorf("Post to %s = %+v, want class %q", host, got, BlockedAddress)
		}
		wantNoSecret(t, got)
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("the server was reached %d times, want 0", n)
	}
}

func TestNameThatTurnsInwardAfterTheCheckIsBlocked(t *testing.T) {
	var calls atomic.Int32
	server := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	names := serveDNS(t, func(query int) dnsAnswer {
		if query == 0 {
			return dnsAnswer{addr: "93.184.215.14"}
		}
		return dnsAnswer{addr: "127.0.0.1"}
	})
	first, err := names.LookupHost(t.Context(), "rebinding.example")
	if err != nil || len(first) != 1 || first[0] != "93.184.215.14" {
		t.Fatalf("first lookup = %v, %v, want the public address", first, err)
	}
	c := &Client{Resolver: names}
	url := "http://rebinding.example" + port
	if err := c.CheckURL(url); err != nil {
		t.Fatalf("CheckURL(%s) = %v, want nil", url, err)
	}
	if got := c.Post(t.Context(), Request{URL: url}); got.Class != BlockedAddress || calls.Load() != 0 {
		t.Errorf("Post = %+v after %d calls, want class %q and none", got, calls.Load(), BlockedAddress)
	}
}

func TestNamesThatDoNotResolveAreDNS(t *testing.T) {
	waits(t)
	for _, tt := range []struct {
		name   string
		answer dnsAnswer
		want   Class
		detail string
	}{
		{"no such name", dnsAnswer{code: 3}, DNS, "no such name"},
		{"no address", dnsAnswer{}, DNS, "no such name"},
		{"server failure", dnsAnswer{code: 2}, DNS, "no usable answer"},
		{"silence", dnsAnswer{silent: true}, Timeout, "not resolved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t)
			c.ConnectTimeout = connectTime(tt.want)
			c.Resolver = serveDNS(t, func(int) dnsAnswer { return tt.answer })
			got := c.Post(t.Context(), secretRequest("https://tenant.example"))
			if got.Class != tt.want || !strings.Contains(got.Error, tt.detail) {
				t.Errorf("Post = %+v, want class %q with %q", got, tt.want, tt.detail)
			}
			wantNoSecret(t, got)
		})
	}
}

func TestConnectionThatIsNotTakenIsATimeout(t *testing.T) {
	waits(t)
	c := newClient(t)
	c.ConnectTimeout = patience
	got := c.Post(t.Context(), secretRequest("http://"+fullListener(t)))
	if got.Class != Timeout || !strings.Contains(got.Error, "no connection") {
		t.Errorf("Post = %+v, want class %q", got, Timeout)
	}
	wantNoSecret(t, got)
}

func TestPortsOfOtherProtocolsAreRefused(t *testing.T) {
	c := &Client{}
	c.once.Do(c.prepare)
	refused := []uint16{
		0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
		110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513, 514, 515, 526, 530,
		531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1433, 1521, 1719, 1720, 1723, 1883, 2049,
		3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5672, 5900, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679,
		6697, 9042, 9092, 10080, 11211, 27017,
	}
	for port := range 1 << 16 {
		address := netip.AddrPortFrom(netip.MustParseAddr("1.1.1.1"), uint16(port)).String()
		var want error
		if slices.Contains(refused, uint16(port)) {
			want = errPort
		}
		if err := c.control("tcp4", address, nil); err != want {
			t.Errorf("control(%s) = %v, want %v", address, err, want)
		}
	}
	for _, port := range []string{"0", "22", "11211"} {
		if got := c.Post(t.Context(), Request{URL: "http://tenant.example:" + port}); got.Class != BlockedAddress {
			t.Errorf("Post to port %s = %+v, want class %q", port, got, BlockedAddress)
		}
	}
}

func TestOurOwnHostsAreNotCalled(t *testing.T) {
	c := newClient(t)
	c.OwnHosts = []string{"Callbacks.Example.com", "console.example.com:8443", "127.0.0.1:8080", "[::1]:8080", "127.0.0.9", "[::ffff:127.0.0.8]:8080", "far.example.com:73728", "plain.example.com:80"}
	for _, tt := range []struct {
		url  string
		want error
	}{
		{"https://callbacks.example.com/x", errOwn},
		{"https://CALLBACKS.example.COM./x", errOwn},
		{"http://callbacks.example.com:1234/x", errOwn},
		{"https://console.example.com:8443/x", errOwn},
		{"https://console.example.com/x", nil},
		{"https://other.example.com/x", nil},
		{"https://callbacks.example.com.evil.example/x", nil},
		{"http://127.0.0.1:8080/x", errOwn},
		{"http://[::ffff:127.0.0.1]:8080/x", errOwn},
		{"http://[0:0:0:0:0:0:0:1]:8080/x", errOwn},
		{"http://127.0.0.1:8081/x", nil},
		{"http://127.0.0.9:1234/x", errOwn},
		{"http://127.0.0.8:8080/x", errOwn},
		{"https://far.example.com:8192/x", nil}, // 73728, less what fits in a port
		{"http://plain.example.com/x", errOwn},
		{"https://plain.example.com/x", nil},
	} {
		if got := c.CheckURL(tt.url); got != tt.want {
			t.Errorf("CheckURL(%s) = %v, want %v", tt.url, got, tt.want)
		}
	}
}

func TestNameOfOurOwnAddressIsNotCalled(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("our own server was called") }))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	c := newClient(t)
	c.OwnHosts = []string{address}
	c.Resolver = serveDNS(t, func(int) dnsAnswer { return dnsAnswer{addr: "127.0.0.1"} })
	url := strings.Replace(server.URL, "127.0.0.1", "alias.example", 1)
	if got := c.Post(t.Context(), Request{URL: url}); got.Class != BlockedAddress {
		t.Errorf("Post to an alias of our own address = %+v, want class %q", got, BlockedAddress)
	}
}

// wantJudged checks what becomes of address when it stands in a URL and when it
// is dialled. A zone is refused in a URL for its spelling.
func wantJudged(t *testing.T, c *Client, address string, want error) {
	t.Helper()
	c.once.Do(c.prepare)
	host := address
	if strings.Contains(host, ":") {
		host = "[" + strings.Replace(host, "%", "%25", 1) + "]"
	}
	if err := c.CheckURL("https://" + host + "/"); err != want && !strings.Contains(host, "%") || (err == nil) != (want == nil) {
		t.Errorf("CheckURL of %s = %v, want %v", address, err, want)
	}
	if err := c.control("tcp", net.JoinHostPort(address, "443"), nil); err != want {
		t.Errorf("dialling %s: %v, want %v", address, err, want)
	}
}
