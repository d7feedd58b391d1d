package egress

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"code.dny.dev/ssrf"
)

// Defaults of a Client.
const (
	DefaultConnectTimeout = 5 * time.Second
	DefaultTimeout        = 15 * time.Second
)

// Idle connections are bounded, since each holds a file descriptor, of which a Lambda has 1,024. Connections in use
// are not bounded per host: tenants share hosts, and an endpoint that hangs must not hold up the others. One host may
// keep as many idle as there are parallel attempts by default: others would be dialed again for the next event.
const (
	maxIdleConnections = 512
	maxIdlePerHost     = 256
	idleTimeout        = 30 * time.Second

	// Buffers of a connection, of which a process has hundreds: a request with 1 KiB of payload fits in one, and most
	// response headers in the other.
	writeBuffer = 2 << 10
	readBuffer  = 1 << 10

	// Memory that HTTP/2 may use, and how a connection that died while the process was frozen is noticed.
	streamBuffer     = ReadResponseBytes
	connectionBuffer = 1 << 20
	pingAfter        = 10 * time.Second
	pingTimeout      = 3 * time.Second
)

// A Client calls tenants. The zero Client calls public addresses only. Its fields must not change after its first use;
// its methods are safe for concurrent use.
type Client struct {
	Allow          []netip.Prefix    // special addresses that may be called; the local runner allows loopback
	OwnHosts       []string          // our public hosts, as host or host:port, which are never called; 0.0.0.0 means all of loopback
	Paused         bool              // sends nothing: each Response is Internal
	ConnectTimeout time.Duration     // to resolve the name and connect, and again for TLS; 0: 5 s
	Timeout        time.Duration     // of the exchange, and the most that a Request may ask for; 0: 15 s
	Resolver       *net.Resolver     // nil: the system's
	Roots          *x509.CertPool    // trusted authorities; nil: the system's
	Transport      http.RoundTripper // in place of the network, with the same checks of URLs; nil: the network

	once      sync.Once
	ownHosts  []ownHost
	guardian  *ssrf.Guardian
	transport http.RoundTripper
	buffers   sync.Pool // of *[KeepResponseBytes]byte
}

// Post sends r and waits for the response. The response header alone decides the outcome: a body that stalls, breaks
// off or never ends changes nothing. It is read up to ReadResponseBytes while time is left.
//
// If a kept-alive connection turns out to be dead, Post sends a body again only if r.Header has the key
// Idempotency-Key (with no values, to send no such header).
//
// Post returns no error: failures are Classes. The end of ctx is Internal, never the endpoint's failure.
func (c *Client) Post(ctx context.Context, r Request) Response {
	return c.exchange(ctx, http.MethodPost, r)
}

// Options is Post for an OPTIONS request, which asks an endpoint what it accepts.
func (c *Client) Options(ctx context.Context, r Request) Response {
	return c.exchange(ctx, http.MethodOptions, r)
}

// exchange makes one request and returns the outcome, never an error: a failure before the response has a Class and no
// status code.
func (c *Client) exchange(ctx context.Context, method string, r Request) Response {
	c.once.Do(c.prepare)
	start := time.Now()
	if c.Paused {
		return Response{Class: Internal, Error: sentence(Internal, "the gateway is paused")}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout(r.Timeout), errTimeout)
	defer cancel()
	req, err := c.request(ctx, method, r)
	if err != nil {
		return failure(ctx, err, start)
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return failure(ctx, err, start)
	}
	defer res.Body.Close()
	response := Response{StatusCode: res.StatusCode, Header: res.Header, Took: time.Since(start), Class: classOf(res.StatusCode)}
	if res.StatusCode != http.StatusSwitchingProtocols { // whose body is the connection
		response.Body = gunzip(res.Header, c.read(res.Body))
	}
	response.Error = sentence(response.Class, detailOf(res, response))
	return response
}

