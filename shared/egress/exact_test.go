package egress

import (
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestURLsMayReachTheirLimits asks at each limit and one beyond.
func TestURLsMayReachTheirLimits(t *testing.T) {
	label := strings.Repeat("a", 63)
	name := strings.Join([]string{label, label, label, strings.Repeat("a", 61)}, ".") // 253 bytes
	for _, tt := range []struct {
		raw string
		ok  bool
	}{
		{"https://tenant.example/%41", true},
		{"https://tenant.example/%4", false},
		{"https://tenant.example/%aF%09%90", true},
		{"https://tenant.example/%g0", false},
		{"https://tenant.example/%0G", false},
		{"https://" + label + ".example/", true},
		{"https://" + label + "a.example/", false},
		{"https://" + name + "/", true},
		{"https://" + name + "./", true},
		{"https://" + name + "a/", false},
		{"https://a-z_A-Z09.example/", true},
		{"https://a.example/azAZ09", true},
		{"https://a`b.example/", false},
		{"https://a@b{c.example/", false},
		{"https://a.example:65535/", true},
		{"https://a.example:1/", false},
		{"https://a.example/" + strings.Repeat("a", MaxURLBytes-18), true},
		{"https://a.example/" + strings.Repeat("a", MaxURLBytes-17), false},
		{"https://0x.example/", true},
		{"https://example.0xfg/", true},
		{"https://example.0xf/", false},
		{"https://example.09/", false},
		{"https://example.9a/", true},
	} {
		if err := (&Client{}).CheckURL(tt.raw); (err == nil) != tt.ok {
			t.Errorf("CheckURL(%.100s) of %d bytes = %v, want it taken: %v", tt.raw, len(tt.raw), err, tt.ok)
		}
	}
}

func TestQueryMayHoldWhatARequestLineMay(t *testing.T) {
	for _, tt := range []struct {
		query string
		ok    bool
	}{{"a=!", true}, {"a=~", true}, {"a=\x80é", true}, {"a= ", false}, {"a=\x1f", false}, {"a=\x7f", false}, {"a=\x00", false}} {
		if got, err := joinQueries("", tt.query); (err == nil) != tt.ok || tt.ok && got != tt.query {
			t.Errorf("joinQueries of %q = %q, %v, want it taken: %v", tt.query, got, err, tt.ok)
		}
	}
}

// A seen is a network that keeps the request.
type seen struct{ r *http.Request }

func (s *seen) RoundTrip(r *http.Request) (*http.Response, error) {
	s.r = r
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
}

// TestNetworkGetsNoCredentialsInTheURL looks at the request as a transport gets
// it, which may log the URL.
func TestNetworkGetsNoCredentialsInTheURL(t *testing.T) {
	for _, login := range []string{"login:s3cret@", "s3cret@", ""} {
		network := &seen{}
		got := (&Client{Transport: network}).Post(t.Context(), Request{URL: "https://" + login + "tenant.example:8443/a", Body: []byte("body")})
		if got.Class != OK || network.r == nil {
			t.Fatalf("Post = %+v, want OK", got)
		}
		if u := network.r.URL.String(); u != "https://tenant.example:8443/a" || network.r.Host != "tenant.example:8443" {
			t.Errorf("the network gets %s and host %s, want no login", u, network.r.Host)
		}
		if network.r.ContentLength != 4 || network.r.GetBody == nil || network.r.Method != http.MethodPost {
			t.Errorf("the network gets %d bytes by %s, again: %v; want 4 by POST, and again", network.r.ContentLength, network.r.Method, network.r.GetBody != nil)
		}
		if (network.r.Header.Get("Authorization") != "") != (login != "") {
			t.Errorf("with login %q the network gets Authorization %q", login, network.r.Header.Get("Authorization"))
		}
	}
	empty := &seen{}
	(&Client{Transport: empty}).Post(t.Context(), Request{URL: "https://tenant.example/"})
	if empty.r.Body != http.NoBody || empty.r.GetBody != nil || empty.r.ContentLength != 0 || empty.r.Header == nil {
		t.Errorf("an empty body goes as %v with %d bytes and header %v, want none", empty.r.Body, empty.r.ContentLength, empty.r.Header)
	}
}

// A counted body counts what is read of it, and whether it is closed.
type counted struct {
	left, read int
	closed     bool
}

func (c *counted) Read(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	c.read += n
	return n, nil
}

func (c *counted) Close() error {
	c.closed = true
	return nil
}

type answered struct {
	code int
	body *counted
}

func (a answered) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.code, Body: a.body}, nil
}

