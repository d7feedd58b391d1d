package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errTimeout tells our own time limit from the end of the caller's context.
var errTimeout = errors.New("time limit of the exchange")

// failure returns the Response to a request that failed with err.
func failure(ctx context.Context, err error, start time.Time) Response {
	class, detail := classify(ctx, err)
	return Response{Took: time.Since(start), Class: class, Error: sentence(class, detail)}
}

// classify returns the Class of err, which a transport returned for a request with ctx, and a detail for the sentence,
// or "". It quotes nothing of err, whose text may hold names, URLs and what came over the wire.
//
// Whatever ran out of time is Timeout, whether it was the name, the connection or the response: slow endpoints must be
// told from failing ones.
func classify(ctx context.Context, err error) (Class, string) {
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused.class, refused.reason
	}
	if ctx.Err() != nil && context.Cause(ctx) == errTimeout {
		return Timeout, ""
	}
	if ctx.Err() != nil {
		return Internal, "the gateway was stopped or ran out of time"
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return Timeout, phase(err)
	}
	for _, c := range causes {
		if c.matches(err) {
			return c.class, c.detail
		}
	}
	return BadResponse, ""
}

// phase returns what took too long, unless it was the whole exchange.
func phase(err error) string {
	switch {
	case isType[*net.DNSError](err):
		return "its name was not resolved"
	case isOp("dial")(err):
		return "no connection was made"
	case strings.HasSuffix(err.Error(), "TLS handshake timeout"): // it has no type of its own
		return "the TLS handshake was not finished"
	}
	return ""
}

// causes map the errors of transports, timeouts excepted, to Classes; the first match counts.
var causes = []struct {
	matches func(error) bool
	class   Class
	detail  string
}{
	{errorWith(func(e *net.DNSError) bool { return e.IsNotFound }), DNS, "there is no such name"},
	{isType[*net.DNSError], DNS, "the name servers gave no usable answer"},

	// These cannot be the endpoint's fault.
	{wraps(syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL), Internal, "the gateway could not open a connection"},
	{hasPrefix("net/http: invalid", "http2: invalid"), Internal, "the request has a header that cannot be sent"},

	{errorWith(func(e tls.RecordHeaderError) bool { return string(e.RecordHeader[:]) == "HTTP/" }), TLS, "it responds in plain HTTP"},
	{isType[tls.RecordHeaderError], TLS, "it does not speak TLS"},
	{isType[x509.UnknownAuthorityError], TLS, "its certificate is not signed by a known authority"},
	{isType[x509.HostnameError], TLS, "its certificate is for another name"},
	{errorWith(func(e x509.CertificateInvalidError) bool { return e.Reason == x509.Expired }), TLS, "its certificate has expired or is not valid yet"},
	{isType[*tls.CertificateVerificationError], TLS, "its certificate is not valid"},
	{isOp("remote error"), TLS, "it ended the handshake"}, // its alert has no exported type
	{isOp("local error"), TLS, "no common version or parameters"},
	{hasPrefix("tls: "), TLS, "no common version or parameters"}, // plain errors of crypto/tls

	{wraps(syscall.ECONNREFUSED), Connect, "it was refused"},
	{isOp("dial"), Connect, "there is no way to the address"},
	{wraps(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, net.ErrClosed), Reset, ""},

	// These have neither a type nor a sentinel.
	{contains("server closed idle connection", "received from peer", "GOAWAY", "http2: client conn"), Reset, ""},
	{contains("transfer encoding"), BadResponse, "its Transfer-Encoding is not chunked alone"},
	{contains("Content-Length"), BadResponse, "its Content-Length is not one number"},
	{contains("malformed HTTP"), BadResponse, "its first line is not a status line of HTTP/1.1"},
	{contains("malformed MIME"), BadResponse, "a line of its header has no name and colon"},
	{contains("header"), BadResponse, "its header is too large"},
}

func isType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func errorWith[E error](f func(E) bool) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[E](err)
		return ok && f(e)
	}
}

func isOp(op string) func(error) bool {
	return errorWith(func(e *net.OpError) bool { return e.Op == op })
}

func wraps(some ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(some, func(e error) bool { return errors.Is(err, e) })
	}
}

func hasPrefix(texts ...string) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(err.Error(), text) })
	}
}

func contains(texts ...string) func(error) bool {
	return func(err error) bool {
		own, _, _ := strings.Cut(err.Error(), `"`) // what follows quotes the wire
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(own, text) })
	}
}

// statusClasses are the Classes of responses by the first digit of their status.
var statusClasses = map[int]Class{1: Status1xx, 2: OK, 3: Status3xx, 4: Status4xx, 5: Status5xx}

// classOf returns the Class of a response.
func classOf(code int) Class {
	if class, ok := statusClasses[code/100]; ok {
		return class
	}
	return StatusOther
}
