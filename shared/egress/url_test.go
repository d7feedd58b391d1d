package egress

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestURLsOfEndpointsAreTaken(t *testing.T) {
	c := &Client{}
	for _, raw := range []string{
		"https://tenant.example/callbacks",
		"http://tenant.example",
		"HTTPS://TENANT.example:8443/a?b=c&d[]=e",
		"https://login:password@tenant.example/",
		"https://log%40in:p%3Aw%25@tenant.example/",
		"https://token@tenant.example/",
		"https://1.1.1.1:8080/x",
		"https://[2606:4700:4700::1111]:8443/x",
		"https://xn--mnchen-3ya.example/",
		"https://under_score.example/",
		"https://tenant.example./",
		"https://tenant.example:/",
		"https://tenant.example?only=query",
		"https://tenant.example/a%20b/(c);d=~'e'!*$+,",
		"https://localhost/", // a name: judged when it is dialled
		"https://a.0xg/",
		"https://tenant.example/" + strings.Repeat("a", MaxURLBytes-len("https://tenant.example/")),
	} {
		if err := c.CheckURL(raw); err != nil {
			t.Errorf("CheckURL(%.80s) = %v, want nil", raw, err)
		}
	}
}

func TestURLsThatCannotBeUsedAreRefused(t *testing.T) {
	c := &Client{}
	for _, tt := range []struct{ raw, why string }{
		{"", "neither http"},
		{"tenant.example/x", "neither http"},
		{"/x", "neither http"},
		{"//tenant.example/x", "neither http"},
		{"ftp://tenant.example/x", "neither http"},
		{"file:///etc/passwd", "neither http"},
		{"gopher://tenant.example/x", "neither http"},
		{"login:s3cret@tenant.example", "neither http"},
		{"http://", "no host"},
		{"http:///x", "no host"},
		{"http://:80/x", "no host"},
		{"http:tenant.example", "no host"},
		{"http://login:s3cret@/x", "no host"},
		{"https://tenant.example/#part", "fragment"},
		{"https://login:s3#cret@tenant.example/", "fragment"},
		{"https://tenant.example/a b", "percent-encoded"},
		{" https://tenant.example/", "percent-encoded"},
		{"https://tenant.example/\r\nX: y", "percent-encoded"},
		{"https://tenant.example/\x00", "percent-encoded"},
		{"https://tenant.example/\x7f", "percent-encoded"},
		{"https://tenant.example\\@127.0.0.1/", "percent-encoded"},
		{"https://tenant.example/?a=%zz", "percent-encoded"},
		{"https://tenant.example/?a=%", "percent-encoded"},
		{"https://tenant.example/?a=%4", "percent-encoded"},
		{"https://tenant.example/?a=%z0", "percent-encoded"},
		{"https://tenant.example/?a=%0z", "percent-encoded"},
		{"https://tenant.example/<x>", "percent-encoded"},
		{"https://münchen.example/", "xn--"},
		{"http://пример.рф/in", "xn--"},
		{"http://пример.рф:8080/пример", "xn--"},
		{"https://l:p@пример.рф/", "xn--"},
		{"https://tenant.example/пример", "percent-encoded"},
		{"https://１２７.0.0.1/", "xn--"},
		{"https://127。0。0。1/", "xn--"},
		{"https://tenant.example/\xff", "percent-encoded"},
		{"https://%e2%91%a0%e2%91%a1%e2%91%a6.0.0.1/", "not an address"},
		{"https://%e2%91%a0%e2%91%a1%e2%91%a6/", "not a name"},
		{"https://tenant.ex%61mple/", "cannot be parsed"},
		{"https://[fe80::1%25lo]/", "its address is not"},
		{"https://tenant..example/", "not a name"},
		{"https://.example/", "not a name"},
		{"https://./", "not a name"},
		{"https://ten$ant.example/", "not a name"},
		{"https://" + strings.Repeat("a", 64) + ".example/", "not a name"},
		{"https://" + strings.Repeat("a.", 127) + "example/", "not a name"},
		{"https://tenant.example:x/", "cannot be parsed"},
		{"https://tenant.example:-1/", "cannot be parsed"},
		{"https://tenant.example:65536/", "65535"},
		{"https://tenant.example:0/", "protocol other than HTTP"},
		{"https://tenant.example:00022/", "protocol other than HTTP"},
		{"https://***@tenant.example/", "hidden"},
		{"https://log%3Ain:s3cret@tenant.example/", "colon"},
		{"https://tenant.example/" + strings.Repeat("a", MaxURLBytes), "2,048"},
	} {
		wantRefused(t, c, tt.raw, tt.why)
	}
}