// CloseIdle closes idle connections.
func (c *Client) CloseIdle() {
	c.once.Do(c.prepare)
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// prepare derives from the fields what the methods use.
func (c *Client) prepare() {
	c.ownHosts = parseOwnHosts(c.OwnHosts)
	c.guardian = newGuardian(c.Allow)
	c.buffers.New = func() any { return new([KeepResponseBytes]byte) }
	c.transport = c.Transport
	if c.transport == nil {
		c.transport = c.network()
	}
}

// network returns the transport over real connections.
func (c *Client) network() *http.Transport {
	connect := cmp.Or(c.ConnectTimeout, DefaultConnectTimeout)
	dialer := &net.Dialer{Timeout: connect, Control: c.control, Resolver: c.Resolver}
	return &http.Transport{
		Proxy:       nil, // a proxy would dial addresses that we have not checked
		DialContext: dialer.DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            c.Roots,
			ClientSessionCache: tls.NewLRUClientSessionCache(maxIdleConnections),
		},
		TLSHandshakeTimeout:    connect,
		ForceAttemptHTTP2:      true, // off by default if DialContext and TLSClientConfig are set
		DisableCompression:     true, // responses are stored as they came, and do not grow
		MaxIdleConns:           maxIdleConnections,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: MaxResponseHeader,
		WriteBufferSize:        writeBuffer,
		ReadBufferSize:         readBuffer,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: connectionBuffer,
			MaxReceiveBufferPerStream:     streamBuffer,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
		},
	}
}

// timeout returns the time limit of a request that asks for d.
func (c *Client) timeout(d time.Duration) time.Duration {
	limit := cmp.Or(c.Timeout, DefaultTimeout)
	if d <= 0 {
		return limit
	}
	return min(d, limit)
}

// request returns r as net/http wants it, with the URL's credentials in the header. The error is a *refusal.
func (c *Client) request(ctx context.Context, method string, r Request) (*http.Request, error) {
	u, err := c.parse(r.URL)
	if err != nil {
		return nil, err
	}
	if u.RawQuery, err = joinQueries(u.RawQuery, r.Query); err != nil {
		return nil, err
	}
	header := authorized(r.Header, u.User)
	u.User = nil
	req := (&http.Request{Method: method, URL: u, Host: u.Host, Header: header, Body: http.NoBody, ContentLength: int64(len(r.Body))}).WithContext(ctx)
	if len(r.Body) > 0 {
		req.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(r.Body)), nil
		}
		req.Body, _ = req.GetBody()
	}
	return req, nil
}

// authorized returns h with login as Basic authorization, unless h has an Authorization. It does not change h.
// https://www.rfc-editor.org/rfc/rfc7617#section-2
func authorized(h http.Header, login *url.Userinfo) http.Header {
	if h == nil {
		h = http.Header{}
	}
	if login == nil || h.Get("Authorization") != "" {
		return h
	}
	password, _ := login.Password()
	r := http.Request{Header: h.Clone()}
	r.SetBasicAuth(login.Username(), password)
	return r.Header
}

// joinQueries returns the raw query a followed by the raw query b.
func joinQueries(a, b string) (string, error) {
	if strings.ContainsFunc(b, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", &refusal{Internal, "the query holds a space or a control character"}
	}
	if a == "" || b == "" || strings.HasSuffix(a, "&") {
		return a + b, nil
	}
	return a + "&" + b, nil
}

// read returns the first KeepResponseBytes of a body. It reads on so that the connection can be reused, but no more
// than the byte after ReadResponseBytes, which shows whether the body has ended there.
func (c *Client) read(r io.Reader) []byte {
	buffer := c.buffers.Get().(*[KeepResponseBytes]byte)
	defer c.buffers.Put(buffer)
	n, err := io.ReadFull(r, buffer[:])
	body := slices.Clone(buffer[:n])
	for left := ReadResponseBytes + 1 - n; err == nil && left > 0; left -= n {
		n, err = r.Read(buffer[:min(left, len(buffer))])
	}
	return body
}

// gunzip decompresses the stored part of a body: some servers send gzip without a request for it.
func gunzip(h http.Header, body []byte) []byte {
	if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil && strings.EqualFold(h.Get("Content-Encoding"), "gzip") {
		body, _ = io.ReadAll(io.LimitReader(z, KeepResponseBytes)) // as far as it was read
	}
	return body
}

// detailOf returns what to add to the status of a failed response: where it redirects, without what may be secret
// there, or the charset of its body.
func detailOf(res *http.Response, a Response) string {
	to, err := res.Location()
	_, params, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case a.Class == Status3xx && err == nil:
		return fmt.Sprintf("it leads to %.200s", &url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path})
	case a.Class != OK && params["charset"] != "" && !utf8.Valid(a.Body):
		return fmt.Sprintf("its body is in charset %.40q", params["charset"])
	}
	return ""
}
