package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// errTimeout tells our time limit for an exchange from the end of the caller's
// context.
var errTimeout = errors.New("time limit of the exchange")

// failure returns the Response to a request that err kept from an answer.
func failure(ctx context.Context, err error, start time.Time) Response {
	class, detail := classify(ctx, err)
	return Response{Took: time.Since(start), Class: class, Error: sentence(class, detail)}
}

// classify says what err, which a transport returned for a request with ctx,
// means: the Class, and in part of a sentence what it does not say. Of err's own
// text nothing is used, since it may hold names, URLs and what came over the
// wire.
//
// Whatever ran out of time is Timeout, be it the name, the connection or the
// answer, so that slow endpoints can be told from those that refuse.
func classify(ctx context.Context, err error) (Class, string) {
	var refused *refusal
	var timeout net.Error
	switch {
	case errors.As(err, &refused):
		return refused.class, refused.why
	case ctx.Err() != nil && context.Cause(ctx) == errTimeout:
		return Timeout, ""
	case ctx.Err() != nil:
		return Internal, "the gateway was stopped or ran out of time"
	case errors.As(err, &timeout) && timeout.Timeout():
		return Timeout, phase(err)
	}
	for _, kind := range []func(error) (Class, string){ofDNS, ofOurs, ofTLS, ofDial, ofReset} {
		if class, detail := kind(err); class != OK {
			return class, detail
		}
	}
	return BadResponse, ""
}

// phase says what took too long, of a timeout that is not the whole exchange's.
func phase(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return "its name was not resolved"
	case errors.As(err, &op) && op.Op == "dial":
		return "no connection was made"
	case strings.HasSuffix(err.Error(), "TLS handshake timeout"): // has no type of its own
		return "the TLS handshake was not finished"
	}
	return ""
}

func ofDNS(err error) (Class, string) {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return OK, ""
	case dns.IsNotFound:
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
	var (
		record    tls.RecordHeaderError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		op        *net.OpError
	)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return TLS, "it answers in plain HTTP"
	case errors.As(err, &record):
		return TLS, "it does not speak TLS"
	case errors.As(err, &authority):
		return TLS, "its certificate is not signed by a known authority"
	case errors.As(err, &name):
		return TLS, "its certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return TLS, "its certificate has expired or is not valid yet"
	case errors.As(err, &verify):
		return TLS, "its certificate is not valid"
	case errors.As(err, &op) && op.Op == "remote error": // its alert has no exported type
		return TLS, "it ended the handshake"
	case errors.As(err, &op) && op.Op == "local error", strings.HasPrefix(err.Error(), "tls: "): // plain errors of crypto/tls
		return TLS, "no common version or parameters"
	}
	return OK, ""
}

func ofDial(err error) (Class, string) {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Connect, "it was refused"
	case errors.As(err, &op) && op.Op == "dial":
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
	// Errors of net/http that have neither type nor sentinel.
	for _, text := range []string{"server closed idle connection", "received from peer", "GOAWAY", "http2: client conn"} {
		if strings.Contains(err.Error(), text) {
			return Reset, ""
		}
	}
	return OK, ""
}

// ofStatus returns the Class of an answer.
func ofStatus(code int) Class {
	switch code / 100 {
	case 1:
		return Status1xx
	case 2:
		return OK
	case 3:
		return Status3xx
	case 4:
		return Status4xx
	case 5:
		return Status5xx
	}
	return StatusOther
}

// Classes returns every Class but OK.
func Classes() []Class {
	return []Class{
		DNS, Connect, TLS, Timeout, Reset, BlockedAddress, BadResponse, BadURL,
		Status1xx, Status3xx, Status4xx, Status5xx, StatusOther, Internal,
	}
}

// Explain returns a sentence for people that says what c means; empty for OK
// and for what is no Class.
func Explain(c Class) string {
	switch c {
	case DNS:
		return "The name of the endpoint's host could not be resolved."
	case Connect:
		return "No connection to the endpoint could be made."
	case TLS:
		return "The TLS handshake with the endpoint did not succeed."
	case Timeout:
		return "The endpoint did not answer in time."
	case Reset:
		return "The connection ended before the endpoint answered."
	case BlockedAddress:
		return "The endpoint's address must not be called."
	case BadResponse:
		return "The endpoint's answer is not HTTP, or its header is too large."
	case BadURL:
		return "The endpoint's URL cannot be used."
	case Status1xx:
		return "The endpoint answered with an informational status and nothing else."
	case Status3xx:
		return "The endpoint answered with a redirect, which is not followed."
	case Status4xx:
		return "The endpoint refused the request with a status from 400 to 499."
	case Status5xx:
		return "The endpoint failed with a status from 500 to 599."
	case StatusOther:
		return "The endpoint answered with a status that HTTP does not define."
	case Internal:
		return "The gateway itself could not call the endpoint."
	}
	return ""
}

// sentence returns Explain(c) with detail, if there is one.
func sentence(c Class, detail string) string {
	if detail == "" {
		return Explain(c)
	}
	return strings.TrimSuffix(Explain(c), ".") + ": " + detail + "."
}
