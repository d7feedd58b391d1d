package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// errTimeout tells our time limit for an exchange from the end of the caller's context.
var errTimeout = errors.New("time limit of the exchange")

// failure returns the Response to a request that err kept from an answer.
func failure(ctx context.Context, err error, start time.Time) Response {
	class, detail := classify(ctx, err)
	return Response{Took: time.Since(start), Class: class, Error: sentence(class, detail)}
}

// classify says what err, which a transport returned for a request with ctx, means: the Class, and in part of
// a sentence what it does not say. Of err's own text nothing is told, since it may hold names, URLs and what
// came over the wire.
//
// Whatever ran out of time is Timeout, be it the name, the connection or the answer, so that slow endpoints
// can be told from those that refuse.
func classify(ctx context.Context, err error) (Class, string) {
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused.class, refused.why
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
	for _, kind := range []func(error) (Class, string){ofDNS, ofOurs, ofTLS, ofDial, ofReset} {
		if class, detail := kind(err); class != OK {
			return class, detail
		}
	}
	said, _, _ := strings.Cut(err.Error(), `"`) // then it quotes what came over the wire
	for _, cause := range malformed {
		if strings.Contains(said, cause[0]) {
			return BadResponse, cause[1]
		}
	}
	return BadResponse, ""
}

// malformed are texts of errors that have neither type nor sentinel, and their causes.
var malformed = [][2]string{
	{"transfer encoding", "its Transfer-Encoding is not chunked alone"},
	{"Content-Length", "its Content-Length is not one number"},
	{"malformed HTTP", "its first line is not as HTTP/1.1 has it"},
	{"malformed MIME", "a line of its header has no name and colon"},
	{"header", "its header is too large"},
}

// phase says what took too long, of a timeout that is not the whole exchange's.
func phase(err error) string {
	switch {
	case is[*net.DNSError](err):
		return "its name was not resolved"
	case isOp(err, "dial"):
		return "no connection was made"
	case strings.HasSuffix(err.Error(), "TLS handshake timeout"): // has no type of its own
		return "the TLS handshake was not finished"
	}
	return ""
}

func ofDNS(err error) (Class, string) {
	e, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return OK, ""
	case e.IsNotFound:
		return DNS, "there is no such name"
	}
	return DNS, "the name servers gave no usable answer"
}

// ofOurs recognises what no endpoint can cause.
func ofOurs(err error) (Class, string) {
	for _, ours := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, ours) {
			return Internal, "the gateway could not open a connection"
		}
	}
	if text := err.Error(); strings.HasPrefix(text, "net/http: invalid") || strings.HasPrefix(text, "http2: invalid") {
		return Internal, "the request has a header that cannot be sent"
	}
	return OK, ""
}

func ofTLS(err error) (Class, string) {
	record, noTLS := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case noTLS && string(record.RecordHeader[:]) == "HTTP/":
		return TLS, "it answers in plain HTTP"
	case noTLS:
		return TLS, "it does not speak TLS"
	case is[*tls.CertificateVerificationError](err):
		return TLS, ofCertificate(err)
	case isOp(err, "remote error"): // its alert has no exported type
		return TLS, "it ended the handshake"
	case isOp(err, "local error"), strings.HasPrefix(err.Error(), "tls: "): // plain errors of crypto/tls
		return TLS, "no common version or parameters"
	}
	return OK, ""
}

func ofCertificate(err error) string {
	invalid, _ := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case is[x509.UnknownAuthorityError](err):
		return "its certificate is not signed by a known authority"
	case is[x509.HostnameError](err):
		return "its certificate is for another name"
	case invalid.Cert != nil && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not valid yet"
	}
	return "its certificate is not valid"
}

func ofDial(err error) (Class, string) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Connect, "it was refused"
	case isOp(err, "dial"):
		return Connect, "there is no way to the address"
	}
	return OK, ""
}

func ofReset(err error) (Class, string) {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, net.ErrClosed} {
		if errors.Is(err, end) {
			return Reset, ""
		}
	}
	said, _, _ := strings.Cut(err.Error(), `"`) // of errors that have neither type nor sentinel
	for _, text := range []string{"server closed idle connection", "received from peer", "GOAWAY", "http2: client conn"} {
		if strings.Contains(said, text) {
			return Reset, ""
		}
	}
	return OK, ""
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isOp(err error, op string) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == op
}

// statusClasses are those of answers, by the first digit of their status.
var statusClasses = map[int]Class{1: Status1xx, 2: OK, 3: Status3xx, 4: Status4xx, 5: Status5xx}

// ofStatus returns the Class of an answer.
func ofStatus(code int) Class {
	if class, ok := statusClasses[code/100]; ok {
		return class
	}
	return StatusOther
}