func TestOddSpellingsOfAddressesAreRefused(t *testing.T) {
	c := &Client{}
	for _, host := range []string{
		"2130706433", "017700000001", "0x7f000001", "0X7F000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1",
		"127.0.0.0x1", "127.0.0.01", "127.0.0.1.", "0", "0.", "0x", "127.0.0.1.1", "256.256.256.256", "1.1.1.1.", "example.1",
		"[127.0.0.1]", "[fe80::1%25lo]",
	} {
		err := c.CheckURL("http://" + host + "/")
		if err == nil {
			t.Errorf("CheckURL of host %s = nil, want an error", host)
		}
		if got := (&Client{}).Post(t.Context(), Request{URL: "http://" + host + "/"}); got.Class != BadURL {
			t.Errorf("Post to host %s = %+v, want class %q", host, got, BadURL)
		}
	}
	for _, host := range []string{
		"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]",
		"169.254.169.254", "10.0.0.1", "192.168.1.1", "[fe80::1]", "[fd00:ec2::254]",
	} {
		if err := c.CheckURL("http://login:password@" + host + ":8080/"); err != errNotPublic {
			t.Errorf("CheckURL of host %s = %v, want %v", host, err, errNotPublic)
		}
	}
}

func TestCredentialsAreHidden(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"https://login:password@host.example/path?a=b", "https://***@host.example/path?a=b"},
		{"https://login@host.example:8443", "https://***@host.example:8443"},
		{"https://:password@host.example?q=a@b", "https://***@host.example?q=a@b"},
		{"https://lo@gin:pass@word@host.example/a@b", "https://***@host.example/a@b"},
		{"https://log%40in:p%2Fw@host.example/", "https://***@host.example/"},
		{"https://@host.example/", "https://***@host.example/"},
		{"https://***@host.example/", "https://***@host.example/"},
		{"HTTPS://login:password@HOST.example/", "HTTPS://***@HOST.example/"},
		{"https://host.example/a@b", "https://host.example/a@b"},
		{"https://host.example", "https://host.example"},
		{"https://[2606:4700::1]:8443/", "https://[2606:4700::1]:8443/"},
		{"login:password@host.example", "***"},
		{"https:login:password@host.example", "***"},
		{"https://login:pass word@host.example/", "***"},
		{"https://login:password@host.example:port/", "***"},
		{"https://login:pass\\word@host.example/", "***"},
		{"", "***"},
	} {
		if got := Redact(tt.raw); got != tt.want {
			t.Errorf("Redact(%q) = %q, want %q", tt.raw, got, tt.want)
		}
	}
}

func TestHiddenCredentialsMeanUnchanged(t *testing.T) {
	for _, tt := range []struct {
		name, stored, sent string
		want               string // empty: refused
	}{
		{"same URL", "https://login:p%40w@host.example/a", "https://***@host.example/a", "https://login:p%40w@host.example/a"},
		{"other path", "https://login:p%40w@host.example/a", "https://***@host.example/b?c", "https://login:p%40w@host.example/b?c"},
		{"host in other case", "https://login:pw@host.example/a", "https://***@HOST.example:443/a", "https://login:pw@HOST.example:443/a"},
		{"other credentials", "https://login:pw@host.example/a", "https://new:pw2@host.example/a", "https://new:pw2@host.example/a"},
		{"credentials taken away", "https://login:pw@host.example/a", "https://host.example/a", "https://host.example/a"},
		{"stars as a password", "https://login:pw@host.example/a", "https://login:***@host.example/a", "https://login:***@host.example/a"},
		{"not a URL", "https://login:pw@host.example/a", "::", "::"},
		{"other host", "https://login:pw@host.example/a", "https://***@thief.example/a", ""},
		{"other port", "https://login:pw@host.example/a", "https://***@host.example:8443/a", ""},
		{"other scheme", "https://login:pw@host.example:80/a", "http://***@host.example/a", ""},
		{"nothing stored", "https://host.example/a", "https://***@host.example/a", ""},
		{"nothing stored yet", "", "https://***@host.example/a", ""},
		{"port out of range for one of none", "https://login:pw@host.example:0/a", "https://***@host.example:99999/a", ""},
		{"port out of range", "https://login:pw@host.example:99999/a", "https://***@host.example:99999/a", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Merge(tt.stored, tt.sent)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("Merge(%q, %q) = %q, %v, want %q", tt.stored, tt.sent, got, err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "pw") || strings.Contains(err.Error(), "example")) {
				t.Errorf("error %q holds a part of the URL", err)
			}
		})
	}
}

