package egress

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long a POST to a hostile endpoint may take in tests.
const patience = 2 * time.Second

// hostile are endpoints that answer an exchange over plain HTTP as they like.
var hostile = []struct {
	name   string
	handle func(*rawConn)
	want   Class
	body   string // what is kept of the answer; only its first 16 bytes are compared
}{
	{"says nothing", func(c *rawConn) { c.wait() }, Timeout, ""},
	{"closes at once", func(c *rawConn) {}, Reset, ""},
	{"closes after the request", after(""), Reset, ""},
	{"resets after the request", func(c *rawConn) { c.request(); c.Conn.(*net.TCPConn).SetLinger(0) }, Reset, ""},
	{"breaks off in the status line", after("HTTP/1.1 20"), BadResponse, ""},
	{"breaks off in the header", after("HTTP/1.1 200 OK\r\nX-A: b\r\n"), Reset, ""},
	{"sends its header byte by byte", slowly("HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("a", 10_000)), Timeout, ""},
	{"sends a header without end", func(c *rawConn) {
		c.request()
		c.flood("HTTP/1.1 200 OK\r\n", "X-Bomb: "+strings.Repeat("b", 1000)+"\r\n")
	}, BadResponse, ""},
	{"sends one header line without end", func(c *rawConn) { c.request(); c.flood("HTTP/1.1 200 OK\r\nX-Bomb: ", strings.Repeat("b", 1000)) }, BadResponse, ""},
	{"sends a status line without end", func(c *rawConn) { c.request(); c.flood("HTTP/1.1 200 ", strings.Repeat("b", 1000)) }, BadResponse, ""},
	{"sends informational answers without end", func(c *rawConn) {
		c.request()
		c.flood("", "HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("b", 1000)+"\r\n\r\n")
	}, BadResponse, ""},
	{"speaks SSH", after("SSH-2.0-OpenSSH_9.6\r\n"), BadResponse, ""},
	{"speaks TLS", after("\x15\x03\x01\x00\x02\x02\x46"), BadResponse, ""},
	{"has a status that is no number", after("HTTP/1.1 abc OK\r\n\r\n"), BadResponse, ""},
	{"has a header line without colon", after("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), BadResponse, ""},
	{"has two lengths", after("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), BadResponse, ""},
	{"has a status of 999", after("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"), StatusOther, ""},
	{"has a status of 099", after("HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"), StatusOther, ""},
	{"switches protocols", func(c *rawConn) {
		c.request()
		c.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		c.wait()
	}, Status1xx, ""},
	{"sends 100 Continue unasked", after("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), OK, "ok"},
	{"sends 103 Early Hints", after("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"), OK, ""},
	{"speaks HTTP/1.0", after("HTTP/1.0 200 OK\r\n\r\nold"), OK, "old"},
	{"answers before it has read the request", func(c *rawConn) {
		c.Conn.Read(make([]byte, 1))
		c.write("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy")
		c.wait()
	}, Status5xx, "busy"},
	{"accepts, then breaks off", after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), OK, "half"},
	{"accepts, then stalls", func(c *rawConn) {
		c.request()
		c.write("HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\nhalf")
		c.wait()
	}, OK, "half"},
	{"accepts, then sends nonsense chunks", after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"), OK, "half"},
	{"refuses, then stalls", func(c *rawConn) {
		c.request()
		c.write("HTTP/1.1 500 Odd\r\nContent-Length: 10\r\n\r\nhalf")
		c.wait()
	}, Status5xx, "half"},
	{"accepts with 1 GiB", func(c *rawConn) {
		c.request()
		c.flood("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", strings.Repeat("b", 32<<10))
	}, OK, "bbbbbbbbbbbbbbbb"},
	{"accepts without end", func(c *rawConn) {
		c.request()
		c.flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "8000\r\n"+strings.Repeat("b", 32<<10)+"\r\n")
	}, OK, "bbbbbbbbbbbbbbbb"},
	{"accepts drop by drop", slowly("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + strings.Repeat("b", 10_000)), OK, "b"},
}

func TestHostileEndpointsAreClassified(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t)
			c.Timeout = patience
			url := serveRaw(t, tt.handle)
			ctx, cancel := context.WithTimeout(t.Context(), 10*patience) // what comes drop by drop takes longer
			defer cancel()
			got := c.Post(ctx, secretRequest(url))
			if ctx.Err() != nil {
				t.Errorf("Post took %v with a time limit of %v", 10*patience, patience)
			}
			if got.Class != tt.want {
				t.Errorf("Post = %+v, want class %q", got, tt.want)
			}
			if !strings.HasPrefix(string(got.Body), tt.body) || len(got.Body) > KeepResponseBytes {
				t.Errorf("Post kept %d bytes, %.40q, want %q at their start", len(got.Body), got.Body, tt.body)
			}
			wantNoSecret(t, got)
		})
	}
}

func TestHostileAnswersTakeLittleMemory(t *testing.T) {
	const posts, limit = 20, 256 << 10 // bytes per POST; a line of MaxResponseHeader is read into a growing buffer
	for _, tt := range hostile {
		if !strings.Contains(tt.name, "without end") && !strings.Contains(tt.name, "1 GiB") {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t)
			url := serveRaw(t, tt.handle)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range posts {
				c.Post(t.Context(), Request{URL: url})
			}
			runtime.ReadMemStats(&after)
			if got := (after.TotalAlloc - before.TotalAlloc) / posts; got > limit {
				t.Errorf("a POST allocated %d bytes, want at most %d", got, limit)
			}
		})
	}
}

func TestTLSFailuresAreClassified(t *testing.T) {
	waits(t)
	quiet := func(s *httptest.Server) *httptest.Server {
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		return s
	}
	good := quiet(httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	good.StartTLS()
	t.Cleanup(good.Close)
	old := quiet(httptest.NewUnstartedServer(nil))
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	t.Cleanup(old.Close)
	mutual := quiet(httptest.NewUnstartedServer(nil))
	mutual.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	mutual.StartTLS()
	t.Cleanup(mutual.Close)
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	mute := serveRaw(t, (*rawConn).wait)
	closing := serveRaw(t, func(c *rawConn) {})
	ssh := serveRaw(t, func(c *rawConn) { c.write("SSH-2.0-OpenSSH_9.6\r\n"); c.wait() })

	names := serveDNS(t, func(int) dnsAnswer { return dnsAnswer{addr: "127.0.0.1"} })
	for _, tt := range []struct {
		name, url string
		trusted   bool
		want      Class
		detail    string
	}{
		{"trusted", good.URL, true, OK, ""},
		{"unknown authority", good.URL, false, TLS, "known authority"},
		{"certificate for another name", strings.Replace(good.URL, "127.0.0.1", "tenant.example", 1), true, TLS, "another name"},
		{"TLS 1.1", old.URL, true, TLS, ""},
		{"certificate of ours wanted", mutual.URL, true, TLS, "ended the handshake"},
		{"plain HTTP behind https", strings.Replace(plain.URL, "http:", "https:", 1), true, TLS, "plain HTTP"},
		{"SSH behind https", strings.Replace(ssh, "http:", "https:", 1), true, TLS, "does not speak TLS"},
		{"TLS behind http", strings.Replace(good.URL, "https:", "http:", 1), true, Status4xx, ""},
		{"no handshake", strings.Replace(mute, "http:", "https:", 1), true, Timeout, "TLS handshake"},
		{"closed in the handshake", strings.Replace(closing, "http:", "https:", 1), true, Reset, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t)
			c.ConnectTimeout = connectTime(tt.want)
			c.Resolver = names
			if tt.trusted {
				c.Roots = good.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			}
			got := c.Post(t.Context(), secretRequest(tt.url))
			if got.Class != tt.want || !strings.Contains(got.Error, tt.detail) {
				t.Errorf("Post = %+v, want class %q with %q", got, tt.want, tt.detail)
			}
			wantNoSecret(t, got)
		})
	}
}

// TestAnswerThatCannotBeReadIsToldWhy sends answers whose status is clear to
// people, and whose framing net/http refuses (RFC 9112, section 6.3, lets it).
func TestAnswerThatCannotBeReadIsToldWhy(t *testing.T) {
	const ok, encoding, length, status, line, size = "HTTP/1.1 200 OK\r\n",
		"its Transfer-Encoding is not chunked alone", "its Content-Length is not one number", "its first line is not a status line of HTTP/1.1",
		"a line of its header has no name and colon", "its header is too large"
	for sent, want := range map[string]string{
		ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": encoding,
		ok + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n":                      encoding,
		ok + "Transfer-Encoding: identity\r\n\r\nok":                                     encoding,
		ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n":                         encoding,
		ok + "Content-Length: \r\n\r\nok":                                                length,
		ok + "Content-Length: abc\r\n\r\nok":                                             length,
		ok + "Content-Length: -1\r\n\r\nok":                                              length,
		ok + "Content-Length: 2, 2\r\n\r\nok":                                            length,
		ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nok":                          length,
		ok + "nonsense Content-Length\r\n\r\nok":                                         line,
		ok + " X-Folded: a\r\n\r\nok":                                                    line,
		"\r\n" + ok + "\r\n":                                                             status,
		"http/1.1 200 OK\r\n\r\n":                                                        status,
		"ICY 200 OK\r\n\r\n":                                                             status,
		"HTTP/1.1 0200 OK\r\n\r\n":                                                       status,
		"GOAWAY 200 transfer encoding\r\n\r\n":                                           status,
		ok + "X-Large: " + strings.Repeat("a", 40<<10) + "\r\n\r\n":                      size,
		"HTTP/1.1 410 Gone\r\nTransfer-Encoding: identity\r\n\r\n":                       encoding,
	} {
		got := newClient(t).Post(t.Context(), secretRequest(serveRaw(t, after(sent))))
		if got.Class != BadResponse || got.Error != "The endpoint's response could not be read as HTTP: "+want+"." {
			t.Errorf("answer %.80q: class %q, %q; want %q with %q", sent, got.Class, got.Error, BadResponse, want)
		}
		wantNoSecret(t, got)
	}
}

// TestResponseIsToldForPeople has endpoints refuse in ways that people cannot read
// as they come, or redirect.
func TestResponseIsToldForPeople(t *testing.T) {
	zip := func(text string) string {
		var b strings.Builder
		z := gzip.NewWriter(&b)
		io.WriteString(z, text)
		z.Close()
		return b.String()
	}
	const refused, redirected = "The endpoint failed the request with a status from 400 to 499", "The endpoint responded with a redirect, which is not followed"
	secret := "Location: https://log:s3cret@other.example/hook/?key=s3cret#s3cret\r\n"
	for _, tt := range []struct{ name, status, header, body, told, want string }{
		{"gzip", "403 F", "Content-Encoding: GZIP\r\n", zip("no <hook> here"), refused + ".", "no <hook> here"},
		{"gzip that is accepted", "200 OK", "Content-Encoding: gzip\r\n", zip("thanks"), "", "thanks"},
		{"a bomb", "403 F", "Content-Encoding: gzip\r\n", zip(strings.Repeat("b", 1<<22)), refused + ".", strings.Repeat("b", KeepResponseBytes)},
		{"no gzip, by its name alone", "403 F", "Content-Encoding: gzip\r\n", "as it is", refused + ".", "as it is"},
		{"gzip without its name", "403 F", "", zip("as it is"), refused + ".", zip("as it is")},
		{"another charset", "403 F", "Content-Type: text/html; charset=windows-1251\r\n", "\xc4\xee", refused + ": its body is in charset \"windows-1251\".", "\xc4\xee"},
		{"another charset that is accepted", "200 OK", "Content-Type: text/html; charset=windows-1251\r\n", "\xc4\xee", "", "\xc4\xee"},
		{"ASCII in another charset", "403 F", "Content-Type: text/html; charset=windows-1251\r\n", "no", refused + ".", "no"},
		{"a slash that is missing", "308 P", "Location: /hook/\r\n", "", redirected + ": it leads to http://HOST/hook/.", ""},
		{"elsewhere, with secrets", "302 F", secret, "", redirected + ": it leads to https://other.example/hook/.", ""},
		{"without saying where", "302 F", "", "", redirected + ".", ""},
		{"to what is no URL", "302 F", "Location: http://[s3cret\r\n", "", redirected + ".", ""},
		{"with a line break in it", "302 F", "Location: /a%0Ab\r\n", "", redirected + ": it leads to http://HOST/a%0Ab.", ""},
		{"a place of a refusal", "404 N", secret, "", refused + ".", ""},
	} {
		url := serveRaw(t, after(fmt.Sprintf("HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s", tt.status, tt.header, len(tt.body), tt.body)))
		got := newClient(t).Post(t.Context(), Request{URL: url + "/hook"})
		want := strings.Replace(tt.told, "HOST", strings.TrimPrefix(url, "http://"), 1)
		if got.Error != want || string(got.Body) != tt.want || strings.Contains(got.Error, "s3cret") {
			t.Errorf("%s: told %q, body %.40q; want %q, %.40q", tt.name, got.Error, got.Body, want, tt.want)
		}
	}
	long := newClient(t).Post(t.Context(), Request{URL: serveRaw(t, after("HTTP/1.1 302 F\r\nLocation: /"+strings.Repeat("a", 9000)+"\r\n\r\n"))})
	if len(long.Error) > 300 {
		t.Errorf("told %d bytes of where a redirect leads, want at most 200", len(long.Error))
	}
}

// connectTime is how long a connection may take that ends as want: a handshake
// takes seconds on a busy machine, which is no time-out.
func connectTime(want Class) time.Duration {
	if want == Timeout {
		return patience
	}
	return time.Minute
}

func TestRefusedConnectionIsConnect(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	listener.Close()
	got := newClient(t).Post(t.Context(), secretRequest(url))
	if got.Class != Connect || !strings.Contains(got.Error, "refused") {
		t.Errorf("Post to a closed port = %+v, want class %q", got, Connect)
	}
	wantNoSecret(t, got)
}

// secretRequest returns a request to url with a secret wherever one may be.
func secretRequest(url string) Request {
	return Request{
		URL:    strings.Replace(url, "://", "://s3cret-login:s3cret-password@", 1) + "/s3cret-path?key=s3cret-query",
		Query:  "sign=s3cret-sign",
		Header: http.Header{"X-Token": {"s3cret-header"}, "Idempotency-Key": {"evt_1"}},
		Body:   []byte("s3cret-body"),
	}
}

// wantNoSecret checks that r holds nothing of secretRequest, nor an address.
func wantNoSecret(t *testing.T, r Response) {
	t.Helper()
	if text := fmt.Sprintf("%+v %s", r, r.Body); strings.Contains(text, "s3cret") || strings.Contains(text, "czNjcmV0") {
		t.Errorf("response %s holds a secret of the request", text)
	}
	if strings.Contains(r.Error, "://") || strings.Contains(r.Error, "127.0.0") || strings.Contains(r.Error, ".example") {
		t.Errorf("error %q holds an address", r.Error)
	}
	if (r.Class == OK) != (r.Error == "") {
		t.Errorf("class %q has the error %q", r.Class, r.Error)
	}
}

// after returns a server that reads the request, sends answer and closes.
func after(answer string) func(*rawConn) {
	return func(c *rawConn) {
		c.request()
		c.write(answer)
	}
}

// slowly returns a server that sends answer in drops, for longer than patience.
func slowly(answer string) func(*rawConn) {
	return func(c *rawConn) {
		c.request()
		header, body, _ := strings.Cut(answer, "\r\n\r\n")
		drops := header
		if body != "" {
			c.write(header + "\r\n\r\n")
			drops = body
		}
		tick := time.NewTicker(patience / 50)
		defer tick.Stop()
		for i := range len(drops) {
			<-tick.C
			if c.write(drops[i:i+1]) != nil {
				return
			}
		}
	}
}

// flood sends start and then more until the client closes the connection.
func (c *rawConn) flood(start, more string) {
	c.write(start)
	chunk := []byte(more)
	for {
		if _, err := c.Conn.Write(chunk); err != nil {
			return
		}
	}
}