// TestAnswerIsReadToItsLimitAndNoFurther counts the bytes of an answer that has
// no end. One more than is read tells whether it ends there.
func TestAnswerIsReadToItsLimitAndNoFurther(t *testing.T) {
	for _, tt := range []struct{ code, read, kept int }{{200, ReadResponseBytes + 1, KeepResponseBytes}, {500, ReadResponseBytes + 1, KeepResponseBytes}, {101, 0, 0}} {
		body := &counted{left: 1 << 30}
		got := (&Client{Transport: answered{tt.code, body}}).Post(t.Context(), Request{URL: "https://tenant.example/"})
		if got.StatusCode != tt.code || len(got.Body) != tt.kept || body.read != tt.read || !body.closed {
			t.Errorf("answer %d without end: %d, %d bytes kept and %d read, closed %v; want %d, %d, closed", tt.code, got.StatusCode, len(got.Body), body.read, body.closed, tt.kept, tt.read)
		}
	}
}

// TestPostsKeepTheirAnswersApart makes two, of which the second is shorter: the
// buffer is used again.
func TestPostsKeepTheirAnswersApart(t *testing.T) {
	text := "the first answer"
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(text)) })
	c := newClient(t)
	first := c.Post(t.Context(), Request{URL: server.URL})
	text = "another"
	second := c.Post(t.Context(), Request{URL: server.URL})
	if string(first.Body) != "the first answer" || string(second.Body) != "another" {
		t.Errorf("answers %q and %q, want the first answer and another", first.Body, second.Body)
	}
}

func TestTimeLimitIsTheLowerOne(t *testing.T) {
	for _, tt := range []struct{ client, request, want time.Duration }{
		{0, 0, DefaultTimeout}, {0, 1, 1}, {0, -1, DefaultTimeout}, {time.Second, 0, time.Second},
		{time.Second, time.Second, time.Second}, {time.Second, time.Second - 1, time.Second - 1}, {time.Second, time.Second + 1, time.Second},
	} {
		if got := (&Client{Timeout: tt.client}).timeout(tt.request); got != tt.want {
			t.Errorf("time limit of %v where the client's is %v: %v, want %v", tt.request, tt.client, got, tt.want)
		}
	}
}

// TestTookIsTheTimeUntilTheHeader lets a body come late.
func TestTookIsTheTimeUntilTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := (&Client{Transport: late{2 * time.Second, 3 * time.Second}}).Post(t.Context(), Request{URL: "https://tenant.example/"})
		if got.Class != OK || got.Took != 2*time.Second || string(got.Body) != "late" {
			t.Errorf("Post = %+v, want OK after 2 s with the body", got)
		}
	})
}

// late answers with its header and then its body after a time.
type late struct{ header, body time.Duration }

func (l late) RoundTrip(*http.Request) (*http.Response, error) {
	time.Sleep(l.header)
	return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(slow(l.body), strings.NewReader("late")))}, nil
}

// slow is an empty text that takes its time.
type slow time.Duration

func (s slow) Read([]byte) (int, error) {
	time.Sleep(time.Duration(s))
	return 0, io.EOF
}

func TestNetworkIsSetAsItsCommentsSay(t *testing.T) {
	c := &Client{}
	n := c.network()
	if n.Proxy != nil || !n.ForceAttemptHTTP2 || !n.DisableCompression || n.TLSHandshakeTimeout != DefaultConnectTimeout ||
		n.TLSClientConfig.MinVersion < 0x0303 || n.TLSClientConfig.InsecureSkipVerify || n.MaxResponseHeaderBytes != MaxResponseHeader {
		t.Errorf("network is set as %+v", n)
	}
	if got := (&Client{ConnectTimeout: time.Second}).network().TLSHandshakeTimeout; got != time.Second {
		t.Errorf("a handshake may take %v, want the connect timeout of 1s", got)
	}
}

func TestHostsOfOurOwnAreReadInAnySpelling(t *testing.T) {
	got := parseOwnHosts([]string{"A.example.", "b.example:8443", "127.0.0.1:80", "[::1]:80", "::1", "[::ffff:127.0.0.1]", "c.example:port"})
	want := []ownHost{
		{"a.example", 0}, {"b.example", 8443}, {"127.0.0.1", 80}, {"::1", 80}, {"::1", 0}, {"127.0.0.1", 0}, {"c.example:port", 0},
	}
	if !slices.Equal(got, want) {
		t.Errorf("own hosts %v, want %v", got, want)
	}
}

func TestAllowedBlocksAreOfTheirFamily(t *testing.T) {
	c := &Client{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	for address, want := range map[string]error{"10.1.2.3": nil, "fd00::1": nil, "192.168.0.1": errNotPublic, "fe80::1": errNotPublic, "1.1.1.1": nil} {
		c.once.Do(c.prepare)
		if got := c.checkAddr(netip.AddrPortFrom(netip.MustParseAddr(address), 443)); got != want {
			t.Errorf("judge(%s) = %v, want %v", address, got, want)
		}
	}
}