func TestLogsGetTheHostAlone(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"https://login:password@Host.example:8443/path?key=secret", "host.example:8443"},
		{"https://host.example", "host.example"},
		{"http://[::1]:8080/", "[::1]:8080"},
		{"login:password@host.example", ""},
		{"https://login:pass word@host.example/%", ""},
		{"", ""},
	} {
		if got := Host(tt.raw); got != tt.want {
			t.Errorf("Host(%q) = %q, want %q", tt.raw, got, tt.want)
		}
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, raw := range []string{
		"https://login:password@tenant.example:8443/a%20b?c=d", "http://127.1/", "http://[::ffff:127.0.0.1]/", "http://0x7f.1./",
		"https://tenant.example\\@127.0.0.1/", "http://a@b@c/", "http://%e2%91%a0.1/", "http:////x", "http://[::1%25lo]:1/#",
	} {
		f.Add(raw)
	}
	c := &Client{}
	f.Fuzz(func(t *testing.T, raw string) {
		if err := c.CheckURL(raw); err != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || len(raw) > MaxURLBytes {
			t.Errorf("CheckURL(%q) = nil", raw)
		}
		if strings.ContainsAny(u.RequestURI()+u.Host, " \r\n\t\x00#\\") {
			t.Errorf("CheckURL(%q) = nil, but its request line would break", raw)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && (!addr.Unmap().IsGlobalUnicast() || addr.Unmap().IsPrivate()) {
			t.Errorf("CheckURL(%q) = nil, but %s is not public", raw, addr)
		}
		if Host(raw) == "" {
			t.Errorf("Host(%q) is empty", raw)
		}
		if shown := Redact(raw); shown == hidden || c.CheckURL(strings.Replace(shown, hidden, "x", 1)) != nil && len(shown) < MaxURLBytes {
			t.Errorf("Redact(%q) = %q, want a URL", raw, shown)
		}
		if merged, err := Merge(raw, Redact(raw)); err != nil || merged != raw {
			t.Errorf("Merge(%q, Redact) = %q, %v, want it unchanged", raw, merged, err)
		}
	})
}

func FuzzRedact(f *testing.F) {
	for _, password := range []string{"password", "p@ss", "p/w?x#y", "p:w", "%40", "\\", "\x00", "é"} {
		f.Add("https://", password, "@tenant.example/path")
	}
	f.Add("", "password", "@tenant.example")
	f.Add("https:", "password", "@tenant.example")
	f.Add("https://tenant.example/", "password", "?x")
	f.Fuzz(func(t *testing.T, before, password, after string) {
		const marked = "Zq7Xk" // a password that occurs nowhere else
		if strings.Contains(before+after, marked) {
			return
		}
		for _, written := range []string{marked + password, url.PathEscape(marked + password)} {
			raw := before + "login:" + written + after
			u, err := url.Parse(raw)
			secret := err != nil || u.User != nil && strings.Contains(u.User.String(), marked)
			if got := Redact(raw); secret && strings.Contains(got, marked) {
				t.Errorf("Redact(%q) = %q holds the password", raw, got)
			}
			if host := Host(raw); secret && strings.Contains(host, marked) {
				t.Errorf("Host(%q) = %q holds the password", raw, host)
			}
		}
	})
}

// wantRefused checks that raw is refused on creation and on delivery, for a
// reason that holds why and nothing of raw.
func wantRefused(t *testing.T, c *Client, raw, why string) {
	t.Helper()
	err := c.CheckURL(raw)
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("CheckURL(%.80q) = %v, want an error with %q", raw, err, why)
		return
	}
	got := c.Post(t.Context(), Request{URL: raw})
	if got.Class != BadURL && got.Class != BlockedAddress || !strings.Contains(got.Error, why) {
		t.Errorf("Post(%.80q) = %+v, want an error with %q", raw, got, why)
	}
	for _, text := range []string{err.Error(), got.Error} {
		if strings.Contains(text, "example") || strings.Contains(text, "s3cret") {
			t.Errorf("error %q of %.80q holds a part of the URL", text, raw)
		}
	}
}
